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

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/ent/node"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/process"
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
	Listen    string `default:"127.0.0.1:8080" placeholder:"HOST:PORT" env:"UWS_LISTEN" help:"Where to listen: on loopback, as long as there is no sign-in. Port 0 picks one. Default: ${default}."`
	DataDir   string `default:"./data" placeholder:"DIR" env:"UWS_DATA_DIR" help:"Folder of the store and of the services' data. Default: ${default}."`
	Templates string `placeholder:"DIR" env:"UWS_TEMPLATES" help:"Folder with templates of your own."`
	Engines   string `default:"${engines}" placeholder:"DIR" env:"UWS_ENGINES" help:"Folder with engines that were fetched before. Default: ${default}."`

	EventRetention time.Duration `default:"720h" placeholder:"AGE" env:"UWS_EVENT_RETENTION" help:"Age beyond which events are deleted, such as 720h for 30 days. Default: ${default}."`
	EventMax       int           `default:"1000000" placeholder:"N" env:"UWS_EVENT_MAX" help:"How many events are kept at most; the newest always is. Default: ${default}."`

	logFlags `embed:""`
	Config   configFlag `placeholder:"FILE" env:"UWS_CONFIG" help:"YAML file with any of these flags as keys. Flags win over the environment, which wins over the file."`
}

// Validate is called by kong: a mistake here is one of usage.
func (c *serveCommand) Validate() error {
	if err := server.ValidateListen(c.Listen); err != nil {
		return err
	}
	if c.DataDir == "" {
		return errors.New("data-dir must name a folder, such as ./data")
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

	templates, err := catalog.Load(c.Templates, probe.Check)
	if err != nil {
		return fmt.Errorf("reading templates: %w", err)
	}
	st, err := store.Open(ctx, store.Options{Dir: c.DataDir, Key: os.Getenv(keyVariable), Log: log})
	if err != nil {
		return err
	}
	err = c.serve(ctx, out.stdout, log, templates, st)
	return errors.Join(err, st.Close())
}

func (c *serveCommand) serve(ctx context.Context, stdout io.Writer, log *slog.Logger, templates *catalog.Catalog, st *store.Store) error {
	registry := prometheus.NewRegistry()
	dataDir, err := filepath.Abs(c.DataDir)
	if err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	nodes := nodeOpener{dataDir: dataDir, engines: c.Engines, installation: st.Installation, log: log}
	control, err := orchestrator.New(ctx, orchestrator.Options{
		Store: st, Catalog: templates, Open: nodes.open, Log: log, Registerer: registry,
		Local:          orchestrator.LocalNode{Driver: string(node.DriverPROCESS), Endpoint: localEndpoint},
		EventRetention: c.EventRetention, EventMax: c.EventMax,
	})
	if err != nil {
		return fmt.Errorf("starting: %w", err)
	}
	srv, err := server.New(server.Options{
		API: control, Listen: c.Listen, Log: log, Registry: registry, UI: ui.Files, Version: version,
	})
	if err == nil {
		err = srv.Listen(ctx)
	}
	if err != nil {
		return errors.Join(err, control.Close())
	}
	printWelcome(stdout, "http://"+srv.Addr().String())
	return runBoth(ctx, srv.Run, control.Run)
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

  Stop it with Ctrl-C; services keep running.

`, version, url, url, url, url)
}

// localEndpoint is the folder of this machine's node, within the data folder, which may be moved.
const localEndpoint = "process"

type nodeOpener struct {
	dataDir, engines, installation string
	log                            *slog.Logger
}

func (o nodeOpener) open(n *ent.Node) (driver.Driver, error) {
	if n.Driver != node.DriverPROCESS {
		return nil, driver.Errorf(driver.Invalid, "nodes with driver %s are not supported by this version; PROCESS is", n.Driver)
	}
	dir := n.Endpoint
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(o.dataDir, dir)
	}
	engines := o.engines
	if engines != "" {
		var err error
		if engines, err = filepath.Abs(engines); err != nil {
			return nil, fmt.Errorf("engines folder: %w", err)
		}
	}
	return process.New(process.Options{
		Dir: dir, Installation: o.installation, Engines: engines, BuildEngines: true, Version: version,
		Log: o.log.With(slog.String("node", n.Name)),
	})
}
