package server_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/auth"
	"github.com/unicorn-web-services/uws/server"
)

// tight returns the options of a server with memory for about ten operations of one caller.
func tight(t *testing.T, api *fakeAPI) (opts server.Options, greedy, other string) {
	t.Helper()
	opts = options(api)
	opts.MaxMemory, opts.BusyTimeout = 9<<18, 50*time.Millisecond
	opts.Access = newAuth(t, auth.Options{})
	return opts, tokenOf(t, opts.Access, auth.Admin), tokenOf(t, opts.Access, auth.Admin)
}

// asked sends a request with a token.
func asked(t *testing.T, method, url, token string, body io.Reader) *http.Response {
	t.Helper()
	r, err := http.NewRequest(method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	return response
}

// releaseAtEnd releases all calls when the test ends, or earlier. Call it after the server has started.
func (f *fakeAPI) releaseAtEnd(t *testing.T) func() {
	release := sync.OnceFunc(func() { close(f.release) })
	t.Cleanup(release)
	return release
}

const slowQuery = `{"query":"{node(id:\"n1\"){id}}"}` // blocks until the fake releases it

// A part of one caller's HTTP requests is executed at once, and the rest is told to retry. Another caller is served
// meanwhile.
func TestExecutionsAreBounded(t *testing.T) {
	for name, ask := range map[string]struct{ method, path, body string }{
		"GraphQL":      {http.MethodPost, "/graphql", slowQuery},
		"old endpoint": {http.MethodGet, "/bucket-services/s1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			const n = 60
			api := newFake()
			api.held, api.release = make(chan struct{}, 2*n), make(chan struct{})
			opts, greedy, other := tight(t, api)
			url := serveLocked(t, opts)
			release := api.releaseAtEnd(t)
			send := func(token string) *http.Response {
				return asked(t, ask.method, url+ask.path, token, strings.NewReader(ask.body))
			}
			answers := make(chan *http.Response, n)
			for range n {
				go func() { answers <- send(greedy) }()
			}
			until(t, "all are executed or refused", func() bool { return len(api.held)+len(answers) == n })
			executed := len(api.held)
			if executed < 5 || executed > 20 {
				t.Errorf("%d of %d are executed at once", executed, n)
			}
			for range n - executed {
				response := <-answers
				body, _ := io.ReadAll(response.Body)
				if response.StatusCode != http.StatusTooManyRequests || response.Header.Get("Retry-After") != "1" || !strings.Contains(string(body), "too many requests at once") {
					t.Errorf("got %s %v %s", response.Status, response.Header, body)
				}
			}
			served := make(chan *http.Response, 1)
			go func() { served <- send(other) }()
			until(t, "another caller is served", func() bool { return len(api.held) == executed+1 })
			release()
			if response := receive(t, served, "the other's answer"); response.StatusCode != http.StatusOK {
				t.Errorf("the other got %s", response.Status)
			}
			for range executed {
				if response := receive(t, answers, "the answer"); response.StatusCode != http.StatusOK {
					t.Errorf("got %s", response.Status)
				}
			}
			if response := send(greedy); response.StatusCode != http.StatusOK { // everything was released
				t.Errorf("afterwards got %s", response.Status)
			}
		})
	}
}

// If all callers together hold everything, a caller that holds nothing gets "the server is busy".
func TestBusyServer(t *testing.T) {
	api := newFake()
	api.held, api.release = make(chan struct{}, 1000), make(chan struct{})
	opts, _, other := tight(t, api)
	url := serveLocked(t, opts)
	api.releaseAtEnd(t)
	refused := make(chan *http.Response, 1000)
	for i := range 40 {
		token := tokenOf(t, opts.Access, auth.Viewer)
		before := len(api.held) + len(refused)
		go func() { refused <- asked(t, http.MethodPost, url+"/graphql", token, strings.NewReader(slowQuery)) }()
		until(t, fmt.Sprintf("caller %d is executed or refused", i), func() bool { return len(api.held)+len(refused) > before })
	}
	response := asked(t, http.MethodPost, url+"/graphql", other, strings.NewReader(slowQuery))
	if got := read(t, response); response.StatusCode != http.StatusServiceUnavailable || got.code() != "UNAVAILABLE" || response.Header.Get("Retry-After") != "1" {
		t.Errorf("got %s %v", response.Status, got)
	}
}

// halfBody sends a request without the second half of its body.
func halfBody(t *testing.T, url, token string, length int) net.Conn {
	t.Helper()
	conn := dialIdle(t, url)
	authorization := ""
	if token != "" {
		authorization = "Authorization: Bearer " + token + "\r\n"
	}
	_, err := fmt.Fprintf(conn, "POST /graphql HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s",
		strings.TrimPrefix(url, "http://"), authorization, length, strings.Repeat(" ", length/2))
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// Incomplete large bodies use up only the share of their sender. Bodies of callers without credentials are not waited
// for.
func TestSlowBodies(t *testing.T) {
	const n = 30
	opts, greedy, other := tight(t, newFake())
	url := serveLocked(t, opts)
	answers := make(chan *http.Response, n)
	for range n {
		conn := halfBody(t, url, greedy, 60_000)
		go func() {
			if response, err := http.ReadResponse(bufio.NewReader(conn), nil); err == nil {
				answers <- response
			}
		}()
	}
	for range n - 5 {
		response := receive(t, answers, "the refusal of a body")
		if response.StatusCode != http.StatusTooManyRequests || response.Header.Get("Retry-After") != "1" {
			t.Fatalf("got %s", response.Status)
		}
	}
	large := `{"query":"{nodes{id}}` + strings.Repeat(" ", 50_000) + `"}`
	if response := asked(t, http.MethodPost, url+"/graphql", other, strings.NewReader(large)); response.StatusCode != http.StatusOK {
		t.Errorf("another caller got %s", response.Status)
	}
	if response := asked(t, http.MethodPost, url+"/graphql", greedy, strings.NewReader(slowQuery)); response.StatusCode != http.StatusOK {
		t.Errorf("a small request got %s", response.Status)
	}
	response, err := http.ReadResponse(bufio.NewReader(halfBody(t, url, "", 60_000)), nil)
	if err != nil || response.StatusCode != http.StatusUnauthorized {
		t.Errorf("an unknown sender got %v %v", response, err)
	}
}

// connectAs connects with a token.
func connectAs(t *testing.T, url, token string) *socket {
	t.Helper()
	s := dialWith(t, url, http.Header{})
	s.say(`{"type":"connection_init","payload":{"Authorization":"Bearer ` + token + `"}}`)
	s.expect("", "connection_ack", "")
	return s
}

// As much of one caller's WebSocket operations is executed as there is memory for. The rest waits, and another caller
// is served meanwhile.
func TestWebSocketExecutionsAreBounded(t *testing.T) {
	const sockets, each = 5, 20
	api := newFake()
	api.held, api.release = make(chan struct{}, 1000), make(chan struct{})
	opts, greedy, other := tight(t, api)
	url := serveLocked(t, opts)
	release := api.releaseAtEnd(t)
	var all []*socket
	for range sockets {
		s := connectAs(t, url, greedy)
		for i := range each {
			s.subscribe(fmt.Sprint(i), `{node(id:"n1"){id}}`)
		}
		all = append(all, s)
	}
	until(t, "some are executed", func() bool { return len(api.held) >= 5 })
	o := connectAs(t, url, other)
	o.subscribe("1", `{service(id:"s1"){id}}`)
	called := func() bool {
		api.mu.Lock()
		defer api.mu.Unlock()
		return slices.ContainsFunc(api.calls, func(call string) bool { return strings.HasPrefix(call, "Service ") })
	}
	until(t, "another caller is served", called)
	if n := len(api.held); n > 20 {
		t.Errorf("%d are executed at once", n)
	}
	release()
	o.expect("1", "next", "")
	for _, s := range all {
		for range 2 * each {
			if _, _, err := s.ReadMessage(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// The number of different subscriptions of a caller is bounded. Those of others, and ended ones, do not count.
func TestSubscriptionsThatDiffer(t *testing.T) {
	const n = 64
	api := newFake()
	api.watching, api.unwatch = make(chan string, 1000), make(chan ended, 1000)
	opts, greedy, other := tight(t, api)
	url := serveLocked(t, opts)
	s := connectAs(t, url, greedy)
	differs := func(i int) string { return fmt.Sprintf(`subscription{a%d:serviceHealthChanged{cursor}}`, i) }
	refused := make(chan message, 2*n)
	go func() {
		for {
			var m message
			if s.ReadJSON(&m) != nil {
				return
			}
			refused <- m
		}
	}()
	for i := range n {
		s.subscribe(fmt.Sprint(i), differs(i))
	}
	until(t, "all are served or refused", func() bool { return len(api.watching)+len(refused) == n })
	served := len(api.watching)
	if served < 3 || served > 20 {
		t.Errorf("%d of %d are served", served, n)
	}
	free := ""
	for range n - served {
		m := <-refused
		if m.Type != "error" || !strings.Contains(string(m.Payload), `"code":"LIMIT_EXCEEDED"`) {
			t.Fatalf("got %s %s", m.Type, m.Payload)
		}
		free = m.ID
	}
	connectAs(t, url, other).subscribe("1", differs(n))
	until(t, "another caller is served", func() bool { return len(api.watching) == served+1 })
	for i := range n { // some of them are served
		s.say(fmt.Sprintf(`{"id":"%d","type":"complete"}`, i))
	}
	for range served {
		receive(t, api.unwatch, "the end of a watch")
	}
	s.subscribe(free, differs(n+1))
	until(t, "there is room again", func() bool { return len(api.watching) == served+2 })
}
