// Package logs collects the output of services from their nodes, keeps it, redacted and bounded, in the data folder, and answers
// what is asked of it. It is there when the node does not answer, and when the instance is gone.
package logs

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/internal/background"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/credentials"
	"github.com/unicorn-web-services/uws/orchestrator/fleet"
	"github.com/unicorn-web-services/uws/orchestrator/logs/journal"
	"github.com/unicorn-web-services/uws/orchestrator/snapshot"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

// Options of Logs. All are required.
type Options struct {
	Dir        string // folder of the journals; it need not exist
	Store      *store.Store
	Fleet      *fleet.Fleet
	Vault      *credentials.Vault
	Snapshot   *snapshot.Snapshot
	Log        *slog.Logger
	Registerer prometheus.Registerer
}

// Logs holds the logs of all services. It is safe for concurrent use.
type Logs struct {
	opts    Options
	metrics metrics

	mu      sync.Mutex
	sources map[string]*source
	work    *background.Group // a collector for each service, once Run was called; nil before
}

// source is the log of one service.
type source struct {
	id       string
	dir      string
	maxBytes int64
	wake     chan struct{} // has an element after a hint that there may be more to collect
	gone     chan struct{} // closed when the service was deleted

	mu       sync.Mutex
	version  int    // of the newest row
	node     string // where its instance is; empty: on none yet
	instance string // the newest run
	stop     context.CancelFunc
	stopped  chan struct{} // closed when its collector has ended; nil: none was started

	opening sync.Mutex
	journal *journal.Journal
}

// New returns the logs of the services in the store. Nothing is collected before Run.
func New(ctx context.Context, opts Options) (*Logs, error) {
	l := &Logs{opts: opts, sources: map[string]*source{}, metrics: newMetrics(opts.Registerer)}
	opts.Store.Follow(l.committed)
	return l, opts.Store.EachService(ctx, l.add)
}

// Run collects until ctx ends, and returns when everything it started has ended.
func (l *Logs) Run(ctx context.Context) {
	work := background.NewGroup()
	l.mu.Lock()
	l.work = work
	known := make(map[string]bool, len(l.sources))
	for id, s := range l.sources {
		known[id] = true
		l.start(s)
	}
	l.mu.Unlock()
	l.sweep(known)
	<-ctx.Done()
	work.Stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.sources {
		s.close()
	}
}

// sweep deletes the logs of services that were deleted while uws did not run.
func (l *Logs) sweep(known map[string]bool) {
	entries, err := os.ReadDir(l.opts.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.opts.Log.Warn("looking for logs of deleted services failed", "error", err)
	}
	for _, e := range entries {
		if known[e.Name()] || l.source(e.Name()) != nil {
			continue
		}
		if err := os.RemoveAll(filepath.Join(l.opts.Dir, e.Name())); err != nil {
			l.opts.Log.Warn("deleting the log of a deleted service failed", "id", e.Name(), "error", err)
		}
	}
}

// start starts the collector of a source. l.mu is held.
func (l *Logs) start(s *source) {
	ctx, cancel := context.WithCancel(l.work.Context())
	s.stop, s.stopped = cancel, make(chan struct{})
	l.work.Go(func(context.Context) {
		defer close(s.stopped)
		l.collect(ctx, s)
	})
}

// committed takes over what an update of the store changed.
func (l *Logs) committed(_ context.Context, commit store.Commit) {
	for _, row := range commit.Services {
		l.add(row)
	}
	for _, id := range commit.DeletedServices {
		l.drop(id)
	}
}

// add creates the source of a service, or gives it the row.
func (l *Logs) add(row *ent.Service) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, ok := l.sources[row.ID]
	if !ok {
		s = &source{id: row.ID, dir: filepath.Join(l.opts.Dir, row.ID), maxBytes: int64(row.Definition.Logs.Limit()) << 20, wake: make(chan struct{}, 1), gone: make(chan struct{})}
		l.sources[row.ID] = s
	}
	if s.runs(row) {
		s.hint()
	}
	if !ok && l.work != nil {
		l.start(s)
	}
}

// runs takes over from a row where the service is and which run is its newest. It reports whether that changed.
func (s *source) runs(row *ent.Service) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if row.Version < s.version {
		return false
	}
	changed := s.node != row.NodeID || s.instance != row.Instance
	s.version, s.node, s.instance = row.Version, row.NodeID, row.Instance
	return changed
}

// drop ends the source of a service that was deleted, and deletes its log.
func (l *Logs) drop(id string) {
	l.mu.Lock()
	s, work := l.sources[id], l.work
	delete(l.sources, id)
	l.mu.Unlock()
	if s == nil {
		return
	}
	close(s.gone)
	if work == nil {
		return // the next Run deletes its folder
	}
	work.Go(func(context.Context) {
		if s.stop != nil {
			s.stop()
			<-s.stopped
		}
		s.close()
		if err := os.RemoveAll(s.dir); err != nil {
			l.opts.Log.Warn("deleting the log of a deleted service failed; the next start of uws does", "id", id, "error", err)
		}
	})
}

// Wake hints that the instance of a service changed. It never blocks.
func (l *Logs) Wake(id string) {
	if s := l.source(id); s != nil {
		s.hint()
	}
}

// WakeAll hints that nodes changed.
func (l *Logs) WakeAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.sources {
		s.hint()
	}
}

func (s *source) hint() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// source returns the log of a service; nil if there is none.
func (l *Logs) source(id string) *source {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sources[id]
}

// open returns the journal, opened at first use.
func (s *source) open() (*journal.Journal, error) {
	s.opening.Lock()
	defer s.opening.Unlock()
	if s.journal == nil {
		j, err := journal.Open(s.dir, s.maxBytes)
		if err != nil {
			return nil, err
		}
		s.journal = j
	}
	return s.journal, nil
}

func (s *source) close() {
	s.opening.Lock()
	defer s.opening.Unlock()
	if s.journal != nil {
		s.journal.Close()
	}
}

func (s *source) rowVersion() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.version
}

// at returns the node that the service is on; empty if there is none.
func (s *source) at() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.node
}

type metrics struct {
	lines   prometheus.Counter
	skipped prometheus.Counter
}

func newMetrics(r prometheus.Registerer) metrics {
	m := metrics{
		lines: prometheus.NewCounter(prometheus.CounterOpts{Name: "uws_log_lines_total",
			Help: "Lines of services' output that were collected."}),
		skipped: prometheus.NewCounter(prometheus.CounterOpts{Name: "uws_log_skipped_bytes_total",
			Help: "Bytes of services' output that their nodes did not keep until they were collected."}),
	}
	r.MustRegister(m.lines, m.skipped)
	return m
}

// RedactorOf returns a Redactor of a service's credentials.
func RedactorOf(k credentials.Keys, definition catalog.Template) Redactor {
	return NewRedactor(secretsOf(k, definition))
}

// secretsOf returns the credentials of a service that must not be shown, those of a rotation under way included.
func secretsOf(k credentials.Keys, definition catalog.Template) []string {
	public := map[string]bool{}
	for _, name := range definition.PublicCredentials() {
		public[name] = true
	}
	var all []string
	for _, values := range []map[string]string{k.Old, k.Fresh} {
		for name, value := range values {
			if !public[name] {
				all = append(all, value)
			}
		}
	}
	return all
}
