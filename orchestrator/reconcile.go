package orchestrator

import (
	"context"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/ent/service"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
)

const (
	inspectTimeout = 10 * time.Second
	errorPause     = time.Second // before a look that failed is repeated
	// unreachablePause is errorPause while the node does not answer but does not count as lost yet.
	unreachablePause = 2 * time.Second
	maxTurns         = 12 // of lifecycle.Next within one look; it comes to rest after a few
)

// reconcile looks at one service and does what follows. It never waits for work at a node.
func (o *Orchestrator) reconcile(ctx context.Context, now claim) {
	id := now.id
	t := o.task(id)
	if t == nil {
		return
	}
	if !now.due {
		t.run = nil
	}
	wake, err := o.look(ctx, t)
	if err != nil && ctx.Err() == nil {
		pause := errorPause
		switch {
		case ent.IsNotFound(err): // somebody wrote in between; not worth a line
		case driver.ClassOf(err) == driver.Unreachable: // nor this: the check of its node tells it once for all
			o.log.Debug("a service's node does not answer", "id", id, "error", err)
			pause = unreachablePause
		default:
			o.log.Error("looking at a service failed; it is tried again", "id", id, "error", err)
		}
		wake = time.Now().Add(pause)
		t.run = nil
		t.doubt()
	}
	if o.task(id) != nil {
		o.queue.at(id, wake)
	}
}

// look brings a service one step on, and says when to look again.
func (o *Orchestrator) look(ctx context.Context, t *task) (time.Time, error) {
	row, err := o.read(ctx, t)
	if ent.IsNotFound(err) {
		o.forget(t)
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, err
	}
	seen, row, err := o.observe(ctx, t, row)
	if err != nil {
		return time.Time{}, err
	}
	t.refresh(row)
	made := decide(t.state, seen, t.policy(row))
	if row, err = o.record(ctx, t, row, made); err != nil {
		return time.Time{}, err
	}
	d := made[len(made)-1]
	t.state = d.State
	t.settled(seen)
	if d.Do == lifecycle.DoLookOver {
		o.log.Error("lifecycle did not come to rest; this is a mistake in uws", "id", t.id, "phase", t.state.Phase)
		return time.Now().Add(errorPause), nil
	}
	return d.WakeAt, o.act(ctx, t, row, d)
}

// decide asks lifecycle until it rests; what happened since the last look counts once.
func decide(s lifecycle.State, seen lifecycle.Observation, p lifecycle.Policy) []lifecycle.Decision {
	var made []lifecycle.Decision
	for range maxTurns {
		d := lifecycle.Next(s, seen, p, time.Now(), random())
		made = append(made, d)
		if d.Do != lifecycle.DoLookOver {
			break
		}
		s, seen.Outcome, seen.Check = d.State, nil, nil
	}
	return made
}

// read is a service's row: the one that was read or written last, as long as nothing speaks against it. Everybody who
// writes it keeps it in memory, a write fails when it is not the newest, and each resync reads it anew.
func (o *Orchestrator) read(ctx context.Context, t *task) (*ent.Service, error) {
	if row := t.known(); row != nil {
		return row, nil
	}
	row, err := o.store.Read.Service.Query().Where(service.ID(t.id)).Select(allBut(service.FieldDefinition)...).Only(ctx)
	if err == nil {
		t.keep(row)
	}
	return row, err
}

// refresh takes over what others than the loop write: the user's wish, and the loss of a node. The first
// time it takes everything, with stored deadlines brought within reason: the clock may have been changed.
func (t *task) refresh(row *ent.Service) {
	if !t.loaded {
		t.state, t.loaded = stateOf(row, time.Now()), true
	}
	t.state.Desired, t.state.Generation = row.DesiredState, row.RestartGeneration
	t.state.Health, t.state.Reason = row.Health, row.Reason
}

// stateOf is a service's state as the store holds it.
func stateOf(row *ent.Service, now time.Time) lifecycle.State {
	s := lifecycle.State{
		Phase: row.Phase, Health: row.Health, Reason: row.Reason,
		Instance: row.Instance, Ended: row.Ended,
		HandledGeneration: row.HandledGeneration, Restarts: row.Restarts,
		EngineRestarts: row.EngineRestarts, CrashLoop: row.CrashLoop, EverHealthy: row.EverHealthy,
	}
	for _, f := range row.Failures {
		s.Failures = append(s.Failures, earlier(f, now))
	}
	if row.HealthySince != nil {
		s.HealthySince = earlier(*row.HealthySince, now)
	}
	if row.NextRestartAt != nil {
		s.NextRestartAt = earlier(*row.NextRestartAt, now.Add(lifecycle.MaxStoredDeadline))
	}
	return s
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// policy is the service's own, with its probe interval spread a little.
func (t *task) policy(row *ent.Service) lifecycle.Policy {
	p := row.Definition.Probe
	memory := 0
	if d := row.Definition.Docker; d != nil {
		memory = d.Limits.MemoryMiB
	}
	return lifecycle.Policy{
		Interval:         time.Duration(float64(p.Interval) * t.spread),
		FailureThreshold: p.FailureThreshold,
		Grace:            p.Grace,
		StopGrace:        row.Definition.Stop.Grace,
		HangGrace:        row.Definition.Stop.HangGrace,
		MemoryMiB:        memory,
	}
}

// observe gathers what lifecycle.Next needs; a service that waits for a place is placed on the way.
func (o *Orchestrator) observe(ctx context.Context, t *task, row *ent.Service) (lifecycle.Observation, *ent.Service, error) {
	var seen lifecycle.Observation
	if row.NodeID == "" && row.DesiredState == lifecycle.WantRunning {
		placed, reason, err := o.place(ctx, row)
		if err != nil {
			return seen, row, err
		}
		if placed != nil {
			row = placed
			t.keep(row)
		}
		seen.Unplaced = reason
	}
	t.mu.Lock()
	seen.Rotating = len(row.PendingCredentials) > 0
	seen.Busy, seen.Probing, seen.Outcome, seen.Check = t.busy, t.checking != nil, t.outcome, t.check
	t.mu.Unlock()
	if row.NodeID == "" {
		return seen, row, nil
	}
	seen.Placed = true
	n := o.node(row.NodeID)
	if seen.NodeDown = n == nil || n.down(); seen.NodeDown {
		return seen, row, nil
	}
	if t.run != nil && t.asBefore(row, seen) {
		seen.Run = *t.run
		return seen, row, nil
	}
	ctx, cancel := context.WithTimeout(ctx, inspectTimeout)
	defer cancel()
	there, err := n.drv.Inspect(ctx, t.id)
	if err != nil {
		return seen, row, err
	}
	seen.Run = runOf(there)
	t.run = &seen.Run
	return seen, row, nil
}

// asBefore says whether a look at a service can only be for its next probe: it was healthy, and nothing was done or wished
// since. Such a look costs no inspection: whatever ends or changes a run is hinted at, fails its probe, or waits for
// the resync.
func (t *task) asBefore(row *ent.Service, seen lifecycle.Observation) bool {
	return t.state.Phase == lifecycle.Running && t.state.Health == lifecycle.HealthHealthy &&
		row.Health == t.state.Health && row.DesiredState == t.state.Desired && row.RestartGeneration == t.state.Generation &&
		seen.Busy == lifecycle.NoStep && seen.Outcome == nil && seen.Check == nil
}

func runOf(there driver.Observed) lifecycle.Run {
	return lifecycle.Run{
		ID: there.Instance, Running: there.Running, Paused: there.Paused, Frozen: there.Frozen,
		ExitCode: there.ExitCode, OOM: there.OOMKilled,
		Restarting: there.Restarting, AutoRestart: lifecycle.AutoRestart(there.AutoRestart), Restarts: there.Restarts,
		Before: lifecycle.End{Seen: there.Before.Seen, ExitCode: there.Before.ExitCode, OOM: there.Before.OOMKilled},
	}
}

// settled drops what was taken into account.
func (t *task) settled(seen lifecycle.Observation) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.instance = t.state.Watch.Instance
	if t.outcome == seen.Outcome {
		t.outcome = nil
	}
	if t.check == seen.Check {
		t.check = nil
	}
}

// act starts what lifecycle decided.
func (o *Orchestrator) act(ctx context.Context, t *task, row *ent.Service, d lifecycle.Decision) error {
	switch d.Do {
	case lifecycle.DoPrepare:
		o.begin(t, lifecycle.StepPrepare, func(ctx context.Context) error { return o.prepare(ctx, t, row) })
	case lifecycle.DoLaunch:
		o.begin(t, lifecycle.StepLaunch, func(ctx context.Context) error { return o.launch(ctx, t, row) })
	case lifecycle.DoStop:
		o.begin(t, lifecycle.StepStop, func(ctx context.Context) error { return o.halt(ctx, row, d.Grace) })
	case lifecycle.DoRemove:
		o.begin(t, lifecycle.StepRemove, func(ctx context.Context) error { return o.dismantle(ctx, t, row, d.Grace) })
	case lifecycle.DoAutoRestart:
		o.begin(t, lifecycle.StepAutoRestart, func(ctx context.Context) error { return o.autoRestart(ctx, row) })
	case lifecycle.DoRotate:
		o.begin(t, lifecycle.StepRotate, func(ctx context.Context) error { return o.rotate(ctx, t, row) })
	case lifecycle.DoCancel:
		t.mu.Lock()
		if t.cancel != nil {
			t.cancel()
		}
		t.mu.Unlock()
	case lifecycle.DoProbe:
		_, err := o.probe(t, row, false)
		return err
	case lifecycle.DoForget:
		if row.DeleteData && row.NodeID != "" && !t.withoutData() { // asked for while the service was taken down
			o.begin(t, lifecycle.StepRemove, func(ctx context.Context) error { return o.dismantle(ctx, t, row, 0) })
			return nil
		}
		return o.drop(ctx, t, row)
	}
	return nil
}
