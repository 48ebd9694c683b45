package ws

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/gorilla/websocket"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/unicorn-web-services/uws/orchestrator"
)

// Subprotocol is the only one that is spoken; the older one of the same purpose is not.
const Subprotocol = "graphql-transport-ws"

// Close codes of graphql-transport-ws, and those of RFC 6455 after which its clients connect again.
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

// frame is a message of graphql-transport-ws as it comes in.
type frame struct {
	ID      string          `json:"id"`
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload"`
}

var (
	ack  = []byte(`{"type":"connection_ack"}`)
	ping = []byte(`{"type":"ping"}`)
)

func pong(payload json.RawMessage) []byte {
	if payload == nil {
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

func limitExceeded(operations int) gqlerror.List {
	return gqlerror.List{{
		Message:    fmt.Sprintf("at most %d operations at once on one connection; complete one first", operations),
		Extensions: map[string]any{"code": string(orchestrator.LimitExceeded)},
	}}
}

func internalError() gqlerror.List {
	return gqlerror.List{{Message: "internal error", Extensions: map[string]any{"code": string(orchestrator.Internal)}}}
}

// closeBody is the content of a close frame.
func closeBody(code int, reason string) []byte {
	return websocket.FormatCloseMessage(code, strings.ToValidUTF8(reason[:min(len(reason), maxReason)], ""))
}
