package backup

import (
	"context"
	"slices"
	"time"

	"entgo.io/ent/dialect/sql"

	"github.com/unicorn-web-services/uws/ent"
	entbackup "github.com/unicorn-web-services/uws/ent/backup"
	"github.com/unicorn-web-services/uws/ent/event"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/backup/plan"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

// perUpdate is how many rows are written at once: one by one, thousands take a minute.
const perUpdate = 200

// due is a backup that is to be taken now.
type due struct {
	service *orchestrator.Service
	policy  *policy
	slot    time.Time
}

// schedule enqueues the backups that are due, and records how well each service is backed up.
func (b *Backups) schedule(ctx context.Context) error {
	now := store.Now()
	services := b.Snapshot.All()
	stopped, err := b.stoppedSince(ctx, now, services)
	if err != nil {
		return err
	}
	var todo []due
	var changed []*orchestrator.Service
	b.mu.Lock()
	for _, s := range services {
		p := b.policyFor(s)
		r := b.services[s.ID]
		if p == nil {
			if r != nil {
				r.status.State, r.status.Reason, r.status.PolicyID, r.status.NextAt = orchestrator.BackupNone, "no policy applies to it", "", nil
			}
			if s.Backup != orchestrator.BackupNone && s.Backup != "" {
				b.recordOf(s.ID).status = orchestrator.BackupStatus{State: orchestrator.BackupNone, Reason: "no policy applies to it"}
				changed = append(changed, s)
			}
			continue
		}
		m := p.at(now)
		r = b.recordOf(s.ID)
		x := subject(s, p, stopped[s.ID])
		x.LogSince, x.LogBegun = r.wal.since, r.wal.log.Begun
		h := r.history(now)
		if slot, is := plan.Due(m, h, x); is && !p.Paused && r.running == "" && !r.wal.beginning() {
			todo = append(todo, due{s, p, slot})
		}
		r.status.PolicyID, r.status.NextAt = p.ID, nil
		if !p.Paused {
			r.status.NextAt = nonZero(plan.NextAt(m, h, x))
		}
		r.status.State, r.status.Reason = plan.Health(m, p.ProveEvery, h, x)
		if p.Paused && r.status.State == orchestrator.BackupLate {
			r.status.Reason += ": its policy is paused"
		}
		if s.Backup != r.status.State {
			changed = append(changed, s)
		}
	}
	b.mu.Unlock()
	if err := b.recordStates(ctx, changed); err != nil {
		return err
	}
	return b.enqueueDue(ctx, todo)
}

// subject returns what counts of a service.
func subject(s *orchestrator.Service, p *policy, stopped time.Time) plan.Subject {
	x := plan.Subject{Since: s.CreatedAt, Stopped: stopped}
	if p.CreatedAt.After(x.Since) {
		x.Since = p.CreatedAt
	}
	x.Ready = s.DesiredState == lifecycle.WantRunning && s.Phase == lifecycle.Running && s.Health.Healthy() || !stopped.IsZero() && s.Phase == lifecycle.Stopped
	return x
}

// stoppedSince returns since when services are stopped, by id. It asks the store once for each of them.
func (b *Backups) stoppedSince(ctx context.Context, now time.Time, services []*orchestrator.Service) (map[string]time.Time, error) {
	since := map[string]time.Time{}
	defer func() {
		for id, at := range since {
			if plan.Ahead(at, now) { // by a clock that was put back: a backup that is taken now is newer
				since[id] = now
			}
		}
	}()
	for _, s := range services {
		if s.DesiredState != lifecycle.WantStopped || s.Phase != lifecycle.Stopped || s.Instance == "" { // one that never ran holds nothing
			continue
		}
		if at, ok := b.stopped[s.ID]; ok {
			since[s.ID] = at
			continue
		}
		e, err := b.Store.Read.Event.Query().Where(event.ServiceID(s.ID), event.PhaseEQ(lifecycle.Stopped), event.PreviousPhaseNEQ(lifecycle.Stopped)).
			Order(event.ByID(sql.OrderDesc())).Select(event.FieldAt).First(ctx)
		switch {
		case ent.IsNotFound(err):
			since[s.ID] = s.CreatedAt
		case err != nil:
			return nil, err
		default:
			since[s.ID] = e.At
		}
	}
	b.stopped = since
	return since, nil
}

// recordStates writes the states of services that changed, and an event for one that became late.
func (b *Backups) recordStates(ctx context.Context, changed []*orchestrator.Service) error {
	for some := range slices.Chunk(changed, perUpdate) {
		err := b.Store.Update(ctx, func(ctx context.Context, tx *ent.Tx) error {
			for _, s := range some {
				if err := b.recordState(ctx, tx, s.ID); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (b *Backups) recordState(ctx context.Context, tx *ent.Tx, id string) error {
	b.mu.Lock()
	status := b.recordOf(id).status
	b.mu.Unlock()
	row, err := tx.Service.Get(ctx, id)
	if err != nil {
		return ignoreMissing(err)
	}
	now := store.Now()
	row, err = tx.Service.UpdateOne(row).SetBackupState(string(status.State)).SetBackupReason(status.Reason).SetUpdatedAt(now).Save(ctx)
	if err != nil || status.State != orchestrator.BackupLate {
		return err
	}
	return b.Fleet.ChangeEvent(tx, now, row, row).SetReason(status.Reason).SetReasonCode(lifecycle.CodeBackupLate).Exec(ctx)
}

// enqueueDue stores backups that are due, and queues them. Those that were due first come first.
func (b *Backups) enqueueDue(ctx context.Context, todo []due) error {
	slices.SortStableFunc(todo, func(x, y due) int { return x.slot.Compare(y.slot) })
	for some := range slices.Chunk(todo, perUpdate) {
		var rows []*ent.Backup
		err := b.Store.Update(ctx, func(ctx context.Context, tx *ent.Tx) error {
			rows = rows[:0]
			for _, d := range some {
				row, err := newBackup(tx, d.service, d.policy.TargetID, entbackup.TriggerSCHEDULE).SetPolicyID(d.policy.ID).SetNillableSlot(nonZero(d.slot)).Save(ctx)
				if err != nil {
					return err
				}
				rows = append(rows, row)
			}
			return nil
		})
		if err != nil {
			return err
		}
		b.queueBackups(rows)
	}
	return nil
}

// newBackup begins the row of a backup of a service.
func newBackup(tx *ent.Tx, s *orchestrator.Service, targetID string, trigger entbackup.Trigger) *ent.BackupCreate {
	return tx.Backup.Create().SetID(orchestrator.NewID()).SetServiceID(s.ID).SetServiceName(s.Name).SetKind(s.Kind).SetTemplate(s.Definition.Name).
		SetEngineVersion(s.Definition.Version).SetNodeID(s.NodeID).SetTargetID(targetID).SetTrigger(trigger).SetState(entbackup.StateQUEUED).
		SetReason("waiting for its turn").SetCreatedAt(store.Now())
}
