package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/gorilla/websocket"

	"github.com/unicorn-web-services/uws/graph"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/auth"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/store"
	"github.com/unicorn-web-services/uws/server"
)

// runServer serves WebSockets and, on another port, lines of control, until it is killed.
func runServer(ctx context.Context, kind string) error {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	control, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	feed := newFeed()
	handler, fire := http.Handler(nil), feed.fire
	switch kind {
	case "uws":
		if handler, err = ours(ctx, feed); err != nil {
			return err
		}
	case "gqlgen":
		handler = stock(feed)
	case "gorilla":
		b := &broadcast{}
		handler, fire = b, b.fire
	default:
		return fmt.Errorf("no server of kind %q", kind)
	}
	go obey(control, fire)
	fmt.Println(listener.Addr(), control.Addr())
	return (&http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}).Serve(listener)
}

// ours is the whole server, to which everybody comes with the same token.
func ours(ctx context.Context, api orchestrator.API) (http.Handler, error) {
	dir, err := os.MkdirTemp("", "uws-fanout-")
	if err != nil {
		return nil, err
	}
	st, err := store.Open(ctx, store.Options{Dir: dir})
	if err != nil {
		return nil, err
	}
	access, err := auth.Open(ctx, auth.Options{Store: st})
	if err != nil {
		return nil, err
	}
	token, _, err := access.CreateToken(auth.With(ctx, auth.CommandLine()), auth.TokenInput{Name: "bench", Role: auth.Viewer})
	if err != nil {
		return nil, err
	}
	s, err := server.New(server.Options{API: api, Access: access})
	if err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("Authorization", "Bearer "+token)
		s.Handler().ServeHTTP(w, r)
	}), nil
}

func obey(control net.Listener, fire func(int)) {
	conn, err := control.Accept()
	if err != nil {
		return
	}
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		word, number, _ := strings.Cut(lines.Text(), " ")
		answer := "ok"
		switch word {
		case "fire":
			n, _ := strconv.Atoi(number)
			fire(n)
		case "gc":
			debug.FreeOSMemory()
		case "goroutines":
			answer = strconv.Itoa(runtime.NumGoroutine())
		case "mallocs":
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			answer = strconv.FormatUint(m.Mallocs, 10)
		}
		fmt.Fprintln(conn, answer)
	}
}

// feed is a control plane that only has events, in memory.
type feed struct {
	orchestrator.API // nil: nothing else is asked

	mu     sync.Mutex
	events []*orchestrator.Event
	more   chan struct{}
}

func newFeed() *feed { return &feed{more: make(chan struct{})} }

func event(id int64) *orchestrator.Event {
	return &orchestrator.Event{
		ID: id, Mark: 7, Subject: "SERVICE", ServiceID: "s5hzpf4qawwpna3wxtnjkzgiwt", ServiceName: "photos", Kind: new(catalog.Bucket),
		Phase: new(lifecycle.Running), Health: new(lifecycle.HealthHealthy), Reason: "listed the buckets", Restarts: 3,
	}
}

func (f *feed) fire(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for range n {
		f.events = append(f.events, event(int64(len(f.events)+1)))
	}
	close(f.more)
	f.more = make(chan struct{})
}

func (f *feed) after(seq int64) ([]*orchestrator.Event, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.events[seq:], f.more
}

// WatchEvents implements [orchestrator.API].
func (f *feed) WatchEvents(ctx context.Context, span orchestrator.Span, yield func(*orchestrator.Event) error) (int64, error) {
	f.mu.Lock()
	seq := int64(len(f.events))
	f.mu.Unlock()
	if span.After != nil {
		seq = *span.After
	}
	for {
		events, more := f.after(seq)
		for _, e := range events {
			if err := yield(e); err != nil {
				return seq, err
			}
			seq = e.ID
		}
		if len(events) > 0 {
			continue
		}
		if !span.Live {
			return seq, nil
		}
		select {
		case <-ctx.Done():
			return seq, nil
		case <-more:
		}
	}
}

// stock is the same schema behind gqlgen's own transport.
func stock(feed *feed) http.Handler {
	g := graph.New(graph.Options{API: feed})
	g.AddTransport(transport.Websocket{InitTimeout: time.Minute})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.ServeHTTP(w, r.WithContext(graph.WithStreaming(auth.With(r.Context(), auth.CommandLine()))))
	})
}

// broadcast is as little as there can be: one goroutine writes the same message to all, with nothing in between.
type broadcast struct {
	mu      sync.Mutex
	clients []*client
	last    int64
}

type client struct {
	ws     *websocket.Conn
	prefix []byte
}

var upgrader = websocket.Upgrader{Subprotocols: []string{"graphql-transport-ws"}, ReadBufferSize: 512, WriteBufferPool: &sync.Pool{}}

func (b *broadcast) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ws, err := upgrader.Upgrade(w, r, nil)
	if err == nil {
		go b.read(ws)
	}
}

func (b *broadcast) read(ws *websocket.Conn) {
	for {
		var m struct{ ID, Type string }
		if err := ws.ReadJSON(&m); err != nil {
			return
		}
		b.mu.Lock()
		switch m.Type {
		case "connection_init":
			_ = ws.WriteMessage(websocket.TextMessage, []byte(`{"type":"connection_ack"}`))
		case "ping":
			_ = ws.WriteMessage(websocket.TextMessage, []byte(`{"type":"pong"}`))
		case "subscribe":
			b.clients = append(b.clients, &client{ws, fmt.Appendf(nil, `{"id":%q,"type":"next","payload":`, m.ID)})
		}
		b.mu.Unlock()
	}
}

func (b *broadcast) fire(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for range n {
		b.last++
		e := event(b.last)
		payload, _ := json.Marshal(map[string]any{"data": map[string]any{"serviceHealthChanged": map[string]any{
			"cursor": orchestrator.EventCursor(e), "id": strconv.FormatInt(e.ID, 10), "name": e.ServiceName, "kind": e.Kind,
			"phase": e.Phase, "health": e.Health, "reason": e.Reason, "restarts": e.Restarts,
		}}}) // strings and numbers always marshal
		var buf []byte
		for _, c := range b.clients {
			buf = append(append(append(buf[:0], c.prefix...), payload...), '}')
			_ = c.ws.WriteMessage(websocket.TextMessage, buf)
		}
	}
}
