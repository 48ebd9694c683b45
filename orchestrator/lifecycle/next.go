package lifecycle

import (
	"cmp"
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
		if out.Step == StepSetUp { // the next probe tells whether that was all
			w.NotSetUp = false
			w.LastProbeAt = l.now.Add(-l.p.Interval)
		}
		switch out.Fault {
		case NoFault:
			w.Errors, w.RetryAt = 0, time.Time{}
			if out.Step == StepPrepare || out.Step == StepLaunch {
				w.Prepared, w.Unstartable = true, false
			}
		case Cancelled:
			w.RetryAt = time.Time{}
		default:
			w.Errors++
			w.RetryAt = l.now.Add(retryDelay(w.Errors))
			w.Unstartable = w.Unstartable || out.Unstartable
		}
	}
	if l.o.NodeDown {
		return
	}
	l.s.ObservedGeneration = l.o.Run.Generation
	if l.o.Run.ID == "" {
		return
	}
	if l.o.Run.Running && l.o.Run.ID != w.Instance {
		*w = Watch{Instance: l.o.Run.ID, GraceUntil: l.now.Add(l.p.Grace), Began: l.now, Prepared: true, Cause: w.Cause}
	}
	if n := l.o.Run.Restarts; n < l.s.EngineRestarts { // the engine has reset its count
		l.unseen = n
	} else {
		l.unseen = n - l.s.EngineRestarts
	}
	l.s.EngineRestarts = l.o.Run.Restarts
}

// present reports whether there is something to stop: a run, or one that the engine is about to start.
func (r Run) present() bool { return r.Running || r.Restarting }

// to changes the phase, the health and the reason, and asks to be called again.
func (l *look) to(phase Phase, health Health, code ReasonCode, reason string) {
	l.s.Phase, l.s.Health = phase, health
	l.say(code, reason)
	l.Do = DoLookOver
}

func (l *look) say(code ReasonCode, reason string) {
	l.s.ReasonCode, l.s.Reason, l.s.Params = code, reason, Params{}
}

// sayFailed gives the failure of a step as the reason. usual is the code of a failure that has none of its own.
func (l *look) sayFailed(out *Outcome, usual ReasonCode, reason string) {
	l.say(cmp.Or(out.Code, usual), reason)
	l.s.Params = l.stepParams(out)
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
		if l.s.Phase != Restarting {
			l.again(step)
			l.s.NextRestartAt = time.Time{}
		}
	}
}

// again replaces a reason that announces the attempt which begins now.
func (l *look) again(step Step) {
	if l.s.Watch.Errors == 0 || l.s.NextRestartAt.IsZero() {
		return
	}
	what := map[Step]string{StepPrepare: "fetching the engine", StepLaunch: "starting", StepStop: "stopping", StepRemove: "removing"}[step]
	if l.s.ReasonCode == CodePausedOutside {
		what = "it was paused from outside uws; unpausing"
	}
	l.s.Reason, l.s.Params.FailedAttempts = fmt.Sprintf("%s again; failed attempts: %d", what, l.s.Watch.Errors), l.s.Watch.Errors
}

// retries shows when the step that failed is tried again.
func (l *look) retries() {
	l.s.NextRestartAt = l.s.Watch.RetryAt
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
		l.to(Removing, HealthUnknown, CodeRemoveRequested, "removal requested")
		return
	}
	done := l.o.Outcome != nil && l.o.Outcome.Step == StepRemove && l.o.Outcome.Fault == NoFault
	switch {
	case done, !l.o.Placed && l.o.Busy == NoStep:
		l.Do = DoForget
		return
	case l.o.NodeDown && l.o.Busy == NoStep:
		l.say(CodeRemoveRequested, "removal requested; it goes on when the node is back")
		return
	}
	if out := l.failedStep(StepRemove); out != nil {
		l.sayFailed(out, CodeRemoveFailed, "removal failed and is tried again: "+out.Text)
		l.retries()
	}
	l.Grace = l.p.StopGrace
	l.step(DoRemove, StepRemove)
}

// LoseNode returns the state of a service whose node cannot be reached any more. code is NODE_LOST or NODE_REFUSED. changed
// is false if that is known already.
func LoseNode(s State, code ReasonCode, node string) (lost State, changed bool) {
	if s.Health == HealthUnknown || s.Phase == Failed {
		return s, false
	}
	s.Health, s.ReasonCode, s.Reason, s.Params = HealthUnknown, code, "node "+node+" "+NodeTrouble(code), Params{}
	return s, true
}

// frozen keeps the state of a service whose node does not answer, except for a request to stop. LoseNode set its health.
func (l *look) frozen() {
	s := l.s
	if s.Desired == WantStopped && s.Phase != Stopping && s.Phase != Stopped {
		l.to(Stopping, HealthUnknown, CodeStopRequested, "stop requested; it goes on when the node is back")
	}
}

func (l *look) stop() {
	s := l.s
	if s.Phase != Stopping && s.Phase != Stopped {
		l.to(Stopping, HealthUnknown, CodeStopRequested, "stop requested")
		return
	}
	if s.Phase == Stopped && l.o.Busy == StepCopy {
		return
	}
	if !l.o.Run.present() && l.o.Busy == NoStep {
		s.Ended, s.NextRestartAt, s.HandledGeneration = l.o.Run.ID, time.Time{}, s.Generation
		switch {
		case s.Phase != Stopped:
			l.to(Stopped, HealthUnknown, CodeStopped, "stopped on request")
		case l.o.Copy:
			l.Do = DoCopy
		}
		return
	}
	if out := l.failedStep(StepStop); out != nil {
		l.sayFailed(out, CodeStopFailed, "stopping failed and is tried again: "+out.Text)
		l.retries()
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
	l.reset()
	switch {
	case !l.o.Placed || s.Phase == Pending:
		l.to(Pending, HealthUnknown, CodeStartRequested, "start requested")
	case l.o.Run.present():
		l.restart()
	default:
		l.start(CodeStartRequested, "start requested")
	}
}

// reset drops what failed so far and what was planned for it.
func (l *look) reset() {
	s := l.s
	s.Failures, s.CrashLoop, s.NextRestartAt = nil, false, time.Time{}
	s.Outside, s.Undone = false, nil
	s.Watch.Errors, s.Watch.RetryAt = 0, time.Time{}
}

// restart stops the current run on request, so that a new one starts.
func (l *look) restart() {
	l.s.NextRestartAt, l.s.Instance = l.now, l.o.Run.ID
	l.to(Restarting, HealthUnknown, CodeRestartRequested, "restart requested")
}

// start enters STARTING; whatever ran before has been dealt with.
func (l *look) start(code ReasonCode, reason string) {
	l.s.Ended, l.s.NextRestartAt, l.s.Outside = l.o.Run.ID, time.Time{}, false
	l.to(Starting, HealthStarting, code, reason)
}

func (l *look) run() {
	if l.o.Busy == StepCopy {
		return
	}
	if !l.o.Placed && l.s.Phase != Pending && l.s.Phase != Failed {
		l.to(Pending, HealthUnknown, CodeStartRequested, "start requested")
		return
	}
	switch l.s.Phase {
	case Pending:
		l.pending()
	case Starting:
		l.starting()
	case Running:
		l.running()
	case Restarting, CrashLoop:
		l.restarting()
	case Failed:
		l.failed()
	case Stopping, Stopped:
		// Wanted running again before the stop was taken note of.
		switch {
		case l.o.Busy != NoStep:
		case l.o.Run.present():
			l.restart()
		default:
			l.start(CodeStartRequested, "start requested")
		}
	}
}

// failed takes up a service again whose data was missing and is back.
func (l *look) failed() {
	switch {
	case l.s.ReasonCode != CodeDataMissing || !l.o.DataBack:
	case l.o.Run.Running:
		l.adopt(CodeDataBack, "its data is back, and it runs")
	default:
		l.start(CodeDataBack, "its data is back; starting")
	}
}

func (l *look) pending() {
	s := l.s
	switch {
	case !l.o.Placed && l.o.Unplaced == "":
		l.Do = DoPlace
		return
	case !l.o.Placed:
		l.say(CodeWaitingForNode, l.o.Unplaced)
		return
	case l.o.NodeDown && l.o.Movable:
		l.Do = DoUnplace
		return
	case l.o.NodeDown:
		l.say(CodeWaitingForNode, "waiting for its node to come back")
		return
	case s.Watch.Prepared:
		l.start(CodePrepared, "the engine is ready; starting")
		return
	}
	if out := l.failedStep(StepPrepare); out != nil {
		if out.Fault == Fatal {
			l.to(Failed, HealthUnhealthy, "", "")
			l.sayFailed(out, CodePrepareFailed, out.Text)
			return
		}
		l.sayFailed(out, CodePrepareFailed, "fetching the engine failed and is tried again: "+out.Text)
		l.retries()
	} else if s.Watch.Errors == 0 {
		l.say(CodePreparing, "fetching the engine")
	}
	l.step(DoPrepare, StepPrepare)
}

// missingData names the ways out of it.
const missingData = ". Bring the volume back, or restore a copy of it: the service then starts by itself. Or remove the service."

func (l *look) starting() {
	s, run := l.s, l.o.Run
	if out := l.failedStep(StepLaunch); out != nil {
		switch out.Fault {
		case DataMissing:
			l.to(Failed, HealthUnhealthy, CodeDataMissing, "data missing: "+out.Text+missingData)
		case Fatal:
			l.to(Failed, HealthUnhealthy, "", "")
			l.sayFailed(out, CodeStartFailed, out.Text)
		default:
			s.Health = HealthUnhealthy
			l.sayFailed(out, CodeStartFailed, "starting failed and is tried again: "+out.Text)
			l.retries()
			l.wake(s.Watch.RetryAt)
		}
		return
	}
	switch {
	case l.o.Waits:
	case l.outdated():
		l.replace()
	case run.Running && l.unseen > 0:
		l.restartedByEngine()
	case run.Running:
		l.checkStarting()
	case run.ID != "" && run.ID != s.Ended:
		if l.o.Busy == NoStep { // while a launch is under way the newest run may be about to be replaced
			l.ended(run)
		}
	case s.Watch.Unstartable:
		l.replace()
	default:
		l.step(DoLaunch, StepLaunch)
	}
}

// restarting stops what still runs, waits until NextRestartAt, and starts a new run.
func (l *look) restarting() {
	s := l.s
	requested := !s.Outside && len(s.Failures) == 0
	switch {
	case l.outdated():
		l.reset()
		l.start(CodeSpecChanged, "its spec was changed; replacing its instance")
	case l.o.Run.Running && l.o.Run.ID != s.Instance && s.Phase == Restarting && l.o.Busy == NoStep:
		l.startedByEngine()
	case l.o.Run.Restarting && s.Phase == Restarting && !requested: // its delays are the engine's
		if l.o.Run.ID != s.Ended { // it has restarted it, and that run ended before we looked
			s.Restarts++
			l.died(l.o.Run)
		}
	case l.o.Run.present():
		l.Grace = l.p.HangGrace
		if requested {
			l.Grace = l.p.StopGrace
		}
		if out := l.failedStep(StepStop); out != nil {
			l.sayFailed(out, CodeStopFailed, "stopping it failed and is tried again: "+out.Text)
			l.retries()
		}
		l.step(DoStop, StepStop)
	case l.o.Busy != NoStep:
	case s.Outside && l.now.Before(l.settled()):
		s.NextRestartAt = l.settled()
		l.wake(s.NextRestartAt)
	case l.now.Before(s.NextRestartAt):
		s.Ended = l.o.Run.ID
		l.wake(s.NextRestartAt)
	case requested:
		l.start(CodeRestartRequested, "restarting on request")
	case s.Outside:
		l.undo()
	default:
		s.Restarts++
		params := s.Params
		l.start(s.ReasonCode, fmt.Sprintf("restart attempt %d: %s", len(s.Failures), s.Reason))
		s.Params = params
	}
}
