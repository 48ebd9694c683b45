package reconcile

import (
	"slices"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/probe"
)

const (
	statsInterval = time.Minute // between questions
	statsKept     = 3 * statsInterval
)

// reports is what the engine of one instance reported of itself.
type reports struct {
	instance string
	asked    time.Time // start of the newest probe that asked and was answered
	newest   []orchestrator.EngineStat
}

// statsDue reports whether the probe of an instance that begins now is to ask for stats: the one closest to the interval.
func (c *controller) statsDue(instance string, between time.Duration, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reports.instance != instance || now.Sub(c.reports.asked) >= statsInterval-between/2
}

// reported keeps the stats in the result of a probe that asked an instance for them.
func (c *controller) reported(instance string, r probe.Result) {
	if r.Verdict != probe.OK {
		return
	}
	all := make([]orchestrator.EngineStat, len(r.Stats))
	for i, s := range r.Stats {
		all[i] = orchestrator.EngineStat{Name: s.Name, Unit: orchestrator.StatUnit(s.Unit), Value: s.Value, At: r.At.UTC()}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(all) == 0 && c.reports.instance == instance { // it may have been busy
		all = c.reports.newest
	}
	c.reports = reports{instance, r.At, all}
}

// EngineStats implements [orchestrator.EngineStatReader].
func (r *Reconciler) EngineStats(s *orchestrator.Service) []orchestrator.EngineStat {
	c := r.controller(s.ID)
	if c == nil {
		return nil
	}
	return c.stats(time.Now())
}

// stats returns the newest stats of the present instance, none if it does not run or they are too old.
func (c *controller) stats(now time.Time) []orchestrator.EngineStat {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase != lifecycle.Running || c.reports.instance != c.instance {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(c.reports.newest), func(s orchestrator.EngineStat) bool { return now.Sub(s.At) > statsKept })
}
