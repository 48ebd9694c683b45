package lifecycle

import (
	"fmt"
	"time"
)

func (l *look) checkStarting() {
	s, w := l.s, &l.s.Watch
	if s.Health == HealthUnhealthy { // an earlier attempt at the launch had failed
		s.Health, s.Reason = HealthStarting, "started"
	}
	if c := l.check(); c != nil {
		l.Probe = c.Verdict
		switch c.Verdict {
		case OK:
			s.EverHealthy, s.Instance, s.HealthySince = true, l.o.Run.ID, l.now
			l.to(Running, HealthHealthy, "healthy: "+c.Detail)
			return
		case Alive:
			w.GraceUntil = l.now.Add(l.p.Grace)
			s.EverHealthy = true // it answers, so it has data of its own by now
			s.Health, s.Reason = HealthSuspect, "it answers but refuses us: "+c.Detail
		case Dead:
			if !l.now.Before(w.GraceUntil) {
				l.fail(NotReady, fmt.Sprintf("not healthy within %s of its start: %s", l.p.Grace, c.Detail))
				return
			}
		}
	}
	if !l.now.Before(w.GraceUntil) && !l.o.Probing {
		l.fail(NotReady, fmt.Sprintf("not healthy within %s of its start", l.p.Grace))
		return
	}
	l.wake(w.GraceUntil)
	l.probe(min(FirstProbe<<min(w.Sent, 10), FastInterval, l.p.Interval))
}

func (l *look) running() {
	s, run := l.s, l.o.Run
	switch {
	case !run.Running && run.ID == "":
		l.fail(Gone, "its instance is gone, and not by us")
		return
	case !run.Running:
		l.fail(ending(run))
		return
	case s.Instance != "" && run.ID != s.Instance:
		l.restartedByEngine()
		return
	}
	if c := l.check(); c != nil {
		l.judge(c)
		if s.Phase != Running {
			return
		}
	}
	if !s.HealthySince.IsZero() && (len(s.Failures) > 0 || s.CrashLoop) {
		if clean := s.HealthySince.Add(Clean); l.now.Before(clean) {
			l.wake(clean)
		} else {
			s.Failures, s.CrashLoop = nil, false
		}
	}
	gap := l.p.Interval
	if s.Health != HealthHealthy {
		gap = min(gap, FastInterval)
	}
	l.probe(gap)
}

func (l *look) judge(c *Check) {
	s, w := l.s, &l.s.Watch
	l.Probe = c.Verdict
	switch c.Verdict {
	case OK:
		w.OKInARow, w.DeadInARow = w.OKInARow+1, 0
		if s.Health == HealthUnknown || s.Health == HealthSuspect && w.OKInARow >= 2 {
			s.Health, s.Reason = HealthHealthy, "healthy: "+c.Detail
		}
		if s.HealthySince.IsZero() {
			s.HealthySince = l.now
		}
	case Alive:
		w.OKInARow, w.DeadInARow = 0, 0
		s.Health, s.Reason = HealthSuspect, "it answers but refuses us: "+c.Detail
	case Dead:
		w.OKInARow, w.DeadInARow = 0, w.DeadInARow+1
		what := c.Detail
		if l.o.Run.Paused {
			what = "its process is stopped or paused: " + what
		}
		if w.DeadInARow >= l.p.FailureThreshold {
			l.fail(Unresponsive, fmt.Sprintf("%d checks in a row failed: %s", w.DeadInARow, what))
			return
		}
		s.Health = HealthSuspect
		s.Reason = fmt.Sprintf("check failed, %d of %d before a restart: %s", w.DeadInARow, l.p.FailureThreshold, what)
	}
}

func (l *look) restartedByEngine() {
	s := l.s
	s.Failures = append(inWindow(s.Failures, l.now), l.now)
	s.Restarts++
	s.HealthySince, s.Instance = time.Time{}, ""
	s.Watch.LastProbeAt, s.Watch.Sent, s.Watch.Cause = time.Time{}, 0, Exited
	l.to(Starting, HealthStarting, "it ended and was restarted by the engine")
}

func (l *look) fail(cause Cause, reason string) {
	s := l.s
	s.Watch.Cause = cause
	s.Failures = append(inWindow(s.Failures, l.now), l.now)
	s.HealthySince = time.Time{}
	if !l.o.Run.Running {
		s.Ended = l.o.Run.ID
		l.ExitCode, l.OOM = l.o.Run.ExitCode, l.o.Run.OOM
	}
	n := len(s.Failures)
	if s.CrashLoop || n >= CrashLoopAt {
		what := fmt.Sprintf("crash loop, %d failures within %d minutes", n, int(Window.Minutes()))
		if s.CrashLoop {
			what = "still in a crash loop"
		}
		s.CrashLoop = true
		s.NextRestartAt = l.now.Add(CrashLoopRetry)
		l.to(CrashLoop, HealthUnhealthy, fmt.Sprintf("%s, tried again every %d minutes: %s", what, int(CrashLoopRetry.Minutes()), reason))
		return
	}
	s.NextRestartAt = l.now.Add(spread(restartDelay(n), l.r))
	l.to(Restarting, HealthUnhealthy, reason)
}

func (l *look) check() *Check {
	if c := l.o.Check; c != nil && c.Instance == l.o.Run.ID {
		return c
	}
	return nil
}

func (l *look) probe(gap time.Duration) {
	w := &l.s.Watch
	if w.LastProbeAt.IsZero() {
		if l.s.Phase == Starting {
			w.LastProbeAt = l.now // the first one goes out gap from now
		} else {
			w.LastProbeAt = l.now.Add(-gap) // adopted: look at once
		}
	}
	due := w.LastProbeAt.Add(gap)
	switch {
	case l.o.Probing:
	case l.Do != Wait:
		l.wake(due)
	case l.now.Before(due):
		l.wake(due)
	default:
		w.LastProbeAt, w.Sent = l.now, w.Sent+1
		l.Do = DoProbe
	}
}

func inWindow(failures []time.Time, now time.Time) []time.Time {
	kept := make([]time.Time, 0, len(failures)+1)
	for _, f := range failures {
		if now.Sub(f) < Window {
			kept = append(kept, f)
		}
	}
	return kept
}

func ending(run Run) (Cause, string) {
	switch {
	case run.OOM != nil && *run.OOM:
		return OutOfMemory, "it was killed because it used more memory than it may"
	case run.ExitCode == nil:
		return Exited, "it ended while nobody watched"
	case *run.ExitCode > 128:
		return Exited, fmt.Sprintf("it was ended by signal %d", *run.ExitCode-128)
	default:
		return Exited, fmt.Sprintf("it exited with code %d", *run.ExitCode)
	}
}
