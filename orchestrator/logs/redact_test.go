package logs

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// Every form of a secret is replaced, also within base64 of longer text.
func TestRedactor(t *testing.T) {
	for _, secret := range []string{"pa55/w+rd=&'\"<ü>", "k3Y9fQ2LmZ8xWc7VbN4t", "p'q:r@s"} {
		r := NewRedactor([]string{secret, "short"})
		quoted, _ := json.Marshal(secret)
		forms := map[string]string{
			"plain": secret, "JSON": string(quoted), "query": url.QueryEscape(secret), "path": url.PathEscape(secret),
			"lower query": lowerEscapes(url.QueryEscape(secret)), "hex": hex.EncodeToString([]byte(secret)),
			"HEX": strings.ToUpper(hex.EncodeToString([]byte(secret))), "SQL": strings.ReplaceAll(secret, "'", "''"),
			"URL": (&url.URL{Scheme: "x", User: url.UserPassword("u", secret), Host: "h"}).String(),
		}
		for before := range 4 {
			for after := range 4 {
				text := strings.Repeat("b", before) + secret + strings.Repeat("a", after)
				forms[fmt.Sprint("base64 ", before, after)] = base64.StdEncoding.EncodeToString([]byte(text))
				forms[fmt.Sprint("base64url ", before, after)] = base64.RawURLEncoding.EncodeToString([]byte(text))
			}
		}
		for name, form := range forms {
			got := r.Redact("before " + form + " after")
			if strings.Contains(got, form) || !strings.Contains(got, mask) || !strings.HasPrefix(got, "before ") || !strings.HasSuffix(got, " after") {
				t.Errorf("%s of %q: %q", name, secret, got)
			}
		}
		if got := r.Redact("a short line"); got != "a short line" {
			t.Errorf("%q", got)
		}
	}
	if got := (Redactor{}).Redact("nothing"); got != "nothing" {
		t.Error(got)
	}
}

// What a redacted base64 text still shows does not decode to more than two bytes of the secret.
func TestRedactedBase64(t *testing.T) {
	secret := "k3Y9fQ2LmZ8xWc7VbN4t"
	r := NewRedactor([]string{secret})
	for before := range 3 {
		text := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("b", before) + secret + "after"))
		for _, part := range strings.Split(r.Redact(text), mask) {
			for shift := range 4 {
				if shift > len(part) {
					break
				}
				decoded, _ := base64.RawStdEncoding.DecodeString(strings.TrimRight(part[shift:], "="))
				for n := 3; n <= len(secret); n++ {
					if strings.Contains(string(decoded), secret[:n]) || strings.Contains(string(decoded), secret[len(secret)-n:]) {
						t.Errorf("%q shows %q", r.Redact(text), decoded)
					}
				}
			}
		}
	}
}

func BenchmarkRedact(b *testing.B) {
	r := NewRedactor([]string{"k3Y9fQ2LmZ8xWc7VbN4t", "Zk3Y9fQ2LmZ8xWc7VbN4t"})
	line := `2026-11-27 13:43:47.123 UTC [42] LOG:  checkpoint complete: wrote 42 buffers (0.3%); 0 WAL file(s) added`
	b.SetBytes(int64(len(line)))
	for b.Loop() {
		r.Redact(line)
	}
}

func BenchmarkLevel(b *testing.B) {
	line := `2026-11-27 13:43:47.123 UTC [42] LOG:  checkpoint complete: wrote 42 buffers (0.3%); 0 WAL file(s) added`
	b.SetBytes(int64(len(line)))
	for b.Loop() {
		levelOf(line)
		continued(line)
	}
}
