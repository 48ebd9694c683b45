package reconcile

import (
	"context"
	"reflect"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/ent/service"
	"github.com/unicorn-web-services/uws/internal/fault"
	"github.com/unicorn-web-services/uws/orchestrator/fleet"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/logs"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

// record writes what the decisions of one reconciliation changed, in one transaction: an event for each change of phase or
// health, and the service's row as it is in the end. The error is ent's not-found if the row was changed since it was
// read.
func (r *Reconciler) record(ctx context.Context, c *controller, row *ent.Service, made []lifecycle.Decision) (*ent.Service, error) {
	last := made[len(made)-1].State
	if !changed(c.state, last) {
		return row, nil
	}
	fault.Point("record-" + string(last.Phase) + "-before")
	var moves []*ent.Service
	tail := c.tail
	var saved *ent.Service
	err := r.store.Update(ctx, func(ctx context.Context, tx *ent.Tx) (err error) {
		now := store.Now()
		before, cause := row, row.CauseID
		for _, d := range made {
			after := withState(before, d.State)
			if e := engineCause(r.fleet.Lookup(row.NodeID), d.State); e != nil {
				cause = e
			}
			after.CauseID = cause
			if after.Phase != before.Phase || after.Health != before.Health || d.Told {
				create := r.fleet.ChangeEvent(tx, now, before, after).SetProbe(string(d.Probe)).
					SetNillableExitCode(d.ExitCode).SetNillableOomKilled(d.OOM).SetNillableLogLine(some(d.LogLine))
				if p := after.ReasonParams; p != nil {
					create.SetReasonParams(p)
				}
				e, err := create.Save(ctx)
				if err != nil {
					return err
				}
				if len(moves) == 0 { // the end of the run comes first
					if err := logs.SaveTail(ctx, tx, r.store, e, tail); err != nil {
						return err
					}
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
	c.tail = nil
	fault.Point("record-" + string(last.Phase) + "-after")
	for _, after := range moves {
		r.logChange(after)
	}
	if last.Restarts > c.state.Restarts {
		r.metrics.restarts.WithLabelValues(string(saved.Kind), string(last.Watch.Cause)).Inc()
	}
	return saved, nil
}

// changed reports whether anything that is stored differs.
func changed(a, b lifecycle.State) bool {
	a.Watch, b.Watch = lifecycle.Watch{}, lifecycle.Watch{}
	return !reflect.DeepEqual(a, b)
}

// causeAfter returns the event that the trouble of a service began with, once e is written. It is kept until the service
// is healthy again.
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

// withState returns a copy of a row with the fields that reconciling writes.
func withState(row *ent.Service, s lifecycle.State) *ent.Service {
	after := *row
	after.Phase, after.Health, after.Reason, after.ReasonCode = s.Phase, s.Health, s.Reason, s.ReasonCode.Nillable()
	after.ReasonParams, after.LogLine = s.Params.Nillable(), some(s.LogLine)
	after.Restarts, after.Failures, after.NextRestartAt = s.Restarts, s.Failures, stored(s.NextRestartAt)
	return &after
}

// some returns text as rows hold it: nil for none.
func some(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// stored returns a time as rows hold it: UTC, without a monotonic reading, nil for none.
func stored(at time.Time) *time.Time {
	if at.IsZero() {
		return nil
	}
	at = at.UTC().Round(0)
	return &at
}

// storedAll are times as rows hold them.
func storedAll(all []time.Time) []time.Time {
	out := make([]time.Time, len(all))
	for i, at := range all {
		out[i] = *stored(at)
	}
	return out
}

func saveState(ctx context.Context, tx *ent.Tx, row *ent.Service, s lifecycle.State, cause *int64, now time.Time) (*ent.Service, error) {
	failures := storedAll(s.Failures)
	up := tx.Service.UpdateOne(row).ClearReasonParams()
	if p := s.Params.Nillable(); p != nil {
		up.SetReasonParams(p)
	}
	return up.Where(service.Version(row.Version)).SetUpdatedAt(now).
		SetPhase(s.Phase).SetHealth(s.Health).SetReason(s.Reason).ClearReasonCode().SetNillableReasonCode(s.ReasonCode.Nillable()).
		ClearLogLine().SetNillableLogLine(some(s.LogLine)).
		SetInstance(s.Instance).SetEnded(s.Ended).
		SetHandledGeneration(s.HandledGeneration).SetObservedGeneration(s.ObservedGeneration).SetRestarts(s.Restarts).SetEngineRestarts(s.EngineRestarts).SetFailures(failures).SetOutside(s.Outside).SetUndone(storedAll(s.Undone)).
		SetCrashLoop(s.CrashLoop).SetEverHealthy(s.EverHealthy).
		ClearHealthySince().SetNillableHealthySince(stored(s.HealthySince)).
		ClearNextRestartAt().SetNillableNextRestartAt(stored(s.NextRestartAt)).
		ClearCauseID().SetNillableCauseID(cause).Save(ctx)
}

// engineCause is the event that a change follows from that came with a restart of the engine; nil if it did not.
func engineCause(n *fleet.Node, s lifecycle.State) *int64 {
	if n == nil || s.ReasonCode != lifecycle.CodeEngineRestarted {
		return nil
	}
	return n.Row().EngineEvent
}

func (r *Reconciler) logChange(s *ent.Service) {
	attrs := []any{"service", s.Name, "id", s.ID, "kind", s.Kind, "phase", s.Phase, "health", s.Health, "reason", s.Reason}
	if s.NextRestartAt != nil {
		attrs = append(attrs, "next_attempt_at", s.NextRestartAt)
	}
	if s.Health == lifecycle.HealthUnhealthy {
		r.log.Warn("service changed", attrs...)
		return
	}
	r.log.Info("service changed", attrs...)
}

// releaseVolume takes the volume from a service that is about to be deleted: it becomes retained data, whose deletion may be
// requested, or its row is deleted because the data is gone.
func releaseVolume(ctx context.Context, tx *ent.Tx, now time.Time, row *ent.Service, retain bool) error {
	if retain {
		return store.Retain(tx, now, row).SetDeleting(row.DeleteData).Exec(ctx)
	}
	return store.DeleteVolume(tx, row).Exec(ctx)
}

// delete deletes the row of a service that was torn down. Its data becomes retained data unless it was deleted too.
func (r *Reconciler) delete(ctx context.Context, c *controller, row *ent.Service) error {
	now := store.Now()
	err := r.store.Update(ctx, func(ctx context.Context, tx *ent.Tx) error {
		reason := "removed"
		unplaced := row.NodeID == "" && row.EverHealthy // launched with data that is on the requested node
		switch {
		case row.DeleteData && !unplaced:
			reason = "removed, with its data"
			if _, left := c.withoutData(); left != nil {
				reason = "removed; its data was missing, and what is there was left alone: " + left.Error()
			}
		case row.EverHealthy && row.DeleteData:
			reason = "removed; its data is about to be deleted"
		case row.EverHealthy:
			reason = "removed; its data is kept"
		}
		if err := releaseVolume(ctx, tx, now, row, row.EverHealthy && (unplaced || !row.DeleteData)); err != nil {
			return err
		}
		fault.Point("volume-released")
		e := r.fleet.ChangeEvent(tx, now, row, row).SetReason(reason).SetReasonCode(lifecycle.CodeRemoved).SetHealth(lifecycle.HealthUnknown)
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
	if row.NodeID != "" {
		r.CapacityChanged()
	}
	r.log.Info("service removed", "service", row.Name, "id", row.ID, "data_deleted", row.DeleteData)
	return nil
}
