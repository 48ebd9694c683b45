package catalog

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

const (
	maxConnections     = 16
	maxConnectionBytes = 4000
)

// ConnectionsFor returns the connection strings with their placeholders replaced. Strings that cannot be completed are
// left out. The error joins one error for each of them, which names the place and the placeholder, never a value.
func (t Template) ConnectionsFor(v Values) ([]ConnectionString, error) {
	v.Credentials = t.public(v.Credentials)
	var all []ConnectionString
	var errs []error
	for i, c := range t.Connections {
		value, err := v.expand(c.Value, inConnection)
		if err != nil {
			errs = append(errs, fmt.Errorf("connections[%d].value: %w", i, err))
			continue
		}
		all = append(all, ConnectionString{c.Name, value})
	}
	return all, errors.Join(errs...)
}

// Values that no shell, URL or configuration file interprets.
var (
	bareValue   = regexp.MustCompile(`^[A-Za-z0-9._@%+=:,/-]*$`)
	bareAddress = regexp.MustCompile(`^[A-Za-z0-9._:%-]*$|^\[[0-9A-Za-z.:%]+\]$`) // brackets enclose IPv6 addresses
)

// encode returns value in the form that it needs after the text before.
func encode(before, name, value string) (string, error) {
	bare := bareAddress
	if strings.HasPrefix(name, "credential.") {
		if word := before[strings.LastIndexAny(before, " \t\n'\"`")+1:]; strings.Contains(word, "://") {
			return strings.ReplaceAll(url.QueryEscape(value), "+", "%20"), nil
		}
		bare = bareValue
	}
	if !bare.MatchString(value) {
		return "", fmt.Errorf("the value of %s holds a character that a shell could take for its own", show(name))
	}
	return value, nil
}

func (c *checker) connections(t Template) {
	if len(t.Connections) > maxConnections {
		c.fail("connections", "has %d entries; must have at most %d", len(t.Connections), maxConnections)
	}
	v, names := t.clientSample(), make(map[string]bool)
	for i, cs := range t.Connections {
		at := fmt.Sprintf("connections[%d]", i)
		c.match(at+".name", cs.Name, nameRule)
		if names[cs.Name] {
			c.fail(at+".name", "is %s, which is taken by an earlier connection; names must differ", quote(cs.Name))
		}
		names[cs.Name] = true
		c.connection(at+".value", cs.Value, v)
	}
}

var wholeURL = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*://\S*$`)

func (c *checker) connection(field, value string, v Values) {
	switch {
	case value == "":
		c.fail(field, "is missing; must be a text such as \"postgres://${credential.user}:${credential.password}@${host}:${port.NAME}/\"")
		return
	case len(value) > maxConnectionBytes || strings.ContainsFunc(value, isControl):
		c.fail(field, "must be at most %d bytes of plain text", maxConnectionBytes)
		return
	case strings.TrimSpace(value) != value:
		c.fail(field, "begins or ends with white space; remove it (a block begun with |- has no line break at its end)")
		return
	}
	out, err := v.expand(value, inConnection)
	if err != nil {
		c.fail(field, "%s", err)
		return
	}
	if !wholeURL.MatchString(out) {
		return
	}
	if u, err := url.Parse(out); err != nil || u.Host == "" {
		c.fail(field, "is %s, which is not a right URL", quote(value))
	}
}
