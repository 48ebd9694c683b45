package catalog

import "time"

// Setting is a number that a launch may set: its default and its range, both ends included.
type Setting[T int | float64 | time.Duration] struct{ Default, Min, Max T }

// Settings are the numbers that a launch of a template may set. A timeout must also not exceed the interval.
type Settings struct {
	Interval, Timeout, Grace Setting[time.Duration]
	FailureThreshold         Setting[int]
	// Nil if no driver of the template can enforce limits.
	MemoryMiB, PIDs *Setting[int]
	CPUs            *Setting[float64]
}

// Settings returns what launches of the template may set: the ranges that [Template.WithProbe] and
// [Template.WithLimits] accept.
func (t Template) Settings() Settings {
	p := t.Probe
	s := Settings{
		Interval:         Setting[time.Duration]{p.Interval, minInterval, maxInterval},
		Timeout:          Setting[time.Duration]{p.Timeout, minTimeout, maxTimeout},
		Grace:            Setting[time.Duration]{p.Grace, minGrace, maxGrace},
		FailureThreshold: Setting[int]{p.FailureThreshold, 1, maxThreshold},
	}
	if t.Docker != nil {
		l := t.Docker.Limits
		s.MemoryMiB = &Setting[int]{l.MemoryMiB, minMemoryMiB, maxMemoryMiB}
		s.CPUs = &Setting[float64]{l.CPUs, minCPUs, maxCPUs}
		s.PIDs = &Setting[int]{l.PIDs, minPIDs, maxPIDs}
	}
	return s
}
