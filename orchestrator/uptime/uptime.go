// Package uptime records how long services are healthy: the seconds of each hour and day, in a file for each service, which
// outlives the event log.
package uptime

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator/series"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

// flushInterval is the time between writes: what the end of the process without warning loses at most.
const flushInterval = time.Minute

// Options of Uptimes. All are required.
type Options struct {
	Dir   string // folder of the files; it need not exist
	Store *store.Store
	Log   *slog.Logger
}

// Uptimes holds the records of all services. It is safe for concurrent use.
type Uptimes struct {
	opts   Options
	tiers  []series.Tier
	hint   chan struct{} // has an element after services were deleted
	broken bool          // whether the newest flush failed; used by Run alone

	mu      sync.Mutex
	records map[string]*record
	counts  bool // whether time is counted
	deleted []*record
}

// New returns the records of the services in the store. Nothing is recorded before Run.
func New(ctx context.Context, opts Options) (*Uptimes, error) {
	u := &Uptimes{opts: opts, tiers: tiers(), hint: make(chan struct{}, 1), records: map[string]*record{}}
	opts.Store.Follow(u.committed)
	return u, opts.Store.EachService(ctx, func(row *ent.Service) {
		u.follow(row)
		u.records[row.ID].found = row
	})
}

// Run records until ctx ends, and writes what it has then.
func (u *Uptimes) Run(ctx context.Context) {
	u.start()
	u.sweep()
	u.fill(ctx)
	tick := time.NewTicker(flushInterval)
	defer tick.Stop()
	for {
		u.flush()
		select {
		case <-ctx.Done():
			u.flush()
			return
		case <-tick.C:
		case <-u.hint:
		}
	}
}

// start begins to count.
func (u *Uptimes) start() {
	for _, r := range u.all() {
		if err := r.load(time.Now()); err != nil && !errors.Is(err, series.ErrDamaged) { // the next flush resets it
			u.opts.Log.Warn("reading an uptime failed", "id", r.id, "error", err)
		}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.counts = true
	for _, r := range u.records {
		r.start(time.Now())
	}
}

// flush writes what is not written yet, and deletes the files of services that were deleted. It logs the first of failures in a
// row.
func (u *Uptimes) flush() {
	u.mu.Lock()
	deleted := u.deleted
	u.deleted = nil
	u.mu.Unlock()
	for _, r := range deleted {
		if err := r.file.Remove(); err != nil {
			u.opts.Log.Warn("deleting the uptime of a deleted service failed; the next start of uws does", "id", r.id, "error", err)
		}
	}
	var failed error
	for _, r := range u.all() {
		err := r.flush(time.Now())
		if errors.Is(err, series.ErrDamaged) {
			if err = u.reset(r, err); err == nil {
				err = r.flush(time.Now())
			}
		}
		if err != nil && failed == nil {
			failed = err
		}
	}
	if failed != nil && !u.broken {
		u.opts.Log.Error("writing uptimes failed; retrying", "error", failed)
	}
	if failed == nil && u.broken {
		u.opts.Log.Info("uptimes are written again")
	}
	u.broken = failed != nil
}

// reset puts a damaged file aside.
func (u *Uptimes) reset(r *record, damage error) error {
	u.opts.Log.Error("an uptime is damaged, and begins again", "id", r.id, "error", damage)
	r.disk.Lock()
	defer r.disk.Unlock()
	r.newest = [2]slot{}
	return r.file.Reset()
}

// sweep deletes the files of services that were deleted while uws did not run.
func (u *Uptimes) sweep() {
	entries, err := os.ReadDir(u.opts.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		u.opts.Log.Warn("looking for uptimes of deleted services failed", "error", err)
	}
	for _, e := range entries {
		id, _, _ := strings.Cut(e.Name(), ".")
		if u.record(id) != nil {
			continue
		}
		if err := os.Remove(filepath.Join(u.opts.Dir, e.Name())); err != nil {
			u.opts.Log.Warn("deleting the uptime of a deleted service failed", "id", id, "error", err)
		}
	}
}

// committed takes over what an update of the store changed.
func (u *Uptimes) committed(_ context.Context, commit store.Commit) {
	for _, row := range commit.Services {
		u.follow(row)
	}
	for _, id := range commit.DeletedServices {
		u.drop(id)
	}
}

// follow creates the record of a service, or gives it the row.
func (u *Uptimes) follow(row *ent.Service) {
	u.mu.Lock()
	r, ok := u.records[row.ID]
	if !ok {
		r = u.newRecord(row.ID)
		u.records[row.ID] = r
		if u.counts {
			r.start(time.Now())
		}
	}
	u.mu.Unlock()
	r.follow(row, time.Now())
}

func (u *Uptimes) newRecord(id string) *record {
	return &record{id: id, tiers: u.tiers, file: series.NewFile(filepath.Join(u.opts.Dir, id), u.tiers)}
}

// drop ends the record of a service that was deleted.
func (u *Uptimes) drop(id string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	r := u.records[id]
	if r == nil {
		return
	}
	delete(u.records, id)
	u.deleted = append(u.deleted, r)
	select {
	case u.hint <- struct{}{}:
	default:
	}
}

// record returns the record of a service; nil if there is none.
func (u *Uptimes) record(id string) *record {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.records[id]
}

func (u *Uptimes) all() []*record {
	u.mu.Lock()
	defer u.mu.Unlock()
	all := make([]*record, 0, len(u.records))
	for _, r := range u.records {
		all = append(all, r)
	}
	return all
}
