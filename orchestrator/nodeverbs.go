package orchestrator

import (
	"context"

	"github.com/unicorn-web-services/uws/ent"
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
	o.mu.Lock()
	if now := o.nodes[id]; now != nil { // it may have been given another driver meanwhile
		n = now
	}
	delete(o.nodes, id)
	o.mu.Unlock()
	n.close()
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
