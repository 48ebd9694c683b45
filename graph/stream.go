package graph

import (
	"context"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/unicorn-web-services/uws/orchestrator"
)

// stream serves one subscription: what watch emits goes to the client, and the error it returns too, as
// the stream's last message. It ends with ctx.
func stream[T any](ctx context.Context, r *Resolver, watch func(emit func(T) error) error) <-chan T {
	out := make(chan T)
	emit := func(v T) error {
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
				r.fail(ctx, r.errors.recovered(ctx, p))
			}
		}()
		if err := watch(emit); err != nil && ctx.Err() == nil {
			r.fail(ctx, err)
		}
	})
	return out
}

// fail hands err to the transport, which sends it when the stream's channel is closed.
func (r *Resolver) fail(ctx context.Context, err error) {
	presented := r.errors.present(ctx, err)
	setOutcome(ctx, presented)
	transport.AddSubscriptionError(ctx, presented)
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
