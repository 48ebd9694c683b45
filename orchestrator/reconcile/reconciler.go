// Package reconcile brings services to their desired state.
//
// One worker at a time holds a service. It reads the desired and the observed state, asks package lifecycle what follows,
// records that with its events in one transaction, and only then acts. Work at a node runs beside the workers and enqueues
// the service again when it ends.
package reconcile

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/ent/service"
	"github.com/unicorn-web-services/uws/internal/background"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/credentials"
	"github.com/unicorn-web-services/uws/orchestrator/fleet"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/logs"
	"github.com/unicorn-web-services/uws/orchestrator/snapshot"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

// Options of a Reconciler. All are required except where it says otherwise.
type Options struct {
	Store      *store.Store
	Catalog    *catalog.Catalog
	Fleet      *fleet.Fleet
	Vault      *credentials.Vault
	Snapshot   *snapshot.Snapshot // gets the progress of launches
	Logs       *logs.Logs         // gets hints that there may be more to collect
	Log        *slog.Logger
	Registerer prometheus.Registerer

	// Owns reports whether this process decides about a service; nil: about all.
	Owns     func(id string) bool
	ReadOnly bool // nothing is acted on

	Resync  time.Duration // between reconciliations of every service
	Ports   PortRange     // published ports
	Workers int           // reconciliations at a time
	Probes  int           // probes at a time
}

// PortRange of published ports, ends included.
type PortRange struct{ First, Last int }

// Reconciler holds a controller for each service. It is safe for concurrent use.
type Reconciler struct {
	opts      Options
	store     *store.Store
	fleet     *fleet.Fleet
	vault     *credentials.Vault
	log       *slog.Logger
	queue     *queue
	order     order
	metrics   *metrics
	probes    *semaphore.Weighted
	templates catalog.Interner
	work      *background.Group // probes, steps and deletions
	due       chan struct{}     // deletions of retained data

	mu          sync.Mutex
	controllers map[string]*controller
	deleting    map[string]bool // retained data that is being deleted, by id
}

// New returns a Reconciler with a controller for every service in the store. Nothing happens to them before Run.
func New(ctx context.Context, opts Options) (*Reconciler, error) {
	if opts.Owns == nil {
		opts.Owns = func(string) bool { return true }
	}
	r := &Reconciler{
		opts: opts, store: opts.Store, fleet: opts.Fleet, vault: opts.Vault, log: opts.Log,
		queue: newQueue(), order: order{first: map[string]string{}}, probes: semaphore.NewWeighted(int64(opts.Probes)), work: background.NewGroup(),
		controllers: map[string]*controller{}, deleting: map[string]bool{}, due: make(chan struct{}, 1),
	}
	r.metrics = newMetrics(r, opts.Registerer)
	r.store.Follow(r.committed)
	r.fleet.Listen(r)
	return r, r.load(ctx)
}

// load creates a controller for every service in the store.
func (r *Reconciler) load(ctx context.Context) error {
	return r.store.EachService(ctx, r.add)
}

// Run reconciles services until ctx ends, and returns when everything it started has ended. Instances keep running.
func (r *Reconciler) Run(ctx context.Context) error {
	loops := background.NewGroup()
	loops.Go(r.queue.run)
	loops.Go(r.resync)
	loops.Go(r.flushChecks)
	loops.Go(r.deletions)
	for range r.opts.Workers {
		loops.Go(r.reconcileNext)
	}
	r.EnqueueAll()
	<-ctx.Done()
	loops.Stop()
	r.work.Stop()
	return r.flush(context.WithoutCancel(ctx))
}

// reconcileNext reconciles services from the queue until it is closed.
func (r *Reconciler) reconcileNext(ctx context.Context) {
	for {
		next, ok := r.queue.get()
		if !ok {
			return
		}
		r.metrics.queueWait.Observe(next.waited.Seconds())
		began := time.Now()
		r.reconcile(ctx, next)
		r.metrics.reconcile.Observe(time.Since(began).Seconds())
		r.queue.put(next.id)
	}
}

// resync reconciles every service at intervals, which makes lost hints harmless.
func (r *Reconciler) resync(ctx context.Context) {
	background.Every(ctx, r.opts.Resync, func() {
		for _, c := range r.all() {
			c.invalidate()
		}
		r.EnqueueAll()
	})
}

// deletions begins deletions of retained data when they are due, and at intervals, which makes lost hints harmless.
func (r *Reconciler) deletions(ctx context.Context) {
	tick := time.NewTicker(r.opts.Resync)
	defer tick.Stop()
	for {
		r.deleteVolumes(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-r.due:
		}
	}
}

// deletionsDue has deletions of retained data begun soon. It never blocks.
func (r *Reconciler) deletionsDue() {
	select {
	case r.due <- struct{}{}:
	default:
	}
}

// Enqueue has a service reconciled soon. It never blocks.
func (r *Reconciler) Enqueue(id string) { r.queue.add(id) }

// EnqueueAll has every service reconciled soon.
func (r *Reconciler) EnqueueAll() {
	for _, c := range r.all() {
		r.queue.add(c.id)
	}
}

func (r *Reconciler) all() []*controller {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]*controller, 0, len(r.controllers))
	for _, c := range r.controllers {
		all = append(all, c)
	}
	return all
}

// controller returns the controller of a service; nil if there is none.
func (r *Reconciler) controller(id string) *controller {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.controllers[id]
}

// add creates the controller of a stored service, or gives it the row.
func (r *Reconciler) add(s *ent.Service) {
	r.mu.Lock()
	c, ok := r.controllers[s.ID]
	if !ok {
		c = newController(s, r.templates.Intern(s.Definition), func(p orchestrator.Progress) { r.opts.Snapshot.SetProgress(s.ID, p) })
		r.controllers[s.ID] = c
	}
	r.mu.Unlock()
	c.stored(s)
}

// drop ends the controller of a service that is gone.
func (r *Reconciler) drop(c *controller) {
	r.mu.Lock()
	delete(r.controllers, c.id)
	r.mu.Unlock()
	r.queue.addAt(c.id, time.Time{})
	c.gone()
}

// reconciling marks writes of the worker that holds a service.
type reconciling struct{}

// committed takes over what an update of the store changed. Services that their own worker did not change are enqueued.
func (r *Reconciler) committed(ctx context.Context, commit store.Commit) {
	mine, _ := ctx.Value(reconciling{}).(string)
	for _, s := range commit.Services { // all of them, before one is reconciled that looks at another
		r.add(s)
	}
	for _, s := range commit.Services {
		if s.ID != mine {
			r.queue.add(s.ID)
		}
		r.released(s)
	}
	for _, id := range commit.DeletedServices {
		if c := r.controller(id); c != nil {
			r.drop(c)
		}
	}
	for _, v := range commit.Volumes {
		if v.Deleting && v.ID != mine {
			r.deletionsDue()
		}
	}
}

// InstanceChanged implements [fleet.Listener].
func (r *Reconciler) InstanceChanged(id string) {
	if r.controller(id) != nil {
		r.queue.add(id)
	}
	r.opts.Logs.Wake(id)
}

// NodesChanged implements [fleet.Listener].
func (r *Reconciler) NodesChanged() {
	r.EnqueueAll()
	r.deletionsDue()
	r.opts.Logs.WakeAll()
}

// CapacityChanged implements [fleet.Listener].
func (r *Reconciler) CapacityChanged() {
	for _, c := range r.all() {
		if c.unplacedYet() {
			r.queue.add(c.id)
		}
	}
}

// NodeLost implements [fleet.Listener].
func (r *Reconciler) NodeLost(ctx context.Context, tx *ent.Tx, n *fleet.Node, cause *ent.Event) (int, error) {
	on, err := tx.Service.Query().Where(service.NodeID(n.ID)).All(ctx)
	if err != nil {
		return 0, err
	}
	lost := 0
	for _, before := range on {
		state, changed := lifecycle.LoseNode(stateOf(before, cause.At), *cause.ReasonCode, n.Name)
		if !changed {
			continue
		}
		first := &cause.ID
		if before.CauseID != nil {
			first = before.CauseID
		}
		after, err := saveState(ctx, tx, before, state, first, cause.At)
		if err != nil {
			return 0, err
		}
		if err := r.fleet.ChangeEvent(tx, cause.At, before, after).SetCauseID(cause.ID).Exec(ctx); err != nil {
			return 0, err
		}
		lost++
	}
	return lost, nil
}
