package server_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
)

// A list with only plain fields is written without resolvers, a list with another field is not. Both must produce the
// same JSON.
func TestPlainRowsReadAsResolvedOnes(t *testing.T) {
	api := newFake()
	url := serve(t, options(api))
	// Every field of a service without a selection of its own is queried under its name and under an alias.
	var fields []string
	for _, f := range scalarsOfService(t, url) {
		fields = append(fields, f, "other_"+f+":"+f)
	}
	if len(fields) < 30 {
		t.Fatalf("only %q were found", fields)
	}
	all := strings.Join(fields, " ")
	for name, selection := range map[string]string{
		"fields":      all,
		"one":         "name",
		"repeated":    "name name kind name",
		"fragment":    "...F id ... on Service { kind }",
		"directives":  "id name @skip(if: true) kind @include(if: true) phase @include(if: false)",
		"not visible": all + " logLine",
	} {
		fragment := ""
		if name == "fragment" {
			fragment = " fragment F on Service { name " + all + "}"
		}
		plain := post(t, url, "{services{nodes{"+selection+"}}}"+fragment, nil)
		resolved := post(t, url, "{services{nodes{"+selection+" node{id}}}}"+fragment, nil)
		want := regexp.MustCompile(`,"node":(null|\{[^}]*\})`).ReplaceAllString(string(resolved.Data), "")
		if plain.code() != "OK" || string(plain.Data) != want || !strings.Contains(want, `"`) {
			t.Errorf("%s: %s %s\nwant %s", name, plain.code(), plain.Data, want)
		}
	}
	api.services = nil
	if got := post(t, url, "{services{nodes{id}}}", nil); string(got.Data) != `{"services":{"nodes":[]}}` {
		t.Errorf("no services are %s", got.Data)
	}
}

// Lines of a log, all of whose fields are plain, are written as a single line is, which goes through gqlgen.
func TestPlainLinesReadAsResolvedOnes(t *testing.T) {
	api := newFake()
	api.log = logOf(6)
	api.log[1].Text = "quote \" back \\ tab\t \u2028 <html> \u00fc"
	url := serve(t, options(api))
	const fields = "__typename cursor at stream level run text other:text"
	var out struct {
		ServiceLogs struct {
			Nodes []json.RawMessage
			Edges []struct{ Node json.RawMessage }
		}
	}
	got := post(t, url, `{serviceLogs(id:"s1"){nodes{`+fields+`} edges{node{`+fields+`}}}}`, nil)
	if err := json.Unmarshal(got.Data, &out); err != nil || len(out.ServiceLogs.Nodes) != 6 {
		t.Fatal(err, got)
	}
	for i, line := range out.ServiceLogs.Nodes {
		if string(line) != string(out.ServiceLogs.Edges[i].Node) {
			t.Errorf("got  %s\nwant %s", line, out.ServiceLogs.Edges[i].Node)
		}
	}
}

// scalarsOfService returns the fields of a service whose values are scalars or enums, except those that need a role.
func scalarsOfService(t *testing.T, url string) []string {
	t.Helper()
	got := post(t, url, `{__type(name:"Service"){fields{name type{kind ofType{kind}}}}}`, nil)
	var out struct {
		Type struct {
			Fields []struct {
				Name string
				Type struct {
					Kind   string
					OfType struct{ Kind string }
				}
			}
		} `json:"__type"`
	}
	if err := json.Unmarshal(got.Data, &out); err != nil {
		t.Fatal(err)
	}
	names := []string{"__typename"}
	for _, f := range out.Type.Fields {
		kind := f.Type.Kind
		if kind == "NON_NULL" {
			kind = f.Type.OfType.Kind
		}
		if (kind == "SCALAR" || kind == "ENUM") && f.Name != "logLine" {
			names = append(names, f.Name)
		}
	}
	return names
}
