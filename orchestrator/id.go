package orchestrator

import (
	"crypto/rand"
	"strings"
)

// NewID returns a random id of 26 letters and digits that serves as a DNS label and as a file name.
func NewID() string { return "s" + strings.ToLower(rand.Text())[1:] }
