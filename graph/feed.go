package graph

import (
	"context"
	"sync"

	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/unicorn-web-services/uws/orchestrator"
)

// Feed is what a transport and the resolver of a subscription tell each other beside the messages: where one
// execution begins and ends, how far each message has come, and what the stream failed with. With it, many
// subscribers can share one execution: each catches up by a bounded one of its own, until it is where the shared one
// is. A feed serves one execution. It is safe for concurrent use.
type Feed struct {
	// After is the position to go on after, whatever the operation's `since` says; nil: as the operation says.
	After *int64
	// Live means that the execution does not end by itself; else it ends when it has caught up.
	Live bool

	mu        sync.Mutex
	positions []int64 // of the messages that the transport has not asked about yet
	end       int64
	err       *gqlerror.Error
}

// Pending is the position of a message that belongs together with the next one.
const Pending int64 = -2

type feedKey struct{}

// WithFeed gives an execution its feed.
func WithFeed(ctx context.Context, f *Feed) context.Context {
	return context.WithValue(ctx, feedKey{}, f)
}

// feedOf is the feed of an execution: one that nobody asks when the transport gave none.
func feedOf(ctx context.Context) *Feed {
	if f, ok := ctx.Value(feedKey{}).(*Feed); ok {
		return f
	}
	return &Feed{Live: true}
}

// Next is the position of a message, asked once after each, in order. It is false for the answer to an operation
// that was refused before its stream began.
func (f *Feed) Next() (position int64, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.positions) == 0 {
		return 0, false
	}
	position = f.positions[0]
	f.positions = f.positions[1:]
	return position, true
}

// End is how far an execution that ended had come, or what it failed with. The position is orchestrator.Over when
// nothing more will ever come.
func (f *Feed) End() (int64, *gqlerror.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.end, f.err
}

func (f *Feed) push(position int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.positions = append(f.positions, position)
}

func (f *Feed) finish(position int64, err *gqlerror.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.end, f.err = position, err
}

// span is what the control plane is asked for.
func (f *Feed) span(since *string) orchestrator.Span {
	return orchestrator.Span{Since: deref(since), After: f.After, Live: f.Live}
}
