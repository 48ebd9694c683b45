package reconcile

import (
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
)

// Times that were stored may lie far off when the clock was set meanwhile: none makes a service wait for
// more than five minutes, or counts a failure that is yet to come for longer than one that was now.
func TestStoredTimesAreBroughtWithinReason(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, shift := range map[string]time.Duration{"clock set back an hour": time.Hour, "clock set forward an hour": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			next, since := now.Add(shift+4*time.Second), now.Add(shift-time.Minute)
			s := stateOf(&ent.Service{Phase: lifecycle.Restarting, NextRestartAt: &next, HealthySince: &since,
				Failures: []time.Time{now.Add(shift), now.Add(shift + time.Second)}}, now)
			if wait := s.NextRestartAt.Sub(now); wait > lifecycle.MaxStoredDeadline {
				t.Errorf("waits %s", wait)
			}
			if s.HealthySince.After(now) {
				t.Errorf("healthy since %s, which is yet to come", s.HealthySince)
			}
			for _, f := range s.Failures {
				if f.After(now) {
					t.Errorf("failure at %s, which is yet to come", f)
				}
			}
		})
	}
}
