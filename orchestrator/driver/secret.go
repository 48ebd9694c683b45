package driver

// Secret is a text that does not show when it is printed, logged or made JSON; string(s) is the text itself.
type Secret string

const hidden = "(hidden)"

func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// MarshalText is for JSON and for logs.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// GoString is for %#v.
func (s Secret) GoString() string { return `"` + s.String() + `"` }
