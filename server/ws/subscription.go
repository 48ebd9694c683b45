package ws

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/unicorn-web-services/uws/graph"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/server/budget"
)

// subscription is one operation that a client asked for, a query or mutation too.
type subscription struct {
	conn   *conn
	id     string
	prefix []byte // of each message, before what is shared
	began  time.Time
	size   int         // bytes of the message that asked for it
	stream bool        // a subscription, which is counted; conn.mu guards it
	done   atomic.Bool // ended by either side
	muted  atomic.Bool // by the client: what is queued is not sent any more

	group *group             // conn.mu guards it
	stop  context.CancelFunc // of its own execution, nil when there is none; conn.mu guards it
	turns int                // how many of those there were; conn.mu guards it

	// The group's mutex guards these.
	place int   // among the group's members; -1: not one of them
	after int64 // position of the newest message it was given
}

// begin serves the subscription in a goroutine of its own, and returns when the operation is parsed: the reader's stack
// stays small, and the client's messages are dealt with in their order. It releases hold when the operation is over, or
// left to a group.
func (s *subscription) begin(params *graphql.RawParams, hold *budget.Hold) {
	parsed := make(chan struct{})
	done := sync.OnceFunc(func() { close(parsed) })
	started := s.run(func(ctx context.Context) {
		defer hold.Release()
		defer done()
		op := s.parse(ctx, params)
		if op == nil {
			return
		}
		cost := graph.CostOf(op, s.size)
		hold.Shrink(cost.Serve)
		done()
		switch {
		case !s.settle(ctx): // nothing is made for a client that has not taken what came before
		case s.stream:
			s.follow(ctx, op, cost, &graph.Feed{})
		default:
			s.answer(ctx, op, cost)
		}
	})
	if !started {
		hold.Release()
		return
	}
	<-parsed
}

// parse is nil when the operation is refused, which the client is told.
func (s *subscription) parse(ctx context.Context, params *graphql.RawParams) *graphql.OperationContext {
	ctx = graphql.StartOperationTrace(ctx)
	now := graphql.Now()
	params.ReadTime = graphql.TraceTiming{Start: now, End: now}
	op, errs := s.conn.exec.CreateOperationContext(ctx, params)
	if len(errs) > 0 {
		s.fail(s.conn.exec.DispatchError(graphql.WithOperationContext(ctx, op), errs).Errors)
		return nil
	}
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if op.Operation.Operation == ast.Subscription && !s.done.Load() {
		s.stream = true
		c.t.opts.Metrics.Subscribed(1)
	}
	return op
}

// run executes f in another goroutine, unless the subscription has ended, and reports whether it does.
func (s *subscription) run(f func(ctx context.Context)) bool {
	c := s.conn
	ctx, cancel := context.WithCancel(c.ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.done.Load() || c.ended {
		cancel()
		return false
	}
	s.turns++
	turn := s.turns
	s.stop = cancel
	c.t.serving.Add(1)
	go func() {
		defer c.t.serving.Done()
		defer cancel()
		func() {
			defer c.t.recovered(func() { s.fail(internalError()) })
			f(ctx)
		}()
		c.mu.Lock()
		defer c.mu.Unlock()
		if s.turns == turn { // else it has lagged again already
			s.stop = nil
		}
	}()
	return true
}

// answer executes a query or mutation.
func (s *subscription) answer(ctx context.Context, op *graphql.OperationContext, cost graph.Cost) {
	defer s.recovered(ctx, op)
	responses, ctx := s.conn.exec.DispatchOperation(graphql.WithOperationContext(ctx, op), op)
	if _, body := s.next(ctx, responses, cost); body != nil && !s.send(ctx, body) {
		return
	}
	s.complete("OK")
}

// next makes the next message of an execution, as soon as there is room for what making it takes; nil when there is none.
func (s *subscription) next(ctx context.Context, responses graphql.ResponseHandler, cost graph.Cost) (*graphql.Response, []byte) {
	if cost.Answer > 0 {
		hold, err := s.conn.t.opts.Memory.Answers.Take(ctx, s.conn.caller, cost.Answer)
		if err != nil {
			return nil, nil
		}
		defer hold.Release()
	}
	r := responses(ctx)
	if r == nil {
		return nil, nil
	}
	return r, encode(r)
}

// follow catches up with what op asks for, beginning where feed says, until the group that it shares with others is
// where it is, and leaves it to that.
func (s *subscription) follow(ctx context.Context, op *graphql.OperationContext, cost graph.Cost, feed *graph.Feed) {
	defer s.recovered(ctx, op)
	g, full := s.conn.t.hub.enter(s, op, cost)
	if full {
		s.fail(tooManyGroups())
	}
	for g != nil {
		position, ok := s.catchUp(ctx, op, cost, feed)
		if !ok {
			return
		}
		switch g.join(s, position) {
		case joined:
			return
		case over:
			s.end(g.err)
			return
		}
		feed = &graph.Feed{After: &position}
	}
}

// catchUp executes op up to the present, and reports whether there is anything to come after it.
func (s *subscription) catchUp(ctx context.Context, op *graphql.OperationContext, cost graph.Cost, feed *graph.Feed) (int64, bool) {
	responses, ctx := s.conn.exec.DispatchOperation(graph.WithFeed(ctx, feed), op)
	for r, body := s.next(ctx, responses, cost); r != nil; r, body = s.next(ctx, responses, cost) {
		if _, ok := feed.Next(); !ok {
			s.fail(r.Errors) // refused before it began
			return 0, false
		}
		if !s.send(ctx, body) {
			return 0, false
		}
	}
	position, err := feed.End()
	switch {
	case ctx.Err() != nil:
		return 0, false
	case err != nil:
		s.fail(gqlerror.List{err})
		return 0, false
	case position == orchestrator.Over:
		s.complete("OK")
		return 0, false
	}
	return position, true
}

// send hands over one message when the client has taken those before, and reports whether to go on.
func (s *subscription) send(ctx context.Context, body []byte) bool {
	if s.conn.wire.offer(s, [][]byte{body}) {
		return ctx.Err() == nil
	}
	s.conn.wire.wait(len(body))
	defer s.conn.wire.wait(-len(body))
	for {
		if !s.settle(ctx) {
			return false
		}
		if s.conn.wire.offer(s, [][]byte{body}) {
			return ctx.Err() == nil
		}
	}
}

// settle waits until the client has taken what was written.
func (s *subscription) settle(ctx context.Context) bool {
	behind, settled := s.conn.wire.behind()
	if behind {
		select {
		case <-settled:
		case <-ctx.Done():
		}
	}
	return ctx.Err() == nil
}

// lag is called when the group could not hand over a message: from then on the subscription serves itself, until it
// has caught up.
func (s *subscription) lag(op *graphql.OperationContext, after int64) {
	s.conn.t.opts.Metrics.Behind()
	s.run(func(ctx context.Context) {
		if !s.settle(ctx) {
			return
		}
		cost := graph.CostOf(op, s.size)
		hold, err := s.conn.t.opts.Memory.Requests.Take(ctx, s.conn.caller, cost.Serve)
		if err != nil {
			return
		}
		defer hold.Release()
		s.follow(ctx, op, cost, &graph.Feed{After: &after})
	})
}

// finish ends the subscription for the server, once; the caller tells the client, if at all.
func (s *subscription) finish(code string) bool {
	c := s.conn
	c.mu.Lock()
	if s.done.Swap(true) {
		c.mu.Unlock()
		return false
	}
	if c.subs[s.id] == s {
		delete(c.subs, s.id)
	}
	g, stop, stream := s.group, s.stop, s.stream
	s.group = nil
	c.mu.Unlock()
	if stop != nil {
		stop()
	}
	if g != nil {
		g.leave(s)
	}
	if stream {
		c.t.opts.Metrics.Subscribed(-1)
		c.t.opts.Metrics.OperationDone(string(ast.Subscription), code, time.Since(s.began))
	}
	return true
}

func (s *subscription) complete(code string) {
	if s.finish(code) {
		s.conn.wire.say(opText, completeText(s.id))
	}
}

// fail ends the subscription with an error message of its own.
func (s *subscription) fail(errs gqlerror.List) {
	if s.finish(codeOf(errs)) {
		s.conn.wire.say(opText, errorText(s.id, errs))
	}
}

func codeOf(errs gqlerror.List) string {
	if len(errs) == 0 {
		return "OK"
	}
	code, _ := errs[0].Extensions["code"].(string)
	return code
}

// recovered fails a subscription whose execution panicked.
func (s *subscription) recovered(ctx context.Context, op *graphql.OperationContext) {
	if p := recover(); p != nil {
		s.fail(gqlerror.List{presented(ctx, op, p)})
	}
}

// presented is what clients may see of a panic.
func presented(ctx context.Context, op *graphql.OperationContext, p any) *gqlerror.Error {
	return &gqlerror.Error{
		Message:    op.RecoverFunc(ctx, p).Error(),
		Extensions: map[string]any{"code": string(orchestrator.Internal)},
	}
}
