package backup

import (
	"context"

	"github.com/unicorn-web-services/uws/ent"
	entbackup "github.com/unicorn-web-services/uws/ent/backup"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
)

// Remove removes a service, see [orchestrator.ServiceVerbs]. If its data is to be deleted and its policy wants a last backup, that
// is taken first: the service is removed when the backup is complete, and stays if it fails. Conflict if it cannot be backed
// up now.
func (b *Backups) Remove(ctx context.Context, id string, deleteData bool) (*orchestrator.Service, error) {
	if name := b.targetIn(id); deleteData && name != "" {
		return nil, orchestrator.Errorf(orchestrator.Conflict, "data", "the bucket holds the backups of target %q; delete that target first, or remove the service with its data retained", name)
	}
	s, p := b.wantsLast(id)
	if !deleteData || p == nil {
		return b.Control.Remove(ctx, id, deleteData)
	}
	if err := backable(s); err != nil {
		return nil, orchestrator.Errorf(orchestrator.Conflict, "data", "its backup policy wants a last backup before its data is deleted, and none can be taken while it is %s. Remove it with its data retained, or set `finalBackup` of the policy to false", s.Phase)
	}
	var row *ent.Backup
	queued := false
	err := b.Store.Update(ctx, func(ctx context.Context, tx *ent.Tx) (err error) {
		row, err = tx.Backup.Query().Where(entbackup.ServiceID(id), entbackup.TriggerEQ(entbackup.TriggerREMOVAL), entbackup.StateIn(entbackup.StateQUEUED, entbackup.StateRUNNING)).First(ctx)
		if queued = err == nil; queued || !ent.IsNotFound(err) {
			return err
		}
		row, err = newBackup(tx, s, p.TargetID, entbackup.TriggerREMOVAL).SetPolicyID(p.ID).SetReason("the last one, before its data is deleted").Save(ctx)
		if err != nil {
			return err
		}
		return b.event(ctx, tx, s.ID, s.Name, lifecycle.CodeRemoveRequested, "removal requested; a last backup is taken first, as its policy wants it", row)
	})
	if err != nil {
		return nil, err
	}
	if !queued {
		b.queueBackups([]*ent.Backup{row})
	}
	return s, nil
}

// targetIn returns the name of a target that is a bucket of a service, empty if there is none.
func (b *Backups) targetIn(serviceID string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, t := range b.targets {
		if t.row.ServiceID == serviceID {
			return t.row.Name
		}
	}
	return ""
}

// wantsLast returns a service and its policy if that wants a last backup of it.
func (b *Backups) wantsLast(id string) (*orchestrator.Service, *policy) {
	s := b.Snapshot.Known(id)
	if s == nil || s.DesiredState == lifecycle.WantRemoved || s.Instance == "" { // one that never ran holds nothing
		return nil, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.policyFor(s)
	if p == nil || !p.FinalBackup || p.Paused {
		return nil, nil
	}
	return s, p
}
