package backup

import (
	"context"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	entbackup "github.com/unicorn-web-services/uws/ent/backup"
	"github.com/unicorn-web-services/uws/ent/restore"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/backup/plan"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/snapshot"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

// BackUp implements [orchestrator.BackupVerbs].
func (b *Backups) BackUp(ctx context.Context, serviceID, targetID string) (*orchestrator.Backup, error) {
	s, err := b.Snapshot.Service(ctx, serviceID)
	if err != nil {
		return nil, err
	}
	targetID, policyID, err := b.targetOf(s, targetID)
	if err != nil {
		return nil, err
	}
	if err := backable(s); err != nil {
		return nil, err
	}
	var row *ent.Backup
	found := false
	err = b.Store.Update(ctx, func(ctx context.Context, tx *ent.Tx) (err error) {
		row, err = tx.Backup.Query().Where(entbackup.ServiceID(serviceID), entbackup.StateIn(entbackup.StateQUEUED, entbackup.StateRUNNING)).First(ctx)
		if found = err == nil; found || !ent.IsNotFound(err) {
			return err
		}
		row, err = newBackup(tx, s, targetID, entbackup.TriggerREQUEST).SetPolicyID(policyID).Save(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	if !found {
		b.queueBackups([]*ent.Backup{row})
	}
	return backupOf(row), nil
}

// targetOf returns the target that a service is to be backed up to: the given one, or that of its policy if none is given. The id of
// the policy is empty for a given one.
func (b *Backups) targetOf(s *orchestrator.Service, given string) (targetID, policyID string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p := b.policyFor(s); given == "" && p != nil {
		given, policyID = p.TargetID, p.ID
	}
	t := b.targets[given]
	switch {
	case given == "":
		err = orchestrator.Errorf(orchestrator.InvalidInput, "targetId", "no policy applies to service %s; give the id of a target, which `backupTargets` lists", s.Name)
	case t == nil:
		err = orchestrator.Errorf(orchestrator.NotFound, "targetId", "there is no backup target with id %q; `backupTargets` lists them", given)
	case t.row.ServiceID == s.ID:
		err = orchestrator.Errorf(orchestrator.Conflict, "targetId", "the target is the service itself: a bucket cannot hold its own backup; choose another target")
	}
	return given, policyID, err
}

// backable returns Conflict unless a service can be backed up now.
func backable(s *orchestrator.Service) error {
	switch {
	case s.DesiredState == lifecycle.WantRemoved:
		return orchestrator.Errorf(orchestrator.Conflict, "id", "service %s is being removed; nothing else can be done with it", s.Name)
	case s.DesiredState == lifecycle.WantRunning && s.Phase == lifecycle.Running && s.Health.Healthy():
		return nil
	case s.DesiredState == lifecycle.WantStopped && s.Phase == lifecycle.Stopped && s.Instance != "":
		return nil
	}
	return orchestrator.Errorf(orchestrator.Conflict, "id", "service %s is %s and %s, and is backed up while it works or is stopped; wait until it is HEALTHY, or stop it", s.Name, s.Phase, s.Health)
}

// changeBackup changes the row of a backup.
func (b *Backups) changeBackup(ctx context.Context, id string, change func(*ent.Tx, *ent.Backup, *ent.BackupUpdateOne) error) (*ent.Backup, error) {
	var row *ent.Backup
	err := b.Store.Update(ctx, func(ctx context.Context, tx *ent.Tx) error {
		was, err := tx.Backup.Get(ctx, id)
		if err != nil {
			return err
		}
		up := tx.Backup.UpdateOne(was).Where(entbackup.Version(was.Version)).AddVersion(1)
		if err := change(tx, was, up); err != nil {
			return err
		}
		row, err = up.Save(ctx)
		return err
	})
	if err != nil {
		return nil, snapshot.NotFound(err, "backup", id)
	}
	b.mu.Lock()
	b.note(row)
	b.recordOf(row.ServiceID).settle(store.Now())
	b.mu.Unlock()
	return row, nil
}

// CancelBackup implements [orchestrator.BackupVerbs].
func (b *Backups) CancelBackup(ctx context.Context, id string) (*orchestrator.Backup, error) {
	row, err := b.Store.Read.Backup.Get(ctx, id)
	if err != nil {
		return nil, snapshot.NotFound(err, "backup", id)
	}
	over := row.State != entbackup.StateQUEUED && row.State != entbackup.StateRUNNING
	if row.Trigger == entbackup.TriggerMOVE && !over {
		return nil, orchestrator.Errorf(orchestrator.Conflict, "id", "the service is being moved; cancel that with cancelRestore, whose id `restores` has")
	}
	b.mu.Lock()
	j := b.jobs[id]
	b.mu.Unlock()
	if j == nil || over {
		return nil, orchestrator.Errorf(orchestrator.Conflict, "id", "the backup is over: it is %s", row.State)
	}
	j.cancel(errCancelled)
	b.lookSoon() // one that is queued ends in its turn, which is now
	return backupOf(row), nil
}

// PinBackup implements [orchestrator.BackupVerbs].
func (b *Backups) PinBackup(ctx context.Context, id string, pinned bool) (*orchestrator.Backup, error) {
	row, err := b.changeBackup(ctx, id, func(_ *ent.Tx, was *ent.Backup, up *ent.BackupUpdateOne) error {
		if was.State == entbackup.StateDELETING {
			return orchestrator.Errorf(orchestrator.Conflict, "id", "the backup is being deleted")
		}
		up.SetPinned(pinned)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return backupOf(row), nil
}

// DeleteBackup implements [orchestrator.BackupVerbs].
func (b *Backups) DeleteBackup(ctx context.Context, id string) (*orchestrator.Backup, error) {
	row, err := b.changeBackup(ctx, id, func(tx *ent.Tx, was *ent.Backup, up *ent.BackupUpdateOne) error {
		used, err := tx.Restore.Query().Where(restore.BackupID(id), restore.FinishedAtIsNil()).Exist(ctx)
		switch {
		case err != nil:
			return err
		case was.Pinned:
			return orchestrator.Errorf(orchestrator.Conflict, "id", "the backup is pinned; unpin it first")
		case used:
			return orchestrator.Errorf(orchestrator.Conflict, "id", "a service is being made of this backup; wait until that is over, or cancel it")
		case was.State == entbackup.StateQUEUED || was.State == entbackup.StateRUNNING:
			return orchestrator.Errorf(orchestrator.Conflict, "id", "the backup is under way; cancel it with cancelBackup")
		}
		up.SetState(entbackup.StateDELETING).SetReason("being deleted")
		return nil
	})
	if err != nil {
		return nil, err
	}
	b.lookSoon()
	return backupOf(row), nil
}

// housekeep deletes what is to be deleted, and maintains targets.
func (b *Backups) housekeep(ctx context.Context) {
	rows, err := b.Store.Read.Backup.Query().Where(entbackup.StateEQ(entbackup.StateDELETING)).Select(listed()...).All(ctx)
	if err != nil {
		if ctx.Err() == nil {
			b.log.Error("looking for backups to delete failed; retrying", "error", err)
		}
		return
	}
	byTarget := map[string][]*ent.Backup{}
	for _, row := range rows {
		byTarget[row.TargetID] = append(byTarget[row.TargetID], row)
	}
	b.mu.Lock()
	targets := make([]*target, 0, len(b.targets))
	for _, t := range b.targets {
		targets = append(targets, t)
	}
	b.mu.Unlock()
	for _, t := range targets {
		t.mu.Lock()
		last := t.row.CreatedAt
		if t.row.MaintainedAt != nil {
			last = *t.row.MaintainedAt
		}
		due := time.Since(last).Abs() > maintainEvery // in the future: the clock was put back
		// After a failure it is tried again an hour later.
		due = due && time.Since(t.tried) > time.Hour
		begin := !t.busy && (due || len(byTarget[t.id]) > 0 && time.Since(t.tried) > tick/2)
		save := !t.busy && t.storeDue(time.Now())
		if begin {
			t.busy, t.tried = true, time.Now()
		}
		if save {
			t.busy, t.storeTried = true, time.Now()
		}
		t.mu.Unlock()
		if begin || save {
			b.work.Go(func(ctx context.Context) {
				if save {
					b.saveStore(ctx, t)
				}
				b.deleteBackups(ctx, t, byTarget[t.id])
				if begin && due {
					b.maintain(ctx, t)
				}
				t.mu.Lock()
				t.busy = false
				t.mu.Unlock()
			})
		}
	}
}

// deleteBackups deletes backups from a target, and then their rows.
func (b *Backups) deleteBackups(ctx context.Context, t *target, rows []*ent.Backup) {
	var ids []string
	for _, row := range rows {
		if row.Snapshot != "" {
			ids = append(ids, row.Snapshot)
		}
	}
	if len(ids) > 0 {
		r, err := b.open(ctx, t.id)
		if err == nil {
			err = r.Delete(ctx, ids...)
		}
		if err != nil {
			b.log.Warn("deleting backups failed; retrying", "target", t.id, "error", err)
			return
		}
	}
	for _, row := range rows {
		err := b.Store.Update(ctx, func(ctx context.Context, tx *ent.Tx) error {
			if err := tx.Backup.DeleteOneID(row.ID).Exec(ctx); err != nil {
				return err
			}
			if row.Snapshot == "" {
				return nil
			}
			return b.event(ctx, tx, row.ServiceID, row.ServiceName, lifecycle.CodeBackupDeleted, "the backup of "+row.CreatedAt.UTC().Format(time.DateTime)+" was deleted", row)
		})
		if err != nil && !ent.IsNotFound(err) && ctx.Err() == nil {
			b.log.Error("deleting the record of a backup failed; retrying", "backup", row.ID, "error", err)
		}
	}
}

// expire marks the backups of a service that its policy does not keep.
func (b *Backups) expire(ctx context.Context, serviceID string) error {
	for _, id := range b.expired(serviceID) {
		_, err := b.changeBackup(ctx, id, func(_ *ent.Tx, was *ent.Backup, up *ent.BackupUpdateOne) error {
			if !was.Pinned {
				up.SetState(entbackup.StateDELETING).SetReason("its policy does not keep it")
			}
			return nil
		})
		if err != nil && orchestrator.CodeOf(err) != orchestrator.NotFound {
			return err
		}
	}
	old := store.Now().Add(-keepRestores)
	return b.Store.Update(ctx, func(ctx context.Context, tx *ent.Tx) error {
		if _, err := tx.Backup.Delete().Where(entbackup.ServiceID(serviceID), entbackup.StateIn(entbackup.StateFAILED, entbackup.StateCANCELLED), entbackup.FinishedAtLT(old)).Exec(ctx); err != nil {
			return err
		}
		_, err := tx.Restore.Delete().Where(restore.FinishedAtLT(old)).Exec(ctx)
		return err
	})
}

// expired returns the ids of the backups of a service that its policy does not keep. Those of a service that is gone, or that
// has no policy any more, are all kept, and so are those that were requested.
func (b *Backups) expired(serviceID string) []string {
	s := b.Snapshot.Known(serviceID)
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.services[serviceID]
	if s == nil || r == nil {
		return nil
	}
	p := b.policyFor(s)
	if p == nil {
		return nil
	}
	var kept []plan.Kept
	for _, c := range r.complete {
		if c.policy == p.ID {
			kept = append(kept, plan.Kept{ID: c.id, At: c.at, Pinned: c.pinned})
		}
	}
	return plan.Expired(store.Now(), kept, p.Keep, p.schedule.Zone())
}
