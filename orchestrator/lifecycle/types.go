// Package lifecycle decides what happens to a service. It is pure: no clock, no I/O, no goroutine.
// Given a service's state, what was observed and the time, [Next] returns the next state, what to do,
// the reason in plain words and when to look again.
package lifecycle

import "time"

// Desired is what the user asked for.
type Desired string

const (
	WantRunning Desired = "RUNNING"
	WantStopped Desired = "STOPPED"
	WantRemoved Desired = "REMOVED"
)

// Phase is where the orchestrator has got to.
type Phase string

const (
	Pending    Phase = "PENDING" // waiting for a node, or for the engine to be fetched
	Starting   Phase = "STARTING"
	Running    Phase = "RUNNING"
	Restarting Phase = "RESTARTING"
	CrashLoop  Phase = "CRASH_LOOP"
	Failed     Phase = "FAILED"
	Stopping   Phase = "STOPPING"
	Stopped    Phase = "STOPPED"
	Removing   Phase = "REMOVING"
)

// Health is what probes say.
type Health string

const (
	HealthUnknown   Health = "UNKNOWN"
	HealthStarting  Health = "STARTING"
	HealthHealthy   Health = "HEALTHY"
	HealthSuspect   Health = "SUSPECT"
	HealthUnhealthy Health = "UNHEALTHY"
)

// Healthy reports whether a service with this health counts as working.
func (h Health) Healthy() bool { return h == HealthHealthy || h == HealthSuspect }

// Phases in the order of a service's life.
func Phases() []Phase {
	return []Phase{Pending, Starting, Running, Restarting, CrashLoop, Failed, Stopping, Stopped, Removing}
}

// Healths from not known to worst.
func Healths() []Health {
	return []Health{HealthUnknown, HealthStarting, HealthHealthy, HealthSuspect, HealthUnhealthy}
}

// Values makes Desired an ent enum.
func (Desired) Values() []string { return names([]Desired{WantRunning, WantStopped, WantRemoved}) }

// Values makes Phase an ent enum.
func (Phase) Values() []string { return names(Phases()) }

// Values makes Health an ent enum.
func (Health) Values() []string { return names(Healths()) }

func names[T ~string](values []T) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = string(v)
	}
	return out
}

// LaunchStep is the step that a launch is at, which goes through them in this order.
type LaunchStep string

const (
	StepPlacing  LaunchStep = "PLACING"  // waiting for a node
	StepFetching LaunchStep = "FETCHING" // of the engine or image; waiting for its turn included
	StepStarting LaunchStep = "STARTING" // of the instance
	StepProbing  LaunchStep = "PROBING"  // the instance runs and has not answered well yet
)

// Values returns all launch steps.
func (LaunchStep) Values() []string {
	return names([]LaunchStep{StepPlacing, StepFetching, StepStarting, StepProbing})
}

// Policy is the part of a template that decides about restarts.
type Policy struct {
	Interval         time.Duration // between checks of a healthy service
	FailureThreshold int           // DEAD probes in a row
	Grace            time.Duration // from start, within which DEAD does not count
	StopGrace        time.Duration // on purpose
	HangGrace        time.Duration // when it no longer answers
	MemoryMiB        int           // its limit, for the reason of an out-of-memory kill; 0: it has none
}
