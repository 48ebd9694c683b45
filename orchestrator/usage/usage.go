// Package usage measures what services and nodes use, keeps its history, and warns of what will need attention soon.
package usage

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/unicorn-web-services/uws/internal/background"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/fleet"
	"github.com/unicorn-web-services/uws/orchestrator/series"
	"github.com/unicorn-web-services/uws/orchestrator/snapshot"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

// Options of Uses. All are required.
type Options struct {
	Dir      string // folder of the histories; it need not exist
	Store    *store.Store
	Fleet    *fleet.Fleet
	Snapshot *snapshot.Snapshot
	// Limits returns what a service is held to, and Stats what its engine reports of itself.
	Limits func(*orchestrator.Service) catalog.Limits
	Stats  func(*orchestrator.Service) []orchestrator.EngineStat
	Log    *slog.Logger
}

// tick is how often nodes are measured at most, and the length of the shortest step of a history.
const tick = 10 * time.Second

// Uses holds the measurements of all services and nodes. It is safe for concurrent use.
type Uses struct {
	opts Options
	work *background.Group

	mu       sync.Mutex
	services map[string]*service
	nodes    map[string]*node
	position int64         // number of measurements of nodes
	measured chan struct{} // closed at the next one
	flushing bool
}

// service is what is known of the use of one service. Its fields are guarded by Uses.mu.
type service struct {
	history
	last     *driver.Usage       // of the newest measurement; nil if it did not run then
	current  *orchestrator.Usage // the same as clients see it; never changed
	until    time.Time           // when current is too old to be shown
	position int64               // of current
	disk     *int64              // bytes
	diskAt   *time.Time
	sized    time.Time // when that was last tried
	warnings warnings
}

// node is the same of a node.
type node struct {
	history
	last      *driver.NodeUsage
	current   *orchestrator.NodeUsage
	until     time.Time
	warnings  warnings
	next      time.Time // of its next measurement
	measuring bool
	sizing    bool // the volumes of its services
	failed    bool // noted that it cannot be measured
}

// New returns the measurements of the services and nodes in the store. Nothing is measured before Run.
func New(opts Options) *Uses {
	return &Uses{opts: opts, services: map[string]*service{}, nodes: map[string]*node{}, measured: make(chan struct{})}
}

// Run measures until ctx ends, and returns when everything it started has ended. It is called once.
func (u *Uses) Run(ctx context.Context) {
	u.work = background.NewGroup()
	u.sweep()
	for {
		now := time.Now()
		if !background.Pause(ctx, now.Truncate(tick).Add(tick).Sub(now)) {
			break
		}
		u.tick(time.Now())
	}
	u.work.Stop()
	u.flush()
}

// tick measures the nodes whose turn it is. A node that does not answer delays its own measurements only.
func (u *Uses) tick(now time.Time) {
	byNode := map[string][]*orchestrator.Service{}
	known := map[string]bool{}
	for _, s := range u.opts.Snapshot.All() {
		known[s.ID] = true
		byNode[s.NodeID] = append(byNode[s.NodeID], s)
	}
	nodes := u.opts.Fleet.All()
	for _, n := range nodes {
		known[n.ID] = true
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.drop(known)
	for _, n := range nodes {
		state := u.node(n.ID)
		if n.Down() {
			continue
		}
		on := byNode[n.ID]
		if !state.measuring && !now.Before(state.next) {
			state.measuring = true
			u.work.Go(func(ctx context.Context) { u.measure(ctx, n, on) })
		}
		if due := u.unsized(on, now); len(due) > 0 && !state.sizing {
			if sizer, ok := n.Driver().(driver.Sizer); ok {
				state.sizing = true
				u.work.Go(func(ctx context.Context) { u.size(ctx, n, sizer, due) })
			}
		}
	}
	if now.Second() < int(tick/time.Second) && !u.flushing {
		u.flushing = true
		u.work.Go(func(context.Context) {
			u.flush()
			u.forecast(now)
			u.mu.Lock()
			defer u.mu.Unlock()
			u.flushing = false
		})
	}
}

// unsized returns the services whose volumes were not measured for a while, of those that have run. u.mu is held.
func (u *Uses) unsized(on []*orchestrator.Service, now time.Time) (due []*orchestrator.Service) {
	for _, s := range on {
		if s.Instance != "" && now.Sub(u.service(s.ID).sized) >= sizeEvery {
			due = append(due, s)
		}
	}
	return due
}

// service returns what is known of a service. u.mu is held.
func (u *Uses) service(id string) *service {
	s, ok := u.services[id]
	if !ok {
		s = &service{history: u.newHistory(servicesFolder, id)}
		u.services[id] = s
	}
	return s
}

// node returns what is known of a node. u.mu is held.
func (u *Uses) node(id string) *node {
	n, ok := u.nodes[id]
	if !ok {
		n = &node{history: u.newHistory(nodesFolder, id)}
		u.nodes[id] = n
	}
	return n
}

// drop forgets services and nodes that are gone. u.mu is held.
func (u *Uses) drop(known map[string]bool) {
	gone := false
	for id, s := range u.services {
		if !known[id] {
			delete(u.services, id)
			u.remove(s.file, id)
			gone = true
		}
	}
	for id, n := range u.nodes {
		if !known[id] {
			delete(u.nodes, id)
			u.remove(n.file, id)
		}
	}
	if gone {
		u.wakeWatches()
	}
}

func (u *Uses) remove(file *series.File, id string) {
	if err := file.Remove(); err != nil {
		u.opts.Log.Warn("deleting a history of use failed; the next start of uws does", "id", id, "error", err)
	}
}

// The folders of histories.
const (
	servicesFolder = "services"
	nodesFolder    = "nodes"
)

func (u *Uses) newHistory(folder, id string) history {
	return history{file: series.NewFile(filepath.Join(u.opts.Dir, folder, id), tiers())}
}

// sweep deletes the histories of services and nodes that were deleted while uws did not run.
func (u *Uses) sweep() {
	known := map[string]bool{}
	for _, s := range u.opts.Snapshot.All() {
		known[s.ID] = true
	}
	for _, n := range u.opts.Fleet.All() {
		known[n.ID] = true
	}
	for _, folder := range []string{servicesFolder, nodesFolder} {
		dir := filepath.Join(u.opts.Dir, folder)
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			u.opts.Log.Warn("looking for histories of deleted services failed", "error", err)
		}
		for _, e := range entries {
			if !known[e.Name()] {
				u.remove(series.NewFile(filepath.Join(dir, e.Name()), tiers()), e.Name())
			}
		}
	}
}
