package catalog

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// AdminPassword is the name of the credential that uws administers a database with. A rotation changes it in the same
// transaction as the user's password. So a login with it shows which of the two passwords the engine has.
const AdminPassword = "adminPassword"

// Renew returns the credentials of a service with new values for those that a rotation changes.
func (t Template) Renew(old map[string]string, r Rotate) (map[string]string, error) {
	made, err := t.GenerateCredentials()
	if err != nil {
		return nil, err
	}
	fresh := maps.Clone(old)
	for _, name := range r.Change {
		fresh[name] = made[name]
	}
	if _, ok := old[AdminPassword]; ok && r.How == "postgres" {
		if fresh[AdminPassword], err = RandomText(len(old[AdminPassword])); err != nil {
			return nil, fmt.Errorf("generate credential %s: %w", AdminPassword, err)
		}
	}
	return fresh, nil
}

func (c *checker) rotate(t Template) {
	r := t.Rotate
	if r == nil {
		return
	}
	if !slices.Contains(RotationMethods(), r.How) {
		c.fail("rotate.how", "is %s; must be one of %s", quote(r.How), strings.Join(RotationMethods(), ", "))
	}
	if t.Probe.Type == "http" || t.Probe.Type == "tcp" {
		c.fail("rotate", "needs a probe that logs in, which those of type %s do not; remove it, or choose another probe", t.Probe.Type)
	}
	generated := make(map[string]bool)
	for _, cred := range t.Credentials {
		generated[cred.Name] = cred.Value == ""
	}
	if len(r.Change) == 0 {
		c.fail("rotate.change", "is missing; must name the credentials to replace, such as [password]")
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
