package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/unicorn-web-services/uws/ent"
	entnode "github.com/unicorn-web-services/uws/ent/node"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/app"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/fleet"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/probe"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

const webTemplate = `
name: web
kind: QUEUE
version: 1.0.0
default: true
description: A page on a port.
ports: [{name: web}]
credentials: [{name: password, length: 32}]
endpoint: http://${host}:${port.web}
probe: {type: http, port: web, interval: %s, timeout: %s, failureThreshold: 100}
process: {engine: web, env: {PASSWORD: "${credential.password}"}}
`

// controlPlane is a prober: the whole control plane over a store that holds the targets as healthy services.
// Its driver is the only part that is not real: it says that every one of them runs. Each round is a start of
// uws, which looks at all services at once. Nothing is restarted, however long it hangs.
type controlPlane struct {
	dir       string
	templates *catalog.Catalog

	store   *store.Store
	control *app.App
	cancel  context.CancelFunc
	ended   chan error
}

var _ prober = (*controlPlane)(nil)

func newControlPlane(ctx context.Context, ports []int, interval time.Duration) (*controlPlane, error) {
	dir, err := os.MkdirTemp("", "uws-bench-probes-")
	if err != nil {
		return nil, err
	}
	c := &controlPlane{dir: dir}
	templates := filepath.Join(dir, "templates")
	err = errors.Join(os.Mkdir(templates, 0o700),
		os.WriteFile(filepath.Join(templates, "web.yaml"), fmt.Appendf(nil, webTemplate, interval, probeTimeout), 0o600))
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	if c.templates, err = catalog.Load(templates, catalog.Probes{Check: probe.Check, Writes: probe.Writes}); err == nil {
		err = c.fill(ctx, ports)
	}
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

// fill writes the targets down as services that were seen healthy.
func (c *controlPlane) fill(ctx context.Context, ports []int) (err error) {
	st, err := store.Open(ctx, store.Options{Dir: filepath.Join(c.dir, "data")})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	now := time.Now().UTC()
	n, err := st.Write.Node.Create().SetID("node").SetName("local").SetDriver(entnode.DriverPROCESS).SetEndpoint("fake").
		SetServiceAddress("127.0.0.1").SetHealthy(true).SetCreatedAt(now).Save(ctx)
	if err != nil {
		return err
	}
	t, ok := c.templates.Lookup("web")
	if !ok {
		return errors.New("no template web")
	}
	var rows []*ent.ServiceCreate
	for i, port := range ports {
		id := fmt.Sprintf("s%025d", i)
		clear, err := json.Marshal(map[string]string{"password": strings.Repeat("p", 32)})
		if err != nil {
			return err
		}
		sealed, err := st.Seal(clear, "credentials:"+id) // as the control plane seals them
		if err != nil {
			return err
		}
		rows = append(rows, st.Write.Service.Create().SetID(id).SetName(fmt.Sprintf("web-%d", i)).SetKind(t.Kind).SetTemplate(t.Name).
			SetDefinition(t).SetInputHash(id).SetVolume(id).SetCredentials(sealed).SetDesiredState(lifecycle.WantRunning).
			SetNodeID(n.ID).SetPorts(map[string]int{"web": port}).SetPhase(lifecycle.Running).SetHealth(lifecycle.HealthHealthy).
			SetReason("answered 200 OK").SetInstance(id+"-1").SetEverHealthy(true).SetHealthySince(now).
			SetCreatedAt(now.Add(time.Duration(i)*time.Millisecond)).SetUpdatedAt(now))
		if len(rows) == 100 || i == len(ports)-1 {
			if err := st.Write.Service.CreateBulk(rows...).Exec(ctx); err != nil {
				return err
			}
			rows = nil
		}
	}
	return nil
}

// prepare opens the store and makes the control plane, which reads every service.
func (c *controlPlane) prepare(ctx context.Context) (err error) {
	log := slog.New(slog.DiscardHandler)
	if c.store, err = store.Open(ctx, store.Options{Dir: filepath.Join(c.dir, "data"), Log: log}); err != nil {
		return err
	}
	c.control, err = app.New(ctx, app.Options{
		Store: c.store, Catalog: c.templates, Log: log, Registerer: prometheus.NewRegistry(),
		Drivers: fleet.Drivers{"PROCESS": {Open: func(orchestrator.Node, orchestrator.Access) (driver.Driver, error) { return allRun{}, nil }}},
	})
	return err
}

func (c *controlPlane) begin(ctx context.Context) {
	ctx, c.cancel = context.WithCancel(ctx)
	c.ended = make(chan error, 1)
	go func() { c.ended <- c.control.Run(ctx) }()
}

func (c *controlPlane) end() error {
	c.cancel()
	return errors.Join(<-c.ended, c.store.Close())
}

func (c *controlPlane) close() error { return os.RemoveAll(c.dir) }

// allRun is a driver on whose node every service has run for long.
type allRun struct{}

var _ driver.Driver = allRun{}

func (allRun) Ping(context.Context) (driver.Info, error) { return driver.Info{Version: "fake"}, nil }
func (allRun) Layout(_, _ string) driver.Layout {
	return driver.Layout{Data: "/data", Config: "/config", Address: "127.0.0.1", HostPorts: true}
}
func (allRun) Prepare(context.Context, driver.Spec, func(driver.Progress)) error { return nil }
func (allRun) Create(context.Context, driver.Spec) error                         { return nil }
func (allRun) Start(context.Context, string) error                               { return nil }
func (allRun) Stop(context.Context, string, time.Duration) error                 { return nil }
func (allRun) Remove(context.Context, string) error                              { return nil }
func (allRun) MarkData(context.Context, string, string) error                    { return nil }
func (allRun) ReadMark(context.Context, string) (string, error)                  { return "", nil }
func (allRun) RemoveData(context.Context, driver.Data) error                     { return nil }
func (allRun) HasData(context.Context, driver.Data) (bool, error)                { return true, nil }
func (allRun) Inspect(_ context.Context, id string) (driver.Observed, error) {
	return driver.Observed{Service: id, Exists: true, Running: true, Instance: id + "-1"}, nil
}
func (allRun) List(context.Context) ([]driver.Observed, error)  { return nil, nil }
func (allRun) Volumes(context.Context) ([]driver.Volume, error) { return nil, nil }
func (allRun) Watch(ctx context.Context) <-chan string {
	ch := make(chan string)
	context.AfterFunc(ctx, func() { close(ch) })
	return ch
}
func (allRun) Close() error { return nil }
