package reconcile

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/ent/service"
	"github.com/unicorn-web-services/uws/internal/background"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/credentials"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/probe"
)

const (
	flushInterval = 10 * time.Second // between writes of the times of the newest checks
	flushBatch    = 500              // services a statement
	// slowProbe is how long a probe counts against the limit. One that takes longer mostly waits: it goes on outside of the
	// limit, so that services that hang do not delay the probes of others, however many they are.
	slowProbe = 250 * time.Millisecond
)

// sent is a probe under way with what it was sent for.
type sent struct {
	*checking
	instance string    // that is asked
	next     time.Time // the next probe, when all is well
}

// probe starts a probe of a service unless one is under way, and returns it at once. Its result is passed to the next
// reconciliation.
func (r *Reconciler) probe(c *controller, row *ent.Service, byHand bool) *checking {
	target, ask := r.question(c, row)
	s, isNew := c.beginProbe(row, byHand)
	if !isNew {
		return s.checking
	}
	target.Stats = c.statsDue(s.instance, c.policy(row).Interval, time.Now())
	r.work.Go(func(ctx context.Context) {
		if r.probes.Acquire(ctx, 1) == nil {
			leave := sync.OnceFunc(func() { r.probes.Release(1) })
			slow := time.AfterFunc(slowProbe, leave)
			read := probe.Run(ctx, ask, target, row.Definition.Probe.Timeout, time.Now)
			if target.Stats {
				c.reported(s.instance, read)
			}
			s.result, s.code = r.checkWrite(ctx, c, row, s, target, read)
			slow.Stop()
			leave()
		}
		r.probed(c, s, ctx.Err() != nil)
	})
	return s.checking
}

// beginProbe notes that a probe is under way. isNew is false if one was already.
func (c *controller) beginProbe(row *ent.Service, byHand bool) (s sent, isNew bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if isNew = c.checking == nil; isNew {
		c.checking = &checking{done: make(chan struct{}), byHand: byHand}
	}
	return sent{c.checking, c.instance, time.Now().Add(c.policy(row).Interval)}, isNew
}

// question returns whom to ask, and how. If uws itself is unable to, the answer is NotAsked.
func (r *Reconciler) question(c *controller, row *ent.Service) (probe.Target, probe.Func) {
	k, err := c.openKeys(r.vault, row)
	if err != nil {
		return probe.Target{}, cannotAsk(err)
	}
	target, ask, err := r.vault.Target(row, k.Use)
	if err != nil {
		return probe.Target{}, cannotAsk(err)
	}
	return target, credentials.Either(ask, k.Other)
}

func cannotAsk(err error) probe.Func {
	return func(context.Context, probe.Target) probe.Result {
		return probe.Result{Verdict: probe.NotAsked, Detail: "could not check: " + err.Error()}
	}
}

// probed passes a probe's result on, and wakes those who wait for it.
func (r *Reconciler) probed(c *controller, s sent, abandoned bool) {
	defer close(s.done)
	kind, news := c.endProbe(s, abandoned)
	if abandoned {
		return
	}
	r.metrics.checked(kind, s.result)
	if news {
		r.queue.add(c.id)
	} else {
		r.queue.addBy(c.id, s.next)
	}
}

// endProbe takes over the result of a probe. A failure found by hand counts only as often as the loop itself would have
// found it, so that asking often restarts nothing. news is false if a healthy service is still healthy: there is nothing to
// do before its next probe.
func (c *controller) endProbe(s sent, abandoned bool) (kind catalog.Kind, news bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.checking = nil
	if abandoned {
		return c.kind, false
	}
	counts := !s.byHand || s.result.Verdict != probe.Dead || s.result.At.Sub(c.lastCheck) >= lifecycle.FastInterval
	c.lastCheck = s.result.At
	news = s.byHand || s.result.Verdict != probe.OK || c.phase != lifecycle.Running || c.health != lifecycle.HealthHealthy
	if counts && news {
		c.check = &lifecycle.Check{Instance: s.instance, Verdict: lifecycle.Verdict(s.result.Verdict), Detail: s.result.Detail, Code: s.code, NotSetUp: s.result.NotSetUp}
	}
	return c.kind, news
}

// Check probes a service now, and returns it as it is afterwards. A probe that is under way already is waited for instead,
// unless it finds the service healthy without having been due to write. The error is Conflict if there is nothing to probe.
func (r *Reconciler) Check(ctx context.Context, id string) (*orchestrator.Service, probe.Result, error) {
	row, err := r.opts.Snapshot.Row(ctx, id)
	if err != nil {
		return nil, probe.Result{}, err
	}
	c := r.controller(id)
	if c == nil || row.NodeID == "" || row.DesiredState != lifecycle.WantRunning {
		return nil, probe.Result{}, orchestrator.Errorf(orchestrator.Conflict, "id", "service %s is %s: there is nothing to probe; start it first", row.Name, row.Phase)
	}
	if !c.everInspected() { // uws was just started, and where the instance listens is not known yet
		r.queue.wait(ctx, id)
	}
	p := r.probe(c, row, true)
	for done := false; !done; {
		select {
		case <-ctx.Done():
			return nil, probe.Result{}, ctx.Err()
		case <-p.done:
		}
		if done = p.byHand || p.result.Verdict != probe.OK; !done { // it may only have read
			p = r.probe(c, row, true)
		}
	}
	r.queue.wait(ctx, id)
	s, err := r.opts.Snapshot.Service(ctx, id)
	return s, p.result, err
}

// LastCheck returns when a service was last probed, nil if never.
func (r *Reconciler) LastCheck(s *orchestrator.Service) *time.Time {
	if c := r.controller(s.ID); c != nil {
		if at := c.checkedAt(); !at.IsZero() {
			at = at.UTC()
			return &at
		}
	}
	return s.LastHealthCheckAt
}

func (c *controller) checkedAt() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lastCheck
}

// flushChecks stores the times of the newest checks at intervals.
func (r *Reconciler) flushChecks(ctx context.Context) {
	background.Every(ctx, flushInterval, func() {
		if err := r.flush(ctx); err != nil && ctx.Err() == nil {
			r.log.Error("storing the times of the newest checks failed; retrying", "error", err)
		}
	})
}

// flush stores what changed since the last call in one transaction, to the second, so that few statements are needed. It
// leaves the rows' versions alone: nothing is decided by these times.
func (r *Reconciler) flush(ctx context.Context) error {
	marks := map[*controller]time.Time{}
	bySecond := map[time.Time][]string{}
	for _, c := range r.all() {
		if at, due := c.flushDue(); due {
			marks[c] = at
			second := at.UTC().Truncate(time.Second)
			bySecond[second] = append(bySecond[second], c.id)
		}
	}
	if len(marks) == 0 {
		return nil
	}
	err := r.store.Update(ctx, func(ctx context.Context, tx *ent.Tx) error {
		for second, ids := range bySecond {
			for some := range slices.Chunk(ids, flushBatch) {
				if err := tx.Service.Update().Where(service.IDIn(some...)).SetLastHealthCheckAt(second).Exec(ctx); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for c, at := range marks {
		c.flushDone(at)
	}
	return nil
}

func (c *controller) flushDue() (at time.Time, due bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lastCheck, c.lastCheck.After(c.flushed)
}

func (c *controller) flushDone(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flushed = at
}
