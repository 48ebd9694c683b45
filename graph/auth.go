package graph

import (
	"context"
	"slices"

	"github.com/99designs/gqlgen/graphql"

	"github.com/unicorn-web-services/uws/graph/model"
	"github.com/unicorn-web-services/uws/orchestrator/auth"
)

// auth is the directive of the same name: the only way to a field of Query, Mutation or Subscription.
func (r *Resolver) auth(ctx context.Context, _ any, next graphql.Resolver, role auth.Role, scope *model.ScopeRule, record *bool) (any, error) {
	fc := graphql.GetFieldContext(ctx)
	if p := auth.From(ctx); scope == nil && p != nil && len(p.Kinds) > 0 {
		role = auth.Admin // which no limited caller has
	}
	a := auth.Action{Name: fc.Field.Name, Needs: role}
	if fc.Object != "Mutation" {
		if deref(record) && auth.Require(ctx, role) == nil {
			id, _ := fc.Field.ArgumentMap(graphql.GetOperationContext(ctx).Variables)["id"].(string)
			if _, err := r.API.Service(ctx, id); err == nil { // of one that the caller may see
				a.Target = id
			}
		}
		return r.Access.Read(ctx, a, next)
	}
	a.Target, a.Detail = asked(fc.Field.ArgumentMap(graphql.GetOperationContext(ctx).Variables))
	return r.Access.Do(ctx, a, next)
}

// visibleTo is the directive of the same name.
func visibleTo(ctx context.Context, _ any, next graphql.Resolver, role auth.Role) (any, error) {
	if auth.Require(ctx, role) != nil {
		return nil, nil
	}
	return next(ctx)
}

// audited are the arguments, and fields of inputs, that the audit log keeps. What is not among them may be a secret.
var audited = []string{
	"at", "bucket", "confirm", "data", "draining", "endpoint", "expiresAt", "folder", "forget", "kind", "kinds", "labels", "name", "nodeId",
	"nodeLabels", "paused", "pinned", "prefix", "reattach", "remove", "role", "schedule", "serviceAddress", "serviceId", "set", "targetId",
	"template", "timeZone",
}

// asked is what a mutation acts on and what else it was given.
func asked(args map[string]any) (target string, detail map[string]any) {
	detail = map[string]any{}
	take := func(values map[string]any) {
		for name, v := range values {
			if v != nil && slices.Contains(audited, name) {
				detail[name] = v
			}
		}
	}
	take(args)
	input, _ := args["input"].(map[string]any)
	take(input)
	if id, ok := args["id"].(string); ok {
		return id, detail
	}
	target, _ = input["name"].(string)
	delete(detail, "name")
	return target, detail
}
