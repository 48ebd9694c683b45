package reconcile

import (
	"context"
	"net/netip"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/ent/service"
	"github.com/unicorn-web-services/uws/orchestrator/credentials"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/fleet"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

const (
	inspectTimeout = 10 * time.Second
	errorPause     = time.Second // before a failed reconciliation is repeated
	// unreachablePause is errorPause while the node does not answer but does not count as lost yet.
	unreachablePause = 2 * time.Second
	fullPause        = 2 * time.Second // while nothing can be stored
	maxTurns         = 12              // of lifecycle.Next within one reconciliation; it comes to rest after a few
)

// reconcile brings one service a step closer to its desired state, and schedules the next reconciliation. It never waits
// for work at a node.
func (r *Reconciler) reconcile(ctx context.Context, now claim) {
	id := now.id
	c := r.controller(id)
	if c == nil || !r.opts.Owns(id) {
		return
	}
	if !now.due {
		c.run = nil
	}
	wake, err := r.step(context.WithValue(ctx, reconciling{}, id), c, "")
	if err != nil && ctx.Err() == nil {
		pause := errorPause
		switch {
		case ent.IsNotFound(err): // the row was changed meanwhile; not worth a line
		case driver.ClassOf(err) == driver.Unreachable: // nor this: the check of its node logs it once for all
			r.log.Debug("a service's node does not answer", "id", id, "error", err)
			pause = unreachablePause
		case store.DiskFull(err): // this is logged once, too
			pause = fullPause
		default:
			r.log.Error("reconcile failed; retrying", "id", id, "error", err)
		}
		wake = time.Now().Add(pause)
		c.run = nil
		c.invalidate()
	}
	if r.controller(id) != nil {
		r.queue.addAt(id, wake)
	}
}

// step observes, decides, records and acts once. It returns when to reconcile again. unplaced is why the service could not be
// placed just now, empty if that was not tried.
func (r *Reconciler) step(ctx context.Context, c *controller, unplaced string) (time.Time, error) {
	row, err := r.read(ctx, c)
	if ent.IsNotFound(err) {
		r.drop(c)
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, err
	}
	if row.DesiredState != lifecycle.WantRunning {
		ctx = store.WithRelief(ctx)
	}
	seen, engineRun, err := r.observe(ctx, c, row)
	if err != nil {
		return time.Time{}, err
	}
	if err := r.fleet.NoteEngineRun(r.fleet.Lookup(row.NodeID), engineRun); err != nil {
		return time.Time{}, err
	}
	seen.Unplaced = unplaced
	c.refresh(row)
	made := decide(c.state, seen, c.policy(row))
	if row, err = r.record(ctx, c, row, made); err != nil {
		return time.Time{}, err
	}
	d := made[len(made)-1]
	c.state = d.State
	c.consumed(seen)
	if d.Do == lifecycle.DoLookOver {
		r.log.Error("lifecycle did not come to rest; this is a mistake in uws", "id", c.id, "phase", c.state.Phase)
		return time.Now().Add(errorPause), nil
	}
	if d.Do == lifecycle.DoPlace || d.Do == lifecycle.DoUnplace {
		if unplaced, err = r.move(ctx, c, row, d.Do); err != nil || unplaced == "" {
			return time.Now(), err
		}
		return r.step(ctx, c, unplaced) // which does not move it again
	}
	return d.WakeAt, r.act(ctx, c, row, d)
}

// decide asks lifecycle until it rests. An outcome and a check count once.
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

// read returns a service's row from memory, or from the store after invalidate. Every update of the store keeps it current, a
// write fails if it is not the newest, and each resync reads it again.
func (r *Reconciler) read(ctx context.Context, c *controller) (*ent.Service, error) {
	if row := c.known(); row != nil {
		return row, nil
	}
	row, err := r.store.Read.Service.Query().Where(service.ID(c.id)).Select(store.ServiceColumns(service.FieldDefinition)...).Only(ctx)
	if err == nil {
		c.keep(row)
	}
	return row, err
}

// refresh takes over what other writers changed: the desired state, and the loss of a node. The first time it takes
// everything, with stored deadlines bounded, since the clock may have been changed; so it does when the service was moved.
func (c *controller) refresh(row *ent.Service) {
	if !c.loaded || c.volume != row.Volume {
		c.state, c.loaded, c.volume = stateOf(row, time.Now()), true, row.Volume
	}
	c.state.Desired, c.state.Generation, c.state.SpecGeneration = row.DesiredState, row.RestartGeneration, row.SpecGeneration
	c.state.Health, c.state.Reason, c.state.ReasonCode, c.state.Params = row.Health, row.Reason, deref(row.ReasonCode), deref(row.ReasonParams)
}

// stateOf is a service's state as the store holds it.
func stateOf(row *ent.Service, now time.Time) lifecycle.State {
	s := lifecycle.State{
		Phase: row.Phase, Health: row.Health, Reason: row.Reason, ReasonCode: deref(row.ReasonCode), Params: deref(row.ReasonParams),
		LogLine:  deref(row.LogLine),
		Instance: row.Instance, Ended: row.Ended,
		HandledGeneration: row.HandledGeneration, ObservedGeneration: row.ObservedGeneration, Restarts: row.Restarts,
		EngineRestarts: row.EngineRestarts, Outside: row.Outside, CrashLoop: row.CrashLoop, EverHealthy: row.EverHealthy,
	}
	for _, u := range row.Undone {
		s.Undone = append(s.Undone, earlier(u, now))
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

// deref returns what p points to, zero if it is nil.
func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// policy returns the service's policy, with its probe interval spread a little.
func (c *controller) policy(row *ent.Service) lifecycle.Policy {
	p := row.Definition.Probe
	memory := 0
	if d := row.Definition.Docker; d != nil {
		memory = d.Limits.MemoryMiB
	}
	return lifecycle.Policy{
		Interval:         time.Duration(float64(p.Interval) * c.spread),
		FailureThreshold: p.FailureThreshold,
		Grace:            p.Grace,
		StopGrace:        row.Definition.Stop.Grace,
		HangGrace:        row.Definition.Stop.HangGrace,
		MemoryMiB:        memory,
	}
}

// observe gathers what lifecycle.Next needs, and the run of the node's engine where it was inspected. It changes
// nothing but what the controller remembers of the inspection.
func (r *Reconciler) observe(ctx context.Context, c *controller, row *ent.Service) (seen lifecycle.Observation, engineRun string, err error) {
	seen = lifecycle.Observation{Placed: row.NodeID != "", Rotating: len(row.PendingCredentials) > 0, Unmarked: !row.DataMarked || row.RecordStale}
	c.mu.Lock()
	seen.Busy, seen.Probing, seen.Outcome, seen.Check, seen.Copy = c.busy, c.checking != nil, c.outcome, c.check, c.copying != nil
	c.mu.Unlock()
	seen.Waits = r.waits(c)
	if !seen.Placed {
		return seen, "", nil
	}
	n := r.fleet.Lookup(row.NodeID)
	if seen.NodeDown = n == nil || n.Down(); seen.NodeDown {
		seen.Movable = n != nil && row.RequestedNode == "" && !row.EverHealthy
		return seen, "", nil
	}
	if c.run != nil && c.unchanged(row, seen) {
		seen.Run = *c.run
		return seen, "", nil
	}
	ctx, cancel := context.WithTimeout(ctx, inspectTimeout)
	defer cancel()
	observed, err := n.Driver().Inspect(ctx, c.id)
	if err != nil {
		return seen, "", err
	}
	seen.Run = runOf(observed)
	if ended(row, observed) {
		seen.Run.LogWord, seen.Run.LogLine, c.tail = r.readTail(ctx, c, row, n, observed)
	}
	c.run = &seen.Run
	c.inspected(observed)
	seen.DataBack, err = r.dataBack(ctx, row, n)
	return seen, observed.EngineRun, err
}

// inspected keeps where the instance listens.
func (c *controller) inspected(o driver.Observed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endpoints, c.located = o.Endpoints, true
}

func (c *controller) everInspected() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.located
}

// Endpoints returns where the instance of a service was listening when it was inspected last, see
// [driver.Observed.Endpoints].
func (r *Reconciler) Endpoints(service string) map[string]netip.AddrPort {
	c := r.controller(service)
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.endpoints
}

// unchanged reports whether a reconciliation can only be for the next probe: the service was healthy, and nothing was done
// or asked for since. It then needs no inspection: whatever ends or changes a run causes a hint, fails its probe, or
// waits for the resync.
func (c *controller) unchanged(row *ent.Service, seen lifecycle.Observation) bool {
	return c.state.Phase == lifecycle.Running && c.state.Health == lifecycle.HealthHealthy &&
		row.Health == c.state.Health && row.DesiredState == c.state.Desired && row.RestartGeneration == c.state.Generation && row.SpecGeneration == c.state.SpecGeneration &&
		seen.Busy == lifecycle.NoStep && seen.Outcome == nil && seen.Check == nil
}

func runOf(o driver.Observed) lifecycle.Run {
	return lifecycle.Run{
		ID: o.Instance, Generation: o.Generation, Running: o.Running, Paused: o.Paused, Frozen: o.Frozen,
		ExitCode: o.ExitCode, OOM: o.OOMKilled,
		Restarting: o.Restarting, AutoRestart: lifecycle.AutoRestart(o.AutoRestart), Restarts: o.Restarts,
		Act: lifecycle.Act(o.Act), EngineSince: o.EngineSince,
		Before: lifecycle.End{Seen: o.Before.Seen, ExitCode: o.Before.ExitCode, OOM: o.Before.OOMKilled},
	}
}

// act starts what lifecycle decided.
func (r *Reconciler) act(ctx context.Context, c *controller, row *ent.Service, d lifecycle.Decision) error {
	switch d.Do {
	case lifecycle.DoPrepare:
		r.begin(c, lifecycle.StepPrepare, func(ctx context.Context) error { return r.prepare(ctx, c, row) })
	case lifecycle.DoLaunch:
		r.begin(c, lifecycle.StepLaunch, func(ctx context.Context) error { return r.launch(ctx, c, row) })
	case lifecycle.DoReplace:
		r.begin(c, lifecycle.StepLaunch, func(ctx context.Context) error { return r.replace(ctx, c, row, d.Grace) })
	case lifecycle.DoStop:
		r.begin(c, lifecycle.StepStop, func(ctx context.Context) error { return r.stop(ctx, row, d.Grace) })
	case lifecycle.DoRemove:
		r.begin(c, lifecycle.StepRemove, func(ctx context.Context) error { return r.teardown(ctx, c, row, d.Grace) })
	case lifecycle.DoAutoRestart:
		r.begin(c, lifecycle.StepAutoRestart, func(ctx context.Context) error { return r.autoRestart(ctx, row) })
	case lifecycle.DoRotate:
		r.begin(c, lifecycle.StepRotate, func(ctx context.Context) error { return r.rotate(ctx, c, row) })
	case lifecycle.DoSetUp:
		r.begin(c, lifecycle.StepSetUp, func(ctx context.Context) error { return r.setUp(ctx, c, row) })
	case lifecycle.DoCopy:
		r.copy(c, row)
	case lifecycle.DoMark:
		r.begin(c, lifecycle.StepMark, func(ctx context.Context) error { return r.mark(ctx, row) })
	case lifecycle.DoCancel:
		c.cancelStep()
	case lifecycle.DoProbe:
		r.probe(c, row, false)
	case lifecycle.DoForget:
		if gone, _ := c.withoutData(); row.DeleteData && row.NodeID != "" && !gone { // asked for during the teardown
			r.begin(c, lifecycle.StepRemove, func(ctx context.Context) error { return r.teardown(ctx, c, row, 0) })
			return nil
		}
		return r.delete(ctx, c, row)
	}
	return nil
}

// setUp sets up a new engine. It takes no turn at the node: all it does there is to talk to the engine.
func (r *Reconciler) setUp(ctx context.Context, c *controller, row *ent.Service) error {
	ctx, cancel := context.WithTimeout(ctx, credentials.SetUpTimeout)
	defer cancel()
	k, err := c.openKeys(r.vault, row)
	if err != nil {
		return err
	}
	return r.vault.SetUp(ctx, row, k)
}

// rotate goes on with a change of credentials.
func (r *Reconciler) rotate(ctx context.Context, c *controller, row *ent.Service) error {
	return r.fleet.Do(ctx, row.NodeID, credentials.RotateTimeout, func(ctx context.Context, _ *fleet.Node) error {
		k, err := c.openKeys(r.vault, row)
		if err != nil {
			return err
		}
		asked, err := r.vault.Advance(ctx, row, k, c.replacementsFor(row))
		if asked {
			c.replaced()
		}
		return err
	})
}
