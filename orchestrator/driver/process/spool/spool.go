// Package spool keeps the output of one service in a folder, bounded, and reads it.
//
// An engine writes to two files in append mode, one for each stream, so that it does not depend on uws. They are never
// truncated or copied while an instance runs: what is no longer needed is freed by punching holes at their head, so that an
// offset stays valid for the life of a file.
package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/process/folders"
)

// The files of a spool. Older versions of uws wrote both streams to one file, which they rotated.
const (
	oldRotated = iota
	old
	stdout
	stderr
	fileCount
)

var (
	fileNames = [fileCount]string{"engine.log.1", "engine.log", "stdout.log", "stderr.log"}
	streams   = [fileCount]driver.LogStream{driver.Stdout, driver.Stdout, driver.Stdout, driver.Stderr}
)

// ErrClosed is returned after Close.
var ErrClosed = errors.New("the log is closed")

// Options of a [Spool].
type Options struct {
	Limit   int64    // bytes on disk that Trim keeps
	Watcher *Watcher // nil: followers are woken by Trim alone

	punch   func(fd int, mode uint32, off, n int64) error // nil: unix.Fallocate
	maxSize int64                                         // 0: defaultMaxSize
}

// Spool is the output of one service. It is safe for concurrent use.
type Spool struct {
	dir string
	opt Options

	mu     sync.Mutex
	closed bool
	loaded bool
	users  int // that need the files open: a live run and readers
	files  [fileCount]file
	runs   []entry
	live   bool          // the newest run has not ended
	grown  chan struct{} // closed, and replaced, when followers have to look
	ticked [fileCount]int64
}

// New returns the spool in a folder. It does no I/O.
func New(dir string, opt Options) *Spool {
	if opt.punch == nil {
		opt.punch = unix.Fallocate
	}
	if opt.maxSize == 0 {
		opt.maxSize = defaultMaxSize
	}
	return &Spool{dir: dir, opt: opt, grown: make(chan struct{})}
}

// Begin opens the files for the output of a new run, which the caller closes once it has started the run. No run may be live.
// The mark identifies the run until Name is called; if it is empty, the output is of no run.
func (s *Spool) Begin(mark string) (out, errOut *os.File, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.open(); err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			s.shut()
			err = errors.Join(fmt.Errorf("opening the log: %w", err), closeFile(out), closeFile(errOut))
			out, errOut = nil, nil
		}
	}()
	if err := folders.Make(s.dir, 0o700); err != nil {
		return nil, nil, err
	}
	if out, err = s.create(stdout); err != nil {
		return out, errOut, err
	}
	if errOut, err = s.create(stderr); err != nil {
		return out, errOut, err
	}
	if err = s.record(mark, ""); err != nil {
		return out, errOut, err
	}
	s.live = true
	s.notify()
	return out, errOut, nil
}

// create opens one of the files for an engine, and makes it if it is missing.
func (s *Spool) create(i int) (*os.File, error) {
	path := filepath.Join(s.dir, fileNames[i])
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return f, err
	}
	if mine := s.files[i].f; mine != nil {
		if was, err := mine.Stat(); err == nil && os.SameFile(was, info) {
			return f, nil
		}
		_ = mine.Close() // it was deleted
	}
	next, err := openFile(path)
	if err != nil {
		return f, err
	}
	s.files[i].f = next
	// Of a file that replaces a deleted one, no position may be one of the old file.
	if last := max(s.files[i].end, s.lastAt(i)); last > 0 && info.Size() == 0 {
		s.files[i].restart(last)
	}
	return f, s.files[i].refresh()
}

// Name sets the id of the run that was begun with mark.
func (s *Spool) Name(mark, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.load() != nil || mark == "" {
		return
	}
	if n := len(s.runs); n > 0 && s.runs[n-1].Mark == mark {
		s.runs[n-1].ID = id
		s.notify()
	}
}

// Adopt makes the run that was begun with mark, which an earlier uws started, the live one. A run that is not known, because an
// older version of uws started it, is known from now on.
func (s *Spool) Adopt(mark, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.open(); err != nil {
		return err
	}
	s.live = true
	n := len(s.runs)
	if mark != "" && n > 0 && s.runs[n-1].Mark == mark {
		s.runs[n-1].ID = id
		return nil
	}
	return s.record(mark, id)
}

// End records that no run is live. It is a no-op if none is.
func (s *Spool) End() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.live {
		return
	}
	s.live = false
	for i := range s.files {
		_ = s.files[i].refresh() // for the times; readers report the error
	}
	s.shut()
	s.notify()
}

// Forget closes the files, which were removed, and makes the spool a new one.
func (s *Spool) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeFiles()
	s.loaded, s.live, s.runs = false, false, nil
	s.ticked = [fileCount]int64{}
	s.notify()
}

// Close closes the files. All that reads the spool fails with [ErrClosed].
func (s *Spool) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.closeFiles()
	s.notify()
}

func (s *Spool) closeFiles() {
	for i := range s.files {
		_ = closeFile(s.files[i].f)
		s.files[i] = file{}
	}
}

// open opens the files that exist, for one more user. The caller holds mu.
func (s *Spool) open() error {
	if err := s.load(); err != nil {
		return err
	}
	if s.users++; s.users > 1 {
		return nil
	}
	for i := range s.files {
		if err := s.openOne(i); err != nil {
			s.shut()
			return fmt.Errorf("opening the log: %w", err)
		}
	}
	return nil
}

func (s *Spool) openOne(i int) error {
	f := &s.files[i]
	next, err := openFile(filepath.Join(s.dir, fileNames[i]))
	if err != nil || next == nil {
		return err
	}
	f.f = next
	// A file that is shorter than it was when a run began is another one.
	if info, err := next.Stat(); err == nil && f.base+info.Size() < s.lastAt(i) {
		f.restart(s.lastAt(i))
	}
	if err := f.refresh(); err != nil {
		return err
	}
	f.findHead()
	return nil
}

// shut closes the files when their last user has gone. The caller holds mu.
func (s *Spool) shut() {
	if s.users > 0 {
		s.users--
	}
	if s.users > 0 {
		return
	}
	for i := range s.files {
		_ = closeFile(s.files[i].f) // nothing was written to it
		s.files[i].f = nil
	}
}

// notify wakes all followers. The caller holds mu.
func (s *Spool) notify() {
	close(s.grown)
	s.grown = make(chan struct{})
}

// Notify wakes all followers.
func (s *Spool) Notify() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notify()
}
