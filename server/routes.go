package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"mime"
	"net/http"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/unicorn-web-services/uws/graph"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/auth"
)

// routes returns the handler of all routes. Some are public. For the others the caller is authenticated first.
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
	locked.HandleFunc("/graphql/{$}", s.serveGraphQL)
	locked.Handle("GET /audit.jsonl", s.need(auth.Admin, "auditLog", http.HandlerFunc(s.serveAudit)))
	locked.HandleFunc("GET /services/{id}/logs", s.serveLogs)
	locked.HandleFunc("GET /backups/{id}/object", s.serveObject)
	s.legacy.Register(locked)

	known := s.need(auth.Viewer, "metrics", http.HandlerFunc(s.serveMetrics))
	locked.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		if caller, err := callerOf(r); caller == nil && err == nil && s.direct(r) {
			s.serveMetrics(w, r)
			return
		}
		known.ServeHTTP(w, r)
	})
	identified := s.identify(s.admit(locked))
	return headers(s.forwarded(s.guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pattern := locked.Handler(r); pattern != "" {
			identified.ServeHTTP(w, r)
			return
		}
		open.ServeHTTP(w, r)
	}))))
}

func headers(next http.Handler) http.Handler {
	always := http.Header{}
	for name, value := range map[string]string{
		"Content-Security-Policy":      strictPolicy,
		"X-Content-Type-Options":       "nosniff",
		"X-Frame-Options":              "DENY",
		"Referrer-Policy":              "no-referrer",
		"Cross-Origin-Opener-Policy":   "same-origin",
		"Cross-Origin-Resource-Policy": "same-origin",
		"Permissions-Policy":           "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
		"Cache-Control":                "no-store",
	} {
		always.Set(name, value)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		maps.Copy(w.Header(), always) // the values are shared: Set replaces them
		next.ServeHTTP(w, r)
	})
}

// serveMetrics serves the metrics. Callers with credentials also get those of single services.
func (s *Server) serveMetrics(w http.ResponseWriter, r *http.Request) {
	sources := prometheus.Gatherers{s.opts.Registry}
	if caller, _ := callerOf(r); caller != nil && s.opts.ServiceMetrics != nil {
		services := prometheus.NewRegistry()
		services.MustRegister(s.opts.ServiceMetrics(caller)...)
		sources = append(sources, services)
	}
	promhttp.HandlerFor(sources, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelError),
	}).ServeHTTP(w, r)
}

// serveReady responds with 503 and the reason if the control plane is not ready.
func (s *Server) serveReady(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	if err := s.opts.API.Ready(ctx); err != nil {
		writeJSON(w, http.StatusServiceUnavailable, map[string]string{"status": "not ready", "reason": err.Error()})
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"status": "ready"})
}

// serveGraphQL accepts WebSockets, and POST requests with one operation in JSON. It refuses GET and the content types
// of forms, because browsers send those to other origins without a preflight.
func (s *Server) serveGraphQL(w http.ResponseWriter, r *http.Request) {
	if websocket.IsWebSocketUpgrade(r) { // its credentials may come in connection_init
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
	body, bad := readJSON(w, r, maxBody)
	if bad != nil {
		s.refuse(w, bad.status, bad.code, bad.message)
		return
	}
	var op operation
	err := json.Unmarshal(body, &op)
	switch {
	case err == nil && op.isPersistedProbe():
		writeError(w, http.StatusOK, string(orchestrator.PersistedQueryNotSupported), "PersistedQueryNotSupported")
		return
	case err != nil || op.Query == nil:
		s.refuse(w, http.StatusBadRequest, orchestrator.InvalidInput, operationShape)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	s.graph.ServeHTTP(w, r)
}

// unfit is the response to a request whose body cannot be accepted.
type unfit struct {
	status  int
	code    orchestrator.Code
	message string
}

func (u *unfit) Error() string { return u.message }

// readJSON reads a body with content type JSON and at most limit bytes.
func readJSON(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, *unfit) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, &unfit{http.StatusUnsupportedMediaType, orchestrator.InvalidInput, "Content-Type must be application/json"}
	}
	admission := admissionOf(r.Context())
	held, err := admission.body(r.Context(), r.ContentLength)
	if err != nil {
		w.Header().Set("Connection", "close") // otherwise net/http would wait for the body
		return nil, busy(w, err)
	}
	defer held.Release()
	var all bytes.Buffer
	all.Grow(int(min(max(r.ContentLength, 0), limit)) + bytes.MinRead)
	_, err = all.ReadFrom(http.MaxBytesReader(w, r.Body, limit))
	body := all.Bytes()
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return nil, &unfit{http.StatusRequestEntityTooLarge, orchestrator.LimitExceeded, fmt.Sprintf("the request body is larger than %d KB", limit>>10)}
	}
	if err != nil {
		return nil, &unfit{http.StatusBadRequest, orchestrator.InvalidInput, "the request body ended early"}
	}
	if err := graph.CheckJSON(body); err != nil {
		return nil, &unfit{http.StatusBadRequest, orchestrator.LimitExceeded, "the request body " + err.Error()}
	}
	if err := admission.serve(r.Context(), len(body)); err != nil {
		return nil, busy(w, err)
	}
	return body, nil
}

// readBody is readJSON with a plain error.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, bad := readJSON(w, r, maxBody)
	if bad != nil { // a nil *unfit is not a nil error
		return nil, bad
	}
	return body, nil
}

// busy returns the response to a request for which there is no memory.
func busy(w http.ResponseWriter, err error) *unfit {
	w.Header().Set("Retry-After", retryAfter)
	return &unfit{statusOf(orchestrator.CodeOf(err)), orchestrator.CodeOf(err), err.Error()}
}

const operationShape = `an operation is a JSON object with a string "query" and, where needed, a string "operationName" and objects "variables" and "extensions"`

// operation is the part of a request that gqlgen parses too: its own error would echo all of it.
type operation struct {
	Query         *string        `json:"query"`
	OperationName string         `json:"operationName"`
	Variables     map[string]any `json:"variables"`
	Extensions    map[string]any `json:"extensions"`
}

// isPersistedProbe reports whether the client requests a query by its hash alone. When Apollo Client gets
// PersistedQueryNotSupported, it sends the whole query, now and from then on.
func (o operation) isPersistedProbe() bool {
	_, persisted := o.Extensions["persistedQuery"]
	return persisted && (o.Query == nil || *o.Query == "")
}

// refuse responds to a request that never became an operation.
func (s *Server) refuse(w http.ResponseWriter, status int, code orchestrator.Code, message string) {
	s.metrics.OperationDone("unknown", string(code), 0)
	writeError(w, status, string(code), message)
}

// writeError writes a GraphQL error as JSON, on any route.
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
	_ = json.NewEncoder(w).Encode(v) // ignore clients that have disconnected
}
