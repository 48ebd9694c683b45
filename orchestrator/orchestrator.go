// Package orchestrator is the control plane: the verbs that users call (Launch, Remove, Restart …) and the
// loops that keep what was promised.
//
// One worker at a time decides about one service. It reads what is wanted and what is there, asks package
// lifecycle what follows, records that in one transaction with its event, and only then acts. Whatever it
// starts at a node runs beside it and reports back by asking for another look.
package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"

	"github.com/unicorn-web-services/uws/ent"
	entnode "github.com/unicorn-web-services/uws/ent/node"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/events"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

// Options of an Orchestrator. Store, Catalog, Open, Log and Registerer are required; zero values of the
// others are replaced by the defaults named.
type Options struct {
	Store      *store.Store
	Catalog    *catalog.Catalog
	Open       func(*ent.Node, Access) (driver.Driver, error) // opens a node's driver, without waiting for the node
	Local      LocalNode                                      // registered when the store has no node yet
	Log        *slog.Logger
	Registerer prometheus.Registerer

	// ProcessEndpoint is the endpoint of a node with driver PROCESS, of which there is one at most; Local's if it is one.
	ProcessEndpoint string

	NodeInterval time.Duration // between checks of a node; 10 s
	Resync       time.Duration // between looks at every service; 60 s
	Ports        PortRange     // published ports; 20000 to 29999
	Workers      int           // decisions at a time; 16
	Probes       int           // probes at a time; 512
	Steps        int           // pieces of work at a time on each node; 32

	EventRetention time.Duration // age beyond which events are deleted; 30 days
	EventMax       int           // events that are kept at most; 1,000,000
	Compaction     time.Duration // between deletions of old events; 10 min
}

// LocalNode is this machine as a node.
type LocalNode struct {
	Driver, Endpoint string // no Driver: none is registered
	ServiceAddress   string // 127.0.0.1
	Access           Access
}

// PortRange of published ports, ends included.
type PortRange struct{ First, Last int }

func (o *Options) setDefaults() {
	if o.Local.Driver == string(entnode.DriverPROCESS) {
		setDefault(&o.ProcessEndpoint, o.Local.Endpoint)
	}
	setDefault(&o.Local.ServiceAddress, "127.0.0.1")
	setDefault(&o.NodeInterval, 10*time.Second)
	setDefault(&o.Resync, time.Minute)
	setDefault(&o.Ports, PortRange{20000, 29999})
	setDefault(&o.Workers, 16)
	setDefault(&o.Probes, 512)
	setDefault(&o.Steps, 32)
	setDefault(&o.EventRetention, 30*24*time.Hour)
	setDefault(&o.EventMax, 1_000_000)
	setDefault(&o.Compaction, 10*time.Minute)
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Validate names the option that is missing or out of range.
func (o *Options) Validate() error {
	switch {
	case o.Store == nil, o.Catalog == nil, o.Open == nil, o.Log == nil, o.Registerer == nil:
		return errors.New("orchestrator: Store, Catalog, Open, Log and Registerer are required")
	case o.Ports.First < 1024 || o.Ports.Last > 65535 || o.Ports.First > o.Ports.Last:
		return fmt.Errorf("orchestrator: Ports %d to %d: must lie within 1024 to 65535", o.Ports.First, o.Ports.Last)
	case o.EventRetention < 0 || o.EventMax < 1:
		return fmt.Errorf("orchestrator: EventRetention %s must be positive, and EventMax %d at least 1", o.EventRetention, o.EventMax)
	}
	return nil
}

// Orchestrator is the control plane. It implements [API].
type Orchestrator struct {
	opts    Options
	store   *store.Store
	log     *slog.Logger
	queue   *queue
	events  *events.Log
	board   *board
	metrics *metrics
	probes  *semaphore.Weighted

	mu    sync.Mutex
	tasks map[string]*task
	nodes map[string]*node
	// definitions holds the newest template of each name that a service was launched with.
	definitions map[string]catalog.Template

	// base is the life of everything that runs beside the workers; it is set by New and ended by Run.
	base    context.Context
	stop    context.CancelFunc
	running sync.WaitGroup
	turning chan struct{} // closed when the loops run
}

var _ API = (*Orchestrator)(nil)

// New makes an orchestrator and opens its nodes; nothing happens to services before Run.
func New(ctx context.Context, opts Options) (*Orchestrator, error) {
	opts.setDefaults()
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	log, err := events.Open(ctx, opts.Store.Read, opts.Log)
	if err != nil {
		return nil, err
	}
	o := &Orchestrator{
		opts: opts, store: opts.Store, log: opts.Log, queue: newQueue(), events: log, board: newBoard(),
		probes: semaphore.NewWeighted(int64(opts.Probes)),
		tasks:  map[string]*task{}, nodes: map[string]*node{}, definitions: map[string]catalog.Template{},
		turning: make(chan struct{}),
	}
	o.base, o.stop = context.WithCancel(context.Background())
	o.metrics = newMetrics(o, opts.Registerer)
	if err := o.openNodes(ctx); err != nil {
		return nil, errors.Join(err, o.closeNodes())
	}
	err = o.loadTasks(ctx)
	if err == nil {
		err = o.openBoard(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, o.closeNodes())
	}
	return o, nil
}

// Run keeps the promises until ctx ends, and returns when everything it started has ended. Services keep
// running. It is called once.
func (o *Orchestrator) Run(ctx context.Context) error {
	o.start(func(ctx context.Context) { o.events.Run(ctx) })
	o.start(func(ctx context.Context) { o.queue.run(ctx) })
	o.start(o.resync)
	o.start(o.flushChecks)
	o.start(func(ctx context.Context) { // apart from the resync: deleting much data takes long
		every(ctx, o.opts.Resync, func() { o.finishDeletions(ctx) })
	})
	o.start(func(ctx context.Context) {
		every(ctx, o.opts.Compaction, func() { o.compact(ctx) })
	})
	var first sync.WaitGroup
	for _, n := range o.allNodes() {
		first.Add(1)
		o.watchNode(n, first.Done)
	}
	first.Wait() // look at the nodes before deciding about services
	for range o.opts.Workers {
		o.start(func(context.Context) { o.work() })
	}
	o.addAll()
	close(o.turning)
	<-ctx.Done()
	o.stop()
	o.running.Wait()
	return errors.Join(o.flush(context.WithoutCancel(ctx)), o.closeNodes())
}

// start runs f beside the workers until base ends; Run waits for it.
func (o *Orchestrator) start(f func(ctx context.Context)) {
	o.running.Add(1)
	go func() {
		defer o.running.Done()
		f(o.base)
	}()
}

func (o *Orchestrator) work() {
	for {
		next, ok := o.queue.get()
		if !ok {
			return
		}
		o.metrics.queueWait.Observe(next.lay.Seconds())
		began := time.Now()
		o.reconcile(o.base, next)
		o.metrics.reconcile.Observe(time.Since(began).Seconds())
		o.queue.put(next.id)
	}
}

// resync looks at every service from time to time, which makes lost hints harmless.
func (o *Orchestrator) resync(ctx context.Context) {
	every(ctx, o.opts.Resync, func() {
		for _, t := range o.allTasks() {
			t.doubt()
		}
		o.addAll()
		o.findStrangers(ctx)
	})
}

// compact deletes events that are not kept any more.
func (o *Orchestrator) compact(ctx context.Context) {
	keep := events.Retention{Age: o.opts.EventRetention, Max: o.opts.EventMax}
	deleted, err := o.events.Compact(ctx, o.store.Write, keep, time.Now())
	o.metrics.compacted.Add(float64(deleted))
	if err != nil && ctx.Err() == nil {
		o.log.Error("deleting old events failed; it is tried again", "error", err)
	}
	if deleted > 0 {
		o.log.Info("old events deleted", "events", deleted)
	}
}

// every calls f at each interval until ctx ends.
func every(ctx context.Context, interval time.Duration, f func()) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f()
		}
	}
}

// addAll asks for a look at every service.
func (o *Orchestrator) addAll() {
	for _, t := range o.allTasks() {
		o.queue.add(t.id)
	}
}

// Ready implements [API].
func (o *Orchestrator) Ready(ctx context.Context) error {
	select {
	case <-o.turning:
	default:
		return errors.New("the loops do not turn yet: nodes are looked at first")
	}
	if o.base.Err() != nil {
		return errors.New("shutting down")
	}
	if err := o.store.Ping(ctx); err != nil {
		return fmt.Errorf("the store does not answer: %w", err)
	}
	return nil
}

// Close releases what New opened, where Run is not going to be called.
func (o *Orchestrator) Close() error {
	o.stop()
	return o.closeNodes()
}
