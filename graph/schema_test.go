package graph

import (
	"slices"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/unicorn-web-services/uws/graph/generated"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/auth"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
)

func TestEverythingIsDescribed(t *testing.T) {
	schema := generated.NewExecutableSchema(generated.Config{}).Schema()
	check := func(description string, path ...string) {
		if strings.TrimSpace(description) == "" {
			t.Errorf("%s has no description", strings.Join(path, "."))
		}
	}
	for name, def := range schema.Types {
		if def.BuiltIn {
			continue
		}
		check(def.Description, name)
		for _, value := range def.EnumValues {
			check(value.Description, name, value.Name)
		}
		for _, field := range def.Fields {
			if strings.HasPrefix(field.Name, "__") {
				continue
			}
			check(field.Description, name, field.Name)
			for _, argument := range field.Arguments {
				check(argument.Description, name, field.Name, argument.Name)
			}
		}
	}
}

// Enums are bound by cast, so their values must be the control plane's.
func TestEnumsMatchTheirGoTypes(t *testing.T) {
	schema := generated.NewExecutableSchema(generated.Config{}).Schema()
	var codes []string
	for _, c := range lifecycle.ReasonCodes() {
		codes = append(codes, string(c))
	}
	var errorCodes []string
	for _, c := range orchestrator.Codes() {
		errorCodes = append(errorCodes, string(c))
	}
	for name, want := range map[string][]string{
		"ErrorCode":     errorCodes,
		"ReasonCode":    codes,
		"ServiceKind":   catalog.Kind("").Values(),
		"ServicePhase":  lifecycle.Phase("").Values(),
		"ServiceHealth": lifecycle.Health("").Values(),
		"LaunchStep":    lifecycle.LaunchStep("").Values(),
		"ServiceAction": orchestrator.ServiceAction("").Values(),
		"NodeAction":    orchestrator.NodeAction("").Values(),
		"DesiredState":  lifecycle.Desired("").Values(),
		"NodeDriver":    {"DOCKER", "PROCESS"},
		"EventSubject":  {"SERVICE", "NODE", "INSTALLATION"},
		"ProbeVerdict":  {"OK", "ALIVE", "DEAD", "NOT_ASKED"},
		"Role":          {string(auth.Viewer), string(auth.Operator), string(auth.Admin)},
		"Door":          {string(auth.HTTP), string(auth.WebSocket), string(auth.Old), string(auth.Command)},
	} {
		if got := enumValues(schema.Types[name]); strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("%s is %v in the schema and %v in Go", name, got, want)
		}
	}
}

func enumValues(def *ast.Definition) []string {
	var out []string
	for _, v := range def.EnumValues {
		out = append(out, v.Name)
	}
	return out
}

// Whatever is not opened to a role is closed: no field of a root says nothing.
func TestEveryFieldDeclaresItsRole(t *testing.T) {
	schema := generated.NewExecutableSchema(generated.Config{}).Schema()
	for _, root := range []*ast.Definition{schema.Query, schema.Mutation, schema.Subscription} {
		for _, field := range root.Fields {
			if strings.HasPrefix(field.Name, "__") {
				continue
			}
			if d := field.Directives.ForName("auth"); d == nil || d.Arguments.ForName("role") == nil {
				t.Errorf("%s.%s declares no role: add @auth(role: …)", root.Name, field.Name)
			}
		}
	}
}

func TestReasonCodeIsStrict(t *testing.T) {
	var c lifecycle.ReasonCode
	if err := c.UnmarshalGQL("EXITED"); err != nil || c != lifecycle.CodeExited {
		t.Errorf("EXITED: %q, %v", c, err)
	}
	for _, v := range []any{"exited", "Exited", "", "NOBODY", 1, nil} {
		if err := c.UnmarshalGQL(v); err == nil {
			t.Errorf("%v is accepted as %q", v, c)
		}
	}
}

// A field that does not say what it tells of services is closed to callers who are limited to kinds of them.
func TestEveryFieldDeclaresItsScope(t *testing.T) {
	schema := generated.NewExecutableSchema(generated.Config{}).Schema()
	for _, root := range []*ast.Definition{schema.Query, schema.Mutation, schema.Subscription} {
		for _, field := range root.Fields {
			d := field.Directives.ForName("auth")
			if d == nil || d.Arguments.ForName("role").Value.Raw == "ADMIN" {
				continue // which no limited caller has
			}
			if d.Arguments.ForName("scope") == nil {
				t.Errorf("%s.%s has no scope: add KINDS or NEUTRAL to its @auth", root.Name, field.Name)
			}
		}
	}
}

// The role of an action is the one that its mutation declares; only deleting data takes more.
func TestActionsNeedTheRolesOfTheirMutations(t *testing.T) {
	schema := generated.NewExecutableSchema(generated.Config{}).Schema()
	for _, v := range append(slices.Clone(schema.Types["ServiceAction"].EnumValues), schema.Types["NodeAction"].EnumValues...) {
		name, _, _ := strings.Cut(strings.TrimPrefix(v.Description, "`"), "`")
		field := schema.Mutation.Fields.ForName(name)
		if field == nil {
			t.Errorf("%s names no mutation: %s", v.Name, v.Description)
			continue
		}
		want := field.Directives.ForName("auth").Arguments.ForName("role").Value.Raw
		if v.Name == string(orchestrator.ActionDeleteData) {
			want = string(auth.Admin)
		}
		got := auth.Needs(orchestrator.ServiceAction(v.Name))
		if slices.Contains(orchestrator.NodeAction("").Values(), v.Name) && strings.HasSuffix(name, "Node") {
			got = auth.NeedsForNode(orchestrator.NodeAction(v.Name))
		}
		if string(got) != want {
			t.Errorf("%s needs %s, and %s needs %s", v.Name, got, name, want)
		}
	}
}

// Every list is what Relay takes for a connection, and all cursors of paging have one type.
func TestConnections(t *testing.T) {
	schema := generated.NewExecutableSchema(generated.Config{}).Schema()
	typeOf := func(def *ast.Definition, field string) string {
		f := def.Fields.ForName(field)
		if f == nil {
			t.Errorf("%s lacks %s", def.Name, field)
			return ""
		}
		return f.Type.String()
	}
	n := 0
	for name, def := range schema.Types {
		item, ok := strings.CutSuffix(name, "Connection")
		if !ok {
			continue
		}
		n++
		edge := schema.Types[item+"Edge"]
		if edge == nil {
			t.Errorf("there is no %sEdge", item)
			continue
		}
		got := []string{typeOf(def, "edges"), typeOf(def, "pageInfo"), typeOf(edge, "cursor")}
		if want := []string{"[" + item + "Edge!]!", "PageInfo!", "ID!"}; strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
		typeOf(edge, "node")
	}
	info := schema.Types["PageInfo"]
	for field, want := range map[string]string{"hasNextPage": "Boolean!", "hasPreviousPage": "Boolean!", "startCursor": "ID", "endCursor": "ID"} {
		if got := typeOf(info, field); got != want {
			t.Errorf("PageInfo.%s is %s, not %s", field, got, want)
		}
	}
	for _, field := range schema.Query.Fields {
		if after := field.Arguments.ForName("after"); after != nil && after.Type.String() != "ID" {
			t.Errorf("%s takes its cursor as %s", field.Name, after.Type)
		}
	}
	if n < 9 {
		t.Errorf("only %d connections", n)
	}
}

// Every plain list of Query whose length the caller does not choose by ids can be read in pages too: by callers with the same role, from a field that is named after its items.
func TestPlainListsHaveConnections(t *testing.T) {
	schema := generated.NewExecutableSchema(generated.Config{}).Schema()
	n := 0
	for _, plain := range schema.Query.Fields {
		if plain.Type.Elem == nil || strings.HasPrefix(plain.Name, "__") || plain.Arguments.ForName("ids") != nil {
			continue
		}
		n++
		item := plain.Type.Elem.Name()
		name := strings.ToLower(item[:1]) + item[1:] + "Connection"
		pages := schema.Query.Fields.ForName(name)
		if pages == nil {
			t.Errorf("%s has no %s", plain.Name, name)
			continue
		}
		if pages.Type.String() != item+"Connection!" || pages.Arguments.ForName("first") == nil || pages.Arguments.ForName("after") == nil {
			t.Errorf("%s is a %s, with %d arguments", name, pages.Type, len(pages.Arguments))
		}
		if got, want := authOf(pages), authOf(plain); got != want {
			t.Errorf("%s needs %s, %s needs %s", name, got, plain.Name, want)
		}
		if !strings.Contains(plain.Description, "`"+name+"`") {
			t.Errorf("%s does not point to %s: %s", plain.Name, name, plain.Description)
		}
	}
	if n < 6 {
		t.Errorf("only %d plain lists", n)
	}
}

// authOf is what a field declares.
func authOf(field *ast.FieldDefinition) string {
	var given []string
	for _, a := range field.Directives.ForName("auth").Arguments {
		given = append(given, a.Name+": "+a.Value.Raw)
	}
	return strings.Join(given, ", ")
}

// Details of several subjects can be asked for in one selection: fields with one name have one type.
func TestEventDetailsDoNotConflict(t *testing.T) {
	schema := generated.NewExecutableSchema(generated.Config{}).Schema()
	types := map[string]string{}
	for _, def := range schema.PossibleTypes["EventDetails"] {
		for _, field := range def.Fields {
			if other := types[field.Name]; other != "" && other != field.Type.String() {
				t.Errorf("%s is %s in %s, and %s elsewhere", field.Name, field.Type, def.Name, other)
			}
			types[field.Name] = field.Type.String()
		}
	}
	if len(types) < 5 {
		t.Errorf("the details have only %v", types)
	}
}
