package driver

// Secret is a text that does not show when it is printed or logged; string(s) is the text itself.
type Secret string

const hidden = "(hidden)"

func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// GoString is for %#v.
func (s Secret) GoString() string { return `"` + s.String() + `"` }
