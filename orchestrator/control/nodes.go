package control

import (
	"context"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/ent/predicate"
	"github.com/unicorn-web-services/uws/ent/service"
	"github.com/unicorn-web-services/uws/ent/volume"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/fleet"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

// RemoveNode removes a node. With forget its services go too, and their data becomes retained data of a forgotten node;
// only a node that does not answer can be forgotten.
func (c *Control) RemoveNode(ctx context.Context, id string, forget bool) error {
	n := c.fleet.Lookup(id)
	if n == nil {
		return orchestrator.Errorf(orchestrator.NotFound, "id", "there is no node with id %q", id)
	}
	answers := forget && n.Answers(ctx)
	var forgotten []*ent.Service
	err := c.store.Update(ctx, func(ctx context.Context, tx *ent.Tx) (err error) {
		forgotten, err = tx.Service.Query().Where(livesOn(id)).All(ctx)
		if err != nil {
			return err
		}
		kept, err := tx.Volume.Query().Where(volume.ServiceIDIsNil(), volume.NodeID(id)).Count(ctx)
		if err != nil {
			return err
		}
		if !forget && len(forgotten)+kept > 0 {
			return orchestrator.Errorf(orchestrator.Conflict, "id", "node %s still has %d services and the kept data of %d; remove them first, or give forget: true if the node is gone and does not answer",
				n.Name, len(forgotten), kept)
		}
		if answers && len(forgotten)+kept > 0 {
			return orchestrator.Errorf(orchestrator.Conflict, "forget", "node %s answers, with %d services and the kept data of %d on it; remove them first. Only a node that does not answer can be forgotten",
				n.Name, len(forgotten), kept)
		}
		return c.forget(ctx, tx, n, forgotten)
	})
	if err != nil {
		return err
	}
	c.log.Warn("node removed", "node", n.Name, "forgotten_services", len(forgotten))
	return c.fleet.Drop(ctx, n)
}

// livesOn selects the services on a node, and those that wait for it because their data is on it.
func livesOn(nodeID string) predicate.Service {
	return service.Or(service.NodeID(nodeID), service.And(service.RequestedNode(nodeID), service.EverHealthy(true)))
}

// forget deletes a node's row and those of its services, each with an event. What they stored may still be there: it
// becomes retained data of a forgotten node, with its credentials.
func (c *Control) forget(ctx context.Context, tx *ent.Tx, n *fleet.Node, services []*ent.Service) error {
	now := store.Now()
	cause, err := n.Event(tx, now, lifecycle.CodeNodeRemoved, "node removed").Save(ctx)
	if err != nil {
		return err
	}
	for _, s := range services {
		kept := "the data and the credentials are kept"
		if !s.EverHealthy {
			kept = "there was no data yet"
		}
		e := c.fleet.ChangeEvent(tx, now, s, s).SetReason("node " + n.Name + " was forgotten; " + kept).
			SetReasonCode(lifecycle.CodeNodeForgotten).
			SetHealth(lifecycle.HealthUnknown).SetCauseID(cause.ID)
		e.Mutation().ClearPhase()
		if err := e.Exec(ctx); err != nil {
			return err
		}
		if s.EverHealthy {
			err = store.Retain(tx, now, s).SetDesiredState(desiredIfPlaced(s)).Exec(ctx)
		} else {
			err = store.DeleteVolume(tx, s).Exec(ctx)
		}
		if err != nil {
			return err
		}
	}
	if err := c.forgetRetained(ctx, tx, n, cause); err != nil {
		return err
	}
	if _, err := tx.Service.Delete().Where(livesOn(n.ID)).Exec(ctx); err != nil {
		return err
	}
	return tx.Node.DeleteOneID(n.ID).Exec(ctx)
}

// desiredIfPlaced returns the desired state of a service that has a workload on its node; empty for one that waited for its
// node, or that was being removed.
func desiredIfPlaced(s *ent.Service) string {
	if s.NodeID == "" || s.DesiredState == lifecycle.WantRemoved {
		return ""
	}
	return string(s.DesiredState)
}

// forgetRetained marks the retained data of a node as that of a forgotten one. Data whose service was gone before has an
// event of its own.
func (c *Control) forgetRetained(ctx context.Context, tx *ent.Tx, n *fleet.Node, cause *ent.Event) error {
	all, err := tx.Volume.Query().Where(volume.ServiceIDIsNil(), volume.NodeID(n.ID)).All(ctx)
	if err != nil {
		return err
	}
	engine := n.Row().EngineID
	for _, v := range all {
		if err := tx.Volume.UpdateOne(v).SetForgotten(true).SetNodeName(n.Name).SetEngineID(engine).Exec(ctx); err != nil {
			return err
		}
		if v.RetainedAt.Equal(cause.At) { // of a service that was there until now
			continue
		}
		err = c.fleet.RetainedEvent(tx, cause.At, v).SetCauseID(cause.ID).
			SetReason("node " + n.Name + " was forgotten; the retained data and its credentials are kept").SetReasonCode(lifecycle.CodeNodeForgotten).Exec(ctx)
		if err != nil {
			return err
		}
	}
	return nil
}
