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

// GenerateCredentials makes the secrets of a new service, by credential name, and adds those with a
// fixed value. A secret begins with a letter, since some engines read "1e9…" in their configuration as a number.
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

// Complete returns credentials with those that the data does not have taken from their fallbacks.
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

// Adopt returns the credentials of existing data with those added that the template has neither there nor by a fallback.
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

// RandomText makes a secret of n letters and digits that begins with a letter.
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
			// Bytes beyond the last whole multiple of the alphabet would favour its beginning.
			if int(b) < 256/len(alphabet)*len(alphabet) {
				out = append(out, alphabet[int(b)%len(alphabet)])
			}
		}
	}
	return string(out), nil
}

// PublicCredentials are the names of the credentials with a fixed value, which is in the template and no secret.
func (t Template) PublicCredentials() []string {
	var names []string
	for _, c := range t.Credentials {
		if c.Value != "" {
			names = append(names, c.Name)
		}
	}
	return names
}
