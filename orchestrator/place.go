package orchestrator

import (
	"context"
	"fmt"

	"github.com/unicorn-web-services/uws/ent"
	entnode "github.com/unicorn-web-services/uws/ent/node"
	"github.com/unicorn-web-services/uws/ent/service"
	"github.com/unicorn-web-services/uws/internal/fault"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/placement"
)

// runtimeFor is how a template is run by a driver; nil when it cannot be.
func runtimeFor(t catalog.Template, drv entnode.Driver) *catalog.Runtime {
	switch drv {
	case entnode.DriverPROCESS:
		return t.Process
	case entnode.DriverDOCKER:
		return t.Docker
	}
	return nil
}

// place chooses a node and ports for s and writes them down, with the event that says why. The reason says why there is
// no node yet.
func (o *Orchestrator) place(ctx context.Context, s *ent.Service) (placed *ent.Service, reason string, err error) {
	err = o.inTx(ctx, func(tx *ent.Tx) error {
		nodes, err := o.candidates(ctx, tx, s.Kind)
		if err != nil {
			return err
		}
		choice := placement.Choose(nodes, placementRequest(s))
		if reason = choice.Reason; choice.NodeID == "" {
			return nil
		}
		ports, err := o.freePorts(ctx, tx, choice.NodeID, s.Definition, nil)
		if err != nil {
			return err
		}
		now := utcNow()
		placed, err = tx.Service.UpdateOne(s).Where(service.Version(s.Version)).SetNodeID(choice.NodeID).SetPorts(ports).
			SetReason(reason).SetUpdatedAt(now).AddVersion(1).Save(ctx)
		if err != nil {
			return err
		}
		return o.appendChange(tx, now, s, placed).Exec(ctx)
	})
	if err != nil {
		return nil, "", err
	}
	if placed != nil {
		fault.Point("placed")
		o.events.Committed()
		o.log.Info("placed", "service", s.Name, "id", s.ID, "node", o.nodeName(placed.NodeID), "ports", placed.Ports, "reason", reason)
	}
	return placed, reason, nil
}

func placementRequest(s *ent.Service) placement.Request {
	r := placement.Request{
		Kind: string(s.Kind), Template: s.Template, Labels: s.NodeLabels, NodeID: s.RequestedNode,
		HasData: s.EverHealthy, // before it was ever placed: it was launched with data that was kept
	}
	for _, drv := range []entnode.Driver{entnode.DriverPROCESS, entnode.DriverDOCKER} {
		if runtimeFor(s.Definition, drv) != nil {
			r.Drivers = append(r.Drivers, string(drv))
		}
	}
	if d := s.Definition.Docker; d != nil {
		r.Need, r.MustLimit = resourcesOf(d.Limits), d.Limits.Asked
	}
	return r
}

func resourcesOf(l catalog.Limits) placement.Resources {
	return placement.Resources{MemoryBytes: int64(l.MemoryMiB) << 20, CPUs: l.CPUs}
}

// candidates are the nodes as placement sees them. What is promised on them is read in the transaction that places, so
// that two launches at once are not promised the same memory.
func (o *Orchestrator) candidates(ctx context.Context, tx *ent.Tx, kind catalog.Kind) ([]placement.Node, error) {
	rows, err := tx.Node.Query().All(ctx)
	if err != nil {
		return nil, err
	}
	all, drivers, at := make([]placement.Node, 0, len(rows)), make([]entnode.Driver, 0, len(rows)), map[string]int{}
	for _, row := range rows {
		n := o.node(row.ID)
		if n == nil { // being registered, or removed
			continue
		}
		at[row.ID] = len(all)
		all, drivers = append(all, n.forPlacement(row)), append(drivers, row.Driver)
	}
	there, err := tx.Service.Query().Where(service.NodeIDNEQ("")).
		Select(service.FieldID, service.FieldNodeID, service.FieldKind).All(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range there {
		i, ok := at[s.NodeID]
		if !ok {
			continue
		}
		n := &all[i]
		n.Services++
		if s.Kind == kind {
			n.SameKind++
		}
		definition, err := o.definition(ctx, tx, s.ID)
		if err != nil {
			return nil, err
		}
		if r := runtimeFor(definition, drivers[i]); r != nil {
			promised := resourcesOf(r.Limits)
			n.Promised.MemoryBytes += promised.MemoryBytes
			n.Promised.CPUs += promised.CPUs
		}
	}
	return all, nil
}

// forPlacement is what is known of a node whose row was read just now, without what is on it.
func (n *node) forPlacement(row *ent.Node) placement.Node {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := placement.Node{ID: row.ID, Name: row.Name, Driver: string(row.Driver), Draining: row.Draining, Labels: row.Labels}
	if n.info != nil { // one that has not answered yet since uws was started is not known well enough
		p.Healthy, p.Limits = row.Healthy, n.info.Limits
		p.Capacity = placement.Resources{MemoryBytes: n.info.MemoryBytes, CPUs: float64(n.info.CPUs)}
	}
	return p
}

// definition of a service. It never changes: the store is asked only where memory does not have it.
func (o *Orchestrator) definition(ctx context.Context, tx *ent.Tx, id string) (catalog.Template, error) {
	if t := o.task(id); t != nil {
		return t.definition, nil
	}
	s, err := tx.Service.Query().Where(service.ID(id)).Select(service.FieldDefinition).Only(ctx)
	if err != nil {
		return catalog.Template{}, err
	}
	return s.Definition, nil
}

// placeAgain asks for a look at the services that wait for a node, since there may be room now.
func (o *Orchestrator) placeAgain() {
	for _, t := range o.allTasks() {
		if t.unplaced() {
			o.queue.add(t.id)
		}
	}
}

// unplaced says whether the service may be waiting for a node.
func (t *task) unplaced() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.phase == lifecycle.Pending && (t.row == nil || t.row.NodeID == "")
}

// freePorts picks a port for each of the template's that no other service on the node has, and that is
// not one of avoid. They are random, so that a port that was freed is not soon met by its old clients.
func (o *Orchestrator) freePorts(ctx context.Context, tx *ent.Tx, nodeID string, t catalog.Template, avoid map[string]int) (map[string]int, error) {
	on, err := tx.Service.Query().Where(service.NodeID(nodeID)).Select(service.FieldPorts).All(ctx)
	if err != nil {
		return nil, err
	}
	used := map[int]bool{}
	for _, s := range on {
		for _, p := range s.Ports {
			used[p] = true
		}
	}
	for _, p := range avoid {
		used[p] = true
	}
	size := o.opts.Ports.Last - o.opts.Ports.First + 1
	ports := map[string]int{}
	for _, port := range t.Ports {
		start := int(random() * float64(size))
		for i := range size {
			p := o.opts.Ports.First + (start+i)%size
			if !used[p] {
				used[p], ports[port.Name] = true, p
				break
			}
		}
		if ports[port.Name] == 0 {
			return nil, fmt.Errorf("no port between %d and %d is left on node %s", o.opts.Ports.First, o.opts.Ports.Last, o.nodeName(nodeID))
		}
	}
	return ports, nil
}

// repickPorts gives a service that was never healthy other ports, because one of its own is taken by somebody else.
func (o *Orchestrator) repickPorts(ctx context.Context, id string) (*ent.Service, error) {
	var changed *ent.Service
	err := o.inTx(ctx, func(tx *ent.Tx) error {
		s, err := tx.Service.Get(ctx, id)
		if err != nil {
			return err
		}
		if s.DesiredState != lifecycle.WantRunning {
			return context.Canceled
		}
		ports, err := o.freePorts(ctx, tx, s.NodeID, s.Definition, s.Ports)
		if err != nil {
			return err
		}
		changed, err = tx.Service.UpdateOne(s).SetPorts(ports).SetUpdatedAt(utcNow()).AddVersion(1).Save(ctx)
		return err
	})
	return changed, err
}

func (o *Orchestrator) nodeName(id string) string {
	if n := o.node(id); n != nil {
		return n.name
	}
	return id
}
