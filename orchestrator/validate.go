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

const (
	maxLabels      = 32
	maxLabelLength = 128
)

// NodeLabels checks labels and returns them by name.
func NodeLabels(path string, labels []NodeLabel) (map[string]string, error) {
	if len(labels) == 0 {
		return nil, nil
	}
	if len(labels) > maxLabels {
		return nil, Errorf(InvalidInput, path, "has %d labels; at most %d are allowed", len(labels), maxLabels)
	}
	all := make(map[string]string, len(labels))
	for i, l := range labels {
		at := fmt.Sprintf("%s[%d]", path, i)
		switch _, twice := all[l.Name]; {
		case l.Name == "" || len(l.Name) > maxLabelLength:
			return nil, Errorf(InvalidInput, at+".name", "has %d bytes; must have 1 to %d", len(l.Name), maxLabelLength)
		case len(l.Value) > maxLabelLength:
			return nil, Errorf(InvalidInput, at+".value", "has %d bytes; must have at most %d", len(l.Value), maxLabelLength)
		case strings.ContainsFunc(l.Name+l.Value, func(r rune) bool { return !unicode.IsPrint(r) }):
			return nil, Errorf(InvalidInput, at, "has a character that cannot be shown; use plain text")
		case twice:
			return nil, Errorf(InvalidInput, at+".name", "is there twice; a node has one value for each label")
		}
		all[l.Name] = l.Value
	}
	return all, nil
}
