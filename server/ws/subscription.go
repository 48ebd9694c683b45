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

// subscription is one operation of a client. It can also be a query or a mutation.
type subscription struct {
	conn   *conn
	id     string
	prefix []byte // start of each message, before the shared part
	began  time.Time
	size   int         // bytes of the subscribe message
	stream bool        // a subscription, and counted as one; guarded by conn.mu
	done   atomic.Bool // ended by either side
	muted  atomic.Bool // completed by the client: queued messages are not sent

	group *group             // guarded by conn.mu
	stop  context.CancelFunc // cancels its own execution; nil if there is none; guarded by conn.mu
	turns int                // number of its own executions so far; guarded by conn.mu

	// Guarded by the group's mutex.
	place int   // among the group's members; -1: not one of them
	after int64 // position of the newest message it was given
}

// begin serves the subscription in a goroutine of its own, and returns once the operation is parsed. So the reader's
// stack stays small, and messages are processed in order. hold is released when the operation ends, or when a group
// takes over.
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
		case !s.settle(ctx): // build no message for a client that has not taken the previous ones
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

// parse returns nil if the operation is refused; the client gets an error message.
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

// run executes f in another goroutine, unless the subscription has ended. It reports whether it does.
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
		if s.turns == turn { // otherwise it has lagged again already
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

// next returns the next message of an execution, once there is memory to build it; nil if there is none.
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

// follow catches up with op from where feed says, until it has reached the position of its group, and then joins the
// group.
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

// catchUp executes op up to the present. It reports whether more messages can follow.
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

// send delivers a message once the client has taken the previous ones. It reports whether to continue.
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

// lag is called when the group could not deliver a message. From then on the subscription executes by itself, until it
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

// finish ends the subscription on the server, once. The caller sends the client a message if needed.
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

// fail ends the subscription with an error message.
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

// presented returns the error that clients get after a panic.
func presented(ctx context.Context, op *graphql.OperationContext, p any) *gqlerror.Error {
	return &gqlerror.Error{
		Message:    op.RecoverFunc(ctx, p).Error(),
		Extensions: map[string]any{"code": string(orchestrator.Internal)},
	}
}
