package control

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/ent/service"
	entvolume "github.com/unicorn-web-services/uws/ent/volume"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/fleet"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/snapshot"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

// AdoptOrphan makes an orphan a service again, with its id, name, credentials, data and ports.
func (c *Control) AdoptOrphan(ctx context.Context, id string) (*orchestrator.Service, error) {
	x, n, err := c.fleet.FindOrphan(ctx, id)
	if err != nil {
		return nil, err
	}
	if x.Problem != nil {
		return nil, orchestrator.Errorf(orchestrator.Conflict, "id", "this orphan cannot be adopted: %s. Stop or remove it", *x.Problem)
	}
	seen, err := n.Driver().Inspect(ctx, x.Record.Service)
	if err != nil {
		return nil, err
	}
	var s *ent.Service
	err = c.store.Update(ctx, func(ctx context.Context, tx *ent.Tx) (err error) {
		if err := c.roomFor(ctx, tx, n, x.Record); err != nil {
			return err
		}
		s, err = c.createAdopted(ctx, tx, n, x.Record, seen)
		return err
	})
	if err != nil {
		return nil, err
	}
	c.fleet.OrphansMoved()
	c.log.Info("orphan adopted", "service", s.Name, "id", s.ID, "node", n.Name)
	return snapshot.ServiceOf(s), nil
}

// roomFor refuses a record whose name, volume or ports another service has.
func (c *Control) roomFor(ctx context.Context, tx *ent.Tx, n *fleet.Node, r *fleet.Record) error {
	others, err := tx.Service.Query().Where(service.Or(service.Name(r.Name), service.Volume(r.Volume), service.NodeID(n.ID))).
		Select(service.FieldID, service.FieldName, service.FieldVolume, service.FieldPorts, service.FieldNodeID).All(ctx)
	if err != nil {
		return err
	}
	for _, s := range others {
		switch {
		case s.Name == r.Name:
			return orchestrator.Errorf(orchestrator.Conflict, "id", "a service named %q exists already; remove it first", r.Name)
		case s.Volume == r.Volume:
			return orchestrator.Errorf(orchestrator.Conflict, "id", "service %q uses the same data; remove it first", s.Name)
		}
		for _, p := range s.Ports {
			if s.NodeID == n.ID && slices.ContainsFunc(slices.Collect(maps.Values(r.Ports)), func(mine int) bool { return mine == p }) {
				return orchestrator.Errorf(orchestrator.Conflict, "id", "service %q has its port %d; remove one of them", s.Name, p)
			}
		}
	}
	taken, err := tx.Volume.Query().Where(entvolume.Name(r.Name), entvolume.IDNEQ(r.Volume)).Exist(ctx)
	if err == nil && taken {
		err = orchestrator.Errorf(orchestrator.Conflict, "id", "retained data is named %q; delete it first", r.Name)
	}
	return err
}

// createAdopted writes the row of an orphan with its first event. What runs is watched from its start; what does not is
// started.
func (c *Control) createAdopted(ctx context.Context, tx *ent.Tx, n *fleet.Node, r *fleet.Record, seen driver.Observed) (*ent.Service, error) {
	now := store.Now()
	desired := lifecycle.WantRunning
	if r.Desired == lifecycle.WantStopped {
		desired = r.Desired
	}
	create := tx.Service.Create().SetID(r.Service).SetName(r.Name).SetKind(r.Kind).SetTemplate(r.Definition.Name).SetDefinition(r.Definition).
		SetInputHash("").SetVolume(r.Volume).SetCredentials(r.Credentials).SetPorts(r.Ports).SetNodeID(n.ID).
		SetEverHealthy(true).SetDataMarked(r.Marked).SetRecordStale(r.Stale).SetDesiredState(desired).SetPhase(lifecycle.Starting).SetHealth(lifecycle.HealthStarting).
		SetSpecGeneration(max(1, seen.Generation)).SetObservedGeneration(seen.Generation).
		SetEngineRestarts(seen.Restarts).SetInstance(seen.Instance).SetReason("orphan adopted").SetReasonCode(lifecycle.CodeOrphanAdopted).
		SetCreatedAt(r.CreatedAt).SetUpdatedAt(now)
	if len(r.Pending) > 0 {
		create.SetPendingCredentials(r.Pending)
	}
	if r.Quarantine != nil {
		create.SetQuarantine(r.Quarantine)
	}
	if !seen.Running {
		create.SetEnded(seen.Instance)
	}
	s, err := create.Save(ctx)
	if err != nil {
		return nil, err
	}
	if err := own(ctx, tx, s); err != nil {
		return nil, err
	}
	return s, c.fleet.ServiceEvent(tx, now, s).Exec(ctx)
}

// own makes a service the owner of its volume, which has a row if it was retained.
func own(ctx context.Context, tx *ent.Tx, s *ent.Service) error {
	v, err := tx.Volume.Get(ctx, s.Volume)
	if err != nil && !ent.IsNotFound(err) {
		return err
	}
	return store.Own(ctx, tx, v, s)
}

// RemoveOrphan tears an orphan down. Its data becomes retained data, or is deleted.
func (c *Control) RemoveOrphan(ctx context.Context, id string, how orchestrator.OrphanRemoval) error {
	x, n, err := c.fleet.FindOrphan(ctx, id)
	if err == nil {
		err = removable(x, how)
	}
	if err != nil {
		return err
	}
	if !x.DataOnly {
		grace := x.Grace()
		err = c.fleet.Do(ctx, n.ID, grace+fleet.StopSlack, func(ctx context.Context, n *fleet.Node) error {
			if err := n.Driver().Stop(ctx, x.ID, grace); err != nil {
				return err
			}
			return n.Driver().Remove(ctx, x.ID)
		})
	}
	if err == nil && x.Record != nil && (x.Problem == nil || !x.DataOnly) {
		err = c.retainOrphan(ctx, n, x.Record)
	}
	if err != nil {
		return err
	}
	defer c.fleet.OrphansMoved()
	if err := c.fleet.RecordOrphan(ctx, n, x.Orphan, lifecycle.CodeOrphanRemoved, removal(x, how)); err != nil || !how.DeleteData {
		return err
	}
	if x.Problem == nil || !x.DataOnly {
		_, err := c.DeleteRetained(ctx, x.Record.Volume)
		return err
	}
	return c.deleteUnknown(ctx, n, x)
}

// removable refuses to remove an orphan that differs from the one that was listed, or whose data cannot be kept.
func removable(x fleet.Orphan, how orchestrator.OrphanRemoval) error {
	switch {
	case how.DeleteData && !how.CreatedAt.IsZero() && !how.CreatedAt.Equal(x.CreatedAt):
		return orchestrator.Errorf(orchestrator.Conflict, "createdAt", "this is other data than was listed: it was created at %s", x.CreatedAt.Format(time.RFC3339))
	case how.DeleteData && x.DataOnly && how.CreatedAt.IsZero() && !x.CreatedAt.IsZero():
		return orchestrator.Errorf(orchestrator.InvalidInput, "createdAt", "give the time at which the data was created, as `orphans` lists it")
	case how.DeleteData && !x.DataOnly && x.Record == nil:
		return orchestrator.Errorf(orchestrator.Conflict, "data", "%s, so that its data is not deleted with it; remove the orphan with its data retained: the data is then an orphan of its own, which can be deleted", *x.Problem)
	case !how.DeleteData && x.DataOnly && x.Problem != nil:
		return orchestrator.Errorf(orchestrator.Conflict, "data", "%s, so that it cannot become retained data; it stays an orphan unless it is deleted", *x.Problem)
	}
	return nil
}

// removal returns the reason for the event of a removal.
func removal(x fleet.Orphan, how orchestrator.OrphanRemoval) string {
	switch {
	case how.DeleteData && x.DataOnly:
		return "orphan's data deleted"
	case how.DeleteData:
		return "orphan removed with its data"
	case x.DataOnly:
		return "orphan's data is retained data now"
	}
	return "orphan removed"
}

// deleteUnknown deletes a volume without a record, if it is the one that was listed.
func (c *Control) deleteUnknown(ctx context.Context, n *fleet.Node, x fleet.Orphan) error {
	err := c.fleet.Do(ctx, n.ID, fleet.StopSlack, func(ctx context.Context, n *fleet.Node) error {
		return n.Driver().RemoveData(ctx, driver.Data{Volume: x.ID, CreatedAt: x.CreatedAt})
	})
	if c := driver.ClassOf(err); c == driver.Conflict || c == driver.DataMissing {
		return orchestrator.Errorf(orchestrator.Conflict, "id", "%v", err)
	}
	return err
}

// retainOrphan writes what is left of a removed orphan as retained data.
func (c *Control) retainOrphan(ctx context.Context, n *fleet.Node, r *fleet.Record) error {
	return c.store.Update(ctx, func(ctx context.Context, tx *ent.Tx) error {
		used, err := tx.Service.Query().Where(service.Or(service.Volume(r.Volume), service.Name(r.Name))).Exist(ctx)
		if err != nil || used { // its volume stays with that service, or is without a name of its own
			return err
		}
		removed := &ent.Service{ID: r.Service, Name: r.Name, Kind: r.Kind, Template: r.Definition.Name, Definition: r.Definition, Volume: r.Volume,
			Credentials: r.Credentials, PendingCredentials: r.Pending, NodeID: n.ID, Ports: r.Ports, DataMarked: r.Marked, RecordStale: r.Stale, Quarantine: r.Quarantine, CreatedAt: r.CreatedAt}
		if err := own(ctx, tx, removed); err != nil {
			return err
		}
		return store.Retain(tx, store.Now(), removed).Exec(ctx)
	})
}
