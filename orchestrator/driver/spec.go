package driver

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"
)

// Hash identifies what the spec says about the instance: two specs with the same hash make the same
// instance. DataMustExist does not count: it changes over a service's life. Nor does Generation: instances that were created
// before there were generations keep their hash.
func (s Spec) Hash() string {
	s.DataMustExist = false
	b, err := json.Marshal(s) // maps are marshalled in key order
	if err != nil {
		panic("driver: a Spec always marshals: " + err.Error())
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}

// GenerationText returns the generation of the spec, as a driver keeps it with an instance.
func (s Spec) GenerationText() string { return strconv.Itoa(max(1, s.Generation)) }

// ParseGeneration returns the generation in a text of [Spec.GenerationText], 1 if there is none.
func ParseGeneration(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return 1
	}
	return max(1, n)
}
