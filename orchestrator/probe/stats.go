package probe

import (
	"math"
	"slices"
	"time"
)

// Stat is one number that an engine reports of itself.
type Stat struct {
	Name  string // in lower case with underscores
	Unit  StatUnit
	Value float64
}

// StatUnit is the unit of a [Stat].
type StatUnit string

// The units.
const (
	StatCount StatUnit = "COUNT"
	StatBytes StatUnit = "BYTES"
)

// Names of stats that several types of probes have.
const (
	connectionsUsed = "connections_used" // by clients, without that of the probe
	connectionsMax  = "connections_max"  // that clients can have
	databaseBytes   = "database_bytes"
)

// statsPatience is how long a probe waits for stats after the engine has answered it. Longer, they would be too expensive.
const statsPatience = 400 * time.Millisecond

// hurry lets all reads fail that take longer than stats may.
func (c *conn) hurry() { _ = c.raw.SetDeadline(time.Now().Add(statsPatience)) } // fails only if the connection is closed

// sane returns the stats that can be true.
func sane(all []Stat) []Stat {
	return slices.DeleteFunc(all, func(s Stat) bool { return math.IsNaN(s.Value) || math.IsInf(s.Value, 0) || s.Value < 0 })
}
