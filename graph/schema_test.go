package graph

import (
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/unicorn-web-services/uws/graph/generated"
	"github.com/unicorn-web-services/uws/orchestrator/access"
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
	for name, want := range map[string][]string{
		"ServiceKind":   catalog.Kind("").Values(),
		"ServicePhase":  lifecycle.Phase("").Values(),
		"ServiceHealth": lifecycle.Health("").Values(),
		"DesiredState":  lifecycle.Desired("").Values(),
		"NodeDriver":    {"DOCKER", "PROCESS"},
		"EventSubject":  {"SERVICE", "NODE"},
		"ProbeVerdict":  {"OK", "ALIVE", "DEAD"},
		"Role":          {string(access.Viewer), string(access.Operator), string(access.Admin)},
		"Door":          {string(access.HTTP), string(access.WebSocket), string(access.Old), string(access.Command)},
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
