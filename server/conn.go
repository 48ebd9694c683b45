package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/gorilla/websocket"

	"github.com/unicorn-web-services/uws/orchestrator"
)

// Close codes of graphql-transport-ws. Its clients try again after 1001, and give up after most of these.
const (
	closeBadMessage   = 4400
	closeUnauthorized = 4401
	closeInitTimeout  = 4408
	closeDuplicateID  = 4409
	closeTooManyInits = 4429
)

const (
	closeFrameTimeout    = time.Second
	maxCloseReasonLength = 123 // RFC 6455
)

// conn adapts a gorilla connection to gqlgen's transport and adds what that lacks: deadlines on writes,
// the protocol's close codes, a cap on subscriptions, and ids of our own. gqlgen sees each id once in the
// life of a connection, so a client may use one again at once without anything leaking.
//
// One goroutine reads at a time; any may write.
type conn struct {
	ws   *websocket.Conn
	opts WebSocketOptions

	reading  sync.Mutex // held while reading
	writing  sync.Mutex // held while writing a data message
	closing  sync.Mutex // guards hasSaid and the read deadline, which no longer moves after it
	hasSaid  bool       // a close frame was sent
	finished sync.Once

	mu          sync.Mutex
	initialised bool
	ours        map[string]string // our id by the client's
	theirs      map[string]string
	lastID      int
}

var (
	_ transport.WebsocketConn          = (*conn)(nil)
	_ transport.WebsocketReadLimiter   = (*conn)(nil)
	_ transport.WebsocketReadDeadliner = (*conn)(nil)
)

// frame is a message of graphql-transport-ws.
type frame struct {
	ID      string          `json:"id,omitempty"`
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload,omitempty"`
}

func newConn(ws *websocket.Conn, opts WebSocketOptions) *conn {
	return &conn{ws: ws, opts: opts, ours: map[string]string{}, theirs: map[string]string{}}
}

// Subprotocol implements [transport.WebsocketConn].
func (c *conn) Subprotocol() string { return c.ws.Subprotocol() }

// SetReadLimit implements [transport.WebsocketReadLimiter].
func (c *conn) SetReadLimit(limit int64) { c.ws.SetReadLimit(limit) }

// SetReadDeadline implements [transport.WebsocketReadDeadliner].
func (c *conn) SetReadDeadline(t time.Time) error {
	c.closing.Lock()
	defer c.closing.Unlock()
	if c.hasSaid {
		return nil
	}
	return c.ws.SetReadDeadline(t)
}

// NextReader implements [transport.WebsocketConn]. What breaks the protocol never reaches gqlgen.
func (c *conn) NextReader() (int, io.Reader, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	for {
		kind, data, err := c.ws.ReadMessage()
		if err != nil {
			return 0, nil, readError(err)
		}
		var in frame
		if kind != websocket.TextMessage || json.Unmarshal(data, &in) != nil {
			return 0, nil, c.breach(closeBadMessage, "a message must be a JSON object with a type")
		}
		pass, err := c.accept(&in)
		if err != nil {
			return 0, nil, err
		}
		if pass {
			data, err = json.Marshal(in)
			return kind, bytes.NewReader(data), err
		}
	}
}

// accept says whether gqlgen shall see in, with its id made ours.
func (c *conn) accept(in *frame) (bool, error) {
	c.mu.Lock()
	initialised := c.initialised
	c.initialised = initialised || in.Type == "connection_init"
	c.mu.Unlock()
	switch in.Type {
	case "connection_init":
		if initialised {
			return false, c.breach(closeTooManyInits, "Too many initialisation requests")
		}
		var payload map[string]any
		if in.Payload != nil && json.Unmarshal(in.Payload, &payload) != nil {
			return false, c.breach(closeBadMessage, "the payload of connection_init must be an object")
		}
		return true, nil
	case "ping":
		if !initialised {
			return false, c.send(frame{Type: "pong", Payload: in.Payload})
		}
		return true, nil
	case "pong":
		return initialised, nil
	case "subscribe":
		if !initialised {
			return false, c.breach(closeUnauthorized, "Unauthorized")
		}
		return c.subscribe(in)
	case "complete":
		return c.forget(in), nil
	default:
		return false, c.breach(closeBadMessage, fmt.Sprintf("unknown message type %.40q", in.Type))
	}
}

func (c *conn) subscribe(in *frame) (bool, error) {
	if in.ID == "" {
		return false, c.breach(closeBadMessage, "subscribe needs an id")
	}
	if !isOperation(in.Payload) {
		return false, c.breach(closeBadMessage, "the payload of subscribe must be an operation with a query")
	}
	c.mu.Lock()
	_, taken := c.ours[in.ID]
	full := len(c.ours) >= c.opts.MaxSubscriptions
	if !taken && !full {
		c.lastID++
		id := strconv.Itoa(c.lastID)
		c.ours[in.ID], c.theirs[id] = id, in.ID
		in.ID = id
	}
	c.mu.Unlock()
	if taken {
		return false, c.breach(closeDuplicateID, fmt.Sprintf("Subscriber for %.80s already exists", in.ID))
	}
	if full {
		return false, c.send(frame{ID: in.ID, Type: "error", Payload: limitExceeded(c.opts.MaxSubscriptions)})
	}
	return true, nil
}

// forget gives the client's id free for another use, and makes in's id ours.
func (c *conn) forget(in *frame) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	id, ok := c.ours[in.ID]
	delete(c.ours, in.ID)
	delete(c.theirs, id)
	in.ID = id
	return ok
}

// WriteJSON implements [transport.WebsocketConn] for gqlgen's messages. Those for an operation that has
// ended, for the client or for us, are dropped.
func (c *conn) WriteJSON(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	var out frame
	if err := json.Unmarshal(data, &out); err != nil {
		return err
	}
	if out.ID == "" {
		return c.send(out)
	}
	c.mu.Lock()
	id, ok := c.theirs[out.ID]
	if out.Type == "complete" || out.Type == "error" {
		delete(c.theirs, out.ID)
		delete(c.ours, id)
	}
	c.mu.Unlock()
	if !ok {
		return nil
	}
	out.ID = id
	return c.send(out)
}

// send writes one message or, when the client does not take it in time, ends the connection.
func (c *conn) send(out frame) error {
	data, err := json.Marshal(out)
	if err != nil {
		return err
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	_ = c.ws.SetWriteDeadline(time.Now().Add(c.opts.WriteTimeout))
	err = c.ws.WriteMessage(websocket.TextMessage, data)
	if err != nil && !errors.Is(err, websocket.ErrCloseSent) {
		c.cut()
	}
	return err
}

// WriteClose implements [transport.WebsocketConn]. Only the first close frame counts.
func (c *conn) WriteClose(code int, reason string) error {
	c.mu.Lock()
	if !c.initialised && code == transport.WebsocketCloseProtocolError {
		code, reason = closeInitTimeout, "Connection initialisation timeout" // nothing else passes accept
	}
	c.mu.Unlock()
	c.closing.Lock()
	defer c.closing.Unlock()
	if c.hasSaid {
		return nil
	}
	c.hasSaid = true
	reason = strings.ToValidUTF8(reason[:min(len(reason), maxCloseReasonLength)], "")
	err := c.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), time.Now().Add(closeFrameTimeout))
	_ = c.ws.SetReadDeadline(time.Now().Add(c.opts.Linger))
	return err
}

// breach closes a connection that broke the protocol and answers with the error for gqlgen.
func (c *conn) breach(code int, reason string) error {
	_ = c.WriteClose(code, reason)
	return transport.ErrWebsocketClosed
}

// goAway tells the client to reconnect.
func (c *conn) goAway() {
	_ = c.WriteClose(websocket.CloseGoingAway, "the server is going away; reconnect")
}

// Close implements [transport.WebsocketConn]. After a close frame it waits shortly for the peer's: to
// close with unread input would reset the connection, and the peer might never see ours.
func (c *conn) Close() error {
	var err error
	c.finished.Do(func() {
		c.closing.Lock()
		said := c.hasSaid
		c.closing.Unlock()
		if said {
			c.drain()
		}
		err = c.ws.Close()
	})
	return err
}

func (c *conn) drain() {
	c.reading.Lock()
	defer c.reading.Unlock()
	for {
		if _, _, err := c.ws.NextReader(); err != nil {
			return
		}
	}
}

// cut ends the connection at once; whoever reads or writes gets an error.
func (c *conn) cut() { _ = c.ws.Close() }

// readError tells gqlgen the ordinary ends of a connection from the others.
func readError(err error) error {
	if websocket.IsCloseError(err, websocket.CloseNormalClosure, websocket.CloseGoingAway, websocket.CloseNoStatusReceived) {
		return transport.ErrWebsocketClosed
	}
	return err
}

func limitExceeded(subscriptions int) json.RawMessage {
	message := fmt.Sprintf("at most %d operations at once on one connection; complete one first", subscriptions)
	data, _ := json.Marshal([]map[string]any{{ // strings alone always marshal
		"message": message, "extensions": map[string]string{"code": string(orchestrator.LimitExceeded)},
	}})
	return data
}
