package driver

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// Hash identifies what the spec says about the instance: two specs with the same hash make the same
// instance. DataMustExist does not count: it changes over a service's life.
func (s Spec) Hash() string {
	s.DataMustExist = false
	b, err := json.Marshal(s) // maps are marshalled in key order
	if err != nil {
		panic("driver: a Spec always marshals: " + err.Error())
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}
