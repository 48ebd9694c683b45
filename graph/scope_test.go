package graph

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/executor"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/unicorn-web-services/uws/graph/generated"
	"github.com/unicorn-web-services/uws/graph/model"
	"github.com/unicorn-web-services/uws/orchestrator/auth"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

// Every field of the schema, asked as if it declared no scope, is refused to callers who are limited to kinds, before
// anything is resolved: there is nothing behind the resolvers here.
func TestFieldWithoutScopeIsRefused(t *testing.T) {
	st, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	access, err := auth.Open(t.Context(), auth.Options{Store: st})
	if err != nil {
		t.Fatal(err)
	}
	root := &Resolver{Access: access, errors: &presenter{log: slog.New(slog.DiscardHandler)}}
	withoutScope := func(ctx context.Context, obj any, next graphql.Resolver, role auth.Role, _ *model.ScopeRule, record *bool) (any, error) {
		return root.auth(ctx, obj, next, role, nil, record)
	}
	executable := generated.NewExecutableSchema(generated.Config{Resolvers: root, Directives: generated.DirectiveRoot{Auth: withoutScope, VisibleTo: visibleTo}})
	exec := executor.New(executable)
	exec.SetErrorPresenter(root.errors.present)
	exec.SetRecoverFunc(root.errors.recovered)
	schema := executable.Schema()
	limited := &auth.Principal{ID: "t1", Name: "limited", Role: auth.Operator, Kinds: []catalog.Kind{catalog.DB}}
	n := 0
	for _, def := range []*ast.Definition{schema.Query, schema.Mutation, schema.Subscription} {
		for _, field := range def.Fields {
			if strings.HasPrefix(field.Name, "__") {
				continue
			}
			n++
			query := operation(schema, def, field)
			ctx := graphql.StartOperationTrace(auth.With(t.Context(), limited))
			op, errs := exec.CreateOperationContext(ctx, &graphql.RawParams{Query: query})
			if len(errs) > 0 {
				t.Errorf("%s: %v", query, errs)
				continue
			}
			next, ctx := exec.DispatchOperation(ctx, op)
			answer := next(ctx)
			if answer == nil || len(answer.Errors) != 1 || answer.Errors[0].Extensions["code"] != "FORBIDDEN" {
				t.Errorf("%s is not refused: %+v", query, answer)
			}
		}
	}
	if n < 30 {
		t.Errorf("the schema has only %d fields", n)
	}
}

// operation asks for a field with the least that it must be given.
func operation(schema *ast.Schema, root *ast.Definition, field *ast.FieldDefinition) string {
	var given []string
	for _, a := range field.Arguments {
		if a.Type.NonNull && a.DefaultValue == nil {
			given = append(given, a.Name+": "+literal(schema, a.Type))
		}
	}
	arguments, selection := "", ""
	if len(given) > 0 {
		arguments = "(" + strings.Join(given, ", ") + ")"
	}
	if schema.Types[field.Type.Name()].IsCompositeType() {
		selection = " { __typename }"
	}
	return fmt.Sprintf("%s { %s%s%s }", strings.ToLower(root.Name), field.Name, arguments, selection)
}

// literal is a value of a type, as it stands in a document.
func literal(schema *ast.Schema, t *ast.Type) string {
	def := schema.Types[t.Name()]
	switch {
	case t.Elem != nil:
		return "[]"
	case def.Kind == ast.Enum:
		return def.EnumValues[0].Name
	case def.Kind == ast.InputObject:
		var fields []string
		for _, f := range def.Fields {
			if f.Type.NonNull && f.DefaultValue == nil {
				fields = append(fields, f.Name+": "+literal(schema, f.Type))
			}
		}
		return "{" + strings.Join(fields, ", ") + "}"
	case def.Name == "Int" || def.Name == "Float":
		return "1"
	case def.Name == "Boolean":
		return "true"
	case def.Name == "Time":
		return `"2026-01-02T15:04:05Z"`
	}
	return `"x"`
}
