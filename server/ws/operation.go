package ws

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/formatter"
)

// resumeArgument is where a subscription begins. Everything else determines its messages.
const resumeArgument = "since"

// shareKey returns a key that is equal for subscriptions that get the same messages from any moment on. These have the
// same scope, document (except for white space), operation, and variables (except for `since`).
func shareKey(op *graphql.OperationContext, scope string) string {
	operation, variables := *op.Operation, op.Variables
	operation.SelectionSet = slices.Clone(operation.SelectionSet)
	for i, selection := range operation.SelectionSet {
		field, ok := selection.(*ast.Field)
		if !ok {
			continue
		}
		since := field.Arguments.ForName(resumeArgument)
		if since == nil {
			continue
		}
		bare := *field
		bare.Arguments = slices.DeleteFunc(slices.Clone(field.Arguments), func(a *ast.Argument) bool { return a == since })
		operation.SelectionSet[i] = &bare
		if since.Value.Kind == ast.Variable {
			variables = without(&operation, op.Doc.Fragments, variables, since.Value.Raw)
		}
	}
	values, err := json.Marshal(variables)
	if err != nil {
		values = []byte(op.RawQuery) // never fails: they were parsed from JSON
	}
	return strings.Join([]string{scope, string(values), format(&operation, op.Doc.Fragments)}, "\x00")
}

// without removes a variable that an operation no longer uses.
func without(operation *ast.OperationDefinition, fragments ast.FragmentDefinitionList, variables map[string]any, name string) map[string]any {
	used := *operation
	used.VariableDefinitions = nil
	if strings.Contains(format(&used, fragments), "$"+name) {
		return variables
	}
	operation.VariableDefinitions = slices.DeleteFunc(slices.Clone(operation.VariableDefinitions),
		func(v *ast.VariableDefinition) bool { return v.Variable == name })
	rest := make(map[string]any, len(variables))
	for k, v := range variables {
		if k != name {
			rest[k] = v
		}
	}
	return rest
}

func format(operation *ast.OperationDefinition, fragments ast.FragmentDefinitionList) string {
	var b strings.Builder
	formatter.NewFormatter(&b, formatter.WithCompacted()).FormatQueryDocument(&ast.QueryDocument{
		Operations: ast.OperationList{operation}, Fragments: fragments,
	})
	return b.String()
}

// encode returns the payload of a message that contains a response. It is immutable.
func encode(r *graphql.Response) []byte {
	if len(r.Errors) > 0 || len(r.Extensions) > 0 {
		if body, err := json.Marshal(r); err == nil {
			return body
		}
	}
	const before, after = `{"data":`, `}`
	body := make([]byte, 0, len(before)+len(r.Data)+len(after))
	return append(append(append(body, before...), r.Data...), after...)
}
