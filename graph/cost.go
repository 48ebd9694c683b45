package graph

import (
	"encoding/json"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/unicorn-web-services/uws/orchestrator"
)

// What serving an operation takes, in bytes. The numbers are upper bounds of what was measured (docs/BENCHMARKS.md).
const (
	costOfRequest = 32 << 10 // goroutines with their stacks, contexts, an answer of some fields
	costOfNode    = 256      // a field, argument, value or directive of a parsed document
	costOfField   = 640      // in an answer, while it is made
	costOfRow     = 4 << 10  // an item of a list, beside its fields
	costOfPoint   = 48       // of a history: the value, its pointer and its text

	pageSize  = 50  // rows of a page that names no size
	inMessage = 200 // services in a message of changes
	// linesInMessage is the number of lines of a log in a message that is paid for: their text is bounded in all, so that more
	// lines are short.
	linesInMessage = 500
	inList         = 20 // items of other lists
	mostOfCost     = 1 << 30
)

// CostToRead is what reading, parsing and validating a request or message of so many bytes takes at most.
func CostToRead(size int) int {
	return costOfRequest + 4*size + min(size, 2*MaxTokens)*costOfNode/2
}

// Cost of an operation, in bytes.
type Cost struct {
	Serve  int // while it is served, an answer that is small included
	Answer int // in addition, while its answer, or one message of it, is made; 0: it is small
}

// CostOf estimates what a valid operation takes, whose request had so many bytes.
func CostOf(op *graphql.OperationContext, size int) Cost {
	c := coster{variables: op.Variables}
	for _, o := range op.Doc.Operations {
		c.nodes += len(o.VariableDefinitions) + len(o.Directives)
		c.count(o.SelectionSet)
	}
	for _, f := range op.Doc.Fragments {
		c.count(f.SelectionSet)
	}
	cost := Cost{
		Serve:  costOfRequest + 2*size + costOfNode*(c.nodes+valuesIn(op.Variables)),
		Answer: c.answer(op.Operation.SelectionSet, 0),
	}
	if cost.Answer <= costOfRequest/2 {
		cost.Answer = 0
	}
	return cost
}

type coster struct {
	variables map[string]any
	nodes     int // of the document
}

// count adds the nodes of a selection set, without those of fragments that it spreads.
func (c *coster) count(set ast.SelectionSet) {
	for _, selection := range set {
		c.nodes++
		switch s := selection.(type) {
		case *ast.Field:
			c.nodes += len(s.Directives)
			for _, a := range s.Arguments {
				c.value(a.Value)
			}
			c.count(s.SelectionSet)
		case *ast.InlineFragment:
			c.nodes += len(s.Directives)
			c.count(s.SelectionSet)
		case *ast.FragmentSpread:
			c.nodes += len(s.Directives)
		}
	}
}

func (c *coster) value(v *ast.Value) {
	c.nodes++
	if v == nil {
		return
	}
	for _, child := range v.Children {
		c.value(child.Value)
	}
}

// answer estimates what making a set of fields takes; page is the number of rows if they are those of a connection or the buckets of
// an uptime, else 0.
func (c *coster) answer(set ast.SelectionSet, page int) int {
	sum := 0
	for _, selection := range set {
		switch s := selection.(type) {
		case *ast.Field:
			sum += c.field(s, page)
		case *ast.InlineFragment:
			sum += c.answer(s.SelectionSet, page)
		case *ast.FragmentSpread:
			if s.Definition != nil {
				sum += c.answer(s.Definition.SelectionSet, page)
			}
		}
		sum = min(sum, mostOfCost)
	}
	return sum
}

func (c *coster) field(f *ast.Field, page int) int {
	if f.Definition == nil { // never, in a valid document
		return mostOfCost
	}
	items, row := 1, 0
	if f.Definition.Type.Elem != nil && len(f.SelectionSet) > 0 {
		items, row = c.items(f, page)
	}
	if f.ObjectDefinition != nil && f.ObjectDefinition.Name == "UsageHistory" {
		items, row = 1, orchestrator.MaxUsagePoints*costOfPoint
	}
	inside := c.answer(f.SelectionSet, c.pageOf(f))
	return min(costOfField+items*(row+inside), mostOfCost)
}

// items returns how many items a list of objects has, and what each takes beside its fields.
func (c *coster) items(f *ast.Field, page int) (items, row int) {
	switch object := f.ObjectDefinition; {
	case object == nil:
		return maxPage, costOfRow
	case object.BuiltIn:
		return introspected(f.Name), 0
	case object.Name == "Uptime":
		return page, 0
	case page > 0:
		return page, costOfRow
	case object.Name == "ChangeSet":
		return inMessage, costOfRow
	case f.Name == "usageHistory", object.Name == "UsageBatch":
		return orchestrator.MaxUsageServices, costOfRow
	case object.Name == "ServiceLogBatch":
		return linesInMessage, 0
	}
	return inList, costOfRow
}

// introspected estimates how many items a list of the schema's own description has.
func introspected(name string) int {
	switch name {
	case "types":
		return 150
	case "fields", "directives":
		return 10
	case "enumValues", "inputFields":
		return 3
	}
	return 1 // most fields have no argument, and most types no interface
}

// pageOf returns how many rows a field with pages has, or how many buckets an uptime; 0 if it has none.
func (c *coster) pageOf(f *ast.Field) int {
	if f.Name == "uptime" {
		within, _ := f.ArgumentMap(c.variables)["range"].(string)
		return orchestrator.UptimeRange(within).Buckets()
	}
	if f.Definition.Arguments.ForName("first") == nil {
		return 0
	}
	rows := int64(pageSize)
	switch first := f.ArgumentMap(c.variables)["first"].(type) {
	case int64:
		rows = first
	case int:
		rows = int64(first)
	case json.Number:
		rows, _ = first.Int64()
	case nil:
	default:
		rows = maxPage
	}
	return int(min(max(rows, 1), maxPage))
}

// valuesIn counts the values within a decoded JSON value.
func valuesIn(value any) int {
	n := 1
	switch v := value.(type) {
	case map[string]any:
		for _, item := range v {
			n += valuesIn(item)
		}
	case []any:
		for _, item := range v {
			n += valuesIn(item)
		}
	}
	return n
}
