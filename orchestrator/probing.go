package orchestrator

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/probe"
)

const flushInterval = 10 * time.Second // between writes of the times of the newest checks

// probe sends one probe to a service unless one is under way, and returns it at once. Its result is
// handed to the loop.
func (o *Orchestrator) probe(t *task, row *ent.Service, byHand bool) (*checking, error) {
	target, err := o.target(t, row)
	if err != nil {
		return nil, err
	}
	ask, ok := probe.Lookup(row.Definition.Probe.Type)
	if !ok {
		return nil, fmt.Errorf("probe type %q of template %s is not known to this uws", row.Definition.Probe.Type, row.Template)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.checking != nil {
		return t.checking, nil
	}
	c := &checking{done: make(chan struct{})}
	t.checking = c
	instance := t.instance
	o.start(func(ctx context.Context) {
		if o.probes.Acquire(ctx, 1) == nil {
			c.result = probe.Run(ctx, ask, target, row.Definition.Probe.Timeout, time.Now)
			o.probes.Release(1)
		}
		o.probed(t, c, instance, byHand, ctx.Err() != nil)
	})
	return c, nil
}

// probed hands a probe's result to the loop and to those who wait for it. A failure found by hand counts
// only as often as the loop itself would have found it: impatience restarts nothing.
func (o *Orchestrator) probed(t *task, c *checking, instance string, byHand, abandoned bool) {
	defer close(c.done)
	t.mu.Lock()
	t.checking = nil
	if abandoned {
		t.mu.Unlock()
		return
	}
	counts := !byHand || c.result.Verdict != probe.Dead || c.result.At.Sub(t.lastCheck) >= lifecycle.FastInterval
	t.lastCheck = c.result.At
	if counts {
		t.check = &lifecycle.Check{Instance: instance, Verdict: lifecycle.Verdict(c.result.Verdict), Detail: c.result.Detail}
	}
	kind := t.kind
	t.mu.Unlock()
	o.metrics.checked(kind, c.result)
	o.queue.add(t.id)
}

// target is where and how a service is probed.
func (o *Orchestrator) target(t *task, row *ent.Service) (probe.Target, error) {
	n := o.node(row.NodeID)
	if n == nil {
		return probe.Target{}, fmt.Errorf("service %s is on no node", row.Name)
	}
	credentials, err := o.credentials(t, row)
	if err != nil {
		return probe.Target{}, err
	}
	port := row.Ports[row.Definition.Probe.Port]
	return probe.Target{
		Address:     net.JoinHostPort(n.current().ServiceAddress, strconv.Itoa(port)),
		Credentials: credentials,
		Options:     row.Definition.Probe.Options,
	}, nil
}

// Check implements [API]. A probe that is under way already is waited for rather than doubled.
func (o *Orchestrator) Check(ctx context.Context, id string) (*ent.Service, probe.Result, error) {
	row, err := o.Service(ctx, id)
	if err != nil {
		return nil, probe.Result{}, err
	}
	t := o.task(id)
	if t == nil || row.NodeID == "" || row.DesiredState != lifecycle.WantRunning {
		return nil, probe.Result{}, Errorf(Conflict, "id", "service %s is %s: there is nothing to probe; start it first", row.Name, row.Phase)
	}
	c, err := o.probe(t, row, true)
	if err != nil {
		return nil, probe.Result{}, err
	}
	select {
	case <-ctx.Done():
		return nil, probe.Result{}, ctx.Err()
	case <-c.done:
	}
	o.queue.wait(ctx, id)
	row, err = o.Service(ctx, id)
	return row, c.result, err
}

// flushChecks writes the times of the newest checks from time to time.
func (o *Orchestrator) flushChecks(ctx context.Context) {
	every(ctx, flushInterval, func() {
		if err := o.flush(ctx); err != nil && ctx.Err() == nil {
			o.log.Error("writing the times of the newest checks failed; it is tried again", "error", err)
		}
	})
}

// flush writes in one transaction what changed since the last one. It leaves the rows' versions alone:
// nobody decides by these times.
func (o *Orchestrator) flush(ctx context.Context) error {
	type mark struct {
		t  *task
		at time.Time
	}
	var marks []mark
	for _, t := range o.allTasks() {
		t.mu.Lock()
		if t.lastCheck.After(t.flushed) {
			marks = append(marks, mark{t, t.lastCheck})
		}
		t.mu.Unlock()
	}
	if len(marks) == 0 {
		return nil
	}
	err := o.inTx(ctx, func(tx *ent.Tx) error {
		for _, m := range marks {
			err := tx.Service.UpdateOneID(m.t.id).SetLastHealthCheckAt(m.at.UTC().Round(0)).Exec(ctx)
			if err != nil && !ent.IsNotFound(err) {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, m := range marks {
		m.t.mu.Lock()
		m.t.flushed = m.at
		m.t.mu.Unlock()
	}
	return nil
}
