package legacy_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/server"
)

// serviceOne is service s1 of the fake in the JSON of the old endpoints.
const serviceOne = `{"service_id":"s1","container_id":"run-1","node_id":"n1","ip_address":"127.0.0.1","port":20000,"status":"running",` +
	`"is_healthy":true,"created_at":"2026-01-02T02:04:05.123456Z","last_health_check":"2026-01-02T02:04:05Z","service_url":"http://127.0.0.1:20000"}`

// unplaced is service s2, which is on no node yet.
const unplaced = `{"service_id":"s2","container_id":null,"node_id":null,"ip_address":null,"port":null,"status":"pending",` +
	`"is_healthy":false,"created_at":"2026-01-02T02:04:05Z","last_health_check":"2026-01-02T02:04:05Z","service_url":null}`

type reply struct {
	status int
	allow  string
	body   string
}

// ask sends a request with a JSON content type, or with the one that the method's name is followed by.
func ask(t *testing.T, method, url, body string) reply {
	t.Helper()
	method, contentType, given := strings.Cut(method, " ")
	request, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if !given && method != http.MethodGet {
		contentType = "application/json"
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if kind := response.Header.Get("Content-Type"); kind != "application/json" {
		t.Errorf("%s %s answers with %s", method, url, kind)
	}
	return reply{response.StatusCode, response.Header.Get("Allow"), strings.TrimSuffix(string(data), "\n")}
}

func (r reply) detail(t *testing.T) string {
	t.Helper()
	var fields map[string]string
	if err := json.Unmarshal([]byte(r.body), &fields); err != nil || len(fields) != 1 {
		t.Errorf("%s is not a detail alone: %v", r.body, err)
	}
	return fields["detail"]
}

const launchCall = "Launch %s Name:%s Template:%s NodeID:%s Reattach:%s"

func TestEndpoints(t *testing.T) {
	tests := []struct {
		name, method, path, body string
		want                     string // the whole answer, or with another status than 200 a part of its detail
		status                   int
		calls                    []string
	}{
		{"launch", "POST", "/launchBucket", `{"name":"photos"}`, serviceOne, 200, []string{fmt.Sprintf(launchCall, "BUCKET", "photos", "", "", ""), "Endpoint s1"}},
		{
			"launch, all", "POST", "/launchBucket/", `{"name":"p","template":"t","node_id":"n","reattach":"v"}`, serviceOne, 200,
			[]string{fmt.Sprintf(launchCall, "BUCKET", "p", "t", "n", "v"), "Endpoint s1"},
		},
		{"launch, nulls", "POST", "/launchBucket", `{"name":"p","node_id":null}`, serviceOne, 200, []string{fmt.Sprintf(launchCall, "BUCKET", "p", "", "", ""), "Endpoint s1"}},
		{"launch, charset", "POST application/json; charset=utf-8", "/launchBucket", `{"name":"p"}`, serviceOne, 200, []string{fmt.Sprintf(launchCall, "BUCKET", "p", "", "", ""), "Endpoint s1"}},
		{"launch, unknown field", "POST", "/launchBucket", `{"name":"p","image":"evil"}`, `unknown field "image"; there is name, template, node_id, reattach`, 422, nil},
		{"launch, capitals", "POST", "/launchBucket", `{"Name":"p"}`, `unknown field "Name"; there is name, template`, 422, nil},
		{"launch, wrong type", "POST", "/launchBucket", `{"name":5}`, "name must be a string", 422, nil},
		{"launch, no object", "POST", "/launchBucket", `["name"]`, "the body must be empty or one JSON object; of fields there is name, template, node_id, reattach", 422, nil},
		{"launch, no JSON", "POST", "/launchBucket", "s3cret", "the body must be empty or one JSON object", 422, nil},
		{"launch, more behind it", "POST", "/launchBucket", "{}s3cret", "the body must be empty or one JSON object", 422, nil},
		{"launch, too large", "POST", "/launchBucket", "{}" + strings.Repeat(" ", 128<<10-1), "larger than 128 KB", 413, nil},
		{"launch, a form", "POST application/x-www-form-urlencoded", "/launchBucket", "name=p", "Content-Type must be application/json", 415, nil},
		{"launch, text", "POST text/plain", "/launchBucket", `{"name":"p"}`, "Content-Type must be application/json", 415, nil},
		{"launch, no type", "POST ", "/launchBucket", "", "Content-Type must be application/json", 415, nil},
		{"get", "GET", "/bucket-services/s1", "", serviceOne, 200, []string{"Service s1", "Endpoint s1"}},
		{"get, slash", "GET", "/bucket-services/s1/", "", serviceOne, 200, []string{"Service s1", "Endpoint s1"}},
		{"get, on no node", "GET", "/bucket-services/s2", "", unplaced, 200, []string{"Service s2", "Endpoint s2"}},
		{"get, none", "GET", "/bucket-services/no", "", `there is no bucket service with the id "no"`, 404, []string{"Service no"}},
		{"get, wrong kind", "GET", "/db-services/s1", "", `there is no db service with the id "s1"`, 404, []string{"Service s1"}},
		{"get, hostile id", "GET", "/bucket-services/%1B%2F..%22" + strings.Repeat("x", 100), "", `with the id "\x1b/..\"xxx`, 404, []string{"Service \x1b/..\"" + strings.Repeat("x", 100)}},
		{
			"health", "GET", "/bucket-services/s1/health", "",
			`{"service_id":"s1","status":"running","is_healthy":true,"last_health_check":"2026-01-02T02:04:05Z","probe":"ALIVE","reason":"wrong password"}`,
			200, []string{"Service s1", "Check s1"},
		},
		{
			"health, slash", "GET", "/bucket-services/s1/health/", "",
			`{"service_id":"s1","status":"running","is_healthy":true,"last_health_check":"2026-01-02T02:04:05Z","probe":"ALIVE","reason":"wrong password"}`,
			200, []string{"Service s1", "Check s1"},
		},
		{"health, none", "GET", "/bucket-services/no/health", "", "there is no bucket service", 404, []string{"Service no"}},
		{"health, wrong kind", "GET", "/nosql-services/s1/health", "", "there is no nosql service", 404, []string{"Service s1"}},
		{"remove", "DELETE", "/bucket-services/s1", "", serviceOne, 200, []string{"Service s1", "Remove s1 deleteData=false", "Endpoint s1"}},
		{"remove, empty object", "DELETE", "/bucket-services/s1/", "{}", serviceOne, 200, []string{"Service s1", "Remove s1 deleteData=false", "Endpoint s1"}},
		{"remove, with a wish", "DELETE", "/bucket-services/s1", `{"delete_data":true}`, `unknown field "delete_data"; there is none`, 422, nil},
		{"remove, none", "DELETE", "/bucket-services/no", "", "there is no bucket service", 404, []string{"Service no"}},
		{"remove, wrong kind", "DELETE", "/secrets-services/s1", "", "there is no secrets service", 404, []string{"Service s1"}},
		{"remove, no type", "DELETE ", "/bucket-services/s1", "", "Content-Type must be application/json", 415, nil},
		{"wrong method, launch", "GET", "/launchBucket", "", "this path answers POST", 405, nil},
		{"wrong method, list", "POST", "/bucket-services/", "", "this path answers GET, HEAD", 405, nil},
		{"wrong method, service", "PUT", "/bucket-services/s1", "", "this path answers GET, HEAD, DELETE", 405, nil},
		{"wrong method, health", "DELETE", "/bucket-services/s1/health", "", "this path answers GET, HEAD", 405, nil},
		{"options", "OPTIONS", "/launchBucket", "", "this path answers POST", 405, nil},
		{"beyond a service", "GET", "/bucket-services/s1/logs", "", "nothing at this path", 404, nil},
		{"beyond health", "GET", "/bucket-services/s1/health/x", "", "nothing at this path", 404, nil},
		{"beyond a launch", "POST", "/launchBucket/x", "", "nothing at this path", 404, nil},
	}
	api := newFake()
	url := serve(t, api)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			api.called()
			got := ask(t, tt.method, url+tt.path, tt.body)
			if got.status != tt.status {
				t.Errorf("got %d, want %d", got.status, tt.status)
			}
			switch {
			case tt.status == 200 && got.body != tt.want:
				t.Errorf("got  %s\nwant %s", got.body, tt.want)
			case tt.status != 200 && (!strings.Contains(got.detail(t), tt.want) || strings.Contains(got.body, "s3cret") || len(got.body) > 300):
				t.Errorf("got %s, want %s", got.body, tt.want)
			case tt.status == 405 && "this path answers "+got.allow != tt.want:
				t.Errorf("Allow is %q, want as in %s", got.allow, tt.want)
			}
			if calls := api.called(); !slices.Equal(calls, tt.calls) {
				t.Errorf("got calls\n\t%s\nwant\n\t%s", strings.Join(calls, "\n\t"), strings.Join(tt.calls, "\n\t"))
			}
		})
	}
}

// Each kind has its own paths, which never lead to services of another kind.
func TestEachKind(t *testing.T) {
	for name, k := range map[string]struct {
		kind   catalog.Kind
		launch string
	}{
		"bucket": {catalog.Bucket, "/launchBucket"}, "db": {catalog.DB, "/launchDB"}, "nosql": {catalog.NoSQL, "/launchNoSQL"},
		"queue": {catalog.Queue, "/launchQueue"}, "secrets": {catalog.Secrets, "/launchSecrets"},
	} {
		t.Run(name, func(t *testing.T) {
			api := newFake()
			api.services[0].Kind = k.kind
			api.pages = []orchestrator.List[*orchestrator.Service]{{Items: api.services[:1], Cursors: []string{"1"}}}
			url := serve(t, api)
			one := "/" + name + "-services/s1"
			for _, r := range []struct{ method, path, call string }{
				{"POST", k.launch, "Launch " + string(k.kind) + " Name:" + name + "-"},
				{"GET", "/" + name + "-services", "Services {Kinds:[" + string(k.kind) + "]"},
				{"GET", one, "Service s1"}, {"GET", one + "/health", "Service s1"}, {"DELETE", one, "Service s1"},
			} {
				got := ask(t, r.method, url+r.path, "")
				if got.status != 200 || !strings.Contains(got.body, `"service_id":"s1"`) || !strings.Contains(got.body, `"is_healthy":true`) {
					t.Errorf("%s %s: got %d %s", r.method, r.path, got.status, got.body)
				}
				if calls := api.called(); len(calls) == 0 || !strings.HasPrefix(calls[0], r.call) {
					t.Errorf("%s %s: got calls %q", r.method, r.path, calls)
				}
			}
			for _, other := range []string{"bucket", "db", "nosql", "queue", "secrets"} {
				if got := ask(t, "GET", url+"/"+other+"-services/s1", ""); (got.status == 200) != (other == name) {
					t.Errorf("%s-services has a %s: %d", other, name, got.status)
				}
			}
		})
	}
}

// A launch without a name gets a random one.
func TestLaunchNames(t *testing.T) {
	api := newFake()
	url := serve(t, api)
	seen := map[string]bool{}
	for _, body := range []string{"", "{}", `{"name":null}`, " \n", "null"} {
		if got := ask(t, "POST", url+"/launchNoSQL", body); got.status != 200 {
			t.Fatalf("%q: got %d %s", body, got.status, got.body)
		}
		var name string
		if _, err := fmt.Sscanf(api.called()[0], "Launch NOSQL Name:%s", &name); err != nil {
			t.Fatal(err)
		}
		random, ok := strings.CutPrefix(name, "nosql-")
		if !ok || len(random) != 12 || strings.Trim(random, "abcdefghijklmnopqrstuvwxyz234567") != "" || seen[name] {
			t.Errorf("%q: the name is %s", body, name)
		}
		seen[name] = true
	}
}

func TestErrors(t *testing.T) {
	for code, status := range map[orchestrator.Code]int{
		orchestrator.NotFound: 404, orchestrator.InvalidInput: 422, orchestrator.Conflict: 409, orchestrator.NodeUnavailable: 503,
		orchestrator.LimitExceeded: 429, orchestrator.Internal: 500,
	} {
		api := newFake()
		api.err = fmt.Errorf("launch: %w", orchestrator.Errorf(code, "nodeId", "choose another"))
		got := ask(t, "POST", serve(t, api)+"/launchQueue", "{}")
		if got.status != status || got.detail(t) != "node_id: choose another" {
			t.Errorf("%s: got %d %s", code, got.status, got.body)
		}
	}
	for name, spoil := range map[string]func(*fakeAPI){
		"error": func(f *fakeAPI) { f.err = errors.New("secret of the error") },
		"panic": func(f *fakeAPI) { f.panics = true },
	} {
		api := newFake()
		spoil(api)
		var log bytes.Buffer
		url := serve(t, api, func(o *server.Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
		for method, path := range map[string]string{"POST": "/launchDB", "GET": "/db-services", "DELETE": "/db-services/s1"} {
			log.Reset()
			got := ask(t, method, url+path, "")
			words := strings.Fields(got.detail(t))
			if id := words[len(words)-1]; got.status != 500 || strings.Contains(got.body, "secret") ||
				!strings.Contains(log.String(), "id="+id) || name == "panic" != strings.Contains(log.String(), "stack=") || !strings.Contains(log.String(), "secret of the "+name) {
				t.Errorf("%s %s: got %d %s; the log has %s", method, path, got.status, got.body, log.String())
			}
		}
	}
}

// The health of a service that is stopped or not placed yet is its reason, not an error.
func TestHealthWithoutProbe(t *testing.T) {
	api := newFake()
	api.services[0].Phase, api.services[0].Health, api.services[0].Reason = lifecycle.Stopped, lifecycle.HealthUnknown, "stopped on request"
	api.checkErr = orchestrator.Errorf(orchestrator.Conflict, "id", "there is nothing to probe")
	url := serve(t, api)
	want := `{"service_id":"s1","status":"stopped","is_healthy":false,"last_health_check":"2026-01-02T02:04:05Z","probe":null,"reason":"stopped on request"}`
	if got := ask(t, "GET", url+"/bucket-services/s1/health", ""); got.status != 200 || got.body != want {
		t.Errorf("got %d %s", got.status, got.body)
	}
	api.checkErr = orchestrator.Errorf(orchestrator.NodeUnavailable, "id", "the node does not answer")
	if got := ask(t, "GET", url+"/bucket-services/s1/health", ""); got.status != 503 || got.detail(t) != "the node does not answer" {
		t.Errorf("got %d %s", got.status, got.body)
	}
	api.checkErr = errors.New("secret")
	if got := ask(t, "GET", url+"/bucket-services/s1/health", ""); got.status != 500 || strings.Contains(got.detail(t), "secret") {
		t.Errorf("got %d %s", got.status, got.body)
	}
}

func TestStatus(t *testing.T) {
	api := newFake()
	url := serve(t, api)
	for _, phase := range lifecycle.Phase("").Values() {
		api.services[0].Phase = lifecycle.Phase(phase)
		if got := ask(t, "GET", url+"/bucket-services/s1", ""); !strings.Contains(got.body, `"status":"`+strings.ToLower(phase)+`"`) {
			t.Errorf("%s: got %s", phase, got.body)
		}
	}
	api.services[0].DesiredState, api.services[0].Phase = lifecycle.WantRemoved, lifecycle.Running
	for method, path := range map[string]string{"DELETE": "/bucket-services/s1", "GET": "/bucket-services/s1/health"} {
		if got := ask(t, method, url+path, ""); !strings.Contains(got.body, `"status":"removing","is_healthy":false`) {
			t.Errorf("%s: got %s", method, got.body)
		}
	}
}

// A service that disappears between two calls counts as removed.
func TestRemoveOfGone(t *testing.T) {
	api := newFake()
	api.services[0].ID = "gone"
	got := ask(t, "DELETE", serve(t, api)+"/bucket-services/gone", "")
	if got.status != 200 || !strings.Contains(got.body, `"service_id":"gone"`) || !strings.Contains(got.body, `"status":"removed","is_healthy":false`) {
		t.Errorf("got %d %s", got.status, got.body)
	}
}

// pagesOf returns pages of size services each.
func pagesOf(t *testing.T, pages, size int) []orchestrator.List[*orchestrator.Service] {
	t.Helper()
	all := make([]orchestrator.List[*orchestrator.Service], pages)
	for p := range all {
		for i := range size {
			all[p].Items = append(all[p].Items, &orchestrator.Service{ID: fmt.Sprintf("p%d-%d", p, i), Kind: catalog.Bucket, NodeID: "n1", CreatedAt: at})
			all[p].Cursors = append(all[p].Cursors, fmt.Sprint(p+1))
		}
		all[p].More = p+1 < pages
	}
	return all
}

func TestList(t *testing.T) {
	for _, tt := range []struct{ pages, size int }{{1, 0}, {1, 1}, {1, 3}, {3, 1000}, {2, 1}} {
		api := newFake()
		api.pages = pagesOf(t, tt.pages, tt.size)
		for _, path := range []string{"/bucket-services", "/bucket-services/"} {
			got := ask(t, "GET", serve(t, api)+path, "")
			var list []struct {
				ServiceID string `json:"service_id"`
				Port      int    `json:"port"`
			}
			if err := json.Unmarshal([]byte(got.body), &list); err != nil || got.status != 200 {
				t.Fatalf("got %d, %v: %.200s", got.status, err, got.body)
			}
			if list == nil || len(list) != tt.pages*tt.size {
				t.Errorf("%v: got %d services", tt, len(list))
			}
			for i, s := range list {
				if want := fmt.Sprintf("p%d-%d", i/tt.size, i%tt.size); s.ServiceID != want || s.Port != 20000 {
					t.Fatalf("%v: number %d is %v, want %s", tt, i, s, want)
				}
			}
			pages := slices.DeleteFunc(api.called(), func(call string) bool { return !strings.HasPrefix(call, "Services") })
			if len(pages) != tt.pages || pages[0] != "Services {Kinds:[BUCKET] Phases:[] Healths:[] NodeID: NameContains: Labels:[] Warned:false} {First:1000 After:}" ||
				tt.pages > 1 && !strings.HasSuffix(pages[1], "{First:1000 After:1}") {
				t.Errorf("%v: got calls %q", tt, pages)
			}
		}
	}
}

// A list that fails after its first page breaks the connection.
func TestListCutShort(t *testing.T) {
	api := newFake()
	api.pages = pagesOf(t, 2, 1000)
	api.pages[1].More = true
	api.pageErr = errors.New("secret")
	response, err := http.Get(serve(t, api) + "/bucket-services")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err == nil || json.Valid(data) || strings.Contains(string(data), "secret") || !strings.Contains(string(data), "p0-499") {
		t.Errorf("got %v, %.300s", err, data)
	}
}

func TestHead(t *testing.T) {
	api := newFake()
	response, err := http.Head(serve(t, api) + "/bucket-services/s1")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if data, err := io.ReadAll(response.Body); err != nil || response.StatusCode != 200 || len(data) > 0 {
		t.Errorf("got %d, %q, %v", response.StatusCode, data, err)
	}
}

func TestMetrics(t *testing.T) {
	url := serve(t, newFake())
	ask(t, "POST", url+"/launchQueue", "{}")
	ask(t, "GET", url+"/queue-services/no", "")
	ask(t, "PUT", url+"/queue-services/no", "")
	ask(t, "GET", url+"/queue-services/no/x", "")
	ask(t, "DELETE ", url+"/queue-services/no", "")
	response, err := http.Get(url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`{code="OK",kind="queue",operation="launch"} 1`, `{code="NOT_FOUND",kind="queue",operation="get"} 1`,
		`{code="INVALID_INPUT",kind="queue",operation="unknown"} 1`, `{code="NOT_FOUND",kind="queue",operation="unknown"} 1`,
		`{code="INVALID_INPUT",kind="queue",operation="remove"} 1`,
	} {
		if !strings.Contains(string(body), "uws_old_endpoint_requests_total"+want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
}
