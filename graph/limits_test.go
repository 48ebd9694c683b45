package graph

import (
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
)

// Our own schema does not nest deep enough to reach the limit.
func TestDepthLimit(t *testing.T) {
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
		"introspection is exempt": {"{__schema{types{fields{type{" + strings.Repeat("ofType{", 9) + "name" + strings.Repeat("}", 14), true},
	}
	for name, tt := range tests {
		doc, err := parser.ParseQuery(&ast.Source{Input: tt.query})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := check(doc); (err == nil) != tt.ok {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
