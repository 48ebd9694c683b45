package lifecycle

import (
	"fmt"
	"time"
)

// checkStarting watches a run that was not seen working yet.
func (l *look) checkStarting() {
	s, w := l.s, &l.s.Watch
	if l.thaw() {
		return
	}
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
		l.fail(l.ending(run))
		return
	case s.Instance != "" && run.ID != s.Instance:
		l.restartedByEngine()
		return
	}
	if l.thaw() {
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
	if wrong := pick(s.CrashLoop, AutoRestartOn, AutoRestartOff); run.AutoRestart == wrong {
		l.step(DoAutoRestart, StepAutoRestart)
	} else if l.o.Rotating {
		l.step(DoRotate, StepRotate)
	}
	gap := l.p.Interval
	if s.Health != HealthHealthy {
		gap = min(gap, FastInterval)
	}
	l.probe(gap)
}

// judge moves the health of a running service by one check.
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

// thaw lets a run go on that somebody paused through the engine, and says whether it had to.
func (l *look) thaw() bool {
	if !l.o.Run.Frozen {
		return false
	}
	l.s.Health, l.s.Reason = HealthSuspect, "it was paused from outside uws, and is let go on"
	if out := l.failedStep(StepLaunch); out != nil {
		l.s.Reason += ", which failed and is tried again: " + out.Text
	}
	l.step(DoLaunch, StepLaunch)
	return true
}

// restartedByEngine takes note of a run that the engine started before we saw the end of the one before. Of the
// restarts only the newest is known to be recent.
func (l *look) restartedByEngine() {
	s, before := l.s, l.o.Run.Before
	cause, reason := Exited, "it ended"
	if before.Seen {
		cause, reason = l.ending(Run{ExitCode: &before.ExitCode, OOM: &before.OOM})
		l.ExitCode, l.OOM = &before.ExitCode, &before.OOM
	}
	s.Restarts += max(1, l.unseen)
	l.count(cause)
	if l.looping(reason) {
		return
	}
	how := "was restarted by the engine"
	switch {
	case l.unseen == 0: // the engine does not count these
		how = "was started again from outside uws, or with its engine"
	case l.unseen > 1:
		how += fmt.Sprintf(" %d times", l.unseen)
	}
	l.adopt(reason + ", and " + how)
}

// startedByEngine takes note of a run that followed on an end that we saw.
func (l *look) startedByEngine() {
	l.s.Restarts += 1 + l.unseen
	l.adopt(fmt.Sprintf("restart attempt %d, by the engine: %s", len(l.s.Failures), l.s.Reason))
}

// adopt watches a run that we did not start.
func (l *look) adopt(reason string) {
	l.s.Instance, l.s.NextRestartAt = "", time.Time{}
	l.s.Watch.LastProbeAt, l.s.Watch.Sent = time.Time{}, 0
	l.to(Starting, HealthStarting, reason)
}

// fail records one failure and plans the restart that follows it.
func (l *look) fail(cause Cause, reason string) {
	s, run := l.s, l.o.Run
	l.count(cause)
	if run.Running {
		s.Instance = run.ID // to be taken down
	} else {
		s.Ended = run.ID
		l.ExitCode, l.OOM = run.ExitCode, run.OOM
	}
	if run.Restarting { // the engine has counted the restart that is about to come
		s.Restarts += max(0, l.unseen-1)
	}
	if l.looping(reason) {
		return
	}
	if run.Restarting {
		s.NextRestartAt = time.Time{}
	} else {
		s.NextRestartAt = l.now.Add(spread(restartDelay(len(s.Failures)), l.r))
	}
	l.to(Restarting, HealthUnhealthy, reason)
}

// count takes note of a failure.
func (l *look) count(cause Cause) {
	l.s.Watch.Cause, l.s.HealthySince = cause, time.Time{}
	l.s.Failures = append(inWindow(l.s.Failures, l.now), l.now)
}

// looping enters CRASH_LOOP when there were too many failures, and says whether there were.
func (l *look) looping(reason string) bool {
	s, n := l.s, len(l.s.Failures)
	if !s.CrashLoop && n < CrashLoopAt {
		return false
	}
	what := fmt.Sprintf("crash loop, %d failures within %d minutes", n, int(Window.Minutes()))
	if s.CrashLoop {
		what = "still in a crash loop"
	}
	s.CrashLoop = true
	s.NextRestartAt = l.now.Add(CrashLoopRetry)
	l.to(CrashLoop, HealthUnhealthy, fmt.Sprintf("%s, tried again every %d minutes: %s", what, int(CrashLoopRetry.Minutes()), reason))
	return true
}

// check is the newest check, if it is about the present run.
func (l *look) check() *Check {
	if c := l.o.Check; c != nil && c.Instance == l.o.Run.ID {
		return c
	}
	return nil
}

// probe sends the next probe gap after the start of the last one, or after the run was first seen.
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

// inWindow are the failures that still count, in a slice of its own.
func inWindow(failures []time.Time, now time.Time) []time.Time {
	kept := make([]time.Time, 0, len(failures)+1)
	for _, f := range failures {
		if now.Sub(f) < Window {
			kept = append(kept, f)
		}
	}
	return kept
}

// ending says in words how a run ended.
func (l *look) ending(run Run) (Cause, string) {
	switch {
	case run.OOM != nil && *run.OOM:
		limit := "it may"
		if l.p.MemoryMiB > 0 {
			limit = fmt.Sprintf("its limit of %d MiB", l.p.MemoryMiB)
		}
		return OutOfMemory, "it was killed because it used more memory than " + limit
	case run.ExitCode == nil:
		return Exited, "it ended while nobody watched"
	}
	how := fmt.Sprintf("it exited with code %d", *run.ExitCode)
	if *run.ExitCode > 128 {
		how = fmt.Sprintf("it was ended by signal %d", *run.ExitCode-128)
	}
	if run.AutoRestart == AutoRestartOn && !run.Restarting { // the engine would have restarted a crashed one
		how = "it was stopped from outside uws: " + how
	}
	return Exited, how
}

func pick[T any](cond bool, yes, no T) T {
	if cond {
		return yes
	}
	return no
}
