package docker

import (
	"context"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

const (
	// oomMoment is the longest time between a kill for lack of memory and the end of the instance that it caused. An earlier
	// kill hit a child, and the instance survived it.
	oomMoment = 5 * time.Second
	// startWork is the longest time after its start in which an engine ends or starts its containers.
	startWork = 15 * time.Second
)

// engineRun is the known state of the engine's present run.
type engineRun struct {
	connected bool      // its events are being read
	failed    bool      // it has not answered since its last answer
	since     time.Time // since when it answers, by the clock of uws
	started   engineStart
}

// engineStart is the time at which the engine started, by its clock: between from and by. Zero: unknown.
type engineStart struct{ from, by time.Time }

func (s engineStart) equal(other engineStart) bool { return s.by.Equal(other.by) }

// started returns when the engine started. An engine creates its default network at its start, except if containers outlived
// it (live-restore) or if it has none (--bridge=none); then the mark of the run tells, see runmark.go.
func (d *Driver) started(ctx context.Context) engineStart {
	if d.agree(ctx) != nil {
		return engineStart{}
	}
	info, err := d.client.Info(ctx)
	if err != nil {
		return engineStart{}
	}
	bridge, err := d.client.NetworkInspect(ctx, network.NetworkBridge, network.InspectOptions{})
	if err != nil && !errdefs.IsNotFound(err) {
		return engineStart{}
	}
	if err == nil && (!info.LiveRestoreEnabled || d.claim.Store == "") {
		return engineStart{bridge.Created, bridge.Created}
	}
	if d.claim.Store == "" {
		return engineStart{}
	}
	by := d.startedByMark(ctx, info)
	if by.IsZero() {
		return engineStart{}
	}
	return engineStart{by.Add(-startWork), by} // the last run's mark is removed after the containers were started
}

// engineAnswers records whether the engine answers.
func (d *Driver) engineAnswers(ctx context.Context, answers bool) {
	var started engineStart
	if answers {
		started = d.started(ctx)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	e := &d.engine
	if answers && (e.failed || e.since.IsZero() || !started.equal(e.started)) {
		e.since = time.Now()
	}
	if answers {
		e.started = started
	}
	e.connected, e.failed = answers, !answers
}

// engineNow returns the engine's present run. While its events are not read, it asks the engine, which may have restarted.
func (d *Driver) engineNow(ctx context.Context) engineRun {
	d.mu.Lock()
	e := d.engine
	d.mu.Unlock()
	switch {
	case !e.connected:
		e.since, e.started = time.Now(), d.started(ctx)
	case e.started.by.IsZero(): // it could not be asked when the events were connected
		if e.started = d.started(ctx); !e.started.by.IsZero() {
			d.mu.Lock()
			d.engine.started = e.started
			d.mu.Unlock()
		}
	}
	return e
}

// acted adds to an observation what people and the engine did. An end by the engine's API may be the first sign of an engine
// that shuts down and accepts no new connections. After such an end acted therefore returns an error unless the engine
// answers on a new connection.
func (d *Driver) acted(ctx context.Context, c container.InspectResponse, o *driver.Observed) error {
	e := d.engineNow(ctx)
	o.EngineSince = e.since
	from, by := e.started.from, e.started.by
	if !by.IsZero() {
		o.EngineRun = by.UTC().Format(time.RFC3339Nano)
	}
	d.mu.Lock()
	end := d.ends[c.ID]
	d.mu.Unlock()
	switch {
	case o.Running:
		if !by.IsZero() && o.StartedAt.After(from) && o.StartedAt.Before(by.Add(startWork)) && c.RestartCount == 0 {
			o.Act = driver.ActEngine
		}
	case o.Restarting || o.Instance == "":
	case !by.IsZero() && o.StartedAt.Before(by) && o.StoppedAt.Before(by.Add(startWork)):
		o.Act = driver.ActEngine
	case end.act != "" && !end.at.Before(o.StartedAt):
		o.Act = end.act
	case o.AutoRestart == driver.AutoRestartOn: // the engine would have restarted one that crashed
		o.Act = driver.ActStop
	}
	if o.Act == driver.ActStop || o.Act == driver.ActKill {
		if err := d.client.Close(); err != nil { // idle connections
			return err
		}
		return d.check(ctx)
	}
	return nil
}
