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
	{"a count that began anew is taken as it is", with(running(), func(s *State) { s.EngineRestarts = 7 }), byEngine(up("b"), 2), 0,
		Starting, HealthStarting, Wait, counted(2, 2)},
	{"a start from outside is no restart of the engine's", running(), byEngine(up("b"), 0), 0,
		Starting, HealthStarting, Wait, both(counted(1, 0), reason("from outside uws"))},
	{"a crash while starting is seen even when only the next run is", starting(), byEngine(up("b"), 1), 0,
		Starting, HealthStarting, Wait, counted(1, 1)},
	{"out of memory: the reason says so, with the limit", running(), func() Observation {
		o := aboutToRestart("a", 137, 1)
		o.Run.OOM = ptr(true)
		return o
	}(), 0, Restarting, HealthUnhealthy, Wait, reason("more memory than its limit of 64 MiB")},
	{"stopped behind our back is undone and reported", running(), byEngine(ended("a", 0), 0), 0,
		Starting, HealthStarting, DoLaunch, reason("stopped from outside uws: it exited with code 0")},
	{"paused behind our back is undone and reported", running(), byEngine(up("a"), 0).frozen(), 0,
		Running, HealthSuspect, DoLaunch, reason("paused from outside uws")},
	{"paused while starting too", starting(), byEngine(up("a"), 0).frozen(), 0, Starting, HealthSuspect, DoLaunch, nil},
	{"removed behind our back is undone", running(), never(), 0, Starting, HealthStarting, DoLaunch, reason("gone, and not by us")},
	{"a crash loop is stopped by us", with(crashed(), func(s *State) { s.Phase, s.Failures = Starting, failures(5) }), aboutToRestart("c", 1, 2), 0,
		CrashLoop, HealthUnhealthy, DoStop, reason("crash loop, 6 failures")},
	{"a crash loop of which only the next run is seen too", with(running(), func(s *State) { s.Failures = failures(5) }), byEngine(up("b"), 1), 0,
		CrashLoop, HealthUnhealthy, DoStop, reason("crash loop, 6 failures")},
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
