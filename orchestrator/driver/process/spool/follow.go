package spool

import (
	"context"
	"sync"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// pause is how long a follower waits after it has read everything, so that an engine that writes all the time is read in
// batches.
const pause = 20 * time.Millisecond

// buffers are shared by all followers: one that waits needs none.
var buffers = sync.Pool{New: func() any { return new([chunk]byte) }}

// Follow is [driver.LogReader.FollowLogs]. It returns [ErrClosed] after Close.
func (s *Spool) Follow(ctx context.Context, after string, yield func(driver.LogBatch) error) error {
	if err := s.acquire(); err != nil {
		return err
	}
	defer s.release()
	p, _ := parsePosition(after)
	var l lines
	for {
		grown, live, err := s.status()
		if err != nil {
			return err
		}
		seen, err := s.drain(ctx, &p, &l, yield)
		if err != nil {
			return err
		}
		if !live {
			if _, live, err = s.status(); err != nil || !live {
				return err
			}
			continue
		}
		if err := s.await(ctx, grown, seen); err != nil {
			return err
		}
	}
}

func (s *Spool) acquire() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open()
}

func (s *Spool) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shut()
}

func (s *Spool) status() (grown <-chan struct{}, live bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, false, ErrClosed
	}
	return s.grown, s.live, nil
}

// ends are those of the files.
func (s *Spool) ends() (ends [fileCount]int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.files {
		_ = s.files[i].refresh() // who reads next reports it
		ends[i] = s.files[i].end
	}
	return ends
}

// drain passes on what lies after a position, up to the end, and returns the ends that the files had before it read them for
// the last time.
func (s *Spool) drain(ctx context.Context, p *position, l *lines, yield func(driver.LogBatch) error) (seen [fileCount]int64, err error) {
	for more := true; more; {
		if err := ctx.Err(); err != nil {
			return seen, err
		}
		seen = s.ends()
		var found []piece
		var lost int64
		buf := buffers.Get().(*[chunk]byte)
		found, lost, more, err = s.pieces(p, buf)
		buffers.Put(buf)
		if err != nil {
			return seen, err
		}
		for _, c := range found {
			var passed int64
			p[c.file], passed = l.split(c)
			lost += passed
		}
		if len(l.all) > 0 || lost > 0 {
			err = yield(driver.LogBatch{Lines: l.all, Position: p.String(), Skipped: lost})
		}
		clear(l.all) // of its texts
		l.all = l.all[:0]
		if err != nil {
			return seen, err
		}
	}
	return seen, nil
}

// await waits until the files have grown beyond seen, or grown is closed.
func (s *Spool) await(ctx context.Context, grown <-chan struct{}, seen [fileCount]int64) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	if s.ends() != seen {
		return nil
	}
	// Watched only while there is nothing to read, so that an engine that writes all the time causes no events.
	defer s.opt.Watcher.watch(s)()
	if s.ends() != seen {
		return nil
	}
	select {
	case <-grown:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
