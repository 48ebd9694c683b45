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
		s.Health = HealthStarting
		s.NextRestartAt = time.Time{}
		l.say(CodeStarted, "started")
	}
	if c := l.check(); c != nil {
		l.Probe, w.NotSetUp = c.Verdict, c.NotSetUp
		switch c.Verdict {
		case OK:
			s.EverHealthy, s.Instance, s.HealthySince, s.LogLine = true, l.o.Run.ID, l.now, ""
			l.to(Running, HealthHealthy, CodeHealthy, c.Detail)
			return
		case NotAsked:
			l.extendGrace()
			l.notAsked(c)
		case Alive:
			l.extendGrace()
			if !c.NotSetUp {
				s.EverHealthy = true // it answers, so it has data of its own by now
				l.refuses(c)
			}
		case Dead:
			if !l.now.Before(w.GraceUntil) {
				l.fail(NotReady, CodeNotReady, fmt.Sprintf("not healthy within %s of its start: %s", l.p.Grace, c.Detail), Params{})
				return
			}
			if s.Health == HealthUnknown { // it could not be asked before
				s.Health = HealthStarting
				l.say(CodeProbeFailed, "no good answer yet: "+c.Detail)
			}
		}
	}
	if l.setUp() {
		return
	}
	if !l.now.Before(w.GraceUntil) && !l.o.Probing {
		l.fail(NotReady, CodeNotReady, fmt.Sprintf("not healthy within %s of its start", l.p.Grace), Params{})
		return
	}
	l.wake(w.GraceUntil)
	// A sixteenth of the time that the start has taken so far, so that it is noticed at most 6 % late however long it
	// takes. Delays that double, from FirstProbe to FastInterval, would notice it up to 100 % late: a PostgreSQL that
	// recovers in 0.8 s would be seen after 1.55 s.
	l.probe(min(max(FirstProbe, l.now.Sub(w.Began)/16), FastInterval, l.p.Interval))
}

// setUp sets up an engine whose newest check asked for it, and reports whether that is under way. There is no probe
// meanwhile.
func (l *look) setUp() bool {
	if out := l.failedStep(StepSetUp); out != nil {
		l.s.Health = HealthSuspect
		l.say(CodeProbeRefused, "it answers but is not set up yet: "+out.Text)
	}
	if l.s.Watch.NotSetUp && l.o.Busy == NoStep {
		l.step(DoSetUp, StepSetUp)
	}
	return l.o.Busy == StepSetUp || l.Do == DoSetUp
}

func (l *look) running() {
	s, run := l.s, l.o.Run
	switch {
	case l.copied() && !run.present():
		l.start(CodeStoppedForBackup, "it was stopped for a backup; starting again")
		return
	case !run.Running && run.ID == "":
		l.down(CodeRemovedOutside, "it was removed from outside uws")
		return
	case !run.Running:
		l.ended(run)
		return
	case l.outdated() && !l.o.Waits:
		l.reset()
		l.to(Restarting, HealthUnknown, CodeSpecChanged, "its spec was changed")
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
	if l.setUp() {
		return
	}
	if l.o.Copy && l.o.Busy == NoStep {
		if !l.o.Probing { // one that is under way would be answered late, and count against it
			l.Do = DoCopy
		}
		return
	}
	if wrong := pick(s.CrashLoop, AutoRestartOn, AutoRestartOff); run.AutoRestart == wrong {
		l.step(DoAutoRestart, StepAutoRestart)
	} else if l.o.Rotating {
		l.step(DoRotate, StepRotate)
	} else if l.o.Unmarked && s.Health == HealthHealthy {
		l.step(DoMark, StepMark)
	}
	gap := l.p.Interval
	if s.Health != HealthHealthy {
		gap = min(gap, FastInterval)
	}
	l.probe(gap)
}

// copied reports whether a copy of its data has just ended.
func (l *look) copied() bool { return l.o.Outcome != nil && l.o.Outcome.Step == StepCopy }

// judge moves the health of a running service by one check.
func (l *look) judge(c *Check) {
	s, w := l.s, &l.s.Watch
	l.Probe, w.NotSetUp = c.Verdict, c.NotSetUp
	switch c.Verdict {
	case OK:
		w.OKInARow, w.DeadInARow = w.OKInARow+1, 0
		if s.Health == HealthUnknown || s.Health == HealthSuspect && w.OKInARow >= 2 {
			s.Health = HealthHealthy
			l.say(CodeHealthy, c.Detail)
		}
		if s.HealthySince.IsZero() {
			s.HealthySince = l.now
		}
	case Alive:
		w.OKInARow, w.DeadInARow = 0, 0
		l.refuses(c)
	case NotAsked:
		l.notAsked(c)
	case Dead:
		w.OKInARow, w.DeadInARow = 0, w.DeadInARow+1
		what, checks := c.Detail, Params{FailedChecks: w.DeadInARow, FailureThreshold: l.p.FailureThreshold}
		if l.o.Run.Paused {
			what = "its process is stopped or paused: " + what
		}
		if w.DeadInARow >= l.p.FailureThreshold {
			l.fail(Unresponsive, CodeUnresponsive, fmt.Sprintf("%d checks in a row failed: %s", w.DeadInARow, what), checks)
			return
		}
		s.Health = HealthSuspect
		l.say(CodeProbeFailed, fmt.Sprintf("check failed, %d of %d before a restart: %s", w.DeadInARow, l.p.FailureThreshold, what))
		s.Params = checks
	}
}

// refuses takes note of a check that the engine answered with a refusal.
func (l *look) refuses(c *Check) {
	code, reason := c.Code, "it answers but "+c.Detail
	if code == "" {
		code, reason = CodeProbeRefused, "it answers but refuses us: "+c.Detail
	}
	l.s.Health = HealthSuspect
	l.say(code, reason)
}

// notAsked takes note of a check that did not reach the service. It counts for nothing.
func (l *look) notAsked(c *Check) {
	l.s.Health = HealthUnknown
	l.say(CodeProbeNotAsked, c.Detail)
}

// extendGrace starts the grace period again. It outlasts the wait for the next probe.
func (l *look) extendGrace() {
	l.s.Watch.GraceUntil = l.now.Add(max(l.p.Grace, 2*FastInterval))
}

// restartedByEngine takes note of a run that the engine started before we saw the end of the one before. Of the
// restarts only the newest is known to be recent.
func (l *look) restartedByEngine() {
	s, before := l.s, l.o.Run.Before
	if l.unseen == 0 && l.o.Run.AutoRestart != AutoRestartNever {
		l.cameBack()
		return
	}
	cause, code, reason, params := Exited, CodeExited, "it ended", Params{}
	if before.Seen {
		run := Run{ExitCode: &before.ExitCode, OOM: &before.OOM, LogWord: l.o.Run.LogWord}
		cause, code, reason = l.ending(run)
		params = l.endParams(run)
		l.ExitCode, l.OOM = &before.ExitCode, &before.OOM
		s.LogLine, l.LogLine = l.o.Run.LogLine, l.o.Run.LogLine
	}
	s.Restarts += max(1, l.unseen)
	l.count(cause)
	if l.looping(reason, params) {
		return
	}
	how := "was restarted by the engine"
	if l.unseen > 1 {
		how += fmt.Sprintf(" %d times", l.unseen)
	}
	l.adopt(code, reason+", and "+how)
	s.Params = l.counted(params)
}

// startedByEngine takes note of a run that followed on an end that we saw.
func (l *look) startedByEngine() {
	if l.s.Outside {
		l.cameBack()
		return
	}
	l.s.Restarts += 1 + l.unseen
	params := l.s.Params
	l.adopt(l.s.ReasonCode, fmt.Sprintf("restart attempt %d, by the engine: %s", len(l.s.Failures), l.s.Reason))
	l.s.Params = params
}

// adopt watches a run that we did not start.
func (l *look) adopt(code ReasonCode, reason string) {
	l.s.Instance, l.s.NextRestartAt, l.s.Outside = "", time.Time{}, false
	l.s.Watch.LastProbeAt, l.s.Watch.Sent = time.Time{}, 0
	l.to(Starting, HealthStarting, code, reason)
}

// fail records one failure and plans the restart that follows it.
func (l *look) fail(cause Cause, code ReasonCode, reason string, params Params) {
	s, run := l.s, l.o.Run
	s.Outside = false
	l.count(cause)
	if run.Running {
		s.Instance = run.ID // to be taken down
	} else {
		s.Ended = run.ID
		l.ExitCode, l.OOM = run.ExitCode, run.OOM
		s.LogLine, l.LogLine = run.LogLine, run.LogLine
	}
	if run.Restarting { // the engine has counted the restart that is about to come
		s.Restarts += max(0, l.unseen-1)
	}
	if l.looping(reason, params) {
		return
	}
	if run.Restarting {
		s.NextRestartAt = time.Time{}
	} else {
		s.NextRestartAt = l.now.Add(spread(restartDelay(len(s.Failures)), l.r))
	}
	l.to(Restarting, HealthUnhealthy, code, reason)
	s.Params = l.counted(params)
}

// counted returns the parameters of a failure with how many there were.
func (l *look) counted(p Params) Params {
	p.Failures = len(l.s.Failures)
	return p
}

// count takes note of a failure.
func (l *look) count(cause Cause) {
	l.s.Watch.Cause, l.s.HealthySince = cause, time.Time{}
	l.s.Failures = append(inWindow(l.s.Failures, l.now), l.now)
}

// looping enters CRASH_LOOP if there were too many failures in the window, and reports whether it did.
func (l *look) looping(reason string, params Params) bool {
	s, n := l.s, len(l.s.Failures)
	if !s.CrashLoop && n < CrashLoopAt {
		return false
	}
	text := fmt.Sprintf("tried again every %d minutes: %s", int(CrashLoopRetry.Minutes()), reason)
	if !s.CrashLoop {
		text = fmt.Sprintf("%d failures within %d minutes, %s", n, int(Window.Minutes()), text)
	}
	s.CrashLoop = true
	s.NextRestartAt = l.now.Add(CrashLoopRetry)
	l.to(CrashLoop, HealthUnhealthy, CodeCrashLoop, text)
	s.Params = l.counted(params)
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
func (l *look) ending(run Run) (Cause, ReasonCode, string) {
	switch {
	case run.OOM != nil && *run.OOM:
		limit := "it may"
		if l.p.MemoryMiB > 0 {
			limit = fmt.Sprintf("its limit of %d MiB", l.p.MemoryMiB)
		}
		return OutOfMemory, CodeOOMKilled, "it was killed because it used more memory than " + limit
	case run.ExitCode == nil:
		return Exited, CodeExited, "it ended while nobody watched"
	}
	how := fmt.Sprintf("it exited with code %d", *run.ExitCode)
	if *run.ExitCode > 128 {
		how = fmt.Sprintf("it was ended by signal %d", *run.ExitCode-128)
	}
	if run.LogWord != "" {
		return Exited, CodeEngineFatal, how + ", after its log said " + run.LogWord
	}
	return Exited, CodeExited, how
}

func pick[T any](cond bool, yes, no T) T {
	if cond {
		return yes
	}
	return no
}
