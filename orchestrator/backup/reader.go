package backup

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"entgo.io/ent/dialect/sql"

	"github.com/unicorn-web-services/uws/ent"
	entbackup "github.com/unicorn-web-services/uws/ent/backup"
	"github.com/unicorn-web-services/uws/ent/predicate"
	"github.com/unicorn-web-services/uws/ent/restore"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/snapshot"
)

// Backups implements [orchestrator.BackupReader].
func (b *Backups) Backups(ctx context.Context, filter orchestrator.BackupFilter, page orchestrator.Page) (orchestrator.List[*orchestrator.Backup], error) {
	q := b.Store.Read.Backup.Query().Order(entbackup.ByCreatedAt(sql.OrderDesc()), entbackup.ByID(sql.OrderDesc()))
	if filter.ServiceID != "" {
		q.Where(entbackup.ServiceID(filter.ServiceID))
	}
	if filter.TargetID != "" {
		q.Where(entbackup.TargetID(filter.TargetID))
	}
	if len(filter.Kinds) > 0 {
		q.Where(entbackup.KindIn(filter.Kinds...))
	}
	if len(filter.States) > 0 {
		var states []entbackup.State
		for _, s := range filter.States {
			states = append(states, entbackup.State(s))
		}
		q.Where(entbackup.StateIn(states...))
	}
	if page.After != "" {
		at, id, ok := parseCursor("backup", page.After)
		if !ok {
			return orchestrator.List[*orchestrator.Backup]{}, orchestrator.BadCursor("after")
		}
		q.Where(entbackup.Or(entbackup.CreatedAtLT(at), entbackup.And(entbackup.CreatedAt(at), entbackup.IDLT(id))))
	}
	first := page.Limit()
	rows, err := q.Limit(first + 1).All(ctx)
	if err != nil {
		return orchestrator.List[*orchestrator.Backup]{}, err
	}
	return orchestrator.PageOf(snapshot.Each(rows, backupOf), first, func(x *orchestrator.Backup) string { return cursor("backup", x.CreatedAt, x.ID) }), nil
}

func cursor(list string, at time.Time, id string) string {
	return orchestrator.KeyCursor(list, at.UTC().Format(time.RFC3339Nano)+" "+id)
}

func parseCursor(list, text string) (at time.Time, id string, ok bool) {
	key, ok := orchestrator.ParseKeyCursor(list, text)
	when, id, cut := strings.Cut(key, " ")
	at, err := time.Parse(time.RFC3339Nano, when)
	return at.UTC(), id, ok && cut && err == nil
}

// Backup implements [orchestrator.BackupReader].
func (b *Backups) Backup(ctx context.Context, id string) (*orchestrator.Backup, error) {
	row, err := b.Store.Read.Backup.Get(ctx, id)
	if err != nil {
		return nil, snapshot.NotFound(err, "backup", id)
	}
	return backupOf(row), nil
}

// backupOf returns what the contract has of a row.
func backupOf(row *ent.Backup) *orchestrator.Backup {
	return &orchestrator.Backup{
		ID: row.ID, ServiceID: row.ServiceID, ServiceName: row.ServiceName, Kind: row.Kind, Template: row.Template, Version: row.EngineVersion, NodeID: row.NodeID,
		TargetID: row.TargetID, PolicyID: row.PolicyID, Trigger: orchestrator.BackupTrigger(row.Trigger), State: orchestrator.BackupState(row.State),
		Reason: row.Reason, ReasonCode: row.ReasonCode, Pinned: row.Pinned, CreatedAt: row.CreatedAt, StartedAt: row.StartedAt, FinishedAt: row.FinishedAt,
		Paused: time.Duration(row.PausedMs) * time.Millisecond, Bytes: row.Bytes, StoredBytes: row.StoredBytes, Files: row.Files, Contents: row.Contents,
		ProvenAt: row.ProvenAt, Proof: proofOf(row.Proof),
	}
}

// proofOf returns what the contract has of the outcome of a proof.
func proofOf(text json.RawMessage) *orchestrator.Proof {
	var p proof
	if len(text) == 0 || json.Unmarshal(text, &p) != nil {
		return nil
	}
	out := &orchestrator.Proof{At: p.At, Proven: p.Proven, Reason: p.Reason, NoRoom: p.NoRoom, Duration: p.Duration, Failures: p.Failures}
	for _, c := range p.Compared {
		out.Compared = append(out.Compared, orchestrator.ProofCheck{What: c.What, Count: c.Count})
	}
	return out
}

// Restores implements [orchestrator.BackupReader].
func (b *Backups) Restores(ctx context.Context, kinds []catalog.Kind, page orchestrator.Page) (orchestrator.List[*orchestrator.Restore], error) {
	q := b.Store.Read.Restore.Query().Order(restore.ByCreatedAt(sql.OrderDesc()), restore.ByID(sql.OrderDesc()))
	var where []predicate.Restore
	if len(kinds) > 0 {
		where = append(where, restore.KindIn(kinds...))
	}
	if page.After != "" {
		at, id, ok := parseCursor("restore", page.After)
		if !ok {
			return orchestrator.List[*orchestrator.Restore]{}, orchestrator.BadCursor("after")
		}
		where = append(where, restore.Or(restore.CreatedAtLT(at), restore.And(restore.CreatedAt(at), restore.IDLT(id))))
	}
	first := page.Limit()
	rows, err := q.Where(where...).Limit(first + 1).All(ctx)
	if err != nil {
		return orchestrator.List[*orchestrator.Restore]{}, err
	}
	return orchestrator.PageOf(snapshot.Each(rows, restoreOf), first, func(x *orchestrator.Restore) string { return cursor("restore", x.CreatedAt, x.ID) }), nil
}

// Restore implements [orchestrator.BackupReader].
func (b *Backups) Restore(ctx context.Context, id string) (*orchestrator.Restore, error) {
	row, err := b.Store.Read.Restore.Get(ctx, id)
	if err != nil {
		return nil, snapshot.NotFound(err, "restore", id)
	}
	return restoreOf(row), nil
}

// restoreOf returns what the contract has of a row.
func restoreOf(row *ent.Restore) *orchestrator.Restore {
	return &orchestrator.Restore{
		ID: row.ID, Purpose: orchestrator.RestorePurpose(row.Purpose), BackupID: row.BackupID, Kind: row.Kind, Name: row.Name, At: row.At, NodeID: row.NodeID,
		ServiceID: row.ServiceID, State: orchestrator.RestoreState(row.State), Reason: row.Reason, CreatedAt: row.CreatedAt, FinishedAt: row.FinishedAt, Bytes: row.Bytes,
	}
}
