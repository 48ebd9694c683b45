package docker

import (
	"context"
	"sync"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"

	"github.com/unicorn-web-services/uws/orchestrator/driver/machine"
)

// target is a run of a container that can be measured.
type target struct {
	service   string
	container string // its id
	run       string // [driver.Observed.Instance]; empty: not known yet
	here      *task  // on this machine; nil: the engine measures it
}

// targets remembers the runs of containers, so that a measurement need not ask for them. The zero value remembers none. It is safe
// for concurrent use.
type targets struct {
	mu      sync.Mutex
	known   map[string]target // by service
	changes int               // how often the engine told of a change
	watched bool              // the engine's events, which tell of new runs, are read
	here    bool              // since then, a process of one of the engine's containers was found on this machine
}

// of returns the run of a service that was measured last, if it is known that it is the newest, or can be seen that it is not.
func (t *targets) of(service string) (target, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	known, ok := t.known[service]
	return known, ok
}

// now returns a moment for learn.
func (t *targets) now() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.changes
}

// learn remembers a run that the engine was asked for at a moment. It reports whether it did: a run that the engine measures is
// remembered only if events would tell of its end, and have not told of another change since.
func (t *targets) learn(run target, asked int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if run.here == nil && (!t.watched || t.changes != asked) {
		return false
	}
	if t.known == nil {
		t.known = map[string]target{}
	}
	t.known[run.service] = run
	return true
}

// has reports whether a run is still the newest that is known.
func (t *targets) has(run target) bool {
	now, ok := t.of(run.service)
	return ok && now.run == run.run
}

// changed forgets the run of a service, which has ended or begun.
func (t *targets) changed(service string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.changes++
	delete(t.known, service)
}

// watch takes note of whether the engine's events are read from now on. It forgets all runs: events may have been missed.
func (t *targets) watch(on bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.changes++
	t.watched, t.here = on, false
	clear(t.known)
}

// areHere reports whether the engine is known to be on this machine.
func (t *targets) areHere() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.here
}

// found takes note that a process of a container is on this machine.
func (t *targets) found() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.here = true
}

// taskOf returns the init process of a container that runs, if it is a process of this machine; nil otherwise. A socket of this
// machine can lead to an engine elsewhere (ssh -L), or to one whose pids are of another namespace: another process may have the pid
// here. So the process must be in the control group of the container, whose id is random.
func (d *Driver) taskOf(c container.InspectResponse) *task {
	if !d.local || c.State.Pid == 0 {
		return nil
	}
	groups, err := d.groups()
	if err != nil {
		return nil
	}
	// Before its group: if the process has this start time later, it is the one that was in the group.
	st, err := machine.Linux.Stat(c.State.Pid)
	if err != nil || st.Dead() {
		return nil
	}
	group, err := groups.Of(c.State.Pid, c.ID)
	if err != nil {
		return nil
	}
	d.targets.found()
	return &task{pid: c.State.Pid, start: st.Start, group: group}
}

// isHere reports whether the engine is on this machine, as one of its containers that runs proves.
func (d *Driver) isHere(ctx context.Context) bool {
	if !d.local || d.targets.areHere() {
		return d.local
	}
	if d.agree(ctx) != nil {
		return false
	}
	some, err := d.client.ContainerList(ctx, container.ListOptions{Limit: 1, Filters: filters.NewArgs(filters.Arg("status", container.StateRunning))})
	if err != nil || len(some) == 0 {
		return false
	}
	c, err := d.client.ContainerInspect(ctx, some[0].ID)
	return err == nil && d.taskOf(c) != nil
}
