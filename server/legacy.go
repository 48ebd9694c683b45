package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/unicorn-web-services/uws/graph"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
)

// legacy serves the endpoints of the orchestrator that this one replaced: for each kind a launch, a list, a service,
// its health and its removal. They translate into the calls that GraphQL makes, and hold no rule of their own.
// docs/old-endpoints.md describes them.
type legacy struct {
	api     orchestrator.API
	graph   *graph.Graph
	metrics *metrics
}

// oldKind is how the old endpoints name a kind.
type oldKind struct {
	kind   catalog.Kind
	name   string // in texts and paths
	launch string // path
}

func (k oldKind) list() string { return "/" + k.name + "-services" }

func oldKinds() []oldKind {
	return []oldKind{
		{catalog.Bucket, "bucket", "/launchBucket"},
		{catalog.DB, "db", "/launchDB"},
		{catalog.NoSQL, "nosql", "/launchNoSQL"},
		{catalog.Queue, "queue", "/launchQueue"},
		{catalog.Secrets, "secrets", "/launchSecrets"},
	}
}

// isOld says whether path belongs to the old endpoints, whose errors have a shape of their own.
func isOld(path string) bool {
	for _, k := range oldKinds() {
		for _, root := range []string{k.launch, k.list()} {
			if rest, ok := strings.CutPrefix(path, root); ok && (rest == "" || rest[0] == '/') {
				return true
			}
		}
	}
	return false
}

// oldCall is what one method of one path does. It answers, or returns an error.
type oldCall struct {
	method    string
	operation string // for the metrics
	do        func(*oldAnswer, *http.Request) error
}

func (l *legacy) register(mux *http.ServeMux) {
	for _, k := range oldKinds() {
		e := oldEndpoints{k, l.api}
		one := k.list() + "/{service_id}"
		l.route(mux, k, k.launch, oldCall{http.MethodPost, "launch", e.launch})
		l.route(mux, k, k.list(), oldCall{http.MethodGet, "list", e.list})
		l.route(mux, k, one, oldCall{http.MethodGet, "get", e.get}, oldCall{http.MethodDelete, "remove", e.remove})
		l.route(mux, k, one+"/health", oldCall{http.MethodGet, "health", e.health})
		for _, beyond := range []string{k.launch + "/", k.list() + "/"} {
			mux.HandleFunc(beyond, func(w http.ResponseWriter, _ *http.Request) {
				l.metrics.old.WithLabelValues(k.name, "unknown", string(orchestrator.NotFound)).Inc()
				writeDetail(w, http.StatusNotFound, "there is nothing at this path; docs/old-endpoints.md lists what there is")
			})
		}
	}
}

// route serves a path, with and without a slash at its end. HEAD is answered as GET is.
func (l *legacy) route(mux *http.ServeMux, k oldKind, path string, calls ...oldCall) {
	var allowed []string
	for _, c := range calls {
		allowed = append(allowed, c.method)
		if c.method == http.MethodGet {
			allowed = append(allowed, http.MethodHead)
		}
	}
	allow := strings.Join(allowed, ", ")
	handler := func(w http.ResponseWriter, r *http.Request) {
		for _, c := range calls {
			if r.Method == c.method || r.Method == http.MethodHead && c.method == http.MethodGet {
				l.serve(w, r, k, c)
				return
			}
		}
		l.metrics.old.WithLabelValues(k.name, "unknown", string(orchestrator.InvalidInput)).Inc()
		w.Header().Set("Allow", allow)
		writeDetail(w, http.StatusMethodNotAllowed, "this path answers "+allow)
	}
	mux.HandleFunc(path, handler)
	mux.HandleFunc(path+"/{$}", handler)
}

// oldAnswer knows whether something was written already.
type oldAnswer struct {
	http.ResponseWriter
	begun bool
}

func (a *oldAnswer) WriteHeader(status int) {
	a.begun = true
	a.ResponseWriter.WriteHeader(status)
}

func (a *oldAnswer) Write(data []byte) (int, error) {
	a.begun = true
	return a.ResponseWriter.Write(data)
}

func (l *legacy) serve(w http.ResponseWriter, r *http.Request, k oldKind, c oldCall) {
	a := &oldAnswer{ResponseWriter: w}
	err := l.try(a, r, c)
	if err == nil {
		l.metrics.old.WithLabelValues(k.name, c.operation, "OK").Inc()
		return
	}
	status, code, message := l.explain(r.Context(), fmt.Errorf("old endpoint, %s of %s: %w", c.operation, k.name, err))
	l.metrics.old.WithLabelValues(k.name, c.operation, string(code)).Inc()
	if a.begun {
		panic(http.ErrAbortHandler) // so that nobody takes what came so far for the whole
	}
	writeDetail(w, status, message)
}

// try makes an error of a panic.
func (l *legacy) try(a *oldAnswer, r *http.Request, c oldCall) (err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			err = l.graph.Recovered(r.Context(), panicked)
		}
	}()
	return c.do(a, r)
}

func (l *legacy) explain(ctx context.Context, err error) (status int, code orchestrator.Code, message string) {
	if u, ok := errors.AsType[*unfit](err); ok {
		return u.status, u.code, u.message
	}
	code, message = l.graph.Explain(ctx, err)
	return statusOf(code), code, message
}

func statusOf(code orchestrator.Code) int {
	switch code {
	case orchestrator.NotFound:
		return http.StatusNotFound
	case orchestrator.InvalidInput:
		return http.StatusUnprocessableEntity
	case orchestrator.Conflict:
		return http.StatusConflict
	case orchestrator.NodeUnavailable:
		return http.StatusServiceUnavailable
	case orchestrator.LimitExceeded:
		return http.StatusTooManyRequests
	default:
		return http.StatusInternalServerError
	}
}

// writeDetail answers in the shape of the old endpoints' errors.
func writeDetail(w http.ResponseWriter, status int, message string) {
	writeJSON(w, status, map[string]string{"detail": message})
}
