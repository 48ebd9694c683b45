package fleet

import (
	"context"
	"errors"

	"github.com/unicorn-web-services/uws/ent"
	entnode "github.com/unicorn-web-services/uws/ent/node"
	"github.com/unicorn-web-services/uws/ent/service"
	"github.com/unicorn-web-services/uws/ent/volume"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

// RegisterNode registers a node, which must answer now.
func (f *Fleet) RegisterNode(ctx context.Context, in orchestrator.NodeInput) (orchestrator.Node, error) {
	labels, err := f.checkNodeInput(ctx, in)
	if err != nil {
		return orchestrator.Node{}, err
	}
	row := &ent.Node{ID: orchestrator.NewID(), Name: in.Name, Driver: entnode.Driver(in.Driver), Endpoint: in.Endpoint, ServiceAddress: in.ServiceAddress, Labels: labels}
	drv, engine, err := f.try(ctx, row, in.Access)
	if err != nil {
		return orchestrator.Node{}, err
	}
	row.EngineID = engine
	row, err = f.create(ctx, row, in.Access)
	if err != nil {
		err = errors.Join(err, drv.Close())
		if ent.IsConstraintError(err) {
			return orchestrator.Node{}, orchestrator.Errorf(orchestrator.Conflict, "name", "there is a node %q already", in.Name)
		}
		return orchestrator.Node{}, err
	}
	n := f.add(row, drv)
	f.log.Info("node registered", "node", n.Name, "driver", row.Driver, "endpoint", row.Endpoint)
	return f.watchNew(ctx, n)
}

// watchNew starts to watch a node that has just answered, and describes it after its first check.
func (f *Fleet) watchNew(ctx context.Context, n *Node) (orchestrator.Node, error) {
	soon, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	checked := make(chan struct{})
	f.watch(n, func() { close(checked) })
	select {
	case <-checked:
	case <-soon.Done():
	}
	return f.opts.Snapshot.Node(ctx, n.ID)
}

// try opens a node's driver and returns it when the node answers. Errors name the field of the input.
func (f *Fleet) try(ctx context.Context, row *ent.Node, access orchestrator.Access) (drv driver.Driver, engine string, err error) {
	drv, err = f.openWith(row, access)
	if err != nil {
		return nil, "", nodeError(err)
	}
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	info, err := drv.Ping(ctx)
	if err != nil {
		err = nodeError(err)
		if closing := drv.Close(); closing != nil {
			f.log.Warn("closing a node that did not answer failed", "node", row.Name, "error", closing)
		}
		return nil, "", err
	}
	return drv, info.EngineID, nil
}

// otherNode refuses an engine that is registered as another node, with another endpoint.
func otherNode(ctx context.Context, tx *ent.Tx, row *ent.Node) error {
	if row.EngineID == "" {
		return nil
	}
	others, err := tx.Node.Query().Where(entnode.EngineID(row.EngineID), entnode.IDNEQ(row.ID)).All(ctx)
	if err != nil || len(others) == 0 {
		return err
	}
	return orchestrator.Errorf(orchestrator.Conflict, "endpoint", "this is the engine of node %q, which is reached at %s. If they are two machines made from one image, "+
		"delete the file engine-id in the data root of one of the engines, and restart that engine", others[0].Name, others[0].Endpoint)
}

// nodeError says which field of the input a driver's error is about. One about the keys is a mistake in the input,
// one about the endpoint is the node's own trouble.
func nodeError(err error) error {
	e, ok := errors.AsType[*driver.Error](err)
	switch {
	case ok && e.Field != "" && (e.Class == driver.Invalid || e.Field != "endpoint"):
		return orchestrator.Errorf(orchestrator.InvalidInput, e.Field, "%v", e)
	case ok && e.Field != "":
		return orchestrator.Errorf(orchestrator.NodeUnavailable, e.Field, "%v", e)
	case ok && e.Class == driver.Invalid:
		return orchestrator.Errorf(orchestrator.InvalidInput, "driver", "%v", e)
	default:
		return orchestrator.Errorf(orchestrator.NodeUnavailable, "endpoint", "the node does not answer: %v", err)
	}
}

// UpdateNode changes a node. New keys are tried before they replace the old ones.
func (f *Fleet) UpdateNode(ctx context.Context, id string, in orchestrator.NodeUpdate) (orchestrator.Node, error) {
	n := f.Lookup(id)
	if n == nil {
		return orchestrator.Node{}, orchestrator.Errorf(orchestrator.NotFound, "id", "there is no node with id %q", id)
	}
	change, err := f.checkNodeUpdate(ctx, n.Row(), in)
	if err != nil {
		return orchestrator.Node{}, err
	}
	var drv driver.Driver
	if in.TLS != nil || in.SSH != nil {
		if drv, _, err = f.try(ctx, n.Row(), in.Access); err == nil {
			change.access, err = f.sealAccess(id, in.Access)
		}
		if err != nil {
			return orchestrator.Node{}, err
		}
	}
	row, err := f.writeUpdate(ctx, n, change)
	if err != nil {
		if drv != nil {
			err = errors.Join(err, drv.Close())
		}
		return orchestrator.Node{}, err
	}
	f.log.Info("node updated", "node", n.Name, "service_address", row.ServiceAddress, "draining", row.Draining, "labels", row.Labels, "new_keys", drv != nil)
	f.listener.CapacityChanged()
	if drv == nil {
		return f.opts.Snapshot.Node(ctx, n.ID)
	}
	return f.replaceDriver(ctx, row, drv)
}

// nodeChange is a checked NodeUpdate.
type nodeChange struct {
	orchestrator.NodeUpdate
	labels map[string]string
	access []byte // sealed; nil: stays
}

// writeUpdate writes what changes of a node, with an event where services are affected.
func (f *Fleet) writeUpdate(ctx context.Context, n *Node, c nodeChange) (row *ent.Node, err error) {
	err = f.store.Update(ctx, func(ctx context.Context, tx *ent.Tx) error {
		before, err := tx.Node.Get(ctx, n.ID)
		if ent.IsNotFound(err) {
			return orchestrator.Errorf(orchestrator.NotFound, "id", "node %s has been removed meanwhile", n.Name)
		}
		if err != nil {
			return err
		}
		up := tx.Node.UpdateOne(before).SetNillableServiceAddress(c.ServiceAddress).SetNillableDraining(c.Draining)
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
			on, err := tx.Service.Query().Where(service.NodeID(n.ID)).Count(ctx)
			if err != nil {
				return err
			}
			if on > 0 {
				return orchestrator.Errorf(orchestrator.Conflict, "serviceAddress", "node %s has %d services, which clients reach at %s; remove them first, or leave serviceAddress out",
					n.Name, on, before.ServiceAddress)
			}
		}
		if row.Draining == before.Draining {
			return nil
		}
		code, text := lifecycle.CodeNodeDraining, "node is draining: no new services are placed on it, and those that are there stay"
		if !row.Draining {
			code, text = lifecycle.CodeNodeUndrained, "node takes new services again"
		}
		return n.Event(tx, store.Now(), code, text).SetNodeHealthy(row.Healthy).Exec(ctx)
	})
	return row, err
}

// replaceDriver gives a node another driver. Work with the old one ends by itself, and all services are reconciled.
func (f *Fleet) replaceDriver(ctx context.Context, row *ent.Node, drv driver.Driver) (orchestrator.Node, error) {
	f.mu.Lock()
	old := f.nodes[row.ID]
	if old == nil {
		f.mu.Unlock()
		return orchestrator.Node{}, errors.Join(orchestrator.Errorf(orchestrator.NotFound, "id", "node %s has been removed meanwhile", row.Name), drv.Close())
	}
	fresh := f.newNode(row, drv)
	fresh.steps = old.steps
	old.mu.Lock()
	fresh.info, fresh.lastSeen, fresh.orphanInstances = old.info, old.lastSeen, old.orphanInstances
	fresh.orphans, fresh.orphansLogged = old.orphans, old.orphansLogged
	old.mu.Unlock()
	f.nodes[row.ID] = fresh
	f.mu.Unlock()
	old.close()
	if err := old.drv.Close(); err != nil {
		f.log.Warn("closing a node's old connection failed", "node", row.Name, "error", err)
	}
	info, err := f.watchNew(ctx, fresh)
	f.listener.NodesChanged()
	return info, err
}

// reclaim gives the retained data of a forgotten node to the new node of the same engine. What was a service then is an
// orphan now.
func (f *Fleet) reclaim(ctx context.Context, tx *ent.Tx, row *ent.Node) error {
	if row.EngineID == "" {
		return nil
	}
	forgotten, err := tx.Volume.Query().Where(volume.ServiceIDIsNil(), volume.Forgotten(true), volume.EngineID(row.EngineID)).All(ctx)
	if err != nil || len(forgotten) == 0 {
		return err
	}
	for _, v := range forgotten {
		if err := tx.Volume.UpdateOne(v).SetNodeID(row.ID).SetForgotten(v.DesiredState != "").Exec(ctx); err != nil {
			return err
		}
	}
	f.log.Info("a forgotten engine was registered again", "node", row.Name, "volumes", len(forgotten))
	return nil
}
