// Package probe asks services whether they work, each in its own protocol and with the service's own
// credentials. A probe is one function: it makes one attempt, within its context's deadline, and holds
// nothing afterwards.
package probe

import (
	"context"
	"time"
)

// Verdict of a probe.
type Verdict string

const (
	OK    Verdict = "OK"    // logged in and got a right answer
	Alive Verdict = "ALIVE" // the engine answers but refuses us: wrong password, full, recovering, sealed
	Dead  Verdict = "DEAD"  // refused, reset, timed out, or an answer that is not the protocol's
)

// Target is what a probe needs to know of a service.
type Target struct {
	Address     string            // host:port
	Credentials map[string]string // by the template's names; secret
	Options     map[string]string // the template's probe options
}

// Result of one probe.
type Result struct {
	Verdict  Verdict
	Detail   string // plain words of what was seen; never holds a secret, at most 300 bytes
	At       time.Time
	Duration time.Duration
}

// Func makes one attempt. It returns soon after ctx ends; running into the deadline is Dead. It only
// sets Verdict and Detail.
type Func func(ctx context.Context, t Target) Result
