package graph

import (
	"context"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/unicorn-web-services/uws/orchestrator"
)

// limits refuses operations that are too deep or too large. Unlike gqlgen's own complexity limit it looks
// at every fragment once, so nested fragment spreads cost nothing.
type limits struct{}

var _ graphql.OperationContextMutator = limits{}

func (limits) ExtensionName() string                   { return "Limits" }
func (limits) Validate(graphql.ExecutableSchema) error { return nil }

func (limits) MutateOperationContext(_ context.Context, op *graphql.OperationContext) *gqlerror.Error {
	size := (&measure{fragments: map[string]extent{}}).of(op.Operation.SelectionSet)
	if size.depth > MaxDepth {
		return refuse(orchestrator.LimitExceeded, "the operation nests %d fields deep; at most %d are allowed", size.depth, MaxDepth)
	}
	if size.fields > MaxFields {
		return refuse(orchestrator.LimitExceeded, "the operation selects more than %d fields, fragments expanded; ask for less at once", MaxFields)
	}
	return nil
}

// extent of a selection set. fields stops counting just above the limit, so that it cannot overflow.
type extent struct{ depth, fields int }

// measure remembers the extent of every fragment. Validation has excluded cycles before it runs.
type measure struct{ fragments map[string]extent }

func (m *measure) of(set ast.SelectionSet) extent {
	var sum extent
	for _, selection := range set {
		var e extent
		switch s := selection.(type) {
		case *ast.Field:
			e = m.of(s.SelectionSet)
			if strings.HasPrefix(s.Name, "__") {
				e.depth = 0 // the standard introspection query is deeper than ours ever are
			}
			e.depth++
			e.fields++
		case *ast.InlineFragment:
			e = m.of(s.SelectionSet)
		case *ast.FragmentSpread:
			e = m.fragment(s)
		}
		sum.depth = max(sum.depth, e.depth)
		sum.fields = min(sum.fields+e.fields, MaxFields+1)
	}
	return sum
}

func (m *measure) fragment(s *ast.FragmentSpread) extent {
	if e, ok := m.fragments[s.Name]; ok {
		return e
	}
	e := m.of(s.Definition.SelectionSet)
	m.fragments[s.Name] = e
	return e
}
