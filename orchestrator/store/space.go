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

// The reserve is a file that only occupies space. On a full disk, writes that free space get slices of it: stopping a
// service or deleting its data requires new rows.
const (
	reserveName  = "uws.reserve"
	reserveSize  = 16 << 20
	reserveSlice = 1 << 20

	spareName = "uws.spare" // written and deleted to check for free space
	spareSize = 64 << 10
)

// FullError means that the disk of the data folder is full.
type FullError struct {
	Dir string
	Err error // nil if it was found without a write to the store
}

func (e *FullError) Error() string {
	return fmt.Sprintf("the disk of the data folder %s is full, so nothing can be saved; free some space on it and try again. uws needs no restart", e.Dir)
}

func (e *FullError) Unwrap() error { return e.Err }

// DiskFull returns true. By it callers that do not import this package know the error.
func (e *FullError) DiskFull() bool { return true }

// space tracks the free space on the disk of the data folder.
type space struct {
	dir  string
	full atomic.Bool

	mu       sync.Mutex
	reserved bool // whether to keep a reserve
}

// saw records a full disk, and returns a [*FullError] for it. It returns other errors unchanged.
func (s *space) saw(err error) error {
	if !DiskFull(err) {
		return err
	}
	s.full.Store(true)
	return &FullError{Dir: s.dir, Err: err}
}

// Full returns a [*FullError] while the disk of the data folder is known to be full, else nil.
func (s *Store) Full() error {
	if s.space.full.Load() {
		return &FullError{Dir: s.space.dir}
	}
	return nil
}

// CheckSpace checks whether new data can be stored. If there is free space for twice what the reserve lacks, it refills
// the reserve. It reports whether the state changed.
func (s *Store) CheckSpace() (changed bool, err error) {
	err = s.space.try()
	full := DiskFull(err)
	if err != nil && !full {
		return false, fmt.Errorf("write to the data folder: %w", err)
	}
	if !full {
		if err := s.space.fill(); err != nil {
			return s.space.full.Swap(full) != full, fmt.Errorf("reserve space in the data folder: %w", err)
		}
	}
	return s.space.full.Swap(full) != full, nil
}

// Reserve makes [Store.CheckSpace] keep a reserve of 16 MiB from now on.
func (s *Store) Reserve() {
	s.space.mu.Lock()
	defer s.space.mu.Unlock()
	s.space.reserved = true
}

// try writes a file that needs new space, and deletes it.
func (s *space) try() error {
	path := s.dir + "/" + spareName
	data := make([]byte, spareSize)
	for i := range data {
		data[i] = byte(i * i >> 3 & 0xff) // not zeros, which could be stored as a hole
	}
	err := os.WriteFile(path, data, 0o600)
	if gone := os.Remove(path); err == nil && !errors.Is(gone, fs.ErrNotExist) {
		err = gone
	}
	return err
}

// fill refills the reserve if there is enough free space.
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

// release frees a slice of the reserve. It reports whether there was one left.
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

// WithRelief returns a context for writes that may use the reserve: those of operations that free space, and their
// consequences.
func WithRelief(ctx context.Context) context.Context {
	return context.WithValue(ctx, reliefKey{}, true)
}

// Do calls write, which must be one transaction or statement. If the disk is full and ctx comes from [WithRelief], it
// frees slices of the reserve and calls write again.
func (s *Store) Do(ctx context.Context, write func() error) error {
	for {
		err := write()
		if relief, _ := ctx.Value(reliefKey{}).(bool); !relief || !DiskFull(err) || !s.space.release() {
			return err
		}
	}
}
