package ws

import (
	"context"
	"runtime"
	"slices"
	"sync"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/unicorn-web-services/uws/graph"
	"github.com/unicorn-web-services/uws/server/budget"
)

const (
	gathered    = 64  // maximum number of messages that are written to each client at once
	perWriter   = 256 // members per goroutine in a broadcast
	aheadOfSend = 16  // messages that are executed before the previous ones are sent
)

// hub holds the groups by their share keys.
type hub struct {
	t *Transport

	mu     sync.Mutex
	groups map[string]*group // by shareKey
}

// group is one execution that subscribers share. Each member has received everything up to a position when it joins. It
// then gets what follows.
type group struct {
	hub    *hub
	key    string
	op     *graphql.OperationContext // of the first subscriber; those of the others are equal except for `since`
	exec   graphql.GraphExecutor
	ctx    context.Context // with the first subscriber's principal; all members have the same scope
	cancel context.CancelFunc
	units  chan unit
	hold   *budget.Hold // memory of the group; guarded by hub.mu

	refs int // subscriptions that use the group, members or not; guarded by hub.mu

	mu       sync.Mutex
	started  bool
	position int64 // position up to which members have received everything
	members  []*subscription
	closed   bool          // the execution has ended,
	err      gqlerror.List // with this error
}

// unit is delivered as a whole: one message, or several that belong together.
type unit struct {
	bodies   [][]byte
	position int64
}

// enter adds a use of the group of s's operation, and creates the group if there is none. It returns nil if s has
// ended. full reports that the caller has too many groups.
func (h *hub) enter(s *subscription, op *graphql.OperationContext, cost graph.Cost) (g *group, full bool) {
	c := s.conn
	c.mu.Lock()
	g = s.group
	c.mu.Unlock()
	if g != nil {
		return g, false
	}
	key := shareKey(op, c.scope)
	h.mu.Lock()
	defer h.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.done.Load() || c.ended {
		return nil, false
	}
	g = h.groups[key]
	if g == nil {
		hold := h.t.opts.Memory.Subscriptions.Try(c.caller, cost.Serve)
		if hold == nil {
			return nil, true
		}
		g = &group{hub: h, key: key, op: op, exec: c.exec, units: make(chan unit, aheadOfSend), hold: hold}
		g.ctx, g.cancel = context.WithCancel(context.WithoutCancel(c.ctx))
		h.groups[key] = g
	}
	g.refs++
	s.group = g
	return g, false
}

// verdict is the result of an attempt to join a group.
type verdict int

const (
	joined  verdict = iota
	tooLate         // the group is further ahead: catch up again
	over            // the group's execution has ended
)

// join makes s a member. s must have received everything up to position.
func (g *group) join(s *subscription, position int64) verdict {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.closed:
		return over
	case g.started && g.position > position:
		return tooLate
	case s.done.Load():
		return joined // joined, and left again
	}
	s.after, s.place = position, len(g.members)
	g.members = append(g.members, s)
	if !g.started {
		g.started, g.position = true, position
		g.start(position)
	}
	return joined
}

// leave removes a use of the group. The last one ends the execution.
func (g *group) leave(s *subscription) {
	g.mu.Lock()
	g.drop(s)
	g.mu.Unlock()
	g.hub.mu.Lock()
	defer g.hub.mu.Unlock()
	g.refs--
	if g.refs == 0 {
		g.forget()
		g.cancel()
		g.hold.Release()
	}
}

// forget makes the next subscriber create another group. hub.mu must be held.
func (g *group) forget() {
	if g.hub.groups[g.key] == g {
		delete(g.hub.groups, g.key)
	}
}

// drop removes s from the members, if it is one. g.mu must be held.
func (g *group) drop(s *subscription) {
	if s.place < 0 {
		return
	}
	last := g.members[len(g.members)-1]
	g.members[s.place], last.place = last, s.place
	g.members[len(g.members)-1] = nil
	g.members = g.members[:len(g.members)-1]
	s.place = -1
}

// start executes from a position on. One goroutine executes and marshals. Another one sends, so that messages that
// arrive meanwhile are written together.
func (g *group) start(position int64) {
	t := g.hub.t
	t.opts.Metrics.Executing(1)
	t.serving.Add(2)
	go func() {
		defer t.serving.Done()
		defer close(g.units)
		g.execute(&graph.Feed{After: &position, Live: true})
	}()
	go func() {
		defer t.serving.Done()
		defer t.opts.Metrics.Executing(-1)
		g.send()
		g.close()
	}()
}

func (g *group) execute(feed *graph.Feed) {
	defer func() {
		if p := recover(); p != nil {
			g.fail(gqlerror.List{presented(g.ctx, g.op, p)})
		}
	}()
	responses, ctx := g.exec.DispatchOperation(graph.WithFeed(g.ctx, feed), g.op)
	var u unit
	for r := responses(ctx); r != nil; r = responses(ctx) {
		position, ok := feed.Next()
		if !ok {
			g.fail(r.Errors)
			return
		}
		u.bodies = append(u.bodies, encode(r))
		if position == graph.Pending {
			continue
		}
		u.position = position
		select {
		case g.units <- u:
		case <-ctx.Done():
			return
		}
		u = unit{}
	}
	if _, err := feed.End(); err != nil {
		g.fail(gqlerror.List{err})
	}
}

func (g *group) fail(errs gqlerror.List) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.err = errs
}

// send delivers what was executed, as much at once as there is.
func (g *group) send() {
	for u := range g.units {
		batch := []unit{u}
	more:
		for len(batch) < gathered {
			select {
			case u, ok := <-g.units:
				if !ok {
					break more
				}
				batch = append(batch, u)
			default:
				break more
			}
		}
		g.broadcast(batch)
	}
}

// broadcast delivers to each member the units that it has not received.
func (g *group) broadcast(batch []unit) {
	g.mu.Lock()
	defer g.mu.Unlock()
	var all [][]byte
	for _, u := range batch {
		all = append(all, u.bodies...)
	}
	first, last := batch[0].position, batch[len(batch)-1].position
	give := func(members []*subscription) (behind []*subscription) {
		for _, s := range members {
			bodies := all
			if s.after >= first {
				bodies = newer(batch, s.after)
			}
			switch {
			case len(bodies) == 0:
			case s.conn.wire.offer(s, bodies):
				s.after = last
			default:
				behind = append(behind, s)
			}
		}
		return behind
	}
	for _, s := range spread(g.members, give) {
		g.drop(s)
		s.lag(g.op, s.after)
	}
	g.position = last
	g.hub.t.opts.Metrics.Sent(len(all) * len(g.members))
}

// newer returns the messages after a position.
func newer(batch []unit, after int64) (bodies [][]byte) {
	for _, u := range batch {
		if u.position > after {
			bodies = append(bodies, u.bodies...)
		}
	}
	return bodies
}

// spread calls give for all members, on several CPUs if there are many members.
func spread(members []*subscription, give func([]*subscription) []*subscription) (behind []*subscription) {
	writers := min(runtime.GOMAXPROCS(0), len(members)/perWriter)
	if writers < 2 {
		return give(members)
	}
	results := make([][]*subscription, writers)
	var done sync.WaitGroup
	size := (len(members) + writers - 1) / writers
	for i := range writers {
		done.Go(func() { results[i] = give(members[min(i*size, len(members)):min((i+1)*size, len(members))]) })
	}
	done.Wait()
	return slices.Concat(results...)
}

// close ends the group after its execution has ended. Each member gets a message of its own.
func (g *group) close() {
	g.hub.mu.Lock()
	g.forget()
	g.hub.mu.Unlock()
	g.mu.Lock()
	g.closed = true
	members, errs := g.members, g.err
	g.members = nil
	for _, s := range members {
		s.place = -1
	}
	g.mu.Unlock()
	for _, s := range members {
		s.end(errs)
	}
}

// end sends the client the result of its operation.
func (s *subscription) end(errs gqlerror.List) {
	if len(errs) > 0 {
		s.fail(errs)
		return
	}
	s.complete("OK")
}
