package driver

import (
	"context"
	"sync"
)

// hintBuffer is how many hints wait for a slow watcher before more are dropped.
const hintBuffer = 1024

// Watchers are those who follow a driver's hints. The zero value has none. It is safe for concurrent use.
type Watchers struct {
	mu     sync.Mutex
	closed bool
	all    map[chan string]struct{}
}

// Watch is [Driver.Watch]; the channel is closed by Close too.
func (w *Watchers) Watch(ctx context.Context) <-chan string {
	ch := make(chan string, hintBuffer)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		close(ch)
		return ch
	}
	if w.all == nil {
		w.all = map[chan string]struct{}{}
	}
	w.all[ch] = struct{}{}
	context.AfterFunc(ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.end(ch)
	})
	return ch
}

// Hint tells all watchers to look at a service. It never blocks: a watcher that is slow loses hints.
func (w *Watchers) Hint(service string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for ch := range w.all {
		select {
		case ch <- service:
		default:
		}
	}
}

// Close ends all watching, now and later.
func (w *Watchers) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for ch := range w.all {
		w.end(ch)
	}
}

func (w *Watchers) end(ch chan string) {
	if _, open := w.all[ch]; open {
		delete(w.all, ch)
		close(ch)
	}
}
