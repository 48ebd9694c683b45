package server_test

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// What a client sends is bounded before it has signed in. What is echoed is always bounded.
func TestSmallFrames(t *testing.T) {
	url := serve(t, options(newFake()))
	closed := func(s *socket, code int) {
		t.Helper()
		_, _, err := s.ReadMessage()
		if !websocket.IsCloseError(err, code) {
			t.Errorf("got %v, want a close with %d", err, code)
		}
	}
	early := dial(t, url)
	early.say(`{"type":"ping","payload":{"x":"` + strings.Repeat("x", 4<<10) + `"}}`)
	closed(early, websocket.CloseMessageTooBig)

	s := connect(t, url)
	short, long := `{"x":"`+strings.Repeat("x", 117)+`"}`, `{"x":"`+strings.Repeat("x", 118)+`"}`
	s.say(`{"type":"ping","payload":` + short + `}`)
	s.expect("", "pong", short)
	s.say(`{"type":"ping","payload":` + long + `}`)
	if m := s.expect("", "pong", ""); m.Payload != nil {
		t.Errorf("a payload of %d bytes came back", len(m.Payload))
	}
	s.say(`{"type":"ping","payload":{"x":"` + strings.Repeat("x", 64<<10) + `"}}`) // a large message is accepted
	s.expect("", "pong", "")
	s.subscribe(strings.Repeat("i", 128), `{__typename}`)
	s.expect(strings.Repeat("i", 128), "next", "")
	s.expect(strings.Repeat("i", 128), "complete", "")
	s.say(`{"id":"` + strings.Repeat("i", 129) + `","type":"complete"}`)
	closed(s, 4400)
}

// If clients send requests continuously and read no answers, the server stops reading from them, so answers do not pile
// up. If the answers are large, some connections are closed because their caller's share is used up.
func TestFloods(t *testing.T) {
	const (
		clients = 20
		enough  = 4 << 20  // bytes; much more than the buffers in between hold
		most    = 24 << 20 // bytes in total: what one caller may hold, and what does not grow with the number of clients
	)
	for name, flood := range map[string]struct {
		kind int
		text string
		init bool
		ends bool // some connections may be closed
	}{
		"pings before connection_init": {websocket.TextMessage, `{"type":"ping","payload":{"a":"` + strings.Repeat("x", 100) + `"}}`, false, false},
		"pings":                        {websocket.TextMessage, `{"type":"ping","payload":{"a":"` + strings.Repeat("x", 100) + `"}}`, true, false},
		"large pings":                  {websocket.TextMessage, `{"type":"ping","payload":{"a":"` + strings.Repeat("x", 5<<10) + `"}}`, true, false},
		"pings of RFC 6455":            {websocket.PingMessage, strings.Repeat("x", 125), true, false},
		"bad operations":               {websocket.TextMessage, `{"id":"ID","type":"subscribe","payload":{"query":"{nonsense` + strings.Repeat("x", 3000) + `}"}}`, true, false},
		"queries":                      {websocket.TextMessage, `{"id":"ID","type":"subscribe","payload":{"query":"{__schema{types{name description fields{name description}}}}"}}`, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			opts := options(newFake())
			opts.WebSocket.WriteTimeout, opts.WebSocket.InitTimeout, opts.WebSocket.PingInterval = time.Hour, time.Hour, time.Hour
			small := net.ListenConfig{Control: smallBuffers}
			var err error
			if opts.Listener, err = small.Listen(t.Context(), "tcp", "127.0.0.1:0"); err != nil {
				t.Fatal(err)
			}
			url, _ := run(t, opts)
			connect(t, url) // allocate what only the first connection needs
			before := settledHeap()
			var floods sync.WaitGroup
			for range clients {
				s := dialSmall(t, url)
				if flood.init {
					s.say(`{"type":"connection_init"}`)
					s.expect("", "connection_ack", "")
				}
				floods.Go(func() {
					for n, sent := 0, 0; ; n++ {
						body := []byte(strings.ReplaceAll(flood.text, "ID", strconv.Itoa(n)))
						_ = s.SetWriteDeadline(time.Now().Add(time.Second)) // once the server stops reading
						err := s.WriteMessage(flood.kind, body)
						if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
							return
						}
						if err != nil && flood.ends {
							return
						}
						if err != nil {
							t.Errorf("ended after %s: %v", size(sent), err)
							return
						}
						if sent += len(body); sent > enough {
							t.Errorf("%s were read", size(sent))
							return
						}
					}
				})
			}
			floods.Wait()
			holds(t, clients, before, most)
		})
	}
}

// Incomplete large messages hold bounded memory, which is taken only from their sender's share.
func TestHalfMessages(t *testing.T) {
	const clients, most = 100, 6 << 20
	opts, greedy, other := tight(t, newFake())
	url := serveLocked(t, opts)
	connectAs(t, url, greedy)
	before := settledHeap()
	half := websocket.FormatCloseMessage(1000, strings.Repeat("x", 120<<10)) // any bytes
	for range clients {
		s := connectAs(t, url, greedy)
		w, err := s.NextWriter(websocket.TextMessage)
		if err == nil {
			_, err = w.Write(half)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	o := connectAs(t, url, other)
	o.say(`{"type":"ping","payload":{"a":"` + strings.Repeat("x", 100<<10) + `"}}`)
	o.expect("", "pong", "")
	holds(t, clients, before, most)
}

// Messages that wait for slow clients are bounded for each caller: some connections are closed, and their clients
// reconnect.
func TestManySlowReaders(t *testing.T) {
	const clients = 40
	api := newFake()
	opts, greedy, other := tight(t, api)
	opts.WebSocket.WriteTimeout, opts.WebSocket.PingInterval = time.Hour, time.Hour
	url := serveLocked(t, opts)
	quick := connectAs(t, url, other)
	quick.subscribe("quick", largeQuery)
	watches(t, api, 1)
	for range clients {
		connectAs(t, url, greedy).subscribe("1", largeQuery)
	}
	api.begun(t, clients+1)
	for fed := int64(1); counter(t, opts.Registry, "uws_websocket_too_slow_total") < clients/2; fed++ {
		if fed > 30 { // the buffers in between hold about ten
			t.Fatal("few were ended")
		}
		api.feed <- large(fed)
		if m := quick.expect("quick", "next", ""); idOf(m) != fed {
			t.Fatalf("got event %d, want %d", idOf(m), fed)
		}
	}
}

// dialSmall connects with small kernel buffers, which fill up quickly.
func dialSmall(t *testing.T, url string) *socket {
	t.Helper()
	d := net.Dialer{Control: smallBuffers}
	dialer := websocket.Dialer{Subprotocols: []string{"graphql-transport-ws"}, NetDialContext: d.DialContext, ReadBufferSize: 512, WriteBufferSize: 512}
	ws, response, err := dialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(url, "http")+"/graphql", credential(url))
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	t.Cleanup(func() { _ = ws.Close() })
	return &socket{ws, t}
}

// smallBuffers sets small kernel buffers for a socket.
func smallBuffers(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4<<10)
		_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF, 4<<10)
	})
}

func size(bytes int) string { return fmt.Sprintf("%.1f MB", float64(bytes)/1e6) }

// holds waits until the heap is at most most bytes larger than before. A request that is still being executed holds more, and then
// frees it.
func holds(t *testing.T, clients int, before uint64, most int) {
	t.Helper()
	until(t, fmt.Sprintf("%d connections hold %s at most", clients, size(most)), func() bool { return int(settledHeap())-int(before) <= most })
}

// settledHeap returns the heap in use after two collections, which empty the pools.
func settledHeap() uint64 {
	heap()
	return heap()
}
