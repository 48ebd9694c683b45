package lifecycle

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	t0     = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	policy = Policy{Interval: 30 * time.Second, FailureThreshold: 3, Grace: time.Minute,
		StopGrace: 10 * time.Second, HangGrace: 2 * time.Second, MemoryMiB: 64}
)

const middle = 0.5 // random number that spreads nothing

func ptr[T any](v T) *T { return &v }

// settleDown calls Next until it rests, as the loop does: an outcome and a check count once.
func settleDown(t *testing.T, s State, o Observation, now time.Time) Decision {
	t.Helper()
	for range 10 {
		d := Next(s, o, policy, now, middle)
		old := s.ReasonCode == "" && (s.Phase == Restarting || s.Phase == CrashLoop) // a row older than codes
		if d.State.Reason != s.Reason && !old && !slices.Contains(ReasonCodes(), d.State.ReasonCode) {
			t.Errorf("reason %q has the code %q", d.State.Reason, d.State.ReasonCode)
		}
		if d.Do != DoLookOver {
			return d
		}
		s, o.Outcome, o.Check = d.State, nil, nil
	}
	t.Fatal("Next does not come to rest")
	return Decision{}
}

// States that tests begin with. The run "a" is the present one.
func pending() State { return State{Desired: WantRunning, Phase: Pending, Health: HealthUnknown} }

func starting() State {
	return State{Desired: WantRunning, Phase: Starting, Health: HealthStarting,
		Watch: Watch{Instance: "a", Began: t0, GraceUntil: t0.Add(time.Minute), Prepared: true}}
}

func running() State {
	return State{Desired: WantRunning, Phase: Running, Health: HealthHealthy, Instance: "a", EverHealthy: true,
		HealthySince: t0.Add(-time.Hour), Watch: Watch{Instance: "a", LastProbeAt: t0, Prepared: true}}
}

func with(s State, change func(*State)) State { change(&s); return s }

func suspect(dead int) State {
	return with(running(), func(s *State) { s.Health, s.Watch.DeadInARow = HealthSuspect, dead })
}

// unset is starting, and not set up after that many errors.
func unset(errors int) State {
	return with(starting(), func(s *State) {
		s.Watch.NotSetUp, s.Watch.Errors, s.Watch.LastProbeAt = true, errors, t0
		if errors > 0 {
			s.Watch.RetryAt = t0.Add(time.Second)
		}
	})
}

func notSetUp(o Observation) Observation {
	o = o.check(Alive)
	o.Check.NotSetUp = true
	return o
}

func failures(n int) []time.Time {
	var all []time.Time
	for i := range n {
		all = append(all, t0.Add(time.Duration(i-n)*time.Second))
	}
	return all
}

// Observations.
func up(id string) Observation { return Observation{Placed: true, Run: Run{ID: id, Running: true}} }
func ended(id string, code int) Observation {
	return Observation{Placed: true, Run: Run{ID: id, ExitCode: ptr(code)}}
}
func never() Observation { return Observation{Placed: true} }

func (o Observation) check(v Verdict) Observation {
	o.Check = &Check{Instance: o.Run.ID, Verdict: v, Detail: "seen"}
	return o
}

func (o Observation) out(step Step, fault Fault, text string) Observation {
	o.Outcome = &Outcome{Step: step, Fault: fault, Text: text}
	return o
}

func (o Observation) busy(step Step) Observation { o.Busy = step; return o }
func (o Observation) rotating() Observation      { o.Rotating = true; return o }
func (o Observation) probing() Observation       { o.Probing = true; return o }
func (o Observation) nodeDown() Observation      { o.NodeDown, o.Run = true, Run{}; return o }

type row struct {
	sentence string // of SPEC's "life of a service"
	state    State
	seen     Observation
	at       time.Duration // after t0
	phase    Phase
	health   Health
	do       Action
	also     func(t *testing.T, d Decision)
}

func wakeIn(want time.Duration) func(*testing.T, Decision) {
	return func(t *testing.T, d Decision) {
		t.Helper()
		if got := d.WakeAt.Sub(t0); d.WakeAt.IsZero() || got != want {
			t.Errorf("wakes after %s, want %s", got, want)
		}
	}
}

func reason(part string) func(*testing.T, Decision) {
	return func(t *testing.T, d Decision) {
		t.Helper()
		if !strings.Contains(d.State.Reason, part) {
			t.Errorf("reason %q does not say %q", d.State.Reason, part)
		}
	}
}

// begins is for reasons that must not repeat the phase or the health.
func begins(part string) func(*testing.T, Decision) {
	return func(t *testing.T, d Decision) {
		t.Helper()
		if !strings.HasPrefix(d.State.Reason, part) {
			t.Errorf("reason %q does not begin with %q", d.State.Reason, part)
		}
	}
}

func grace(want time.Duration) func(*testing.T, Decision) {
	return func(t *testing.T, d Decision) {
		t.Helper()
		if d.Grace != want {
			t.Errorf("grace %s, want %s", d.Grace, want)
		}
	}
}

func both(checks ...func(*testing.T, Decision)) func(*testing.T, Decision) {
	return func(t *testing.T, d Decision) {
		t.Helper()
		for _, c := range checks {
			c(t, d)
		}
	}
}

func TestLifeOfAService(t *testing.T) {
	for _, rows := range [][]row{launchRows, probeRows, failRows, engineRows, stopRows, removeRows, nodeRows, specRows} {
		for _, r := range rows {
			t.Run(r.sentence, func(t *testing.T) {
				d := settleDown(t, r.state, r.seen, t0.Add(r.at))
				if d.State.Phase != r.phase || d.State.Health != r.health || d.Do != r.do {
					t.Errorf("got %s/%s do %q (%s), want %s/%s do %q", d.State.Phase, d.State.Health, d.Do,
						d.State.Reason, r.phase, r.health, r.do)
				}
				if r.also != nil {
					r.also(t, d)
				}
			})
		}
	}
}

var launchRows = []row{
	{"pending without a node: one is chosen", pending(), Observation{}, 0, Pending, HealthUnknown, DoPlace, nil},
	{"pending on a node that went down before anything was created there: it is chosen again", pending(), Observation{Placed: true, NodeDown: true, Movable: true}, 0,
		Pending, HealthUnknown, DoUnplace, nil},
	{"also while it is being prepared there", pending(), Observation{Placed: true, NodeDown: true, Movable: true, Busy: StepPrepare}, 0,
		Pending, HealthUnknown, DoUnplace, nil},
	{"pending on the node that was asked for, which went down: it waits", pending(), Observation{Placed: true, NodeDown: true}, 0,
		Pending, HealthUnknown, Wait, reason("waiting for its node")},
	{"stopped without ever having had a node, and wanted again: one is chosen", State{Desired: WantRunning, Phase: Stopped, Health: HealthUnknown}, Observation{}, 0,
		Pending, HealthUnknown, DoPlace, nil},
	{"pending with a reason when no node fits", pending(), Observation{Unplaced: "no node fits"}, 0,
		Pending, HealthUnknown, Wait, reason("no node fits")},
	{"pending waits when its node is down", pending(), never().nodeDown(), 0,
		Pending, HealthUnknown, Wait, reason("node")},
	{"placed: the engine is fetched", pending(), never(), 0, Pending, HealthUnknown, DoPrepare, reason("fetching")},
	{"fetched once at a time", pending(), never().busy(StepPrepare), 0, Pending, HealthUnknown, Wait, nil},
	{"fetching is retried with backoff on network or disk trouble", pending(), never().out(StepPrepare, Passing, "no route"), 0,
		Pending, HealthUnknown, Wait, both(wakeIn(time.Second), reason("no route"))},
	{"the second retry comes later", with(pending(), func(s *State) { s.Watch.Errors = 1 }), never().out(StepPrepare, Passing, "no route"), 0,
		Pending, HealthUnknown, Wait, wakeIn(2 * time.Second)},
	{"not found, not allowed, wrong checksum are FAILED", pending(), never().out(StepPrepare, Fatal, "wrong checksum"), 0,
		Failed, HealthUnhealthy, Wait, reason("wrong checksum")},
	{"fetched: it is started", pending(), never().out(StepPrepare, NoFault, ""), 0, Starting, HealthStarting, DoLaunch, nil},
	{"starting is done once at a time", starting(), never().busy(StepLaunch), 0, Starting, HealthStarting, Wait, nil},
	{"data missing is FAILED", starting(), never().out(StepLaunch, DataMissing, "volume v is not there"), 0,
		Failed, HealthUnhealthy, Wait, reason("data missing: volume v")},
	{"a bad template or image is FAILED", starting(), never().out(StepLaunch, Fatal, "bad"), 0, Failed, HealthUnhealthy, Wait, nil},
	{"FAILED is never retried by itself", with(starting(), func(s *State) { s.Phase, s.Health = Failed, HealthUnhealthy }), never(), time.Hour,
		Failed, HealthUnhealthy, Wait, func(t *testing.T, d Decision) {
			if !d.WakeAt.IsZero() {
				t.Error("it plans to look again")
			}
		}},
	{"a start that may pass is tried again", starting(), never().out(StepLaunch, Passing, "port 20001 is in use"), 0,
		Starting, HealthUnhealthy, Wait, both(wakeIn(time.Second), reason("port 20001"))},
	{"FAILED to STARTING by startService", with(starting(), func(s *State) { s.Phase, s.Health, s.Generation = Failed, HealthUnhealthy, 1 }), never(), 0,
		Starting, HealthStarting, DoLaunch, nil},
	{"CRASH_LOOP to STARTING by startService, which clears the count",
		with(running(), func(s *State) { s.Phase, s.CrashLoop, s.Failures, s.Generation = CrashLoop, true, failures(6), 1 }), ended("a", 1), 0,
		Starting, HealthStarting, DoLaunch, func(t *testing.T, d Decision) {
			if d.State.CrashLoop || len(d.State.Failures) > 0 || d.State.Restarts != 0 {
				t.Errorf("not cleared: %+v", d.State)
			}
		}},
	{"STOPPED to STARTING by startService", with(running(), func(s *State) { s.Phase, s.Health, s.Generation = Stopped, HealthUnknown, 1 }), ended("a", 0), 0,
		Starting, HealthStarting, DoLaunch, nil},
	{"restartService stops it gracefully first", with(running(), func(s *State) { s.Generation = 1 }), up("a"), 0,
		Restarting, HealthUnknown, DoStop, grace(policy.StopGrace)},
	{"restartService starts it again at once", with(running(), func(s *State) {
		s.Phase, s.Health, s.Failures, s.NextRestartAt = Restarting, HealthUnknown, nil, t0
	}), ended("a", 0).out(StepStop, NoFault, ""), 0, Starting, HealthStarting, DoLaunch, func(t *testing.T, d Decision) {
		if d.State.Restarts != 0 {
			t.Error("a restart that was asked for counts as automatic")
		}
	}},
	{"a restart gives up what is under way", with(pending(), func(s *State) { s.Generation = 1 }), never().busy(StepPrepare), 0,
		Pending, HealthUnknown, DoCancel, nil},
}

var probeRows = []row{
	{"the first probe goes out after 50 ms", starting(), up("a"), 0, Starting, HealthStarting, Wait, wakeIn(50 * time.Millisecond)},
	{"probes come after a part of the time so far", with(starting(), func(s *State) { s.Watch.LastProbeAt, s.Watch.Began = t0, t0.Add(-6400*time.Millisecond) }), up("a"), 0,
		Starting, HealthStarting, Wait, wakeIn(400 * time.Millisecond)},
	{"at most 2 s apart", with(starting(), func(s *State) { s.Watch.LastProbeAt, s.Watch.Began = t0, t0.Add(-time.Hour) }), up("a"), 0,
		Starting, HealthStarting, Wait, wakeIn(2 * time.Second)},
	{"due: it is probed", with(starting(), func(s *State) { s.Watch.LastProbeAt = t0 }), up("a"), 50 * time.Millisecond,
		Starting, HealthStarting, DoProbe, nil},
	{"one probe at a time", with(starting(), func(s *State) { s.Watch.LastProbeAt = t0 }), up("a").probing(), time.Second,
		Starting, HealthStarting, Wait, nil},
	{"only a probe makes a service healthy", starting(), up("a").out(StepLaunch, NoFault, ""), 0, Starting, HealthStarting, Wait, nil},
	{"a new instance is HEALTHY on its first OK", with(starting(), func(s *State) { s.Watch.LastProbeAt = t0 }), up("a").check(OK), 0, Running, HealthHealthy, Wait, func(t *testing.T, d Decision) {
		if !d.State.EverHealthy || d.State.Instance != "a" {
			t.Errorf("%+v", d.State)
		}
	}},
	{"ALIVE while starting: SUSPECT with the reason, and grace is extended", starting(), up("a").check(Alive), 50 * time.Second,
		Starting, HealthSuspect, Wait, both(reason("refuses us: seen"), func(t *testing.T, d Decision) {
			if want := t0.Add(50*time.Second + policy.Grace); !d.State.Watch.GraceUntil.Equal(want) {
				t.Errorf("grace until %s, want %s", d.State.Watch.GraceUntil, want)
			}
		})},
	{"DEAD does not count within the grace period", starting(), up("a").check(Dead), 59 * time.Second, Starting, HealthStarting, Wait, nil},
	{"the end of grace without an OK is UNHEALTHY", starting(), up("a").check(Dead), time.Minute,
		Restarting, HealthUnhealthy, DoStop, both(grace(policy.HangGrace), reason("not healthy within 1m0s"))},
	{"the end of grace counts even when no probe ends", starting(), up("a"), time.Minute, Restarting, HealthUnhealthy, DoStop, nil},
	{"an exit while starting counts at once", starting(), ended("a", 1), 0, Starting, HealthStarting, DoLaunch, func(t *testing.T, d Decision) {
		if len(d.State.Failures) != 1 || d.State.Restarts != 1 {
			t.Errorf("%+v", d.State)
		}
	}},
	{"exit code 0 too", starting(), ended("a", 0), 0, Starting, HealthStarting, DoLaunch, reason("exited with code 0")},
	{"a check of an earlier run is not taken for the present one's", starting(), func() Observation {
		o := up("b")
		o.Check = &Check{Instance: "a", Verdict: OK}
		return o
	}(), 0, Starting, HealthStarting, Wait, nil},
	{"one DEAD: SUSPECT, probing every min(interval, 2 s)", running(), up("a").check(Dead), 0, Running, HealthSuspect, Wait,
		both(wakeIn(2*time.Second), reason("1 of 3"))},
	{"failureThreshold in a row: UNHEALTHY, one restart attempt", suspect(2), up("a").check(Dead), 0, Restarting, HealthUnhealthy, DoStop,
		both(grace(policy.HangGrace), reason("3 checks in a row"))},
	{"in a row: an OK between resets the count", suspect(2), up("a").check(OK), 0, Running, HealthSuspect, Wait, func(t *testing.T, d Decision) {
		if d.State.Watch.DeadInARow != 0 {
			t.Error("still counted")
		}
	}},
	{"the same instance needs two OKs in a row", with(suspect(0), func(s *State) { s.Watch.OKInARow = 1 }), up("a").check(OK), 0,
		Running, HealthHealthy, Wait, nil},
	{"ALIVE: SUSPECT with that reason", running(), up("a").check(Alive), 0, Running, HealthSuspect, Wait, reason("refuses us: seen")},
	{"pending credentials are brought to the engine", running(), up("a").rotating(), 0, Running, HealthHealthy, DoRotate, nil},
	{"not while that is under way", running(), up("a").rotating().busy(StepRotate), 0, Running, HealthHealthy, Wait, nil},
	{"not before it works", starting(), up("a").rotating().probing(), 0, Starting, HealthStarting, Wait, nil},
	{"a rotation that failed is tried again after a while", running(), up("a").rotating().out(StepRotate, Passing, "no answer"), 0, Running, HealthHealthy, Wait, func(t *testing.T, d Decision) {
		if !d.WakeAt.Equal(t0.Add(time.Second)) {
			t.Errorf("looks again at %s", d.WakeAt)
		}
	}},
	{"removal gives a rotation up", with(running(), func(s *State) { s.Desired = WantRemoved }), up("a").rotating().busy(StepRotate), 0, Removing, HealthUnknown, DoCancel, nil},
	{"so does a stop", with(running(), func(s *State) { s.Desired = WantStopped }), up("a").rotating().busy(StepRotate), 0, Stopping, HealthUnknown, DoCancel, nil},
	{"a new engine is set up at once", starting(), notSetUp(up("a")), 0, Starting, HealthStarting, DoSetUp, func(t *testing.T, d Decision) {
		if d.State.EverHealthy {
			t.Error("it counts as one that has data")
		}
	}},
	{"one that runs, too", running(), notSetUp(up("a")), 0, Running, HealthSuspect, DoSetUp, nil},
	{"not while another step is under way", starting(), notSetUp(up("a").busy(StepLaunch).probing()), 0, Starting, HealthStarting, Wait, nil},
	{"no probe while it is set up, and no end of the grace period", unset(0), up("a").busy(StepSetUp), time.Hour, Starting, HealthStarting, Wait, nil},
	{"once it is set up it is probed at once", unset(0), up("a").out(StepSetUp, NoFault, ""), 0, Starting, HealthStarting, DoProbe, nil},
	{"a setup that failed is told, and the next probe tells what is missing", unset(0), up("a").out(StepSetUp, Passing, "no room"), 0, Starting, HealthSuspect, DoProbe,
		reason("not set up yet: no room")},
	{"it is tried again after a while", unset(1), up("a").probing(), 0, Starting, HealthStarting, Wait, func(t *testing.T, d Decision) {
		if !d.WakeAt.Equal(t0.Add(time.Second)) {
			t.Errorf("looks again at %s", d.WakeAt)
		}
	}},
	{"then it is", unset(1), up("a").probing(), time.Second, Starting, HealthStarting, DoSetUp, nil},
	{"a stop gives a setup up", with(unset(0), func(s *State) { s.Desired = WantStopped }), up("a").busy(StepSetUp), 0, Stopping, HealthUnknown, DoCancel, nil},
	{"ALIVE is never restarted for", suspect(2), up("a").check(Alive), 0, Running, HealthSuspect, Wait, func(t *testing.T, d Decision) {
		if d.State.Watch.DeadInARow != 0 {
			t.Error("ALIVE counts towards a restart")
		}
	}},
	{"a refused write is ALIVE with its own code", suspect(2), func() Observation {
		o := up("a").check(Alive)
		o.Check.Code, o.Check.Detail = CodeDiskFull, "cannot write: no room"
		return o
	}(), 0, Running, HealthSuspect, Wait, both(reason("it answers but cannot write: no room"), func(t *testing.T, d Decision) {
		if d.State.ReasonCode != CodeDiskFull || d.State.Watch.DeadInARow != 0 {
			t.Errorf("%+v", d.State)
		}
	})},
	{"NOT_ASKED: UNKNOWN with that reason", running(), up("a").check(NotAsked), 0, Running, HealthUnknown, Wait, both(wakeIn(2*time.Second), reason("seen"))},
	{"NOT_ASKED is never restarted for, and resets no count", suspect(2), up("a").check(NotAsked), 0, Running, HealthUnknown, Wait, func(t *testing.T, d Decision) {
		if d.State.Watch.DeadInARow != 2 || len(d.State.Failures) > 0 || d.State.HealthySince.IsZero() {
			t.Errorf("%+v", d.State)
		}
	}},
	{"an OK after NOT_ASKED is HEALTHY", with(running(), func(s *State) { s.Health = HealthUnknown }), up("a").check(OK), 0, Running, HealthHealthy, Wait, begins("seen")},
	{"a DEAD after NOT_ASKED is SUSPECT", with(running(), func(s *State) { s.Health = HealthUnknown }), up("a").check(Dead), 0, Running, HealthSuspect, Wait, reason("1 of 3")},
	{"NOT_ASKED while starting extends grace", starting(), up("a").check(NotAsked), time.Hour, Starting, HealthUnknown, Wait, both(reason("seen"), func(t *testing.T, d Decision) {
		if want := t0.Add(time.Hour + policy.Grace); !d.State.Watch.GraceUntil.Equal(want) || d.State.EverHealthy {
			t.Errorf("%+v", d.State)
		}
	})},
	{"a DEAD after NOT_ASKED while starting is STARTING", with(starting(), func(s *State) { s.Health = HealthUnknown }), up("a").check(Dead), time.Second, Starting, HealthStarting, Wait, nil},
	{"checked every interval, from start to start", running(), up("a"), time.Second, Running, HealthHealthy, Wait, wakeIn(30 * time.Second)},
	{"a stopped process says so in the reason", running(), func() Observation {
		o := up("a").check(Dead)
		o.Run.Paused = true
		return o
	}(), 0, Running, HealthSuspect, Wait, reason("stopped or paused")},
	{"on return it adopts, and looks at once", with(running(), func(s *State) { s.Watch = Watch{} }), up("a"), 0, Running, HealthHealthy, DoProbe, nil},
}

var failRows = []row{
	{"an exit skips the thresholds", running(), ended("a", 137), 0, Starting, HealthStarting, DoLaunch, both(reason("ended by signal 9"),
		func(t *testing.T, d Decision) {
			if d.State.Restarts != 1 || d.State.Ended != "a" {
				t.Errorf("%+v", d.State)
			}
		})},
	{"the second failure waits 1 s", with(running(), func(s *State) { s.Failures = failures(1) }), ended("a", 1), 0,
		Restarting, HealthUnhealthy, Wait, wakeIn(time.Second)},
	{"the third 2 s", with(running(), func(s *State) { s.Failures = failures(2) }), ended("a", 1), 0, Restarting, HealthUnhealthy, Wait, wakeIn(2 * time.Second)},
	{"the fifth 8 s", with(running(), func(s *State) { s.Failures = failures(4) }), ended("a", 1), 0, Restarting, HealthUnhealthy, Wait, wakeIn(8 * time.Second)},
	{"the sixth in a rolling 10 min is CRASH_LOOP, retried every 5 min", with(running(), func(s *State) { s.Failures = failures(5) }), ended("a", 1), 0,
		CrashLoop, HealthUnhealthy, Wait, both(wakeIn(5*time.Minute), begins("6 failures within 10 minutes, tried again every 5 minutes: "))},
	{"rolling: what is older than 10 min does not count", with(running(), func(s *State) {
		s.Failures = []time.Time{t0.Add(-11 * time.Minute), t0.Add(-10 * time.Minute), t0.Add(-time.Minute)}
	}), ended("a", 1), 0, Restarting, HealthUnhealthy, Wait, wakeIn(time.Second)},
	{"a crash loop is retried", with(running(), func(s *State) {
		s.Phase, s.Health, s.CrashLoop, s.Failures, s.NextRestartAt, s.Ended = CrashLoop, HealthUnhealthy, true, failures(6), t0, "a"
	}), ended("a", 1), 0, Starting, HealthStarting, DoLaunch, nil},
	{"once in a crash loop the next failure is one too", with(starting(), func(s *State) { s.CrashLoop, s.Failures = true, nil }), ended("a", 1), 0,
		CrashLoop, HealthUnhealthy, Wait, both(wakeIn(5*time.Minute), begins("tried again every 5 minutes: "))},
	{"10 min of health clear the count", with(running(), func(s *State) { s.CrashLoop, s.Failures, s.HealthySince = true, failures(2), t0 }), up("a"), 10 * time.Minute,
		Running, HealthHealthy, DoProbe, func(t *testing.T, d Decision) {
			if d.State.CrashLoop || len(d.State.Failures) > 0 {
				t.Error("not cleared")
			}
		}},
	{"less than 10 min does not", with(running(), func(s *State) { s.CrashLoop, s.Failures, s.HealthySince = true, failures(2), t0 }), up("a"), 10*time.Minute - 1,
		Running, HealthHealthy, DoProbe, func(t *testing.T, d Decision) {
			if !d.State.CrashLoop || len(d.State.Failures) != 2 {
				t.Error("cleared too early")
			}
		}},
	{"an out-of-memory kill says so", running(), func() Observation {
		o := ended("a", 137)
		o.Run.OOM = ptr(true)
		return o
	}(), 0, Starting, HealthStarting, DoLaunch, reason("memory")},
	{"an end that nobody saw", running(), Observation{Placed: true, Run: Run{ID: "a"}}, 0, Starting, HealthStarting, DoLaunch, reason("nobody watched")},
	{"an end that was dealt with is not counted twice", with(starting(), func(s *State) { s.Ended = "a" }), ended("a", 1), 0,
		Starting, HealthStarting, DoLaunch, func(t *testing.T, d Decision) {
			if len(d.State.Failures) != 0 {
				t.Error("counted")
			}
		}},
	{"while a launch is under way an old end does not count", starting(), ended("z", 1).busy(StepLaunch), 0, Starting, HealthStarting, Wait, nil},
	{"restarted by the engine between two reconciles: counted, and probed again", running(), up("b"), 0, Starting, HealthStarting, Wait, func(t *testing.T, d Decision) {
		if d.State.Restarts != 1 || len(d.State.Failures) != 1 {
			t.Errorf("%+v", d.State)
		}
	}},
}

var stopRows = []row{
	{"stopping is graceful", with(running(), func(s *State) { s.Desired = WantStopped }), up("a"), 0, Stopping, HealthUnknown, DoStop, grace(policy.StopGrace)},
	{"the exit is expected and nothing restarts it", with(running(), func(s *State) { s.Desired, s.Phase = WantStopped, Stopping }), ended("a", 0), 0,
		Stopped, HealthUnknown, Wait, func(t *testing.T, d Decision) {
			if len(d.State.Failures) > 0 || d.State.Ended != "a" {
				t.Errorf("%+v", d.State)
			}
		}},
	{"stopped stays stopped", with(running(), func(s *State) { s.Desired, s.Phase, s.Health = WantStopped, Stopped, HealthUnknown }), ended("a", 0), time.Hour,
		Stopped, HealthUnknown, Wait, nil},
	{"started behind our back while stopped: stopped again", with(running(), func(s *State) { s.Desired, s.Phase, s.Health = WantStopped, Stopped, HealthUnknown }), up("b"), 0,
		Stopped, HealthUnknown, DoStop, nil},
	{"a stop that failed is tried again", with(running(), func(s *State) { s.Desired, s.Phase, s.Health = WantStopped, Stopping, HealthUnknown }),
		up("a").out(StepStop, Passing, "engine lies"), 0, Stopping, HealthUnknown, Wait, both(wakeIn(time.Second), reason("engine lies"))},
	{"a stop cancels a launch", with(starting(), func(s *State) { s.Desired = WantStopped }), never().busy(StepLaunch), 0, Stopping, HealthUnknown, DoCancel, nil},
	{"a stop that says it is done while the engine still runs is not repeated at once",
		with(running(), func(s *State) { s.Desired, s.Phase, s.Health = WantStopped, Stopping, HealthUnknown }),
		up("a").out(StepStop, NoFault, ""), 0, Stopping, HealthUnknown, Wait, wakeIn(time.Second)},
	{"CRASH_LOOP can be stopped", with(running(), func(s *State) { s.Desired, s.Phase = WantStopped, CrashLoop }), ended("a", 1), 0, Stopped, HealthUnknown, Wait, nil},
	{"wanted again before the stop was through: started when it is", with(running(), func(s *State) { s.Phase, s.Health, s.Generation = Stopping, HealthUnknown, 1 }),
		up("a").busy(StepStop), 0, Stopping, HealthUnknown, Wait, nil},
}

var removeRows = []row{
	{"removing from any phase", with(running(), func(s *State) { s.Desired = WantRemoved }), up("a"), 0, Removing, HealthUnknown, DoRemove, grace(policy.StopGrace)},
	{"removing cancels whatever is under way", with(pending(), func(s *State) { s.Desired = WantRemoved }), never().busy(StepPrepare), 0, Removing, HealthUnknown, DoCancel, nil},
	{"removing what was never placed", with(pending(), func(s *State) { s.Desired = WantRemoved }), Observation{}, 0, Removing, HealthUnknown, DoForget, nil},
	{"removed: the row goes", with(running(), func(s *State) { s.Desired, s.Phase, s.Health = WantRemoved, Removing, HealthUnknown }), never().out(StepRemove, NoFault, ""), 0,
		Removing, HealthUnknown, DoForget, nil},
	{"a removal that failed is tried again", with(running(), func(s *State) { s.Desired, s.Phase, s.Health = WantRemoved, Removing, HealthUnknown }),
		up("a").out(StepRemove, Passing, "busy"), 0, Removing, HealthUnknown, Wait, both(wakeIn(time.Second), reason("busy"))},
	{"removing survives an unreachable node", with(running(), func(s *State) { s.Desired = WantRemoved }), never().nodeDown(), 0,
		Removing, HealthUnknown, Wait, reason("when the node is back")},
	{"a failed service can be removed", with(pending(), func(s *State) { s.Desired, s.Phase = WantRemoved, Failed }), never(), 0, Removing, HealthUnknown, DoRemove, nil},
}

var nodeRows = []row{
	{"node unreachable: nothing is done, counters freeze", with(suspect(2), func(s *State) { s.Health = HealthUnknown }), up("a").check(Dead).nodeDown(), time.Minute,
		Running, HealthUnknown, Wait, func(t *testing.T, d Decision) {
			if d.State.Watch.DeadInARow != 2 || !d.WakeAt.IsZero() {
				t.Errorf("%+v wake %s", d.State.Watch, d.WakeAt)
			}
		}},
	{"a stop is noted while the node is away", with(running(), func(s *State) { s.Desired, s.Health = WantStopped, HealthUnknown }), never().nodeDown(), 0,
		Stopping, HealthUnknown, Wait, reason("when the node is back")},
	{"on return: look first", with(running(), func(s *State) { s.Health = HealthUnknown }), up("a"), time.Minute, Running, HealthUnknown, DoProbe, nil},
	{"on return: the first OK is enough", with(running(), func(s *State) { s.Health = HealthUnknown }), up("a").check(OK), 0, Running, HealthHealthy, Wait, begins("seen")},
}

// Delays are spread by no more than a quarter.
func TestRestartDelaysAreSpread(t *testing.T) {
	s := with(running(), func(s *State) { s.Failures = failures(3) })
	for _, c := range []struct {
		r    float64
		want time.Duration
	}{{0, 3 * time.Second}, {0.5, 4 * time.Second}, {0.999999999, 5 * time.Second}} {
		d := Next(s, ended("a", 1), policy, t0, c.r)
		got := d.State.NextRestartAt.Sub(t0).Round(time.Millisecond)
		if got != c.want {
			t.Errorf("r=%v: delay %s, want %s", c.r, got, c.want)
		}
	}
}

// An engine that exits at once goes through every delay into the crash loop, and stays there until a person helps.
func TestExitsAtOnce(t *testing.T) {
	s, now := starting(), t0
	s.Watch.Instance = ""
	var delays []time.Duration
	for run := 1; s.Phase != CrashLoop; run++ {
		d := settleDown(t, s, ended(strings.Repeat("r", run), 1), now)
		s = d.State
		if d.Do == DoLaunch {
			delays = append(delays, 0)
			continue
		}
		if s.Phase == Restarting {
			delays = append(delays, d.WakeAt.Sub(now))
			now = d.WakeAt
			d = settleDown(t, s, ended(s.Ended, 1), now)
			s = d.State
		}
	}
	want := []time.Duration{0, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second}
	if len(delays) != len(want) {
		t.Fatalf("delays %v, want %v", delays, want)
	}
	for i := range want {
		if delays[i] != want[i] {
			t.Errorf("delays %v, want %v", delays, want)
		}
	}
	if s.Restarts != 5 {
		t.Errorf("%d restart attempts, want 5", s.Restarts)
	}
}

// Next converges: for every state and observation it stops asking to be called after a bounded number of calls, and it
// changes only its own fields.
func TestNextAlwaysRests(t *testing.T) {
	observations := []Observation{{}, never(), up("a"), up("b"), ended("a", 1), never().nodeDown(), up("a").generation(1), ended("a", 1).generation(2), up("a").busy(StepLaunch), up("a").busy(StepStop),
		up("a").check(OK), up("a").check(Alive), up("a").check(Dead), never().out(StepLaunch, Passing, "x"), never().out(StepRemove, NoFault, "")}
	for _, desired := range []Desired{WantRunning, WantStopped, WantRemoved} {
		for _, phase := range Phases() {
			for _, health := range Healths() {
				for generation := range 2 {
					for _, o := range observations {
						s := State{Desired: desired, Generation: generation, SpecGeneration: 1 + generation, Phase: phase, Health: health}
						d := settleDown(t, s, o, t0)
						if d.State.Desired != desired || d.State.Generation != generation || d.State.SpecGeneration != s.SpecGeneration {
							t.Fatalf("the user's wish was changed: %+v", d.State)
						}
					}
				}
			}
		}
	}
}

// What follows from a lost node for a service on it.
func TestLoseNode(t *testing.T) {
	lost, changed := LoseNode(running(), CodeNodeLost, "west")
	if !changed || lost.Phase != Running || lost.Health != HealthUnknown || lost.ReasonCode != CodeNodeLost || lost.Reason != "node west is unreachable" {
		t.Errorf("running: %+v", lost)
	}
	if refused, _ := LoseNode(running(), CodeNodeRefused, "west"); refused.Reason != "node west must not be used" {
		t.Errorf("refused: %q", refused.Reason)
	}
	if again, changed := LoseNode(lost, CodeNodeLost, "west"); changed || !reflect.DeepEqual(again, lost) {
		t.Errorf("lost already: %+v", again)
	}
	failed := with(running(), func(s *State) { s.Phase, s.Health = Failed, HealthUnhealthy })
	if kept, changed := LoseNode(failed, CodeNodeLost, "west"); changed || !reflect.DeepEqual(kept, failed) {
		t.Errorf("failed: %+v", kept)
	}
}
