package uptime

import (
	"time"

	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
)

// state is what the time of a service counts as.
type state int

const (
	unknown state = iota // not recorded: it is what is missing between records
	healthy
	down
	planned
)

// stateOf returns the state of a service that has been healthy before. What a user asked for is planned only where it is that
// the service does not run: during a start or a restart, it should run and does not.
func stateOf(desired lifecycle.Desired, phase lifecycle.Phase, health lifecycle.Health, code lifecycle.ReasonCode) state {
	switch {
	case desired != lifecycle.WantRunning:
		return planned
	case health.Healthy():
		return healthy
	case health != lifecycle.HealthUnknown:
		return down
	case phase == lifecycle.Running, code == lifecycle.CodeNodeLost, code == lifecycle.CodeNodeRefused:
		return unknown // its node does not answer, or uws could not ask it
	}
	return down
}

// sums are the times that are recorded of a step.
type sums struct{ healthy, down, planned time.Duration }

func (s sums) total() time.Duration { return s.healthy + s.down + s.planned }

// of returns the sum of a state; nil of one that is not recorded.
func (s *sums) of(in state) *time.Duration {
	switch in {
	case healthy:
		return &s.healthy
	case down:
		return &s.down
	case planned:
		return &s.planned
	case unknown:
	}
	return nil
}

// plus returns the sums with others added, which together are at most a step. They would be longer if the clock was set back:
// time that it repeats counts once.
func (s sums) plus(o sums, step time.Duration) sums {
	for _, in := range []state{healthy, down, planned} {
		*s.of(in) += min(*o.of(in), max(0, step-s.total()))
	}
	return s
}

// values are the sums as they are stored, in seconds.
func (s sums) values() []float32 {
	return []float32{float32(s.healthy.Seconds()), float32(s.down.Seconds()), float32(s.planned.Seconds())}
}

// sumsOf returns sums that were stored. The values can be anything.
func sumsOf(values []float32, step time.Duration) sums {
	var s sums
	for i, in := range []state{healthy, down, planned} {
		*s.of(in) = duration(values[i], step)
	}
	return sums{}.plus(s, step)
}

// duration returns stored seconds, from 0 to at most.
func duration(seconds float32, most time.Duration) time.Duration {
	if seconds > 0 && float64(seconds) < most.Seconds() {
		return time.Duration(float64(seconds) * float64(time.Second))
	}
	if seconds > 0 {
		return most
	}
	return 0
}

// rounding is the most that the stored seconds of a day can be wrong, in all: sums are stored with 24 bits.
const rounding = 50 * time.Millisecond

// report returns the sums of a time, of which so much is expected to be there.
func (s sums) report(expected time.Duration) orchestrator.UptimeSums {
	out := orchestrator.UptimeSums{Healthy: s.healthy, Down: s.down, Planned: s.planned}
	if rest := expected - s.total(); rest > rounding {
		out.Unknown = rest
	}
	return out
}
