package snapshot

import (
	"context"
	"errors"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/ent/event"
	"github.com/unicorn-web-services/uws/internal/background"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/eventlog"
)

const (
	// changesInterval is the least time between two batches of one watch.
	changesInterval = 100 * time.Millisecond
	// changesChunk is how many services, and how many ids of deleted ones, a message holds at most.
	changesChunk = 200
	// clockSlack is how far the wall clock may have been set back without a client that comes back after a restart missing
	// a change.
	clockSlack = 5 * time.Minute
)

// WatchChanges calls yield with what changed among services and nodes, each as it is now, until ctx ends (nil) or
// yield or the store fails. It begins with a snapshot, or with what changed since the cursor. A position is a revision.
func (s *Snapshot) WatchChanges(ctx context.Context, span orchestrator.Span, yield func(*orchestrator.Changes) error) (int64, error) {
	first, err := s.firstChanges(ctx, span)
	if err != nil {
		return 0, err
	}
	var position int64
	if first == nil {
		position = *span.After
	} else if position, err = s.send(first, yield); err != nil {
		return position, err
	}
	var last time.Time // of a batch
	for {
		rev, more := s.now()
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
		if !background.Pause(ctx, time.Until(last.Add(changesInterval))) {
			return position, nil
		}
		last = time.Now()
		if position, err = s.send(s.since(position), yield); err != nil {
			return position, err
		}
	}
}

// firstChanges returns what a watch begins with; nil if that is nothing.
func (s *Snapshot) firstChanges(ctx context.Context, span orchestrator.Span) (*delta, error) {
	switch {
	case span.After != nil:
		return nil, nil
	case span.Since == "":
		return s.since(-1), nil
	}
	c, ok := orchestrator.ParseCursor(span.Since)
	if !ok {
		return s.everything(), nil
	}
	row, err := s.events.Find(ctx, c.Seq, c.Mark)
	switch {
	case errors.Is(err, eventlog.ErrNoSuchEvent):
		return s.everything(), nil
	case err != nil:
		return nil, err
	case c.Picture != nil && c.Picture.Epoch == s.epoch:
		d := s.since(c.Picture.Rev)
		d.reset = d.snapshot
		return d, nil
	case c.Picture != nil && c.Picture.Loose != 0:
		return s.everything(), nil // changes after the event may be missing from this store
	}
	return s.sinceEvent(ctx, row)
}

// everything returns a reset, for a cursor that cannot be continued.
func (s *Snapshot) everything() *delta {
	d := s.since(-1)
	d.reset = true
	return d
}

// sinceEvent returns what changed after an event, for a cursor of another process. Changes without an event are found by
// the time of their row.
func (s *Snapshot) sinceEvent(ctx context.Context, told *ent.Event) (*delta, error) {
	s.mu.Lock()
	rev, newest := s.rev, s.at.Seq // what comes later is newer than rev
	s.mu.Unlock()
	missed := func(column string, subject event.Subject) (map[string]bool, error) {
		ids, err := s.store.Read.Event.Query().Unique(true).
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
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.pick(rev, func(entry *serviceEntry) bool {
		return services[entry.service.ID] || entry.progress != orchestrator.Progress{} || !entry.updatedAt.Before(told.At.Add(-clockSlack))
	})
	for id := range services {
		if s.services[id] == nil {
			d.deletedServices = append(d.deletedServices, id)
		}
	}
	for id := range nodes {
		if s.nodes[id] == nil {
			d.deletedNodes = append(d.deletedNodes, id)
		}
	}
	return d, nil
}

// send yields a delta in messages of bounded size, and returns its revision.
func (s *Snapshot) send(d *delta, yield func(*orchestrator.Changes) error) (int64, error) {
	s.describe(d.nodes)
	for _, m := range d.messages() {
		if err := yield(m); err != nil {
			return 0, err
		}
	}
	return d.rev, nil
}

// messages splits a delta, nodes before the services on them.
func (d *delta) messages() []*orchestrator.Changes {
	var all []*orchestrator.Changes
	for {
		m := &orchestrator.Changes{Snapshot: d.snapshot, Reset: d.reset, Nodes: d.nodes, DeletedNodes: d.deletedNodes}
		m.Services, d.services = split(d.services)
		m.DeletedServices, d.deletedServices = split(d.deletedServices)
		d.nodes, d.deletedNodes = nil, nil
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
