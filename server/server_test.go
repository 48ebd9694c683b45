package server_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/unicorn-web-services/uws/orchestrator/auth"
	"github.com/unicorn-web-services/uws/server"
)

func TestListensOnLoopbackOnly(t *testing.T) {
	for address, want := range map[string]string{
		"127.0.0.1:8080":   "",
		"127.0.0.1:0":      "",
		"127.9.9.9:80":     "",
		"[::1]:8080":       "",
		"localhost:8080":   "",
		"0.0.0.0:8080":     "without TLS",
		":8080":            "without TLS",
		"[::]:9":           "or [::1]:9",
		"192.168.1.2:8080": "--allow-plaintext-beyond-loopback",
		"example.com:8080": "--allow-plaintext-beyond-loopback",
		"8080":             "must be host:port",
		"127.0.0.1":        "must be host:port",
		"127.0.0.1:99999":  "the port must be 0 to 65535",
	} {
		err := server.ValidateListen(address, false)
		if want == "" && err != nil {
			t.Errorf("%s: %v", address, err)
		}
		if want != "" && (err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), address)) {
			t.Errorf("%s: got %v, want it named and %q", address, err, want)
		}
	}
}

func TestPortInUse(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	opts := options(newFake())
	opts.Access = newAuth(t, auth.Options{})
	opts.Listen = listener.Addr().String()
	s, err := server.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(t.Context()); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("got %v", err)
	}
}

// run starts a server. stop stops it and returns its error.
func run(t *testing.T, opts server.Options) (url string, stop func() error) {
	t.Helper()
	opts.Listen = "127.0.0.1:0"
	if opts.Access == nil {
		opts.Access = newAuth(t, auth.Options{})
	}
	s, err := server.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(cancel)
	admins.Store(s.URL(), tokenOf(t, opts.Access, auth.Admin))
	return s.URL(), func() error {
		cancel()
		return receive(t, done, "the server's end")
	}
}

func TestGracefulStop(t *testing.T) {
	api := newFake()
	url, stop := run(t, options(api))
	sockets := []*socket{connect(t, url), connect(t, url), dial(t, url)} // the last one has sent nothing
	for i, s := range sockets[:2] {
		s.subscribe("x", changesOf(i))
		receive(t, api.watching, "the watch")
	}
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	for _, s := range sockets {
		s.expectClose(websocket.CloseGoingAway)
	}
	if err := receive(t, stopped, "the stop"); err != nil {
		t.Error(err)
	}
	for range 2 {
		receive(t, api.unwatch, "the watch's end")
	}
	if _, err := net.Dial("tcp", strings.TrimPrefix(url, "http://")); err == nil {
		t.Error("the port is still open")
	}
}

// A client that does not answer delays the stop by the timeout at most.
func TestStopWithSilentClient(t *testing.T) {
	api := newFake()
	opts := options(api)
	opts.ShutdownTimeout = 50 * time.Millisecond
	opts.WebSocket.Linger = time.Hour // it would wait for the client's answer to the close frame
	url, stop := run(t, opts)
	s := connect(t, url)
	s.subscribe("x", `subscription{serviceHealthChanged{reason}}`)
	receive(t, api.watching, "the watch")
	if err := stop(); err != nil {
		t.Error(err)
	}
	receive(t, api.unwatch, "the watch's end")
}

func TestHealthAndReadiness(t *testing.T) {
	api := newFake()
	url := serve(t, options(api))
	if status, body := get(t, url+"/healthz"); status != 200 || body != "{\"status\":\"alive\"}\n" {
		t.Errorf("got %d %s", status, body)
	}
	if status, body := get(t, url+"/readyz"); status != 200 || body != "{\"status\":\"ready\"}\n" {
		t.Errorf("got %d %s", status, body)
	}
	api.ready = errors.New("the store does not answer")
	if status, body := get(t, url+"/readyz"); status != 503 || !strings.Contains(body, `"reason":"the store does not answer"`) {
		t.Errorf("got %d %s", status, body)
	}
	if status, _ := get(t, url+"/healthz"); status != 200 {
		t.Errorf("alive is not ready, but got %d", status)
	}
}

func TestMetrics(t *testing.T) {
	api := newFake()
	opts := options(api)
	url := serve(t, opts)
	post(t, url, `{nodes{id}}`, nil)
	post(t, url, `{nothing}`, nil)
	post(t, url, `subscription{serviceHealthChanged{cursor}}`, nil)
	send(t, url, "text/plain", "x")
	s := connect(t, url)
	s.subscribe("x", changes)
	receive(t, api.watching, "the watch")
	s.subscribe("gone", `subscription{launchProgress(serviceId:"no"){step}}`)
	s.expect("gone", "error", "")

	_, body := get(t, url+"/metrics")
	for _, want := range []string{
		`uws_build_info{goversion="go1.`, `revision="abc",version="1.2.3"} 1`,
		`uws_graphql_requests_total{code="OK",operation="query"} 1`,
		`uws_graphql_requests_total{code="INVALID_INPUT",operation="unknown"} 2`,
		`uws_graphql_requests_total{code="INVALID_INPUT",operation="subscription"} 1`,
		`uws_graphql_requests_total{code="NOT_FOUND",operation="subscription"} 1`,
		`uws_graphql_request_duration_seconds_count{operation="query"} 1`,
		`uws_websocket_connections 1`,
		`uws_graphql_subscriptions 1`,
		`go_goroutines `, `process_open_fds `,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
	problems, err := promlint.New(strings.NewReader(body)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v %v", err, problems)
	}
	s.say(`{"id":"x","type":"complete"}`)
	receive(t, api.unwatch, "the watch's end")
}

// Requests in progress are completed before the server stops.
func TestStopFinishesRequests(t *testing.T) {
	api := newFake()
	api.held, api.release = make(chan struct{}), make(chan struct{})
	url, stop := run(t, options(api))
	answered := make(chan answer, 1)
	go func() { answered <- post(t, url, `{node(id:"n2"){name}}`, nil) }()
	receive(t, api.held, "the call")
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	select {
	case err := <-stopped:
		t.Fatalf("the server did not wait: %v", err)
	case api.release <- struct{}{}:
	}
	if got := receive(t, answered, "the answer"); got.code() != "OK" || got.status != 200 {
		t.Errorf("got %d %v", got.status, got.Errors)
	}
	if err := receive(t, stopped, "the stop"); err != nil {
		t.Error(err)
	}
}
