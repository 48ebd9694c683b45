package uptime

import (
	"context"
	"slices"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/ent/event"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
)

// maxEvents is the most events of a service that its past is taken from: the newest ones.
const maxEvents = 5000

// span is a time in one state.
type span struct {
	state
	from, to time.Time
}

// fill gives services that have no file the past that the event log has of them.
func (u *Uptimes) fill(ctx context.Context) {
	var oldest time.Time // of the log
	for _, r := range u.all() {
		row, began := r.unknown()
		if row == nil {
			continue
		}
		var err error
		if oldest.IsZero() {
			oldest, err = u.logBegan(ctx)
		}
		var events []*ent.Event
		if err == nil {
			events, err = u.events(ctx, r.id, began)
		}
		if err != nil && ctx.Err() == nil {
			u.opts.Log.Warn("reading events for a past uptime failed", "id", r.id, "error", err)
		}
		if err != nil {
			r.remember(nil)
			continue
		}
		r.remember(past(row, events, oldest, began))
	}
}

// unknown returns the row of a service whose past is not known, as uws found it, and when counting began; nil if it is known.
func (r *record) unknown() (*ent.Service, time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.found, r.began
}

// logBegan returns when the oldest event happened.
func (u *Uptimes) logBegan(ctx context.Context) (time.Time, error) {
	oldest, err := u.opts.Store.Read.Event.Query().Order(ent.Asc(event.FieldID)).First(ctx)
	if ent.IsNotFound(err) {
		return time.Now(), nil
	}
	if err != nil {
		return time.Time{}, err
	}
	return oldest.At, nil
}

// events returns the events of a service up to a time, oldest first.
func (u *Uptimes) events(ctx context.Context, id string, until time.Time) ([]*ent.Event, error) {
	all, err := u.opts.Store.Read.Event.Query().Where(event.ServiceID(id), event.AtLTE(until.UTC())).Order(ent.Desc(event.FieldID)).Limit(maxEvents).
		Select(event.FieldAt, event.FieldDesiredState, event.FieldPhase, event.FieldPreviousPhase, event.FieldHealth, event.FieldPreviousHealth, event.FieldReasonCode).All(ctx)
	slices.Reverse(all)
	return all, err
}

// past returns what a service has been since it was launched, or since the log of events began, by its events, oldest first,
// and its row as uws found it. A service that was healthy is taken to have been so until its last check: uws may not have run
// since then.
func past(row *ent.Service, events []*ent.Event, logBegan, now time.Time) []span {
	var all []span
	at, is := row.CreatedAt, stateOfRow(row)
	if at.Before(logBegan) {
		at = logBegan
	}
	if len(events) == 0 && is == healthy && row.HealthySince != nil {
		at = *row.HealthySince
	}
	if len(events) > 0 {
		is = before(events[0])
		if len(events) == maxEvents {
			at = events[0].At
		}
	}
	for _, e := range events {
		if e.At.After(now) {
			break // the clock was set back
		}
		if e.At.After(at) {
			all = append(all, span{is, at, e.At})
			at = e.At
		}
		is = after(e)
	}
	end := now
	if is == healthy {
		end = at
		if c := row.LastHealthCheckAt; c != nil && c.After(at) {
			end = *c
		}
	}
	if end.After(now) {
		end = now
	}
	if end.After(at) {
		all = append(all, span{is, at, end})
	}
	return all
}

func stateOfRow(row *ent.Service) state {
	return stateOf(row.DesiredState, row.Phase, row.Health, deref(row.ReasonCode))
}

// after returns the state that an event led to.
func after(e *ent.Event) state {
	phase := deref(e.Phase)
	desired := wanted(phase)
	if e.DesiredState != nil {
		desired = *e.DesiredState
	}
	return stateOf(desired, phase, deref(e.Health), deref(e.ReasonCode))
}

// before returns the state that an event ended, as far as it says.
func before(e *ent.Event) state {
	phase := deref(e.PreviousPhase)
	return stateOf(wanted(phase), phase, deref(e.PreviousHealth), "")
}

// wanted returns the desired state that usually goes with a phase.
func wanted(phase lifecycle.Phase) lifecycle.Desired {
	switch phase {
	case lifecycle.Stopping, lifecycle.Stopped:
		return lifecycle.WantStopped
	case lifecycle.Removing:
		return lifecycle.WantRemoved
	case lifecycle.Pending, lifecycle.Starting, lifecycle.Running, lifecycle.Restarting, lifecycle.CrashLoop, lifecycle.Failed:
	}
	return lifecycle.WantRunning
}

func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
