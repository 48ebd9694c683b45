package catalog

import (
	"crypto/rand"
	"fmt"
	"maps"
)

const (
	letters         = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	lettersOrDigits = letters + "0123456789"
)

// GenerateCredentials returns the credentials of a new service by name: random secrets and those with a fixed value. A
// secret begins with a letter, because some engines parse "1e9…" in their configuration as a number.
func (t Template) GenerateCredentials() (map[string]string, error) {
	made := make(map[string]string, len(t.Credentials))
	for _, c := range t.Credentials {
		if c.Value != "" {
			made[c.Name] = c.Value
			continue
		}
		secret, err := RandomText(c.Length)
		if err != nil {
			return nil, fmt.Errorf("generate credential %s: %w", c.Name, err)
		}
		made[c.Name] = secret
	}
	return made, nil
}

// Complete returns credentials with missing ones filled in from their fallbacks.
func (t Template) Complete(credentials map[string]string) map[string]string {
	full := maps.Clone(credentials)
	for _, c := range t.Credentials {
		if _, ok := full[c.Name]; ok || c.Fallback == "" {
			continue
		}
		if value, ok := credentials[c.Fallback]; ok {
			full[c.Name] = value
		}
	}
	return full
}

// Adopt returns the credentials of existing data. It generates those that are missing and have no fallback.
func (t Template) Adopt(credentials map[string]string) (map[string]string, error) {
	made, err := t.GenerateCredentials()
	if err != nil {
		return nil, err
	}
	full := maps.Clone(credentials)
	for _, c := range t.Credentials {
		if _, ok := full[c.Name]; !ok && c.Fallback == "" {
			full[c.Name] = made[c.Name]
		}
	}
	return full, nil
}

// public returns the values of the credentials that users may see.
func (t Template) public(values map[string]string) map[string]string {
	seen := maps.Clone(values)
	for _, c := range t.Credentials {
		if c.Internal {
			delete(seen, c.Name)
		}
	}
	return seen
}

// RandomText returns a secret of n letters and digits that begins with a letter.
func RandomText(n int) (string, error) {
	out := make([]byte, 0, n)
	buf := make([]byte, 2*n)
	for len(out) < n {
		if _, err := rand.Read(buf); err != nil {
			return "", err
		}
		for _, b := range buf {
			if len(out) == n {
				break
			}
			alphabet := lettersOrDigits
			if len(out) == 0 {
				alphabet = letters
			}
			// Skip bytes beyond the last whole multiple of the alphabet's size: they would favour its first letters.
			if int(b) < 256/len(alphabet)*len(alphabet) {
				out = append(out, alphabet[int(b)%len(alphabet)])
			}
		}
	}
	return string(out), nil
}

// PublicCredentials returns the names of the credentials with a fixed value. The value is in the template and not
// secret.
func (t Template) PublicCredentials() []string {
	var names []string
	for _, c := range t.Credentials {
		if c.Value != "" {
			names = append(names, c.Name)
		}
	}
	return names
}
