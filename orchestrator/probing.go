package orchestrator

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/ent/service"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/probe"
)

const (
	flushInterval = 10 * time.Second // between writes of the times of the newest checks
	flushBatch    = 500              // services a statement
	// slowProbe is how long a probe keeps its place. One that takes longer mostly waits: it goes on without
	// a place, so that services that hang do not delay the probes of others, however many they are.
	slowProbe = 250 * time.Millisecond
)

// sent is a probe under way, for the one who sent it.
type sent struct {
	*checking
	instance string // that is asked
	byHand   bool
	next     time.Time // the next probe, when all is well
}

// probe sends one probe to a service unless one is under way, and returns it at once. Its result is
// handed to the loop.
func (o *Orchestrator) probe(t *task, row *ent.Service, byHand bool) (*checking, error) {
	k, err := o.keys(t, row)
	if err != nil {
		return nil, err
	}
	target, ask, err := o.target(row, k.use)
	if err != nil {
		return nil, err
	}
	ask = either(ask, k.other)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.checking != nil {
		return t.checking, nil
	}
	c := &checking{done: make(chan struct{})}
	t.checking = c
	s := sent{c, t.instance, byHand, time.Now().Add(t.policy(row).Interval)}
	timeout := row.Definition.Probe.Timeout
	o.start(func(ctx context.Context) {
		if o.probes.Acquire(ctx, 1) == nil {
			leave := sync.OnceFunc(func() { o.probes.Release(1) })
			slow := time.AfterFunc(slowProbe, leave)
			c.result = probe.Run(ctx, ask, target, timeout, time.Now)
			slow.Stop()
			leave()
		}
		o.probed(t, s, ctx.Err() != nil)
	})
	return c, nil
}

// probed hands a probe's result to the loop and to those who wait for it. A failure found by hand counts
// only as often as the loop itself would have found it: impatience restarts nothing. That a healthy
// service is still healthy is no reason for a look; the next one is when its next probe is due.
func (o *Orchestrator) probed(t *task, c sent, abandoned bool) {
	defer close(c.done)
	t.mu.Lock()
	t.checking = nil
	if abandoned {
		t.mu.Unlock()
		return
	}
	counts := !c.byHand || c.result.Verdict != probe.Dead || c.result.At.Sub(t.lastCheck) >= lifecycle.FastInterval
	t.lastCheck = c.result.At
	news := c.byHand || c.result.Verdict != probe.OK || t.phase != lifecycle.Running || t.health != lifecycle.HealthHealthy
	if counts && news {
		t.check = &lifecycle.Check{Instance: c.instance, Verdict: lifecycle.Verdict(c.result.Verdict), Detail: c.result.Detail}
	}
	kind := t.kind
	t.mu.Unlock()
	o.metrics.checked(kind, c.result)
	if news {
		o.queue.add(t.id)
	} else {
		o.queue.until(t.id, c.next)
	}
}

// target is where and how a service is probed with these credentials.
func (o *Orchestrator) target(row *ent.Service, credentials map[string]string) (probe.Target, probe.Func, error) {
	p := row.Definition.Probe
	ask, ok := probe.Lookup(p.Type)
	if !ok {
		return probe.Target{}, nil, fmt.Errorf("probe type %q of template %s is not known to this uws", p.Type, row.Template)
	}
	n := o.node(row.NodeID)
	if n == nil {
		return probe.Target{}, nil, fmt.Errorf("service %s is on no node", row.Name)
	}
	return probe.Target{
		Address:     net.JoinHostPort(n.current().ServiceAddress, strconv.Itoa(row.Ports[p.Port])),
		Credentials: credentials,
		Options:     p.Options,
	}, ask, nil
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

// flush writes in one transaction what changed since the last one, to the second, so that few statements do.
// It leaves the rows' versions alone: nobody decides by these times.
func (o *Orchestrator) flush(ctx context.Context) error {
	marks := map[*task]time.Time{}
	bySecond := map[time.Time][]string{}
	for _, t := range o.allTasks() {
		t.mu.Lock()
		if t.lastCheck.After(t.flushed) {
			marks[t] = t.lastCheck
			second := t.lastCheck.UTC().Truncate(time.Second)
			bySecond[second] = append(bySecond[second], t.id)
		}
		t.mu.Unlock()
	}
	if len(marks) == 0 {
		return nil
	}
	err := o.inTx(ctx, func(tx *ent.Tx) error {
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
	for t, at := range marks {
		t.mu.Lock()
		t.flushed = at
		t.mu.Unlock()
	}
	return nil
}
