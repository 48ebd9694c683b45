// Package legacy serves the HTTP endpoints of the orchestrator that this one replaced: for each kind a launch, a list, a
// service, its health and its removal. They translate requests into the calls that GraphQL makes and contain no rules of
// their own. docs/old-endpoints.md describes them.
package legacy

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/auth"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/probe"
)

// API is the part of [orchestrator.API] that the endpoints call.
type API interface {
	Launch(ctx context.Context, in orchestrator.LaunchInput) (*orchestrator.Service, error)
	Services(ctx context.Context, filter orchestrator.ServiceFilter, page orchestrator.Page) (orchestrator.List[*orchestrator.Service], error)
	Service(ctx context.Context, id string) (*orchestrator.Service, error)
	Check(ctx context.Context, id string) (*orchestrator.Service, probe.Result, error)
	Remove(ctx context.Context, id string, deleteData bool) (*orchestrator.Service, error)
	Endpoint(s *orchestrator.Service) string
	LastCheck(s *orchestrator.Service) *time.Time
}

// Options of New. All fields are required.
type Options struct {
	API      API // limited to what each caller may do
	Access   *auth.Authenticator
	Registry prometheus.Registerer

	// Caller returns the principal of a request, nil if it has no credentials, and an error if its credentials are invalid.
	Caller func(*http.Request) (*auth.Principal, error)
	// ReadJSON returns the body of a request whose content type is JSON.
	ReadJSON func(http.ResponseWriter, *http.Request) ([]byte, error)
	// WriteJSON answers a request.
	WriteJSON func(w http.ResponseWriter, status int, v any)
	// Explain returns the HTTP status of an error, also one of ReadJSON, and what clients may see of it.
	Explain func(context.Context, error) (status int, shown *orchestrator.Error)
	// Recovered logs a panic and returns an error for Explain.
	Recovered func(ctx context.Context, panicked any) error
}

// Endpoints are the old HTTP endpoints.
type Endpoints struct {
	opts     Options
	requests *prometheus.CounterVec
}

// New returns the endpoints and registers their metric.
func New(opts Options) (*Endpoints, error) {
	e := &Endpoints{opts: opts, requests: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "uws_old_endpoint_requests_total",
		Help: "Requests of the old HTTP endpoints by kind, operation and outcome: OK or an error code.",
	}, []string{"kind", "operation", "code"})}
	return e, opts.Registry.Register(e.requests)
}

// kind is a kind of services and the names that the old endpoints have for it.
type kind struct {
	is     catalog.Kind
	name   string // in texts and paths
	launch string // path
}

// root returns the path of the list, below which each service has a path.
func (k kind) root() string { return "/" + k.name + "-services" }

func kinds() []kind {
	return []kind{
		{catalog.Bucket, "bucket", "/launchBucket"},
		{catalog.DB, "db", "/launchDB"},
		{catalog.NoSQL, "nosql", "/launchNoSQL"},
		{catalog.Queue, "queue", "/launchQueue"},
		{catalog.Secrets, "secrets", "/launchSecrets"},
	}
}

// HasPath reports whether path belongs to the old endpoints. Errors at such a path have the shape of
// [Endpoints.WriteError].
func HasPath(path string) bool {
	for _, k := range kinds() {
		for _, root := range []string{k.launch, k.root()} {
			if rest, ok := strings.CutPrefix(path, root); ok && (rest == "" || rest[0] == '/') {
				return true
			}
		}
	}
	return false
}

// call is one method of one path. do answers the request or returns an error.
type call struct {
	method    string
	operation string // for the metrics
	action    string // the mutation that does the same, for the audit log; empty: it only reads
	needs     auth.Role
	do        func(*answer, *http.Request) error
}

// Register adds the endpoints to mux.
func (e *Endpoints) Register(mux *http.ServeMux) {
	for _, k := range kinds() {
		s := services{k, e.opts}
		one := k.root() + "/{service_id}"
		e.route(mux, k, k.launch, call{http.MethodPost, "launch", "launchService", auth.Operator, s.launch})
		e.route(mux, k, k.root(), call{http.MethodGet, "list", "", auth.Viewer, s.list})
		e.route(mux, k, one, call{http.MethodGet, "get", "", auth.Viewer, s.get},
			call{http.MethodDelete, "remove", "removeService", auth.Operator, s.remove})
		e.route(mux, k, one+"/health", call{http.MethodGet, "health", "checkServiceHealth", auth.Operator, s.health})
		for _, below := range []string{k.launch + "/", k.root() + "/"} {
			mux.HandleFunc(below, func(w http.ResponseWriter, _ *http.Request) {
				e.requests.WithLabelValues(k.name, "unknown", string(orchestrator.NotFound)).Inc()
				e.WriteError(w, http.StatusNotFound, "there is nothing at this path; docs/old-endpoints.md lists what there is")
			})
		}
	}
}

// route serves a path with and without a slash at its end. HEAD is answered as GET is.
func (e *Endpoints) route(mux *http.ServeMux, k kind, path string, calls ...call) {
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
				e.serve(w, r, k, c)
				return
			}
		}
		e.requests.WithLabelValues(k.name, "unknown", string(orchestrator.InvalidInput)).Inc()
		w.Header().Set("Allow", allow)
		e.WriteError(w, http.StatusMethodNotAllowed, "this path answers "+allow)
	}
	mux.HandleFunc(path, handler)
	mux.HandleFunc(path+"/{$}", handler)
}

// answer is a response writer that records whether anything was written.
type answer struct {
	http.ResponseWriter
	begun bool
}

func (a *answer) WriteHeader(status int) {
	a.begun = true
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(data []byte) (int, error) {
	a.begun = true
	return a.ResponseWriter.Write(data)
}

func (e *Endpoints) serve(w http.ResponseWriter, r *http.Request, k kind, c call) {
	a := &answer{ResponseWriter: w}
	err := e.try(a, r, c)
	if err == nil {
		e.requests.WithLabelValues(k.name, c.operation, "OK").Inc()
		return
	}
	status, shown := e.opts.Explain(r.Context(), fmt.Errorf("old endpoint, %s of %s: %w", c.operation, k.name, err))
	e.requests.WithLabelValues(k.name, c.operation, string(shown.Code)).Inc()
	if a.begun {
		panic(http.ErrAbortHandler) // breaks the connection, so that the client does not take a part for the whole
	}
	e.WriteError(w, status, shown.Under(nameOf(shown.Path)))
}

// nameOf returns the name that the body of a launch has for a field; empty for other fields.
func nameOf(path string) string {
	return map[string]string{"name": "name", "template": "template", "nodeId": "node_id", "reattach": "reattach"}[path]
}

// try authorizes and runs a call. It turns a panic into an error.
func (e *Endpoints) try(a *answer, r *http.Request, c call) (err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			err = e.opts.Recovered(r.Context(), panicked)
		}
	}()
	p, failed := e.opts.Caller(r)
	switch {
	case failed != nil:
		return failed
	case p != nil && p.Session:
		err := orchestrator.Errorf(orchestrator.Unauthenticated, "", "the old endpoints take a token only, as Authorization: Bearer")
		e.opts.Access.Refused(r.Context(), p.Address, auth.Old, c.operation, err)
		return err
	case p != nil:
		r = r.WithContext(auth.With(r.Context(), p.By(auth.Old)))
	}
	action := auth.Action{Name: cmp.Or(c.action, c.operation), Needs: c.needs, Target: r.PathValue("service_id")}
	do := func(ctx context.Context) (any, error) { return nil, c.do(a, r.WithContext(ctx)) }
	if c.action == "" {
		_, err = e.opts.Access.Read(r.Context(), action, do)
	} else {
		_, err = e.opts.Access.Do(r.Context(), action, do)
	}
	return err
}

// WriteError answers in the shape of the old endpoints' errors.
func (e *Endpoints) WriteError(w http.ResponseWriter, status int, message string) {
	e.opts.WriteJSON(w, status, map[string]string{"detail": message})
}
