package orchestrator

import (
	"context"
	"errors"

	"github.com/unicorn-web-services/uws/ent"
	entnode "github.com/unicorn-web-services/uws/ent/node"
	"github.com/unicorn-web-services/uws/ent/service"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/events"
)

// RegisterNode implements [API]. The node must answer now.
func (o *Orchestrator) RegisterNode(ctx context.Context, in NodeInput) (NodeInfo, error) {
	labels, err := o.checkNodeInput(in)
	if err != nil {
		return NodeInfo{}, err
	}
	row := &ent.Node{ID: newID(), Name: in.Name, Driver: entnode.Driver(in.Driver), Endpoint: in.Endpoint, ServiceAddress: in.ServiceAddress, Labels: labels}
	drv, err := o.tryNode(ctx, row, in.Access)
	if err != nil {
		return NodeInfo{}, err
	}
	row, err = o.createNode(ctx, row, in.Access)
	if err != nil {
		err = errors.Join(err, drv.Close())
		if ent.IsConstraintError(err) {
			return NodeInfo{}, Errorf(Conflict, "input.name", "input.name: there is a node %q already", in.Name)
		}
		return NodeInfo{}, err
	}
	n := o.addNode(row, drv)
	o.log.Info("node registered", "node", n.name, "driver", row.Driver, "endpoint", row.Endpoint)
	return o.watchNew(ctx, n)
}

// watchNew begins to watch a node that answered just now, and describes it after its first check.
func (o *Orchestrator) watchNew(ctx context.Context, n *node) (NodeInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	checked := make(chan struct{})
	o.watchNode(n, func() { close(checked) })
	select {
	case <-checked:
	case <-ctx.Done():
	}
	return o.describe(context.WithoutCancel(ctx), n)
}

// tryNode opens a node's driver and returns it when the node answers. Errors name the field of the input.
func (o *Orchestrator) tryNode(ctx context.Context, row *ent.Node, access Access) (driver.Driver, error) {
	drv, err := o.opts.Open(row, access)
	if err != nil {
		return nil, nodeError(err)
	}
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	if _, err := drv.Ping(ctx); err != nil {
		err = nodeError(err)
		if closing := drv.Close(); closing != nil {
			o.log.Warn("closing a node that did not answer failed", "node", row.Name, "error", closing)
		}
		return nil, err
	}
	return drv, nil
}

// nodeError says which field of the input a driver's error is about. One about the keys is a mistake in the input,
// one about the endpoint is the node's own trouble.
func nodeError(err error) error {
	e, ok := errors.AsType[*driver.Error](err)
	switch {
	case ok && e.Field != "" && (e.Class == driver.Invalid || e.Field != "endpoint"):
		return Errorf(InvalidInput, "input."+e.Field, "input.%s: %v", e.Field, e)
	case ok && e.Field != "":
		return Errorf(NodeUnavailable, "input."+e.Field, "input.%s: %v", e.Field, e)
	case ok && e.Class == driver.Invalid:
		return Errorf(InvalidInput, "input.driver", "input.driver: %v", e)
	default:
		return Errorf(NodeUnavailable, "input.endpoint", "input.endpoint: the node does not answer: %v", err)
	}
}

// UpdateNode implements [API].
func (o *Orchestrator) UpdateNode(ctx context.Context, id string, in NodeUpdate) (NodeInfo, error) {
	n := o.node(id)
	if n == nil {
		return NodeInfo{}, Errorf(NotFound, "id", "id: there is no node with id %q", id)
	}
	change, err := o.checkNodeUpdate(n.current(), in)
	if err != nil {
		return NodeInfo{}, err
	}
	var drv driver.Driver
	if in.TLS != nil || in.SSH != nil {
		if drv, err = o.tryNode(ctx, n.current(), in.Access); err == nil {
			change.access, err = o.sealAccess(id, in.Access)
		}
		if err != nil {
			return NodeInfo{}, err
		}
	}
	row, err := o.writeUpdate(ctx, n, change)
	if err != nil {
		if drv != nil {
			err = errors.Join(err, drv.Close())
		}
		return NodeInfo{}, err
	}
	n.keep(row)
	o.events.Committed()
	o.log.Info("node updated", "node", n.name, "service_address", row.ServiceAddress, "draining", row.Draining, "labels", row.Labels, "new_keys", drv != nil)
	o.placeAgain()
	if drv == nil {
		return o.describe(ctx, n)
	}
	return o.replaceDriver(ctx, row, drv)
}

// nodeChange is a checked NodeUpdate.
type nodeChange struct {
	NodeUpdate
	labels map[string]string
	access []byte // sealed; nil: stays
}

// writeUpdate writes what changes of a node, with an event where services are affected.
func (o *Orchestrator) writeUpdate(ctx context.Context, n *node, c nodeChange) (row *ent.Node, err error) {
	err = o.inTx(ctx, func(tx *ent.Tx) error {
		before, err := tx.Node.Get(ctx, n.id)
		if ent.IsNotFound(err) {
			return Errorf(NotFound, "id", "id: node %s has been removed meanwhile", n.name)
		}
		if err != nil {
			return err
		}
		up := tx.Node.UpdateOne(before).SetNillableServiceAddress(c.ServiceAddress).SetNillableDraining(c.Draining).AddVersion(1)
		if c.Labels != nil {
			up.SetLabels(c.labels)
		}
		if c.access != nil {
			up.SetAccess(c.access)
		}
		if row, err = up.Save(ctx); err != nil {
			return err
		}
		if row.ServiceAddress != before.ServiceAddress {
			on, err := tx.Service.Query().Where(service.NodeID(n.id)).Count(ctx)
			if err != nil {
				return err
			}
			if on > 0 {
				return Errorf(Conflict, "input.serviceAddress", "input.serviceAddress: node %s has %d services, which clients reach at %s; remove them first, or leave serviceAddress out",
					n.name, on, before.ServiceAddress)
			}
		}
		if row.Draining == before.Draining {
			return nil
		}
		text := "node is draining: no new services are placed on it, and those that are there stay"
		if !row.Draining {
			text = "node takes new services again"
		}
		return events.Append(tx, utcNow()).SetSubject("NODE").SetNodeID(n.id).SetNodeName(n.name).
			SetNodeHealthy(row.Healthy).SetReason(text).Exec(ctx)
	})
	return row, err
}

// replaceDriver gives a node another driver. What is under way with the old one ends by itself, and is looked at anew.
func (o *Orchestrator) replaceDriver(ctx context.Context, row *ent.Node, drv driver.Driver) (NodeInfo, error) {
	o.mu.Lock()
	old := o.nodes[row.ID]
	if old == nil {
		o.mu.Unlock()
		return NodeInfo{}, errors.Join(Errorf(NotFound, "id", "id: node %s has been removed meanwhile", row.Name), drv.Close())
	}
	fresh := o.newNode(row, drv)
	fresh.steps = old.steps
	old.mu.Lock()
	fresh.info, fresh.lastSeen, fresh.strange = old.info, old.lastSeen, old.strange
	old.mu.Unlock()
	o.nodes[row.ID] = fresh
	o.mu.Unlock()
	old.close()
	if err := old.drv.Close(); err != nil {
		o.log.Warn("closing a node's old connection failed", "node", row.Name, "error", err)
	}
	info, err := o.watchNew(ctx, fresh)
	o.addAll()
	return info, err
}
