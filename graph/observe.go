package graph

import (
	"context"
	"sync"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/unicorn-web-services/uws/orchestrator"
)

// Observer is told of every operation. Its methods must be safe for concurrent use.
type Observer interface {
	// OperationDone is called once for each operation; operation is query, mutation, subscription or unknown, code
	// is OK or an error code of the API. Subscriptions that are served are not told: only their transport knows how
	// many share an execution, and when each ends.
	OperationDone(operation, code string, took time.Duration)
}

type observe struct{ Observer }

var (
	_ graphql.OperationInterceptor = observe{}
	_ graphql.ResponseInterceptor  = observe{}
)

type executedKey struct{}

func (observe) ExtensionName() string                   { return "Observe" }
func (observe) Validate(graphql.ExecutableSchema) error { return nil }

// InterceptOperation follows a query or mutation that is executed.
func (o observe) InterceptOperation(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
	start, kind := time.Now(), graphql.GetOperationContext(ctx).Operation.Operation
	respond := next(context.WithValue(ctx, executedKey{}, true))
	if kind == ast.Subscription {
		return respond
	}
	var once sync.Once
	return func(ctx context.Context) *graphql.Response {
		code := string(orchestrator.Internal) // of a panic
		defer func() { once.Do(func() { o.OperationDone(string(kind), code, time.Since(start)) }) }()
		response := respond(ctx)
		code = outcome(response)
		return response
	}
}

// InterceptResponse sees the operations that are refused before they are executed.
func (o observe) InterceptResponse(ctx context.Context, next graphql.ResponseHandler) *graphql.Response {
	response := next(ctx)
	if ctx.Value(executedKey{}) != nil || response == nil {
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
	o.OperationDone(kind, outcome(response), took)
	return response
}

// outcome is the first error's code, or OK. Errors have passed the presenter, so codes are the API's.
func outcome(response *graphql.Response) string {
	if response == nil || len(response.Errors) == 0 {
		return "OK"
	}
	code, _ := response.Errors[0].Extensions["code"].(string)
	return code
}
