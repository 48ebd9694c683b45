package logs

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
)

const (
	mask = "***"
	// minSecret is the length below which a credential is not searched for: it would be found everywhere.
	minSecret = 6
)

// Redactor replaces secrets in text. The zero value replaces nothing. It is immutable.
type Redactor struct{ replacer *strings.Replacer }

// NewRedactor returns a Redactor of secrets, in the forms in which engines print them: as they are, escaped for JSON, a URL or
// SQL, in hexadecimal, and in base64, alone or after other text, as in "user:password".
func NewRedactor(secrets []string) Redactor {
	var forms []string
	add := func(form string) {
		if len(form) >= minSecret && !slices.Contains(forms, form) {
			forms = append(forms, form)
		}
	}
	for _, s := range secrets {
		if len(s) < minSecret {
			continue
		}
		add(s)
		if quoted, err := json.Marshal(s); err == nil {
			add(strings.Trim(string(quoted), `"`))
		}
		add(strings.ReplaceAll(s, "'", "''"))
		for _, escaped := range []string{url.QueryEscape(s), url.PathEscape(s), escapeAll(s)} {
			add(escaped)
			add(lowerEscapes(escaped))
		}
		add(hex.EncodeToString([]byte(s)))
		add(strings.ToUpper(hex.EncodeToString([]byte(s))))
		for before := range 3 {
			for _, e := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
				add(encodedAfter(e, before, s))
			}
		}
	}
	// The longest first, so that no form hides a part of another.
	slices.SortFunc(forms, func(a, b string) int { return len(b) - len(a) })
	var pairs []string
	for _, f := range forms {
		pairs = append(pairs, f, mask)
	}
	if len(pairs) == 0 {
		return Redactor{}
	}
	return Redactor{strings.NewReplacer(pairs...)}
}

// Redact returns text without the secrets.
func (r Redactor) Redact(text string) string {
	if r.replacer == nil {
		return text
	}
	return r.replacer.Replace(text)
}

// encodedAfter returns the characters of base64 that s alone decides where it follows a number of other bytes, taken modulo 3:
// its first and last bytes may share a character with their neighbours.
func encodedAfter(e *base64.Encoding, before int, s string) string {
	text := e.WithPadding(base64.NoPadding).EncodeToString(append(make([]byte, before), s...))
	first := []int{0, 2, 3}[before]
	last := (before + len(s)) * 8 / 6
	return text[first:last]
}

// escapeAll escapes every byte that is neither a letter nor a digit, as some clients do.
func escapeAll(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteString(strings.ToUpper(hex.EncodeToString([]byte{c})))
	}
	return b.String()
}

// lowerEscapes is s with the digits of its escapes in lower case.
func lowerEscapes(s string) string {
	b := []byte(s)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i+1:i+3], strings.ToLower(string(b[i+1:i+3])))
		}
	}
	return string(b)
}
