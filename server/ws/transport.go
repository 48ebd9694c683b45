// Package ws serves GraphQL over WebSockets that speak graphql-transport-ws.
//
// Subscribers that are told the same share one execution: each catches up by one of its own, from where it wants to
// begin, until it is where the shared one is, and joins it there. A message is marshalled once, and written to each
// client at once, without waiting. A client that does not take it is left to a goroutine of its own; when it falls
// further behind it leaves the group, and catches up again when it can. One that takes nothing for too long is told to
// come back.
package ws

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/gorilla/websocket"

	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/server/budget"
)

// Limits of connections. Zero values are replaced by the defaults named.
type Limits struct {
	InitTimeout      time.Duration // until connection_init; 10 s
	PingInterval     time.Duration // between pings; a client that is silent for two is gone; 25 s
	WriteTimeout     time.Duration // in which a client must take something, or else a close frame; 4 s
	Linger           time.Duration // for the peer's answer to a close frame; 1 s
	MaxConnections   int           // at once; 50,000
	MaxSubscriptions int           // operations at once on a connection; 64
	MaxMessage       int           // bytes of a client's message; 128 KiB
	MaxQueued        int           // bytes kept for a client that is slow, about; 64 KiB
}

// SetDefaults replaces zero values.
func (l *Limits) SetDefaults() {
	l.InitTimeout = cmp.Or(l.InitTimeout, 10*time.Second)
	l.PingInterval = cmp.Or(l.PingInterval, 25*time.Second)
	l.WriteTimeout = cmp.Or(l.WriteTimeout, 4*time.Second)
	l.Linger = cmp.Or(l.Linger, time.Second)
	l.MaxConnections = cmp.Or(l.MaxConnections, 50_000)
	l.MaxSubscriptions = cmp.Or(l.MaxSubscriptions, 64)
	l.MaxMessage = cmp.Or(l.MaxMessage, 128<<10)
	l.MaxQueued = cmp.Or(l.MaxQueued, 64<<10)
}

// Metrics is told what happens. Its methods must be safe for concurrent use, and quick.
type Metrics interface {
	// OperationDone is called once for each subscription that was served, when it ends; code is OK or an error code.
	OperationDone(operation, code string, took time.Duration)
	Connected()
	Disconnected()
	Turned()           // away: a connection too many
	Subscribed(by int) // 1 or -1
	Executing(by int)  // 1 or -1: executions that subscribers share
	Sent(messages int) // to subscribers of shared executions
	Behind()           // a subscriber was too slow and catches up by itself
	TooSlow()          // a connection was ended for that
}

// Options of New. All are required.
type Options struct {
	Limits
	// Own reports whether a request may connect.
	Own func(*http.Request) bool
	// Authenticate returns the context of a connection's operations, with its principal: the payload of connection_init may name
	// them, and the request whose context is given. An error closes the connection, and its text is told.
	Authenticate func(context.Context, json.RawMessage) (context.Context, error)
	// Prepare marks the context of a connection's operations.
	Prepare func(context.Context) context.Context
	// Refuse answers a request that does not become a connection.
	Refuse  func(w http.ResponseWriter, status int, code orchestrator.Code, message string)
	Log     *slog.Logger
	Metrics Metrics
	Memory  *budget.Memory // what clients make the server hold
}

// Transport is a [graphql.Transport] for WebSockets. It knows every connection, so that it can end them all.
type Transport struct {
	opts     *Options
	upgrader websocket.Upgrader
	hub      *hub

	mu      sync.Mutex
	conns   map[*conn]struct{}
	pinger  *time.Timer // nil while there are no connections
	closing bool
	serving sync.WaitGroup // goroutines of connections, subscriptions and groups

	small, large sync.Pool // of *[]byte, into which messages are read
}

var _ graphql.Transport = (*Transport)(nil)

// New makes a transport that has no connections yet.
func New(opts Options) *Transport {
	opts.SetDefaults()
	t := &Transport{opts: &opts, conns: map[*conn]struct{}{}}
	t.small.New = func() any { return new(make([]byte, smallMessage)) }
	t.large.New = func() any { return new(make([]byte, opts.MaxMessage+1)) }
	t.hub = &hub{t: t, groups: map[string]*group{}}
	t.upgrader = websocket.Upgrader{
		HandshakeTimeout: opts.WriteTimeout,
		ReadBufferSize:   512,
		WriteBufferPool:  &sync.Pool{}, // gorilla writes control frames only, and those without it
		Subprotocols:     []string{Subprotocol},
		CheckOrigin:      opts.Own,
		Error: func(w http.ResponseWriter, _ *http.Request, status int, reason error) {
			opts.Refuse(w, status, orchestrator.InvalidInput, reason.Error())
		},
	}
	return t
}

// Supports implements [graphql.Transport].
func (t *Transport) Supports(r *http.Request) bool { return websocket.IsWebSocketUpgrade(r) }

// Do implements [graphql.Transport]. It returns when the connection stands, so that the request's memory is free.
func (t *Transport) Do(w http.ResponseWriter, r *http.Request, exec graphql.GraphExecutor) {
	if !slices.Contains(websocket.Subprotocols(r), Subprotocol) {
		t.opts.Refuse(w, http.StatusBadRequest, orchestrator.InvalidInput, "Sec-WebSocket-Protocol must name "+Subprotocol)
		return
	}
	c := &conn{t: t, exec: exec, subs: map[string]*subscription{}, let: func() {}}
	if !t.add(c) {
		t.opts.Metrics.Turned()
		t.opts.Refuse(w, http.StatusServiceUnavailable, orchestrator.LimitExceeded, "too many connections, or shutting down; try again later")
		return
	}
	ws, err := t.upgrader.Upgrade(hijacker{w, &c.wire, t.opts}, r, nil)
	if err != nil { // answered by the upgrader
		t.remove(c)
		return
	}
	c.ctx, c.cancel = context.WithCancel(t.opts.Prepare(context.WithoutCancel(r.Context())))
	c.start(ws)
	t.mu.Lock()
	closing := t.closing
	t.mu.Unlock()
	if closing { // meanwhile: Shutdown did not find a client here
		c.goAway()
	}
	go c.serve()
}

// hijacker puts a connection's wire between gorilla and the network.
type hijacker struct {
	http.ResponseWriter
	wire *wire
	opts *Options
}

func (t *Transport) add(c *conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closing || len(t.conns) >= t.opts.MaxConnections {
		return false
	}
	t.conns[c] = struct{}{}
	c.pingAt = time.Now().Add(t.opts.PingInterval)
	if t.pinger == nil {
		t.pinger = time.AfterFunc(t.opts.PingInterval/8, t.sendPings)
	}
	t.serving.Add(1)
	t.opts.Metrics.Connected()
	return true
}

func (t *Transport) remove(c *conn) {
	t.mu.Lock()
	delete(t.conns, c)
	if len(t.conns) == 0 && t.pinger != nil {
		t.pinger.Stop()
		t.pinger = nil
	}
	t.mu.Unlock()
	t.opts.Metrics.Disconnected()
	t.serving.Done()
}

// sendPings pings those whose time has come. One timer serves all connections.
func (t *Transport) sendPings() {
	now := time.Now()
	var due []*conn
	t.mu.Lock()
	for c := range t.conns {
		if now.After(c.pingAt) {
			c.pingAt = now.Add(t.opts.PingInterval)
			due = append(due, c)
		}
	}
	if t.pinger != nil {
		t.pinger.Reset(t.opts.PingInterval / 8)
	}
	t.mu.Unlock()
	for _, c := range due {
		if c.ready.Load() {
			c.wire.say(opText, ping)
		}
	}
}

// Shutdown asks every client to connect again, elsewhere or later, and returns when all connections have ended with
// everything that served them. When ctx ends it cuts them off.
func (t *Transport) Shutdown(ctx context.Context) {
	t.mu.Lock()
	t.closing = true
	all := make([]*conn, 0, len(t.conns))
	for c := range t.conns {
		all = append(all, c)
	}
	t.mu.Unlock()
	for _, c := range all {
		if c.wire.isOpen() {
			c.goAway()
		}
	}
	stop := context.AfterFunc(ctx, func() {
		for _, c := range all {
			c.cut()
		}
	})
	defer stop()
	t.serving.Wait()
}

// recovered logs a panic of a goroutine that serves somebody, and calls then. Those of executions never come so far.
func (t *Transport) recovered(then func()) {
	if p := recover(); p != nil {
		t.opts.Log.Error("panic in the WebSocket transport", slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
		then()
	}
}
