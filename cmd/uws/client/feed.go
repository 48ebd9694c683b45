package client

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"

	"github.com/Khan/genqlient/graphql"
	"github.com/gorilla/websocket"
)

// feed returns a client for subscriptions, and what connects it.
func (s *server) feed() (graphql.WebSocketClient, *dialer) {
	address := *s.base.JoinPath("graphql")
	address.Scheme = strings.Replace(address.Scheme, "http", "ws", 1)
	d := &dialer{token: s.token}
	return graphql.NewClientUsingWebSocket(address.String(), d), d
}

// dialer connects as genqlient wants it.
type dialer struct {
	token string
	conn  graphql.WSConn // that it made
}

// DialContext implements [graphql.Dialer].
func (d *dialer) DialContext(ctx context.Context, address string, header http.Header) (graphql.WSConn, error) {
	header = header.Clone()
	header.Del("Sec-WebSocket-Protocol") // gorilla adds it
	header.Set("Authorization", "Bearer "+d.token)
	w := websocket.Dialer{Subprotocols: []string{"graphql-transport-ws"}, HandshakeTimeout: requestTimeout, Proxy: http.ProxyFromEnvironment}
	made, response, err := w.DialContext(ctx, address, header)
	if response != nil {
		_ = response.Body.Close()
	}
	if err != nil {
		return nil, err
	}
	d.conn = &conn{Conn: made}
	return d.conn, nil
}

// conn handles the messages of graphql-transport-ws that genqlient takes for a broken connection: pings, and errors of a
// subscription.
type conn struct {
	*websocket.Conn
	writing sync.Mutex
}

// WriteMessage implements [graphql.WSConn].
func (c *conn) WriteMessage(kind int, text []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	return c.Conn.WriteMessage(kind, text)
}

// ReadMessage implements [graphql.WSConn].
func (c *conn) ReadMessage() (int, []byte, error) {
	for {
		kind, text, err := c.Conn.ReadMessage()
		var m struct {
			ID      string          `json:"id"`
			Type    string          `json:"type"`
			Payload json.RawMessage `json:"payload"`
		}
		if err != nil || json.Unmarshal(text, &m) != nil {
			return kind, text, err
		}
		switch m.Type {
		case "ping":
			if err := c.WriteMessage(websocket.TextMessage, []byte(`{"type":"pong"}`)); err != nil {
				return 0, nil, err
			}
		case "error": // as a result that has errors alone
			text, err = json.Marshal(map[string]any{"id": m.ID, "type": "next", "payload": map[string]any{"errors": m.Payload}})
			return kind, text, err
		default:
			return kind, text, nil
		}
	}
}
