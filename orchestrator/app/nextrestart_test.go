package app_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
)

// A reason that announces another attempt has its time in nextRestartAt. Beside other reasons there is none, but for a restart
// that waits for its time.
func TestAnnouncedAttemptsHaveATime(t *testing.T) {
	failing := func(times int) func() error {
		return func() error {
			if times--; times >= 0 {
				return driver.Errorf(driver.Transient, "%w", errors.New("no route to host"))
			}
			return nil
		}
	}
	for name, tt := range map[string]struct {
		breaks func(m *machine)
		seen   lifecycle.ReasonCode // at some time with another attempt announced
		phase  lifecycle.Phase      // in the end
	}{
		"fetching fails": {func(m *machine) {
			fail := failing(3)
			m.prepare = func(context.Context, func(driver.Progress)) error {
				<-time.After(2 * time.Second) // an attempt is seen while it is under way
				return fail()
			}
		}, lifecycle.CodePrepareFailed, lifecycle.Running},
		"starting fails": {func(m *machine) {
			fail := failing(3)
			m.startErr = func(driver.Spec) error { return fail() }
		}, lifecycle.CodeStartFailed, lifecycle.Running},
		"it exits at once": {func(m *machine) { m.dieAtOnce = true }, lifecycle.CodeCrashLoop, lifecycle.CrashLoop},
		"nothing fails":    {func(*machine) {}, "", lifecycle.Running},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.machine.set(func() { tt.breaks(w.machine) })
				s := w.launch("q")
				seen := map[lifecycle.ReasonCode]bool{}
				for end := time.Now().Add(time.Minute); time.Now().Before(end); <-time.After(100 * time.Millisecond) {
					s = w.get(s.ID)
					checkAttempt(t, s)
					if s.NextRestartAt != nil && strings.Contains(s.Reason, "tried again") {
						seen[*s.ReasonCode] = true
					}
				}
				if s.Phase != tt.phase || tt.seen != "" && !seen[tt.seen] || (s.NextRestartAt != nil) != (tt.phase == lifecycle.CrashLoop) {
					t.Errorf("in the end %s, next %v: %s; seen %v", s.Phase, s.NextRestartAt, s.Reason, seen)
				}
			})
		})
	}
	t.Run("its data is missing", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			s := w.healthy(w.launch("q").ID)
			w.machine.set(func() { delete(w.machine.volumes, s.Volume); delete(w.machine.instances, s.ID); w.machine.hint(s.ID) })
			for end := time.Now().Add(30 * time.Second); time.Now().Before(end); <-time.After(100 * time.Millisecond) {
				s = w.get(s.ID)
				checkAttempt(t, s)
			}
			if s.Phase != lifecycle.Failed || *s.ReasonCode != lifecycle.CodeDataMissing || s.NextRestartAt != nil {
				t.Errorf("%s, next %v: %s", s.Phase, s.NextRestartAt, s.Reason)
			}
		})
	})
}

// checkAttempt compares the reason of a service with the time of its next attempt.
func checkAttempt(t *testing.T, s *orchestrator.Service) {
	t.Helper()
	announced := strings.Contains(s.Reason, "tried again")
	waits := s.Phase == lifecycle.Restarting || s.Phase == lifecycle.CrashLoop
	if announced && s.NextRestartAt == nil || s.NextRestartAt != nil && !announced && !waits {
		t.Fatalf("%s, next %v: %s", s.Phase, s.NextRestartAt, s.Reason)
	}
	if s.NextRestartAt != nil && s.NextRestartAt.After(time.Now().Add(lifecycle.MaxStoredDeadline)) {
		t.Fatalf("the next attempt is as late as %v, now %v", s.NextRestartAt, time.Now())
	}
}
