package server_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/unicorn-web-services/uws/orchestrator/auth"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/store"
	"github.com/unicorn-web-services/uws/server"
)

// patience is how long a test waits for something that must happen. Passing tests never wait that long.
const patience = 20 * time.Second

func options(api *fakeAPI) server.Options {
	return server.Options{
		API: api, Registry: prometheus.NewPedanticRegistry(), Version: "1.2.3", Revision: "abc",
		UI: fstest.MapFS{"index.html": {Data: []byte("<!doctype html>")}},
	}
}

// newAuth returns an Authenticator with a store of its own.
func newAuth(t testing.TB, opts auth.Options) *auth.Authenticator {
	t.Helper()
	st, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	opts.Store = st
	k, err := auth.Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return k
}

// tokenOf creates a token.
func tokenOf(t testing.TB, k *auth.Authenticator, role auth.Role, kinds ...catalog.Kind) string {
	t.Helper()
	secret, _, err := k.CreateToken(auth.With(t.Context(), auth.CommandLine()), auth.TokenInput{Name: rand.Text(), Role: role, Kinds: kinds})
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

// serve starts the server's handler on a port of its own and returns its URL. Requests without credentials count as
// those of an ADMIN, for tests of everything else.
func serve(t *testing.T, opts server.Options) string {
	t.Helper()
	if opts.Access == nil {
		opts.Access = newAuth(t, auth.Options{})
	}
	admin := "Bearer " + tokenOf(t, opts.Access, auth.Admin)
	return serveLocked(t, opts, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") == "" {
				r.Header.Set("Authorization", admin)
			}
			next.ServeHTTP(w, r)
		})
	})
}

// admins maps the URLs of running servers to ADMIN tokens. Each new server sets or deletes its entry, because ports are
// reused.
var admins sync.Map

// credential returns headers that authenticate the requests of most tests.
func credential(url string) http.Header {
	if token, ok := admins.Load(url); ok {
		return http.Header{"Authorization": {"Bearer " + token.(string)}}
	}
	return http.Header{}
}

// serveLocked is serve for tests that send their own credentials.
func serveLocked(t *testing.T, opts server.Options, around ...func(http.Handler) http.Handler) string {
	t.Helper()
	s, err := server.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	handler := s.Handler()
	for _, wrap := range around {
		handler = wrap(handler)
	}
	ts := httptest.NewServer(handler)
	t.Cleanup(ts.Close)
	admins.Delete(ts.URL) // left by an earlier server on the same port
	return ts.URL
}

type answer struct {
	Data   json.RawMessage `json:"data"`
	Errors []struct {
		Message    string         `json:"message"`
		Path       []any          `json:"path"`
		Extensions map[string]any `json:"extensions"`
	} `json:"errors"`
	status int
}

func (a answer) code() string {
	if len(a.Errors) == 0 {
		return "OK"
	}
	code, _ := a.Errors[0].Extensions["code"].(string)
	return code
}

// post sends one operation.
func post(t *testing.T, url, query string, variables map[string]any) answer {
	t.Helper()
	body, err := json.Marshal(map[string]any{"query": query, "variables": variables})
	if err != nil {
		t.Fatal(err)
	}
	return send(t, url, "application/json", string(body))
}

func send(t *testing.T, url, contentType, body string) answer {
	t.Helper()
	request, err := http.NewRequest(http.MethodPost, url+"/graphql", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header = credential(url)
	request.Header.Set("Content-Type", contentType)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	return read(t, response)
}

func read(t *testing.T, response *http.Response) answer {
	t.Helper()
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answer{status: response.StatusCode}
	if err := json.Unmarshal(data, &a); err != nil {
		t.Fatalf("not JSON: %v: %s", err, data)
	}
	return a
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(data)
}

// compact removes white space from JSON.
func compact(t *testing.T, text string) string {
	t.Helper()
	var out bytes.Buffer
	if err := json.Compact(&out, []byte(text)); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return out.String()
}

// socket is a graphql-transport-ws client.
type socket struct {
	*websocket.Conn
	t *testing.T
}

type message struct {
	ID      string          `json:"id"`
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload"`
}

func dial(t *testing.T, url string) *socket {
	t.Helper()
	return dialWith(t, url, credential(url))
}

func dialWith(t *testing.T, url string, header http.Header) *socket {
	t.Helper()
	dialer := websocket.Dialer{Subprotocols: []string{"graphql-transport-ws"}}
	ws, response, err := dialer.Dial("ws"+strings.TrimPrefix(url, "http")+"/graphql", header)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	t.Cleanup(func() { _ = ws.Close() })
	_ = ws.SetReadDeadline(time.Now().Add(patience))
	return &socket{ws, t}
}

// connect opens and initialises a connection.
func connect(t *testing.T, url string) *socket {
	t.Helper()
	s := dial(t, url)
	s.say(`{"type":"connection_init"}`)
	s.expect("", "connection_ack", "")
	return s
}

func (s *socket) say(text string) {
	s.t.Helper()
	if err := s.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		s.t.Fatal(err)
	}
}

func (s *socket) subscribe(id, query string) {
	s.t.Helper()
	payload, err := json.Marshal(map[string]string{"query": query})
	if err != nil {
		s.t.Fatal(err)
	}
	s.say(`{"id":"` + id + `","type":"subscribe","payload":` + string(payload) + `}`)
}

// expect reads the next message and compares it. An empty payload is not compared.
func (s *socket) expect(id, kind, payload string) message {
	s.t.Helper()
	var m message
	if err := s.ReadJSON(&m); err != nil {
		s.t.Fatalf("waiting for %s: %v", kind, err)
	}
	if m.ID != id || m.Type != kind || payload != "" && string(m.Payload) != payload {
		s.t.Fatalf("got %s %s %s, want %s %s %s", m.ID, m.Type, m.Payload, id, kind, payload)
	}
	return m
}

// expectClose reads until the connection is closed, and compares the close code.
func (s *socket) expectClose(code int) {
	s.t.Helper()
	for {
		_, _, err := s.ReadMessage()
		if err == nil {
			continue
		}
		if !websocket.IsCloseError(err, code) {
			s.t.Fatalf("got %v, want close code %d", err, code)
		}
		return
	}
}

func receive[T any](t *testing.T, ch <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatalf("%s did not come", what)
		panic("unreachable")
	}
}
