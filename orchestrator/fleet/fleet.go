// Package fleet is the registry of nodes: it opens their drivers, checks whether they answer, and finds what is left on
// them. It writes nodes and never services.
package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sort"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/unicorn-web-services/uws/ent"
	entnode "github.com/unicorn-web-services/uws/ent/node"
	"github.com/unicorn-web-services/uws/internal/background"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/snapshot"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

// Options of a Fleet. All are required except where it says otherwise.
type Options struct {
	Store    *store.Store
	Snapshot *snapshot.Snapshot // gets what is observed of nodes
	Log      *slog.Logger
	Drivers  Drivers

	Local            LocalNode // registered when the store has no node; optional
	AllowUnencrypted bool      // nodes on this machine with a service address beyond loopback
	ReadOnlyReason   string    // why no node is opened; empty: they are

	Interval time.Duration // between checks of a node
	Resync   time.Duration // between counts of orphans
	Steps    int           // pieces of work at a time on each node
}

// LocalNode is this machine as a node.
type LocalNode struct {
	Driver, Endpoint string // no Driver: none is registered
	ServiceAddress   string
	Access           orchestrator.Access
}

// Listener follows what happens to nodes. Its methods are safe for concurrent use and return soon.
type Listener interface {
	// InstanceChanged hints that an instance of a service may have changed.
	InstanceChanged(serviceID string)
	// NodesChanged is called after a node was lost, came back, was registered, removed or changed.
	NodesChanged()
	// CapacityChanged is called when there may be room for more services.
	CapacityChanged()
	// DiskLow is called when the disk of a node became low.
	DiskLow(nodeID string)
	// NodeLost writes, in the transaction of the node's own event, what follows for the services of a node that cannot be
	// reached any more. It returns their number.
	NodeLost(ctx context.Context, tx *ent.Tx, n *Node, cause *ent.Event) (int, error)
}

// Fleet holds the nodes. It is safe for concurrent use.
type Fleet struct {
	opts     Options
	store    *store.Store
	log      *slog.Logger
	listener Listener
	watches  *background.Group

	mu    sync.Mutex
	nodes map[string]*Node

	orphansMoved chan struct{} // count them again
}

const (
	missedLimit = 3               // missed checks in a row, and a node counts as unreachable
	pingTimeout = 5 * time.Second // of one check
)

// New opens the nodes of the store, after registering this machine in a new one. Start begins to check them.
func New(ctx context.Context, opts Options) (*Fleet, error) {
	f := &Fleet{opts: opts, store: opts.Store, log: opts.Log, watches: background.NewGroup(), nodes: map[string]*Node{}, orphansMoved: make(chan struct{}, 1)}
	f.store.Follow(f.committed)
	if err := f.openAll(ctx); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Listen has l called from now on. It is called once, before Start and before nodes are registered.
func (f *Fleet) Listen(l Listener) { f.listener = l }

// Start checks the nodes until Close. It returns after the first check of each.
func (f *Fleet) Start() {
	var first sync.WaitGroup
	for _, n := range f.All() {
		first.Add(1)
		f.watch(n, first.Done)
	}
	first.Wait()
}

// Close stops the checks and closes the drivers. Instances keep running.
func (f *Fleet) Close() error {
	f.watches.Stop()
	var errs []error
	for _, n := range f.All() {
		n.close()
		errs = append(errs, n.drv.Close())
	}
	return errors.Join(errs...)
}

// committed takes over the rows of nodes that an update of the store changed.
func (f *Fleet) committed(_ context.Context, c store.Commit) {
	for _, row := range c.Nodes {
		if n := f.Lookup(row.ID); n != nil {
			n.keep(row)
		}
	}
}

func (f *Fleet) openAll(ctx context.Context) error {
	rows, err := f.store.Read.Node.Query().All(ctx)
	if err != nil {
		return fmt.Errorf("reading the nodes: %w", err)
	}
	if f.opts.ReadOnlyReason != "" {
		for _, row := range rows {
			row.Healthy, row.Reason = false, "uws is read-only"
			f.add(row, broken{errors.New(row.Reason)})
			f.opts.Snapshot.SetNode(row.ID, snapshot.NodeState{Unusable: row.Reason})
		}
		return nil
	}
	if local := f.opts.Local; len(rows) == 0 && local.Driver != "" {
		row, err := f.create(ctx, &ent.Node{
			ID: orchestrator.NewID(), Name: "local", Driver: entnode.Driver(local.Driver), Endpoint: local.Endpoint, ServiceAddress: local.ServiceAddress,
		}, local.Access)
		if err != nil {
			return fmt.Errorf("registering this machine as a node: %w", err)
		}
		rows = append(rows, row)
	}
	for _, row := range rows {
		drv, err := f.open(row)
		if driver.ClassOf(err) == driver.Invalid { // updateNode or removeNode can help
			f.log.Error("node cannot be opened", "node", row.Name, "error", err)
			drv, err = broken{err}, nil
		}
		if err != nil {
			return fmt.Errorf("opening node %s: %w", row.Name, err)
		}
		f.add(row, drv)
	}
	return nil
}

// create writes a node's row, with its keys sealed.
func (f *Fleet) create(ctx context.Context, row *ent.Node, access orchestrator.Access) (*ent.Node, error) {
	sealed, err := f.sealAccess(row.ID, access)
	if err != nil {
		return nil, err
	}
	var created *ent.Node
	err = f.store.Update(ctx, func(ctx context.Context, tx *ent.Tx) error {
		if err := otherNode(ctx, tx, row); err != nil {
			return err
		}
		created, err = tx.Node.Create().SetID(row.ID).SetName(row.Name).SetDriver(row.Driver).SetEndpoint(row.Endpoint).
			SetServiceAddress(row.ServiceAddress).SetLabels(row.Labels).SetAccess(sealed).SetEngineID(row.EngineID).
			SetReason("not checked yet").SetCreatedAt(store.Now()).Save(ctx)
		if err != nil {
			return err
		}
		return f.reclaim(ctx, tx, created)
	})
	return created, err
}

// open opens the driver of a node as its row says.
func (f *Fleet) open(row *ent.Node) (driver.Driver, error) {
	access, err := f.unsealAccess(row)
	if err != nil {
		return nil, err
	}
	return f.openWith(row, access)
}

func (f *Fleet) openWith(row *ent.Node, access orchestrator.Access) (driver.Driver, error) {
	d, err := f.opts.Drivers.of(string(row.Driver))
	if err != nil {
		return nil, err
	}
	return d.Open(snapshot.NodeOf(row), access)
}

func (f *Fleet) newNode(row *ent.Node, drv driver.Driver) *Node {
	n := &Node{ID: row.ID, Name: row.Name, drv: drv, row: row, steps: semaphore.NewWeighted(int64(f.opts.Steps))}
	n.ctx, n.close = context.WithCancel(f.watches.Context())
	if row.LastSeenAt != nil {
		n.lastSeen = *row.LastSeenAt
	}
	return n
}

func (f *Fleet) add(row *ent.Node, drv driver.Driver) *Node {
	n := f.newNode(row, drv)
	f.mu.Lock()
	f.nodes[row.ID] = n
	f.mu.Unlock()
	return n
}

// Lookup returns a node; nil if there is none.
func (f *Fleet) Lookup(id string) *Node {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.nodes[id]
}

// All returns the nodes by name.
func (f *Fleet) All() []*Node {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]*Node, 0, len(f.nodes))
	for _, n := range f.nodes {
		all = append(all, n)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Name < all[j].Name })
	return all
}

// NameOf returns the name of a node; its id if there is none.
func (f *Fleet) NameOf(id string) string {
	if n := f.Lookup(id); n != nil {
		return n.Name
	}
	return id
}

// Do runs work at a node once it is its turn there. The error is of class Unreachable if there is no such node, and
// Transient if the work takes longer than timeout.
func (f *Fleet) Do(ctx context.Context, nodeID string, timeout time.Duration, work func(context.Context, *Node) error) error {
	n := f.Lookup(nodeID)
	if n == nil {
		return driver.Errorf(driver.Unreachable, "its node is not registered any more")
	}
	if err := n.steps.Acquire(ctx, 1); err != nil {
		return err
	}
	defer n.steps.Release(1)
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err := work(ctx, n)
	if errors.Is(err, context.DeadlineExceeded) {
		return driver.Errorf(driver.Transient, "gave up after %s: %w", timeout, err)
	}
	return err
}

// Drop stops driving a node whose row was deleted, and gives its claim back if it answers.
func (f *Fleet) Drop(ctx context.Context, n *Node) error {
	f.mu.Lock()
	if now := f.nodes[n.ID]; now != nil { // it may have got another driver meanwhile
		n = now
	}
	delete(f.nodes, n.ID)
	f.mu.Unlock()
	f.opts.Snapshot.ForgetNode(n.ID)
	n.close()
	if r, ok := n.drv.(driver.Releaser); ok && !n.Down() {
		if err := r.Release(ctx); err != nil {
			f.log.Warn("releasing the claim on a node failed", "node", n.Name, "error", err)
		}
	}
	f.listener.NodesChanged()
	return n.drv.Close()
}

// watch checks a node repeatedly and passes its hints on. checked is called after the first check.
func (f *Fleet) watch(n *Node, checked func()) {
	hints := n.drv.Watch(n.ctx)
	f.watches.Go(func(context.Context) {
		for id := range hints {
			f.listener.InstanceChanged(id)
		}
	})
	f.watches.Go(func(context.Context) {
		f.check(n)
		checked()
		background.Every(n.ctx, f.opts.Interval, func() { f.check(n) })
	})
}

// check pings a node once and records a change.
func (f *Fleet) check(n *Node) {
	ctx, cancel := context.WithTimeout(n.ctx, pingTimeout)
	info, err := n.drv.Ping(ctx)
	cancel()
	if n.ctx.Err() != nil {
		return
	}
	before, healthy, missed := n.answered(info, err)
	if err == nil {
		f.checkDisk(n)
		f.noteEngine(n, info.EngineID)
	}
	f.show(n)

	switch {
	case err == nil && !healthy:
		err = f.recordHealth(n, lifecycle.CodeNodeBack, "")
	case err != nil && healthy && driver.ClassOf(err) == driver.Refused:
		err = f.recordHealth(n, lifecycle.CodeNodeRefused, err.Error())
	case err != nil && healthy && missed >= missedLimit:
		err = f.recordHealth(n, lifecycle.CodeNodeLost, fmt.Sprintf("%d checks in a row failed: %v", missed, err))
	case err != nil && !healthy && n.Row().Reason != err.Error():
		err = f.recordReason(n, err.Error())
	default:
		if err == nil && otherCapacity(before, &info) {
			f.listener.CapacityChanged()
		}
		return
	}
	if err != nil {
		if n.ctx.Err() == nil {
			f.log.Error("recording a node's health failed; retrying at its next check", "node", n.Name, "error", err)
		}
		return
	}
	f.listener.NodesChanged()
}

// show passes what was observed of a node to the snapshot.
func (f *Fleet) show(n *Node) {
	n.mu.Lock()
	state := snapshot.NodeState{Info: n.info, DiskLow: n.low, Orphans: n.orphanInstances}
	n.mu.Unlock()
	state.LastSeen = n.seen()
	f.opts.Snapshot.SetNode(n.ID, state)
}

// otherCapacity reports whether what placement needs to know of a node changed.
func otherCapacity(before, now *driver.Info) bool {
	return before == nil || before.Limits != now.Limits || before.MemoryBytes != now.MemoryBytes || before.CPUs != now.CPUs
}

// recordReason writes why a node that is not healthy is not.
func (f *Fleet) recordReason(n *Node, reason string) error {
	err := f.store.Update(n.ctx, func(ctx context.Context, tx *ent.Tx) error {
		return tx.Node.UpdateOneID(n.ID).SetReason(reason).Exec(ctx)
	})
	if err != nil {
		return err
	}
	f.log.Warn("node does not answer", "node", n.Name, "reason", reason)
	return nil
}

// recordHealth writes a node's new health with its event and, when it is lost, what follows for its services, in one
// transaction. code is NODE_BACK, NODE_LOST or NODE_REFUSED.
func (f *Fleet) recordHealth(n *Node, code lifecycle.ReasonCode, reason string) error {
	healthy, text := code == lifecycle.CodeNodeBack, "node is reachable again"
	switch {
	case !healthy:
		text = "node " + lifecycle.NodeTrouble(code) + ": " + reason
	case n.Row().LastSeenAt == nil:
		code, text = lifecycle.CodeNodeReady, "node is reachable"
	}
	lost := 0
	err := f.store.Update(n.ctx, func(ctx context.Context, tx *ent.Tx) error {
		err := tx.Node.UpdateOneID(n.ID).SetHealthy(healthy).SetReason(reason).SetNillableLastSeenAt(n.seen()).Exec(ctx)
		if err != nil {
			return err
		}
		e, err := n.Event(tx, store.Now(), code, text).SetNodeHealthy(healthy).Save(ctx)
		if err != nil || healthy {
			return err
		}
		lost, err = f.listener.NodeLost(ctx, tx, n, e)
		return err
	})
	if err != nil {
		return err
	}
	f.log.Info("node changed", "node", n.Name, "healthy", healthy, "reason", text, "services_lost", lost)
	return nil
}
