package reconcile

import (
	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
)

// After has the next instance of a service wait until another service, whose ports it takes over, is stopped. It is not
// stored: without it the start fails because the port is in use, and is tried again.
func (r *Reconciler) After(id, first string) {
	next, before := r.controller(id), r.controller(first)
	if next == nil || before == nil {
		return
	}
	next.mu.Lock()
	next.after, next.then = first, ""
	next.mu.Unlock()
	before.mu.Lock()
	before.after, before.then = "", id
	before.mu.Unlock()
}

// waits reports whether a service has to wait for another one to stop.
func (r *Reconciler) waits(c *controller) bool {
	c.mu.Lock()
	first := c.after
	c.mu.Unlock()
	before := r.controller(first)
	if before == nil {
		return false
	}
	row, there := before.newest()
	return there && row.DesiredState == lifecycle.WantStopped && row.Phase != lifecycle.Stopped
}

// released enqueues the service that waits for this one to stop.
func (r *Reconciler) released(s *ent.Service) {
	c := r.controller(s.ID)
	if c == nil || s.Phase != lifecycle.Stopped {
		return
	}
	c.mu.Lock()
	next := c.then
	c.then = ""
	c.mu.Unlock()
	if next != "" {
		r.queue.add(next)
	}
}
