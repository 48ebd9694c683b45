package reconcile

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/credentials"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/probe"
)

// controller is the memory of one service.
type controller struct {
	id         string
	definition catalog.Template              // never changes
	show       func(p orchestrator.Progress) // called when the launch step changed; must not block
	spread     float64                       // of the probe interval, 0.95 to 1.05, so that services are not probed in step

	// Only for the worker that holds the service.
	loaded bool
	volume string // that state is about
	state  lifecycle.State
	run    *lifecycle.Run         // as inspected last; nil after a hint or an error
	tail   []orchestrator.LogLine // what a run that ended wrote last, until that is recorded

	mu       sync.Mutex
	row      *ent.Service // the newest that is known
	stale    bool         // the row must be read again
	kind     catalog.Kind
	phase    lifecycle.Phase // as recorded; empty: the service is gone
	health   lifecycle.Health
	instance string         // that is probed
	busy     lifecycle.Step // under way
	cancel   context.CancelFunc
	outcome  *lifecycle.Outcome // of the newest step, until it is recorded
	checking *checking          // the probe under way
	check    *lifecycle.Check   // the newest result, until it is recorded
	dataGone bool               // a removal deleted the data
	dataLeft error              // why a removal left what it found instead of the data
	keys     credentials.Keys   // opened at first use
	rotation rotation
	writes   writes
	reports  reports
	copying  *copying // waits to copy the data

	endpoints map[string]netip.AddrPort // of the newest inspection
	located   bool                      // it was inspected since uws was started

	lastCheck time.Time
	flushed   time.Time // the newest check that is stored

	launchStep lifecycle.LaunchStep // of the work under way; empty: as the row says
	step       string               // the same in words
	percent    float64              // of that step; negative when unknown
	steps      int64                // changes of the launch that were visible to users
	changed    chan struct{}
}

// rotation counts the new instances that a change of credentials asked for.
type rotation struct {
	pending      string // sealed
	replacements int
}

// checking is one probe under way, which several callers may wait for.
type checking struct {
	done   chan struct{}
	byHand bool
	result probe.Result
	code   lifecycle.ReasonCode // if it differs from the verdict's own
}

func newController(s *ent.Service, definition catalog.Template, show func(orchestrator.Progress)) *controller {
	return &controller{id: s.ID, definition: definition, show: show, spread: 0.95 + 0.1*random(), changed: make(chan struct{}), percent: -1}
}

// random is in [0, 1), for jitter.
func random() float64 { return rand.Float64() } //nolint:gosec // jitter

// update changes the controller, and wakes those who watch its progress.
func (c *controller) update(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.launching()
	change()
	if after := c.launching(); after != before {
		c.steps++
		c.show(after)
	}
	close(c.changed)
	c.changed = make(chan struct{})
}

// progress returns the launch step, nil unless the service is being launched; its number; and a channel that is closed at
// the next change.
func (c *controller) progress() (*orchestrator.Progress, int64, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.launching(); p != (orchestrator.Progress{}) {
		return &p, c.steps, c.changed
	}
	return nil, c.steps, c.changed
}

// launching is the launch step, zero unless the service is being launched. c.mu is held.
func (c *controller) launching() orchestrator.Progress {
	if c.phase != lifecycle.Pending && c.phase != lifecycle.Starting {
		return orchestrator.Progress{}
	}
	return orchestrator.Progress{ServiceID: c.id, StepCode: c.stepCode(), Step: c.step, Percent: c.percent, Phase: c.phase, Health: c.health}
}

// stepCode returns the step of the launch. c.mu is held.
func (c *controller) stepCode() lifecycle.LaunchStep {
	switch {
	case c.launchStep != "":
		return c.launchStep
	case c.phase == lifecycle.Pending && c.row.NodeID == "":
		return lifecycle.StepPlacing
	case c.phase == lifecycle.Pending:
		return lifecycle.StepFetching
	case c.instance != "" && c.instance != c.row.Ended: // a run that was not started here, such as by the engine
		return lifecycle.StepProbing
	}
	return lifecycle.StepStarting
}

func (c *controller) setStep(code lifecycle.LaunchStep, step string, percent float64) {
	c.update(func() { c.launchStep, c.step, c.percent = code, step, percent })
}

// keep replaces the row unless a newer one is known. Rows are not changed afterwards.
func (c *controller) keep(s *ent.Service) {
	s.Definition = c.definition
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.row == nil || c.row.Version <= s.Version {
		c.row, c.stale = s, false
	}
}

// known returns the newest row that is known, nil if it must be read.
func (c *controller) known() *ent.Service {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stale {
		return nil
	}
	return c.row
}

// newest returns the newest row that is known, and whether the service exists.
func (c *controller) newest() (*ent.Service, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.row, c.phase != ""
}

// invalidate has the row read again at the next reconciliation.
func (c *controller) invalidate() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stale = true
}

// stored takes over a row that was committed.
func (c *controller) stored(s *ent.Service) {
	c.keep(s)
	c.update(func() {
		if c.phase != s.Phase {
			c.launchStep = ""
		}
		c.kind, c.phase, c.health = s.Kind, s.Phase, s.Health
		if c.busy == lifecycle.NoStep {
			c.step, c.percent = s.Reason, -1
		}
	})
}

// gone ends the controller of a service that was deleted.
func (c *controller) gone() {
	c.update(func() {
		c.phase = ""
		if c.cancel != nil {
			c.cancel()
		}
	})
}

// begin notes that a step is under way.
func (c *controller) begin(step lifecycle.Step, cancel context.CancelFunc) {
	c.update(func() { c.busy, c.cancel, c.launchStep = step, cancel, "" })
}

// end notes the outcome of the step under way.
func (c *controller) end(outcome *lifecycle.Outcome) {
	c.update(func() { c.busy, c.cancel, c.outcome = lifecycle.NoStep, nil, outcome })
}

// cancelStep cancels the step under way.
func (c *controller) cancelStep() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cancel != nil {
		c.cancel()
	}
}

// consumed drops what a reconciliation took into account.
func (c *controller) consumed(seen lifecycle.Observation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.instance = c.state.Watch.Instance
	if c.outcome == seen.Outcome {
		c.outcome = nil
	}
	if c.check == seen.Check {
		c.check = nil
	}
}

// torn notes that a removal took the data too; left is why it left what it found instead.
func (c *controller) torn(left error) {
	c.update(func() { c.dataGone, c.dataLeft = true, left })
}

// withoutData reports whether a removal deleted the data, and why it left what it found instead.
func (c *controller) withoutData() (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dataGone, c.dataLeft
}

// unplacedYet reports whether the service may be waiting for a node.
func (c *controller) unplacedYet() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.phase == lifecycle.Pending && (c.row == nil || c.stale || c.row.NodeID == "")
}

// openKeys returns the credentials of the service, opened once.
func (c *controller) openKeys(vault *credentials.Vault, row *ent.Service) (credentials.Keys, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.keys.Of(row) {
		return c.keys, nil
	}
	k, err := vault.Open(row)
	if err == nil {
		c.keys = k
	}
	return k, err
}

// replacementsFor returns how many new instances the present rotation asked for.
func (c *controller) replacementsFor(row *ent.Service) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rotation.pending != string(row.PendingCredentials) {
		c.rotation = rotation{pending: string(row.PendingCredentials)}
	}
	return c.rotation.replacements
}

// replaced counts a new instance that the present rotation asked for.
func (c *controller) replaced() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rotation.replacements++
}
