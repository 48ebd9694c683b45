package reconcile

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/ent/restore"
	"github.com/unicorn-web-services/uws/ent/service"
	"github.com/unicorn-web-services/uws/ent/volume"
	"github.com/unicorn-web-services/uws/internal/fault"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/fleet"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/placement"
)

// move places or unplaces a service. unplaced is why it could not be placed.
func (r *Reconciler) move(ctx context.Context, c *controller, row *ent.Service, do lifecycle.Action) (unplaced string, err error) {
	if do == lifecycle.DoUnplace {
		return "", r.unplace(ctx, c, row)
	}
	return r.place(ctx, row)
}

// place chooses a node and ports for s and records them, with the event that says why. unplaced is why there is no node.
func (r *Reconciler) place(ctx context.Context, s *ent.Service) (unplaced string, err error) {
	var placed *ent.Service
	var reason string
	err = r.store.Update(ctx, func(ctx context.Context, tx *ent.Tx) error {
		nodes, err := r.candidates(ctx, tx, s.Kind)
		if err != nil {
			return err
		}
		choice := placement.Choose(nodes, placementRequest(s))
		if reason = choice.Reason; choice.NodeID == "" {
			return nil
		}
		ports, err := r.freePorts(ctx, tx, choice.NodeID, s, s.Ports, nil)
		if orchestrator.CodeOf(err) == orchestrator.Conflict { // another launch was faster
			reason = "waiting for a node: " + err.Error()
			return nil
		}
		if err != nil {
			return err
		}
		placed, err = tx.Service.UpdateOne(s).Where(service.Version(s.Version)).SetNodeID(choice.NodeID).SetPorts(ports).
			SetReason(reason).SetReasonCode(lifecycle.CodePlaced).ClearReasonParams().Save(ctx)
		if err == nil {
			err = moveVolume(ctx, tx, s, choice.NodeID)
		}
		if err != nil {
			return err
		}
		return r.fleet.ChangeEvent(tx, placed.UpdatedAt, s, placed).Exec(ctx)
	})
	if err != nil || placed == nil {
		return reason, err
	}
	fault.Point("placed")
	r.log.Info("placed", "service", s.Name, "id", s.ID, "node", r.fleet.NameOf(placed.NodeID), "ports", placed.Ports, "reason", reason)
	return "", nil
}

// ChooseNode returns the node for a new service of a template: the one that is asked for, or the best one if nodeID is empty.
// The reason says why, or why there is none.
func (r *Reconciler) ChooseNode(ctx context.Context, tx *ent.Tx, definition catalog.Template, nodeID string) (placement.Choice, error) {
	nodes, err := r.candidates(ctx, tx, definition.Kind)
	if err != nil {
		return placement.Choice{}, err
	}
	return placement.Choose(nodes, placementRequest(&ent.Service{Kind: definition.Kind, Template: definition.Name, Definition: definition, RequestedNode: nodeID})), nil
}

// Trial chooses the node and the ports for an instance that is no service: a backup is restored on trial. definition's limits
// are promised to it as to a service, see [ent.Restore].
func (r *Reconciler) Trial(ctx context.Context, tx *ent.Tx, definition catalog.Template, name, nodeID string) (choice placement.Choice, ports map[string]int, err error) {
	if choice, err = r.ChooseNode(ctx, tx, definition, nodeID); err != nil || choice.NodeID == "" {
		return choice, nil, err
	}
	ports, err = r.freePorts(ctx, tx, choice.NodeID, &ent.Service{Name: name, Definition: definition}, nil, nil)
	return choice, ports, err
}

// Destination returns the node that a service is to move to, if it can be there, and its ports on it: those that it has as far as
// they are free. The reason says why it cannot.
func (r *Reconciler) Destination(ctx context.Context, tx *ent.Tx, s *ent.Service, nodeID string) (choice placement.Choice, ports map[string]int, err error) {
	nodes, err := r.candidates(ctx, tx, s.Kind)
	if err != nil {
		return choice, nil, err
	}
	there := *s
	there.RequestedNode, there.EverHealthy = nodeID, false // its data comes along
	if choice = placement.Choose(nodes, placementRequest(&there)); choice.NodeID == "" {
		return choice, nil, nil
	}
	ports, err = r.freePorts(ctx, tx, nodeID, &there, s.Ports, nil)
	return choice, ports, err
}

// TrialSpec describes the instance of a row that is in no store.
func (r *Reconciler) TrialSpec(ctx context.Context, row *ent.Service, n *fleet.Node) (driver.Spec, error) {
	return r.spec(ctx, newController(row, row.Definition, func(orchestrator.Progress) {}), row, n)
}

// ImportSpec describes an instance that does not exist yet to the driver that creates its volume.
func (r *Reconciler) ImportSpec(definition catalog.Template, drv catalog.Driver, service, name, volume string) (driver.Spec, error) {
	runtime := definition.Runtime(drv)
	if runtime == nil {
		return driver.Spec{}, driver.Errorf(driver.Invalid, "template %s cannot be run by driver %s", definition.Name, drv)
	}
	return driver.Spec{
		Service: service, Name: name, Volume: volume, Engine: runtime.Engine, EngineVersion: definition.Version, Image: runtime.Image,
		Mount: runtime.Data, User: runtime.User, Capabilities: runtime.Capabilities, Program: runtime.Program, Package: runtime.Package,
		EngineMark: runtime.Mark,
	}, nil
}

// unplace takes a service off a node that went down before anything was created there, so that it is placed again.
func (r *Reconciler) unplace(ctx context.Context, c *controller, row *ent.Service) error {
	reason := "node " + r.fleet.NameOf(row.NodeID) + " went down before anything was created there; it is placed again"
	err := r.store.Update(ctx, func(ctx context.Context, tx *ent.Tx) error {
		changed, err := tx.Service.UpdateOne(row).Where(service.Version(row.Version)).ClearNodeID().ClearPorts().
			SetReason(reason).SetReasonCode(lifecycle.CodeNodeLost).ClearReasonParams().Save(ctx)
		if err == nil {
			err = moveVolume(ctx, tx, row, "")
		}
		if err != nil {
			return err
		}
		return r.fleet.ChangeEvent(tx, changed.UpdatedAt, row, changed).Exec(ctx)
	})
	if err == nil {
		c.cancelStep() // it hangs at the node
	}
	return err
}

// moveVolume records where the data of a service is, empty for nowhere yet.
func moveVolume(ctx context.Context, tx *ent.Tx, s *ent.Service, nodeID string) error {
	return tx.Volume.UpdateOneID(s.Volume).Where(volume.ServiceID(s.ID)).SetNodeID(nodeID).Exec(ctx)
}

func placementRequest(s *ent.Service) placement.Request {
	r := placement.Request{
		Kind: string(s.Kind), Template: s.Template, Labels: s.NodeLabels, NodeID: s.RequestedNode,
		HasData: s.EverHealthy, // before it was ever placed: it was launched with data that was kept
	}
	for _, drv := range catalog.Drivers() {
		if s.Definition.Runtime(drv) != nil {
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

// candidates returns the nodes for placement. What is promised on them is read in the transaction that places, so that two
// concurrent launches are not promised the same memory.
func (r *Reconciler) candidates(ctx context.Context, tx *ent.Tx, kind catalog.Kind) ([]placement.Node, error) {
	rows, err := tx.Node.Query().All(ctx)
	if err != nil {
		return nil, err
	}
	all, drivers, at := make([]placement.Node, 0, len(rows)), make([]catalog.Driver, 0, len(rows)), map[string]int{}
	for _, row := range rows {
		n := r.fleet.Lookup(row.ID)
		if n == nil { // being registered, or removed
			continue
		}
		at[row.ID] = len(all)
		all, drivers = append(all, forPlacement(n, row)), append(drivers, catalog.Driver(row.Driver))
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
		definition, err := r.definition(ctx, tx, s.ID)
		if err != nil {
			return nil, err
		}
		if r := definition.Runtime(drivers[i]); r != nil {
			promised := resourcesOf(r.Limits)
			n.Promised.MemoryBytes += promised.MemoryBytes
			n.Promised.CPUs += promised.CPUs
		}
	}
	trials, err := tx.Restore.Query().Where(restore.FinishedAtIsNil(), restore.PurposeIn(restore.PurposePROOF, restore.PurposeMOVE)).All(ctx)
	for _, t := range trials {
		if i, ok := at[t.NodeID]; ok {
			all[i].Promised.MemoryBytes += t.MemoryBytes
			all[i].Promised.CPUs += t.Cpus
		}
	}
	return all, err
}

// forPlacement describes a node without its services. A node that has not answered yet is not known well enough.
func forPlacement(n *fleet.Node, row *ent.Node) placement.Node {
	p := placement.Node{ID: row.ID, Name: row.Name, Driver: string(row.Driver), Draining: row.Draining, Labels: row.Labels}
	if info := n.Info(); info != nil {
		p.Healthy, p.Limits = row.Healthy, info.Limits
		p.Capacity = placement.Resources{MemoryBytes: info.MemoryBytes, CPUs: float64(info.CPUs)}
	}
	return p
}

// definition returns the template of a service. It never changes: the store is read only if memory does not have it.
func (r *Reconciler) definition(ctx context.Context, tx *ent.Tx, id string) (catalog.Template, error) {
	if c := r.controller(id); c != nil {
		return c.definition, nil
	}
	s, err := tx.Service.Query().Where(service.ID(id)).Select(service.FieldDefinition).Only(ctx)
	if err != nil {
		return catalog.Template{}, err
	}
	return s.Definition, nil
}

// freePorts chooses the ports of a service on a node. None of avoid is taken, unless the launch asked for it.
func (r *Reconciler) freePorts(ctx context.Context, tx *ent.Tx, nodeID string, s *ent.Service, prefer, avoid map[string]int) (map[string]int, error) {
	held, awaited, err := PortHolders(ctx, tx, nodeID)
	if err != nil {
		return nil, err
	}
	for port, holder := range held { // its own are free
		if holder == s.Name && avoid == nil {
			delete(held, port)
		}
	}
	c := choosePorts{first: r.opts.Ports.First, last: r.opts.Ports.Last, held: held, awaited: awaited, must: s.RequestedPorts, prefer: prefer, avoid: avoid}
	ports, err := c.pick(s.Definition)
	if err != nil {
		return nil, fmt.Errorf("on node %s: %w", r.fleet.NameOf(nodeID), err)
	}
	return ports, nil
}

// repickPorts gives a service that was never healthy other ports, because another program uses one of its own.
func (r *Reconciler) repickPorts(ctx context.Context, id string) (*ent.Service, error) {
	var changed *ent.Service
	err := r.store.Update(ctx, func(ctx context.Context, tx *ent.Tx) error {
		s, err := tx.Service.Get(ctx, id)
		if err != nil {
			return err
		}
		if s.DesiredState != lifecycle.WantRunning {
			return context.Canceled
		}
		ports, err := r.freePorts(ctx, tx, s.NodeID, s, nil, s.Ports)
		if err != nil {
			return err
		}
		changed, err = tx.Service.UpdateOne(s).SetPorts(ports).Save(ctx)
		return err
	})
	return changed, err
}

// withPorts gives a placed service ports if it has none: its store was cloned.
func (r *Reconciler) withPorts(ctx context.Context, row *ent.Service) (*ent.Service, error) {
	if len(row.Ports) > 0 || len(row.Definition.Ports) == 0 {
		return row, nil
	}
	return r.repickPorts(ctx, row.ID)
}

// PortHolders returns the names of the services on a node by each of their ports, and of those that asked for ports and wait
// to be placed there or on any node.
func PortHolders(ctx context.Context, tx *ent.Tx, nodeID string) (held, awaited map[int]string, err error) {
	waiting := service.And(service.Or(service.NodeIDIsNil(), service.NodeID("")), service.RequestedNodeIn(nodeID, ""))
	on, err := tx.Service.Query().Where(service.Or(service.NodeID(nodeID), waiting)).
		Select(service.FieldName, service.FieldPorts, service.FieldRequestedPorts, service.FieldNodeID).All(ctx)
	held, awaited = map[int]string{}, map[int]string{}
	for _, s := range on {
		ports, names := s.Ports, held
		if s.NodeID == "" {
			ports, names = s.RequestedPorts, awaited
		}
		for _, p := range ports {
			names[p] = s.Name
		}
	}
	if err != nil {
		return nil, nil, err
	}
	trials, err := tx.Restore.Query().Where(restore.FinishedAtIsNil(), restore.NodeID(nodeID)).Select(restore.FieldName, restore.FieldPorts).All(ctx)
	for _, t := range trials {
		for _, p := range t.Ports {
			held[p] = t.Name
		}
	}
	return held, awaited, err
}

// choosePorts picks a number for each port of a template on a node: the one that must be, the one that is preferred if it
// is free, else a random one that is not to be avoided, so that a port that was freed is not soon met by its old clients.
type choosePorts struct {
	first, last         int
	held, awaited       map[int]string // by others: those on the node, and those that wait for it
	must, prefer, avoid map[string]int
}

// pick returns an [Error] of code Conflict if a port that must be is held.
func (p choosePorts) pick(t catalog.Template) (map[string]int, error) {
	used := map[int]bool{}
	for _, taken := range []map[int]string{p.held, p.awaited} {
		for port := range taken {
			used[port] = true
		}
	}
	for _, port := range append(slices.Collect(maps.Values(p.avoid)), slices.Collect(maps.Values(p.must))...) {
		used[port] = true
	}
	ports := map[string]int{}
	for _, port := range t.Ports {
		must, prefer := p.must[port.Name], p.prefer[port.Name]
		switch {
		case must != 0 && p.held[must] != "":
			return nil, orchestrator.Errorf(orchestrator.Conflict, "", "port %d is not free", must)
		case must != 0:
			ports[port.Name] = must
		case prefer != 0 && !used[prefer]:
			used[prefer], ports[port.Name] = true, prefer
		default:
			ports[port.Name] = p.random(used)
		}
		if ports[port.Name] == 0 {
			return nil, fmt.Errorf("no port between %d and %d is left", p.first, p.last)
		}
	}
	return ports, nil
}

func (p choosePorts) random(used map[int]bool) int {
	size := p.last - p.first + 1
	start := int(random() * float64(size))
	for i := range size {
		if port := p.first + (start+i)%size; !used[port] {
			used[port] = true
			return port
		}
	}
	return 0
}
