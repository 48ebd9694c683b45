package spool

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// Tail is [driver.LogReader.TailLogs]. Lines of one run are ordered by when they were written, as far as that is known. Where it
// is not known which of the two streams is newer, each gets half of the lines, if it has as many: an engine may write its
// errors to one and chatter to the other.
func (s *Spool) Tail(n int) ([]driver.LogLine, error) {
	if err := s.acquire(); err != nil || n <= 0 {
		return nil, err
	}
	defer s.release()
	var of [fileCount][]tailLine
	for i := range of {
		var err error
		if of[i], err = s.tailOf(i, n); err != nil {
			return nil, err
		}
	}
	newest := newestOf(slices.Concat(of[oldRotated], of[old], of[stdout]), of[stderr], n)
	slices.SortStableFunc(newest, func(a, b tailLine) int {
		return cmp.Or(cmp.Compare(a.run, b.run), a.At.Compare(b.At), -cmp.Compare(a.Stream, b.Stream))
	})
	all := make([]driver.LogLine, len(newest))
	for i, l := range newest {
		all[i] = l.LogLine
	}
	return all, nil
}

// tailLine is a line with the number of its run and the earliest time that it can have been written.
type tailLine struct {
	driver.LogLine
	run   int
	since time.Time
}

// before reports whether a was certainly written before b.
func (a tailLine) before(b tailLine) bool {
	return a.run < b.run || a.run == b.run && !a.At.After(b.since)
}

// newestOf returns the newest n lines of two streams, in no order.
func newestOf(out, errOut []tailLine, n int) (newest []tailLine) {
	turn := true // of errOut
	for len(newest) < n && len(out)+len(errOut) > 0 {
		var a, b tailLine
		if len(out) > 0 && len(errOut) > 0 {
			a, b = out[len(out)-1], errOut[len(errOut)-1]
		}
		switch {
		case len(out) == 0, len(errOut) > 0 && a.before(b):
			turn = true
		case len(errOut) == 0, b.before(a):
			turn = false
		}
		if turn {
			newest, errOut = append(newest, errOut[len(errOut)-1]), errOut[:len(errOut)-1]
		} else {
			newest, out = append(newest, out[len(out)-1]), out[:len(out)-1]
		}
		turn = !turn
	}
	slices.Reverse(newest)
	return newest
}

// tailOf returns the newest n lines of a file.
func (s *Spool) tailOf(i, n int) (newest []tailLine, err error) {
	p, end, err := s.tailStart(i, n)
	if err != nil {
		return nil, err
	}
	l := lines{ordered: true}
	for p[i].at < 0 || p[i].at < end {
		buf := buffers.Get().(*[chunk]byte)
		found, _, _, err := s.pieces(&p, buf)
		buffers.Put(buf)
		if err != nil {
			return nil, err
		}
		before := p[i].at
		for _, c := range found {
			if c.file == i {
				p[i], _ = l.split(c)
			}
		}
		for j, line := range l.all {
			newest = append(newest, tailLine{line, l.order[j].run, l.order[j].since})
		}
		newest = newest[max(0, len(newest)-n):]
		if l.all, l.order = l.all[:0], l.order[:0]; p[i].at == before {
			break // the rest is an unfinished line
		}
	}
	return slices.Clip(newest), nil
}

// tailStart returns a position that is not after the newest n lines of a file and at the end of the others, and the end of the
// file.
func (s *Spool) tailStart(i, n int) (p position, end int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for j := range s.files {
		if err := s.files[j].refresh(); err != nil {
			return p, 0, err
		}
		p[j].at = s.files[j].end
	}
	f := &s.files[i]
	if f.f == nil {
		return p, f.end, nil
	}
	buf := buffers.Get().(*[chunk]byte)
	defer buffers.Put(buf)
	ends := 0 // of lines; the newest may end the newest line
	for at := f.end; at > f.head; {
		part := buf[:min(at-f.head, chunk)]
		at -= int64(len(part))
		if _, err := f.readAt(part, at); err != nil {
			return p, 0, err
		}
		for {
			k := bytes.LastIndexByte(part, '\n')
			if k < 0 {
				break
			}
			if ends++; ends > n {
				p[i].at = at + int64(k) + 1
				return p, f.end, nil
			}
			part = part[:k]
		}
	}
	p[i].at = -1
	return p, f.end, nil
}
