package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/app"
	"github.com/unicorn-web-services/uws/orchestrator/auth"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/driver/docker"
	"github.com/unicorn-web-services/uws/orchestrator/fleet"
	"github.com/unicorn-web-services/uws/orchestrator/probe"
	"github.com/unicorn-web-services/uws/orchestrator/store"
	"github.com/unicorn-web-services/uws/server"
	"github.com/unicorn-web-services/uws/ui"
)

const (
	// stopTimeout is the maximum duration of a stop. Services keep running in any case.
	stopTimeout = 10 * time.Second
	// keyVariable is the environment variable with the store's key. There is no flag, because other users of the
	// machine can read command lines.
	keyVariable = "UWS_KEY"
)

type serveCommand struct {
	Listen    string `default:"127.0.0.1:8080" placeholder:"HOST:PORT" env:"UWS_LISTEN" help:"Address to listen on. Beyond loopback, --tls-cert and --tls-key are required. Port 0 picks a free port. Default: ${default}."`
	TLSCert   string `name:"tls-cert" placeholder:"FILE" env:"UWS_TLS_CERT" help:"Certificate file in PEM, followed by its chain. It is reloaded when it changes."`
	TLSKey    string `name:"tls-key" placeholder:"FILE" env:"UWS_TLS_KEY" help:"Key file of the certificate, in PEM."`
	DataDir   string `default:"./data" placeholder:"DIR" env:"UWS_DATA_DIR" help:"Folder for the store and the data of services. Default: ${default}."`
	Templates string `placeholder:"DIR" env:"UWS_TEMPLATES" help:"Folder with your own templates."`
	Images    string `placeholder:"TEMPLATE=IMAGE,…" env:"UWS_IMAGES" help:"Container images to use instead of those in the templates."`
	Engines   string `default:"${engines}" placeholder:"DIR" env:"UWS_ENGINES" help:"Folder with engines that were fetched with uws engines. Default: ${default}."`
	LocalNode string `default:"auto" enum:"auto,docker,process,none" placeholder:"KIND" env:"UWS_LOCAL_NODE" help:"First node of a new data folder: docker, the Docker Engine that the docker command uses; process, this machine, with engines as processes; none; or auto, which is docker if an engine answers and else process. Default: ${default}."`

	AllowPlaintextBeyondLoopback bool `name:"allow-plaintext-beyond-loopback" env:"UWS_ALLOW_PLAINTEXT_BEYOND_LOOPBACK" help:"Listen beyond loopback without TLS. Anyone who can read the network traffic can take over the server. Use it only on a network without other users, or behind a proxy that terminates TLS."`

	PublicURL      []string `name:"public-url" placeholder:"URL" env:"UWS_PUBLIC_URL" help:"Address at which browsers reach the server through a proxy that terminates TLS, such as https://uws.example; several are allowed. It determines Host, Origin, the cookie and login links. See docs/proxy.md."`
	TrustedProxies []string `placeholder:"CIDR" env:"UWS_TRUSTED_PROXIES" help:"Addresses of proxies whose X-Forwarded-For is trusted, such as 127.0.0.1 or 10.1.0.0/16. Rate limits and the audit log then use the addresses of the clients."`

	MaxConnections int `placeholder:"N" env:"UWS_MAX_CONNECTIONS" help:"Maximum number of open connections, including WebSockets. If one more arrives, the address with most connections loses one. Default: three quarters of the file descriptors that uws may open, at most 60000."`

	AllowUnencryptedDockerTCP bool `name:"allow-unencrypted-docker-tcp" env:"UWS_ALLOW_UNENCRYPTED_DOCKER_TCP" help:"Use Docker Engines on tcp:// endpoints without TLS. Anyone who can reach such a port is root on its machine. Use it only on networks without other users."`

	AllowUnencryptedServices bool `name:"allow-unencrypted-services" env:"UWS_ALLOW_UNENCRYPTED_SERVICES" help:"Let engines that run as processes listen beyond loopback, on the serviceAddress of their node, without TLS. Anyone who can read the network traffic can read data and passwords. Use it only on networks without other users."`

	EngineSandbox string `default:"auto" enum:"auto,require,off" placeholder:"MODE" env:"UWS_ENGINE_SANDBOX" help:"Sandbox engines that run as processes with Landlock and seccomp: auto, as far as the kernel supports them; require, start none without them; off. See docs/templates.md. Default: ${default}."`

	EventRetention age `default:"30d" placeholder:"AGE" env:"UWS_EVENT_RETENTION" help:"Age at which events are deleted, such as 90d or 12h. Default: ${default}."`
	EventMax       int `default:"1000000" placeholder:"N" env:"UWS_EVENT_MAX" help:"Maximum number of events to keep. The newest is always kept. Default: ${default}."`

	NoUsageMetrics bool `name:"no-usage-metrics" env:"UWS_NO_USAGE_METRICS" help:"Leave what services and nodes use out of /metrics: seven series for each service."`

	AuditRetention age `default:"0s" placeholder:"AGE" env:"UWS_AUDIT_RETENTION" help:"Age at which lines of the audit log are moved into daily archives in the data folder, such as 365d; at least 24h. Default: 0s, which keeps all lines in the log."`

	// The next two are actions, not settings: they cannot be set by the environment or the configuration file.
	Moved bool `xor:"arrival" help:"Serve a data folder that was moved or restored here. The original must no longer be in use: a uws that still serves it stops acting on Docker Engines."`
	Clone bool `xor:"arrival" help:"Turn a copied data folder into a separate installation beside the original, with all services stopped, for example to rehearse an upgrade."`

	logFlags `embed:""`
	Config   configFlag `placeholder:"FILE" env:"UWS_CONFIG" help:"YAML file with any of these flags as keys. Flags take precedence over the environment, and that over the file."`
}

// Validate is called by kong. Its errors are usage errors.
func (c *serveCommand) Validate() error {
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return errors.New("tls-cert and tls-key belong together: set both or neither")
	}
	if err := server.ValidateListen(c.Listen, c.TLSCert != "" || c.AllowPlaintextBeyondLoopback); err != nil {
		return &flagError{"listen", err}
	}
	if _, err := c.publicURLs(); err != nil {
		return &flagError{"public-url", err}
	}
	if _, err := server.ParseProxies(c.TrustedProxies); err != nil {
		return &flagError{"trusted-proxies", err}
	}
	if err := server.ValidateConnections(c.MaxConnections); err != nil {
		return &flagError{"max-connections", err}
	}
	if c.DataDir == "" {
		return &flagError{"data-dir", errors.New("data-dir must name a folder, such as ./data")}
	}
	if _, err := catalog.ParseImages(c.Images); err != nil {
		return &flagError{"images", fmt.Errorf("images: %w", err)}
	}
	if c.EventRetention <= 0 {
		return &flagError{"event-retention", fmt.Errorf("event-retention must be longer than 0s, such as 30d, not %s", time.Duration(c.EventRetention))}
	}
	if c.EventMax < 1 {
		return &flagError{"event-max", fmt.Errorf("event-max must be at least 1, not %d", c.EventMax)}
	}
	if c.AuditRetention != 0 && c.AuditRetention < age(auth.MinAuditRetention) {
		return &flagError{"audit-retention", fmt.Errorf("audit-retention must be at least 24h, such as 365d, or 0s to keep all lines in the log, not %s", time.Duration(c.AuditRetention))}
	}
	return nil
}

// Run serves until a signal arrives or ctx ends.
func (c *serveCommand) Run(ctx context.Context, out *terminal) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal kills the process
	log := c.logger(out.stderr)
	defer endInTime(ctx, log)()
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50) // collect earlier: the memory that clients use is bounded, so this bounds the garbage too
	}

	templates, err := c.templates()
	if err != nil {
		return err
	}
	listener, err := server.Listen(ctx, c.Listen) // before anything is created
	if err != nil {
		return err
	}
	defer listener.Close() // a no-op if the server has closed it
	st, err := store.Open(ctx, store.Options{Dir: c.DataDir, Key: os.Getenv(keyVariable), Log: log})
	if err != nil {
		return err
	}
	st.Reserve()
	err = c.serve(ctx, out.stdout, log, templates, st, listener)
	return errors.Join(err, st.Close())
}

// private returns the files and folders that no engine may read.
func (c *serveCommand) private(dataDir string) []string {
	all := []string{dataDir}
	for _, path := range []string{c.TLSKey, string(c.Config)} {
		if path != "" {
			all = append(all, path)
		}
	}
	return all
}

func (c *serveCommand) arrival() store.Arrival {
	switch {
	case c.Moved:
		return store.Moved
	case c.Clone:
		return store.Cloned
	}
	return store.Stayed
}

// readOnlyReason returns the text shown for a data folder that is not where it was last served.
func readOnlyReason(displaced string) string {
	if displaced == "" {
		return ""
	}
	return "this data folder was moved or copied: " + displaced + ". If the original is gone, start uws with --moved; " +
		"if it is still in use, start with --clone for a copy with all services stopped"
}

func (c *serveCommand) templates() (*catalog.Catalog, error) {
	all, err := catalog.Load(c.Templates, catalog.Probes{Check: probe.Check, Writes: probe.Writes})
	if err != nil {
		return nil, fmt.Errorf("reading templates: %w", err)
	}
	images, err := catalog.ParseImages(c.Images)
	if err == nil {
		all, err = all.WithImages(images)
	}
	if err != nil {
		return nil, fmt.Errorf("images: %w", err)
	}
	return all, nil
}

func (c *serveCommand) serve(ctx context.Context, stdout io.Writer, log *slog.Logger, templates *catalog.Catalog, st *store.Store, listener net.Listener) error {
	registry := prometheus.NewRegistry()
	dataDir, err := filepath.Abs(c.DataDir)
	if err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	identity, displaced, err := st.Settle(ctx, c.arrival())
	if err != nil {
		return err
	}
	readOnly := readOnlyReason(displaced)
	nodes := nodeOpener{
		dataDir: dataDir, engines: c.Engines, allowPlaintext: c.AllowUnencryptedDockerTCP, installation: st.Installation, log: log,
		sandbox: c.EngineSandbox, private: c.private(dataDir),
		clonedFrom: identity.ClonedFrom, claim: docker.Claim{Store: identity.Store, Epoch: identity.Epoch, Force: c.Moved},
	}
	var local fleet.LocalNode
	if readOnly == "" {
		local, err = c.firstNode(ctx, st, log)
	} else {
		log.Warn("uws is read-only", "reason", readOnly)
	}
	if err != nil {
		return err
	}
	plane, err := app.New(ctx, app.Options{
		Store: st, Catalog: templates, Drivers: nodes.drivers(), Log: log, Registerer: registry,
		Local: local, ReadOnly: readOnly, AllowUnencrypted: c.AllowUnencryptedServices,
		EventRetention: time.Duration(c.EventRetention), EventMax: c.EventMax, NoUsageMetrics: c.NoUsageMetrics,
	})
	if err != nil {
		return fmt.Errorf("starting: %w", err)
	}
	access, err := auth.Open(ctx, auth.Options{
		Store: st, Log: log, ReadOnly: readOnly, AuditRetention: time.Duration(c.AuditRetention), Registerer: registry,
	})
	if err != nil {
		return errors.Join(err, plane.Close())
	}
	public, _ := c.publicURLs() // validated before
	proxies, _ := server.ParseProxies(c.TrustedProxies)
	srv, err := server.New(server.Options{
		API: plane, Access: access, Listen: c.Listen, Listener: listener, TLS: c.tls(), AllowPlaintext: c.AllowPlaintextBeyondLoopback,
		PublicURLs: public, TrustedProxies: proxies, MaxConnections: c.MaxConnections,
		Log: log, Registry: registry, ServiceMetrics: func(p *auth.Principal) []prometheus.Collector { return plane.ServiceMetrics(p.Kinds) }, UI: ui.Files, Version: version,
		Installation: installationOf(st, readOnly),
	})
	if err == nil {
		err = c.welcome(ctx, stdout, access, srv.URL(), public)
	}
	if err != nil {
		return errors.Join(err, plane.Close())
	}
	return runBoth(ctx, srv.Run, func(ctx context.Context) error {
		ctx, stop := context.WithCancel(ctx)
		kept := make(chan error, 1)
		go func() { kept <- access.Run(ctx) }()
		err := plane.Run(ctx)
		stop()
		return errors.Join(err, <-kept)
	})
}

func installationOf(st *store.Store, readOnly string) orchestrator.Installation {
	i := orchestrator.Installation{ID: st.Installation}
	if readOnly != "" {
		i.ReadOnlyReason = &readOnly
	}
	return i
}

func (c *serveCommand) publicURLs() ([]server.Origin, error) {
	var all []server.Origin
	for _, text := range c.PublicURL {
		origin, err := server.ParsePublicURL(text)
		if err != nil {
			return nil, err
		}
		all = append(all, origin)
	}
	return all, nil
}

func (c *serveCommand) tls() *server.TLSFiles {
	if c.TLSCert == "" {
		return nil
	}
	return &server.TLSFiles{Certificate: c.TLSCert, Key: c.TLSKey}
}

// welcome prints the address of the server, and writes it to the data folder for the short commands.
func (c *serveCommand) welcome(ctx context.Context, stdout io.Writer, access *auth.Authenticator, url string, public []server.Origin) error {
	browsers := url // the address for browsers
	if len(public) > 0 {
		browsers = public[0].String()
	}
	if err := os.WriteFile(filepath.Join(c.DataDir, addressName), []byte(browsers+"\n"), 0o600); err != nil {
		return fmt.Errorf("write the address to the data folder: %w", err)
	}
	secret, err := access.FirstLink(ctx)
	if err != nil {
		return fmt.Errorf("create the first login link: %w", err)
	}
	if !server.IsLoopback(c.Listen) && c.TLSCert == "" {
		fmt.Fprintln(stdout, "\n  WARNING: this server listens beyond loopback without TLS. Anybody who can read its traffic can take it over.")
	}
	printWelcome(stdout, url)
	if len(public) > 0 {
		fmt.Fprintf(stdout, "  Browsers reach it at %s.\n\n", browsers)
	}
	if secret != "" {
		fmt.Fprintf(stdout, `  Nobody has signed in yet. Open this link within 15 minutes; it works once:

    %s

`, browsers+auth.LinkPath(secret))
	}
	return nil
}

// runBoth runs the server (doors) and the control plane until ctx or one of them ends, and then stops them in that
// order.
func runBoth(ctx context.Context, doors, control func(context.Context) error) error {
	doorsCtx, closeDoors := context.WithCancel(ctx)
	defer closeDoors()
	controlCtx, stopControl := context.WithCancel(context.WithoutCancel(ctx))
	defer stopControl()
	controlled := make(chan error, 1)
	go func() {
		defer closeDoors()
		controlled <- control(controlCtx)
	}()
	err := doors(doorsCtx)
	stopControl()
	return errors.Join(err, <-controlled)
}

// endInTime ends the program if the returned function is not called within stopTimeout after ctx ends.
func endInTime(ctx context.Context, log *slog.Logger) (ended func()) {
	finished, waited := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(waited)
		select {
		case <-finished:
			return
		case <-ctx.Done():
			log.Info("stopping; services keep running")
		}
		select {
		case <-finished:
		case <-time.After(stopTimeout):
			log.Error("shutdown timed out", slog.Duration("after", stopTimeout))
			os.Exit(exitError)
		}
	}()
	return func() {
		close(finished)
		<-waited
	}
}

func printWelcome(w io.Writer, url string) {
	fmt.Fprintf(w, `
  UWS Orchestrator %s is running.

    UI          %s/
    Playground  %s/playground
    API         %s/graphql
    Metrics     %s/metrics

  To sign a browser in: uws login-link. To make a token for a program: uws token create.
  Stop it with Ctrl-C; services keep running.

`, version, url, url, url, url)
}
