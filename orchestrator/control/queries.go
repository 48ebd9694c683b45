package control

import (
	"context"
	"errors"

	"entgo.io/ent/dialect/sql"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/ent/event"
	"github.com/unicorn-web-services/uws/ent/volume"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/eventlog"
	"github.com/unicorn-web-services/uws/orchestrator/snapshot"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

// Templates returns the templates of the catalog.
func (c *Control) Templates() []catalog.Template { return c.catalog.All() }

// Retained lists retained data, the newest first.
func (c *Control) Retained(ctx context.Context) ([]*orchestrator.Retained, error) {
	rows, err := c.store.Read.Volume.Query().Where(volume.ServiceIDIsNil()).Order(volume.ByRetainedAt(sql.OrderDesc()), volume.ByID()).All(ctx)
	return snapshot.Each(rows, snapshot.RetainedOf), err
}

// Events returns a page of the events that match a filter, the newest first.
func (c *Control) Events(ctx context.Context, filter orchestrator.EventFilter, page orchestrator.Page) (orchestrator.List[*orchestrator.Event], error) {
	q := c.store.Read.Event.Query().Order(event.ByID(sql.OrderDesc()))
	if filter.ServiceID != "" {
		q.Where(event.ServiceID(filter.ServiceID))
	}
	if filter.NodeID != "" {
		q.Where(event.NodeID(filter.NodeID))
	}
	if len(filter.Kinds) > 0 {
		q.Where(event.KindIn(filter.Kinds...))
	}
	if page.After != "" {
		c, ok := orchestrator.ParseCursor(page.After)
		if !ok {
			return orchestrator.List[*orchestrator.Event]{}, orchestrator.BadCursor("after")
		}
		q.Where(event.IDLT(c.Seq))
	}
	first := page.Limit()
	rows, err := q.Limit(first + 1).All(ctx)
	if err != nil {
		return orchestrator.List[*orchestrator.Event]{}, err
	}
	return orchestrator.PageOf(snapshot.Each(rows, snapshot.EventOf), first, orchestrator.EventCursor), nil
}

// wasThere reports whether the log has events of a service.
func (c *Control) wasThere(ctx context.Context, id string) (bool, error) {
	return c.store.Read.Event.Query().Where(event.ServiceID(id)).Exist(ctx)
}

// WatchEvents calls yield for every event that span asks for, in order, without a gap.
func (c *Control) WatchEvents(ctx context.Context, span orchestrator.Span, yield func(*orchestrator.Event) error) (int64, error) {
	converted := func(row *ent.Event) error { return yield(snapshot.EventOf(row)) }
	seq, err := c.startOf(ctx, span)
	if err == nil && span.Live {
		err = c.events.Follow(ctx, seq, converted)
	} else if err == nil {
		seq, err = c.events.Replay(ctx, seq, converted)
	}
	if errors.Is(err, eventlog.ErrNoSuchEvent) {
		err = orchestrator.Errorf(orchestrator.CursorExpired, "since", "no event has this cursor any more; read `services` afresh and subscribe without since")
	}
	return seq, err
}

// startOf returns the event after which a watch begins.
func (c *Control) startOf(ctx context.Context, span orchestrator.Span) (int64, error) {
	switch {
	case span.After != nil:
		return *span.After, nil
	case span.Since == "":
		return c.events.Last(), nil
	}
	cursor, ok := orchestrator.ParseCursor(span.Since)
	if !ok {
		return 0, eventlog.ErrNoSuchEvent
	}
	_, err := c.events.Find(ctx, cursor.Seq, cursor.Mark)
	return cursor.Seq, err
}

// DeleteRetained requests the deletion of retained data, and returns it. Repeating it has no further effect.
func (c *Control) DeleteRetained(ctx context.Context, id string) (*orchestrator.Retained, error) {
	var v *ent.Volume
	err := c.store.Update(store.WithRelief(ctx), func(ctx context.Context, tx *ent.Tx) (err error) {
		v, err = tx.Volume.Query().Where(volume.ID(id), volume.ServiceIDIsNil()).Only(ctx)
		if err != nil || v.Deleting {
			return err
		}
		v, err = tx.Volume.UpdateOne(v).SetDeleting(true).Save(ctx)
		return err
	})
	return snapshot.RetainedOf(v), snapshot.NotFound(err, "retained data", id)
}
