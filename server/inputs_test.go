package server_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/unicorn-web-services/uws/graph/generated"
)

// inputPlace is an argument of the API, or a field of an input, with a given type.
type inputPlace struct {
	root, field, argument, path string
	variable                    *ast.Type
	with                        func(value any) any // the variable's value that has the value there
}

// inputPlaces returns every place of the schema where a client supplies a value of a type that wanted selects.
func inputPlaces(schema *ast.Schema, wanted func(*ast.Definition) bool) []inputPlace {
	var all []inputPlace
	for _, root := range []*ast.Definition{schema.Query, schema.Mutation, schema.Subscription} {
		for _, field := range root.Fields {
			for _, arg := range field.Arguments {
				if strings.HasPrefix(field.Name, "__") {
					continue
				}
				var walk func(t *ast.Type, path string, depth int, with func(any) any)
				walk = func(t *ast.Type, path string, depth int, with func(any) any) {
					def := schema.Types[t.Name()]
					if wanted(def) {
						all = append(all, inputPlace{strings.ToLower(root.Name), field.Name, arg.Name, path, arg.Type, with})
						if t.Elem != nil {
							all = append(all, inputPlace{strings.ToLower(root.Name), field.Name, arg.Name, path + "[0]", arg.Type, func(v any) any { return with([]any{v}) }})
						}
					}
					if def.Kind == ast.InputObject && depth < 4 {
						for _, f := range def.Fields {
							walk(f.Type, path+"."+f.Name, depth+1, func(v any) any {
								object := map[string]any{f.Name: v}
								if t.Elem != nil {
									return with([]any{object})
								}
								return with(object)
							})
						}
					}
				}
				walk(arg.Type, arg.Name, 0, func(v any) any { return v })
			}
		}
	}
	return all
}

// text returns an operation that sets this place from the variable v.
func (p inputPlace) text(schema *ast.Schema) string {
	root := map[string]*ast.Definition{"query": schema.Query, "mutation": schema.Mutation, "subscription": schema.Subscription}[p.root]
	field, more := root.Fields.ForName(p.field), ""
	for _, a := range field.Arguments {
		if a.Name != p.argument && a.Type.NonNull && a.DefaultValue == nil {
			more += ", " + a.Name + ": " + literal(schema, a.Type)
		}
	}
	selection := ""
	if schema.Types[field.Type.Name()].IsCompositeType() {
		selection = "{ __typename }"
	}
	return fmt.Sprintf("%s($v: %s) { %s(%s: $v%s) %s }", p.root, p.variable, p.field, p.argument, more, selection)
}

// literal returns a value of a type as written in a document.
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

// askAt sends an operation over the transport that it needs.
func askAt(t *testing.T, url string, s *socket, n int, p inputPlace, query string, variables map[string]any) answer {
	t.Helper()
	if p.root != "subscription" {
		return post(t, url, query, variables)
	}
	id := fmt.Sprint("x", n)
	payload, err := json.Marshal(map[string]any{"query": query, "variables": variables})
	if err != nil {
		t.Fatal(err)
	}
	s.say(`{"id":"` + id + `","type":"subscribe","payload":` + string(payload) + `}`)
	s.say(`{"type":"ping"}`)
	var m message
	for m.Type != "pong" && m.ID != id {
		if err := s.ReadJSON(&m); err != nil {
			t.Fatal(err)
		}
	}
	var a answer
	if m.Type == "error" {
		_ = json.Unmarshal(m.Payload, &a.Errors)
		s.expect("", "pong", "")
	}
	return a
}

// Enum values must be spelled exactly, wherever the schema has an enum.
func TestEnumsAreStrict(t *testing.T) {
	schema := generated.NewExecutableSchema(generated.Config{}).Schema()
	url := serve(t, options(newFake()))
	s, n := connect(t, url), 0
	places := inputPlaces(schema, func(def *ast.Definition) bool { return def.Kind == ast.Enum })
	for _, p := range places {
		for _, def := range enumsAt(schema, p) {
			value := def.EnumValues[len(def.EnumValues)-1].Name
			for _, wrong := range []any{strings.ToLower(value), value[:1] + strings.ToLower(value[1:]), " " + value, "", "NONE_OF_THEM", 0} {
				n++
				a := askAt(t, url, s, n, p, p.text(schema), map[string]any{"v": p.with(wrong)})
				if a.code() != "INVALID_INPUT" || !strings.Contains(a.Errors[0].Message, value) {
					t.Errorf("%s.%s %s: %v: got %s %+v", p.root, p.field, p.path, wrong, a.code(), a.Errors)
				}
			}
		}
	}
	for name, def := range schema.Types {
		if def.Kind != ast.Enum || strings.HasPrefix(name, "__") {
			continue
		}
		value := strings.ToLower(def.EnumValues[0].Name)
		for _, root := range []*ast.Definition{schema.Query, schema.Mutation} {
			for _, f := range root.Fields {
				for _, a := range f.Arguments {
					if a.Type.Name() != name {
						continue
					}
					query := fmt.Sprintf("%s { %s(%s: %s) { __typename } }", strings.ToLower(root.Name), f.Name, a.Name, value)
					if got := post(t, url, query, nil); got.code() != "INVALID_INPUT" {
						t.Errorf("%s: got %+v", query, got.Errors)
					}
				}
			}
		}
	}
	if len(places) < 10 {
		t.Errorf("only %d places have an enum", len(places))
	}
}

func enumsAt(schema *ast.Schema, p inputPlace) []*ast.Definition {
	def := schema.Types[p.variable.Name()]
	for _, name := range strings.Split(p.path, ".")[1:] {
		def = schema.Types[def.Fields.ForName(strings.TrimSuffix(name, "[0]")).Type.Name()]
	}
	return []*ast.Definition{def}
}

// An invalid scalar is INVALID_INPUT with a correct text, not an internal error.
func TestScalarsAreStrict(t *testing.T) {
	schema := generated.NewExecutableSchema(generated.Config{}).Schema()
	var log bytes.Buffer
	opts := options(newFake())
	opts.Log = slog.New(slog.NewTextHandler(&log, nil))
	url := serve(t, opts)
	s, n := connect(t, url), 0
	wrong := map[string]map[any]string{
		"Int":     {5.5: "5.5", "10": `"10"`, "NaN": `"NaN"`, true: "true"},
		"Float":   {"10": `"10"`, "NaN": `"NaN"`, "Infinity": `"Infinity"`, true: "true"},
		"Boolean": {"true": `"true"`, 1: "1"},
		"String":  {5: "5", true: "true"},
		"ID":      {5.5: "5.5", true: "true"},
		// No input has these types yet.
		"Duration": {"10": `"10"`, "PT30S": "PT30S", true: "true"},
		"Int64":    {5.5: "5.5", "x": `"x"`, true: "true"},
		"Time":     {"yesterday": "yesterday", 5: "5", "": `""`, "2026-13-40T00:00:00Z": "RFC 3339"},
	}
	for _, def := range schema.Types {
		if def.Kind == ast.Scalar && !strings.HasPrefix(def.Name, "__") && wrong[def.Name] == nil && def.Name != "Cursor" {
			t.Errorf("the scalar %s is not tested: name what it cannot be", def.Name)
		}
		places := inputPlaces(schema, func(d *ast.Definition) bool { return d == def })
		for _, p := range places {
			for value, word := range wrong[def.Name] {
				n++
				a := askAt(t, url, s, n, p, p.text(schema), map[string]any{"v": p.with(value)})
				if a.code() != "INVALID_INPUT" {
					t.Errorf("%s.%s %s: %v: got %s %+v", p.root, p.field, p.path, value, a.code(), a.Errors)
				} else if message := a.Errors[0].Message; !strings.Contains(message, word) && !strings.Contains(message, "must be defined") && def.Name != "ID" {
					t.Errorf("%s.%s %s: %v: the message does not name it: %s", p.root, p.field, p.path, value, message)
				}
			}
		}
	}
	if got := post(t, url, `{services(filter:{nameContains:"`+strings.Repeat("x", 50_001)+`"}){totalCount}}`, nil); got.code() != "INVALID_INPUT" {
		t.Errorf("a long filter: %+v", got.Errors)
	}
	if got := post(t, url, `{auditLog(filter:{since:"yesterday"}){nodes{id}}}`, nil); got.code() != "INVALID_INPUT" || !strings.Contains(got.Errors[0].Message, "RFC 3339") {
		t.Errorf("a literal: %+v", got.Errors)
	}
	if strings.Contains(log.String(), "level=ERROR") {
		t.Errorf("the log blames us: %s", log.String())
	}
}

// Apollo Client first sends only a hash, and sends the query when it learns that this is not supported.
func TestPersistedQueryProbe(t *testing.T) {
	url := serve(t, options(newFake()))
	hash := `"extensions":{"persistedQuery":{"version":1,"sha256Hash":"` + strings.Repeat("ab", 32) + `"}}`
	got := send(t, url, "application/json", `{"operationName":"A","variables":{},`+hash+`}`)
	if got.status != http.StatusOK || got.code() != "PERSISTED_QUERY_NOT_SUPPORTED" || got.Errors[0].Message != "PersistedQueryNotSupported" {
		t.Errorf("got %d %+v", got.status, got.Errors)
	}
	if got := send(t, url, "application/json", `{"query":"query A{nodes{id}}","operationName":"A",`+hash+`}`); got.code() != "OK" {
		t.Errorf("with the query: %+v", got.Errors)
	}
	response := sendAs(t, http.MethodPost, url+"/graphql/", "", http.Header{"Content-Type": {"application/json"}}, `{"query":"{nodes{id}}"}`)
	if a := read(t, response); a.code() != "OK" || a.status != http.StatusOK {
		t.Errorf("/graphql/: got %d %+v", a.status, a.Errors)
	}
}
