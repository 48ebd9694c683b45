package server_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/test/uwstest"
)

// What one answer may take, with what its client, in the same process, takes. The race detector multiplies CPU time by about
// seven and by more on some machines: `make test` runs TestAttacks without it too.
const (
	cpuOfAttack   = 15 * time.Millisecond
	bytesOfAttack = 4 << 20 // allocated
)

// cpu returns the CPU time that this process has used.
func cpu(t *testing.T) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// allocated returns the bytes that this process has allocated since it began.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// numbered repeats a format that contains one number.
func numbered(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

func nested(opening, inner, closing string, n int) string {
	return strings.Repeat(opening, n) + inner + strings.Repeat(closing, n)
}

// operationOf returns the body of a request; variables are JSON.
func operationOf(query, variables string) string {
	text, _ := json.Marshal(query) // a string always marshals
	if variables == "" {
		variables = "null"
	}
	return fmt.Sprintf(`{"query":%s,"variables":%s}`, text, variables)
}

const schemaOnce = "__schema{types{name fields{name args{name type{name ofType{name}}}type{name ofType{name ofType{name}}}}}}"

// Operations that are cheap to send are cheap to refuse.
func TestAttacks(t *testing.T) {
	attacks := map[string]string{
		"fragment bomb":                     operationOf(exponential(30), ""),
		"fragment bomb, longer":             operationOf(exponential(99), ""),
		"many fragments":                    operationOf("{nodes{id}}"+numbered(250, "fragment f%d on Node{id}"), ""),
		"fields, 9,000 times":               operationOf("{"+strings.Repeat("nodes{id}", 9000)+"}", ""),
		"fields, as many as tokens allow":   operationOf("{"+strings.Repeat("__typename ", 1990)+"}", ""),
		"one field, as often as allowed":    operationOf("{nodes{"+strings.Repeat("id ", 990)+"}}", ""),
		"one field, in inline fragments":    operationOf("{nodes{"+strings.Repeat("...{id}", 450)+"}}", ""),
		"one field, in fragments":           operationOf("{nodes{"+numbered(90, "...f%d ")+"}}"+numbered(90, "fragment f%d on Node{id id id id id id}"), ""),
		"one field, in unused fragments":    operationOf("{nodes{id}} fragment f on Node{"+strings.Repeat("id ", 990)+"} fragment f on Node{"+strings.Repeat("id ", 990)+"}", ""),
		"directives":                        operationOf("{nodes{id"+strings.Repeat("@include(if:true)", 6000)+"}}", ""),
		"directives, as many as allowed":    operationOf("{nodes{id"+strings.Repeat("@include(if:true)", 200)+strings.Repeat("@a", 200)+"}}", ""),
		"aliases":                           operationOf("{"+numbered(6000, "a%d:nodes{id}")+"}", ""),
		"aliases, as many as tokens allow":  operationOf("{"+numbered(280, "a%d:nodes{id}")+"}", ""),
		"deep fields":                       operationOf(nested("{services", "", "}", 9000), ""),
		"deep fields, few":                  operationOf(nested("{services", "{totalCount}", "}", 13), ""),
		"deep inline fragments":             operationOf("{"+nested("...{", "__typename", "}", 600)+"}", ""),
		"deep list":                         operationOf("{services(after:"+nested("[", "", "]", 900)+"){totalCount}}", ""),
		"deep object":                       operationOf("{services(filter:"+nested("{a:", "1", "}", 300)+"){totalCount}}", ""),
		"deep default value":                operationOf("query($v:[Int]="+nested("[", "", "]", 900)+"){nodes{id}}", ""),
		"deep list in variables":            operationOf("query($v:ID!){service(id:$v){id}}", `{"v":`+nested("[", "", "]", 20)+`}`),
		"deep object in variables":          operationOf("query($v:ServiceFilter){services(filter:$v){totalCount}}", `{"v":`+nested(`{"a":`, "1", "}", 20)+`}`),
		"deep variables that nobody uses":   operationOf("{nodes{id}}", `{"v":`+nested("[", "", "]", 9000)+`}`),
		"many values in variables":          operationOf("query($v:[ServiceKind!]){services(filter:{kind:$v}){totalCount}}", `{"v":[`+strings.Repeat("1,", 60_000)+"1]}"),
		"many values that nobody uses":      operationOf("{nodes{id}}", `{"v":[`+strings.Repeat("{},", 2200)+"1]}"),
		"variables deeper than JSON may be": operationOf("{nodes{id}}", `{"v":`+strings.Repeat("[", 60_000)),
		"a long comment":                    operationOf(strings.Repeat("# \\u00e9", 12_000)+"\n{"+strings.Repeat("id ", 1001)+"}", ""),
		"operations":                        operationOf(numbered(200, "query q%d{nodes{id}}"), ""),
		"a large body":                      operationOf("{nodes{id}}"+strings.Repeat(" ", 10<<20), ""),
		"introspection, chain":              operationOf("{__schema{types{fields{type"+nested("{ofType", "{name}", "}", 600)+"}}}}", ""),
		"introspection, cycle":              operationOf("{__schema{types"+nested("{fields{type", "{name}", "}}", 5)+"}}", ""),
		"introspection, long cycle":         operationOf("{__schema{types"+nested("{fields{type", "{name}", "}}", 100)+"}}", ""),
		"introspection, repeated":           operationOf("{"+numbered(50, "a%d:"+schemaOnce)+"}", ""),
		"introspection, types repeated":     operationOf("{__schema{"+numbered(50, "a%d:types{fields{args{type{name}}}}")+"}}", ""),
		"introspection, in fragments":       operationOf("{"+numbered(50, "a%d:__schema{...s}")+"} fragment s on __Schema{types{fields{args{type{name}}}}}", ""),
	}
	url := serve(t, options(newFake()))
	for name, body := range attacks {
		t.Run(name, func(t *testing.T) {
			best, bytes := time.Hour, uint64(math.MaxUint64) // the best of several runs: other work on the machine affects some of them
			expensive := func() bool { return best > cpuOfAttack && !uwstest.Raced || bytes > bytesOfAttack }
			for i := 0; i == 0 || i < 5 && expensive(); i++ {
				usedBefore, allocatedBefore := cpu(t), allocated()
				got := send(t, url, "application/json", body)
				best, bytes = min(best, cpu(t)-usedBefore), min(bytes, allocated()-allocatedBefore)
				if got.code() != "LIMIT_EXCEEDED" {
					t.Fatalf("got %.300v %.300s", got.Errors, got.Data)
				}
			}
			t.Logf("%s of CPU, %d bytes", best, bytes)
			if expensive() {
				t.Errorf("%s of CPU and %d bytes, want at most %s and %d", best, bytes, cpuOfAttack, bytesOfAttack)
			}
		})
	}
}

// Mistakes are reported without suggestions for misspelt names, which would be expensive, and only a limited number of
// them.
func TestMistakesAreCheap(t *testing.T) {
	url := serve(t, options(newFake()))
	for name, query := range map[string]string{
		"one field":      "{node1s{id}}",
		"fields":         "{" + numbered(90, "service%d ") + "}",
		"inner fields":   "{nodes{" + numbered(900, "name%d ") + "}}",
		"arguments":      "{" + numbered(90, "a%[1]d:services(firs%[1]d:1){totalCount} ") + "}",
		"directives":     "{nodes{" + numbered(180, "id @skipp%d(iff:true)") + "}}",
		"types":          "{nodes{id}}" + numbered(90, "fragment f%[1]d on Nod%[1]d{id}"),
		"variable types": "query(" + numbered(400, "$v%[1]d:Servic%[1]d ") + "){nodes{id}}",
		"enum values":    "{" + numbered(90, "a%[1]d:services(filter:{kind:[DBB%[1]d]}){totalCount} ") + "}",
		"input fields":   "{" + numbered(90, "a%[1]d:services(filter:{kinds%[1]d:DB}){totalCount} ") + "}",
		"no leaves":      "{" + numbered(90, "a%d:nodes ") + "}",
	} {
		got := post(t, url, query, nil)
		if got.code() != "INVALID_INPUT" || len(got.Errors) > 20 {
			t.Errorf("%s: got %d errors, the first %.200v", name, len(got.Errors), got.Errors[:min(1, len(got.Errors))])
		}
		for _, e := range got.Errors {
			if strings.Contains(e.Message, "Did you mean") {
				t.Errorf("%s: got %s", name, e.Message)
				break
			}
		}
	}
}

// Operations that users and tools really send are accepted.
func TestNoAttacks(t *testing.T) {
	url := serve(t, options(newFake()))
	for name, query := range map[string]string{
		"the schema":         "{" + schemaOnce + "}",
		"some aliases":       "{" + numbered(100, "a%d:nodes{id}") + "}",
		"a field repeatedly": "{nodes{" + strings.Repeat("id ...{id}", 50) + "}}",
		"GraphiQL's": `query IntrospectionQuery{__schema{description queryType{name kind}mutationType{name kind}subscriptionType{name kind}types{...FullType}
			directives{name description isRepeatable locations args(includeDeprecated:true){...InputValue}}}}
			fragment FullType on __Type{kind name description specifiedByURL isOneOf fields(includeDeprecated:true){name description
			args(includeDeprecated:true){...InputValue}type{...TypeRef}isDeprecated deprecationReason}inputFields(includeDeprecated:true){...InputValue}
			interfaces{...TypeRef}enumValues(includeDeprecated:true){name description isDeprecated deprecationReason}possibleTypes{...TypeRef}}
			fragment InputValue on __InputValue{name description type{...TypeRef}defaultValue isDeprecated deprecationReason}
			fragment TypeRef on __Type{` + nested("kind name ofType{", "kind name", "}", 9) + `}`,
	} {
		if got := post(t, url, query, nil); got.code() != "OK" {
			t.Errorf("%s: got %v", name, got.Errors)
		}
	}
}

// A batch, several operations in one request, is refused.
func TestBatch(t *testing.T) {
	batch := "[" + strings.TrimSuffix(strings.Repeat(`{"query":"{nodes{id}}"},`, 1000), ",") + "]"
	if got := send(t, serve(t, options(newFake())), "application/json", batch); got.status != 400 || got.code() != "INVALID_INPUT" {
		t.Errorf("got %d %s", got.status, got.code())
	}
}

// A body of unknown size is read up to the limit.
func TestEndlessBody(t *testing.T) {
	endless := io.MultiReader(strings.NewReader(`{"query":"`), zeros{})
	response, err := http.Post(serve(t, options(newFake()))+"/graphql", "application/json", endless)
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, response); got.status != http.StatusRequestEntityTooLarge || got.code() != "LIMIT_EXCEEDED" {
		t.Errorf("got %d %s", got.status, got.code())
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return copy(b, bytes.Repeat([]byte("0"), len(b))), nil }

// A page has a maximum size, which cannot be circumvented.
func TestLargePage(t *testing.T) {
	api := newFake()
	if got := post(t, serve(t, options(api)), "{services(first:1000000){totalCount}events(first:1000000){pageInfo{endCursor}}}", nil); got.code() != "OK" {
		t.Fatalf("got %v", got.Errors)
	}
	pages := slices.DeleteFunc(api.called(), func(call string) bool { return !strings.Contains(call, "First:") })
	if len(pages) == 0 || slices.ContainsFunc(pages, func(call string) bool { return !strings.Contains(call, "First:1000") }) {
		t.Errorf("got %q", pages)
	}
}

// A client that sends its request too slowly is disconnected. The server does not wait for it.
func TestSlowRequests(t *testing.T) {
	for name, begin := range map[string]string{
		"nothing":           "",
		"headers":           "POST /graphql HTTP/1.1\r\nHost: %[1]s\r\nX-Slow: ",
		"headers that drip": "POST /graphql HTTP/1.1\r\nHost: %[1]s\r\n",
		"body":              "POST /graphql HTTP/1.1\r\nHost: %[1]s\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{",
		"chunked body":      "POST /graphql HTTP/1.1\r\nHost: %[1]s\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
		"old endpoint":      "POST /launchDB HTTP/1.1\r\nHost: %[1]s\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{",
	} {
		t.Run(name, func(t *testing.T) {
			opts := options(newFake())
			opts.HeaderTimeout, opts.RequestTimeout = 50*time.Millisecond, 50*time.Millisecond
			url, stop := run(t, opts)
			host := strings.TrimPrefix(url, "http://")
			conn, err := net.Dial("tcp", host)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if begin != "" {
				fmt.Fprintf(conn, begin, host)
			}
			if name == "headers that drip" { // each in time
				go func() {
					for err == nil {
						_, err = conn.Write([]byte("X: y\r\n"))
					}
				}()
			}
			_ = conn.SetReadDeadline(farAway())
			if _, err := io.Copy(io.Discard, conn); err != nil && !strings.Contains(err.Error(), "reset by peer") {
				t.Errorf("the connection was not ended: %v", err)
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

// Of 1,000 subscriptions on one connection 64 are served, and the connection stays open.
func TestSubscriptionFlood(t *testing.T) {
	s := connect(t, serve(t, options(newFake())))
	refused := make(chan int)
	go func() {
		n := 0
		defer func() { refused <- n }()
		for {
			var m message
			if err := s.ReadJSON(&m); err != nil || m.Type == "pong" {
				return
			}
			if m.Type == "error" && strings.Contains(string(m.Payload), `"code":"LIMIT_EXCEEDED"`) {
				n++
			}
		}
	}()
	for i := range 1000 {
		s.subscribe(fmt.Sprint(i), changes)
	}
	s.say(`{"type":"ping"}`)
	if n := receive(t, refused, "the pong"); n != 1000-64 {
		t.Errorf("%d were refused, want %d", n, 1000-64)
	}
}

// The limits of operations apply over WebSockets too.
func TestAttackOverWebSocket(t *testing.T) {
	s := connect(t, serve(t, options(newFake())))
	s.subscribe("x", exponential(30))
	if m := s.expect("x", "error", ""); !strings.Contains(string(m.Payload), `"code":"LIMIT_EXCEEDED"`) {
		t.Errorf("got %s", m.Payload)
	}
	s.say(`{"id":"z","type":"subscribe","payload":` + operationOf("{nodes{id}}", `{"v":[`+strings.Repeat("1,", 50_000)+`1]}`) + `}`)
	if m := s.expect("z", "error", ""); !strings.Contains(string(m.Payload), `"code":"LIMIT_EXCEEDED"`) {
		t.Errorf("got %s", m.Payload)
	}
	s.say(`{"id":"y","type":"subscribe","payload":` + operationOf("{nodes{id}}", `{"v":`+nested("[", "", "]", 9000)+`}`) + `}`)
	if m := s.expect("y", "error", ""); !strings.Contains(string(m.Payload), `"code":"LIMIT_EXCEEDED"`) {
		t.Errorf("got %s", m.Payload)
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// The cache of parsed documents is bounded, and does not keep large documents.
func TestQueryCacheChurn(t *testing.T) {
	url := serve(t, options(newFake()))
	for name, padding := range map[string]string{
		"long":  strings.Repeat(" ", 100_000),
		"dense": strings.Repeat("...{id}", 180), // takes much more memory than its text
	} {
		before := heap()
		for i := range 500 {
			if got := post(t, url, fmt.Sprintf("{a%d:nodes{id %s}}", i, padding), nil); got.code() != "OK" {
				t.Fatalf("%s: got %v", name, got.Errors)
			}
		}
		if grown := int64(heap()) - int64(before); grown > 12<<20 {
			t.Errorf("%s: the heap has grown by %d MiB", name, grown>>20)
		}
	}
}
