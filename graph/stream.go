package graph

import (
	"context"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/unicorn-web-services/uws/orchestrator"
)

// stream serves one execution of a subscription: what watch emits goes to the transport, each message with its
// position, and how watch ends is the feed's to tell. It ends with ctx.
func stream[T any](ctx context.Context, r *Resolver, watch func(feed *Feed, emit func(v T, position int64) error) (int64, error)) <-chan T {
	out, feed := make(chan T), feedOf(ctx)
	emit := func(v T, position int64) error {
		feed.push(position)
		select {
		case out <- v:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	r.streams.Go(func() {
		defer close(out)
		defer func() {
			if p := recover(); p != nil {
				feed.finish(orchestrator.Over, r.errors.present(ctx, r.errors.recovered(ctx, p)))
			}
		}()
		position, err := watch(feed, emit)
		if err != nil && ctx.Err() == nil {
			feed.finish(orchestrator.Over, r.errors.present(ctx, err))
			return
		}
		feed.finish(position, nil)
	})
	return out
}

type streamingKey struct{}

// WithStreaming marks the requests of a transport that can send more than one answer.
func WithStreaming(ctx context.Context) context.Context {
	return context.WithValue(ctx, streamingKey{}, true)
}

// streamingOnly refuses subscriptions on other transports: they would hang there.
type streamingOnly struct{}

var _ graphql.OperationContextMutator = streamingOnly{}

func (streamingOnly) ExtensionName() string                   { return "StreamingOnly" }
func (streamingOnly) Validate(graphql.ExecutableSchema) error { return nil }

func (streamingOnly) MutateOperationContext(ctx context.Context, op *graphql.OperationContext) *gqlerror.Error {
	if op.Operation.Operation == ast.Subscription && ctx.Value(streamingKey{}) == nil {
		return refuse(orchestrator.InvalidInput, "subscriptions need a WebSocket: connect to this same path with the subprotocol graphql-transport-ws")
	}
	return nil
}
