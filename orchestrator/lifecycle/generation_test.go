package lifecycle

import (
	"testing"
	"time"
)

func (o Observation) generation(n int) Observation { o.Run.Generation = n; return o }

// changed is a state with the second generation of its spec, of which no instance was created yet.
func changed(s State) State { s.SpecGeneration, s.ObservedGeneration = 2, 1; return s }

// unstartable is an instance that its engine could not start.
func unstartable(o Observation, fault Fault) Observation {
	o = o.out(StepLaunch, fault, "the task exists already")
	o.Outcome.Unstartable = true
	return o
}

func observed(want int) func(*testing.T, Decision) {
	return func(t *testing.T, d Decision) {
		t.Helper()
		if got := d.State.ObservedGeneration; got != want {
			t.Errorf("the observed generation is %d, want %d", got, want)
		}
	}
}

// fresh checks that what an earlier spec failed at does not count.
func fresh(t *testing.T, d Decision) {
	t.Helper()
	if s := d.State; len(s.Failures)+len(s.Undone) > 0 || s.CrashLoop || s.Outside || !s.NextRestartAt.IsZero() || s.Restarts != 0 {
		t.Errorf("not cleared: %+v", s)
	}
}

func replacing(s State) State {
	s = changed(s)
	s.Phase, s.Health, s.Ended = Starting, HealthStarting, "a"
	return s
}

var specRows = []row{
	{"a changed spec: the instance that runs is replaced, with the grace of a stop", changed(running()), up("a").generation(1), 0,
		Starting, HealthStarting, DoReplace, both(grace(policy.StopGrace), observed(1), fresh, reason("spec was changed"))},
	{"one of the present generation is not", with(changed(running()), func(s *State) { s.SpecGeneration = 1 }), up("a").generation(1), 0,
		Running, HealthHealthy, Wait, observed(1)},
	{"nor one that the driver knows no generation of", changed(running()), up("a"), 0, Running, HealthHealthy, Wait, nil},
	{"a spec that was restored from a copy differs too", with(running(), func(s *State) { s.SpecGeneration = 1 }), up("a").generation(2), 0,
		Starting, HealthStarting, DoReplace, nil},
	{"replaced while it starts", changed(starting()), up("a").generation(1), 0, Starting, HealthStarting, DoReplace, grace(policy.StopGrace)},
	{"once at a time", replacing(running()), up("a").generation(1).busy(StepLaunch), 0, Starting, HealthStarting, Wait, nil},
	{"uws ended before the instance was stopped: replaced", replacing(running()), up("a").generation(1), 0, Starting, HealthStarting, DoReplace, nil},
	{"uws ended after that: the same", replacing(running()), ended("a", 0).generation(1), 0, Starting, HealthStarting, DoReplace, fresh},
	{"uws ended when the instance was removed: launched", replacing(running()), never(), 0, Starting, HealthStarting, DoLaunch, observed(0)},
	{"uws ended when the new one was created: launched", replacing(running()), never().generation(2), 0, Starting, HealthStarting, DoLaunch, observed(2)},
	{"uws ended when the new one was started: it is probed", replacing(running()), up("b").generation(2), 0, Starting, HealthStarting, Wait, both(observed(2), fresh)},
	{"a new one that ended is a failure", replacing(running()), ended("b", 1).generation(2), 0, Starting, HealthStarting, DoLaunch, func(t *testing.T, d Decision) {
		if len(d.State.Failures) != 1 || d.State.Restarts != 1 {
			t.Errorf("%+v", d.State)
		}
	}},
	{"changed again meanwhile: replaced again", with(replacing(running()), func(s *State) { s.SpecGeneration = 3 }), up("b").generation(2), 0,
		Starting, HealthStarting, DoReplace, nil},
	{"a replacement that may pass is tried again", replacing(running()), up("a").generation(1).out(StepLaunch, Passing, "no route"), 0,
		Starting, HealthUnhealthy, Wait, both(wakeIn(time.Second), reason("no route"))},
	{"its data missing is FAILED, whatever its generation", replacing(running()), never().out(StepLaunch, DataMissing, "volume v is not there"), 0,
		Failed, HealthUnhealthy, Wait, nil},
	{"CRASH_LOOP to STARTING by a changed spec", with(changed(running()), func(s *State) {
		s.Phase, s.Health, s.CrashLoop, s.Failures, s.NextRestartAt, s.Ended = CrashLoop, HealthUnhealthy, true, failures(6), t0.Add(time.Minute), "a"
	}), ended("a", 137).generation(1), 0, Starting, HealthStarting, DoReplace, fresh},
	{"no delay of a restart holds it up", with(changed(crashed()), func(s *State) { s.NextRestartAt = t0.Add(time.Minute) }), ended("a", 1).generation(1), 0,
		Starting, HealthStarting, DoReplace, fresh},
	{"a stop under way is given up for it", with(changed(running()), func(s *State) { s.Phase, s.Health = Restarting, HealthUnknown }), up("a").generation(1).busy(StepStop), 0,
		Starting, HealthStarting, DoCancel, nil},
	{"stopped: it stays so", with(changed(running()), func(s *State) { s.Desired, s.Phase, s.Health = WantStopped, Stopped, HealthUnknown }), ended("a", 0).generation(1), 0,
		Stopped, HealthUnknown, Wait, observed(1)},
	{"stopped, and started: replaced", with(changed(running()), func(s *State) { s.Phase, s.Health, s.Generation = Stopped, HealthUnknown, 1 }), ended("a", 0).generation(1), 0,
		Starting, HealthStarting, DoReplace, nil},
	{"removed: not replaced", with(changed(running()), func(s *State) { s.Desired = WantRemoved }), up("a").generation(1), 0, Removing, HealthUnknown, DoRemove, nil},
	{"its node down: nothing is done, and what was observed stays", with(changed(running()), func(s *State) { s.Health = HealthUnknown }), never().nodeDown(), 0,
		Running, HealthUnknown, Wait, observed(1)},
	{"FAILED stays so", with(changed(running()), func(s *State) { s.Phase, s.Health = Failed, HealthUnhealthy }), ended("a", 1).generation(1), 0,
		Failed, HealthUnhealthy, Wait, nil},

	{"an instance that its engine cannot start: tried again later", starting(), unstartable(never(), Passing), 0,
		Starting, HealthUnhealthy, Wait, both(wakeIn(time.Second), reason("the task exists already"))},
	{"then with a new one", with(starting(), func(s *State) { s.Watch.Unstartable = true }), never().generation(1), 0, Starting, HealthStarting, DoReplace, nil},
	{"unless its engine has started it", with(starting(), func(s *State) { s.Watch.Unstartable = true }), up("a"), 0, Starting, HealthStarting, Wait, nil},
	{"a new one that was started ends that", with(starting(), func(s *State) { s.Watch.Unstartable = true }), never().out(StepLaunch, NoFault, ""), 0,
		Starting, HealthStarting, Wait, func(t *testing.T, d Decision) {
			if d.State.Watch.Unstartable {
				t.Error("it would be replaced again")
			}
		}},
}
