// Package budget bounds the memory that clients can make a server hold.
package budget

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// ErrFull means that others hold too much of a budget, and ErrShare that the caller itself does.
var (
	ErrFull  = errors.New("the server is busy")
	ErrShare = errors.New("too much at once")
)

// Budget is a number of bytes that callers share. A caller that holds something gets more only while as much as it would
// hold remains free. So one alone may have half of all, each of n has its part of n+1, and there is always room for one
// more, however slow the others are. Of those that wait the one that holds least is next. It is safe for concurrent use.
type Budget struct {
	total int

	mu      sync.Mutex
	held    int
	arrived int // waiters so far
	callers map[string]*caller
}

// caller is one that holds something or waits.
type caller struct {
	held    int
	waiting []*waiter // in order
}

type waiter struct {
	bytes   int
	arrival int
	granted chan struct{}
}

// New returns a budget of so many bytes.
func New(total int) *Budget { return &Budget{total: total, callers: map[string]*caller{}} }

// most is what can be taken at once. More would have to wait until nobody holds anything.
func (b *Budget) most() int { return b.total / 4 }

// Hold is what a caller holds of a budget. A nil one holds nothing. It is not safe for concurrent use.
type Hold struct {
	budget *Budget
	name   string
	bytes  int
}

// Take waits until the caller with this name may hold so many bytes more, or a quarter of all if that is less. When ctx
// ends first it fails with ErrFull or ErrShare, and the cause.
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

// withdraw takes back what waits, and returns why it had to; nil if it was granted meanwhile.
func (b *Budget) withdraw(name string, w *waiter) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.caller(name)
	defer b.forget(name, c)
	for i, other := range c.waiting {
		if other == w {
			c.waiting = slices.Delete(c.waiting, i, i+1)
			b.grant() // another may have waited behind it
			if c.held > 0 {
				return ErrShare
			}
			return ErrFull
		}
	}
	return nil
}

// Try is Take without waiting: nil if it would have to wait.
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

// Add accounts for bytes that the caller holds in any case, or no longer if negative, and reports whether that is no more
// than it may hold.
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

// Held returns how many bytes all callers hold.
func (b *Budget) Held() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.held
}

// Shrink gives back what is more than so many bytes.
func (h *Hold) Shrink(bytes int) {
	if h == nil || h.bytes <= bytes {
		return
	}
	h.budget.Add(h.name, bytes-h.bytes)
	h.bytes = bytes
}

// Release gives everything back. It may be called again.
func (h *Hold) Release() { h.Shrink(0) }

// caller returns the one with this name. b.mu is held.
func (b *Budget) caller(name string) *caller {
	c := b.callers[name]
	if c == nil {
		c = &caller{}
		b.callers[name] = c
	}
	return c
}

// forget lets go of a caller that holds nothing and does not wait. b.mu is held.
func (b *Budget) forget(name string, c *caller) {
	if c.held == 0 && len(c.waiting) == 0 {
		delete(b.callers, name)
	}
}

// add is the only place where what is held changes. b.mu is held.
func (b *Budget) add(c *caller, bytes int) {
	c.held += bytes
	b.held += bytes
}

// fits reports whether a caller may hold so much more. b.mu is held.
func (b *Budget) fits(c *caller, bytes int) bool {
	free := b.total - b.held - bytes
	return free >= 0 && (c.held == 0 || c.held+bytes <= free)
}

// grant gives to those who wait what there is. b.mu is held.
func (b *Budget) grant() {
	for {
		next := b.next()
		if next == nil || !b.fits(next, next.waiting[0].bytes) {
			return // it is not passed over: who needs much would never get it
		}
		w := next.waiting[0]
		next.waiting = next.waiting[1:]
		b.add(next, w.bytes)
		close(w.granted)
	}
}

// next returns the caller that holds least of those that wait; of several the one that came first.
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

// Memory is the budgets of one server. Whoever needs of several takes them in this order, so that none waits for one that
// waits for it.
type Memory struct {
	Bodies        *Budget // large requests and messages while they come
	Requests      *Budget // requests and messages that are served
	Answers       *Budget // answers while they are made, or wait for slow HTTP clients
	Unsent        *Budget // what waits for slow WebSocket clients
	Subscriptions *Budget // subscriptions that differ
}

// Default is how many bytes a server lets clients make it hold, if nothing else is said.
const Default = 36 << 20

// NewMemory divides bytes among the budgets.
func NewMemory(bytes int) *Memory {
	part := bytes / 9
	return &Memory{Bodies: New(part), Requests: New(2 * part), Answers: New(2 * part), Unsent: New(2 * part), Subscriptions: New(2 * part)}
}
