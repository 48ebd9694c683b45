package server

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"sync"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/gorilla/websocket"

	"github.com/unicorn-web-services/uws/graph"
	"github.com/unicorn-web-services/uws/orchestrator"
)

// subprotocol is the only one that is spoken; the older one of the same purpose is not.
const subprotocol = "graphql-transport-ws"

// sockets is gqlgen's WebSocket transport on gorilla's connections. It knows every connection, so that it
// can end them all.
type sockets struct {
	opts     WebSocketOptions
	log      *slog.Logger
	metrics  *metrics
	upgrader websocket.Upgrader

	mu      sync.Mutex
	open    map[*conn]struct{}
	closing bool
	serving sync.WaitGroup
}

var _ graphql.Transport = (*sockets)(nil)

func newSockets(opts WebSocketOptions, log *slog.Logger, m *metrics) *sockets {
	return &sockets{
		opts: opts, log: log, metrics: m, open: map[*conn]struct{}{},
		upgrader: websocket.Upgrader{
			HandshakeTimeout: opts.WriteTimeout,
			Subprotocols:     []string{subprotocol},
			CheckOrigin:      func(r *http.Request) bool { return foreign(r) == nil },
			Error: func(w http.ResponseWriter, _ *http.Request, status int, reason error) {
				writeError(w, status, string(orchestrator.InvalidInput), reason.Error())
			},
		},
	}
}

// Supports implements [graphql.Transport].
func (s *sockets) Supports(r *http.Request) bool { return websocket.IsWebSocketUpgrade(r) }

// Do implements [graphql.Transport]: it serves one connection to its end.
func (s *sockets) Do(w http.ResponseWriter, r *http.Request, exec graphql.GraphExecutor) {
	if !slices.Contains(websocket.Subprotocols(r), subprotocol) {
		writeError(w, http.StatusBadRequest, string(orchestrator.InvalidInput), "Sec-WebSocket-Protocol must name "+subprotocol)
		return
	}
	ws, err := s.upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // answered by the upgrader
	}
	c := newConn(ws, s.opts)
	if !s.add(c) {
		c.goAway()
		_ = c.Close()
		return
	}
	defer s.remove(c)
	limit := int64(maxBody)
	transport.Websocket{
		Implementation:   accepted{c},
		InitTimeout:      s.opts.InitTimeout,
		PingPongInterval: s.opts.PingInterval,
		PayloadReadLimit: &limit,
		ErrorFunc: func(_ context.Context, err error) {
			s.log.Debug("websocket", slog.Any("error", err))
		},
	}.Do(w, r.WithContext(graph.WithStreaming(r.Context())), exec)
}

func (s *sockets) add(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	s.open[c] = struct{}{}
	s.serving.Add(1)
	s.metrics.connections.Inc()
	return true
}

func (s *sockets) remove(c *conn) {
	_ = c.Close() // gqlgen leaves some open
	s.mu.Lock()
	delete(s.open, c)
	s.mu.Unlock()
	s.metrics.connections.Dec()
	s.serving.Done()
}

// shutdown asks every client to reconnect elsewhere or later, and returns when all connections have
// ended. When ctx ends it cuts them off.
func (s *sockets) shutdown(ctx context.Context) {
	s.mu.Lock()
	s.closing = true
	open := make([]*conn, 0, len(s.open))
	for c := range s.open {
		open = append(open, c)
	}
	s.mu.Unlock()
	var told sync.WaitGroup
	for _, c := range open {
		told.Go(c.goAway)
	}
	stop := context.AfterFunc(ctx, func() {
		for _, c := range open {
			c.cut()
		}
	})
	defer stop()
	told.Wait()
	s.serving.Wait()
}

// accepted hands gqlgen a connection that is upgraded already.
type accepted struct{ conn *conn }

func (a accepted) Accept(http.ResponseWriter, *http.Request, transport.WebsocketAcceptOptions) (transport.WebsocketConn, error) {
	return a.conn, nil
}
