package orchestrator

import (
	"context"
	"errors"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/ent/event"
	"github.com/unicorn-web-services/uws/orchestrator/events"
)

const (
	// changesInterval is the least time between two batches of one watch.
	changesInterval = 100 * time.Millisecond
	// changesChunk is how many services, and how many ids of deleted ones, a message holds at most.
	changesChunk = 200
	// clockSlack is how far the wall clock may have been set back without a change being missed by one who comes
	// back after a restart.
	clockSlack = 5 * time.Minute
)

// WatchChanges implements [API]. A position is a revision of the board.
func (o *Orchestrator) WatchChanges(ctx context.Context, span Span, yield func(*Changes) error) (int64, error) {
	first, err := o.firstChanges(ctx, span)
	if err != nil {
		return 0, err
	}
	var position int64
	if first == nil {
		position = *span.After
	} else if position, err = o.tell(ctx, first, yield); err != nil {
		return position, err
	}
	var last time.Time // of a batch
	for {
		rev, more := o.board.now()
		if rev == position {
			if !span.Live {
				return position, nil
			}
			select {
			case <-ctx.Done():
				return position, nil
			case <-more:
			}
		}
		if !pause(ctx, time.Until(last.Add(changesInterval))) {
			return position, nil
		}
		last = time.Now()
		if position, err = o.tell(ctx, o.board.since(position), yield); err != nil {
			return position, err
		}
	}
}

// pause waits for d and says whether ctx goes on.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// firstChanges is what a watch begins with, nil when that is nothing.
func (o *Orchestrator) firstChanges(ctx context.Context, span Span) (*delta, error) {
	switch {
	case span.After != nil:
		return nil, nil
	case span.Since == "":
		return o.board.since(-1), nil
	}
	c, ok := decodeCursor(span.Since)
	if !ok {
		return o.snapshotAnew(), nil
	}
	row, err := o.events.Find(ctx, c.seq, c.mark)
	switch {
	case errors.Is(err, events.ErrNoSuchEvent):
		return o.snapshotAnew(), nil
	case err != nil:
		return nil, err
	case c.picture != nil && c.picture.epoch == o.board.epoch:
		d := o.board.since(c.picture.rev)
		d.reset = d.snapshot
		return d, nil
	case c.picture != nil && c.picture.loose != 0:
		return o.snapshotAnew(), nil // what was told after the event may never have come into this store
	}
	return o.sinceEvent(ctx, row)
}

// snapshotAnew is everything, for one whose cursor does not help.
func (o *Orchestrator) snapshotAnew() *delta {
	d := o.board.since(-1)
	d.reset = true
	return d
}

// sinceEvent is what changed after an event that another process told. What has no event of its own is found by
// the time of its row.
func (o *Orchestrator) sinceEvent(ctx context.Context, told *ent.Event) (*delta, error) {
	b := o.board
	b.mu.Lock()
	rev, newest := b.rev, b.at.seq // what comes later is newer than rev
	b.mu.Unlock()
	missed := func(column string, subject event.Subject) (map[string]bool, error) {
		ids, err := o.store.Read.Event.Query().Unique(true).
			Where(event.IDGT(told.ID), event.IDLTE(newest), event.SubjectEQ(subject)).Select(column).Strings(ctx)
		found := make(map[string]bool, len(ids))
		for _, id := range ids {
			found[id] = true
		}
		return found, err
	}
	services, err := missed(event.FieldServiceID, event.SubjectSERVICE)
	if err != nil {
		return nil, err
	}
	nodes, err := missed(event.FieldNodeID, event.SubjectNODE)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	d := b.pick(rev, func(s *pictureOf) bool {
		return services[s.row.ID] || s.progress != Progress{} || !s.row.UpdatedAt.Before(told.At.Add(-clockSlack))
	})
	for id := range services {
		if b.services[id] == nil {
			d.deletedServices = append(d.deletedServices, id)
		}
	}
	for id := range nodes {
		if b.nodes[id] == nil {
			d.deletedNodes = append(d.deletedNodes, id)
		}
	}
	return d, nil
}

// tell yields a delta in messages of a sane size and answers with its position.
func (o *Orchestrator) tell(ctx context.Context, d *delta, yield func(*Changes) error) (int64, error) {
	nodes, err := o.describeAll(ctx, d.nodes)
	if err != nil {
		return 0, err
	}
	for _, m := range d.messages(nodes) {
		if err := yield(m); err != nil {
			return 0, err
		}
	}
	return d.rev, nil
}

// messages are a delta in parts, with nodes before the services on them.
func (d *delta) messages(nodes []NodeInfo) []*Changes {
	var all []*Changes
	for {
		m := &Changes{Snapshot: d.snapshot, Reset: d.reset, Nodes: nodes, DeletedNodes: d.deletedNodes}
		m.Services, d.services = split(d.services)
		m.DeletedServices, d.deletedServices = split(d.deletedServices)
		nodes, d.deletedNodes = nil, nil
		all = append(all, m)
		if len(d.services)+len(d.deletedServices) == 0 {
			m.Complete, m.Cursor, m.Position = true, d.cursor, d.rev
			return all
		}
	}
}

func split[T any](all []T) (some, rest []T) {
	n := min(len(all), changesChunk)
	return all[:n:n], all[n:]
}

// describeAll tells what is known of nodes, each at least as new as its row here.
func (o *Orchestrator) describeAll(ctx context.Context, rows []*ent.Node) ([]NodeInfo, error) {
	all := make([]NodeInfo, 0, len(rows))
	for _, row := range rows {
		info := NodeInfo{Node: row}
		if n := o.node(row.ID); n != nil {
			var err error
			if info, err = o.describe(ctx, n); err != nil {
				return nil, err
			}
		}
		if info.Version < row.Version {
			newer := *row
			newer.LastSeenAt = info.LastSeenAt
			info.Node = &newer
		}
		all = append(all, info)
	}
	return all, nil
}
