// Package server is the HTTP side of the control plane: routes, the guard in front of them, the WebSocket transport,
// metrics and the embedded UI.
package server

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/unicorn-web-services/uws/graph"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/auth"
	"github.com/unicorn-web-services/uws/server/budget"
	"github.com/unicorn-web-services/uws/server/legacy"
	"github.com/unicorn-web-services/uws/server/ws"
)

// DefaultListen is the default address to listen on.
const DefaultListen = "127.0.0.1:8080"

// maxBody is the maximum size of a request body in bytes.
const maxBody = 128 << 10

// Options configures a Server.
type Options struct {
	API          orchestrator.API // unrestricted; each entry point applies the caller's scope
	Access       *auth.Authenticator
	Installation orchestrator.Installation
	// Listen is host:port. Empty means DefaultListen. Port 0 picks a free port.
	Listen string
	// Listener is an open listener for Listen. If nil, Server.Listen opens one.
	Listener net.Listener
	// TLS is the server's certificate. Nil means no TLS, which is allowed on loopback only.
	TLS *TLSFiles
	// AllowPlaintext allows listening beyond loopback without TLS.
	AllowPlaintext bool
	// PublicURLs are the addresses at which browsers reach the server through proxies.
	PublicURLs []Origin
	// TrustedProxies are the proxies whose X-Forwarded-For is trusted.
	TrustedProxies []netip.Prefix
	Log            *slog.Logger // nil means no log
	// Registry contains what /metrics serves. The server adds its own metrics. Nil means a new one.
	Registry *prometheus.Registry
	// ServiceMetrics returns the metrics that contain names of services. /metrics serves them to callers with
	// credentials, for the services that the caller may see. Nil means none.
	ServiceMetrics func(*auth.Principal) []prometheus.Collector
	UI             fs.FS // nil means none
	Version        string
	Revision       string
	// ShutdownTimeout is the maximum duration of a graceful stop. Zero means 5 s.
	ShutdownTimeout time.Duration
	HeaderTimeout   time.Duration // until the headers of a request are read; zero means 5 s
	RequestTimeout  time.Duration // until its body is read too; zero means 20 s
	// MaxConnections is the maximum number of open connections, including WebSockets. Zero means three quarters of the
	// process's limit of file descriptors, at most 60,000.
	MaxConnections int
	// MaxMemory is the number of bytes that clients can make the server hold in addition to their connections: requests
	// that are read or executed, and answers that wait. Zero means budget.Default.
	MaxMemory   int
	BusyTimeout time.Duration // until a request for which there is no memory is refused; zero means 2 s
	WebSocket   ws.Limits
}

// Validate sets the defaults and returns an error that names the invalid option.
func (o *Options) Validate() error {
	o.Listen = cmp.Or(o.Listen, DefaultListen)
	o.ShutdownTimeout = cmp.Or(o.ShutdownTimeout, 5*time.Second)
	o.HeaderTimeout = cmp.Or(o.HeaderTimeout, 5*time.Second)
	o.RequestTimeout = cmp.Or(o.RequestTimeout, 20*time.Second)
	o.MaxConnections = cmp.Or(o.MaxConnections, defaultConnections())
	o.MaxMemory = cmp.Or(o.MaxMemory, budget.Default)
	o.BusyTimeout = cmp.Or(o.BusyTimeout, 2*time.Second)
	o.WebSocket.SetDefaults()
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	if o.API == nil || o.Access == nil {
		return errors.New("API and Access must be set")
	}
	return ValidateListen(o.Listen, o.TLS != nil || o.AllowPlaintext)
}

// ValidateListen returns an error unless the server may listen on address: beyond loopback it needs TLS, or
// AllowPlaintext.
func ValidateListen(address string, secure bool) error {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("listen must be host:port, such as %s, not %q", DefaultListen, address)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("listen %q: the port must be 0 to 65535", address)
	}
	if !secure && !IsLoopback(address) {
		return fmt.Errorf("listen %q is beyond loopback and without TLS, so passwords could be read in transit: set --tls-cert and --tls-key, "+
			"listen on loopback, such as 127.0.0.1:%s or [::1]:%s, or set --allow-plaintext-beyond-loopback", address, port, port)
	}
	return nil
}

// IsLoopback reports whether only this machine can connect to a valid listen address.
func IsLoopback(address string) bool {
	host, _, _ := net.SplitHostPort(address)
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// Server serves the API and the UI.
type Server struct {
	opts     Options
	log      *slog.Logger
	metrics  *metrics
	graph    *graph.Graph
	sockets  *ws.Transport
	legacy   *legacy.Endpoints
	memory   *budget.Memory
	handler  http.Handler
	listener net.Listener

	loopback    bool         // only this machine can connect
	certificate *certificate // nil means no TLS
}

// New returns a server that does not listen yet.
func New(opts Options) (*Server, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	m, err := newMetrics(opts.Registry, opts.Version, opts.Revision)
	if err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	s := &Server{opts: opts, log: opts.Log, metrics: m, listener: opts.Listener, memory: budget.NewMemory(opts.MaxMemory)}
	if opts.TLS != nil {
		if s.certificate, err = newCertificate(*opts.TLS, opts.Log); err != nil {
			return nil, err
		}
	}
	s.loopback = IsLoopback(opts.Listen)
	s.graph = graph.New(graph.Options{API: opts.API, Access: opts.Access, Installation: opts.Installation, Log: opts.Log, Observer: m})
	s.sockets = ws.New(ws.Options{
		Limits: opts.WebSocket, Log: opts.Log, Metrics: m, Memory: s.memory, Prepare: graph.WithStreaming,
		Own:          func(r *http.Request) bool { return s.foreign(r) == nil },
		Authenticate: s.authenticateSocket,
		Refuse: func(w http.ResponseWriter, status int, code orchestrator.Code, message string) {
			writeError(w, status, string(code), message)
		},
	})
	s.legacy, err = legacy.New(legacy.Options{
		API: auth.Scoped(opts.API), Access: opts.Access, Registry: opts.Registry, Caller: callerOf,
		ReadJSON: readBody, WriteJSON: writeJSON, Explain: s.explain, Recovered: s.graph.Recovered,
	})
	if err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	s.graph.AddTransport(s.sockets)
	s.graph.AddTransport(transport.POST{})
	s.graph.AroundResponses(s.admitAnswer)
	s.handler = s.routes()
	return s, nil
}

// Handler returns the handler of the whole server, including the guard.
func (s *Server) Handler() http.Handler { return s.handler }

// Listen opens the port. Call it before Run to find out early that a port is in use.
func (s *Server) Listen(ctx context.Context) error {
	if s.listener != nil {
		return nil
	}
	listener, err := Listen(ctx, s.opts.Listen)
	s.listener = listener
	return err
}

// Listen opens a port.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	return listener, nil
}

// URL returns the address at which this machine reaches the server, with the real port and without a slash at the end.
// Call it after Listen.
func (s *Server) URL() string {
	scheme := "http"
	if s.certificate != nil {
		scheme = "https"
	}
	host, port, _ := net.SplitHostPort(s.listener.Addr().String())
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}

// Close closes the listener. Call it if Run will not be called.
func (s *Server) Close() error {
	if s.listener == nil {
		return nil
	}
	return s.listener.Close()
}

// Run serves until ctx ends and then stops gracefully: it completes requests and asks WebSocket clients to reconnect,
// within the shutdown timeout.
func (s *Server) Run(ctx context.Context) error {
	if err := s.Listen(ctx); err != nil {
		return err
	}
	requests, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stopping, stop := context.WithCancel(requests)
	defer stop()
	limited := newConnections(s.listener, s.opts.MaxConnections, s.metrics.closed.Inc)
	httpServer := &http.Server{
		ConnState:         limited.note,
		Handler:           s.handler,
		ReadHeaderTimeout: s.opts.HeaderTimeout,
		ReadTimeout:       s.opts.RequestTimeout,
		WriteTimeout:      90 * time.Second, // a health check may take a minute
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return context.WithValue(requests, stoppingKey{}, stopping) },
	}
	httpServer.RegisterOnShutdown(stop)
	served := make(chan error, 1)
	go func() {
		if s.certificate == nil {
			served <- httpServer.Serve(limited)
			return
		}
		httpServer.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: s.certificate.get}
		served <- httpServer.ServeTLS(limited, "", "")
	}()
	select {
	case err := <-served:
		return errors.Join(fmt.Errorf("serve: %w", err), s.stop(httpServer, cancel))
	case <-ctx.Done():
	}
	err := s.stop(httpServer, cancel)
	if end := <-served; !errors.Is(end, http.ErrServerClosed) {
		err = errors.Join(err, fmt.Errorf("serve: %w", end))
	}
	return err
}

// stoppingKey is the key of a context that ends when no more requests are accepted, for requests without an end of their own.
type stoppingKey struct{}

// stop ends all requests and connections and waits for them. After the timeout it closes the connections.
func (s *Server) stop(httpServer *http.Server, cancelRequests context.CancelFunc) error {
	ctx, cancel := context.WithTimeout(context.Background(), s.opts.ShutdownTimeout)
	defer cancel()
	socketsDone := make(chan struct{})
	go func() {
		defer close(socketsDone)
		s.sockets.Shutdown(ctx)
	}()
	err := httpServer.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		s.log.Warn("requests were cut off at shutdown", slog.Duration("after", s.opts.ShutdownTimeout))
		err = httpServer.Close()
	}
	<-socketsDone
	cancelRequests()
	s.graph.Wait()
	return err
}
