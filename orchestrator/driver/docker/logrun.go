package docker

import (
	"slices"
	"sync"
	"time"

	"github.com/docker/docker/api/types/container"
)

const (
	// maxRuns is how many runs of a container are remembered.
	maxRuns = 16
	// runGap is less than the shortest time between the end of a run and the first output of the next: an engine waits at least
	// 100 ms, and then makes namespaces.
	runGap = 50 * time.Millisecond
	// startDelay is the longest time between the first output of a run and its StartedAt, which the engine takes after the
	// program was started. It is less than an engine waits before it restarts a container.
	startDelay = 100 * time.Millisecond
)

// run is a run of a container, by the engine's clock.
type run struct {
	id          string
	started     string    // as the engine tells it
	from, until time.Time // of its output; until is zero while it runs, or if its end was not seen
	restarts    int       // by the engine, before it
}

// runs remembers the runs of containers, so that lines can be told apart. The engine tells the newest run only. The zero value
// remembers none. It is safe for concurrent use.
type runs struct {
	mu       sync.Mutex
	all      map[string][]run // by container, oldest first
	starting map[string]bool  // by container: the next run follows the last that is known, or is the first
}

// starts takes note that a container, which does not run, is about to be started.
func (r *runs) starts(c container.InspectResponse) {
	r.learn(c)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.starting == nil {
		r.starting = map[string]bool{}
	}
	r.starting[c.ID] = true
}

// learn takes note of the newest run of a container.
func (r *runs) learn(c container.InspectResponse) {
	started, finished := parseTime(c.State.StartedAt), parseTime(c.State.FinishedAt)
	if started.IsZero() {
		return
	}
	now := run{id: instanceOf(c), started: c.State.StartedAt, restarts: c.RestartCount}
	if ended := !finished.Before(started); ended {
		now.until = finished.Add(runGap)
	}
	switch {
	case now.until.IsZero() && !finished.IsZero():
		now.from = earlier(finished.Add(runGap), started)
	case !now.until.IsZero():
		now.from = started.Add(-startDelay)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	known := r.all[c.ID]
	if n := len(known); n > 0 && known[n-1].started == now.started {
		if known[n-1].until.IsZero() {
			known[n-1].until = now.until
		}
		return
	}
	if n := len(known); n > 0 && known[n-1].until.IsZero() {
		if now.until.IsZero() && now.restarts == known[n-1].restarts+1 {
			known[n-1].until = finished.Add(runGap) // no run was between
		} else {
			known = known[:n-1] // nobody saw where it ended
		}
	}
	if r.starting[c.ID] && c.RestartCount == 0 {
		now.from = time.Time{}
	}
	delete(r.starting, c.ID)
	if n := len(known); n > 0 && now.from.Before(known[n-1].until) {
		now.from = earlier(known[n-1].until, started)
	}
	if r.all == nil {
		r.all = map[string][]run{}
	}
	r.all[c.ID] = append(slices.Clone(known[max(0, len(known)-maxRuns+1):]), now)
}

// ended takes note of when the newest run of a container ended.
func (r *runs) ended(id string, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	known := r.all[id]
	if n := len(known); n > 0 && known[n-1].until.IsZero() && !at.Before(known[n-1].from) {
		known[n-1].until = at
	}
}

// forget drops a container.
func (r *runs) forget(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.all, id)
	delete(r.starting, id)
}

// of returns a function that returns the id of the run that wrote a line at a time; empty if unknown. It goes by what is known
// now.
func (r *runs) of(id string) func(time.Time) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	known := slices.Clone(r.all[id])
	return func(at time.Time) string {
		for i, run := range slices.Backward(known) {
			if at.Before(run.from) {
				continue
			}
			if i == len(known)-1 || !at.After(run.until) {
				return run.id
			}
			return ""
		}
		return ""
	}
}

// start returns when the output of the run that goes on began; zero if none goes on.
func (r *runs) start(id string) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	known := r.all[id]
	if n := len(known); n > 0 && known[n-1].until.IsZero() {
		return known[n-1].from
	}
	return time.Time{}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
