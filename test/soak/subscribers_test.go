package soak

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/unicorn-web-services/uws/test/uwstest"
)

// subscriber follows serviceHealthChanged. It reconnects with its newest cursor after each loss of the connection.
type subscriber struct {
	s     *soak
	since string // cursor after which it began; empty: at its connection
	stop  context.CancelFunc
	ended chan struct{}

	mu      sync.Mutex
	changes []uwstest.Change
	err     error // that ended it
}

func (s *soak) subscribe(since string) *subscriber {
	ctx, cancel := context.WithCancel(context.Background())
	sub := &subscriber{s: s, since: since, stop: cancel, ended: make(chan struct{})}
	go func() {
		defer close(sub.ended)
		sub.follow(ctx)
	}()
	return sub
}

func (sub *subscriber) follow(ctx context.Context) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		err := sub.s.process().Subscribe(ctx, sub.cursor(), sub.got)
		if refused, ok := errors.AsType[*uwstest.GraphQLError](err); ok {
			sub.mu.Lock()
			sub.err = refused
			sub.mu.Unlock()
			return
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

func (sub *subscriber) got(c uwstest.Change) {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	sub.changes = append(sub.changes, c)
}

// cursor returns the cursor after which it continues.
func (sub *subscriber) cursor() string {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	if n := len(sub.changes); n > 0 {
		return sub.changes[n-1].Cursor
	}
	return sub.since
}

// all returns the messages so far.
func (sub *subscriber) all() ([]uwstest.Change, error) {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	return sub.changes[:len(sub.changes):len(sub.changes)], sub.err
}

// join connects another subscriber, from now or from a past event.
func (s *soak) join() bool {
	if len(s.others) == subscribers {
		return false
	}
	since := ""
	if seen, _ := s.witness.all(); len(seen) > 0 && s.rng.IntN(2) == 0 {
		since = seen[s.rng.IntN(len(seen))].Cursor
	}
	s.others = append(s.others, s.subscribe(since))
	return true
}

// leave disconnects a subscriber at any moment.
func (s *soak) leave() bool {
	if len(s.others) == 0 {
		return false
	}
	i := s.rng.IntN(len(s.others))
	s.disconnect(s.others[i])
	s.others = append(s.others[:i], s.others[i+1:]...)
	return true
}

func (s *soak) disconnect(sub *subscriber) {
	sub.stop()
	<-sub.ended
	s.left = append(s.left, sub)
}

// checkStory compares the messages of a subscriber with the log. They must be all events after its beginning, in order and
// once each; up to the end of the log if it was connected.
func (s *soak) checkStory(who string, sub *subscriber, log []uwstest.Change, connected bool) {
	s.t.Helper()
	told, err := sub.all()
	if err != nil {
		s.t.Errorf("%s was refused: %v", who, err)
	}
	place := map[string]int{}
	for i, e := range log {
		place[e.ID] = i
	}
	for i, c := range told {
		at, ok := place[c.ID]
		switch {
		case !ok || log[at] != c:
			s.t.Errorf("%s got %+v, which is not in the log", who, c)
			return
		case i > 0 && number(s, c.ID) <= number(s, told[i-1].ID):
			s.t.Errorf("%s got event %s after %s", who, c.ID, told[i-1].ID)
			return
		case i > 0 && at != place[told[i-1].ID]+1:
			s.t.Errorf("%s got event %s after %s: %d between them are missing", who, c.ID, told[i-1].ID, at-place[told[i-1].ID]-1)
			return
		case i == 0 && sub.since != "" && at > 0 && log[at-1].Cursor != sub.since && after(log, sub.since) != at:
			s.t.Errorf("%s began after %s, but its first event is %s", who, sub.since, c.ID)
			return
		}
	}
	if connected && len(told) > 0 && told[len(told)-1].ID != log[len(log)-1].ID {
		s.t.Errorf("the last event of %s is %s; the log ends with %s", who, told[len(told)-1].ID, log[len(log)-1].ID)
	}
}

// after returns the index of the first change after a cursor; 0 if the cursor is of an event that is not about a service.
func after(log []uwstest.Change, cursor string) int {
	for i, e := range log {
		if e.Cursor == cursor {
			return i + 1
		}
	}
	return 0
}

func number(s *soak, id string) int64 {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		s.t.Errorf("event id %q is not a number, which this test relies on", id)
	}
	return n
}

// caughtUp waits until all connected subscribers have the newest event.
func (s *soak) caughtUp(newest string) {
	s.t.Helper()
	for _, sub := range append([]*subscriber{s.witness}, s.others...) {
		err := uwstest.Until(s.t.Context(), "a subscriber is told the newest event", func() (bool, error) {
			told, err := sub.all()
			if err != nil {
				return false, err
			}
			return len(told) > 0 && told[len(told)-1].ID == newest || len(told) == 0 && sub.since == "", nil
		})
		if err != nil {
			s.t.Error(err)
		}
	}
}

// oldest returns the cursor of the oldest event.
func (s *soak) oldest() string {
	s.t.Helper()
	var cursor string
	s.must("reading the first event", func(ctx context.Context, p *uwstest.Process) error {
		return uwstest.Until(ctx, "there is an event", func() (bool, error) {
			var out struct {
				Events struct{ Edges []struct{ Cursor string } }
			}
			err := p.Query(ctx, `{ events(first: 500) { edges { cursor } } }`, nil, &out)
			if n := len(out.Events.Edges); n > 0 {
				cursor = out.Events.Edges[n-1].Cursor
			}
			return cursor != "", err
		})
	})
	return cursor
}

// log returns all events about services, oldest first.
func (s *soak) log() []uwstest.Change {
	s.t.Helper()
	var all []uwstest.Change
	s.must("reading the events", func(ctx context.Context, p *uwstest.Process) error {
		for after := any(nil); ; {
			var out struct {
				Events struct {
					Edges []struct {
						Cursor string
						Node   struct {
							uwstest.Change
							ServiceName string
						}
					}
					PageInfo struct {
						HasNextPage bool
						EndCursor   string
					}
				}
			}
			err := p.Query(ctx, `query($after: ID) { events(first: 500, after: $after) {
				edges { cursor node { id serviceId serviceName previousPhase phase health reason reasonCode logLine } }
				pageInfo { hasNextPage endCursor } } }`, map[string]any{"after": after}, &out)
			if err != nil {
				return err
			}
			for _, e := range out.Events.Edges {
				c := e.Node.Change
				c.Cursor, c.Name = e.Cursor, e.Node.ServiceName
				if c.Health == "" { // the service is gone; messages have UNKNOWN then
					c.Health = "UNKNOWN"
				}
				if c.ServiceID != "" {
					all = append([]uwstest.Change{c}, all...)
				}
			}
			if !out.Events.PageInfo.HasNextPage {
				return nil
			}
			after = out.Events.PageInfo.EndCursor
		}
	})
	return all
}
