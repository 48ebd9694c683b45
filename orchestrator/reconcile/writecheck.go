package reconcile

import (
	"context"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/probe"
)

const (
	writeTimeout = 10 * time.Second // at least, of one write check: a disk may be slow
	slowRead     = 500 * time.Millisecond
	// Gaps between the starts of write checks, at most: while the engine refuses them, and while there is another sign of
	// trouble.
	gapRefused, gapTrouble = 10 * time.Second, 30 * time.Second
)

// writes is the state of the write checks of one instance.
type writes struct {
	instance string
	at       time.Time // start of the newest, or a time before the first one that spreads those of many services
	soon     bool      // asked for out of turn
	last     *probe.Result
}

func (w *writes) refused() bool {
	return w.last != nil && (w.last.Verdict == probe.Alive || w.last.Verdict == probe.Dead)
}

// LastWrite returns the newest write check of a service, nil if there was none since uws or the service was started.
func (r *Reconciler) LastWrite(s *orchestrator.Service) *probe.Result {
	c := r.controller(s.ID)
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.writes.last
}

// checkWrite completes a read check that was OK with a write check if one is due, else with the result of the last one: an
// engine that refused writes is not healthy because it can be read.
func (r *Reconciler) checkWrite(ctx context.Context, c *controller, row *ent.Service, s sent, target probe.Target, read probe.Result) (probe.Result, lifecycle.ReasonCode) {
	every := orchestrator.WriteInterval(row.Definition.Probe)
	low, disk := r.fleet.Lookup(row.NodeID).LowDisk()
	if read.DiskFull && low {
		read.Detail += "; " + disk
	}
	if read.Verdict != probe.OK || every == 0 || len(row.PendingCredentials) > 0 {
		return read, reasonCodeOf(read)
	}
	if c.writeDue(every, s, low || read.Duration >= slowRead, time.Now()) {
		write, _ := probe.LookupWrite(row.Definition.Probe.Type)
		result := probe.Run(ctx, write, target, max(row.Definition.Probe.Timeout, writeTimeout), time.Now)
		if ctx.Err() != nil {
			return read, ""
		}
		r.metrics.wrote(row.Kind, result)
		if low && result.Verdict != probe.OK {
			result.Detail += "; " + disk
			result.DiskFull = result.DiskFull || result.Verdict == probe.Alive
		}
		c.wrote(s.instance, result)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.writes.refused() {
		return read, ""
	}
	read.Verdict, read.Detail, read.DiskFull = probe.Alive, "cannot write: "+c.writes.last.Detail, c.writes.last.DiskFull
	if read.DiskFull {
		return read, lifecycle.CodeDiskFull
	}
	return read, lifecycle.CodeWriteRefused
}

func reasonCodeOf(r probe.Result) lifecycle.ReasonCode {
	if r.DiskFull {
		return lifecycle.CodeDiskFull
	}
	return ""
}

// writeDue reports whether a write check is due, and notes its start.
func (c *controller) writeDue(every time.Duration, s sent, trouble bool, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := &c.writes
	if w.instance != s.instance {
		*w = writes{instance: s.instance, soon: w.soon}
	}
	atOnce := w.soon || s.byHand
	if w.at.IsZero() && !atOnce {
		w.at = now.Add(-time.Duration(random() * float64(every)))
	}
	gap := every
	switch {
	case atOnce:
		gap = 0
	case w.refused():
		gap = min(every, gapRefused)
	case trouble:
		gap = min(every, gapTrouble)
	}
	if now.Sub(w.at) < gap {
		return false
	}
	w.at, w.soon = now, false
	return true
}

// wrote keeps the result of a write check of an instance.
func (c *controller) wrote(instance string, r probe.Result) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.writes.instance == instance {
		c.writes.last = &r
	}
}

// DiskLow implements [fleet.Listener]: every service of the node writes at once.
func (r *Reconciler) DiskLow(nodeID string) {
	for _, c := range r.all() {
		if row, runs := c.writeSoon(nodeID); runs {
			r.probe(c, row, false)
		}
	}
}

// writeSoon makes the next probe write if the service is on the node. runs reports whether it is and runs.
func (c *controller) writeSoon(nodeID string) (row *ent.Service, runs bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.row == nil || c.row.NodeID != nodeID {
		return nil, false
	}
	c.writes.soon = true
	return c.row, c.phase == lifecycle.Running
}
