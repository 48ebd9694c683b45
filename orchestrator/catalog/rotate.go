package catalog

import (
	"fmt"
	"slices"
	"strings"
)

// Renew is the credentials of a service with those made anew that a rotation changes.
func (t Template) Renew(old map[string]string, r Rotate) (map[string]string, error) {
	made, err := t.GenerateCredentials()
	if err != nil {
		return nil, err
	}
	for name, value := range old {
		if !slices.Contains(r.Change, name) {
			made[name] = value
		}
	}
	return made, nil
}

func (c *checker) rotate(t Template) {
	r := t.Rotate
	if r == nil {
		return
	}
	if !slices.Contains(Hows(), r.How) {
		c.fail("rotate.how", "is %s; must be one of %s", quote(r.How), strings.Join(Hows(), ", "))
	}
	if t.Probe.Type == "http" || t.Probe.Type == "tcp" {
		c.fail("rotate", "needs a probe that logs in, which those of type %s do not; remove it, or choose another probe", t.Probe.Type)
	}
	generated := make(map[string]bool)
	for _, cred := range t.Credentials {
		generated[cred.Name] = cred.Value == ""
	}
	if len(r.Change) == 0 {
		c.fail("rotate.change", "is missing; must name the credentials that are made anew, such as [password]")
	}
	for i, name := range r.Change {
		field := fmt.Sprintf("rotate.change[%d]", i)
		switch {
		case !generated[name]:
			c.fail(field, "is %s; must be the name of a credential that is generated", quote(name))
		case slices.Index(r.Change, name) != i:
			c.fail(field, "is %s, which is there already; remove one", quote(name))
		case r.How != RotateByRestart && name != "password":
			c.fail(field, "is %s; %s changes the password and nothing else", quote(name), r.How)
		}
	}
}
