package orchestrator

import (
	"context"
	"reflect"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/ent/service"
	"github.com/unicorn-web-services/uws/orchestrator/events"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
)

// record writes what a decision changed: the service's row and, when its phase or health moved, an event,
// in one transaction. The error is ent's not-found when somebody else wrote the row since it was read.
func (o *Orchestrator) record(ctx context.Context, t *task, row *ent.Service, d lifecycle.Decision) (*ent.Service, error) {
	if !changed(t.state, d.State) {
		return row, nil
	}
	moved := d.State.Phase != t.state.Phase || d.State.Health != t.state.Health
	var saved *ent.Service
	err := o.inTx(ctx, func(tx *ent.Tx) (err error) {
		if saved, err = o.saveState(ctx, tx, row, d.State); err != nil || !moved {
			return err
		}
		e, err := o.appendChange(tx, saved.UpdatedAt, row, saved).SetProbe(string(d.Probe)).
			SetNillableExitCode(d.ExitCode).SetNillableOomKilled(d.OOM).Save(ctx)
		if err != nil {
			return err
		}
		saved, err = o.saveCause(ctx, tx, saved, e, d.State)
		return err
	})
	if err != nil {
		return row, err
	}
	t.recorded(saved)
	if moved {
		o.events.Committed()
		o.logChange(saved, row, d)
	}
	if d.State.Restarts > t.state.Restarts {
		o.metrics.restarts.WithLabelValues(string(saved.Kind), string(d.State.Watch.Cause)).Inc()
	}
	return saved, nil
}

// changed says whether anything that is kept differs.
func changed(a, b lifecycle.State) bool {
	a.Watch, b.Watch = lifecycle.Watch{}, lifecycle.Watch{}
	return !reflect.DeepEqual(a, b)
}

func (o *Orchestrator) saveState(ctx context.Context, tx *ent.Tx, row *ent.Service, s lifecycle.State) (*ent.Service, error) {
	up := tx.Service.UpdateOne(row).Where(service.Version(row.Version)).AddVersion(1).SetUpdatedAt(utcNow()).
		SetPhase(s.Phase).SetHealth(s.Health).SetReason(s.Reason).
		SetInstance(s.Instance).SetEnded(s.Ended).
		SetHandledGeneration(s.HandledGeneration).SetRestarts(s.Restarts).
		SetCrashLoop(s.CrashLoop).SetEverHealthy(s.EverHealthy)
	failures := make([]time.Time, len(s.Failures))
	for i, f := range s.Failures {
		failures[i] = f.UTC().Round(0)
	}
	up.SetFailures(failures)
	if s.HealthySince.IsZero() {
		up.ClearHealthySince()
	} else {
		up.SetHealthySince(s.HealthySince.UTC().Round(0))
	}
	if s.NextRestartAt.IsZero() {
		up.ClearNextRestartAt()
	} else {
		up.SetNextRestartAt(s.NextRestartAt.UTC().Round(0))
	}
	return up.Save(ctx)
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

// saveCause remembers the event that trouble began with until the service is well again.
func (o *Orchestrator) saveCause(ctx context.Context, tx *ent.Tx, s *ent.Service, e *ent.Event, now lifecycle.State) (*ent.Service, error) {
	trouble := len(now.Failures) > 0 || now.CrashLoop
	switch {
	case trouble && s.CauseID == nil:
		return tx.Service.UpdateOne(s).SetCauseID(e.ID).Save(ctx)
	case !trouble && s.CauseID != nil && now.Health == lifecycle.HealthHealthy:
		return tx.Service.UpdateOne(s).ClearCauseID().Save(ctx)
	}
	return s, nil
}

func (o *Orchestrator) logChange(after, before *ent.Service, d lifecycle.Decision) {
	attrs := []any{"service", after.Name, "id", after.ID, "kind", after.Kind,
		"phase", after.Phase, "health", after.Health, "was", string(before.Phase) + "/" + string(before.Health), "reason", after.Reason}
	if d.ExitCode != nil {
		attrs = append(attrs, "exit_code", *d.ExitCode)
	}
	if after.NextRestartAt != nil {
		attrs = append(attrs, "next_attempt_at", after.NextRestartAt)
	}
	if after.Health == lifecycle.HealthUnhealthy {
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
		switch {
		case row.DeleteData:
			reason = "removed, with its data"
		case row.EverHealthy && row.NodeID != "":
			reason = "removed; its data is kept"
			err := tx.Retained.Create().SetID(row.Volume).SetName(row.Name).SetKind(row.Kind).SetTemplate(row.Template).
				SetDefinition(row.Definition).SetCredentials(row.Credentials).SetServiceID(row.ID).SetNodeID(row.NodeID).
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
	o.events.Committed()
	o.forget(t)
	o.log.Info("service removed", "service", row.Name, "id", row.ID, "data_deleted", row.DeleteData)
	return nil
}
