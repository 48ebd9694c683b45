package repo

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"strings"
)

// Key encrypts a repository. Without it, nothing of the repository can be read.
type Key [32]byte

const (
	keySum   = 3 // bytes of the checksum at the end of the text
	keyGroup = 7 // characters between two dashes
)

// ErrKeyText means that a text is not that of a key, most likely because of a typing error.
var ErrKeyText = errors.New("this is not a key: it has 56 letters and digits in 8 groups, and its checksum must match. Compare it with the recovery kit")

// NewKey returns a random key.
func NewKey() Key {
	var k Key
	_, _ = rand.Read(k[:]) // never fails, says its documentation
	return k
}

// ParseKey returns the key with this text, which it accepts in lower case, and with spaces or dashes at any place.
// It returns [ErrKeyText] if the checksum does not match.
func ParseKey(text string) (Key, error) {
	plain := strings.Map(func(r rune) rune {
		if r == '-' || r == ' ' || r == '\n' || r == '\r' || r == '\t' {
			return -1
		}
		return r
	}, text)
	all, err := base32.StdEncoding.DecodeString(strings.ToUpper(plain))
	if err != nil || len(all) != len(Key{})+keySum {
		return Key{}, ErrKeyText
	}
	k := Key(all[:len(Key{})])
	if string(all[len(k):]) != string(k.sum()) {
		return Key{}, ErrKeyText
	}
	return k, nil
}

// Text returns the key for a recovery kit: 8 groups of 7 letters and digits, with a checksum. It is also the password
// of the repository for the kopia program.
func (k Key) Text() string {
	all := base32.StdEncoding.EncodeToString(append(k[:], k.sum()...))
	var groups []string
	for len(all) > 0 {
		groups, all = append(groups, all[:keyGroup]), all[keyGroup:]
	}
	return strings.Join(groups, "-")
}

func (k Key) sum() []byte {
	h := sha256.Sum256(append([]byte("uws backup key\n"), k[:]...))
	return h[:keySum]
}

// String hides the key, so that it is not printed by mistake.
func (Key) String() string { return "(hidden)" }

// GoString is for %#v.
func (Key) GoString() string { return "(hidden)" }

// MarshalText is for JSON and for logs.
func (Key) MarshalText() ([]byte, error) { return []byte("(hidden)"), nil }
