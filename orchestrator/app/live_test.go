package app_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/unicorn-web-services/uws/orchestrator/auth"
	"github.com/unicorn-web-services/uws/server"
)

// What a dashboard shows. Times that change with every check are left out: they alone are no change.
const (
	serviceFields = `id name kind template{name version} node{id} desiredState phase health healthy reason reasonCode endpoint restarts nextRestartAt createdAt progress{step percent phase}`
	nodeFields    = `id name driver endpoint serviceAddress healthy reason version cpus memoryBytes serviceCount`
	changesQuery  = `subscription($since: String) { changes(since: $since) { kind reset complete cursor services {` + serviceFields +
		`} nodes {` + nodeFields + `} deletedServices deletedNodes } }`
	eventsQuery = `subscription($since: String) { serviceHealthChanged(since: $since) { id cursor name phase health } }`
)

// door serves a world over HTTP. It keeps its address when it is opened again.
type door struct {
	w       *world
	address string
	token   string
	close   func()
}

func (w *world) openDoor() *door {
	d := &door{w: w, address: "127.0.0.1:0"}
	d.open()
	w.t.Cleanup(func() { d.close() })
	return d
}

func (d *door) open() {
	d.w.t.Helper()
	ctx := auth.With(d.w.t.Context(), auth.CommandLine())
	access, err := auth.Open(ctx, auth.Options{Store: d.w.st})
	if err == nil && d.token == "" {
		d.token, _, err = access.CreateToken(ctx, auth.TokenInput{Name: "door", Role: auth.Viewer})
	}
	if err != nil {
		d.w.t.Fatal(err)
	}
	opts := server.Options{API: d.w.App, Access: access, Listen: d.address, Log: testLog(), Registry: d.w.reg}
	opts.WebSocket.WriteTimeout = 500 * time.Millisecond
	opts.WebSocket.MaxQueued = 2 << 10
	s, err := server.New(opts)
	if err == nil {
		err = s.Listen(d.w.t.Context())
	}
	if err != nil {
		d.w.t.Fatal(err)
	}
	d.address = strings.TrimPrefix(s.URL(), "http://")
	running, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(running) }()
	d.close = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			d.w.t.Errorf("closing the door: %v", err)
		}
	})
}

func (d *door) bearer() http.Header { return http.Header{"Authorization": {"Bearer " + d.token}} }

// ask sends a query.
func (d *door) ask(query string, into any) {
	d.w.t.Helper()
	body, err := json.Marshal(map[string]string{"query": query})
	if err != nil {
		d.w.t.Fatal(err)
	}
	request, err := http.NewRequest(http.MethodPost, "http://"+d.address+"/graphql", bytes.NewReader(body))
	if err != nil {
		d.w.t.Fatal(err)
	}
	request.Header = d.bearer()
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		d.w.t.Fatal(err)
	}
	defer response.Body.Close()
	answer := struct{ Data any }{into}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		d.w.t.Fatal(err)
	}
}

// truth is what the store holds, by id.
func (d *door) truth() picture {
	d.w.t.Helper()
	var data struct {
		Services struct{ Nodes []json.RawMessage }
		Nodes    []json.RawMessage
	}
	d.ask(`{services(first:500){nodes{`+serviceFields+`}} nodes{`+nodeFields+`}}`, &data)
	p := picture{}
	p.put(data.Services.Nodes)
	p.put(data.Nodes)
	return p
}

// picture is what a dashboard shows: the newest text of each service and node, by id.
type picture map[string]string

func (p picture) put(objects []json.RawMessage) {
	for _, o := range objects {
		var key struct{ ID string }
		if json.Unmarshal(o, &key) == nil {
			p[key.ID] = string(o)
		}
	}
}

// differs names an object that is not the same in both, empty when there is none.
func (p picture) differs(other picture) string {
	for id, text := range other {
		if p[id] != text {
			return fmt.Sprintf("%s is %s, not %s", id, p[id], text)
		}
	}
	for id, text := range p {
		if _, ok := other[id]; !ok {
			return fmt.Sprintf("%s is shown and is not there: %s", id, text)
		}
	}
	return ""
}

// changeSet is a message of changes.
type changeSet struct {
	Kind                          string
	Reset, Complete               bool
	Cursor                        string
	Services, Nodes               []json.RawMessage
	DeletedServices, DeletedNodes []string
}

// subscribe calls got with the data of each message until ctx ends (nil), the connection does, got fails, or the
// server sends an error.
func (d *door) subscribe(ctx context.Context, query, since string, got func(json.RawMessage) error) error {
	dialer := websocket.Dialer{Subprotocols: []string{"graphql-transport-ws"}, HandshakeTimeout: 10 * time.Second}
	ws, _, err := dialer.DialContext(ctx, "ws://"+d.address+"/graphql", d.bearer())
	if err != nil {
		return err
	}
	defer ws.Close()
	defer context.AfterFunc(ctx, func() { _ = ws.Close() })()
	variables := map[string]any{}
	if since != "" {
		variables["since"] = since
	}
	err = errors.Join(ws.WriteJSON(map[string]any{"type": "connection_init"}), ws.WriteJSON(map[string]any{
		"type": "subscribe", "id": "1", "payload": map[string]any{"query": query, "variables": variables}}))
	for err == nil {
		var m struct {
			Type    string
			Payload json.RawMessage
		}
		if err = ws.ReadJSON(&m); err != nil {
			break
		}
		switch m.Type {
		case "next":
			err = got(m.Payload)
		case "error", "complete":
			err = errRefused{m.Type + " " + string(m.Payload)}
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// errRefused is the server's end of a subscription.
type errRefused struct{ text string }

func (e errRefused) Error() string { return e.text }

func (e errRefused) expired() bool { return strings.Contains(e.text, "CURSOR_EXPIRED") }

// dashboard keeps a picture by changes alone, across connections.
type dashboard struct {
	mu      sync.Mutex
	shown   picture
	next    picture // of a snapshot that is not complete
	cursor  string
	sets    []changeSet // without their objects
	resets  int
	hearing bool // of the present connection, something came
}

// got applies one message as the schema tells clients to.
func (b *dashboard) got(payload json.RawMessage) error {
	var message struct{ Data struct{ Changes changeSet } }
	if err := json.Unmarshal(payload, &message); err != nil {
		return err
	}
	c := message.Data.Changes
	b.mu.Lock()
	defer b.mu.Unlock()
	into := b.shown
	if c.Kind == "SNAPSHOT" {
		if b.next == nil {
			b.next = picture{}
		}
		into = b.next
	} else if into == nil {
		return fmt.Errorf("a batch came before any snapshot: %s", payload)
	}
	into.put(c.Nodes)
	into.put(c.Services)
	for _, id := range append(c.DeletedServices, c.DeletedNodes...) {
		delete(into, id)
	}
	if c.Complete {
		b.shown, b.next, b.cursor = into, nil, c.Cursor
	}
	if c.Reset && c.Complete {
		b.resets++
	}
	b.hearing = true
	b.sets = append(b.sets, c)
	return nil
}

// follow keeps the dashboard connected until ctx ends.
func (b *dashboard) follow(ctx context.Context, d *door, held func()) error {
	for ctx.Err() == nil {
		b.mu.Lock()
		since := b.cursor
		b.next, b.hearing = nil, false
		b.mu.Unlock()
		err := d.subscribe(ctx, changesQuery, since, func(m json.RawMessage) error {
			held()
			return b.got(m)
		})
		if refused, ok := errors.AsType[errRefused](err); ok {
			return refused
		}
		breathe(ctx)
	}
	return nil
}

// breathe keeps one who cannot connect from trying all the time.
func breathe(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(5 * time.Millisecond):
	}
}

func (b *dashboard) now() picture {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := picture{}
	for id, text := range b.shown {
		p[id] = text
	}
	return p
}

// agrees waits until the dashboard shows what the store holds.
func (d *door) agrees(who string, b *dashboard) {
	d.w.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		difference := b.now().differs(d.truth())
		if difference == "" {
			return
		}
		if time.Now().After(deadline) {
			d.w.t.Fatalf("%s does not show what the store holds: %s", who, difference)
		}
		breathe(d.w.t.Context())
	}
}

// openDB opens the world's database beside it.
func (w *world) openDB() *sql.DB {
	w.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(w.dir, "data", "uws.db")+"?_pragma=busy_timeout(10000)")
	if err != nil {
		w.t.Fatal(err)
	}
	return db
}

// begin has a dashboard follow in the background.
func (d *door) begin(t *testing.T) (b *dashboard, stop func()) {
	b = &dashboard{}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.follow(ctx, d, func() {}) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return b, stop
}
