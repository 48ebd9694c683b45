package backup

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	entbackup "github.com/unicorn-web-services/uws/ent/backup"
	"github.com/unicorn-web-services/uws/ent/restore"
	"github.com/unicorn-web-services/uws/internal/clean"
	"github.com/unicorn-web-services/uws/internal/fault"
	"github.com/unicorn-web-services/uws/orchestrator/backup/repo"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/control"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/fleet"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

// A service moves in one piece of work that holds it still, see [reconcile.Reconciler.Copy]: it is stopped, backed up, copied to its
// node, tried there, and switched over in one transaction. Until then its row is as it was, so that whatever ends the work
// before leaves a service that package reconcile starts again where it was.

// move moves a service to another node, and records how that ended.
func (b *Backups) move(ctx context.Context, j *job, row *ent.Restore) {
	began := time.Now()
	err := b.relocate(ctx, j, row)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if b.work.Context().Err() != nil { // uws ends: what is left is removed afterwards
		return
	}
	if err == nil {
		b.metrics.restores.WithLabelValues(string(row.Kind)).Observe(time.Since(began).Seconds())
		return
	}
	b.metrics.failures.WithLabelValues("move").Inc()
	b.conclude(row.ID, func(ctx context.Context) error { return b.recordNotMoved(ctx, row.ID, err) })
}

// relocate moves a service to another node.
func (b *Backups) relocate(ctx context.Context, j *job, row *ent.Restore) error {
	row, err := b.Store.Read.Restore.Get(ctx, row.ID)
	if err != nil {
		return err
	}
	switch {
	case row.Cancel:
		return errCancelled
	case row.State != restore.StateQUEUED:
		return errors.New("uws was restarted meanwhile; begin again")
	}
	x, err := b.Store.Read.Backup.Query().Where(entbackup.ID(row.BackupID)).Select(listed()...).Only(ctx)
	if err != nil {
		return err
	}
	j.progress.enter(string(restore.StateCOPYING), "opening the target", 0, openTimeout)
	r, err := b.open(ctx, x.TargetID)
	if err != nil {
		return err
	}
	if err := b.prepareFor(ctx, j, row); err != nil {
		return err
	}
	fault.Point("move-prepared")
	j.progress.enter(string(restore.StateCOPYING), "waiting until the service is at rest", 0, restWait)
	return b.Reconciler.Copy(ctx, row.SourceID, func(ctx context.Context, s *ent.Service, n *fleet.Node, spec driver.Spec) error {
		return b.moveStill(ctx, j, r, x, row, &volumeCopy{b: b, s: s, n: n, spec: spec, m: &manifest{}, stop: true})
	})
}

// prepareFor fetches the engine at the node that a service moves to, while it works.
func (b *Backups) prepareFor(ctx context.Context, j *job, row *ent.Restore) error {
	if err := b.enterRestore(ctx, row.ID, restore.StateCOPYING, "copying the data to its node"); err != nil {
		return err
	}
	s, err := b.Snapshot.Row(ctx, row.SourceID)
	if err != nil {
		return err
	}
	j.progress.enter(string(restore.StateCOPYING), "fetching the engine", 0, startWait)
	return b.Fleet.Do(ctx, row.NodeID, startWait, func(ctx context.Context, n *fleet.Node) error {
		spec, err := b.Reconciler.ImportSpec(s.Definition, catalog.Driver(n.Row().Driver), row.ID, row.Name, row.Volume)
		if err != nil {
			return err
		}
		return n.Driver().Prepare(ctx, spec, nil)
	})
}

// moveStill moves a service while nothing else is done with it.
func (b *Backups) moveStill(ctx context.Context, j *job, r *repo.Repository, x *ent.Backup, row *ent.Restore, c *volumeCopy) error {
	if len(c.s.PendingCredentials) > 0 {
		return errors.New("its credentials are being changed; begin again when that is over")
	}
	x, err := b.lastCopy(ctx, j, r, x, c)
	if err != nil {
		return err
	}
	fault.Point("move-saved")
	if err := b.importVolume(ctx, j, r, x, c.m, row); err != nil {
		return err
	}
	fault.Point("move-copied")
	if err := b.tryCopy(ctx, j, c.m, row); err != nil {
		return err
	}
	fault.Point("move-checked")
	grace := c.s.Definition.Stop.Grace
	removing, cancel := context.WithTimeout(ctx, grace+fleet.StopSlack)
	defer cancel()
	if err := c.n.Driver().Stop(removing, c.s.ID, grace); err != nil {
		return err
	}
	if err := c.n.Driver().Remove(removing, c.s.ID); err != nil {
		return err
	}
	to := control.Relocation{Service: c.s, NodeID: row.NodeID, Volume: row.Volume, Ports: row.Ports}
	err = b.Control.Relocate(ctx, to, func(ctx context.Context, tx *ent.Tx, s *ent.Service) error {
		err := tx.Restore.UpdateOneID(row.ID).Where(restore.Cancel(false), restore.FinishedAtIsNil()).SetServiceID(s.ID).SetState(restore.StateCOMPLETE).
			SetReason("moved to node " + b.Fleet.NameOf(row.NodeID)).SetFinishedAt(store.Now()).AddVersion(1).Exec(ctx)
		if ent.IsNotFound(err) {
			return errCancelled
		}
		return err
	})
	if err == nil {
		fault.Point("move-switched")
		b.log.Info("service moved", "service", c.s.Name, "id", c.s.ID, "node", b.Fleet.NameOf(row.NodeID), "stopped_for", time.Since(c.m.Started).Round(time.Millisecond))
	}
	return err
}

// lastCopy backs a service up while it is stopped, and returns the complete backup.
func (b *Backups) lastCopy(ctx context.Context, j *job, r *repo.Repository, x *ent.Backup, c *volumeCopy) (*ent.Backup, error) {
	err := b.startBackup(ctx, x.ID)
	if err != nil {
		return nil, err
	}
	if c.m.Credentials, err = b.Vault.Accepted(ctx, c.s); err != nil {
		return nil, err
	}
	c.m.describe(x, c.s, c.n)
	c.m.How = byVolume
	snap, err := c.save(ctx, j, r)
	if ended := b.recordEnd(context.WithoutCancel(ctx), x.ID, snap, c.m, err); err == nil {
		err = ended
	}
	if err != nil {
		return nil, err
	}
	return b.Store.Read.Backup.Query().Where(entbackup.ID(x.ID)).Select(listed()...).Only(ctx)
}

// tryCopy starts the copy of a service's data on trial, and stops it again when it has answered.
func (b *Backups) tryCopy(ctx context.Context, j *job, m *manifest, row *ent.Restore) error {
	at, ask, err := b.startTrial(ctx, j, m, row, true)
	if err == nil {
		err = b.answers(ctx, row, m, at, ask)
	}
	if err != nil {
		return fmt.Errorf("the copy does not work there: %w", err)
	}
	return b.Fleet.Do(ctx, row.NodeID, m.Definition.Stop.Grace+fleet.StopSlack, func(ctx context.Context, n *fleet.Node) error {
		return endTrial(ctx, n, row, m.Definition.Stop.Grace)
	})
}

// recordNotMoved removes what a move that failed has left, and records its end. The service is where it was.
func (b *Backups) recordNotMoved(ctx context.Context, id string, failed error) error {
	row, err := b.Store.Read.Restore.Get(ctx, id)
	if err != nil || row.FinishedAt != nil {
		return err
	}
	reason := "moving it to node " + b.Fleet.NameOf(row.NodeID) + " failed, it stays where it was: " + clean.Clip(clean.Line(failed.Error()), maxReason)
	state, code := restore.StateFAILED, lifecycle.CodeMoveFailed
	if errors.Is(failed, errCancelled) {
		state, code, reason = restore.StateCANCELLED, lifecycle.CodeMoveCancelled, "moving it to node "+b.Fleet.NameOf(row.NodeID)+" was cancelled, it stays where it was"
	}
	if err := b.enterRestore(ctx, id, row.State, reason); err != nil {
		return err
	}
	x, err := b.Store.Read.Backup.Query().Where(entbackup.ID(row.BackupID), entbackup.StateIn(entbackup.StateQUEUED, entbackup.StateRUNNING)).Select(listed()...).Only(ctx)
	if err == nil { // it is no failure of backups
		err = b.recordEnd(ctx, x.ID, repo.Snapshot{}, &manifest{}, errCancelled)
	}
	if ignoreMissing(err) != nil {
		return err
	}
	if err := b.removeTrial(ctx, row); err != nil {
		return err
	}
	err = b.Store.Update(ctx, func(ctx context.Context, tx *ent.Tx) error {
		if err := tx.Restore.UpdateOneID(id).SetState(state).SetFinishedAt(store.Now()).AddVersion(1).Exec(ctx); err != nil {
			return err
		}
		return b.event(ctx, tx, row.SourceID, row.Name, code, reason, nil)
	})
	if err == nil {
		b.log.Warn("service not moved", "move", id, "service", row.Name, "state", state, "reason", reason)
	}
	return err
}
