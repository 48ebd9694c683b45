package server_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// dialIdle opens a connection and sends nothing.
func dialIdle(t *testing.T, url string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn
}

// Connections without a request are closed to make room for new ones, the oldest first. WebSockets stay open.
func TestIdleConnectionsMakeRoom(t *testing.T) {
	const limit = 10
	opts := options(newFake())
	registry := prometheus.NewRegistry()
	opts.Registry, opts.MaxConnections, opts.HeaderTimeout = registry, limit, patience
	url, stop := run(t, opts)
	held := connect(t, url)
	var idle []net.Conn
	for range 3 * limit {
		idle = append(idle, dialIdle(t, url))
	}
	client := &http.Client{Transport: &http.Transport{}} // with connections of its own
	for range 3 {
		response, err := client.Get(url + "/healthz")
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
	}
	for _, conn := range idle[:2*limit] { // closed at once, not after their timeout
		if _, err := conn.Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
			t.Fatalf("an idle connection is still open: %v", err)
		}
	}
	held.say(`{"type":"ping"}`)
	held.expect("", "pong", "")
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "uws_http_closed_connections_total" && f.GetMetric()[0].GetCounter().GetValue() < 2*limit {
			t.Errorf("counted %v closed connections", f.GetMetric())
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// neighbours runs a server for a limited number of connections. It returns URLs for two addresses that count
// separately.
func neighbours(t *testing.T, limit int) (one, other string) {
	t.Helper()
	listener, err := net.Listen("tcp", "[::]:0")
	if err != nil {
		t.Fatal(err)
	}
	opts := options(newFake())
	opts.Listener, opts.MaxConnections, opts.HeaderTimeout = listener, limit, patience
	url, stop := run(t, opts)
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	port := listener.Addr().(*net.TCPAddr).Port
	one, other = fmt.Sprintf("http://[::1]:%d", port), fmt.Sprintf("http://127.0.0.1:%d", port)
	for _, u := range []string{one, other} {
		token, _ := admins.Load(url)
		admins.Store(u, token)
	}
	return one, other
}

// Connections of one address never close those of another, even idle ones.
func TestAddressKeepsItsIdleConnections(t *testing.T) {
	const limit = 16
	one, other := neighbours(t, limit)
	kept := dialIdle(t, other) // the oldest of all
	var many []net.Conn
	for range 3 * limit {
		many = append(many, dialIdle(t, one))
	}
	for _, conn := range many[:2*limit+1] {
		if _, err := conn.Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
			t.Fatalf("an idle connection is still open: %v", err)
		}
	}
	fmt.Fprintf(kept, "GET /healthz HTTP/1.1\r\nHost: %s\r\n\r\n", strings.TrimPrefix(other, "http://"))
	response, err := http.ReadResponse(bufio.NewReader(kept), nil)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("the other address's connection: %v %v", response, err)
	}
	_ = response.Body.Close()
}

// An address whose WebSockets use all connections loses its newest ones, one by one, until another address has as many.
func TestAddressesShareConnections(t *testing.T) {
	const limit = 16
	one, other := neighbours(t, limit)
	var all, few []*socket
	for range limit {
		all = append(all, connect(t, one))
	}
	refused := dialIdle(t, one)
	if _, err := refused.Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
		t.Fatalf("one address has more than all connections: %v", err)
	}
	for range limit / 2 {
		few = append(few, connect(t, other))
	}
	refused = dialIdle(t, other)
	if _, err := refused.Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
		t.Fatalf("the other address took more than its half: %v", err)
	}
	for _, s := range append(few, all[:limit/2]...) {
		s.say(`{"type":"ping"}`)
		s.expect("", "pong", "")
	}
	for _, s := range all[limit/2:] {
		if _, _, err := s.ReadMessage(); err == nil || strings.Contains(err.Error(), "timeout") {
			t.Errorf("a connection beyond its half is still open: %v", err)
		}
	}
}
