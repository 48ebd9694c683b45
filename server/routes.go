package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/access"
)

// routes are of two sorts: those that anybody may ask for, and those for which who asks is found out.
func (s *Server) routes() http.Handler {
	open, locked := http.NewServeMux(), http.NewServeMux()
	open.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "alive"})
	})
	open.HandleFunc("GET /readyz", s.serveReady)
	open.HandleFunc("POST /auth/sign-in", s.serveSignIn)
	if s.opts.UI != nil {
		(&pages{s.opts.UI, time.Now()}).register(open)
	}
	locked.HandleFunc("POST /auth/sign-out", s.serveSignOut)
	locked.HandleFunc("/graphql", s.serveGraphQL)
	locked.Handle("GET /audit.jsonl", s.need(access.Admin, "auditLog", http.HandlerFunc(s.serveAudit)))
	(&legacy{access.Scoped(s.opts.API), s.opts.Access, s.graph, s.metrics}).register(locked)

	metrics := promhttp.HandlerFor(s.opts.Registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelError),
	})
	if s.loopback {
		open.Handle("GET /metrics", metrics)
	} else {
		locked.Handle("GET /metrics", s.need(access.Viewer, "metrics", metrics))
	}
	known := s.identify(locked)
	return headers(s.guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pattern := locked.Handler(r); pattern != "" {
			known.ServeHTTP(w, r)
			return
		}
		open.ServeHTTP(w, r)
	})))
}

func headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", strictPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// serveReady answers 503 with the reason when the control plane cannot work.
func (s *Server) serveReady(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	if err := s.opts.API.Ready(ctx); err != nil {
		writeJSON(w, http.StatusServiceUnavailable, map[string]string{"status": "not ready", "reason": err.Error()})
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"status": "ready"})
}

// serveGraphQL lets through WebSockets and what is surely one operation in JSON. A content type that a
// form can send is refused, and so is GET: browsers send those across origins without asking.
func (s *Server) serveGraphQL(w http.ResponseWriter, r *http.Request) {
	if websocket.IsWebSocketUpgrade(r) { // which may name its credential later
		s.graph.ServeHTTP(w, r)
		return
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		s.refuse(w, http.StatusMethodNotAllowed, orchestrator.InvalidInput, "send operations with POST, or connect with a WebSocket")
		return
	}
	if err := s.known(r, "graphql"); err != nil {
		s.metrics.OperationDone("unknown", string(orchestrator.CodeOf(err)), 0)
		s.answerError(w, err)
		return
	}
	body, bad := readJSON(w, r)
	if bad != nil {
		s.refuse(w, bad.status, bad.code, bad.message)
		return
	}
	if !isOperation(body) {
		s.refuse(w, http.StatusBadRequest, orchestrator.InvalidInput, operationShape)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	s.graph.ServeHTTP(w, r)
}

// unfit is a request whose body cannot be taken.
type unfit struct {
	status  int
	code    orchestrator.Code
	message string
}

func (u *unfit) Error() string { return u.message }

// readJSON reads a body that its sender calls JSON.
func readJSON(w http.ResponseWriter, r *http.Request) ([]byte, *unfit) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, &unfit{http.StatusUnsupportedMediaType, orchestrator.InvalidInput, "Content-Type must be application/json"}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return nil, &unfit{http.StatusRequestEntityTooLarge, orchestrator.LimitExceeded, "the request body is larger than 128 KB"}
	}
	if err != nil {
		return nil, &unfit{http.StatusBadRequest, orchestrator.InvalidInput, "the request body ended early"}
	}
	if nests(body, maxNesting) {
		return nil, &unfit{http.StatusBadRequest, orchestrator.LimitExceeded, fmt.Sprintf("the request body nests more than %d deep", maxNesting)}
	}
	return body, nil
}

// nests says whether JSON is deeper than that.
func nests(data []byte, limit int) bool {
	depth, text := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case text && c == '\\':
			i++
		case c == '"':
			text = !text
		case text:
		case c == '[' || c == '{':
			if depth++; depth > limit {
				return true
			}
		case c == ']' || c == '}':
			depth--
		}
	}
	return false
}

const operationShape = `an operation is a JSON object with a string "query" and, where needed, a string "operationName" and objects "variables" and "extensions"`

// isOperation says whether gqlgen will be able to read data: its own error would echo all of it.
func isOperation(data []byte) bool {
	var operation struct {
		Query         *string        `json:"query"`
		OperationName string         `json:"operationName"`
		Variables     map[string]any `json:"variables"`
		Extensions    map[string]any `json:"extensions"`
	}
	return json.Unmarshal(data, &operation) == nil && operation.Query != nil
}

// refuse answers a request that never became an operation.
func (s *Server) refuse(w http.ResponseWriter, status int, code orchestrator.Code, message string) {
	s.metrics.OperationDone("unknown", string(code), 0)
	writeError(w, status, string(code), message)
}

// writeError answers in the shape of a GraphQL error, whatever the route.
func writeError(w http.ResponseWriter, status int, code, message string) {
	type extensions struct {
		Code string `json:"code"`
	}
	type graphQLError struct {
		Message    string     `json:"message"`
		Extensions extensions `json:"extensions"`
	}
	writeJSON(w, status, map[string]any{"errors": []graphQLError{{message, extensions{code}}}})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that is gone is nobody's error
}
