package docker

import (
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
)

// Lines are of the run that wrote them, as far as the driver has seen the runs; of no run otherwise.
func TestRunOfLine(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }
	// seen is a container as it is observed; 0 is never.
	seen := func(started, finished float64, restarts int) container.InspectResponse {
		text := func(seconds float64) string {
			if seconds == 0 {
				return "0001-01-01T00:00:00Z"
			}
			return at(seconds).Format(time.RFC3339Nano)
		}
		return container.InspectResponse{ContainerJSONBase: &container.ContainerJSONBase{ID: "c", RestartCount: restarts,
			State: &container.State{StartedAt: text(started), FinishedAt: text(finished)}}}
	}
	id := func(started float64) string {
		if started == 0 {
			return ""
		}
		return instanceOf(seen(started, 0, 0))
	}
	for name, c := range map[string]struct {
		see  func(*runs)
		want map[float64]float64 // the start of a run, by the time of a line; 0: none
	}{
		"none":         {func(*runs) {}, map[float64]float64{1: 0}},
		"it never ran": {func(r *runs) { r.learn(seen(0, 0, 0)) }, map[float64]float64{1: 0}},
		"the first one, whose lines can be older than its start": {func(r *runs) { r.learn(seen(10, 0, 0)) },
			map[float64]float64{9: 10, 10: 10, 99: 10}},
		"an unknown one before": {func(r *runs) { r.learn(seen(20, 15, 0)) },
			map[float64]float64{14: 0, 15.01: 0, 16: 20, 19: 20, 20: 20}},
		"seen after its end": {func(r *runs) { r.learn(seen(20, 25, 0)) },
			map[float64]float64{15: 0, 19.95: 20, 20: 20, 25: 20, 27: 20}},
		"seen after its end, started by uws": {func(r *runs) { r.starts(seen(0, 0, 0)); r.learn(seen(20, 25, 0)) },
			map[float64]float64{15: 20, 26: 20}},
		"seen after its end, restarted by the engine since uws started it": {func(r *runs) { r.starts(seen(0, 0, 0)); r.learn(seen(20, 25, 1)) },
			map[float64]float64{15: 0, 20: 20}},
		"started by uws after another one": {func(r *runs) { r.starts(seen(10, 15, 0)); r.learn(seen(20, 25, 0)) },
			map[float64]float64{9: 0, 10: 10, 15.01: 10, 18: 20, 25: 20}},
		"restarted by the engine": {func(r *runs) { r.learn(seen(10, 0, 0)); r.learn(seen(20, 15, 1)); r.learn(seen(30, 25, 2)) },
			map[float64]float64{10: 10, 15.01: 10, 19: 20, 25: 20, 26: 30}},
		"one between was not seen": {func(r *runs) { r.learn(seen(10, 0, 0)); r.learn(seen(30, 25, 2)) },
			map[float64]float64{10: 0, 20: 0, 26: 30}},
		"one between was not seen, but the end of the one before": {
			func(r *runs) {
				r.learn(seen(10, 0, 0))
				r.ended("c", at(15))
				r.ended("c", at(25))
				r.learn(seen(30, 25, 2))
			},
			map[float64]float64{10: 10, 15: 10, 20: 0, 26: 30}},
		"another container": {func(r *runs) { r.learn(seen(10, 0, 0)); r.forget("c") }, map[float64]float64{10: 0}},
	} {
		t.Run(name, func(t *testing.T) {
			var r runs
			c.see(&r)
			of := r.of("c")
			for line, run := range c.want {
				if got := of(at(line)); got != id(run) {
					t.Errorf("a line at %v is of run %q, want %q", line, got, id(run))
				}
			}
		})
	}
	var r runs
	for n := range 100 {
		r.learn(seen(float64(10*n+10), float64(10*n+5), n))
	}
	if n := len(r.all["c"]); n != maxRuns {
		t.Errorf("%d runs are remembered", n)
	}
}
