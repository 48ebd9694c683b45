//go:build !faults

// Package fault marks the steps at which a crash would be at its most awkward. In an ordinary build a mark does
// nothing; with the build tag "faults" the program kills itself there when UWS_FAULT names the step.
package fault

// Point marks a step.
func Point(string) {}
