package backup

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	entbackup "github.com/unicorn-web-services/uws/ent/backup"
	"github.com/unicorn-web-services/uws/ent/backuptarget"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/backup/plan"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

// record is what is known of the backups of one service.
type record struct {
	complete   []complete // by time, but for those of the future, which come first
	failed     []failure  // since the newest complete one, by time
	proof      string     // why the newest proof failed
	proofTried time.Time  // when the newest one ended
	proving    bool       // one is queued or under way
	wal        wal
	running    string // id of the backup that is queued or under way
	gone       bool   // the service
	status     orchestrator.BackupStatus
}

// complete is what is known of a complete backup without its row.
type complete struct {
	id, target, policy string
	at, slot, proven   time.Time
	bytes, stored      int64
	pinned             bool
}

// failure is what is known of a failed backup.
type failure struct {
	id, reason string
	at         time.Time
}

// listed are the columns of a backup but the long one.
func listed() []string {
	return slices.DeleteFunc(slices.Clone(entbackup.Columns), func(c string) bool {
		return c == entbackup.FieldContents
	})
}

// load reads targets, policies and backups.
func (b *Backups) load(ctx context.Context) error {
	targets, err := b.Store.Read.BackupTarget.Query().Order(backuptarget.ByName()).All(ctx)
	if err != nil {
		return fmt.Errorf("reading the backup targets: %w", err)
	}
	for _, row := range targets {
		b.targets[row.ID] = newTarget(row)
	}
	if err := b.loadPolicies(ctx); err != nil {
		return err
	}
	const some = 1000
	for after := ""; ; {
		rows, err := b.Store.Read.Backup.Query().Where(entbackup.IDGT(after)).Order(entbackup.ByID()).Limit(some).Select(listed()...).All(ctx)
		if err != nil {
			return fmt.Errorf("reading the backups: %w", err)
		}
		for _, row := range rows {
			b.note(row)
			after = row.ID
		}
		if len(rows) < some {
			break
		}
	}
	for _, r := range b.services {
		r.settle(store.Now())
	}
	return nil
}

// note takes over the row of a backup. b.mu is held, except while loading.
func (b *Backups) note(row *ent.Backup) {
	r := b.recordOf(row.ServiceID)
	switch row.State {
	case entbackup.StateCOMPLETE:
		r.complete = slices.DeleteFunc(r.complete, func(c complete) bool { return c.id == row.ID })
		r.complete = append(r.complete, complete{
			id: row.ID, target: row.TargetID, policy: row.PolicyID, at: deref(row.StartedAt), slot: deref(row.Slot), proven: deref(row.ProvenAt),
			bytes: row.Bytes, stored: row.StoredBytes, pinned: row.Pinned,
		})
		r.noteProof(row.Proof)
	case entbackup.StateFAILED:
		r.failed = slices.DeleteFunc(r.failed, func(f failure) bool { return f.id == row.ID })
		r.failed = append(r.failed, failure{row.ID, row.Reason, deref(row.FinishedAt)})
	case entbackup.StateQUEUED, entbackup.StateRUNNING:
		r.running = row.ID
	case entbackup.StateCANCELLED, entbackup.StateDELETING:
		r.complete = slices.DeleteFunc(r.complete, func(c complete) bool { return c.id == row.ID })
	}
}

// noteProof takes over the outcome of a proof if it is the newest one.
func (r *record) noteProof(text json.RawMessage) {
	var p proof
	if len(text) == 0 || json.Unmarshal(text, &p) != nil || p.At.Before(r.proofTried) && !plan.Ahead(r.proofTried, store.Now()) {
		return
	}
	r.proof, r.proofTried = p.Reason, p.At
}

func (b *Backups) recordOf(serviceID string) *record {
	r := b.services[serviceID]
	if r == nil {
		r = &record{}
		b.services[serviceID] = r
	}
	return r
}

// settle sorts the backups, and forgets failures before the newest one.
func (r *record) settle(now time.Time) {
	slices.SortFunc(r.complete, func(a, b complete) int { return plan.Compare(a.at, b.at, now) })
	slices.SortFunc(r.failed, func(a, b failure) int { return plan.Compare(a.at, b.at, now) })
	if n := len(r.complete); n > 0 {
		r.failed = slices.DeleteFunc(r.failed, func(f failure) bool { return plan.Compare(f.at, r.complete[n-1].at, now) <= 0 })
	}
}

// history returns what plan needs of it. What was recorded by a clock that was ahead does not count as done.
func (r *record) history(now time.Time) plan.History {
	h := plan.History{Failures: len(r.failed), ProofFailed: r.proof, LogTo: r.wal.log.RestorableTo, LogProblem: r.wal.problem}
	if h.Failures > 0 {
		newest := r.failed[h.Failures-1]
		h.Failure = newest.reason
		if !plan.Ahead(newest.at, now) {
			h.FailedAt = newest.at
		}
	}
	latest := func(t *time.Time, candidate time.Time) {
		if candidate.After(*t) && !plan.Ahead(candidate, now) {
			*t = candidate
		}
	}
	for _, c := range r.complete {
		latest(&h.Newest, c.at)
		latest(&h.Slot, c.slot)
		latest(&h.Proven, c.proven)
	}
	return h
}

// describe returns the status of a service with these backups but for its policy.
func (r *record) describe() orchestrator.BackupStatus {
	s := orchestrator.BackupStatus{State: orchestrator.BackupNone, Reason: "no policy applies to it", Running: r.running, Backups: len(r.complete)}
	if !r.wal.since.IsZero() {
		s.LogBehindBytes = new(r.wal.behind)
	}
	if len(r.complete) == 0 {
		return s
	}
	first, last := r.complete[0], r.complete[len(r.complete)-1]
	s.LastAt, s.SizeBytes = &last.at, last.bytes
	s.Restorable = &orchestrator.Window{From: first.at, To: last.at}
	if log := r.wal.log; log.ID != "" && last.at.After(log.Begun) && log.RestorableTo.After(first.at) {
		s.Restorable.Continuous = true
		if log.RestorableTo.After(last.at) {
			s.Restorable.To = log.RestorableTo
		}
	}
	for _, c := range r.complete {
		s.StoredBytes += c.stored
		if c.proven.IsZero() || s.ProvenAt != nil && !c.proven.After(*s.ProvenAt) {
			continue
		}
		s.ProvenAt = &c.proven
	}
	return s
}

// BackupStatus implements [orchestrator.BackupReader].
func (b *Backups) BackupStatus(s *orchestrator.Service) orchestrator.BackupStatus {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.services[s.ID]
	if r == nil {
		return (&record{}).describe()
	}
	status := r.describe()
	status.State, status.Reason, status.PolicyID, status.NextAt = r.status.State, r.status.Reason, r.status.PolicyID, r.status.NextAt
	if status.State == "" {
		status.State, status.Reason = s.Backup, s.BackupReason
	}
	return status
}

// deref returns what p points to, zero if it is nil.
func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// nonZero returns nil for the zero time.
func nonZero(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
