package server_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/unicorn-web-services/uws/orchestrator"
)

func TestErrorCodes(t *testing.T) {
	for _, code := range orchestrator.Codes() {
		api := newFake()
		api.err = fmt.Errorf("launch: %w", orchestrator.Errorf(code, "name", "must be shorter"))
		got := post(t, serve(t, options(api)), `mutation{launchService(input:{kind:DB,name:"x"}){id}}`, nil)
		e := got.Errors[0]
		if got.code() != string(code) || e.Extensions["field"] != "input.name" || e.Extensions["text"] != "must be shorter" ||
			e.Message != "input.name: must be shorter" ||
			fmt.Sprint(e.Path) != "[launchService]" || got.status != 200 {
			t.Errorf("%s: got %d %+v", code, got.status, e)
		}
	}
}

// The API documents exactly the codes that exist.
func TestErrorCodeEnum(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../orchestrator/errors.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var constants, documented []string
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && fmt.Sprint(spec.Type) == "Code" {
			constants = append(constants, strings.Trim(spec.Values[0].(*ast.BasicLit).Value, `"`))
		}
		return true
	})
	var got struct {
		Type struct {
			EnumValues []struct{ Name, Description string }
		} `json:"__type"`
	}
	answer := post(t, serve(t, options(newFake())), `{__type(name:"ErrorCode"){enumValues{name description}}}`, nil)
	if err := json.Unmarshal(answer.Data, &got); err != nil {
		t.Fatal(err)
	}
	for _, v := range got.Type.EnumValues {
		documented = append(documented, v.Name)
		if v.Description == "" {
			t.Errorf("%s has no description", v.Name)
		}
	}
	codes := fmt.Sprint(orchestrator.Codes())
	if len(constants) == 0 || fmt.Sprint(constants) != codes || fmt.Sprint(documented) != codes {
		t.Errorf("the constants are %v, Codes returns %s, and the SDL has %v", constants, codes, documented)
	}
}

// The API's name of a field depends on the arguments of the mutation, not on the text of the error.
func TestErrorFields(t *testing.T) {
	for _, tt := range []struct{ operation, path, field string }{
		{`mutation{launchService(input:{kind:DB,name:"x"}){id}}`, "healthCheck.interval", "input.healthCheck.intervalSeconds"},
		{`mutation{launchService(input:{kind:DB,name:"x"}){id}}`, "healthCheck.failureThreshold", "input.healthCheck.failureThreshold"},
		{`mutation{launchService(input:{kind:DB,name:"x"}){id}}`, "ports[0].number", "input.ports[0].number"},
		{`mutation{updateNode(id:"n1",input:{}){id}}`, "id", "id"},
		{`mutation{updateNode(id:"n1",input:{}){id}}`, "tls.ca", "input.tls.ca"},
		{`mutation{removeNode(id:"n1"){id}}`, "forget", "forget"},
		{`mutation{stopService(id:"s1"){id}}`, "", ""},
		{`mutation{createBackupTarget(input:{name:"b"}){id}}`, "s3.prefix", "input.s3.prefix"},
		{`mutation{importBackupTarget(input:{name:"b",recoveryKit:""}){id}}`, "recoveryKit", "input.recoveryKit"},
		{`mutation{setBackupPolicy(id:"p1",input:{targetId:"t1"}){id}}`, "id", "id"},
		{`mutation{setBackupPolicy(input:{targetId:"t1"}){id}}`, "keep.daily", "input.keep.daily"},
		{`mutation{backUpService(id:"s1",targetId:"t1"){id}}`, "targetId", "targetId"},
	} {
		api := newFake()
		api.err = orchestrator.Errorf(orchestrator.Conflict, tt.path, "choose another")
		got := post(t, serve(t, options(api)), tt.operation, nil)
		field, _ := got.Errors[0].Extensions["field"].(string)
		text, _ := got.Errors[0].Extensions["text"].(string)
		if message := strings.TrimPrefix(tt.field+": choose another", ": "); field != tt.field || got.Errors[0].Message != message || (text == "choose another") != (field != "") {
			t.Errorf("%s about %q: got %+v", tt.operation, tt.path, got.Errors[0])
		}
	}
}

// The audit log has the error code of refused actions, and none for successful ones.
func TestAuditErrorCode(t *testing.T) {
	api := newFake()
	url := serve(t, options(api))
	post(t, url, `mutation { stopService(id: "s1") { id } }`, nil)
	api.err = orchestrator.Errorf(orchestrator.NodeUnavailable, "id", "the node does not answer")
	post(t, url, `mutation { stopService(id: "s2") { id } }`, nil)
	got := post(t, url, `{ auditLog(filter: {action: "stopService"}) { nodes { target errorCode } } }`, nil)
	if want := `{"auditLog":{"nodes":[{"target":"s2","errorCode":"NODE_UNAVAILABLE"},{"target":"s1","errorCode":null}]}}`; string(got.Data) != want {
		t.Errorf("got %s %+v", got.Data, got.Errors)
	}
}

func TestInternalErrorsDoNotLeak(t *testing.T) {
	for name, spoil := range map[string]func(*fakeAPI){
		"error": func(f *fakeAPI) { f.err = errors.New("secret of the error") },
		"panic": func(f *fakeAPI) { f.panics = true },
	} {
		t.Run(name, func(t *testing.T) {
			api := newFake()
			spoil(api)
			var log bytes.Buffer
			opts := options(api)
			opts.Log = slog.New(slog.NewTextHandler(&log, nil))
			got := post(t, serve(t, opts), `{nodes{id}}`, nil)
			if got.code() != "INTERNAL" || len(got.Errors[0].Extensions) != 1 || strings.Contains(got.Errors[0].Message, "secret") {
				t.Fatalf("got %+v", got.Errors)
			}
			words := strings.Fields(got.Errors[0].Message)
			id := words[len(words)-1]
			if len(id) != 12 || !strings.Contains(log.String(), "id="+id) || !strings.Contains(log.String(), "secret of the "+name) {
				t.Errorf("the log lacks the cause under id %s: %s", id, log.String())
			}
		})
	}
}

func TestBadOperations(t *testing.T) {
	deepFragments := `{services{...s}} fragment s on ServiceConnection{edges{node{...t}}} fragment t on Service{node{id}}`
	manyTokens := `{services(filter:{kind:[` + strings.Repeat("DB ", 2000) + `]}){nodes{id}}}`
	fewerTokens := `{services(filter:{kind:[` + strings.Repeat("DB ", 1900) + `]}){nodes{id}}}`
	tests := []struct {
		name, query string
		variables   map[string]any
		code        string
	}{
		{"syntax", `{`, nil, "INVALID_INPUT"},
		{"no operation", ``, nil, "INVALID_INPUT"},
		{"unknown field", `{nothing}`, nil, "INVALID_INPUT"},
		{"unknown argument", `{nodes(x:1){id}}`, nil, "INVALID_INPUT"},
		{"unknown enum value", `mutation{launchService(input:{kind:CACHE,name:"x"}){id}}`, nil, "INVALID_INPUT"},
		{"unknown enum value, variable", `mutation($k:ServiceKind!){launchService(input:{kind:$k,name:"x"}){id}}`, map[string]any{"k": "CACHE"}, "INVALID_INPUT"},
		{"wrong type, variable", `mutation($k:ServiceKind!){launchService(input:{kind:$k,name:"x"}){id}}`, map[string]any{"k": 5}, "INVALID_INPUT"},
		{"missing variable", `query($i:ID!){service(id:$i){id}}`, nil, "INVALID_INPUT"},
		{"input with an image", `mutation{launchService(input:{kind:DB,name:"x",image:"evil"}){id}}`, nil, "INVALID_INPUT"},
		{"huge integer", `{services(first:99999999999999999999999){nodes{id}}}`, nil, "INVALID_INPUT"},
		{"page of 0", `{services(first:0){nodes{id}}}`, nil, "INVALID_INPUT"},
		{"page of -1", `{events(first:-1){nodes{id}}}`, nil, "INVALID_INPUT"},
		{"subscription over POST", `subscription{serviceHealthChanged{cursor}}`, nil, "INVALID_INPUT"},
		{"many tokens", manyTokens, nil, "LIMIT_EXCEEDED"},
		{"fewer tokens", fewerTokens, nil, "OK"},
		{"fragments, fine", deepFragments, nil, "OK"},
	}
	api := newFake()
	url := serve(t, options(api))
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := post(t, url, tt.query, tt.variables)
			if got.code() != tt.code {
				t.Errorf("got %s, want %s: %+v", got.code(), tt.code, got.Errors)
			}
			if strings.HasPrefix(tt.name, "unknown enum") && !strings.Contains(got.Errors[0].Message, "one of BUCKET, DB, NOSQL, QUEUE, SECRETS") {
				t.Errorf("got %+v", got.Errors[0])
			}
			if strings.HasPrefix(tt.name, "page") && (got.Errors[0].Extensions["field"] != "first" || !strings.Contains(got.Errors[0].Message, "1 to 1000")) {
				t.Errorf("got %+v", got.Errors[0])
			}
		})
	}
}

// exponential returns a query with n fragments, each of which spreads the next one twice.
func exponential(n int) string {
	var b strings.Builder
	b.WriteString(`{nodes{...f0}}`)
	for i := range n {
		fmt.Fprintf(&b, ` fragment f%d on Node{...f%d ...f%d}`, i, i+1, i+1)
	}
	fmt.Fprintf(&b, ` fragment f%d on Node{id}`, n)
	return b.String()
}

// The standard introspection query is deeper than the limit, but allowed.
func TestIntrospection(t *testing.T) {
	ofType := strings.Repeat("ofType{kind ", 9) + strings.Repeat("}", 9)
	query := `{__schema{types{name fields{name args{name type{kind ` + ofType + `}}}}}}`
	if got := post(t, serve(t, options(newFake())), query, nil); got.code() != "OK" {
		t.Errorf("got %+v", got.Errors)
	}
}

func TestBadRequests(t *testing.T) {
	api := newFake()
	url := serve(t, options(api))
	secret := strings.Repeat("s3cret", 10)
	tests := []struct {
		name, contentType, body string
		status                  int
		code                    string
	}{
		{"form", "application/x-www-form-urlencoded", "query={nodes{id}}", 415, "INVALID_INPUT"},
		{"text", "text/plain", `{"query":"{nodes{id}}"}`, 415, "INVALID_INPUT"},
		{"multipart", "multipart/form-data; boundary=x", "--x--", 415, "INVALID_INPUT"},
		{"none", "", `{"query":"{nodes{id}}"}`, 415, "INVALID_INPUT"},
		{"with charset", "application/json; charset=utf-8", `{"query":"{nodes{id}}"}`, 200, "OK"},
		{"not JSON", "application/json", secret, 400, "INVALID_INPUT"},
		{"a batch", "application/json", `[{"query":"{nodes{id}}"}]`, 400, "INVALID_INPUT"},
		{"no query", "application/json", `{"variables":{}}`, 400, "INVALID_INPUT"},
		{"variables no object", "application/json", `{"query":"{nodes{id}}","variables":"` + secret + `"}`, 400, "INVALID_INPUT"},
		{"more behind it", "application/json", `{"query":"{nodes{id}}"}` + secret, 400, "INVALID_INPUT"},
		{"just small enough", "application/json", `{"query":"{nodes{id}}"` + strings.Repeat(" ", 128<<10-23) + `}`, 200, "OK"},
		{"too large", "application/json", `{"query":"{nodes{id}}"` + strings.Repeat(" ", 128<<10-22) + `}`, 413, "LIMIT_EXCEEDED"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := send(t, url, tt.contentType, tt.body)
			if got.status != tt.status || got.code() != tt.code {
				t.Errorf("got %d %s, want %d %s: %v", got.status, got.code(), tt.status, tt.code, got.Errors)
			}
			if strings.Contains(fmt.Sprint(got.Errors), "s3cret") {
				t.Errorf("the answer echoes the request: %v", got.Errors)
			}
		})
	}
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodOptions} {
		request, err := http.NewRequest(method, url+`/graphql?query={nodes{id}}`, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		if got := read(t, response); got.status != 405 || response.Header.Get("Allow") != "POST" {
			t.Errorf("%s: got %d, Allow %q", method, got.status, response.Header.Get("Allow"))
		}
	}
}

// An error in a variable names the field that is wrong.
func TestErrorsOfVariablesNameTheField(t *testing.T) {
	url := serve(t, options(newFake()))
	for field, c := range map[string]struct {
		query     string
		variables map[string]any
	}{
		"i":          {`query($i:ID!){service(id:$i){id}}`, nil},
		"input.name": {`mutation($input:LaunchServiceInput!){launchService(input:$input){id}}`, map[string]any{"input": map[string]any{"kind": "DB"}}},
	} {
		got := post(t, url, c.query, c.variables)
		if e := got.Errors[0]; got.code() != "INVALID_INPUT" || e.Message != field+" must be defined" || e.Extensions["field"] != field {
			t.Errorf("%s: got %+v", field, e)
		}
	}
}
