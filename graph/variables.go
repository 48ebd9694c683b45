package graph

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"

	"github.com/unicorn-web-services/uws/orchestrator"
)

// variables refuses values of variables that their types do not have. The parser's own check folds the case of enums,
// takes strings for numbers, and names wrong values in its errors.
type variables struct {
	schema *ast.Schema
	known  graphql.Cache[*ast.QueryDocument]
}

var _ graphql.OperationParameterMutator = variables{}

func (variables) ExtensionName() string                   { return "Variables" }
func (variables) Validate(graphql.ExecutableSchema) error { return nil }

func (v variables) MutateOperationParameters(ctx context.Context, params *graphql.RawParams) *gqlerror.Error {
	if len(params.Variables) == 0 {
		return nil
	}
	doc, ok := v.known.Get(ctx, params.Query)
	if !ok {
		var err error
		if doc, err = parser.ParseQueryWithTokenLimit(&ast.Source{Input: params.Query}, MaxTokens); err != nil {
			return nil // the executor reports it
		}
	}
	op := doc.Operations.ForName(params.OperationName)
	if op == nil {
		return nil
	}
	for _, definition := range op.VariableDefinitions {
		if value, given := params.Variables[definition.Variable]; given {
			if err := v.check(definition.Variable, definition.Type, value); err != nil {
				return err
			}
		}
	}
	return nil
}

// check leaves null, and what is missing or unknown, to validation.
func (v variables) check(path string, typ *ast.Type, value any) *gqlerror.Error {
	if value == nil {
		return nil
	}
	if typ.Elem != nil {
		items, isList := value.([]any)
		if !isList {
			return v.check(path, typ.Elem, value)
		}
		for i, item := range items {
			if err := v.check(fmt.Sprintf("%s[%d]", path, i), typ.Elem, item); err != nil {
				return err
			}
		}
		return nil
	}
	def := v.schema.Types[typ.NamedType]
	if def == nil {
		return nil
	}
	problem := ""
	switch def.Kind {
	case ast.InputObject:
		fields, _ := value.(map[string]any)
		for _, f := range def.Fields {
			if err := v.check(path+"."+f.Name, f.Type, fields[f.Name]); err != nil {
				return err
			}
		}
	case ast.Enum:
		problem = enumProblem(def, value)
	case ast.Scalar:
		problem = scalarProblem(def.Name, value)
	}
	if problem == "" {
		return nil
	}
	err := orchestrator.Errorf(orchestrator.InvalidInput, path, "%s", problem)
	return refuseWith(err)
}

func enumProblem(def *ast.Definition, value any) string {
	name, isText := value.(string)
	if isText && def.EnumValues.ForName(name) != nil {
		return ""
	}
	var names []string
	for _, v := range def.EnumValues {
		names = append(names, v.Name)
	}
	return fmt.Sprintf("is %s, which is not a valid %s; it is one of %s", shown(value), def.Name, strings.Join(names, ", "))
}

// scalarProblem reports what is wrong with a value of a scalar that GraphQL defines; those of our own check themselves.
func scalarProblem(scalar string, value any) string {
	number, isNumber := numberOf(value)
	switch scalar {
	case "Int":
		if _, err := strconv.ParseInt(number, 10, 64); !isNumber || err != nil {
			return "must be a whole number, not " + shown(value)
		}
	case "Float":
		if f, err := strconv.ParseFloat(number, 64); !isNumber || err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
			return "must be a number, not " + shown(value)
		}
	case "Boolean":
		if _, ok := value.(bool); !ok {
			return "must be true or false, not " + shown(value)
		}
	case "String":
		if _, ok := value.(string); !ok {
			return "must be a string, not " + shown(value)
		}
	case "ID":
		_, isText := value.(string)
		if _, err := strconv.ParseInt(number, 10, 64); !isText && (!isNumber || err != nil) {
			return "must be a string, not " + shown(value)
		}
	}
	return ""
}

// numberOf is the text of a number as JSON decoders give it.
func numberOf(value any) (string, bool) {
	switch n := value.(type) {
	case json.Number:
		return n.String(), true
	case float64:
		return strconv.FormatFloat(n, 'f', -1, 64), true
	case int64:
		return strconv.FormatInt(n, 10), true
	case int:
		return strconv.Itoa(n), true
	}
	return "", false
}

// shown is a value for people: short, and without what may be a secret inside of it.
func shown(value any) string {
	switch v := value.(type) {
	case string:
		return fmt.Sprintf("the string %.40q", v)
	case map[string]any:
		return "an object"
	case []any:
		return "a list"
	}
	if number, ok := numberOf(value); ok {
		return fmt.Sprintf("%.40s", number)
	}
	return fmt.Sprint(value)
}
