package catalog

import "time"

// Setting is a number that a launch may set: what it is otherwise, and its range, ends included.
type Setting[T int | float64 | time.Duration] struct{ Default, Min, Max T }

// Settings are the numbers that launches of a template may set. A timeout is at most the interval, too.
type Settings struct {
	Interval, Timeout, Grace Setting[time.Duration]
	FailureThreshold         Setting[int]
	// These are nil if nothing that runs the template can hold it to limits.
	MemoryMiB, PIDs *Setting[int]
	CPUs            *Setting[float64]
}

// Settings returns what launches of the template may set: what [Template.WithProbe] and [Template.WithLimits] accept.
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
