package orchestrator

import (
	"context"

	"github.com/unicorn-web-services/uws/ent"
	entretained "github.com/unicorn-web-services/uws/ent/retained"
	"github.com/unicorn-web-services/uws/internal/fault"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
)

// wish changes what is wanted of a service and asks for a look at it.
func (o *Orchestrator) wish(ctx context.Context, id string, change func(*ent.Service, *ent.ServiceUpdateOne) error) (*ent.Service, error) {
	var s *ent.Service
	err := o.inTx(ctx, func(tx *ent.Tx) (err error) {
		if s, err = tx.Service.Get(ctx, id); err != nil {
			return err
		}
		up := tx.Service.UpdateOne(s)
		if err := change(s, up); err != nil {
			return err
		}
		if m := up.Mutation(); len(m.Fields())+len(m.AddedFields()) == 0 {
			return nil
		}
		s, err = up.AddVersion(1).SetUpdatedAt(utcNow()).Save(ctx)
		return err
	})
	if err != nil {
		return nil, notFound(err, "service", id)
	}
	fault.Point("wish-" + string(s.DesiredState))
	if t := o.task(id); t != nil {
		t.keep(s)
	}
	o.queue.add(id)
	return s, nil
}

func notFound(err error, what, id string) error {
	if ent.IsNotFound(err) {
		return Errorf(NotFound, "id", "id: there is no %s with id %q", what, id)
	}
	return err
}

func notWhileRemoving(s *ent.Service) error {
	if s.DesiredState == lifecycle.WantRemoved {
		return Errorf(Conflict, "id", "service %s is being removed; nothing else can be done with it", s.Name)
	}
	return nil
}

// Start implements [API].
func (o *Orchestrator) Start(ctx context.Context, id string) (*ent.Service, error) {
	return o.wish(ctx, id, func(s *ent.Service, up *ent.ServiceUpdateOne) error {
		stuck := s.DesiredState == lifecycle.WantStopped || s.Phase == lifecycle.Failed || s.Phase == lifecycle.CrashLoop
		if stuck && s.RestartGeneration == s.HandledGeneration {
			up.AddRestartGeneration(1)
		}
		if s.DesiredState == lifecycle.WantStopped {
			up.SetDesiredState(lifecycle.WantRunning)
		}
		return notWhileRemoving(s)
	})
}

// Stop implements [API].
func (o *Orchestrator) Stop(ctx context.Context, id string) (*ent.Service, error) {
	return o.wish(ctx, id, func(s *ent.Service, up *ent.ServiceUpdateOne) error {
		if s.DesiredState != lifecycle.WantStopped {
			up.SetDesiredState(lifecycle.WantStopped)
		}
		return notWhileRemoving(s)
	})
}

// Restart implements [API].
func (o *Orchestrator) Restart(ctx context.Context, id string) (*ent.Service, error) {
	return o.wish(ctx, id, func(s *ent.Service, up *ent.ServiceUpdateOne) error {
		up.SetDesiredState(lifecycle.WantRunning).AddRestartGeneration(1)
		return notWhileRemoving(s)
	})
}

// Remove implements [API]. Asking again with deleteData deletes the data too, as long as the service is not gone.
func (o *Orchestrator) Remove(ctx context.Context, id string, deleteData bool) (*ent.Service, error) {
	s, err := o.wish(ctx, id, func(s *ent.Service, up *ent.ServiceUpdateOne) error {
		if s.DesiredState != lifecycle.WantRemoved {
			up.SetDesiredState(lifecycle.WantRemoved)
		}
		if deleteData && !s.DeleteData {
			up.SetDeleteData(true)
		}
		return nil
	})
	if err == nil || CodeOf(err) != NotFound {
		return s, err
	}
	gone, lookErr := o.wasThere(ctx, id)
	if lookErr != nil {
		return nil, lookErr
	}
	if gone {
		return nil, nil
	}
	return nil, err
}

// Reveal implements [API].
func (o *Orchestrator) Reveal(ctx context.Context, id string) ([]Credential, error) {
	s, err := o.Service(ctx, id)
	if err != nil {
		return nil, err
	}
	values, err := o.accepted(ctx, s)
	if err != nil {
		return nil, err
	}
	var all []Credential
	for _, c := range s.Definition.Credentials {
		all = append(all, Credential{Name: c.Name, Value: values[c.Name]})
	}
	return all, nil
}

// Connections implements [API].
func (o *Orchestrator) Connections(ctx context.Context, id string) ([]catalog.ConnectionString, error) {
	s, err := o.Service(ctx, id)
	if err != nil {
		return nil, err
	}
	n := o.node(s.NodeID)
	if n == nil || len(s.Ports) == 0 {
		return nil, nil
	}
	values, err := o.accepted(ctx, s)
	if err != nil {
		return nil, err
	}
	all, err := s.Definition.ConnectionsFor(catalog.Values{Host: n.current().ServiceAddress,
		ServiceID: s.ID, ServiceName: s.Name, Ports: s.Ports, Credentials: values})
	if err != nil {
		o.log.Error("connection strings of the template cannot be filled in and are left out", "service", s.Name, "template", s.Template, "error", err)
	}
	return all, nil
}

// finishDeletions goes on with deletions of kept data that were asked for while the node was away, or that a crash
// interrupted.
func (o *Orchestrator) finishDeletions(ctx context.Context) {
	ids, err := o.store.Read.Retained.Query().Where(entretained.Deleting(true)).IDs(ctx)
	for _, id := range ids {
		if err := o.DeleteRetained(ctx, id); err != nil {
			o.log.Debug("kept data is not deleted yet", "id", id, "reason", err)
		}
	}
	if err != nil && ctx.Err() == nil {
		o.log.Error("looking for data to delete failed; it is tried again", "error", err)
	}
}

// DeleteRetained implements [API]. The data is gone when it returns without an error; with NodeUnavailable it goes when
// the node is back.
func (o *Orchestrator) DeleteRetained(ctx context.Context, id string) error {
	k, err := o.store.Write.Retained.UpdateOneID(id).SetDeleting(true).Save(ctx)
	if err != nil {
		return notFound(err, "retained data", id)
	}
	n := o.node(k.NodeID)
	if n == nil || n.down() {
		return Errorf(NodeUnavailable, "id", "the data is on node %s, which does not answer; it goes when the node is back", o.nodeName(k.NodeID))
	}
	if err := n.drv.RemoveData(ctx, k.ID); err != nil {
		if driver.ClassOf(err) == driver.Conflict {
			return Errorf(Conflict, "id", "%v", err)
		}
		return err
	}
	if err := o.store.Write.Retained.DeleteOneID(id).Exec(ctx); err != nil && !ent.IsNotFound(err) {
		return err
	}
	o.log.Info("retained data deleted", "id", id, "name", k.Name)
	return nil
}
