package lifecycle

import (
	"fmt"
	"time"
)

// look is one call of Next: the state that is being worked out, and what it is worked out from.
type look struct {
	Decision
	s   *State // the Decision's
	o   Observation
	p   Policy
	now time.Time
	r   float64

	unseen int // restarts by the engine that were not taken note of before
}

// Next decides. r is random in [0, 1) and spreads restart delays. It is pure; calling it again with the
// state it returned and the same observation, less Outcome and Check, leads to a rest after a few calls.
func Next(s State, o Observation, p Policy, now time.Time, r float64) Decision {
	l := &look{Decision: Decision{State: s}, o: o, p: p, now: now, r: r}
	l.s = &l.State
	l.settle()
	switch {
	case s.Desired == WantRemoved:
		l.remove()
	case o.NodeDown && s.Phase != Pending:
		l.frozen()
	case s.Desired == WantStopped:
		l.stop()
	case s.Generation != s.HandledGeneration:
		l.begin()
	default:
		l.run()
	}
	if l.s.Phase != s.Phase { // a new phase is a new step
		l.s.Watch.Errors, l.s.Watch.RetryAt = 0, time.Time{}
	}
	return l.Decision
}

// settle takes note of a step that ended and of a run that is new.
func (l *look) settle() {
	w := &l.s.Watch
	if out := l.o.Outcome; out != nil {
		switch out.Fault {
		case NoFault:
			w.Errors, w.RetryAt = 0, time.Time{}
			if out.Step == StepPrepare || out.Step == StepLaunch {
				w.Prepared = true
			}
		case Cancelled:
			w.RetryAt = time.Time{}
		default:
			w.Errors++
			w.RetryAt = l.now.Add(retryDelay(w.Errors))
		}
	}
	if l.o.NodeDown || l.o.Run.ID == "" {
		return
	}
	if l.o.Run.Running && l.o.Run.ID != w.Instance {
		*w = Watch{Instance: l.o.Run.ID, GraceUntil: l.now.Add(l.p.Grace), Prepared: true, Cause: w.Cause}
	}
	if n := l.o.Run.Restarts; n < l.s.EngineRestarts { // the engine began to count anew
		l.unseen = n
	} else {
		l.unseen = n - l.s.EngineRestarts
	}
	l.s.EngineRestarts = l.o.Run.Restarts
}

// present says whether there is something to stop: a run, or one that the engine is about to start.
func (r Run) present() bool { return r.Running || r.Restarting }

// to changes the phase, the health and the reason, and asks to be called again.
func (l *look) to(phase Phase, health Health, reason string) {
	l.s.Phase, l.s.Health, l.s.Reason = phase, health, reason
	l.Do = DoLookOver
}

func (l *look) wake(at time.Time) {
	if !at.IsZero() && (l.WakeAt.IsZero() || at.Before(l.WakeAt)) {
		l.WakeAt = at
	}
}

// step does one piece of work, unless it is under way or waits for its next attempt; anything else that
// is under way is cancelled first.
func (l *look) step(do Action, step Step) {
	switch {
	case l.o.Busy == step:
	case l.o.Busy != NoStep:
		l.Do = DoCancel
	case l.now.Before(l.s.Watch.RetryAt):
		l.wake(l.s.Watch.RetryAt)
	case l.o.Outcome != nil && l.o.Outcome.Step == step && l.o.Outcome.Fault == NoFault:
		// The engine says that it is done, and what we see says otherwise: no hurry to hear that again.
		l.s.Watch.Errors++
		l.s.Watch.RetryAt = l.now.Add(retryDelay(l.s.Watch.Errors))
		l.wake(l.s.Watch.RetryAt)
	default:
		l.Do = do
	}
}

// failedStep is the outcome, if it is that of a step and bad.
func (l *look) failedStep(step Step) *Outcome {
	if out := l.o.Outcome; out != nil && out.Step == step && out.Fault != NoFault && out.Fault != Cancelled {
		return out
	}
	return nil
}

func (l *look) remove() {
	s := l.s
	if s.Phase != Removing {
		l.to(Removing, HealthUnknown, "removal requested")
		return
	}
	done := l.o.Outcome != nil && l.o.Outcome.Step == StepRemove && l.o.Outcome.Fault == NoFault
	switch {
	case done, !l.o.Placed && l.o.Busy == NoStep:
		l.Do = DoForget
		return
	case l.o.NodeDown && l.o.Busy == NoStep:
		s.Reason = "removal requested; it goes on when the node is back"
		return
	}
	if out := l.failedStep(StepRemove); out != nil {
		s.Reason = "removal failed and is tried again: " + out.Text
	}
	l.Grace = l.p.StopGrace
	l.step(DoRemove, StepRemove)
}

// frozen is a service whose node does not answer. Its health was set to UNKNOWN together with the
// node's own event; only the wish of the user is taken note of.
func (l *look) frozen() {
	s := l.s
	if s.Desired == WantStopped && s.Phase != Stopping && s.Phase != Stopped {
		l.to(Stopping, HealthUnknown, "stop requested; it goes on when the node is back")
	}
}

func (l *look) stop() {
	s := l.s
	if s.Phase != Stopping && s.Phase != Stopped {
		l.to(Stopping, HealthUnknown, "stop requested")
		return
	}
	if !l.o.Run.present() && l.o.Busy == NoStep {
		s.Ended, s.NextRestartAt, s.HandledGeneration = l.o.Run.ID, time.Time{}, s.Generation
		if s.Phase != Stopped {
			l.to(Stopped, HealthUnknown, "stopped on request")
		}
		return
	}
	if out := l.failedStep(StepStop); out != nil {
		s.Reason = "stopping failed and is tried again: " + out.Text
	}
	l.Grace = l.p.StopGrace
	l.step(DoStop, StepStop)
}

// begin answers a request to start or restart.
func (l *look) begin() {
	s := l.s
	switch l.o.Busy {
	case NoStep:
	case StepStop:
		return // let it finish
	default:
		l.Do = DoCancel
		return
	}
	s.HandledGeneration = s.Generation
	s.Failures, s.CrashLoop, s.NextRestartAt = nil, false, time.Time{}
	s.Watch.Errors, s.Watch.RetryAt = 0, time.Time{}
	switch {
	case !l.o.Placed || s.Phase == Pending:
		l.to(Pending, HealthUnknown, "start requested")
	case l.o.Run.present():
		l.replace()
	default:
		l.start("start requested")
	}
}

// replace takes down the present run on request, to start it anew.
func (l *look) replace() {
	l.s.NextRestartAt, l.s.Instance = l.now, l.o.Run.ID
	l.to(Restarting, HealthUnknown, "restart requested")
}

// start enters STARTING; whatever ran before has been dealt with.
func (l *look) start(reason string) {
	l.s.Ended, l.s.NextRestartAt = l.o.Run.ID, time.Time{}
	l.to(Starting, HealthStarting, reason)
}

func (l *look) run() {
	switch l.s.Phase {
	case Pending:
		l.pending()
	case Starting:
		l.starting()
	case Running:
		l.running()
	case Restarting, CrashLoop:
		l.restarting()
	case Stopping, Stopped:
		// Wanted running again before the stop was taken note of.
		switch {
		case l.o.Busy != NoStep:
		case l.o.Run.present():
			l.replace()
		default:
			l.start("start requested")
		}
	}
}

func (l *look) pending() {
	s := l.s
	switch {
	case !l.o.Placed:
		s.Reason = l.o.Unplaced
		return
	case l.o.NodeDown:
		s.Reason = "waiting for its node to come back"
		return
	case s.Watch.Prepared:
		l.start("the engine is ready; starting")
		return
	}
	if out := l.failedStep(StepPrepare); out != nil {
		if out.Fault == Fatal {
			l.to(Failed, HealthUnhealthy, out.Text)
			return
		}
		s.Reason = "fetching the engine failed and is tried again: " + out.Text
	} else if s.Watch.Errors == 0 {
		s.Reason = "fetching the engine"
	}
	l.step(DoPrepare, StepPrepare)
}

func (l *look) starting() {
	s, run := l.s, l.o.Run
	if out := l.failedStep(StepLaunch); out != nil {
		switch out.Fault {
		case DataMissing:
			l.to(Failed, HealthUnhealthy, "data missing: "+out.Text)
		case Fatal:
			l.to(Failed, HealthUnhealthy, out.Text)
		default:
			s.Health, s.Reason = HealthUnhealthy, "starting failed and is tried again: "+out.Text
			l.wake(s.Watch.RetryAt)
		}
		return
	}
	switch {
	case run.Running && l.unseen > 0:
		l.restartedByEngine()
	case run.Running:
		l.checkStarting()
	case run.ID != "" && run.ID != s.Ended:
		if l.o.Busy == NoStep { // while a launch is under way the newest run may be about to be replaced
			l.fail(l.ending(run))
		}
	default:
		l.step(DoLaunch, StepLaunch)
	}
}

// restarting takes down what still runs, waits for the time and starts anew.
func (l *look) restarting() {
	s := l.s
	requested := len(s.Failures) == 0
	switch {
	case l.o.Run.Running && l.o.Run.ID != s.Instance && s.Phase == Restarting && l.o.Busy == NoStep:
		l.startedByEngine()
	case l.o.Run.Restarting && s.Phase == Restarting && !requested: // its delays are the engine's
	case l.o.Run.present():
		l.Grace = l.p.HangGrace
		if requested {
			l.Grace = l.p.StopGrace
		}
		if out := l.failedStep(StepStop); out != nil {
			s.Reason = "stopping it failed and is tried again: " + out.Text
		}
		l.step(DoStop, StepStop)
	case l.o.Busy != NoStep:
	case l.now.Before(s.NextRestartAt):
		s.Ended = l.o.Run.ID
		l.wake(s.NextRestartAt)
	case requested:
		l.start("restarting on request")
	default:
		s.Restarts++
		l.start(fmt.Sprintf("restart attempt %d: %s", len(s.Failures), s.Reason))
	}
}
