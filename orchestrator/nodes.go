package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/unicorn-web-services/uws/ent"
	entnode "github.com/unicorn-web-services/uws/ent/node"
	"github.com/unicorn-web-services/uws/ent/service"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/events"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
)

const (
	missedLimit = 3               // missed checks in a row, and a node counts as unreachable
	pingTimeout = 5 * time.Second // of one check
)

// node is what memory holds of one node.
type node struct {
	id, name string
	drv      driver.Driver
	steps    *semaphore.Weighted // pieces of work at a time
	ctx      context.Context     // ends when the node is removed
	close    context.CancelFunc

	mu       sync.Mutex
	row      *ent.Node
	info     *driver.Info
	lastSeen time.Time
	missed   int
	strange  []string // ids of workloads with our label that no service has
}

func (n *node) current() *ent.Node {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.row
}

// keep replaces the row by a newer one; those who wrote beside each other come in any order.
func (n *node) keep(row *ent.Node) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if row.Version >= n.row.Version {
		n.row = row
	}
}

func (n *node) down() bool { return !n.current().Healthy }

// openNodes opens the driver of every node in the store, after registering this machine in a new one.
func (o *Orchestrator) openNodes(ctx context.Context) error {
	rows, err := o.store.Read.Node.Query().All(ctx)
	if err != nil {
		return fmt.Errorf("reading the nodes: %w", err)
	}
	if len(rows) == 0 && o.opts.Local.Driver != "" {
		local := o.opts.Local
		row, err := o.createNode(ctx, &ent.Node{
			ID: newID(), Name: "local", Driver: entnode.Driver(local.Driver), Endpoint: local.Endpoint, ServiceAddress: local.ServiceAddress,
		}, local.Access)
		if err != nil {
			return fmt.Errorf("registering this machine as a node: %w", err)
		}
		rows = append(rows, row)
	}
	for _, row := range rows {
		drv, err := o.openDriver(row)
		if driver.ClassOf(err) == driver.Invalid { // it can be mended with updateNode, or removed
			o.log.Error("node cannot be opened", "node", row.Name, "error", err)
			drv, err = unopened{err}, nil
		}
		if err != nil {
			return fmt.Errorf("opening node %s: %w", row.Name, err)
		}
		o.addNode(row, drv)
	}
	return nil
}

// createNode writes a node's row, with its keys sealed.
func (o *Orchestrator) createNode(ctx context.Context, row *ent.Node, access Access) (*ent.Node, error) {
	sealed, err := o.sealAccess(row.ID, access)
	if err != nil {
		return nil, err
	}
	return o.store.Write.Node.Create().SetID(row.ID).SetName(row.Name).SetDriver(row.Driver).SetEndpoint(row.Endpoint).
		SetServiceAddress(row.ServiceAddress).SetLabels(row.Labels).SetAccess(sealed).
		SetReason("not checked yet").SetCreatedAt(utcNow()).Save(ctx)
}

// openDriver opens the driver of a node as its row says.
func (o *Orchestrator) openDriver(row *ent.Node) (driver.Driver, error) {
	access, err := o.unsealAccess(row)
	if err != nil {
		return nil, err
	}
	return o.opts.Open(row, access)
}

// newNode makes the memory of a node.
func (o *Orchestrator) newNode(row *ent.Node, drv driver.Driver) *node {
	n := &node{id: row.ID, name: row.Name, drv: drv, row: row, steps: semaphore.NewWeighted(int64(o.opts.Steps))}
	n.ctx, n.close = context.WithCancel(o.base)
	if row.LastSeenAt != nil {
		n.lastSeen = *row.LastSeenAt
	}
	return n
}

// addNode remembers a node from now on.
func (o *Orchestrator) addNode(row *ent.Node, drv driver.Driver) *node {
	n := o.newNode(row, drv)
	o.mu.Lock()
	o.nodes[row.ID] = n
	o.mu.Unlock()
	return n
}

func (o *Orchestrator) closeNodes() error {
	var errs []error
	for _, n := range o.allNodes() {
		n.close()
		errs = append(errs, n.drv.Close())
	}
	return errors.Join(errs...)
}

// node finds the memory of a node; nil when there is none.
func (o *Orchestrator) node(id string) *node {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.nodes[id]
}

// allNodes by name.
func (o *Orchestrator) allNodes() []*node {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := make([]*node, 0, len(o.nodes))
	for _, n := range o.nodes {
		all = append(all, n)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].name < all[j].name })
	return all
}

// watchNode checks a node again and again, and passes its hints on. checked is called after the first check.
func (o *Orchestrator) watchNode(n *node, checked func()) {
	hints := n.drv.Watch(n.ctx)
	o.start(func(context.Context) {
		for id := range hints {
			if o.task(id) != nil {
				o.queue.add(id)
			}
		}
	})
	o.start(func(context.Context) {
		o.checkNode(n)
		checked()
		every(n.ctx, o.opts.NodeInterval, func() { o.checkNode(n) })
	})
}

// checkNode pings a node once and records a change.
func (o *Orchestrator) checkNode(n *node) {
	ctx, cancel := context.WithTimeout(n.ctx, pingTimeout)
	info, err := n.drv.Ping(ctx)
	cancel()
	if n.ctx.Err() != nil {
		return
	}
	n.mu.Lock()
	before := n.info
	if err == nil {
		n.missed, n.lastSeen, n.info = 0, utcNow(), &info
	} else {
		n.missed++
	}
	healthy, missed := n.row.Healthy, n.missed
	n.mu.Unlock()

	switch {
	case err == nil && !healthy:
		err = o.recordNode(n, true, "")
	case err != nil && healthy && missed >= missedLimit:
		err = o.recordNode(n, false, fmt.Sprintf("%d checks in a row failed: %v", missed, err))
	case err != nil && !healthy && n.current().Reason != err.Error():
		err = o.recordReason(n, err.Error())
	default:
		if err == nil && otherCapacity(before, &info) {
			o.placeAgain()
		}
		return
	}
	if err != nil {
		if n.ctx.Err() == nil {
			o.log.Error("recording a node's health failed; it is tried again at its next check", "node", n.name, "error", err)
		}
		return
	}
	o.addAll() // whoever waits for a node, or is on this one, looks again
}

// otherCapacity says whether placement knows something new of a node.
func otherCapacity(before, now *driver.Info) bool {
	return before == nil || before.Limits != now.Limits || before.MemoryBytes != now.MemoryBytes || before.CPUs != now.CPUs
}

// recordReason writes why a node that is not healthy is not.
func (o *Orchestrator) recordReason(n *node, reason string) error {
	row, err := o.store.Write.Node.UpdateOneID(n.id).SetReason(reason).AddVersion(1).Save(n.ctx)
	if err != nil {
		return err
	}
	n.keep(row)
	o.log.Warn("node does not answer", "node", n.name, "reason", reason)
	return nil
}

// recordNode writes a node's new health with its event and, when it is lost, one row for each of its
// services, in one transaction.
func (o *Orchestrator) recordNode(n *node, healthy bool, reason string) error {
	text := "node is reachable"
	if !healthy {
		text = "node is unreachable: " + reason
	}
	var row *ent.Node
	var lost []*ent.Service
	err := o.inTx(n.ctx, func(tx *ent.Tx) (err error) {
		row, err = tx.Node.UpdateOneID(n.id).SetHealthy(healthy).SetReason(reason).SetNillableLastSeenAt(n.seen()).AddVersion(1).Save(n.ctx)
		if err != nil {
			return err
		}
		e, err := events.Append(tx, utcNow()).SetSubject("NODE").SetNodeID(n.id).SetNodeName(n.name).
			SetNodeHealthy(healthy).SetReason(text).Save(n.ctx)
		if err != nil || healthy {
			return err
		}
		lost, err = o.loseServices(n.ctx, tx, n, e)
		return err
	})
	if err != nil {
		return err
	}
	o.events.Committed()
	n.keep(row)
	for _, s := range lost {
		o.remember(s)
	}
	o.log.Info("node changed", "node", n.name, "healthy", healthy, "reason", text, "services_lost", len(lost))
	return nil
}

// loseServices sets the health of a lost node's services to UNKNOWN, each with a row that names the cause.
func (o *Orchestrator) loseServices(ctx context.Context, tx *ent.Tx, n *node, cause *ent.Event) ([]*ent.Service, error) {
	on, err := tx.Service.Query().Where(service.NodeID(n.id), service.HealthNEQ(lifecycle.HealthUnknown),
		service.PhaseNEQ(lifecycle.Failed)).All(ctx)
	if err != nil {
		return nil, err
	}
	for i, s := range on {
		before := s
		up := tx.Service.UpdateOne(s).SetHealth(lifecycle.HealthUnknown).SetReason("node " + n.name + " is unreachable").
			SetUpdatedAt(cause.At).AddVersion(1)
		if s.CauseID == nil {
			up.SetCauseID(cause.ID)
		}
		if s, err = up.Save(ctx); err != nil {
			return nil, err
		}
		on[i] = s
		if err := o.appendChange(tx, cause.At, before, s).SetCauseID(cause.ID).Exec(ctx); err != nil {
			return nil, err
		}
	}
	return on, nil
}

// seen is when the node last answered, nil when it never did.
func (n *node) seen() *time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.lastSeen.IsZero() {
		return nil
	}
	at := n.lastSeen
	return &at
}

// findStrangers looks for workloads that bear our label but belong to no service. They are listed and left alone.
func (o *Orchestrator) findStrangers(ctx context.Context) {
	for _, n := range o.allNodes() {
		if n.down() {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		all, err := n.drv.List(ctx)
		cancel()
		if err != nil {
			continue // the node check will tell
		}
		var strange []string
		for _, w := range all {
			if o.task(w.Service) == nil && w.Running {
				strange = append(strange, w.Service)
			}
		}
		sort.Strings(strange)
		n.mu.Lock()
		news := len(strange) > len(n.strange)
		n.strange = strange
		n.mu.Unlock()
		if news {
			o.log.Warn("workloads bear this installation's label but belong to no service; they are left alone",
				"node", n.name, "workloads", strange)
		}
	}
}
