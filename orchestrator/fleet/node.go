package fleet

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/eventlog"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

// Node is a registered node with its driver. It is safe for concurrent use.
type Node struct {
	ID, Name string
	drv      driver.Driver
	steps    *semaphore.Weighted // pieces of work at a time
	ctx      context.Context     // ends when the node is removed or gets another driver
	close    context.CancelFunc

	engine sync.Mutex // held while another run of the engine is recorded

	mu        sync.Mutex
	row       *ent.Node
	info      *driver.Info // of the newest answer; nil before the first one
	lastSeen  time.Time
	missed    int  // checks in a row
	low       bool // its disk
	lowLogged bool // by an event

	orphanInstances []string        // ids of running workloads
	orphans         orphanCount     // when they were counted last
	orphansLogged   map[string]bool // by an event
}

// Driver returns the node's driver.
func (n *Node) Driver() driver.Driver { return n.drv }

// Context ends when the node is removed or gets another driver.
func (n *Node) Context() context.Context { return n.ctx }

// Row returns the newest row of the node that is known. It must not be changed.
func (n *Node) Row() *ent.Node {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.row
}

// Info returns what the node answered last, nil before its first answer.
func (n *Node) Info() *driver.Info {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.info
}

// Down reports whether the node cannot be used.
func (n *Node) Down() bool { return !n.Row().Healthy }

// Answers reports whether the node answers now.
func (n *Node) Answers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	_, err := n.drv.Ping(ctx)
	return err == nil
}

// keep replaces the row by a newer one. Concurrent writers call it in any order.
func (n *Node) keep(row *ent.Node) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if row.Version >= n.row.Version {
		n.row = row
	}
}

// answered takes over the result of a ping. It returns what was known before, and the checks missed in a row.
func (n *Node) answered(info driver.Info, err error) (before *driver.Info, healthy bool, missed int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	before = n.info
	if err == nil {
		n.missed, n.lastSeen, n.info = 0, store.Now(), &info
	} else {
		n.missed++
	}
	return before, n.row.Healthy, n.missed
}

// seen returns when the node last answered, nil if it never did.
func (n *Node) seen() *time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.lastSeen.IsZero() {
		return nil
	}
	at := n.lastSeen
	return &at
}

// Event begins an event about the node.
func (n *Node) Event(tx *ent.Tx, at time.Time, code lifecycle.ReasonCode, reason string) *ent.EventCreate {
	return eventlog.Append(tx, at).SetSubject("NODE").SetNodeID(n.ID).SetNodeName(n.Name).SetReason(reason).SetReasonCode(code)
}
