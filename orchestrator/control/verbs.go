package control

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/internal/clean"
	"github.com/unicorn-web-services/uws/internal/fault"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/snapshot"
)

// desire changes the desired state of a service, enqueues the service and returns it.
func (c *Control) desire(ctx context.Context, id string, change func(*ent.Service, *ent.ServiceUpdateOne) error) (*orchestrator.Service, error) {
	var s *ent.Service
	err := c.store.Update(ctx, func(ctx context.Context, tx *ent.Tx) (err error) {
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
		s, err = up.Save(ctx)
		return err
	})
	if err != nil {
		return nil, snapshot.NotFound(err, "service", id)
	}
	fault.Point("wish-" + string(s.DesiredState))
	c.reconciler.Enqueue(id) // also where nothing changed
	return snapshot.ServiceOf(s), nil
}

func notWhileRemoving(s *ent.Service) error {
	if s.DesiredState == lifecycle.WantRemoved {
		return orchestrator.Errorf(orchestrator.Conflict, "id", "service %s is being removed; nothing else can be done with it", s.Name)
	}
	return nil
}

// Start makes a stopped service run, and resets one that failed.
func (c *Control) Start(ctx context.Context, id string) (*orchestrator.Service, error) {
	return c.desire(ctx, id, func(s *ent.Service, up *ent.ServiceUpdateOne) error {
		missing := s.Phase == lifecycle.Failed && s.ReasonCode != nil && *s.ReasonCode == lifecycle.CodeDataMissing
		if missing && s.DesiredState == lifecycle.WantRunning { // each reconciliation tries it; an instance that runs is adopted, not replaced
			return nil
		}
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

// Stop stops a service until Start.
func (c *Control) Stop(ctx context.Context, id string) (*orchestrator.Service, error) {
	return c.desire(ctx, id, func(s *ent.Service, up *ent.ServiceUpdateOne) error {
		if s.DesiredState != lifecycle.WantStopped {
			up.SetDesiredState(lifecycle.WantStopped)
		}
		return notWhileRemoving(s)
	})
}

// Restart restarts a service.
func (c *Control) Restart(ctx context.Context, id string) (*orchestrator.Service, error) {
	return c.desire(ctx, id, func(s *ent.Service, up *ent.ServiceUpdateOne) error {
		up.SetDesiredState(lifecycle.WantRunning).AddRestartGeneration(1)
		return notWhileRemoving(s)
	})
}

// SetLabels changes labels of a service.
func (c *Control) SetLabels(ctx context.Context, id string, set []orchestrator.Label, remove []string) (*orchestrator.Service, error) {
	added, err := orchestrator.CheckLabels("set", set)
	if err != nil {
		return nil, err
	}
	for i, name := range remove {
		if _, both := added[name]; both {
			return nil, orchestrator.Errorf(orchestrator.InvalidInput, fmt.Sprintf("remove[%d]", i), "%q is in set too; a label is either set or removed", clean.Clip(name, 64))
		}
	}
	return c.desire(ctx, id, func(s *ent.Service, up *ent.ServiceUpdateOne) error {
		labels := map[string]string{}
		maps.Copy(labels, s.Labels)
		maps.DeleteFunc(labels, func(name, _ string) bool { return slices.Contains(remove, name) })
		maps.Copy(labels, added)
		if len(labels) > orchestrator.MaxLabels {
			return orchestrator.Errorf(orchestrator.InvalidInput, "set", "the service would have %d labels; at most %d are allowed", len(labels), orchestrator.MaxLabels)
		}
		if !maps.Equal(labels, s.Labels) {
			up.SetLabels(labels)
		}
		return notWhileRemoving(s)
	})
}

// RemoveWithData requests the removal of a service with its data in a transaction. The error is ent's not-found if it is gone.
func RemoveWithData(ctx context.Context, tx *ent.Tx, id string) error {
	return tx.Service.UpdateOneID(id).SetDesiredState(lifecycle.WantRemoved).SetDeleteData(true).Exec(ctx)
}

// Remove removes a service. Calling it again with deleteData deletes the data too, as long as the service is not gone. It
// returns nil for a service that is gone already.
func (c *Control) Remove(ctx context.Context, id string, deleteData bool) (*orchestrator.Service, error) {
	s, err := c.desire(ctx, id, func(s *ent.Service, up *ent.ServiceUpdateOne) error {
		if s.DesiredState != lifecycle.WantRemoved {
			up.SetDesiredState(lifecycle.WantRemoved)
		}
		if deleteData && !s.DeleteData {
			up.SetDeleteData(true)
		}
		return nil
	})
	if err == nil || orchestrator.CodeOf(err) != orchestrator.NotFound {
		return s, err
	}
	gone, lookErr := c.wasThere(ctx, id)
	if lookErr != nil {
		return nil, lookErr
	}
	if gone {
		return nil, nil
	}
	return nil, err
}
