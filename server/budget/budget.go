// Package budget bounds the memory that clients can make a server hold.
package budget

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// ErrFull means that other callers hold too much of a budget. ErrShare means that the caller itself does.
var (
	ErrFull  = errors.New("the server is busy")
	ErrShare = errors.New("too much at once")
)

// Budget is a number of bytes that callers share. A caller that holds something gets more only while at least as much
// remains free as it would then hold. So a single caller can have half of the budget, each of n callers one part in
// n+1, and there is always room for one more. Of the waiting callers, the one that holds least is next. A Budget is
// safe for concurrent use.
type Budget struct {
	total int

	mu      sync.Mutex
	held    int
	arrived int // number of waiters so far
	callers map[string]*caller
}

// caller is a caller that holds something or waits.
type caller struct {
	held    int
	waiting []*waiter // first come first
}

type waiter struct {
	bytes   int
	arrival int
	granted chan struct{}
}

// New returns a budget of total bytes.
func New(total int) *Budget { return &Budget{total: total, callers: map[string]*caller{}} }

// most returns the maximum of a single request. A larger one would have to wait until nothing is held.
func (b *Budget) most() int { return b.total / 4 }

// Hold is a part of a budget that a caller holds. A nil Hold is empty. It is not safe for concurrent use.
type Hold struct {
	budget *Budget
	name   string
	bytes  int
}

// Take waits until the caller with this name may hold bytes more, or a quarter of the budget if that is less. If ctx
// ends first, it returns ErrFull or ErrShare, and the cause.
func (b *Budget) Take(ctx context.Context, name string, bytes int) (*Hold, error) {
	w := &waiter{bytes: min(bytes, b.most()), granted: make(chan struct{})}
	b.mu.Lock()
	b.arrived++
	w.arrival = b.arrived
	c := b.caller(name)
	c.waiting = append(c.waiting, w)
	b.grant()
	b.mu.Unlock()
	hold := &Hold{budget: b, name: name, bytes: w.bytes}
	select {
	case <-w.granted:
		return hold, nil
	default:
	}
	select {
	case <-w.granted:
		return hold, nil
	case <-ctx.Done():
	}
	if err := b.withdraw(name, w); err != nil {
		return nil, fmt.Errorf("%w: %w", err, context.Cause(ctx))
	}
	return hold, nil
}

// withdraw removes a waiter and returns why it had to wait, or nil if it was granted meanwhile.
func (b *Budget) withdraw(name string, w *waiter) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.caller(name)
	defer b.forget(name, c)
	for i, other := range c.waiting {
		if other == w {
			c.waiting = slices.Delete(c.waiting, i, i+1)
			b.grant() // another waiter may have been waiting behind this one
			if c.held > 0 {
				return ErrShare
			}
			return ErrFull
		}
	}
	return nil
}

// Try is like Take, but returns nil instead of waiting.
func (b *Budget) Try(name string, bytes int) *Hold {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.caller(name)
	defer b.forget(name, c)
	if bytes = min(bytes, b.most()); len(c.waiting) > 0 || !b.fits(c, bytes) {
		return nil
	}
	b.add(c, bytes)
	return &Hold{budget: b, name: name, bytes: bytes}
}

// Add accounts for bytes that the caller holds in any case, or releases them if negative. It reports whether the caller
// is within its limit.
func (b *Budget) Add(name string, bytes int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.caller(name)
	defer b.forget(name, c)
	b.add(c, bytes)
	if bytes < 0 {
		b.grant()
	}
	return c.held <= b.total-b.held
}

// Held returns the number of bytes that all callers hold.
func (b *Budget) Held() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.held
}

// Shrink releases what exceeds bytes.
func (h *Hold) Shrink(bytes int) {
	if h == nil || h.bytes <= bytes {
		return
	}
	h.budget.Add(h.name, bytes-h.bytes)
	h.bytes = bytes
}

// Release releases everything. It may be called more than once.
func (h *Hold) Release() { h.Shrink(0) }

// caller returns the caller with the given name. b.mu must be held.
func (b *Budget) caller(name string) *caller {
	c := b.callers[name]
	if c == nil {
		c = &caller{}
		b.callers[name] = c
	}
	return c
}

// forget removes a caller that holds nothing and does not wait. b.mu must be held.
func (b *Budget) forget(name string, c *caller) {
	if c.held == 0 && len(c.waiting) == 0 {
		delete(b.callers, name)
	}
}

// add is the only place that changes what a caller holds. b.mu must be held.
func (b *Budget) add(c *caller, bytes int) {
	c.held += bytes
	b.held += bytes
}

// fits reports whether a caller may hold bytes more. b.mu must be held.
func (b *Budget) fits(c *caller, bytes int) bool {
	free := b.total - b.held - bytes
	return free >= 0 && (c.held == 0 || c.held+bytes <= free)
}

// grant serves waiters while there is room. b.mu must be held.
func (b *Budget) grant() {
	for {
		next := b.next()
		if next == nil || !b.fits(next, next.waiting[0].bytes) {
			return // do not skip it, or a large request would starve
		}
		w := next.waiting[0]
		next.waiting = next.waiting[1:]
		b.add(next, w.bytes)
		close(w.granted)
	}
}

// next returns the waiting caller that holds least, the first one to come if there are several.
func (b *Budget) next() *caller {
	var best *caller
	for _, c := range b.callers {
		if len(c.waiting) == 0 {
			continue
		}
		if best == nil || c.held < best.held || c.held == best.held && c.waiting[0].arrival < best.waiting[0].arrival {
			best = c
		}
	}
	return best
}

// Memory contains the budgets of one server. A request that needs several takes them in this order, which prevents
// deadlocks.
type Memory struct {
	Bodies        *Budget // large requests and messages while they are read
	Requests      *Budget // requests and messages while they are served
	Answers       *Budget // answers while they are built or wait for slow HTTP clients
	Unsent        *Budget // messages that wait for slow WebSocket clients
	Subscriptions *Budget // subscriptions that differ from each other
}

// Default is the number of bytes that clients can make a server hold by default.
const Default = 36 << 20

// NewMemory divides bytes among the budgets.
func NewMemory(bytes int) *Memory {
	part := bytes / 9
	return &Memory{Bodies: New(part), Requests: New(2 * part), Answers: New(2 * part), Unsent: New(2 * part), Subscriptions: New(2 * part)}
}
