package spool

import (
	"errors"
	"log/slog"
	"path/filepath"
	"sync"

	"github.com/fsnotify/fsnotify"
)

// Watcher wakes the followers of many spools when their files grow. One inotify instance serves all: a user has few of them.
// The zero value and nil wake nobody, so that followers wait for [Spool.Trim].
type Watcher struct {
	events *fsnotify.Watcher
	log    *slog.Logger
	done   chan struct{}

	mu     sync.Mutex
	spools map[string]*watched // by folder
}

type watched struct {
	spool *Spool
	users int
}

// NewWatcher returns a Watcher. It logs a warning if there is no inotify.
func NewWatcher(log *slog.Logger) *Watcher {
	w := &Watcher{log: log, done: make(chan struct{}), spools: map[string]*watched{}}
	events, err := fsnotify.NewWatcher()
	if err != nil {
		log.Warn("cannot watch logs, looking at them every second", "error", err)
		close(w.done)
		return w
	}
	w.events = events
	go w.run()
	return w
}

func (w *Watcher) run() {
	defer close(w.done)
	for {
		select {
		case e, open := <-w.events.Events:
			if !open {
				return
			}
			w.wake(filepath.Dir(e.Name))
		case err, open := <-w.events.Errors:
			if !open {
				return
			}
			if !errors.Is(err, fsnotify.ErrEventOverflow) {
				w.log.Warn("watching logs failed", "error", err)
			}
			w.wakeAll()
		}
	}
}

func (w *Watcher) wake(dir string) {
	w.mu.Lock()
	found := w.spools[dir]
	w.mu.Unlock()
	if found != nil {
		found.spool.Notify()
	}
}

func (w *Watcher) wakeAll() {
	w.mu.Lock()
	var all []*Spool
	for _, found := range w.spools {
		all = append(all, found.spool)
	}
	w.mu.Unlock()
	for _, s := range all {
		s.Notify()
	}
}

// watch wakes the followers of a spool when something changes in its folder, also when an engine writes to a file that was
// deleted, until the function that it returns is called.
func (w *Watcher) watch(s *Spool) (stop func()) {
	if w == nil || w.events == nil {
		return func() {}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	found := w.spools[s.dir]
	if found == nil {
		if err := w.events.Add(s.dir); err != nil { // such as too many watches; Trim wakes it
			w.log.Debug("cannot watch a log", "folder", s.dir, "error", err)
			return func() {}
		}
		found = &watched{spool: s}
		w.spools[s.dir] = found
	}
	found.users++
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if found.users--; found.users == 0 {
			delete(w.spools, s.dir)
			if err := w.events.Remove(s.dir); err != nil && !errors.Is(err, fsnotify.ErrNonExistentWatch) {
				w.log.Debug("cannot stop watching a log", "folder", s.dir, "error", err)
			}
		}
	}
}

// Close ends all watching.
func (w *Watcher) Close() error {
	var err error
	if w.events != nil {
		err = w.events.Close()
	}
	<-w.done
	return err
}
