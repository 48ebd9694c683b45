package uwstest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

// Change is a message of serviceHealthChanged. Phase is empty when the service is gone, LogLine when there is none.
type Change struct {
	Cursor, ID, ServiceID, Name, PreviousPhase, Phase, Health, Reason, ReasonCode, LogLine string
}

const changeFields = `{ cursor id serviceId name previousPhase phase health reason reasonCode logLine }`

// Subscribe connects, subscribes to serviceHealthChanged after the cursor since ("": from now on) and calls got for each
// message. It returns nil when ctx ends, and an error when the connection ends. A GraphQL error is a *GraphQLError.
func (p *Process) Subscribe(ctx context.Context, since string, got func(Change)) error {
	dialer := websocket.Dialer{Subprotocols: []string{"graphql-transport-ws"}, HandshakeTimeout: 30 * time.Second}
	ws, resp, err := dialer.DialContext(ctx, "ws"+strings.TrimPrefix(p.URL, "http")+"/graphql", http.Header{"Authorization": {"Bearer " + p.Token}})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	defer ws.Close()
	defer context.AfterFunc(ctx, func() { _ = ws.Close() })() // ends the reading
	err = subscribe(ws, since, got)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func subscribe(ws *websocket.Conn, since string, got func(Change)) error {
	variables := map[string]any{}
	if since != "" {
		variables["since"] = since
	}
	err := errors.Join(ws.WriteJSON(map[string]any{"type": "connection_init"}),
		ws.WriteJSON(map[string]any{"type": "subscribe", "id": "1", "payload": map[string]any{
			"query": `subscription($since: String) { serviceHealthChanged(since: $since) ` + changeFields + ` }`, "variables": variables}}))
	if err != nil {
		return err
	}
	for {
		var m struct {
			Type    string
			Payload json.RawMessage
		}
		if err := ws.ReadJSON(&m); err != nil {
			return err
		}
		switch m.Type {
		case "connection_ack", "pong":
		case "ping":
			if err := ws.WriteJSON(map[string]any{"type": "pong"}); err != nil {
				return err
			}
		case "next":
			var next struct {
				Data struct{ ServiceHealthChanged Change }
			}
			if err := json.Unmarshal(m.Payload, &next); err != nil {
				return err
			}
			got(next.Data.ServiceHealthChanged)
		case "error":
			return errorOf(m.Payload)
		default:
			return fmt.Errorf("the server sent %s: %s", m.Type, m.Payload)
		}
	}
}

// errorOf returns the first of a list of GraphQL errors.
func errorOf(payload []byte) error {
	var all []struct {
		Message    string
		Extensions struct{ Code string }
	}
	if err := json.Unmarshal(payload, &all); err != nil || len(all) == 0 {
		return fmt.Errorf("the server sent an error: %s", payload)
	}
	return &GraphQLError{Message: all[0].Message, Code: all[0].Extensions.Code}
}
