// Package backup takes backups of services by policy and on request, keeps them as long as the policy says, makes services of
// them, and says how well each service is backed up.
//
// A backup is one snapshot in the repository of its target. It holds all that is needed to make the service again, also by
// another installation: its data, its resolved template and its credentials. The store has a row for each backup, so that
// lists and states need no target that answers.
package backup

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/unicorn-web-services/uws/internal/background"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/control"
	"github.com/unicorn-web-services/uws/orchestrator/credentials"
	"github.com/unicorn-web-services/uws/orchestrator/fleet"
	"github.com/unicorn-web-services/uws/orchestrator/reconcile"
	"github.com/unicorn-web-services/uws/orchestrator/snapshot"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

const (
	tick        = 20 * time.Second // between looks at what is due
	lookShare   = 4                // pauses between looks are so many times as long as looks
	perTarget   = 2                // backups and restores at a time
	perNode     = 2
	maxAtOnce   = 8
	openTimeout = time.Minute // of a repository
	testTimeout = time.Minute // of a target
	// silence ends a backup or restore that copies nothing.
	silence = 5 * time.Minute
	// maintainEvery is the time between two maintenances of a target.
	maintainEvery = 24 * time.Hour
	// measureEvery is the time between two measurements of a target after backups: each lists all of it.
	measureEvery = 10 * time.Minute
	// keepRestores is how long restores that are over are listed.
	keepRestores = 30 * 24 * time.Hour
)

// Options of Backups. All are required except where it says otherwise.
type Options struct {
	Dir        string // scratch, which can be deleted while uws does not run
	Store      *store.Store
	Catalog    *catalog.Catalog
	Fleet      *fleet.Fleet
	Snapshot   *snapshot.Snapshot
	Vault      *credentials.Vault
	Reconciler *reconcile.Reconciler
	Control    *control.Control
	Log        *slog.Logger
	Registerer prometheus.Registerer
}

// Backups takes, keeps and restores backups. It is safe for concurrent use.
type Backups struct {
	Options
	log     *slog.Logger
	metrics *metrics
	work    *background.Group    // backups, restores, deletions and maintenance under way
	wake    chan struct{}        // something may be due
	stopped map[string]time.Time // since when services are stopped, by id; of the goroutine of Run alone

	beginning atomic.Bool // proofs

	mu        sync.Mutex
	policies  policies
	targets   map[string]*target
	services  map[string]*record   // by id of the service
	jobs      map[string]*job      // queued and under way, by id of the backup or restore
	queue     []*job               // those that wait, in order
	running   int                  // jobs under way
	onNode    map[string]int       // of these, by node
	inTarget  map[string]int       // of these, by target
	followers map[string]*follower // by id of the service
	ending    map[string]bool      // services whose quarantine is being ended
}

// New returns Backups that know what is in the store. Nothing happens before Run.
func New(ctx context.Context, opts Options) (*Backups, error) {
	b := &Backups{
		Options: opts, log: opts.Log, work: background.NewGroup(), wake: make(chan struct{}, 1),
		targets: map[string]*target{}, services: map[string]*record{}, jobs: map[string]*job{}, onNode: map[string]int{}, inTarget: map[string]int{}, ending: map[string]bool{},
		followers: map[string]*follower{},
	}
	b.metrics = newMetrics(b, opts.Registerer)
	b.Store.Follow(b.committed)
	return b, b.load(ctx)
}

// Run takes what is due, goes on with what was interrupted, and deletes what is not kept, until ctx ends.
func (b *Backups) Run(ctx context.Context) {
	defer func() {
		b.work.Stop()
		b.closeTargets()
	}()
	if err := b.resume(ctx); err != nil && ctx.Err() == nil {
		b.log.Error("resuming backups and restores failed", "error", err)
	}
	b.resumeReleases()
	timer := time.NewTicker(tick)
	defer timer.Stop()
	for {
		began := time.Now()
		b.look(ctx)
		background.Pause(ctx, lookShare*time.Since(began))
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-b.wake:
		}
	}
}

// look enqueues what is due and starts what has its turn.
func (b *Backups) look(ctx context.Context) {
	b.follow(b.Snapshot.All())
	if err := b.schedule(ctx); err != nil && ctx.Err() == nil {
		b.log.Error("scheduling backups failed; retrying", "error", err)
	}
	b.start()
	b.housekeep(ctx)
	if b.beginning.CompareAndSwap(false, true) { // a target may take long to answer
		b.work.Go(func(ctx context.Context) {
			defer b.beginning.Store(false)
			b.proveDue(ctx)
		})
	}
}

// lookSoon has what is due looked at soon. It never blocks.
func (b *Backups) lookSoon() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// committed forgets the records of services that are gone and have no backups, and looks at new ones.
func (b *Backups) committed(_ context.Context, c store.Commit) {
	if len(c.DeletedServices) == 0 && len(c.Services) == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, id := range c.DeletedServices {
		if r := b.services[id]; r != nil {
			r.gone = true
		}
	}
	for _, row := range c.Services {
		if r := b.services[row.ID]; r == nil && len(b.policies.all) > 0 {
			b.lookSoon()
			return
		}
	}
}

var _ orchestrator.BackupReader = (*Backups)(nil)
var _ orchestrator.BackupVerbs = (*Backups)(nil)
var _ orchestrator.BackupTargetVerbs = (*Backups)(nil)
