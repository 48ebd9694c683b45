// Package ws serves GraphQL over WebSockets with the protocol graphql-transport-ws.
//
// Subscribers with the same messages share one execution, a group. Each subscriber first catches up with an execution
// of its own, from where it wants to begin, until it reaches the position of the group, and then joins it. The group
// marshals a message once and writes it to each client without waiting. If a client does not take it, a goroutine of
// its own writes it. A client that falls further behind leaves the group and catches up again when it can. A client
// that takes nothing for too long is disconnected and asked to reconnect.
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

// Limits are the limits of connections. Zero values are replaced by the defaults given here.
type Limits struct {
	InitTimeout      time.Duration // until connection_init; 10 s
	PingInterval     time.Duration // between pings; a client that is silent for two intervals is disconnected; 25 s
	WriteTimeout     time.Duration // in which a client must take something, and then a close frame; 4 s
	Linger           time.Duration // for the client's answer to a close frame; 1 s
	MaxConnections   int           // open at once; 50,000
	MaxSubscriptions int           // operations at once per connection; 64
	MaxMessage       int           // bytes per message of a client; 128 KiB
	MaxQueued        int           // bytes queued for a slow client, approximately; 64 KiB
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

// Metrics receives counts. Its methods must be safe for concurrent use, and fast.
type Metrics interface {
	// OperationDone is called once for each subscription when it ends. code is OK or an error code.
	OperationDone(operation, code string, took time.Duration)
	Connected()
	Disconnected()
	Turned()           // a connection was refused because there are too many
	Subscribed(by int) // 1 or -1
	Executing(by int)  // 1 or -1; executions that subscribers share
	Sent(messages int) // to subscribers of shared executions
	Behind()           // a subscriber was too slow and catches up by itself
	TooSlow()          // a connection was closed for being too slow
}

// Options configures a Transport. All fields are required.
type Options struct {
	Limits
	// Own reports whether a request may connect.
	Own func(*http.Request) bool
	// Authenticate returns the context of a connection's operations, with its principal. The principal is named in the
	// payload of connection_init or in the upgrade request, whose context is given. An error closes the connection; the
	// client gets its text.
	Authenticate func(context.Context, json.RawMessage) (context.Context, error)
	// Prepare adds values to the context of a connection's operations.
	Prepare func(context.Context) context.Context
	// Refuse responds to a request that does not become a connection.
	Refuse  func(w http.ResponseWriter, status int, code orchestrator.Code, message string)
	Log     *slog.Logger
	Metrics Metrics
	Memory  *budget.Memory // bounds what clients make the server hold
}

// Transport is a [graphql.Transport] for WebSockets. It tracks all connections, so that it can end them.
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

// New returns a transport without connections.
func New(opts Options) *Transport {
	opts.SetDefaults()
	t := &Transport{opts: &opts, conns: map[*conn]struct{}{}}
	t.small.New = func() any { return new(make([]byte, smallMessage)) }
	t.large.New = func() any { return new(make([]byte, opts.MaxMessage+1)) }
	t.hub = &hub{t: t, groups: map[string]*group{}}
	t.upgrader = websocket.Upgrader{
		HandshakeTimeout: opts.WriteTimeout,
		ReadBufferSize:   512,
		WriteBufferPool:  &sync.Pool{}, // gorilla writes only control frames, which do not need it
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

// Do implements [graphql.Transport]. It returns once the connection is established, so that the request's memory is
// freed.
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
	if err != nil { // the upgrader has responded
		t.remove(c)
		return
	}
	c.ctx, c.cancel = context.WithCancel(t.opts.Prepare(context.WithoutCancel(r.Context())))
	c.start(ws)
	t.mu.Lock()
	closing := t.closing
	t.mu.Unlock()
	if closing { // Shutdown did not see this connection
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

// sendPings pings the connections whose next ping is due. One timer serves all connections.
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

// Shutdown asks every client to reconnect, and returns when all connections and their goroutines have ended. When ctx
// ends, it closes the connections at once.
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

// recovered logs a panic of a goroutine and then calls then. Panics in executions are handled earlier.
func (t *Transport) recovered(then func()) {
	if p := recover(); p != nil {
		t.opts.Log.Error("panic in the WebSocket transport", slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
		then()
	}
}
