package orchestrator

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"github.com/unicorn-web-services/uws/internal/clean"
)

// A DNS label as RFC 1035 has it: names become host names on some drivers.
var dnsLabel = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`)

// CheckName refuses a name that is not a DNS label.
func CheckName(name string) error {
	if dnsLabel.MatchString(name) {
		return nil
	}
	return Errorf(InvalidInput, "name", "%q is not a DNS label: use 1 to 63 of a-z, 0-9 and '-', beginning with a letter and not ending with '-'", clean.Clip(name, 64))
}

// MaxLabels is how many labels a service or a node can have.
const MaxLabels = 32

const maxLabelLength = 128 // of a node's label

// Names and values of labels as Kubernetes has them ("Labels and Selectors", syntax and character set).
var (
	labelPart   = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$`)
	labelPrefix = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$`)
)

const (
	maxLabelPrefix = 253
	labelForm      = "1 to 63 of A-Z, a-z, 0-9, '-', '_' and '.', beginning and ending with a letter or digit"
)

// CheckLabels checks the labels of a service and returns them by name.
func CheckLabels(path string, labels []Label) (map[string]string, error) {
	all, err := labelsByName(path, labels, "service")
	if err != nil {
		return nil, err
	}
	for i, l := range labels {
		at := fmt.Sprintf("%s[%d]", path, i)
		prefix, name, prefixed := strings.Cut(l.Name, "/")
		if !prefixed {
			prefix, name = "", l.Name
		}
		switch {
		case !labelPart.MatchString(name):
			return nil, Errorf(InvalidInput, at+".name", "%q must be %s; a DNS name and '/' can precede it", clean.Clip(l.Name, 64), labelForm)
		case prefixed && (len(prefix) > maxLabelPrefix || !labelPrefix.MatchString(prefix)):
			return nil, Errorf(InvalidInput, at+".name", "what precedes '/' in %q must be a DNS name of at most %d characters", clean.Clip(l.Name, 64), maxLabelPrefix)
		case prefix == "uws" || strings.HasPrefix(prefix, "uws."):
			return nil, Errorf(InvalidInput, at+".name", "%q: the prefix uws is reserved; use another", clean.Clip(l.Name, 64))
		case l.Value != "" && !labelPart.MatchString(l.Value):
			return nil, Errorf(InvalidInput, at+".value", "%q must be empty, or %s", clean.Clip(l.Value, 64), labelForm)
		}
	}
	return all, nil
}

// labelsByName returns labels by name. of is what has them.
func labelsByName(path string, labels []Label, of string) (map[string]string, error) {
	if len(labels) == 0 {
		return nil, nil
	}
	if len(labels) > MaxLabels {
		return nil, Errorf(InvalidInput, path, "has %d labels; at most %d are allowed", len(labels), MaxLabels)
	}
	all := make(map[string]string, len(labels))
	for i, l := range labels {
		if _, twice := all[l.Name]; twice {
			return nil, Errorf(InvalidInput, fmt.Sprintf("%s[%d].name", path, i), "is given twice; a %s has one value for each label", of)
		}
		all[l.Name] = l.Value
	}
	return all, nil
}

// NodeLabels checks labels of a node and returns them by name.
func NodeLabels(path string, labels []Label) (map[string]string, error) {
	all, err := labelsByName(path, labels, "node")
	if err != nil {
		return nil, err
	}
	for i, l := range labels {
		at := fmt.Sprintf("%s[%d]", path, i)
		switch {
		case l.Name == "" || len(l.Name) > maxLabelLength:
			return nil, Errorf(InvalidInput, at+".name", "has %d bytes; must have 1 to %d", len(l.Name), maxLabelLength)
		case len(l.Value) > maxLabelLength:
			return nil, Errorf(InvalidInput, at+".value", "has %d bytes; must have at most %d", len(l.Value), maxLabelLength)
		case strings.ContainsFunc(l.Name+l.Value, func(r rune) bool { return !unicode.IsPrint(r) }):
			return nil, Errorf(InvalidInput, at, "has a character that cannot be shown; use plain text")
		}
	}
	return all, nil
}
