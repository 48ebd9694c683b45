package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/unicorn-web-services/uws/graph"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/auth"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
)

// legacy serves the endpoints of the orchestrator that this one replaced: for each kind a launch, a list, a service,
// its health and its removal. They translate into the calls that GraphQL makes, and hold no rule of their own.
// docs/old-endpoints.md describes them.
type legacy struct {
	api     orchestrator.API
	access  *auth.Authenticator
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

// isOld reports whether path belongs to the old endpoints, whose errors have a shape of their own.
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
	action    string // the mutation that does the same, and whose name the audit log takes; empty: it reads
	needs     auth.Role
	do        func(*oldAnswer, *http.Request) error
}

func (l *legacy) register(mux *http.ServeMux) {
	for _, k := range oldKinds() {
		e := oldEndpoints{k, l.api}
		one := k.list() + "/{service_id}"
		l.route(mux, k, k.launch, oldCall{http.MethodPost, "launch", "launchService", auth.Operator, e.launch})
		l.route(mux, k, k.list(), oldCall{http.MethodGet, "list", "", auth.Viewer, e.list})
		l.route(mux, k, one, oldCall{http.MethodGet, "get", "", auth.Viewer, e.get},
			oldCall{http.MethodDelete, "remove", "removeService", auth.Operator, e.remove})
		l.route(mux, k, one+"/health", oldCall{http.MethodGet, "health", "checkServiceHealth", auth.Operator, e.health})
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
	status, e := l.explain(r.Context(), fmt.Errorf("old endpoint, %s of %s: %w", c.operation, k.name, err))
	l.metrics.old.WithLabelValues(k.name, c.operation, string(e.Code)).Inc()
	if a.begun {
		panic(http.ErrAbortHandler) // so that nobody takes what came so far for the whole
	}
	writeDetail(w, status, e.Under(oldField(e.Path)))
}

// oldField returns the name that the body of a launch has for a field; empty for what is not in it.
func oldField(path string) string {
	return map[string]string{"name": "name", "template": "template", "nodeId": "node_id", "reattach": "reattach"}[path]
}

// try makes an error of a panic.
func (l *legacy) try(a *oldAnswer, r *http.Request, c oldCall) (err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			err = l.graph.Recovered(r.Context(), panicked)
		}
	}()
	p, failed := callerOf(r)
	switch {
	case failed != nil:
		return failed
	case p != nil && p.Session:
		err := orchestrator.Errorf(orchestrator.Unauthenticated, "", "the old endpoints take a token only, as Authorization: Bearer")
		l.access.Refused(r.Context(), p.Address, auth.Old, c.operation, err)
		return err
	case p != nil:
		r = r.WithContext(auth.With(r.Context(), p.By(auth.Old)))
	}
	action := auth.Action{Name: cmp.Or(c.action, c.operation), Needs: c.needs, Target: r.PathValue("service_id")}
	do := func(ctx context.Context) (any, error) { return nil, c.do(a, r.WithContext(ctx)) }
	if c.action == "" {
		_, err = l.access.Read(r.Context(), action, do)
	} else {
		_, err = l.access.Do(r.Context(), action, do)
	}
	return err
}

func (l *legacy) explain(ctx context.Context, err error) (status int, e *orchestrator.Error) {
	if u, ok := errors.AsType[*unfit](err); ok {
		return u.status, &orchestrator.Error{Code: u.code, Message: u.message}
	}
	e = l.graph.Explain(ctx, err)
	return statusOf(e.Code), e
}

func statusOf(code orchestrator.Code) int {
	switch code {
	case orchestrator.Unauthenticated:
		return http.StatusUnauthorized
	case orchestrator.Forbidden:
		return http.StatusForbidden
	case orchestrator.NotFound:
		return http.StatusNotFound
	case orchestrator.InvalidInput:
		return http.StatusUnprocessableEntity
	case orchestrator.Conflict:
		return http.StatusConflict
	case orchestrator.NodeUnavailable, orchestrator.Unavailable:
		return http.StatusServiceUnavailable
	case orchestrator.LimitExceeded, orchestrator.RateLimited:
		return http.StatusTooManyRequests
	default:
		return http.StatusInternalServerError
	}
}

// writeDetail answers in the shape of the old endpoints' errors.
func writeDetail(w http.ResponseWriter, status int, message string) {
	writeJSON(w, status, map[string]string{"detail": message})
}
