package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	entbackup "github.com/unicorn-web-services/uws/ent/backup"
	"github.com/unicorn-web-services/uws/ent/restore"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

// recordProof records the outcome of a proof, with its event.
func (b *Backups) recordProof(ctx context.Context, row *ent.Restore, p proof, cancelled bool) error {
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	state, code, reason := restore.StateCOMPLETE, lifecycle.CodeBackupProven, fmt.Sprintf("a backup was restored on trial and checked in %s", p.Duration.Round(100*time.Millisecond))
	switch {
	case cancelled:
		state, reason = restore.StateCANCELLED, "cancelled"
	case !p.Proven:
		state, code, reason = restore.StateFAILED, lifecycle.CodeProofFailed, "the proof of a backup failed: "+p.Reason
	}
	var x *ent.Backup
	err = b.Store.Update(ctx, func(ctx context.Context, tx *ent.Tx) (err error) {
		if err := tx.Restore.UpdateOneID(row.ID).SetState(state).SetReason(reason).SetFinishedAt(p.At).AddVersion(1).Exec(ctx); err != nil || cancelled {
			return err
		}
		up := tx.Backup.UpdateOneID(row.BackupID).SetProof(text).AddVersion(1)
		if p.Proven {
			up.SetProvenAt(p.At)
		}
		if x, err = up.Save(ctx); err != nil {
			return ignoreMissing(err)
		}
		return b.event(ctx, tx, x.ServiceID, x.ServiceName, code, reason, x)
	})
	if err != nil || x == nil {
		return err
	}
	b.noteProof(x)
	b.log.Info("proof ended", "backup", x.ID, "service", x.ServiceName, "proven", p.Proven, "reason", reason)
	b.lookSoon()
	return nil
}

// noteProof takes over the outcome of a proof.
func (b *Backups) noteProof(x *ent.Backup) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.note(x)
	b.recordOf(x.ServiceID).settle()
}

// proveDue begins the proofs that are due: of the newest backup of each service whose policy wants one.
func (b *Backups) proveDue(ctx context.Context) {
	for id, want := range b.proofsDue(store.Now()) {
		x, err := b.Store.Read.Backup.Query().Where(entbackup.ID(want.backup)).Select(listed()...).Only(ctx)
		if err == nil {
			_, err = b.beginProof(ctx, x, want.node)
		}
		if err == nil || ctx.Err() != nil {
			continue
		}
		none, noRoom := errors.AsType[*noRoomError](err)
		if !noRoom {
			b.log.Warn("a proof could not be begun; retrying", "service", id, "error", err)
			b.mu.Lock()
			b.recordOf(id).proofTried = store.Now()
			b.mu.Unlock()
			continue
		}
		if err := b.recordNoRoom(ctx, x, none.text); err != nil && ctx.Err() == nil {
			b.log.Error("recording a proof failed", "service", id, "error", err)
		}
	}
}

// recordNoRoom records that a backup cannot be restored on trial.
func (b *Backups) recordNoRoom(ctx context.Context, x *ent.Backup, reason string) error {
	p := proof{At: store.Now(), NoRoom: true, Reason: "there is no room to restore it on trial: " + reason}
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	err = b.Store.Update(ctx, func(ctx context.Context, tx *ent.Tx) (err error) {
		x, err = tx.Backup.UpdateOneID(x.ID).SetProof(text).AddVersion(1).Save(ctx)
		return err
	})
	if err == nil {
		b.noteProof(x)
	}
	return err
}

// wanted is a proof that is due.
type wanted struct{ backup, node string }

// proofsDue returns the proofs that are due, by service.
func (b *Backups) proofsDue(now time.Time) map[string]wanted {
	due := map[string]wanted{}
	services := b.Snapshot.All()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range services {
		p, r := b.policyFor(s), b.services[s.ID]
		if p == nil || p.Paused || p.ProveEvery == 0 || r == nil || len(r.complete) == 0 || r.proving {
			continue
		}
		if r.proof != "" && now.Sub(r.proofTried) < proveAgain || r.proof == "" && now.Sub(r.history().Proven) < p.ProveEvery || now.Sub(r.proofTried) < tick {
			continue
		}
		due[s.ID] = wanted{r.complete[len(r.complete)-1].id, p.ProveNodeID}
	}
	return due
}
