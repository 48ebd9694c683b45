// Package clean makes untrusted text safe for logs and terminals: it hides secrets in URLs, and escapes characters that
// a terminal interprets.
package clean

import (
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

const hidden = "***"

var urls = regexp.MustCompile("[A-Za-z][A-Za-z0-9+.-]*://[^\\s\"'`<>]*")

// URLs hides the secrets of all URLs in a text.
func URLs(text string) string {
	if !strings.Contains(text, "://") {
		return text
	}
	return urls.ReplaceAllStringFunc(text, URL)
}

// URL hides everything in a URL, or in a text that should be one, that may be secret: the user and password (except the
// user of ssh), and everything after a question mark or number sign. A password may contain any character, so
// everything before the last @ is hidden.
func URL(text string) string {
	scheme, rest, ok := strings.Cut(text, "://")
	if ok {
		scheme += "://"
	} else {
		scheme, rest = "", text
	}
	user := ""
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		user, rest = rest[:i+1], rest[i+1:]
		if scheme != "ssh://" || strings.ContainsAny(user, ":/?#%") {
			user = hidden + "@"
		}
	}
	if i := strings.IndexAny(rest, "?#"); i >= 0 && i+1 < len(rest) {
		rest = rest[:i+1] + hidden
	}
	return scheme + user + rest
}

// Line escapes, as in Go, what is not printable: control characters, characters that change the direction of text, and
// invalid UTF-8. Use it for one line or one cell of a table.
func Line(text string) string {
	var b strings.Builder
	for i, r := range text {
		_, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// Clip returns the first limit characters of a longer text, followed by an ellipsis. It returns a shorter text
// unchanged.
func Clip(text string, limit int) string {
	if r := []rune(text); len(r) > limit {
		return string(r[:limit]) + "…"
	}
	return text
}

// JSONWriter escapes JSON so that a terminal can show it. encoding/json does not escape non-ASCII control characters
// and characters that change the direction of text. Escaping them does not change the values. Each Write must end at a
// character boundary.
type JSONWriter struct{ W io.Writer }

// Write implements [io.Writer].
func (j JSONWriter) Write(data []byte) (int, error) {
	var b strings.Builder
	for _, r := range string(data) {
		switch {
		case r == '\n' || r == '\t' || unicode.IsPrint(r):
			b.WriteRune(r)
		case r > 0xffff:
			high, low := (r-0x10000)>>10+0xd800, (r-0x10000)&0x3ff+0xdc00
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	if _, err := io.WriteString(j.W, b.String()); err != nil {
		return 0, err
	}
	return len(data), nil
}
