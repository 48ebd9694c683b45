package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// The reserve is a file that only takes room. On a full disk it is given back in slices, to writes that relieve it: a
// service cannot be stopped, nor its data deleted, without rows that say so.
const (
	reserveName  = "uws.reserve"
	reserveSize  = 16 << 20
	reserveSlice = 1 << 20

	spareName = "uws.spare" // written and deleted to see whether there is room
	spareSize = 64 << 10
)

// FullError says that the disk of the data folder has no room left.
type FullError struct {
	Dir string
	Err error // nil: found out without a write to the store
}

func (e *FullError) Error() string {
	return fmt.Sprintf("the disk of the data folder %s is full, and nothing can be stored; free some room there, and uws goes on by itself", e.Dir)
}

func (e *FullError) Unwrap() error { return e.Err }

// space is the room on the disk of the data folder.
type space struct {
	dir  string
	full atomic.Bool

	mu       sync.Mutex
	reserved bool // whether there is to be a reserve
}

// saw takes note of a full disk, and gives the error for it.
func (s *space) saw(err error) error {
	if !DiskFull(err) {
		return err
	}
	s.full.Store(true)
	return &FullError{Dir: s.dir, Err: err}
}

// Full is a [*FullError] while the disk of the data folder is known to be full, else nil.
func (s *Store) Full() error {
	if s.space.full.Load() {
		return &FullError{Dir: s.space.dir}
	}
	return nil
}

// CheckSpace finds out whether new data can be stored, and completes the reserve when there is room for twice as much as
// it lacks. It reports whether that changed.
func (s *Store) CheckSpace() (changed bool, err error) {
	err = s.space.try()
	full := DiskFull(err)
	if err != nil && !full {
		return false, fmt.Errorf("writing to the data folder: %w", err)
	}
	if !full {
		if err := s.space.fill(); err != nil {
			return s.space.full.Swap(full) != full, fmt.Errorf("reserving room in the data folder: %w", err)
		}
	}
	return s.space.full.Swap(full) != full, nil
}

// Reserve has [Store.CheckSpace] keep a reserve of 16 MiB from now on.
func (s *Store) Reserve() {
	s.space.mu.Lock()
	defer s.space.mu.Unlock()
	s.space.reserved = true
}

// try writes to new space and gives it back.
func (s *space) try() error {
	path := s.dir + "/" + spareName
	data := make([]byte, spareSize)
	for i := range data {
		data[i] = byte(i * i >> 3 & 0xff) // not to be left out as a hole
	}
	err := os.WriteFile(path, data, 0o600)
	if gone := os.Remove(path); err == nil && !errors.Is(gone, fs.ErrNotExist) {
		err = gone
	}
	return err
}

// fill completes the reserve if there is room.
func (s *space) fill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.reserved {
		return nil
	}
	f, err := os.OpenFile(s.dir+"/"+reserveName, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil && info.Size() < reserveSize {
		err = s.allocate(f, info.Size())
	}
	return errors.Join(err, f.Close())
}

func (s *space) allocate(f *os.File, has int64) error {
	var disk unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &disk); err != nil {
		return err
	}
	lacks := reserveSize - has
	if int64(disk.Bavail)*disk.Bsize < 2*lacks { //nolint:gosec // fits
		return nil
	}
	err := unix.Fallocate(int(f.Fd()), 0, has, lacks)
	if DiskFull(err) {
		return f.Truncate(has)
	}
	return err
}

// release gives a slice of the reserve back to the disk, and reports whether there was one.
func (s *space) release() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	path := s.dir + "/" + reserveName
	info, err := os.Stat(path)
	if err != nil || info.Size() == 0 {
		return false
	}
	return os.Truncate(path, max(0, info.Size()-reserveSlice)) == nil
}

type reliefKey struct{}

// WithRelief marks writes that may use the reserve: those of verbs that make room, and what follows from them.
func WithRelief(ctx context.Context) context.Context {
	return context.WithValue(ctx, reliefKey{}, true)
}

// Do calls write, which is one transaction or statement. On a full disk, and with a context from [WithRelief], it gives
// slices of the reserve back and calls it again.
func (s *Store) Do(ctx context.Context, write func() error) error {
	for {
		err := write()
		if relief, _ := ctx.Value(reliefKey{}).(bool); !relief || !DiskFull(err) || !s.space.release() {
			return err
		}
	}
}
