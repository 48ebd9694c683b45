package ws

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/gorilla/websocket"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/unicorn-web-services/uws/orchestrator"
)

// Subprotocol is the only supported subprotocol. The older one, graphql-ws, is not supported.
const Subprotocol = "graphql-transport-ws"

// Close codes of graphql-transport-ws, and codes of RFC 6455 after which its clients reconnect.
const (
	closeBadMessage     = 4400
	closeUnauthorized   = 4401
	closeForbidden      = 4403
	closeInitTimeout    = 4408
	closeDuplicateID    = 4409
	closeTooManyInits   = 4429
	closeGoingAway      = websocket.CloseGoingAway
	closeServiceRestart = websocket.CloseServiceRestart
)

const maxReason = 123 // bytes, RFC 6455

// frame is a message from a client.
type frame struct {
	ID      string          `json:"id"`
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload"`
	size    int             // bytes of the message
}

var (
	ack  = []byte(`{"type":"connection_ack"}`)
	ping = []byte(`{"type":"ping"}`)
)

// pong returns the answer to a ping. It contains the ping's payload, unless that is longer than control frames may be
// (RFC 6455, 5.5).
func pong(payload json.RawMessage) []byte {
	if payload == nil || len(payload) > maxPingPayload {
		return []byte(`{"type":"pong"}`)
	}
	return fmt.Appendf(nil, `{"type":"pong","payload":%s}`, payload)
}

func quoted(id string) []byte {
	text, _ := json.Marshal(id) // a string always marshals
	return text
}

func nextPrefix(id string) []byte {
	return fmt.Appendf(nil, `{"id":%s,"type":"next","payload":`, quoted(id))
}

func completeText(id string) []byte {
	return fmt.Appendf(nil, `{"id":%s,"type":"complete"}`, quoted(id))
}

func errorText(id string, errs gqlerror.List) []byte {
	payload, err := json.Marshal(errs)
	if err != nil {
		payload = []byte(`[{"message":"internal error"}]`)
	}
	return fmt.Appendf(nil, `{"id":%s,"type":"error","payload":%s}`, quoted(id), payload)
}

func limitError(message string) gqlerror.List {
	return gqlerror.List{{Message: message, Extensions: map[string]any{"code": string(orchestrator.LimitExceeded)}}}
}

func tooManyOperations(most int) gqlerror.List {
	return limitError(fmt.Sprintf("at most %d operations at once on one connection; complete one first", most))
}

func tooManyGroups() gqlerror.List {
	return limitError("too many different subscriptions; complete one first, or use equal ones")
}

func internalError() gqlerror.List {
	return gqlerror.List{{Message: "internal error", Extensions: map[string]any{"code": string(orchestrator.Internal)}}}
}

// closeBody returns the content of a close frame.
func closeBody(code int, reason string) []byte {
	return websocket.FormatCloseMessage(code, strings.ToValidUTF8(reason[:min(len(reason), maxReason)], ""))
}
