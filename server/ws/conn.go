package ws

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/gorilla/websocket"

	"github.com/unicorn-web-services/uws/graph"
	"github.com/unicorn-web-services/uws/orchestrator/auth"
	"github.com/unicorn-web-services/uws/server/budget"
)

// conn is one connection. One goroutine reads from it. All writes go through wire.
type conn struct {
	t      *Transport
	exec   graphql.GraphExecutor
	ws     *websocket.Conn
	wire   wire
	ctx    context.Context // ends with the connection
	cancel context.CancelFunc
	scope  string      // what the client may see; executions are shared only within a scope
	caller string      // name of the client in the memory budgets
	let    func()      // releases the client's credential
	ready  atomic.Bool // connection_init was received
	init   *time.Timer
	pingAt time.Time // guarded by Transport.mu

	mu    sync.Mutex
	ended bool
	subs  map[string]*subscription // operations in progress, by the client's id
}

const (
	// smallMessage is the maximum size in bytes of messages before connection_init. Later messages that are larger are
	// accounted for.
	smallMessage = 4 << 10
	// largeTimeout is the time in which a larger message must arrive.
	largeTimeout = 10 * time.Second

	maxID          = 128 // bytes
	maxPingPayload = 125 // bytes
)

// errEnd ends reading: a close frame was sent or received.
var errEnd = errors.New("the connection is being closed")

// Hijack implements [http.Hijacker].
func (h hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	h.wire.begin(c, h.opts)
	return h.wire, rw, nil
}

// start is called before serve, in the goroutine of the upgrade request.
func (c *conn) start(ws *websocket.Conn) {
	c.ws = ws
	c.wire.opened(c.cancel)
	ws.SetReadLimit(smallMessage) // until connection_init
	ws.SetPingHandler(func(data string) error {
		c.wire.say(opPong, []byte(data))
		c.pace()
		return nil
	})
	ws.SetPongHandler(func(string) error { return nil })
	ws.SetCloseHandler(func(code int, _ string) error {
		if code == websocket.CloseNoStatusReceived {
			code = websocket.CloseNormalClosure
		}
		c.goodbye(code, "")
		return nil
	})
	c.init = time.AfterFunc(c.t.opts.InitTimeout, func() {
		if !c.ready.Load() {
			c.goodbye(closeInitTimeout, "Connection initialisation timeout")
		}
	})
}

// serve reads until the connection ends, and then ends its operations. It uses little stack while it waits, so that the
// stack stays at 4 KiB.
func (c *conn) serve() {
	defer c.t.remove(c)
	c.readAll()
	c.end()
}

// readAll reads until the connection ends. After we sent a close frame, it waits for the client's.
func (c *conn) readAll() {
	defer c.t.recovered(func() {})
	small := true
	for {
		if small && c.ready.Load() {
			c.ws.SetReadLimit(int64(c.t.opts.MaxMessage))
			small = false
		}
		kind, r, err := c.ws.NextReader()
		if err == nil {
			err = c.take(kind, r)
		}
		if err != nil && !errors.Is(err, errEnd) {
			return
		}
		c.pace()
	}
}

// pace waits until the client has taken the answers to its messages so far. Otherwise the answers of a client that
// sends but does not read would pile up.
func (c *conn) pace() {
	answered := c.wire.unanswered()
	if answered == nil {
		return
	}
	<-answered
	if c.ready.Load() { // the client's messages were not read meanwhile
		c.wire.alive(2 * c.t.opts.PingInterval)
	}
}

// end ends the client's operations once nothing more is read.
func (c *conn) end() {
	c.init.Stop()
	c.cancel()
	c.let()
	c.wire.end()
	c.mu.Lock()
	c.ended = true
	subs := make([]*subscription, 0, len(c.subs))
	for _, s := range c.subs {
		subs = append(subs, s)
	}
	c.mu.Unlock()
	for _, s := range subs {
		s.finish("OK")
	}
}

// take reads a message and processes it.
func (c *conn) take(kind int, r io.Reader) error {
	in, body, err := c.receive(kind, r)
	defer body.Release()
	if err != nil {
		return err
	}
	if c.ready.Load() {
		c.wire.alive(2 * c.t.opts.PingInterval)
	}
	if bytes.Equal(in.Payload, []byte("null")) {
		in.Payload = nil
	}
	return c.accept(in)
}

// receive reads a message. A large one waits for memory from Memory.Bodies and must arrive within largeTimeout. The
// memory is held until the message is processed.
func (c *conn) receive(kind int, r io.Reader) (*frame, *budget.Hold, error) {
	small := c.t.small.Get().(*[]byte)
	defer c.t.small.Put(small)
	n, err := io.ReadFull(r, *small)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		in, err := c.parse(kind, (*small)[:n])
		return in, nil, err
	}
	if err != nil {
		return nil, nil, err
	}
	_ = c.wire.SetReadDeadline(time.Now().Add(largeTimeout))
	ctx, cancel := context.WithTimeout(c.ctx, largeTimeout)
	defer cancel()
	body, err := c.t.opts.Memory.Bodies.Take(ctx, c.caller, 2*c.t.opts.MaxMessage)
	if err != nil {
		return nil, nil, c.breach(websocket.CloseTryAgainLater, err.Error()+"; try again later")
	}
	large := c.t.large.Get().(*[]byte)
	defer c.t.large.Put(large)
	n = copy(*large, *small)
	m, err := io.ReadFull(r, (*large)[n:])
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) { // nil: gorilla's own limit is lower
		return nil, body, cmp.Or(err, errEnd)
	}
	in, err := c.parse(kind, (*large)[:n+m])
	return in, body, err
}

// parse returns a parsed copy of a message.
func (c *conn) parse(kind int, message []byte) (*frame, error) {
	in := &frame{size: len(message)}
	if kind != websocket.TextMessage || json.Unmarshal(message, in) != nil {
		return nil, c.breach(closeBadMessage, "a message must be a JSON object with a type")
	}
	return in, nil
}

// accept processes a message. It returns errEnd if the message violated the protocol.
func (c *conn) accept(in *frame) error {
	ready := c.ready.Load()
	if len(in.ID) > maxID {
		return c.breach(closeBadMessage, fmt.Sprintf("an id must have at most %d bytes", maxID))
	}
	switch in.Type {
	case "connection_init":
		if ready {
			return c.breach(closeTooManyInits, "Too many initialisation requests")
		}
		if !isObject(in.Payload) {
			return c.breach(closeBadMessage, "the payload of connection_init must be an object")
		}
		ctx, err := c.t.opts.Authenticate(c.ctx, in.Payload)
		if err != nil {
			return c.breach(closeForbidden, err.Error())
		}
		who := auth.From(ctx)
		c.ctx, c.scope, c.caller = ctx, who.Scope(), who.Name
		c.wire.belongs(c.caller)
		c.let = who.Hold(c.revoked)
		c.ready.Store(true)
		c.init.Stop()
		c.wire.alive(2 * c.t.opts.PingInterval)
		c.wire.say(opText, ack)
	case "ping", "pong":
		if !isObject(in.Payload) {
			return c.breach(closeBadMessage, "the payload of "+in.Type+" must be an object")
		}
		if in.Type == "ping" {
			c.wire.say(opText, pong(in.Payload))
		}
	case "subscribe":
		if !ready {
			return c.breach(closeUnauthorized, "Unauthorized")
		}
		return c.subscribe(in)
	case "complete":
		if in.ID == "" {
			return c.breach(closeBadMessage, "complete needs an id")
		}
		c.mu.Lock()
		s := c.subs[in.ID]
		c.mu.Unlock()
		if s != nil {
			s.muted.Store(true)
			s.finish("OK")
		}
	default:
		return c.breach(closeBadMessage, fmt.Sprintf("unknown message type %.40q", in.Type))
	}
	return nil
}

// isObject reports whether a payload, which is JSON or missing, may be an object.
func isObject(payload json.RawMessage) bool { return payload == nil || payload[0] == '{' }

// operation is the payload of subscribe. It has the fields of [graphql.RawParams], which accepts any JSON.
type operation struct {
	Query         *string        `json:"query"`
	OperationName string         `json:"operationName"`
	Variables     map[string]any `json:"variables"`
	Extensions    map[string]any `json:"extensions"`
}

func (c *conn) subscribe(in *frame) error {
	if in.ID == "" {
		return c.breach(closeBadMessage, "subscribe needs an id")
	}
	hold, err := c.t.opts.Memory.Requests.Take(c.ctx, c.caller, graph.CostToRead(in.size)) // nothing more is read while this waits
	if err != nil {
		return errEnd // the connection has ended
	}
	defer func() { hold.Release() }()
	if err := graph.CheckJSON(in.Payload); err != nil {
		c.wire.say(opText, errorText(in.ID, limitError("the payload "+err.Error())))
		return nil
	}
	var op operation
	decoder := json.NewDecoder(bytes.NewReader(in.Payload))
	decoder.UseNumber()
	if decoder.Decode(&op) != nil || op.Query == nil {
		return c.breach(closeBadMessage, "the payload of subscribe must be an operation with a query")
	}
	s := &subscription{conn: c, id: in.ID, prefix: nextPrefix(in.ID), began: time.Now(), place: -1, size: in.size}
	c.mu.Lock()
	_, taken := c.subs[in.ID]
	full := len(c.subs) >= c.t.opts.MaxSubscriptions
	if !taken && !full {
		c.subs[in.ID] = s
	}
	c.mu.Unlock()
	switch {
	case taken:
		return c.breach(closeDuplicateID, fmt.Sprintf("Subscriber for %.80s already exists", in.ID))
	case full:
		c.wire.say(opText, errorText(in.ID, tooManyOperations(c.t.opts.MaxSubscriptions)))
		return nil
	}
	begun := hold
	hold = nil // now owned by the operation
	s.begin(&graphql.RawParams{Query: *op.Query, OperationName: op.OperationName, Variables: op.Variables, Extensions: op.Extensions}, begun)
	return nil
}

// breach closes a connection that violated the protocol.
func (c *conn) breach(code int, reason string) error {
	c.goodbye(code, reason)
	return errEnd
}

// goodbye sends a close frame, unless one was sent, and waits up to Linger for the client's.
func (c *conn) goodbye(code int, reason string) {
	c.wire.say(opClose, closeBody(code, reason))
	_ = c.wire.SetReadDeadline(time.Now().Add(c.t.opts.Linger))
	if code != websocket.CloseNormalClosure {
		c.t.opts.Log.Debug("websocket closed", slog.Int("code", code), slog.String("reason", reason))
	}
}

// revoked ends the connection because the client's credential has ended.
func (c *conn) revoked() {
	c.goodbye(closeForbidden, "the token or session has ended; sign in again")
	c.cancel()
}

// goAway asks the client to reconnect.
func (c *conn) goAway() { c.goodbye(closeGoingAway, "the server is going away; reconnect") }

// cut closes the connection at once.
func (c *conn) cut() {
	if c.wire.isOpen() {
		_ = c.wire.Close()
		c.cancel()
	}
}

var _ io.Writer = (*wire)(nil)
