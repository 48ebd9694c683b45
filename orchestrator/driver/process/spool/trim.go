package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

const (
	// retained is the number of bytes before a position that Release keeps in each file, for Tail.
	retained = 64 << 10
	// step is the least number of bytes that is worth punching a hole for.
	step = 256 << 10
)

// Trim drops the oldest output until no more than the limit is on disk, and wakes followers if the files have grown. It only
// looks at the files if there is nothing to drop, and is a no-op if they are not open: nothing is written then. It is called
// once a second.
func (s *Spool) Trim() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.users == 0 {
		return nil
	}
	grew := false
	var kept int64
	for i := range s.files {
		f := &s.files[i]
		if err := f.refresh(); err != nil {
			return err
		}
		if f.f != nil {
			kept += f.end - f.head
		}
		grew, s.ticked[i] = grew || f.end != s.ticked[i], f.end
	}
	if grew {
		s.notify()
	}
	if kept <= s.opt.Limit {
		return nil
	}
	return s.bound(kept - s.opt.Limit + s.opt.Limit/8) // more than must be, so that the next holes are worth it
}

// bound drops that many bytes: of the files of older versions first, and then of the larger one, so that a stream with few
// lines keeps them while the other one is flooded.
func (s *Spool) bound(excess int64) error {
	for _, i := range []int{oldRotated, old} {
		n := min(excess, s.kept(i))
		if err := s.drop(i, s.files[i].head+n, 1); err != nil {
			return err
		}
		excess -= n
	}
	out, errOut := s.kept(stdout), s.kept(stderr)
	n := min(excess, max(0, (out-errOut+excess)/2)) // what is left of both is as near as can be
	if err := s.drop(stdout, s.files[stdout].head+n, 1); err != nil {
		return err
	}
	return s.drop(stderr, s.files[stderr].head+excess-n, 1)
}

func (s *Spool) kept(i int) int64 {
	if s.files[i].f == nil {
		return 0
	}
	return s.files[i].end - s.files[i].head
}

// drop drops what lies before an offset of a file. The caller holds mu.
func (s *Spool) drop(i int, to, least int64) error {
	moved, err := s.files[i].drop(to, least, s.opt)
	if err == nil && moved {
		err = s.save(true)
	}
	return err
}

// Release is [driver.LogReader.ReleaseLogs].
func (s *Spool) Release(text string) error {
	p, ok := parsePosition(text)
	if !ok {
		return nil
	}
	if err := s.acquire(); err != nil {
		return err
	}
	defer s.release()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.files {
		f := &s.files[i]
		if f.f == nil || p[i].at > f.end {
			continue
		}
		if err := s.drop(i, p[i].at-retained, step); err != nil {
			return err
		}
	}
	return s.removeOld(p)
}

// removeOld removes the files of older versions that were read to their end, once those of the present version have enough for
// Tail. No run writes to them then: the present version has started one since.
func (s *Spool) removeOld(p position) error {
	if s.kept(stdout)+s.kept(stderr) < retained {
		return nil
	}
	for _, i := range []int{oldRotated, old} {
		if f := &s.files[i]; f.f != nil && p[i].at >= f.end {
			if err := errors.Join(os.Remove(filepath.Join(s.dir, fileNames[i])), f.f.Close()); err != nil {
				return fmt.Errorf("removing an old log: %w", err)
			}
			f.f = nil
		}
	}
	return nil
}
