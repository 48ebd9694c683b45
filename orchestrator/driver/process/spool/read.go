package spool

import (
	"slices"
	"strings"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// chunk is the number of bytes that are read of a file together: more than a line has, so that each read has a line, or reaches
// the end of the file. A batch is a chunk of each stream.
const chunk = 128 << 10

// piece is what was read of a file: all of one run.
type piece struct {
	file  int
	from  cursor
	text  string
	run   int    // -1: unknown
	id    string // of the run
	marks []mark // when it was written
	last  bool   // no more will follow to its last line
}

// pieces reads a batch after a position: of each file, what is not read of the oldest run of which anything is not. It moves
// the cursors to what exists, and returns the number of bytes that are gone, and whether there is more to read. An unfinished
// line counts as a line if no run is live.
func (s *Spool) pieces(p *position, buf *[chunk]byte) (found []piece, lost int64, more bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, 0, false, ErrClosed
	}
	oldest := len(s.runs)
	for i := range s.files {
		f := &s.files[i]
		if err := f.refresh(); err != nil {
			return nil, 0, false, err
		}
		lost += f.resolve(&p[i])
		run, _ := s.runAt(i, p[i].at)
		if run >= 0 && s.runs[run].At[i] == p[i].at {
			p[i].mode = whole
		}
		if s.unread(i, p[i].at) {
			oldest = min(oldest, run)
		}
	}
	for i := range s.files {
		run, next := s.runAt(i, p[i].at)
		if !s.unread(i, p[i].at) {
			continue
		}
		if run != oldest || len(found) > 0 && found[0].file == oldRotated {
			more = true
			continue
		}
		f := &s.files[i]
		n, err := f.readAt(buf[:min(next-p[i].at, chunk)], p[i].at)
		if err != nil {
			return nil, 0, false, err
		}
		end := p[i].at + int64(n)
		c := piece{file: i, from: p[i], text: string(buf[:n]), run: run, marks: f.between(p[i].at, end)}
		c.last = end == next && (run < len(s.runs)-1 || !s.live)
		if run >= 0 {
			c.id = s.runs[run].ID
		}
		found, more = append(found, c), more || end < f.end
	}
	return found, lost, more, nil
}

// unread reports whether there is something to read at an offset of a file.
func (s *Spool) unread(i int, at int64) bool {
	run, next := s.runAt(i, at)
	return s.files[i].f != nil && at < next && !s.unnamed(run)
}

// resolve moves a cursor to the oldest byte that exists if what it points to does not, and returns the number of bytes between.
func (f *file) resolve(c *cursor) (lost int64) {
	switch {
	case f.f == nil:
		c.at = max(c.at, 0)
		return 0
	case c.at < 0 || c.at > f.end:
		*c = cursor{at: f.head, mode: cut}
	case c.at < f.head:
		lost = f.head - max(c.at, f.head-f.head%generation)
		*c = cursor{at: f.head, mode: skipped}
	default:
		return 0
	}
	if f.head == f.base { // the beginning of a line
		c.mode = whole
	}
	return lost
}

// between returns the marks of what lies between two offsets.
func (f *file) between(from, to int64) []mark {
	first, last := len(f.marks), len(f.marks)
	for first > 0 && f.marks[first-1].end > from {
		first--
	}
	for last > first+1 && f.marks[last-2].end >= to {
		last--
	}
	return slices.Clone(f.marks[first:last])
}

// lines are those of a batch.
type lines struct {
	all     []driver.LogLine
	order   []order // of each, if wanted
	ordered bool    // it is
}

// order is the run of a line and the earliest time that it can have been written.
type order struct {
	run   int
	since time.Time
}

// split adds the lines of a piece, and returns the cursor behind them and the number of bytes that were passed over, of a line
// whose beginning is gone.
func (l *lines) split(c piece) (next cursor, lost int64) {
	text, next := c.text, c.from
	line := driver.LogLine{Stream: streams[c.file], Run: c.id}
	for text != "" {
		n := strings.IndexByte(text, '\n')
		ended := n >= 0
		if !ended {
			n = len(text)
			if !c.last && next.mode == whole && n <= driver.MaxLogLine {
				break // the rest of it will come
			}
		}
		used := n
		if ended {
			used++
		}
		next.at += int64(used)
		switch next.mode {
		case whole:
			for len(c.marks) > 1 && c.marks[0].end < next.at {
				c.marks = c.marks[1:]
			}
			line.At, line.Text = c.marks[0].hi, text[:min(n, driver.MaxLogLine)]
			l.all = append(l.all, line)
			if l.ordered {
				l.order = append(l.order, order{c.run, c.marks[0].lo})
			}
		case skipped:
			lost += int64(used)
		}
		text = text[used:]
		switch {
		case ended || c.last && text == "":
			next.mode = whole
		case next.mode == whole:
			next.mode = cut
		}
	}
	return next, lost
}
