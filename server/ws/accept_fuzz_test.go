package ws

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/unicorn-web-services/uws/orchestrator/auth"
	"github.com/unicorn-web-services/uws/server/budget"
)

// Every message of a client is either processed, or closes the connection with a reason. None panics. Operations are
// not executed: they are refused because there are too many.
func FuzzMessage(f *testing.F) {
	for _, text := range []string{
		`{"type":"connection_init","payload":{}}`, `{"type":"ping"}`, `{"type":"pong","payload":{"x":1}}`,
		`{"id":"x","type":"subscribe","payload":{"query":"{nodes{id}}","variables":{"a":[1,{}]}}}`,
		`{"id":"x","type":"complete"}`, `{"type":7}`, `null`, `[`,
	} {
		f.Add(true, true, []byte(text))
		f.Add(false, true, []byte(text))
	}
	f.Fuzz(func(t *testing.T, ready, text bool, data []byte) {
		limits := Limits{MaxSubscriptions: -1}
		limits.SetDefaults()
		transport := New(Options{
			Limits: limits, Log: slog.New(slog.DiscardHandler), Memory: budget.NewMemory(budget.Default),
			Authenticate: func(ctx context.Context, _ json.RawMessage) (context.Context, error) {
				return auth.With(ctx, auth.CommandLine()), nil
			},
		})
		here, there := net.Pipe()
		defer there.Close()
		c := &conn{t: transport, subs: map[string]*subscription{}, ctx: context.Background(), cancel: func() {}}
		c.wire.begin(here, transport.opts)
		defer c.wire.Close()
		c.wire.opened(func() {})
		c.wire.busy = true // outgoing frames stay in the queue
		c.init = time.AfterFunc(time.Hour, func() {})
		defer c.init.Stop()
		c.ready.Store(ready)
		kind := websocket.BinaryMessage
		if text {
			kind = websocket.TextMessage
		}
		if err := c.take(kind, bytes.NewReader(data)); err == nil {
			return
		}
		if n := len(c.wire.queue); n == 0 || c.wire.queue[n-1].op != opClose || len(c.wire.queue[n-1].body) > 125 {
			t.Errorf("ended without a close frame that is one, after %d messages", n)
		}
	})
}
