// Package background runs goroutines of a component that outlive its calls, and stops them.
package background

import (
	"context"
	"sync"
	"time"
)

// Group is a set of goroutines with one context. It is safe for concurrent use.
type Group struct {
	ctx    context.Context // canceled by Stop
	cancel context.CancelFunc

	mu      sync.Mutex
	stopped bool
	running sync.WaitGroup
}

// NewGroup returns a group that runs until Stop.
func NewGroup() *Group {
	g := &Group{}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	return g
}

// Context returns the context of the group.
func (g *Group) Context() context.Context { return g.ctx }

// Go runs f in a new goroutine. After Stop it calls f directly, with a canceled context.
func (g *Group) Go(f func(ctx context.Context)) {
	g.mu.Lock()
	if g.stopped {
		g.mu.Unlock()
		f(g.ctx)
		return
	}
	g.running.Add(1)
	g.mu.Unlock()
	go func() {
		defer g.running.Done()
		f(g.ctx)
	}()
}

// Stop cancels the context and waits for all goroutines. It is idempotent.
func (g *Group) Stop() {
	g.mu.Lock()
	g.stopped = true
	g.mu.Unlock()
	g.cancel()
	g.running.Wait()
}

// Every calls f at each interval until ctx ends.
func Every(ctx context.Context, interval time.Duration, f func()) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f()
		}
	}
}

// Pause waits for d. It reports whether ctx is still active.
func Pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
