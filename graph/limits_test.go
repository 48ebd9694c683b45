package graph

import (
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
)

// Our own schema does not nest deep enough to reach the limit, so this one does.
func TestDepthLimit(t *testing.T) {
	schema := gqlparser.MustLoadSchema(&ast.Source{Input: `type Query { a: Query b: Int }`})
	nested := func(open string, n int) string { return strings.Repeat(open, n) + "b" + strings.Repeat("}", n) }
	tests := map[string]struct {
		query string
		ok    bool
	}{
		"at the limit":            {"{" + nested("a{", MaxDepth-1) + "}", true},
		"beyond it":               {"{" + nested("a{", MaxDepth) + "}", false},
		"inline fragments":        {"{" + nested("a{...{", MaxDepth/2) + strings.Repeat("}", MaxDepth/2) + "}", true},
		"fragments add":           {"{a{...f}} fragment f on Query{" + nested("a{", MaxDepth-1) + "}", false},
		"fragments, used twice":   {"{...f a{...f}} fragment f on Query{" + nested("a{", MaxDepth-2) + "}", true},
		"introspection is exempt": {"{__schema{types{fields{type{ofType{ofType{ofType{ofType{ofType{ofType{ofType{ofType{name}}}}}}}}}}}}}", true},
	}
	for name, tt := range tests {
		doc, errs := gqlparser.LoadQueryWithRules(schema, tt.query, nil)
		if errs != nil {
			t.Fatalf("%s: %v", name, errs)
		}
		err := limits{}.MutateOperationContext(t.Context(), &graphql.OperationContext{Operation: doc.Operations[0]})
		if (err == nil) != tt.ok {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
