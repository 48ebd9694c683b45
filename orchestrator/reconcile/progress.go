package reconcile

import (
	"context"

	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
)

// Progress returns the launch step of a service, nil unless it is PENDING or STARTING.
func (r *Reconciler) Progress(s *orchestrator.Service) *orchestrator.Progress {
	if c := r.controller(s.ID); c != nil {
		p, _, _ := c.progress()
		return p
	}
	return nil
}

// WatchProgress calls yield with the launch step of a service and each later one, until the launch ends (nil), ctx ends
// (nil), or yield fails. A position is a number of the service's own that grows with each step.
func (r *Reconciler) WatchProgress(ctx context.Context, id string, span orchestrator.Span, yield func(orchestrator.Progress, int64) error) (int64, error) {
	if _, err := r.opts.Snapshot.Service(ctx, id); err != nil {
		return orchestrator.Over, err
	}
	c, position := r.controller(id), int64(-1)
	if span.After != nil {
		position = *span.After
	}
	for c != nil {
		p, at, changed := c.progress()
		if p == nil {
			return orchestrator.Over, nil
		}
		if at > position {
			position = at
			if err := yield(*p, position); err != nil {
				return position, err
			}
		}
		if !span.Live {
			return position, nil
		}
		select {
		case <-ctx.Done():
			return position, nil
		case <-changed:
		}
	}
	return orchestrator.Over, nil
}

// Limits returns what a service is held to. Before it is placed they are zero unless they will count wherever it is placed.
func (r *Reconciler) Limits(s *orchestrator.Service) catalog.Limits {
	n := r.fleet.Lookup(s.NodeID)
	if n == nil {
		if d := s.Definition.Docker; d != nil && (d.Limits.Asked || s.Definition.Process == nil) {
			return d.Limits
		}
		return catalog.Limits{}
	}
	info := n.Info()
	run := s.Definition.Runtime(catalog.Driver(n.Row().Driver))
	if run == nil || info != nil && !info.Limits {
		return catalog.Limits{}
	}
	return run.Limits
}
