package orchestrator

import (
	"cmp"
	"context"
	"reflect"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/ent/service"
	"github.com/unicorn-web-services/uws/internal/fault"
	"github.com/unicorn-web-services/uws/orchestrator/events"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
)

// record writes what the decisions of one look changed, all in one transaction: an event for each move of
// phase or health, and the service's row as it is in the end. The error is ent's not-found when somebody
// else wrote the row since it was read.
func (o *Orchestrator) record(ctx context.Context, t *task, row *ent.Service, made []lifecycle.Decision) (*ent.Service, error) {
	last := made[len(made)-1].State
	if !changed(t.state, last) {
		return row, nil
	}
	fault.Point("record-" + string(last.Phase) + "-before")
	var moves []*ent.Service
	var saved *ent.Service
	err := o.inTx(ctx, func(tx *ent.Tx) (err error) {
		now := utcNow()
		before, cause := row, row.CauseID
		for _, d := range made {
			after := withState(before, d.State)
			after.CauseID = cause
			if after.Phase != before.Phase || after.Health != before.Health {
				e, err := o.appendChange(tx, now, before, after).SetProbe(string(d.Probe)).
					SetNillableExitCode(d.ExitCode).SetNillableOomKilled(d.OOM).Save(ctx)
				if err != nil {
					return err
				}
				cause = causeAfter(e, cause, d.State)
				moves = append(moves, after)
			}
			before = after
		}
		saved, err = saveState(ctx, tx, row, last, cause, now)
		return err
	})
	if err != nil {
		return row, err
	}
	fault.Point("record-" + string(last.Phase) + "-after")
	t.recorded(saved)
	if len(moves) > 0 {
		o.events.Committed()
	}
	for _, after := range moves {
		o.logChange(after)
	}
	if last.Restarts > t.state.Restarts {
		o.metrics.restarts.WithLabelValues(string(saved.Kind), string(last.Watch.Cause)).Inc()
	}
	return saved, nil
}

// changed says whether anything that is kept differs.
func changed(a, b lifecycle.State) bool {
	a.Watch, b.Watch = lifecycle.Watch{}, lifecycle.Watch{}
	return !reflect.DeepEqual(a, b)
}

// causeAfter is the event that the trouble of a service began with, once e is written: it is remembered until
// the service is well again.
func causeAfter(e *ent.Event, cause *int64, now lifecycle.State) *int64 {
	trouble := len(now.Failures) > 0 || now.CrashLoop
	switch {
	case trouble && cause == nil:
		return &e.ID
	case !trouble && now.Health == lifecycle.HealthHealthy:
		return nil
	}
	return cause
}

// withState is a copy of a row with the fields that the loop writes.
func withState(row *ent.Service, s lifecycle.State) *ent.Service {
	after := *row
	after.Phase, after.Health, after.Reason = s.Phase, s.Health, s.Reason
	after.Restarts, after.Failures, after.NextRestartAt = s.Restarts, s.Failures, stored(s.NextRestartAt)
	return &after
}

// stored is a time as rows hold it: UTC, without a monotonic reading, nil for none.
func stored(at time.Time) *time.Time {
	if at.IsZero() {
		return nil
	}
	at = at.UTC().Round(0)
	return &at
}

func saveState(ctx context.Context, tx *ent.Tx, row *ent.Service, s lifecycle.State, cause *int64, now time.Time) (*ent.Service, error) {
	failures := make([]time.Time, len(s.Failures))
	for i, f := range s.Failures {
		failures[i] = *stored(f)
	}
	return tx.Service.UpdateOne(row).Where(service.Version(row.Version)).AddVersion(1).SetUpdatedAt(now).
		SetPhase(s.Phase).SetHealth(s.Health).SetReason(s.Reason).
		SetInstance(s.Instance).SetEnded(s.Ended).
		SetHandledGeneration(s.HandledGeneration).SetRestarts(s.Restarts).SetEngineRestarts(s.EngineRestarts).SetFailures(failures).
		SetCrashLoop(s.CrashLoop).SetEverHealthy(s.EverHealthy).
		ClearHealthySince().SetNillableHealthySince(stored(s.HealthySince)).
		ClearNextRestartAt().SetNillableNextRestartAt(stored(s.NextRestartAt)).
		ClearCauseID().SetNillableCauseID(cause).Save(ctx)
}

// appendChange begins the event of a service that went from before to after.
func (o *Orchestrator) appendChange(tx *ent.Tx, at time.Time, before, after *ent.Service) *ent.EventCreate {
	e := o.appendLaunch(tx, at, after).SetPreviousPhase(before.Phase).SetPreviousHealth(before.Health)
	if after.CauseID != nil {
		e.SetCauseID(*after.CauseID)
	}
	return e
}

// appendLaunch begins the event of a service's first row.
func (o *Orchestrator) appendLaunch(tx *ent.Tx, at time.Time, s *ent.Service) *ent.EventCreate {
	e := events.Append(tx, at).SetSubject("SERVICE").
		SetServiceID(s.ID).SetServiceName(s.Name).SetKind(s.Kind).SetTemplate(s.Template).
		SetDesiredState(s.DesiredState).SetPhase(s.Phase).SetHealth(s.Health).SetReason(s.Reason).
		SetRestarts(s.Restarts).SetAttempt(len(s.Failures)).SetNillableNextAttemptAt(s.NextRestartAt)
	if s.NodeID != "" {
		e.SetNodeID(s.NodeID).SetNodeName(o.nodeName(s.NodeID)).SetEndpoint(o.endpoint(s))
	}
	return e
}

func (o *Orchestrator) logChange(s *ent.Service) {
	attrs := []any{"service", s.Name, "id", s.ID, "kind", s.Kind, "phase", s.Phase, "health", s.Health, "reason", s.Reason}
	if s.NextRestartAt != nil {
		attrs = append(attrs, "next_attempt_at", s.NextRestartAt)
	}
	if s.Health == lifecycle.HealthUnhealthy {
		o.log.Warn("service changed", attrs...)
		return
	}
	o.log.Info("service changed", attrs...)
}

// drop deletes the row of a service that was taken down. What is left of it, its data, is kept as a row of
// its own unless it was deleted too.
func (o *Orchestrator) drop(ctx context.Context, t *task, row *ent.Service) error {
	now := utcNow()
	err := o.inTx(ctx, func(tx *ent.Tx) error {
		reason := "removed"
		unplaced := row.NodeID == "" && row.EverHealthy // launched with data that is on the requested node
		switch {
		case row.DeleteData && !unplaced:
			reason = "removed, with its data"
		case row.EverHealthy:
			reason = "removed; its data is kept"
			if row.DeleteData {
				reason = "removed; its data is about to be deleted"
			}
			err := tx.Retained.Create().SetID(row.Volume).SetName(row.Name).SetKind(row.Kind).SetTemplate(row.Template).
				SetDefinition(row.Definition).SetCredentials(row.Credentials).SetPendingCredentials(row.PendingCredentials).SetServiceID(row.ID).
				SetNodeID(cmp.Or(row.NodeID, row.RequestedNode)).SetDeleting(row.DeleteData).
				SetCreatedAt(row.CreatedAt).SetRetainedAt(now).Exec(ctx)
			if err != nil {
				return err
			}
		}
		e := o.appendChange(tx, now, row, row).SetReason(reason).SetHealth(lifecycle.HealthUnknown)
		e.Mutation().ClearPhase()
		if err := e.Exec(ctx); err != nil {
			return err
		}
		return tx.Service.DeleteOneID(row.ID).Where(service.Version(row.Version)).Exec(ctx)
	})
	if err != nil {
		return err
	}
	fault.Point("drop-done")
	o.events.Committed()
	o.forget(t)
	if row.NodeID != "" {
		o.placeAgain()
	}
	o.log.Info("service removed", "service", row.Name, "id", row.ID, "data_deleted", row.DeleteData)
	return nil
}
