//go:build race

package orchestrator_test

// raced says whether the race detector looks on.
const raced = true
