package usage

import (
	"context"
	"slices"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator"
)

var _ orchestrator.UsageReader = (*Uses)(nil)

// Usage implements [orchestrator.UsageReader].
func (u *Uses) Usage(s *orchestrator.Service) *orchestrator.Usage {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.services[s.ID].shown(time.Now())
}

// shown returns the newest measurement unless it is too old. s may be nil.
func (s *service) shown(now time.Time) *orchestrator.Usage {
	if s == nil || now.After(s.until) {
		return nil
	}
	return s.current
}

// NodeUsage implements [orchestrator.UsageReader].
func (u *Uses) NodeUsage(n orchestrator.Node) *orchestrator.NodeUsage {
	u.mu.Lock()
	defer u.mu.Unlock()
	state := u.nodes[n.ID]
	if state == nil || time.Now().After(state.until) {
		return nil
	}
	return state.current
}

// WatchUsage implements [orchestrator.UsageReader].
func (u *Uses) WatchUsage(ctx context.Context, ids []string, span orchestrator.Span, yield func(*orchestrator.UsageBatch) error) (int64, error) {
	if err := orchestrator.CheckUsageIDs(ids); err != nil {
		return 0, err
	}
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	for _, id := range ids {
		if _, err := u.opts.Snapshot.Service(ctx, id); err != nil {
			return 0, err
		}
	}
	after := int64(0)
	if span.After != nil {
		after = *span.After
	}
	for ctx.Err() == nil {
		batch, more := u.since(ids, after)
		if len(batch.Services) > 0 {
			if err := yield(batch); err != nil {
				return after, err
			}
		}
		after = batch.Position
		if !span.Live {
			break
		}
		select {
		case <-ctx.Done():
		case <-more:
		}
		if u.gone(ids) {
			return orchestrator.Over, nil
		}
	}
	return after, nil
}

// since returns the measurements of services after a position, and what is closed when there are more.
func (u *Uses) since(ids []string, after int64) (*orchestrator.UsageBatch, <-chan struct{}) {
	u.mu.Lock()
	defer u.mu.Unlock()
	batch := &orchestrator.UsageBatch{Position: u.position}
	now := time.Now()
	for _, id := range ids {
		s := u.services[id]
		if use := s.shown(now); use != nil && s.position > after {
			batch.Services = append(batch.Services, use)
		}
	}
	return batch, u.measured
}

// gone reports whether none of the services exists any more.
func (u *Uses) gone(ids []string) bool {
	return !slices.ContainsFunc(ids, u.opts.Snapshot.Has)
}

// wakeWatches has watches look again. u.mu is held.
func (u *Uses) wakeWatches() {
	close(u.measured)
	u.measured = make(chan struct{})
}

// Warnings implements [orchestrator.UsageReader].
func (u *Uses) Warnings(s *orchestrator.Service) []orchestrator.Warning {
	u.mu.Lock()
	defer u.mu.Unlock()
	if state := u.services[s.ID]; state != nil {
		return state.warnings.active(time.Now())
	}
	return nil
}

// NodeWarnings implements [orchestrator.UsageReader].
func (u *Uses) NodeWarnings(n orchestrator.Node) []orchestrator.Warning {
	u.mu.Lock()
	defer u.mu.Unlock()
	if state := u.nodes[n.ID]; state != nil {
		return state.warnings.active(time.Now())
	}
	return nil
}
