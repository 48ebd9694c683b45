package orchestrator

import (
	"context"
	"net"
	"regexp"

	"github.com/unicorn-web-services/uws/ent"
	entnode "github.com/unicorn-web-services/uws/ent/node"
	"github.com/unicorn-web-services/uws/ent/predicate"
	"github.com/unicorn-web-services/uws/ent/retained"
	"github.com/unicorn-web-services/uws/ent/service"
	"github.com/unicorn-web-services/uws/orchestrator/events"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
)

// Nodes implements [API].
func (o *Orchestrator) Nodes(ctx context.Context) ([]NodeInfo, error) {
	var all []NodeInfo
	for _, n := range o.allNodes() {
		info, err := o.describe(ctx, n)
		if err != nil {
			return nil, err
		}
		all = append(all, info)
	}
	return all, nil
}

// Node implements [API].
func (o *Orchestrator) Node(ctx context.Context, id string) (NodeInfo, error) {
	n := o.node(id)
	if n == nil {
		return NodeInfo{}, Errorf(NotFound, "id", "id: there is no node with id %q", id)
	}
	return o.describe(ctx, n)
}

// describe tells what is known of a node; its time of last answer is newer than its row's.
func (o *Orchestrator) describe(ctx context.Context, n *node) (NodeInfo, error) {
	count, err := o.CountServices(ctx, ServiceFilter{NodeID: n.id})
	if err != nil {
		return NodeInfo{}, err
	}
	n.mu.Lock()
	row, info, strange := *n.row, n.info, n.strange
	n.mu.Unlock()
	row.LastSeenAt = n.seen()
	return NodeInfo{Node: &row, Info: info, Services: count, Unrecognised: strange}, nil
}

// RegisterNode implements [API]. The node must answer now.
func (o *Orchestrator) RegisterNode(ctx context.Context, in NodeInput) (NodeInfo, error) {
	if err := o.checkNodeInput(in); err != nil {
		return NodeInfo{}, err
	}
	row := &ent.Node{ID: newID(), Name: in.Name, Driver: entnode.Driver(in.Driver), Endpoint: in.Endpoint, ServiceAddress: in.ServiceAddress}
	drv, err := o.opts.Open(row)
	if err != nil {
		return NodeInfo{}, Errorf(InvalidInput, "input.driver", "input.driver: %v", err)
	}
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	_, err = drv.Ping(ctx)
	if closing := drv.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return NodeInfo{}, Errorf(NodeUnavailable, "input.endpoint", "input.endpoint: the node does not answer: %v", err)
	}
	row, err = o.store.Write.Node.Create().SetID(row.ID).SetName(row.Name).SetDriver(row.Driver).SetEndpoint(row.Endpoint).
		SetServiceAddress(row.ServiceAddress).SetReason("not checked yet").SetCreatedAt(utcNow()).Save(ctx)
	if ent.IsConstraintError(err) {
		return NodeInfo{}, Errorf(Conflict, "input.name", "input.name: there is a node %q already", in.Name)
	}
	if err != nil {
		return NodeInfo{}, err
	}
	n, err := o.openNode(row)
	if err != nil {
		return NodeInfo{}, err
	}
	o.log.Info("node registered", "node", n.name, "driver", row.Driver, "endpoint", row.Endpoint)
	checked := make(chan struct{})
	o.watchNode(n, func() { close(checked) })
	select {
	case <-checked:
	case <-ctx.Done():
	}
	return o.describe(ctx, n)
}

func (o *Orchestrator) checkNodeInput(in NodeInput) error {
	if err := checkName("input.name", in.Name); err != nil {
		return err
	}
	for _, n := range o.allNodes() {
		row := n.current()
		switch {
		case n.name == in.Name:
			return Errorf(Conflict, "input.name", "input.name: there is a node %q already", in.Name)
		case string(row.Driver) == in.Driver && (row.Endpoint == in.Endpoint || in.Driver == "PROCESS"):
			return Errorf(Conflict, "input.endpoint", "input.endpoint: node %q is this one already", n.name)
		}
	}
	if local := o.opts.Local; in.Driver == "PROCESS" && in.Endpoint != local.Endpoint {
		return Errorf(InvalidInput, "input.endpoint", "input.endpoint: a PROCESS node is this machine; its endpoint must be %q", local.Endpoint)
	}
	if net.ParseIP(in.ServiceAddress) == nil && !hostName.MatchString(in.ServiceAddress) {
		return Errorf(InvalidInput, "input.serviceAddress", "input.serviceAddress: must be an IP address or a host name, on which clients reach the node")
	}
	return nil
}

// hostName is what RFC 1123 allows.
var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$`)

// RemoveNode implements [API].
func (o *Orchestrator) RemoveNode(ctx context.Context, id string, forget bool) error {
	n := o.node(id)
	if n == nil {
		return Errorf(NotFound, "id", "id: there is no node with id %q", id)
	}
	var abandoned []*ent.Service
	err := o.inTx(ctx, func(tx *ent.Tx) (err error) {
		abandoned, err = tx.Service.Query().Where(livesOn(id)).All(ctx)
		if err != nil {
			return err
		}
		kept, err := tx.Retained.Query().Where(retained.NodeID(id)).Count(ctx)
		if err != nil {
			return err
		}
		if !forget && len(abandoned)+kept > 0 {
			return Errorf(Conflict, "id", "node %s still has %d services and the kept data of %d; remove them first, or give forget: true if the node is gone for ever",
				n.name, len(abandoned), kept)
		}
		return o.abandon(ctx, tx, n, abandoned)
	})
	if err != nil {
		return err
	}
	o.events.Committed()
	n.close()
	o.mu.Lock()
	delete(o.nodes, id)
	o.mu.Unlock()
	for _, s := range abandoned {
		if t := o.task(s.ID); t != nil {
			o.forget(t)
		}
	}
	o.placeAgain() // whoever waits for this node is told that it is gone
	o.log.Warn("node removed", "node", n.name, "abandoned_services", len(abandoned))
	return n.drv.Close()
}

// livesOn selects the services on a node, and those that wait for a place there because their data is on it.
func livesOn(nodeID string) predicate.Service {
	return service.Or(service.NodeID(nodeID), service.And(service.RequestedNode(nodeID), service.EverHealthy(true)))
}

// abandon deletes a node's row and those of its services and kept data, each service with an event.
func (o *Orchestrator) abandon(ctx context.Context, tx *ent.Tx, n *node, services []*ent.Service) error {
	now := utcNow()
	cause, err := events.Append(tx, now).SetSubject("NODE").SetNodeID(n.id).SetNodeName(n.name).SetReason("node removed").Save(ctx)
	if err != nil {
		return err
	}
	for _, s := range services {
		e := o.appendChange(tx, now, s, s).SetReason("abandoned with node " + n.name).
			SetHealth(lifecycle.HealthUnknown).SetCauseID(cause.ID)
		e.Mutation().ClearPhase()
		if err := e.Exec(ctx); err != nil {
			return err
		}
	}
	if _, err := tx.Service.Delete().Where(livesOn(n.id)).Exec(ctx); err != nil {
		return err
	}
	if _, err := tx.Retained.Delete().Where(retained.NodeID(n.id)).Exec(ctx); err != nil {
		return err
	}
	return tx.Node.DeleteOneID(n.id).Exec(ctx)
}
