// Package graph is the GraphQL API: it translates between the schema in graph/schema and
// [orchestrator.API], and holds no rule of its own. Transports are the server's.
package graph

import (
	"context"
	"log/slog"
	"sync"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/99designs/gqlgen/graphql/handler/extension"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/unicorn-web-services/uws/graph/generated"
	"github.com/unicorn-web-services/uws/graph/model"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/auth"
)

// Options of New.
type Options struct {
	API          orchestrator.API // for everybody: New limits it to what each may do
	Access       *auth.Authenticator
	Installation orchestrator.Installation
	Log          *slog.Logger // nil: discarded
	Observer     Observer     // nil: none
}

// Graph executes GraphQL operations. Add transports to it before use.
type Graph struct {
	*handler.Server
	root *Resolver
}

// Resolver is the root of the resolvers.
type Resolver struct {
	API          orchestrator.API
	Access       *auth.Authenticator
	Installation orchestrator.Installation
	errors       *presenter
	streams      sync.WaitGroup // one goroutine for each subscription that is being served
}

// New makes an executor of operations without any transport.
func New(opts Options) *Graph {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	root := &Resolver{API: auth.Scoped(opts.API), Access: opts.Access, Installation: opts.Installation, errors: &presenter{log: opts.Log}}
	schema := generated.NewExecutableSchema(generated.Config{Resolvers: root, Directives: generated.DirectiveRoot{Auth: root.auth, VisibleTo: visibleTo}})
	root.errors.enums = enumsOf(schema.Schema())
	srv := handler.New(schema)
	srv.SetParserTokenLimit(MaxTokens)
	srv.SetDisableSuggestion(true)
	srv.SetValidationRulesFn(validationRules)
	known := newDocuments()
	srv.SetQueryCache(known)
	srv.SetErrorPresenter(root.errors.present)
	srv.SetRecoverFunc(root.errors.recovered)
	if opts.Observer != nil {
		srv.Use(observe{opts.Observer})
	}
	srv.Use(limits{known})
	srv.Use(variables{schema.Schema(), known})
	srv.Use(streamingOnly{})
	srv.Use(extension.Introspection{})
	srv.AroundFields(plainRows)
	srv.AroundOperations(root.withNodes)
	srv.AroundResponses(root.withNodesOfMessage)
	return &Graph{Server: srv, root: root}
}

// Wait returns when every subscription's goroutine is done: soon after the contexts of their operations
// have ended.
func (g *Graph) Wait() { g.root.streams.Wait() }

type nodesKey struct{}

type nodesByID = map[string]*orchestrator.Node

// withNodes lets all rows of one query share one reading of the nodes. Mutations read afresh, since an
// earlier field of theirs may have changed them.
func (r *Resolver) withNodes(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
	if graphql.GetOperationContext(ctx).Operation.Operation == ast.Query {
		ctx = r.shareNodes(ctx)
	}
	return next(ctx)
}

// withNodesOfMessage does the same for each message of a subscription.
func (r *Resolver) withNodesOfMessage(ctx context.Context, next graphql.ResponseHandler) *graphql.Response {
	if graphql.HasOperationContext(ctx) {
		if op := graphql.GetOperationContext(ctx).Operation; op != nil && op.Operation == ast.Subscription {
			ctx = r.shareNodes(ctx)
		}
	}
	return next(ctx)
}

func (r *Resolver) shareNodes(ctx context.Context) context.Context {
	return context.WithValue(ctx, nodesKey{}, sync.OnceValues(func() (nodesByID, error) { return r.nodesByID(ctx) }))
}

func (r *Resolver) nodesByID(ctx context.Context) (nodesByID, error) {
	nodes, err := r.API.Nodes(ctx)
	byID := make(nodesByID, len(nodes))
	for i := range nodes {
		byID[nodes[i].ID] = &nodes[i]
	}
	return byID, err
}

// node is the node with this id, nil when there is none or id is empty.
func (r *Resolver) node(ctx context.Context, id string) (*orchestrator.Node, error) {
	if id == "" {
		return nil, nil
	}
	if read, ok := ctx.Value(nodesKey{}).(func() (nodesByID, error)); ok {
		byID, err := read()
		return byID[id], err
	}
	return orNull(pointer(r.API.Node(ctx, id)))
}

// service returns a function that returns what queries show of a service, nil for none.
func (r *Resolver) service(ctx context.Context) func(s *orchestrator.Service, err error) (*model.Service, error) {
	return func(s *orchestrator.Service, err error) (*model.Service, error) {
		if s == nil || err != nil {
			return nil, err
		}
		return model.NewService(r.API, auth.From(ctx), s), nil
	}
}

// services are what queries show of services.
func (r *Resolver) services(ctx context.Context, all []*orchestrator.Service) []*model.Service {
	caller := auth.From(ctx)
	views := make([]model.Service, len(all))
	out := make([]*model.Service, len(all))
	for i, s := range all {
		views[i] = *model.NewService(r.API, caller, s)
		out[i] = &views[i]
	}
	return out
}

// usageHistories returns the histories of these services, without those that do not exist.
func (r *Resolver) usageHistories(ctx context.Context, ids []string, within orchestrator.UsageRange, points int) ([]*orchestrator.UsageHistory, error) {
	if err := orchestrator.CheckUsageIDs(ids); err != nil {
		return nil, err
	}
	out := make([]*orchestrator.UsageHistory, 0, len(ids))
	for _, id := range ids {
		s, err := orNull(r.API.Service(ctx, id))
		if err != nil {
			return nil, err
		}
		if s == nil {
			continue
		}
		history, err := r.API.UsageHistory(ctx, s, within, points)
		if err != nil {
			return nil, err
		}
		out = append(out, &history)
	}
	return out, nil
}

// endpoint is the URL of a service for clients, nil until its ports are chosen.
func (r *Resolver) endpoint(ctx context.Context, id string) (*string, error) {
	s, err := orNull(r.API.Service(ctx, id))
	if s == nil || err != nil {
		return nil, err
	}
	return model.Optional(r.API.Endpoint(s)), nil
}

// orNull answers null where there is nothing, as queries do, instead of an error.
func orNull[T any](v *T, err error) (*T, error) {
	if err != nil && orchestrator.CodeOf(err) == orchestrator.NotFound {
		return nil, nil
	}
	return v, err
}

func pointer[T any](v T, err error) (*T, error) {
	if err != nil {
		return nil, err
	}
	return &v, nil
}
