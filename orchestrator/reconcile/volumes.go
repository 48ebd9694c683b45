package reconcile

import (
	"context"
	"fmt"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/ent/service"
	"github.com/unicorn-web-services/uws/ent/volume"
	"github.com/unicorn-web-services/uws/internal/fault"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/fleet"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

// dataOf identifies the volume of a service for its node's driver.
func (r *Reconciler) dataOf(row *ent.Service, n *fleet.Node) driver.Data {
	return driver.Data{Volume: row.Volume, Used: row.EverHealthy, Marked: row.DataMarked, EngineMark: r.engineMark(row.Definition, n)}
}

// dataOfRetained identifies retained data for its node's driver.
func (r *Reconciler) dataOfRetained(v *ent.Volume, n *fleet.Node) driver.Data {
	return driver.Data{Volume: v.ID, Used: true, Marked: v.DataMarked, EngineMark: r.engineMark(v.Definition, n)}
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

// mark writes the mark file of a service's volume, and then records that it is there and current.
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
			return tx.Service.UpdateOneID(row.ID).Where(service.Credentials(row.Credentials)).SetDataMarked(true).SetRecordStale(false).Exec(ctx)
		})
	})
}

// deleteTimeout ends a deletion that hangs. The next one goes on where it stopped.
const deleteTimeout = 30 * time.Minute

// deleteVolumes begins every deletion of retained data that was requested and is not under way: new ones, and those that
// an absent node, an obstacle or a crash held up.
func (r *Reconciler) deleteVolumes(ctx context.Context) {
	ids, err := r.store.Read.Volume.Query().Where(volume.ServiceIDIsNil(), volume.Deleting(true)).IDs(ctx)
	for _, id := range ids {
		r.beginDeletion(id)
	}
	if err != nil && ctx.Err() == nil {
		r.log.Error("looking for data to delete failed; retrying", "error", err)
	}
}

// beginDeletion deletes retained data beside the caller, unless that is under way.
func (r *Reconciler) beginDeletion(id string) {
	r.mu.Lock()
	underWay := r.deleting[id]
	r.deleting[id] = true
	r.mu.Unlock()
	if underWay {
		return
	}
	r.work.Go(func(ctx context.Context) {
		defer func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			delete(r.deleting, id)
		}()
		ctx = context.WithValue(store.WithRelief(ctx), reconciling{}, id)
		obstacle, err := r.deleteVolume(ctx, id)
		if err == nil && obstacle != nil && ctx.Err() == nil {
			err = r.noteObstacle(ctx, id, obstacle.Error())
		}
		if err != nil && ctx.Err() == nil {
			r.log.Error("deleting retained data failed; retrying", "id", id, "error", err)
		}
	})
}

// deleteVolume deletes retained data whose deletion was requested, and then its row. The obstacle is what is in the way at
// the node, for people; err is of the store.
func (r *Reconciler) deleteVolume(ctx context.Context, id string) (obstacle, err error) {
	v, err := r.store.Read.Volume.Get(ctx, id)
	if ent.IsNotFound(err) || err == nil && !v.Deleting {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	n := r.fleet.Lookup(v.NodeID)
	switch {
	case n == nil && v.Forgotten: // it cannot be reached: its record goes
		return nil, r.deleteRetained(ctx, v, "the record of the data on node "+v.NodeName+", which was forgotten, was deleted")
	case n == nil || n.Down():
		return fmt.Errorf("node %s does not answer; the data is deleted when the node is back", r.fleet.NameOf(v.NodeID)), nil
	}
	err = r.fleet.Do(ctx, n.ID, deleteTimeout, func(ctx context.Context, n *fleet.Node) error {
		return n.Driver().RemoveData(ctx, r.dataOfRetained(v, n))
	})
	if driver.ClassOf(err) == driver.DataMissing {
		return fmt.Errorf("%w. It is left alone: delete it by hand, and the retained data is gone too", err), nil
	}
	if err != nil {
		return err, nil
	}
	fault.Point("volume-deleted")
	return nil, r.deleteRetained(ctx, v, "the retained data was deleted")
}

// deleteRetained deletes the row of retained data, with an event. A row that was changed since it was read is left for the next
// pass.
func (r *Reconciler) deleteRetained(ctx context.Context, v *ent.Volume, text string) error {
	err := r.store.Update(ctx, func(ctx context.Context, tx *ent.Tx) error {
		if err := tx.Volume.DeleteOneID(v.ID).Where(volume.Version(v.Version)).Exec(ctx); err != nil {
			return err
		}
		return r.fleet.RetainedEvent(tx, store.Now(), v).SetReason(text).SetReasonCode(lifecycle.CodeDataDeleted).Exec(ctx)
	})
	if ent.IsNotFound(err) {
		return nil
	}
	if err == nil {
		r.log.Info("retained data deleted", "id", v.ID, "name", v.Name)
	}
	return err
}

// noteObstacle records why retained data is not deleted yet, and logs it when that changed.
func (r *Reconciler) noteObstacle(ctx context.Context, id, text string) error {
	changed := false
	err := r.store.Update(ctx, func(ctx context.Context, tx *ent.Tx) error {
		v, err := tx.Volume.Get(ctx, id)
		changed = err == nil && deref(v.Obstacle) != text
		if ent.IsNotFound(err) || err == nil && !changed {
			return nil
		}
		if err != nil {
			return err
		}
		return tx.Volume.UpdateOne(v).SetObstacle(text).Exec(ctx)
	})
	if err == nil && changed {
		r.log.Warn("retained data is not deleted yet; retrying", "id", id, "reason", text)
	}
	return err
}
