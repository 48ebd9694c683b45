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
	gathered    = 64  // messages at most that are written to each client at once
	perWriter   = 256 // members that are worth a goroutine of their own in a broadcast
	aheadOfSend = 16  // messages that are executed before the ones before them are sent
)

// hub finds the group of a subscription.
type hub struct {
	t *Transport

	mu     sync.Mutex
	groups map[string]*group // by shareKey
}

// group is one execution that subscribers share. Each was caught up to a position when it joined, and is given what
// comes after it.
type group struct {
	hub    *hub
	key    string
	op     *graphql.OperationContext // of the first subscriber; all others' are equal, `since` apart
	exec   graphql.GraphExecutor
	ctx    context.Context // of the first subscriber's authority, which is everyone's
	cancel context.CancelFunc
	units  chan unit
	hold   *budget.Hold // of what the group takes; hub.mu guards it

	refs int // subscriptions that hold it, members or not; hub.mu guards it

	mu       sync.Mutex
	started  bool
	position int64 // up to which members were given everything
	members  []*subscription
	closed   bool          // the execution has ended,
	err      gqlerror.List // with this
}

// unit is what is handed over as a whole: one message, or several that belong together.
type unit struct {
	bodies   [][]byte
	position int64
}

// enter makes s hold the group of its operation, a new one when there is none. It returns nil when s has ended, and full
// when its caller has too many groups.
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

// verdict on one who would join a group.
type verdict int

const (
	joined  verdict = iota
	tooLate         // the group has come further: catch up again
	over            // the group's execution has ended
)

// join makes s, which has everything up to position, a member.
func (g *group) join(s *subscription, position int64) verdict {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.closed:
		return over
	case g.started && g.position > position:
		return tooLate
	case s.done.Load():
		return joined // and left again
	}
	s.after, s.place = position, len(g.members)
	g.members = append(g.members, s)
	if !g.started {
		g.started, g.position = true, position
		g.start(position)
	}
	return joined
}

// leave gives up a hold. The last one ends the execution.
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

// forget lets the next subscriber make another group. hub.mu is held.
func (g *group) forget() {
	if g.hub.groups[g.key] == g {
		delete(g.hub.groups, g.key)
	}
}

// drop takes s from among the members, if it is one. g.mu is held.
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

// start executes from a position on. One goroutine executes and marshals; another sends, so that what came meanwhile
// is written together.
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

// send hands over what is executed, as much at once as there is.
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

// broadcast gives each member the units that are new to it.
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

// newer is what comes after a position.
func newer(batch []unit, after int64) (bodies [][]byte) {
	for _, u := range batch {
		if u.position > after {
			bodies = append(bodies, u.bodies...)
		}
	}
	return bodies
}

// spread calls give for all members, on several processors when they are many.
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

// close ends the group when its execution has ended: each member is told with a message of its own.
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

// end tells the client how its operation ended.
func (s *subscription) end(errs gqlerror.List) {
	if len(errs) > 0 {
		s.fail(errs)
		return
	}
	s.complete("OK")
}
