package graph

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/99designs/gqlgen/graphql"
	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"

	"github.com/unicorn-web-services/uws/orchestrator"
)

// Limits of one operation. What goes beyond them is answered with LIMIT_EXCEEDED.
const (
	MaxTokens        = 2000    // of a document
	MaxOperations    = 20      // in a document
	MaxFragments     = 100     // in a document
	MaxDirectives    = 8       // in one place
	MaxDepth         = 12      // of nested fields, introspection's own apart, and of nested values
	MaxFields        = 1000    // with fragments expanded
	MaxRootFields    = 100     // with fragments expanded
	MaxValues        = 2000    // in the variables
	MaxRepeats       = 20_000  // pairs of fields with one response name in one place: validation compares each
	MaxIntrospection = 100_000 // estimated size of what it answers; the standard query's is half of it

	maxJSON        = 64              // nesting of a request; that of variables is lower
	maxJSONValues  = MaxValues + 100 // in a request
	maxNesting     = 4 * MaxDepth    // of selection sets; introspection's standard query has 15
	listsHold      = 10              // items, as introspection's size is estimated
	queryCacheSize = 1000
	cachedQuery    = 8 << 10  // bytes of a query that is worth keeping
	cachedQueries  = 64 << 10 // bytes of all that are kept; parsed they take up to 100 times that
)

// documents is a cache of parsed queries, bounded by their text. It is safe for concurrent use.
type documents struct {
	mu    sync.Mutex
	bytes int
	lru   *simplelru.LRU[string, *ast.QueryDocument]
}

var _ graphql.Cache[*ast.QueryDocument] = (*documents)(nil)

func newDocuments() *documents {
	d := &documents{}
	d.lru, _ = simplelru.NewLRU(queryCacheSize, func(query string, _ *ast.QueryDocument) { d.bytes -= len(query) }) // fails for no size
	return d
}

// Get implements [graphql.Cache].
func (d *documents) Get(_ context.Context, query string) (*ast.QueryDocument, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.lru.Get(query)
}

// Add implements [graphql.Cache].
func (d *documents) Add(_ context.Context, query string, doc *ast.QueryDocument) {
	if len(query) > cachedQuery {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lru.Contains(query) { // two parsed it at once
		return
	}
	d.bytes += len(query)
	d.lru.Add(query, doc)
	for d.bytes > cachedQueries {
		d.lru.RemoveOldest()
	}
}

// limits refuses operations that are too deep or too large, before they are validated: some of validation's rules are
// quadratic. It looks at every fragment once, so nested fragment spreads cost nothing.
type limits struct {
	known graphql.Cache[*ast.QueryDocument] // what it holds was let through before
}

var _ graphql.OperationParameterMutator = limits{}

func (limits) ExtensionName() string                   { return "Limits" }
func (limits) Validate(graphql.ExecutableSchema) error { return nil }

func (l limits) MutateOperationParameters(ctx context.Context, params *graphql.RawParams) *gqlerror.Error {
	if nests(params.Variables, MaxDepth+1) {
		return exceeded("the variables nest more than %d deep", MaxDepth)
	}
	if valuesIn(params.Variables) > MaxValues {
		return exceeded("the variables hold more than %d values", MaxValues)
	}
	if _, ok := l.known.Get(ctx, params.Query); ok {
		return nil
	}
	doc, err := parser.ParseQueryWithTokenLimit(&ast.Source{Input: params.Query}, MaxTokens)
	if err != nil {
		return nil // the executor says it
	}
	return check(doc)
}

func exceeded(format string, args ...any) *gqlerror.Error {
	return refuse(orchestrator.LimitExceeded, format, args...)
}

// CheckJSON reports what is too much in JSON of which nothing is decoded yet: decoded, each value takes far more than its
// text. It need not be valid.
func CheckJSON(data []byte) error {
	depth, values, text := 0, 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case text && c == '\\':
			i++
		case c == '"':
			text = !text
		case text:
		case c == '[' || c == '{':
			values++
			if depth++; depth > maxJSON {
				return fmt.Errorf("nests more than %d deep", maxJSON)
			}
		case c == ']' || c == '}':
			depth--
		case c == ',':
			values++
		}
	}
	if values > maxJSONValues {
		return fmt.Errorf("holds more than %d values", maxJSONValues)
	}
	return nil
}

// nests reports whether a decoded JSON value is deeper than that.
func nests(value any, depth int) bool {
	switch v := value.(type) {
	case map[string]any:
		for _, item := range v {
			if depth == 0 || nests(item, depth-1) {
				return true
			}
		}
	case []any:
		for _, item := range v {
			if depth == 0 || nests(item, depth-1) {
				return true
			}
		}
	}
	return false
}

// check measures a document that may be invalid in any way.
func check(doc *ast.QueryDocument) *gqlerror.Error {
	if len(doc.Operations) > MaxOperations {
		return exceeded("the document has %d operations; at most %d are allowed", len(doc.Operations), MaxOperations)
	}
	if len(doc.Fragments) > MaxFragments {
		return exceeded("the document has %d fragments; at most %d are allowed", len(doc.Fragments), MaxFragments)
	}
	m := &measure{fragments: map[string]*extent{}, definitions: doc.Fragments}
	for _, f := range doc.Fragments {
		m.directives(f.Directives)
		m.whole(f.SelectionSet, false)
	}
	for _, op := range doc.Operations {
		m.directives(op.Directives)
		for _, v := range op.VariableDefinitions {
			m.directives(v.Directives)
			m.value(v.DefaultValue, 0)
		}
		m.whole(op.SelectionSet, true)
	}
	return m.broken
}

// extent of a selection set. Sums stop just above their limits, so that they cannot overflow.
type extent struct {
	depth, fields, roots int
	meta                 int // estimated size of the answer, if the set is one of introspection
	asked                int // the same of the introspection that the set asks for
}

// measure remembers the extent of every fragment, and the first thing that is wrong.
type measure struct {
	definitions ast.FragmentDefinitionList
	fragments   map[string]*extent // nil: is being measured
	broken      *gqlerror.Error
}

func (m *measure) refuse(err *gqlerror.Error) {
	if m.broken == nil {
		m.broken = err
	}
}

// whole checks an operation's or a fragment's selections, fragments expanded. How deep a fragment may be depends on
// where it is spread.
func (m *measure) whole(set ast.SelectionSet, operation bool) {
	size := m.of(set, 1)
	switch {
	case m.broken != nil:
	case operation && size.depth > MaxDepth:
		m.refuse(exceeded("the operation nests %d fields deep; at most %d are allowed", size.depth, MaxDepth))
	case size.fields > MaxFields:
		m.refuse(exceeded("the operation selects more than %d fields, fragments expanded; ask for less at once", MaxFields))
	case operation && size.roots > MaxRootFields:
		m.refuse(exceeded("the operation has more than %d fields at its root, fragments expanded; ask for less at once", MaxRootFields))
	case size.asked > MaxIntrospection:
		m.refuse(exceeded("the operation asks for too much of the schema; ask for less at once"))
	case m.repeats(set, &place{}) > MaxRepeats:
		m.refuse(exceeded("the operation selects the same fields too often; select each once"))
	}
}

func (m *measure) of(set ast.SelectionSet, nesting int) extent {
	var sum extent
	if nesting > maxNesting {
		m.refuse(exceeded("selections nest more than %d deep", maxNesting))
	}
	for _, selection := range set {
		if m.broken != nil {
			break
		}
		var e extent
		switch s := selection.(type) {
		case *ast.Field:
			e = m.field(s, nesting)
		case *ast.InlineFragment:
			m.directives(s.Directives)
			e = m.of(s.SelectionSet, nesting+1)
		case *ast.FragmentSpread:
			m.directives(s.Directives)
			e = m.fragment(s)
		}
		sum.depth = max(sum.depth, e.depth)
		sum.fields = min(sum.fields+e.fields, MaxFields+1)
		sum.roots = min(sum.roots+e.roots, MaxRootFields+1)
		sum.meta = min(sum.meta+e.meta, MaxIntrospection+1)
		sum.asked = min(sum.asked+e.asked, MaxIntrospection+1)
	}
	return sum
}

func (m *measure) field(s *ast.Field, nesting int) extent {
	m.directives(s.Directives)
	m.arguments(s.Arguments)
	e := m.of(s.SelectionSet, nesting+1)
	e.meta++
	switch s.Name {
	case "types", "fields", "args", "inputFields", "interfaces", "possibleTypes", "enumValues", "directives":
		e.meta *= listsHold
	}
	if strings.HasPrefix(s.Name, "__") {
		e.asked += e.meta
		e.depth = 0 // the standard introspection query is deeper than ours ever are
	}
	e.depth++
	e.fields++
	e.roots = 1
	return e
}

func (m *measure) fragment(s *ast.FragmentSpread) extent {
	e, ok := m.fragments[s.Name]
	if ok && e == nil {
		m.refuse(refuse(orchestrator.InvalidInput, "fragment %.40q spreads itself", s.Name))
	}
	if e != nil {
		return *e
	}
	m.fragments[s.Name] = nil
	e = &extent{}
	if f := m.definitions.ForName(s.Name); f != nil {
		*e = m.of(f.SelectionSet, 1)
	}
	m.fragments[s.Name] = e
	return *e
}

// place of a response name among the others of an answer.
type place struct {
	fields int // that are selected there
	inside map[string]*place
}

// repeats counts the pairs of fields that stand in one place. The set is known not to be too large.
func (m *measure) repeats(set ast.SelectionSet, at *place) int {
	pairs := 0
	for _, selection := range set {
		switch s := selection.(type) {
		case *ast.Field:
			p := at.inside[s.Alias]
			if p == nil {
				if p = new(place); at.inside == nil {
					at.inside = map[string]*place{}
				}
				at.inside[s.Alias] = p
			}
			pairs += p.fields + m.repeats(s.SelectionSet, p)
			p.fields++
		case *ast.InlineFragment:
			pairs += m.repeats(s.SelectionSet, at)
		case *ast.FragmentSpread:
			if f := m.definitions.ForName(s.Name); f != nil {
				pairs += m.repeats(f.SelectionSet, at)
			}
		}
	}
	return pairs
}

func (m *measure) directives(all ast.DirectiveList) {
	if len(all) > MaxDirectives {
		m.refuse(exceeded("there are %d directives in one place; at most %d are allowed", len(all), MaxDirectives))
		return
	}
	for _, d := range all {
		m.arguments(d.Arguments)
	}
}

func (m *measure) arguments(all ast.ArgumentList) {
	for _, a := range all {
		m.value(a.Value, 0)
	}
}

func (m *measure) value(v *ast.Value, depth int) {
	if v == nil || m.broken != nil {
		return
	}
	if depth > MaxDepth {
		m.refuse(exceeded("a value nests more than %d deep", MaxDepth))
		return
	}
	for _, child := range v.Children {
		m.value(child.Value, depth+1)
	}
}
