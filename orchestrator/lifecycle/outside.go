package lifecycle

import (
	"fmt"
	"time"
)

// keepDown tells people how to get what they may have wanted.
const keepDown = "; call stopService to keep it stopped"

// died deals with a run that ended by itself.
func (l *look) died(run Run) {
	cause, code, reason := l.ending(run)
	l.fail(cause, code, reason, l.endParams(run))
}

// ended deals with a run that ended: by itself, or by an act from outside.
func (l *look) ended(run Run) {
	if run.Act == NoAct || run.Restarting {
		l.died(run)
		return
	}
	l.s.Ended, l.ExitCode, l.OOM = run.ID, run.ExitCode, run.OOM
	_, _, how := l.ending(run)
	defer func() { l.s.Params = l.endParams(run) }()
	switch run.Act {
	case ActEngine:
		l.down(CodeEngineRestarted, "its engine was restarted, and left it stopped: "+how)
	case ActKill:
		l.down(CodeKilledOutside, "it was killed from outside uws: "+how)
	default:
		l.down(CodeStoppedOutside, "it was stopped from outside uws: "+how)
	}
}

// down plans to undo an act from outside. It is no failure.
func (l *look) down(code ReasonCode, reason string) {
	s := l.s
	s.Undone = inWindow(s.Undone, l.now)
	delay := undoDelay(len(s.Undone))
	if code == CodeEngineRestarted {
		delay = 0
	} else {
		reason += keepDown
	}
	s.Outside, s.HealthySince = true, time.Time{}
	s.NextRestartAt = later(l.now.Add(max(delay, EngineSettle)), l.settled())
	l.to(Restarting, HealthUnhealthy, code, reason)
}

// settled is when the engine has answered for long enough.
func (l *look) settled() time.Time {
	if l.o.Run.EngineSince.IsZero() {
		return time.Time{}
	}
	return l.o.Run.EngineSince.Add(EngineSettle)
}

// undo starts what was stopped or removed from outside. A restart of the engine counts for no delay.
func (l *look) undo() {
	s := l.s
	code, reason, params := s.ReasonCode, s.Reason, s.Params
	if l.o.Run.Act == ActEngine {
		code, reason, params = CodeEngineRestarted, "its engine was restarted, and left it stopped", Params{}
	}
	if code != CodeEngineRestarted {
		s.Undone = append(inWindow(s.Undone, l.now), l.now)
	}
	s.Restarts++
	l.s.Watch.Cause = Outside
	l.start(code, "started again: "+reason)
	s.Params = params
}

// cameBack takes note of a run that people or a restart of the engine started.
func (l *look) cameBack() {
	l.s.HealthySince = time.Time{}
	if l.o.Run.Act == ActEngine {
		l.adopt(CodeEngineRestarted, "it was started again with its engine")
		return
	}
	l.adopt(CodeRestartedOutside, "it was restarted from outside uws")
}

// thaw lets a run go on that somebody paused through the engine, and reports whether it was paused.
func (l *look) thaw() bool {
	s, w := l.s, &l.s.Watch
	if !l.o.Run.Frozen {
		if s.ReasonCode == CodePausedOutside {
			s.NextRestartAt = time.Time{}
		}
		if w.Paused {
			w.Paused = false
			if s.Phase == Starting { // the pause was no part of its start
				l.extendGrace()
			}
		}
		return false
	}
	// The reason stays until a check is good, and a further pause may come before. One that is still seen after the run was
	// unpaused is a further one too.
	unpaused := l.o.Outcome != nil && l.o.Outcome.Step == StepLaunch && l.o.Outcome.Fault == NoFault
	if known := w.Paused || !s.NextRestartAt.IsZero(); s.ReasonCode != CodePausedOutside || !known || unpaused {
		s.Undone = inWindow(s.Undone, l.now)
		s.NextRestartAt = later(l.now.Add(undoDelay(len(s.Undone))), l.settled())
		s.Undone = append(s.Undone, l.now)
		s.Health = HealthSuspect
		when := ""
		if wait := s.NextRestartAt.Sub(l.now).Round(time.Second); wait > 0 {
			when = fmt.Sprintf(" in %s", wait)
		}
		l.say(CodePausedOutside, "it was paused from outside uws, and is unpaused"+when+keepDown)
		l.Told = true
	}
	w.Paused = true
	if out := l.failedStep(StepLaunch); out != nil {
		l.say(CodePausedOutside, fmt.Sprintf("it was paused from outside uws; unpausing failed and is tried again: %s", out.Text))
		s.Params = l.stepParams(out)
		l.retries()
	}
	if l.now.Before(s.NextRestartAt) {
		l.wake(s.NextRestartAt)
		return true
	}
	l.step(DoLaunch, StepLaunch)
	return true
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
