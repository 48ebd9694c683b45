package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/access"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/probe"
	"github.com/unicorn-web-services/uws/orchestrator/store"
	"github.com/unicorn-web-services/uws/server"
	"github.com/unicorn-web-services/uws/ui"
)

const (
	// stopTimeout is the longest that a stop may take; services keep running in any case.
	stopTimeout = 10 * time.Second
	// keyVariable holds the store's key. There is no flag: others on the machine can read those.
	keyVariable = "UWS_KEY"
)

type serveCommand struct {
	Listen    string `default:"127.0.0.1:8080" placeholder:"HOST:PORT" env:"UWS_LISTEN" help:"Where to listen. Beyond loopback it needs --tls-cert and --tls-key. Port 0 picks one. Default: ${default}."`
	TLSCert   string `name:"tls-cert" placeholder:"FILE" env:"UWS_TLS_CERT" help:"Certificate in PEM, its chain behind it. It is read again when it changes."`
	TLSKey    string `name:"tls-key" placeholder:"FILE" env:"UWS_TLS_KEY" help:"Key of the certificate, in PEM."`
	DataDir   string `default:"./data" placeholder:"DIR" env:"UWS_DATA_DIR" help:"Folder of the store and of the services' data. Default: ${default}."`
	Templates string `placeholder:"DIR" env:"UWS_TEMPLATES" help:"Folder with templates of your own."`
	Images    string `placeholder:"TEMPLATE=IMAGE,…" env:"UWS_IMAGES" help:"Container images that take the place of the templates' own."`
	Engines   string `default:"${engines}" placeholder:"DIR" env:"UWS_ENGINES" help:"Folder with engines that were fetched before. Default: ${default}."`
	LocalNode string `default:"auto" enum:"auto,docker,process,none" placeholder:"KIND" env:"UWS_LOCAL_NODE" help:"What the first node of a new data folder is: docker, the Docker Engine that the docker command would use; process, this machine with engines as processes; none; or auto, docker where an engine answers and else process. Default: ${default}."`

	AllowPlaintextBeyondLoopback bool `name:"allow-plaintext-beyond-loopback" env:"UWS_ALLOW_PLAINTEXT_BEYOND_LOOPBACK" help:"Listen beyond loopback without TLS. Whoever sees the network's traffic can take over: only for a network where nobody else is, or behind a proxy that does TLS."`

	AllowUnencryptedDockerTCP bool `name:"allow-unencrypted-docker-tcp" env:"UWS_ALLOW_UNENCRYPTED_DOCKER_TCP" help:"Use Docker Engines on tcp:// endpoints without TLS. Whoever can reach such a port is root on its machine: only for networks where nobody else is."`

	EventRetention time.Duration `default:"720h" placeholder:"AGE" env:"UWS_EVENT_RETENTION" help:"Age beyond which events are deleted, such as 720h for 30 days. Default: ${default}."`
	EventMax       int           `default:"1000000" placeholder:"N" env:"UWS_EVENT_MAX" help:"How many events are kept at most; the newest always is. Default: ${default}."`

	logFlags `embed:""`
	Config   configFlag `placeholder:"FILE" env:"UWS_CONFIG" help:"YAML file with any of these flags as keys. Flags win over the environment, which wins over the file."`
}

// Validate is called by kong: a mistake here is one of usage.
func (c *serveCommand) Validate() error {
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return errors.New("tls-cert and tls-key belong together: give both, or none")
	}
	if err := server.ValidateListen(c.Listen, c.TLSCert != "" || c.AllowPlaintextBeyondLoopback); err != nil {
		return err
	}
	if c.DataDir == "" {
		return errors.New("data-dir must name a folder, such as ./data")
	}
	if _, err := catalog.ParseImages(c.Images); err != nil {
		return fmt.Errorf("images: %w", err)
	}
	if c.EventRetention <= 0 {
		return fmt.Errorf("event-retention must be longer than 0s, such as 720h, not %s", c.EventRetention)
	}
	if c.EventMax < 1 {
		return fmt.Errorf("event-max must be at least 1, not %d", c.EventMax)
	}
	return nil
}

// Run serves until a signal comes or ctx ends.
func (c *serveCommand) Run(ctx context.Context, out *terminal) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends at once
	log := c.logger(out.stderr)
	defer endInTime(ctx, log)()

	templates, err := c.templates()
	if err != nil {
		return err
	}
	st, err := store.Open(ctx, store.Options{Dir: c.DataDir, Key: os.Getenv(keyVariable), Log: log})
	if err != nil {
		return err
	}
	err = c.serve(ctx, out.stdout, log, templates, st)
	return errors.Join(err, st.Close())
}

func (c *serveCommand) templates() (*catalog.Catalog, error) {
	all, err := catalog.Load(c.Templates, probe.Check)
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

func (c *serveCommand) serve(ctx context.Context, stdout io.Writer, log *slog.Logger, templates *catalog.Catalog, st *store.Store) error {
	registry := prometheus.NewRegistry()
	dataDir, err := filepath.Abs(c.DataDir)
	if err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	nodes := nodeOpener{
		dataDir: dataDir, engines: c.Engines, allowPlaintext: c.AllowUnencryptedDockerTCP, installation: st.Installation, log: log,
	}
	local, err := c.firstNode(ctx, st, log)
	if err != nil {
		return err
	}
	control, err := orchestrator.New(ctx, orchestrator.Options{
		Store: st, Catalog: templates, Open: nodes.open, Log: log, Registerer: registry,
		Local: local, ProcessEndpoint: processEndpoint,
		EventRetention: c.EventRetention, EventMax: c.EventMax,
	})
	if err != nil {
		return fmt.Errorf("starting: %w", err)
	}
	keeper, err := access.Open(ctx, access.Options{Store: st, Log: log})
	if err != nil {
		return errors.Join(err, control.Close())
	}
	srv, err := server.New(server.Options{
		API: control, Access: keeper, Listen: c.Listen, TLS: c.tls(), AllowPlaintext: c.AllowPlaintextBeyondLoopback,
		Log: log, Registry: registry, UI: ui.Files, Version: version,
	})
	if err == nil {
		err = srv.Listen(ctx)
	}
	if err == nil {
		err = c.welcome(ctx, stdout, keeper, srv.URL())
	}
	if err != nil {
		return errors.Join(err, control.Close())
	}
	return runBoth(ctx, srv.Run, func(ctx context.Context) error {
		ctx, stop := context.WithCancel(ctx)
		kept := make(chan error, 1)
		go func() { kept <- keeper.Run(ctx) }()
		err := control.Run(ctx)
		stop()
		return errors.Join(err, <-kept)
	})
}

func (c *serveCommand) tls() *server.TLSFiles {
	if c.TLSCert == "" {
		return nil
	}
	return &server.TLSFiles{Certificate: c.TLSCert, Key: c.TLSKey}
}

// welcome says where the server is, to people and to the short commands.
func (c *serveCommand) welcome(ctx context.Context, stdout io.Writer, keeper *access.Keeper, url string) error {
	if err := os.WriteFile(filepath.Join(c.DataDir, addressName), []byte(url+"\n"), 0o600); err != nil {
		return fmt.Errorf("writing down the address: %w", err)
	}
	secret, err := keeper.FirstLink(ctx)
	if err != nil {
		return fmt.Errorf("making the first login link: %w", err)
	}
	if !server.IsLoopback(c.Listen) && c.TLSCert == "" {
		fmt.Fprintln(stdout, "\n  WARNING: this server listens beyond loopback without TLS: whoever sees its traffic can take over.")
	}
	printWelcome(stdout, url)
	if secret != "" {
		fmt.Fprintf(stdout, `  Nobody has signed in yet. Open this link within 15 minutes; it works once:

    %s

`, url+access.LinkPath(secret))
	}
	return nil
}

// runBoth runs the doors and the control plane behind them until ctx or one of them ends, and stops them
// in that order.
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

// endInTime ends the program when it has not called the function returned within stopTimeout of ctx's end.
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
			log.Error("the stop took too long; ending now", slog.Duration("after", stopTimeout))
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
