package graph

import (
	"context"
	"sync"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// Observer is told of every operation. Its methods must be safe for concurrent use.
type Observer interface {
	// OperationDone is called once for each operation, for a subscription when its stream has ended.
	// operation is query, mutation, subscription or unknown; code is OK or an error code of the API.
	OperationDone(operation, code string, took time.Duration)
	SubscriptionStarted()
	SubscriptionEnded()
}

type observe struct{ Observer }

var (
	_ graphql.OperationInterceptor = observe{}
	_ graphql.ResponseInterceptor  = observe{}
)

type outcomeKey struct{}

// outcome of one operation: empty is a success.
type outcome struct{ code string }

func (observe) ExtensionName() string                   { return "Observe" }
func (observe) Validate(graphql.ExecutableSchema) error { return nil }

// InterceptOperation follows an operation that is executed to its last response.
func (o observe) InterceptOperation(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
	start, kind, result := time.Now(), graphql.GetOperationContext(ctx).Operation.Operation, &outcome{}
	var once sync.Once
	done := func() {
		once.Do(func() {
			if kind == ast.Subscription {
				o.SubscriptionEnded()
			}
			o.OperationDone(string(kind), result.orOK(), time.Since(start))
		})
	}
	if kind == ast.Subscription {
		o.SubscriptionStarted()
	}
	respond := next(context.WithValue(ctx, outcomeKey{}, result))
	return func(ctx context.Context) *graphql.Response {
		more := false
		defer func() { // a panic ends it too
			if !more {
				done()
			}
		}()
		response := respond(ctx)
		if response != nil {
			result.set(response.Errors)
			more = kind == ast.Subscription
		}
		return response
	}
}

// InterceptResponse sees the operations that are refused before they are executed.
func (o observe) InterceptResponse(ctx context.Context, next graphql.ResponseHandler) *graphql.Response {
	response := next(ctx)
	if ctx.Value(outcomeKey{}) != nil || response == nil {
		return response
	}
	kind, took := "unknown", time.Duration(0)
	if graphql.HasOperationContext(ctx) {
		op := graphql.GetOperationContext(ctx)
		took = time.Since(op.Stats.OperationStart)
		if op.Operation != nil {
			kind = string(op.Operation.Operation)
		}
	}
	var result outcome
	result.set(response.Errors)
	o.OperationDone(kind, result.orOK(), took)
	return response
}

func setOutcome(ctx context.Context, err *gqlerror.Error) {
	if result, ok := ctx.Value(outcomeKey{}).(*outcome); ok {
		result.set(gqlerror.List{err})
	}
}

// set takes the first error's code. Errors have passed the presenter, so codes are the API's.
func (o *outcome) set(errs gqlerror.List) {
	if len(errs) > 0 && o.code == "" {
		o.code, _ = errs[0].Extensions["code"].(string)
	}
}

func (o *outcome) orOK() string {
	if o.code == "" {
		return "OK"
	}
	return o.code
}
