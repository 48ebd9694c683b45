package catalog

import (
	"crypto/rand"
	"fmt"
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
		secret, err := randomText(c.Length)
		if err != nil {
			return nil, fmt.Errorf("generate credential %s: %w", c.Name, err)
		}
		made[c.Name] = secret
	}
	return made, nil
}

func randomText(n int) (string, error) {
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
