package backup

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	entbackup "github.com/unicorn-web-services/uws/ent/backup"
	"github.com/unicorn-web-services/uws/ent/restore"
	"github.com/unicorn-web-services/uws/orchestrator/backup/plan"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

const proofFailed = "the proof of a backup failed: "

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
		state, code, reason = restore.StateFAILED, lifecycle.CodeProofFailed, proofFailed+p.Reason
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
	b.recordOf(x.ServiceID).settle(store.Now())
}

// proveDue begins the proofs that are due: of the newest backup of each service whose policy wants one. It begins no more than can
// be under way: one that waits keeps ports and memory from others.
func (b *Backups) proveDue(ctx context.Context) {
	for _, want := range b.proofsDue(store.Now()) {
		x, err := b.Store.Read.Backup.Query().Where(entbackup.ID(want.backup)).Select(listed()...).Only(ctx)
		if err == nil {
			_, err = b.beginProof(ctx, x, want.node)
		}
		if err == nil || ctx.Err() != nil {
			continue
		}
		if none, ok := errors.AsType[*noRoomError](err); ok {
			err = b.recordUnmade(ctx, x, proof{At: store.Now(), NoRoom: true, Reason: "there is no room to restore it on trial: " + none.text})
		}
		if err != nil && ctx.Err() == nil {
			b.log.Warn("a proof could not be begun; retrying", "service", want.service, "error", err)
			b.mu.Lock()
			b.recordOf(want.service).proofTried = store.Now()
			b.mu.Unlock()
		}
	}
}

// recordUnmade records why a backup cannot be restored on trial, with an event if that is its own fault.
func (b *Backups) recordUnmade(ctx context.Context, x *ent.Backup, p proof) error {
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	err = b.Store.Update(ctx, func(ctx context.Context, tx *ent.Tx) (err error) {
		x, err = tx.Backup.UpdateOneID(x.ID).SetProof(text).AddVersion(1).Save(ctx)
		if err != nil || p.NoRoom {
			return err
		}
		return b.event(ctx, tx, x.ServiceID, x.ServiceName, lifecycle.CodeProofFailed, proofFailed+p.Reason, x)
	})
	if err != nil {
		return err
	}
	if !p.NoRoom {
		b.metrics.failures.WithLabelValues("proof").Inc()
	}
	b.noteProof(x)
	b.lookSoon()
	return nil
}

// wanted is a proof that is due.
type wanted struct {
	service, backup, node string
	proven, tried         time.Time
}

// proofsDue returns proofs that are due, as many as can begin. Those of services that were never proven come first, then those
// that were proven longest ago.
func (b *Backups) proofsDue(now time.Time) []wanted {
	var due []wanted
	services := b.Snapshot.All()
	b.mu.Lock()
	defer b.mu.Unlock()
	room := maxAtOnce
	for _, s := range services {
		p, r := b.policyFor(s), b.services[s.ID]
		if r != nil && r.proving {
			room--
		}
		if p == nil || p.Paused || p.ProveEvery == 0 || r == nil || len(r.complete) == 0 || r.proving {
			continue
		}
		proven, tried := r.history(now).Proven, r.proofTried
		if plan.Ahead(tried, now) {
			tried = time.Time{}
		}
		if r.proof != "" && now.Sub(tried) < proveAgain || r.proof == "" && now.Sub(proven) < p.ProveEvery || now.Sub(tried) < tick {
			continue
		}
		due = append(due, wanted{s.ID, r.complete[len(r.complete)-1].id, p.ProveNodeID, proven, tried})
	}
	slices.SortFunc(due, func(x, y wanted) int { return cmp.Or(x.proven.Compare(y.proven), x.tried.Compare(y.tried)) })
	return due[:min(len(due), max(0, room))]
}
