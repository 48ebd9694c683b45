package reconcile

import (
	"sync"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
)

// order has services whose next instance waits until another service is stopped. It is safe for concurrent use.
type order struct {
	mu    sync.Mutex
	first map[string]string // id of the service that is waited for, by that of the service that waits
}

// After makes the next instance of a service wait until another service, whose ports it takes over, is stopped. The order is
// not stored: without it the start fails because the port is in use, and is tried again.
func (r *Reconciler) After(id, first string) {
	r.order.mu.Lock()
	defer r.order.mu.Unlock()
	delete(r.order.first, first)
	r.order.first[id] = first
}

// waits reports whether a service has to wait for another one to stop.
func (r *Reconciler) waits(c *controller) bool {
	r.order.mu.Lock()
	first := r.order.first[c.id]
	r.order.mu.Unlock()
	before := r.controller(first)
	if before == nil {
		return false
	}
	row, there := before.newest()
	return there && row.DesiredState == lifecycle.WantStopped && row.Phase != lifecycle.Stopped
}

// released enqueues the services that wait for this one to stop.
func (r *Reconciler) released(s *ent.Service) {
	if s.Phase != lifecycle.Stopped {
		return
	}
	r.order.mu.Lock()
	defer r.order.mu.Unlock()
	for id, first := range r.order.first {
		if first == s.ID {
			delete(r.order.first, id)
			r.queue.add(id)
		}
	}
}
