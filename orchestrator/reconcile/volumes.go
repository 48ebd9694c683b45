package reconcile

import (
	"context"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/ent/retained"
	"github.com/unicorn-web-services/uws/ent/service"
	"github.com/unicorn-web-services/uws/internal/fault"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/fleet"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/snapshot"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

// dataOf identifies the volume of a service for its node's driver.
func (r *Reconciler) dataOf(row *ent.Service, n *fleet.Node) driver.Data {
	return driver.Data{Volume: row.Volume, Used: row.EverHealthy, Marked: row.DataMarked, EngineMark: r.engineMark(row.Definition, n)}
}

// dataOfRetained identifies retained data for its node's driver.
func (r *Reconciler) dataOfRetained(k *ent.Retained, n *fleet.Node) driver.Data {
	return driver.Data{Volume: k.ID, Used: true, Marked: k.DataMarked, EngineMark: r.engineMark(k.Definition, n)}
}

// engineMark returns what identifies the data of a template's engine. Definitions that are older than marks do not have it;
// the present template of the same name and major version does.
func (r *Reconciler) engineMark(definition catalog.Template, n *fleet.Node) string {
	drv := catalog.Driver(n.Row().Driver)
	if run := definition.Runtime(drv); run != nil && run.Mark != "" {
		return run.Mark
	}
	now, ok := r.opts.Catalog.Lookup(definition.Name)
	if !ok || now.Major() != definition.Major() {
		return ""
	}
	if run := now.Runtime(drv); run != nil {
		return run.Mark
	}
	return ""
}

// dataBack reports whether the data of a service that failed because it was missing is there.
func (r *Reconciler) dataBack(ctx context.Context, row *ent.Service, n *fleet.Node) (bool, error) {
	if row.Phase != lifecycle.Failed || deref(row.ReasonCode) != lifecycle.CodeDataMissing || row.DesiredState != lifecycle.WantRunning {
		return false, nil
	}
	return n.Driver().HasData(ctx, r.dataOf(row, n))
}

// mark writes the mark file of a service's volume, and then records that it exists.
func (r *Reconciler) mark(ctx context.Context, row *ent.Service) error {
	return r.fleet.Do(ctx, row.NodeID, fleet.StopSlack, func(ctx context.Context, n *fleet.Node) error {
		record, err := r.fleet.SealRecord(row)
		if err != nil {
			return err
		}
		if err := n.Driver().MarkData(ctx, row.ID, record); err != nil {
			r.log.Warn("marking a volume failed; retrying", "service", row.Name, "id", row.ID, "error", err)
			return err
		}
		fault.Point("mark-written")
		return r.store.Update(ctx, func(ctx context.Context, tx *ent.Tx) error {
			return tx.Service.UpdateOneID(row.ID).Where(service.Credentials(row.Credentials)).SetDataMarked(true).Exec(ctx)
		})
	})
}

// deleteVolumes goes on with deletions of retained data that were asked for while the node was away, or that a crash
// interrupted.
func (r *Reconciler) deleteVolumes(ctx context.Context) {
	ids, err := r.store.Read.Retained.Query().Where(retained.Deleting(true)).IDs(ctx)
	for _, id := range ids {
		if err := r.DeleteVolume(ctx, id); err != nil {
			r.log.Debug("retained data is not deleted yet", "id", id, "reason", err)
		}
	}
	if err != nil && ctx.Err() == nil {
		r.log.Error("looking for data to delete failed; retrying", "error", err)
	}
}

// DeleteVolume deletes retained data. It is gone when there is no error; with NodeUnavailable it is deleted when the node is
// back.
func (r *Reconciler) DeleteVolume(ctx context.Context, id string) error {
	ctx = store.WithRelief(ctx)
	var k *ent.Retained
	err := r.store.Update(ctx, func(ctx context.Context, tx *ent.Tx) (err error) {
		k, err = tx.Retained.UpdateOneID(id).SetDeleting(true).Save(ctx)
		return err
	})
	if err != nil {
		return snapshot.NotFound(err, "retained data", id)
	}
	n := r.fleet.Lookup(k.NodeID)
	if n == nil && k.Forgotten { // it cannot be reached: its record goes
		return r.forgetVolume(ctx, id)
	}
	if n == nil || n.Down() {
		return orchestrator.Errorf(orchestrator.NodeUnavailable, "id", "the data is on node %s, which does not answer; it goes when the node is back", r.fleet.NameOf(k.NodeID))
	}
	err = n.Driver().RemoveData(ctx, r.dataOfRetained(k, n))
	switch driver.ClassOf(err) {
	case driver.Conflict:
		return orchestrator.Errorf(orchestrator.Conflict, "id", "%v", err)
	case driver.DataMissing:
		return orchestrator.Errorf(orchestrator.Conflict, "id", "%v. It is left alone: delete it by hand, and the retained data is gone too", err)
	}
	if err != nil {
		return err
	}
	if err := r.forgetVolume(ctx, id); err != nil && !ent.IsNotFound(err) {
		return err
	}
	r.log.Info("retained data deleted", "id", id, "name", k.Name)
	return nil
}

func (r *Reconciler) forgetVolume(ctx context.Context, id string) error {
	return r.store.Update(ctx, func(ctx context.Context, tx *ent.Tx) error { return tx.Retained.DeleteOneID(id).Exec(ctx) })
}
