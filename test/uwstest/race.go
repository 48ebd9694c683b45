//go:build race

package uwstest

// Raced reports whether the tests are built with the race detector.
const Raced = true
