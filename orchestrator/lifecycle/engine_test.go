package lifecycle

import (
	"testing"
	"time"
)

// What an engine that restarts crashed instances by itself shows us. Its count of restarts is given.
func byEngine(o Observation, restarts int) Observation {
	o.Run.AutoRestart, o.Run.Restarts = AutoRestartOn, restarts
	return o
}

func aboutToRestart(id string, code, restarts int) Observation {
	o := byEngine(ended(id, code), restarts)
	o.Run.Restarting = true
	return o
}

func (o Observation) before(code int, oom bool) Observation {
	o.Run.Before = End{Seen: true, ExitCode: code, OOM: oom}
	return o
}

func (o Observation) frozen() Observation { o.Run.Paused, o.Run.Frozen = true, true; return o }

func (o Observation) autoRestart(a AutoRestart) Observation { o.Run.AutoRestart = a; return o }

// counted: one failure, and so many restarts, and so many of them by the engine.
func counted(restarts, engine int) func(*testing.T, Decision) {
	return func(t *testing.T, d Decision) {
		t.Helper()
		if s := d.State; len(s.Failures) != 1 || s.Restarts != restarts || s.EngineRestarts != engine {
			t.Errorf("%d failures, %d restarts, %d by the engine; want 1, %d, %d", len(s.Failures), s.Restarts, s.EngineRestarts, restarts, engine)
		}
	}
}

// crashed is a service whose run "a" ended, which the engine is about to restart.
func crashed() State {
	return with(running(), func(s *State) {
		s.Phase, s.Health, s.Reason = Restarting, HealthUnhealthy, "it exited with code 1"
		s.Ended, s.Failures, s.EngineRestarts, s.HealthySince = "a", failures(1), 1, time.Time{}
	})
}

func looping() State {
	return with(crashed(), func(s *State) {
		s.Phase, s.CrashLoop, s.Failures, s.NextRestartAt = CrashLoop, true, failures(6), t0.Add(CrashLoopRetry)
	})
}

var engineRows = []row{
	{"the engine heals a crash: its delays, our count and reason", running(), aboutToRestart("a", 1, 1), 0,
		Restarting, HealthUnhealthy, Wait, both(counted(0, 1), reason("exited with code 1"), func(t *testing.T, d Decision) {
			if !d.WakeAt.IsZero() || !d.State.NextRestartAt.IsZero() {
				t.Error("it plans a restart of its own")
			}
		})},
	{"the engine's restart after an end that was seen is one restart", crashed(), byEngine(up("b"), 1), 0,
		Starting, HealthStarting, Wait, both(counted(1, 1), reason("restart attempt 1, by the engine: it exited with code 1"))},
	{"an engine that restarts it once more meanwhile has that counted", crashed(), byEngine(up("c"), 2), 0,
		Starting, HealthStarting, Wait, counted(2, 2)},
	{"an engine that gives up leaves it to us", crashed(), byEngine(ended("a", 1), 1), 0,
		Starting, HealthStarting, DoLaunch, counted(1, 1)},
	{"a restart that nobody saw the cause of is counted", running(), byEngine(up("b"), 1), 0,
		Starting, HealthStarting, Wait, both(counted(1, 1), reason("restarted by the engine"))},
	{"its cause is told where the driver saw it", running(), byEngine(up("b"), 1).before(137, true), 0,
		Starting, HealthStarting, Wait, both(reason("more memory than its limit of 64 MiB"), func(t *testing.T, d Decision) {
			if d.State.Watch.Cause != OutOfMemory {
				t.Errorf("cause %s", d.State.Watch.Cause)
			}
		})},
	{"restarts while the orchestrator was down are counted, and make no crash loop of a day's work", running(), byEngine(up("k"), 40), 0,
		Starting, HealthStarting, Wait, both(counted(40, 40), reason("40 times"))},
	{"a count that restarted from zero is taken as it is", with(running(), func(s *State) { s.EngineRestarts = 7 }), byEngine(up("b"), 2), 0,
		Starting, HealthStarting, Wait, counted(2, 2)},
	{"a restart by people is no failure", running(), byEngine(up("b"), 0), 0,
		Starting, HealthStarting, Wait, both(noFailure, code(CodeRestartedOutside))},
	{"nor is one with the engine", running(), acted(byEngine(up("b"), 0), ActEngine), 0,
		Starting, HealthStarting, Wait, both(noFailure, code(CodeEngineRestarted))},
	{"a crash while starting is seen even when only the next run is", starting(), byEngine(up("b"), 1), 0,
		Starting, HealthStarting, Wait, counted(1, 1)},
	{"out of memory: the reason says so, with the limit", running(), func() Observation {
		o := aboutToRestart("a", 137, 1)
		o.Run.OOM = ptr(true)
		return o
	}(), 0, Restarting, HealthUnhealthy, Wait, reason("more memory than its limit of 64 MiB")},
	{"a run that the engine restarted, and that ended too before we looked, is one more failure", crashed(), aboutToRestart("b", 1, 2), 0,
		Restarting, HealthUnhealthy, Wait, func(t *testing.T, d Decision) {
			if s := d.State; len(s.Failures) != 2 || s.Restarts != 1 || s.EngineRestarts != 2 {
				t.Errorf("%d failures, %d restarts, %d by the engine; want 2, 1, 2", len(s.Failures), s.Restarts, s.EngineRestarts)
			}
		}},
	{"stopped by people: told, and not undone before the engine has answered for a while", running(), acted(byEngine(ended("a", 0), 0), ActStop), 0,
		Restarting, HealthUnhealthy, Wait, both(noFailure, code(CodeStoppedOutside), reason("exited with code 0; call stopService"), wakeIn(EngineSettle))},
	{"killed by people", running(), acted(byEngine(ended("a", 137), 0), ActKill), 0, Restarting, HealthUnhealthy, Wait, both(noFailure, code(CodeKilledOutside))},
	{"left stopped by its engine", running(), acted(byEngine(ended("a", 137), 0), ActEngine), 0, Restarting, HealthUnhealthy, Wait, code(CodeEngineRestarted)},
	{"then it is undone, which is no failure", stopped(0), acted(byEngine(ended("a", 0), 0), ActStop), EngineSettle, Starting, HealthStarting, DoLaunch,
		both(code(CodeStoppedOutside), undone(1))},
	{"the second time after 5 s", with(running(), func(s *State) { s.Undone = failures(1) }), acted(byEngine(ended("a", 0), 0), ActStop), 0,
		Restarting, HealthUnhealthy, Wait, wakeIn(5 * time.Second)},
	{"the third time after 30 s", with(running(), func(s *State) { s.Undone = failures(2) }), acted(byEngine(ended("a", 0), 0), ActStop), 0,
		Restarting, HealthUnhealthy, Wait, wakeIn(30 * time.Second)},
	{"and from then on after 5 min", with(running(), func(s *State) { s.Undone = failures(6) }), acted(byEngine(ended("a", 0), 0), ActStop), 0,
		Restarting, HealthUnhealthy, Wait, wakeIn(5 * time.Minute)},
	{"an engine that has just come up is left to do its work", stopped(0), func() Observation {
		o := acted(byEngine(ended("a", 0), 0), ActStop)
		o.Run.EngineSince = t0.Add(EngineSettle - time.Second)
		return o
	}(), EngineSettle, Restarting, HealthUnhealthy, Wait, wakeIn(2*EngineSettle - time.Second)},
	{"what it left stopped is started, whatever people did before", stopped(6), acted(byEngine(ended("a", 0), 0), ActEngine), EngineSettle,
		Starting, HealthStarting, DoLaunch, both(code(CodeEngineRestarted), undone(6))},
	{"started again by people before we did", stopped(0), byEngine(up("b"), 0), 0, Starting, HealthStarting, Wait, both(noFailure, code(CodeRestartedOutside))},
	{"a crash of the engine's run is one although people acted before", with(running(), func(s *State) { s.Undone = failures(3) }), byEngine(up("b"), 1), 0,
		Starting, HealthStarting, Wait, counted(1, 1)},
	{"paused behind our back is undone and reported", running(), byEngine(up("a"), 0).frozen(), 0,
		Running, HealthSuspect, DoLaunch, reason("paused from outside uws")},
	{"a wait of less than a second is not told as 0s", running(), func() Observation {
		o := byEngine(up("a"), 0).frozen()
		o.Run.EngineSince = t0.Add(time.Second/10 - EngineSettle)
		return o
	}(), 0, Running, HealthSuspect, Wait, reason("is unpaused; call stopService")},
	{"paused while starting too", starting(), byEngine(up("a"), 0).frozen(), 0, Starting, HealthSuspect, DoLaunch, nil},
	{"paused again before a check was good: undone after 5 s", unpaused(1), byEngine(up("a"), 0).frozen(), 0,
		Running, HealthSuspect, Wait, both(noFailure, undone(2), wakeIn(5*time.Second), reason("unpaused in 5s; call stopService"))},
	{"and then after 30 s", unpaused(2), byEngine(up("a"), 0).frozen(), 0, Running, HealthSuspect, Wait, both(undone(3), wakeIn(30*time.Second))},
	{"and from then on after 5 min", unpaused(5), byEngine(up("a"), 0).frozen(), 0, Running, HealthSuspect, Wait, both(undone(6), wakeIn(5*time.Minute))},
	{"a pause that is being undone is the same one", with(unpaused(1), func(s *State) { s.Watch.Paused = true }), byEngine(up("a"), 0).frozen().busy(StepLaunch), 0,
		Running, HealthSuspect, Wait, undone(1)},
	{"paused again as soon as it was unpaused", with(unpaused(1), func(s *State) { s.Watch.Paused = true }),
		byEngine(up("a"), 0).frozen().out(StepLaunch, NoFault, ""), 0, Running, HealthSuspect, Wait, both(undone(2), wakeIn(5*time.Second))},
	{"a pause that was planned to be undone before uws was restarted is the same one", with(unpaused(2), func(s *State) { s.NextRestartAt = t0.Add(20 * time.Second) }),
		byEngine(up("a"), 0).frozen(), 0, Running, HealthSuspect, Wait, both(undone(2), wakeIn(20*time.Second))},
	{"a pause is no part of a start's grace period", with(starting(), func(s *State) { s.ReasonCode, s.Watch.Paused = CodePausedOutside, true }),
		byEngine(up("a"), 0).check(Dead), 5 * time.Minute, Starting, HealthStarting, Wait, noFailure},
	{"removed behind our back is undone", running(), never(), 0, Restarting, HealthUnhealthy, Wait, both(noFailure, code(CodeRemovedOutside))},
	{"a crash loop is stopped by us", with(crashed(), func(s *State) { s.Phase, s.Failures = Starting, failures(5) }), aboutToRestart("c", 1, 2), 0,
		CrashLoop, HealthUnhealthy, DoStop, begins("6 failures within 10 minutes, tried again every 5 minutes: ")},
	{"a crash loop of which only the next run is seen too", with(running(), func(s *State) { s.Failures = failures(5) }), byEngine(up("b"), 1), 0,
		CrashLoop, HealthUnhealthy, DoStop, begins("6 failures within 10 minutes, tried again every 5 minutes: ")},
	{"what runs in a crash loop is taken down", looping(), byEngine(up("d"), 2), 0, CrashLoop, HealthUnhealthy, DoStop, nil},
	{"a crash loop is retried every 5 min", looping(), ended("a", 1), CrashLoopRetry, Starting, HealthStarting, DoLaunch, nil},
	{"a service whose engine must not restart it, without a crash loop", running(), up("a").autoRestart(AutoRestartOff), 0,
		Running, HealthHealthy, DoAutoRestart, nil},
	{"10 min of health have the engine restart again", with(running(), func(s *State) { s.CrashLoop, s.Failures = true, failures(6) }),
		up("a").autoRestart(AutoRestartOff), 0, Running, HealthHealthy, DoAutoRestart, func(t *testing.T, d Decision) {
			if d.State.CrashLoop {
				t.Error("still a crash loop")
			}
		}},
	{"not before", with(running(), func(s *State) { s.CrashLoop, s.Failures, s.HealthySince = true, failures(6), t0 }),
		up("a").autoRestart(AutoRestartOff), time.Minute, Running, HealthHealthy, DoProbe, nil},
	{"a hang is taken down, whatever the engine would do", suspect(2), byEngine(up("a"), 0).check(Dead), 0, Restarting, HealthUnhealthy, DoStop, nil},
	{"after that it is started by us", with(crashed(), func(s *State) { s.EngineRestarts = 0 }), byEngine(ended("a", 137), 0), 0,
		Starting, HealthStarting, DoLaunch, nil},
	{"stopped on purpose: an engine that is about to restart it is kept from that", with(crashed(), func(s *State) { s.Desired = WantStopped }),
		aboutToRestart("a", 1, 1), 0, Stopping, HealthUnknown, DoStop, nil},
	{"restartService while the engine is about to restart it", with(crashed(), func(s *State) { s.Generation = 1 }), aboutToRestart("a", 1, 1), 0,
		Restarting, HealthUnknown, DoStop, nil},
}

func acted(o Observation, act Act) Observation {
	o.Run.Act = act
	return o
}

// stopped is a service that people stopped at t0, after n acts that were undone.
func stopped(n int) State {
	return with(running(), func(s *State) {
		s.Phase, s.Health, s.ReasonCode, s.Reason = Restarting, HealthUnhealthy, CodeStoppedOutside, "stopped"
		s.Outside, s.Undone, s.Ended, s.NextRestartAt = true, failures(n), "a", t0.Add(EngineSettle)
	})
}

// unpaused is a service that was paused n times at t0, and not checked since it was unpaused.
func unpaused(n int) State {
	return with(running(), func(s *State) {
		s.Health, s.ReasonCode, s.Reason, s.Undone = HealthSuspect, CodePausedOutside, "paused", failures(n)
	})
}

func code(want ReasonCode) func(*testing.T, Decision) {
	return func(t *testing.T, d Decision) {
		t.Helper()
		if d.State.ReasonCode != want {
			t.Errorf("code %s (%s), want %s", d.State.ReasonCode, d.State.Reason, want)
		}
	}
}

func undone(want int) func(*testing.T, Decision) {
	return func(t *testing.T, d Decision) {
		t.Helper()
		if len(d.State.Undone) != want || len(d.State.Failures) != 0 || d.State.Outside {
			t.Errorf("%d undone, %d failures, outside %v; want %d, 0, false", len(d.State.Undone), len(d.State.Failures), d.State.Outside, want)
		}
	}
}

func noFailure(t *testing.T, d Decision) {
	t.Helper()
	if len(d.State.Failures) != 0 || d.State.Restarts != 0 {
		t.Errorf("%d failures, %d restarts", len(d.State.Failures), d.State.Restarts)
	}
}
