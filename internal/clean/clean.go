// Package clean makes text of others fit for logs and terminals: without the secrets in URLs, and without characters that
// a terminal obeys.
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

// URL hides what may be secret in a URL, or in text that was meant to be one: the user and the password, but for the user
// of ssh, and all after a question mark or number sign. A password may hold any character, so all before the last @ counts.
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

// Line escapes, as in Go, what does not print: control characters, those that change the direction of text, and bytes
// that are no text. It is for one line or one cell of a table.
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

// Clip returns the first characters of a text that has more than limit, with an ellipsis after them, and else the text.
func Clip(text string, limit int) string {
	if r := []rune(text); len(r) > limit {
		return string(r[:limit]) + "…"
	}
	return text
}

// JSONWriter is a writer of JSON that a terminal can show: encoding/json leaves control characters beyond ASCII and those
// that change the direction of text as they are, and this escapes them, which changes no value. Each Write must end at the
// end of a character.
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
