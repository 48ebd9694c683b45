// Package app wires the control plane, runs it, and stops it in reverse order.
package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/unicorn-web-services/uws/internal/background"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/backup"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/control"
	"github.com/unicorn-web-services/uws/orchestrator/credentials"
	"github.com/unicorn-web-services/uws/orchestrator/eventlog"
	"github.com/unicorn-web-services/uws/orchestrator/fleet"
	"github.com/unicorn-web-services/uws/orchestrator/logs"
	"github.com/unicorn-web-services/uws/orchestrator/probe"
	"github.com/unicorn-web-services/uws/orchestrator/reconcile"
	"github.com/unicorn-web-services/uws/orchestrator/snapshot"
	"github.com/unicorn-web-services/uws/orchestrator/store"
	"github.com/unicorn-web-services/uws/orchestrator/uptime"
	"github.com/unicorn-web-services/uws/orchestrator/usage"
)

// Options of an App. Store, Catalog, Drivers, Log and Registerer are required; zero values of the
// others are replaced by the defaults named.
type Options struct {
	Store      *store.Store
	Catalog    *catalog.Catalog
	Drivers    fleet.Drivers
	Local      fleet.LocalNode // registered when the store has no node yet
	Log        *slog.Logger
	Registerer prometheus.Registerer

	Logs  string // folder in which the output of services is kept; "logs" in the folder of Store
	Usage string // folder in which the histories of use are kept; "usage" in the folder of Store
	// NoUsageMetrics leaves what services and nodes use out of the metrics.
	NoUsageMetrics bool

	// Probe finds the probe of a type; probe.Lookup.
	Probe func(probeType string) (probe.Func, bool)

	// AllowUnencrypted allows nodes on this machine with a service address beyond loopback.
	AllowUnencrypted bool
	// ReadOnly is why nothing may be acted on; empty: it may. Then nodes are not opened and no loop runs.
	ReadOnly string

	NodeInterval time.Duration       // between checks of a node; 10 s
	Resync       time.Duration       // between reconciliations of every service; 60 s
	Ports        reconcile.PortRange // published ports; 20000 to 29999
	Workers      int                 // reconciliations at a time; 16
	Probes       int                 // probes at a time; 512
	Steps        int                 // pieces of work at a time on each node; 32

	EventRetention time.Duration // age beyond which events are deleted; 30 days
	EventMax       int           // events that are kept at most; 1,000,000
	Compaction     time.Duration // between deletions of old events; 10 min
}

func (o *Options) setDefaults() {
	if o.Logs == "" && o.Store != nil {
		o.Logs = filepath.Join(o.Store.Dir(), "logs")
	}
	if o.Usage == "" && o.Store != nil {
		o.Usage = filepath.Join(o.Store.Dir(), "usage")
	}
	if o.Probe == nil {
		o.Probe = probe.Lookup
	}
	o.Local.ServiceAddress = cmp.Or(o.Local.ServiceAddress, "127.0.0.1")
	o.NodeInterval = cmp.Or(o.NodeInterval, 10*time.Second)
	o.Resync = cmp.Or(o.Resync, time.Minute)
	o.Ports = cmp.Or(o.Ports, reconcile.PortRange{First: 20000, Last: 29999})
	o.Workers = cmp.Or(o.Workers, 16)
	o.Probes = cmp.Or(o.Probes, 512)
	o.Steps = cmp.Or(o.Steps, 32)
	o.EventRetention = cmp.Or(o.EventRetention, 30*24*time.Hour)
	o.EventMax = cmp.Or(o.EventMax, 1_000_000)
	o.Compaction = cmp.Or(o.Compaction, 10*time.Minute)
}

// Validate names the option that is missing or out of range.
func (o *Options) Validate() error {
	switch {
	case o.Store == nil, o.Catalog == nil, len(o.Drivers) == 0, o.Log == nil, o.Registerer == nil:
		return errors.New("orchestrator: Store, Catalog, Drivers, Log and Registerer are required")
	case o.Ports.First < 1024 || o.Ports.Last > 65535 || o.Ports.First > o.Ports.Last:
		return fmt.Errorf("orchestrator: Ports %d to %d: must lie within 1024 to 65535", o.Ports.First, o.Ports.Last)
	case o.EventRetention < 0 || o.EventMax < 1:
		return fmt.Errorf("orchestrator: EventRetention %s must be positive, and EventMax %d at least 1", o.EventRetention, o.EventMax)
	}
	return nil
}

// App is the control plane.
type App struct {
	orchestrator.ServiceReader
	orchestrator.ServiceStatus
	orchestrator.ServiceVerbs
	orchestrator.CredentialVerbs
	orchestrator.VolumeVerbs
	orchestrator.OrphanVerbs
	orchestrator.NodeVerbs
	orchestrator.NodeStatus
	orchestrator.EventReader
	orchestrator.LogReader
	orchestrator.UsageReader
	orchestrator.UptimeReader
	orchestrator.EngineStatReader
	orchestrator.BackupReader
	orchestrator.BackupVerbs
	orchestrator.BackupTargetVerbs
	orchestrator.ChangeFeed
	orchestrator.TemplateReader

	opts       Options
	events     *eventlog.Log
	fleet      *fleet.Fleet
	reconciler *reconcile.Reconciler
	logs       *logs.Logs
	uses       *usage.Uses
	uptimes    *uptime.Uptimes
	backups    *backup.Backups
	deleted    prometheus.Counter // events
	running    chan struct{}      // closed when the loops run
	stopping   chan struct{}      // closed when they end
}

var _ orchestrator.API = (*App)(nil)

// serviceVerbs removes services by way of their backups.
type serviceVerbs struct {
	*control.Control
	*reconcile.Reconciler
	backups *backup.Backups
}

func (v serviceVerbs) Remove(ctx context.Context, id string, deleteData bool) (*orchestrator.Service, error) {
	return v.backups.Remove(ctx, id, deleteData)
}

// New makes the control plane and opens its nodes. Nothing happens to services before Run.
func New(ctx context.Context, opts Options) (*App, error) {
	opts.setDefaults()
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	events, err := eventlog.Open(ctx, opts.Store.Read, opts.Log)
	if err != nil {
		return nil, err
	}
	var uses *usage.Uses
	snap := snapshot.New(opts.Store, events, func(s *orchestrator.Service) bool { return len(uses.Warnings(s)) > 0 })
	nodes, err := fleet.New(ctx, fleet.Options{
		Store: opts.Store, Snapshot: snap, Log: opts.Log, Drivers: opts.Drivers, Local: opts.Local,
		AllowUnencrypted: opts.AllowUnencrypted, ReadOnlyReason: opts.ReadOnly, Interval: opts.NodeInterval, Resync: opts.Resync, Steps: opts.Steps,
	})
	if err != nil {
		return nil, err
	}
	var reconciler *reconcile.Reconciler
	vault := credentials.New(credentials.Options{
		Store: opts.Store, Catalog: opts.Catalog, Fleet: nodes, Snapshot: snap, Log: opts.Log, Probe: opts.Probe,
		Endpoints: func(service string) map[string]netip.AddrPort { return reconciler.Endpoints(service) },
	})
	output, err := logs.New(ctx, logs.Options{
		Dir: opts.Logs, Store: opts.Store, Fleet: nodes, Vault: vault, Snapshot: snap, Log: opts.Log, Registerer: opts.Registerer,
	})
	if err != nil {
		return nil, errors.Join(err, nodes.Close())
	}
	uptimes, err := uptime.New(ctx, uptime.Options{Dir: filepath.Join(opts.Store.Dir(), "uptime"), Store: opts.Store, Log: opts.Log})
	if err != nil {
		return nil, errors.Join(err, nodes.Close())
	}
	reconciler, err = reconcile.New(ctx, reconcile.Options{
		Store: opts.Store, Catalog: opts.Catalog, Fleet: nodes, Vault: vault, Snapshot: snap, Logs: output, Log: opts.Log, Registerer: opts.Registerer,
		ReadOnly: opts.ReadOnly != "", Resync: opts.Resync, Ports: opts.Ports, Workers: opts.Workers, Probes: opts.Probes,
	})
	if err == nil {
		err = vault.Load(ctx)
	}
	if err == nil {
		err = snap.Open(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, nodes.Close())
	}
	uses = usage.New(usage.Options{Dir: opts.Usage, Store: opts.Store, Fleet: nodes, Snapshot: snap, Limits: reconciler.Limits, Stats: reconciler.EngineStats, Log: opts.Log})
	verbs := control.New(control.Options{Store: opts.Store, Catalog: opts.Catalog, Events: events, Snapshot: snap, Fleet: nodes, Vault: vault,
		Reconciler: reconciler, Ports: opts.Ports, Log: opts.Log, ReadOnly: opts.ReadOnly != ""})
	backups, err := backup.New(ctx, backup.Options{Dir: filepath.Join(opts.Store.Dir(), "backup"), Store: opts.Store, Catalog: opts.Catalog, Fleet: nodes, Snapshot: snap,
		Vault: vault, Reconciler: reconciler, Control: verbs, Log: opts.Log, Registerer: opts.Registerer})
	if err != nil {
		return nil, errors.Join(err, nodes.Close())
	}
	a := &App{
		opts: opts, backups: backups, events: events, fleet: nodes, reconciler: reconciler, logs: output, uses: uses, uptimes: uptimes, running: make(chan struct{}), stopping: make(chan struct{}),
		deleted: prometheus.NewCounter(prometheus.CounterOpts{Name: "uws_events_deleted_total",
			Help: "Events that were deleted because they were too old or too many."}),
		ServiceReader: snap, NodeStatus: verbs, CredentialVerbs: vault, VolumeVerbs: verbs, EventReader: verbs, LogReader: output, TemplateReader: verbs,
		UsageReader: uses, UptimeReader: uptimes, EngineStatReader: reconciler,
		BackupReader: backups, BackupVerbs: backups, BackupTargetVerbs: backups,
		ServiceStatus: struct {
			*fleet.Fleet
			*reconcile.Reconciler
			*control.Control
		}{nodes, reconciler, verbs},
		ServiceVerbs: serviceVerbs{verbs, reconciler, backups},
		OrphanVerbs: struct {
			*fleet.Fleet
			*control.Control
		}{nodes, verbs},
		NodeVerbs: struct {
			*snapshot.Snapshot
			*fleet.Fleet
			*control.Control
		}{snap, nodes, verbs},
		ChangeFeed: struct {
			*snapshot.Snapshot
			*reconcile.Reconciler
		}{snap, reconciler},
	}
	opts.Registerer.MustRegister(a.deleted, newCollector(a), nodes)
	if !opts.NoUsageMetrics {
		opts.Registerer.MustRegister(uses)
	}
	return a, nil
}

// Run reconciles services until ctx ends, and returns when everything it started has ended. Instances keep running. It is
// called once.
func (a *App) Run(ctx context.Context) error {
	loops := background.NewGroup()
	loops.Go(a.events.Run)
	if a.opts.ReadOnly != "" {
		<-ctx.Done()
		loops.Stop()
		return nil
	}
	loops.Go(a.watchSpace)
	loops.Go(func(ctx context.Context) {
		background.Every(ctx, a.opts.Compaction, func() { a.compact(ctx) })
	})
	a.fleet.Start() // nodes are checked before anything is decided about services
	loops.Go(a.fleet.WatchOrphans)
	loops.Go(a.logs.Run)
	loops.Go(a.uses.Run)
	loops.Go(a.uptimes.Run)
	loops.Go(a.backups.Run)
	close(a.running)
	err := a.reconciler.Run(ctx)
	close(a.stopping)
	err = errors.Join(err, a.fleet.Close())
	loops.Stop()
	return err
}

// ServiceMetrics collect metrics with the names of services, for callers that may see services of these kinds; none
// means all.
func (a *App) ServiceMetrics(kinds []catalog.Kind) []prometheus.Collector {
	all := []prometheus.Collector{a.reconciler.ServiceMetrics(kinds), a.backups.ServiceMetrics(kinds)}
	if !a.opts.NoUsageMetrics {
		all = append(all, a.uses.ServiceMetrics(kinds))
	}
	return all
}

// compact deletes events that are not kept any more.
func (a *App) compact(ctx context.Context) {
	keep := eventlog.Retention{Age: a.opts.EventRetention, Max: a.opts.EventMax}
	deleted, err := a.events.Compact(ctx, a.opts.Store.Write, keep, time.Now())
	a.deleted.Add(float64(deleted))
	if err != nil && ctx.Err() == nil {
		a.opts.Log.Error("deleting old events failed; retrying", "error", err)
	}
	if deleted > 0 {
		a.opts.Log.Info("old events deleted", "events", deleted)
	}
}

// Ready implements [orchestrator.API].
func (a *App) Ready(ctx context.Context) error {
	if a.opts.ReadOnly != "" {
		return errors.New("read-only: " + a.opts.ReadOnly)
	}
	select {
	case <-a.stopping:
		return errors.New("shutting down")
	case <-a.running:
	default:
		return errors.New("starting: the nodes are checked first")
	}
	if err := a.opts.Store.Full(); err != nil {
		return err
	}
	if err := a.opts.Store.Ping(ctx); err != nil {
		return fmt.Errorf("the store does not answer: %w", err)
	}
	return nil
}

// Close releases what New opened. It is called instead of Run.
func (a *App) Close() error { return a.fleet.Close() }
