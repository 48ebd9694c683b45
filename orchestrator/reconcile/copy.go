package reconcile

import (
	"context"
	"errors"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/fleet"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
)

// copying is a caller of Copy.
type copying struct {
	work  CopyFunc
	done  chan error
	begun bool // guarded by the controller's lock
}

// CopyFunc copies the data of a service, whose instance is described by spec. n is its node.
type CopyFunc func(ctx context.Context, row *ent.Service, n *fleet.Node, spec driver.Spec) error

var errCopyEnded = errors.New("the service was stopped, restarted or removed meanwhile")

// Copy runs work while nothing else is done with a service: it is not probed, and what becomes of its instance does not
// count. It begins when the service is RUNNING or STOPPED and at rest. A run that work ended is started again afterwards, and
// one that it left frozen goes on. A request to stop, restart or remove the service cancels work; so does the end of ctx.
// Copy returns when work has returned or ctx has ended before it began. One caller at a time copies a service; a second
// one gets Conflict.
func (r *Reconciler) Copy(ctx context.Context, id string, work CopyFunc) error {
	c := r.controller(id)
	if c == nil {
		return orchestrator.Errorf(orchestrator.NotFound, "id", "there is no service with id %q", id)
	}
	x := &copying{done: make(chan error, 1), work: func(step context.Context, row *ent.Service, n *fleet.Node, spec driver.Spec) error {
		step, cancel := context.WithCancel(step)
		defer cancel()
		defer context.AfterFunc(ctx, cancel)()
		err := work(step, row, n, spec)
		if err != nil && step.Err() != nil && ctx.Err() == nil {
			return errCopyEnded
		}
		return err
	}}
	if !c.replaceCopying(nil, x) {
		return orchestrator.Errorf(orchestrator.Conflict, "id", "the data of this service is being copied already")
	}
	defer r.queue.add(id)
	r.queue.add(id)
	for {
		c.mu.Lock()
		begun, gone, changed := x.begun, c.phase == "", c.changed
		c.mu.Unlock()
		if begun {
			return <-x.done
		}
		if gone {
			return errCopyEnded
		}
		select {
		case <-changed:
		case <-ctx.Done():
			if c.replaceCopying(x, nil) {
				return ctx.Err()
			}
		}
	}
}

// replaceCopying replaces who waits to copy the data, and reports whether it was was.
func (c *controller) replaceCopying(was, is *copying) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.copying != was {
		return false
	}
	c.copying = is
	return true
}

// copy begins the work of the caller of Copy.
func (r *Reconciler) copy(c *controller, row *ent.Service) {
	c.mu.Lock()
	x := c.copying
	if c.copying = nil; x != nil {
		x.begun = true
	}
	c.mu.Unlock()
	if x == nil {
		return
	}
	r.begin(c, lifecycle.StepCopy, func(ctx context.Context) error {
		x.done <- r.copyAt(ctx, c, row, x)
		return nil // what went wrong is the caller's
	})
}

func (r *Reconciler) copyAt(ctx context.Context, c *controller, row *ent.Service, x *copying) error {
	n := r.fleet.Lookup(row.NodeID)
	if n == nil {
		return driver.Errorf(driver.Unreachable, "its node is not registered any more")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(n.Context(), cancel)()
	spec, err := r.spec(ctx, c, row, n)
	if err != nil {
		return err
	}
	return x.work(ctx, row, n, spec)
}
