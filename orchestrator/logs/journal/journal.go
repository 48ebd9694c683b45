// Package journal keeps the output of one service in a folder, bounded in size.
//
// A journal is a sequence of lines at rising offsets, in files that are named by the offset they begin at. It is only appended
// to, in batches that end with the position in the source up to which they go: after a crash a batch is there as a whole, with
// that position, or not at all. The oldest file is deleted when the journal exceeds its limit; offsets are never used again.
package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
)

const (
	suffix       = ".log"
	segments     = 8       // that a journal of the greatest size has
	minSegment   = 1 << 16 // bytes
	block        = 1 << 16 // bytes that are read at once
	folderMode   = 0o700
	fileMode     = 0o600
	offsetDigits = 16
)

// MinLimit is the smallest limit of a journal in bytes.
const MinLimit = 2 * minSegment

// Journal is the log of one service. It is safe for concurrent use; Append is called by one goroutine at a time.
type Journal struct {
	dir   string
	limit int64

	mu      sync.Mutex
	starts  []int64 // offsets at which the files begin, rising
	end     int64   // offset after the last batch
	source  string
	changed chan struct{} // closed at the next change
	closed  bool
}

// Open opens the journal in dir, which need not exist, and cuts off what a crash left of an unfinished batch. limit is the
// number of bytes it may take, at least MinLimit.
func Open(dir string, limit int64) (*Journal, error) {
	j := &Journal{dir: dir, limit: max(limit, MinLimit), changed: make(chan struct{})}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("opening a log: %w", err)
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), suffix)
		start, err := strconv.ParseInt(name, 16, 64)
		if ok && err == nil && len(name) == offsetDigits && start >= 0 {
			j.starts = append(j.starts, start)
		}
	}
	slices.Sort(j.starts)
	return j, j.recover()
}

// recover finds the end of the last batch, and deletes what follows it.
func (j *Journal) recover() error {
	for i := len(j.starts) - 1; i >= 0; i-- {
		size, source, err := lastCommit(j.path(j.starts[i]))
		if err != nil {
			return fmt.Errorf("opening a log: %w", err)
		}
		if size > 0 {
			j.starts, j.end, j.source = j.starts[:i+1], j.starts[i]+size, source
			return os.Truncate(j.path(j.starts[i]), size)
		}
		j.end = j.starts[i]
		if err := os.Remove(j.path(j.starts[i])); err != nil {
			return err
		}
	}
	j.starts = nil
	return nil
}

// lastCommit returns the size of a file up to the end of its last commit, and what that names; 0 if there is none.
func lastCommit(path string) (size int64, source string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, "", err
	}
	err = linesBackward(f, 0, info.Size(), func(start int64, line []byte, ended bool) bool {
		if s, ok := parseCommit(line); ok && ended {
			size, source = start+int64(len(line))+1, s
			return false
		}
		return true
	})
	return size, source, err
}

func (j *Journal) path(start int64) string {
	return filepath.Join(j.dir, fmt.Sprintf("%0*x%s", offsetDigits, start, suffix))
}

// Append appends records and the position in the source after them, all or nothing. The records' offsets are set.
func (j *Journal) Append(records []Record, source string) error {
	source = oneLine(source)
	j.mu.Lock()
	end, closed := j.end, j.closed
	j.mu.Unlock()
	if closed {
		return fs.ErrClosed
	}
	b := make([]byte, 0, 4<<10)
	for i := range records {
		r := &records[i]
		r.Offset = end + int64(len(b))
		b = appendRecord(b, r)
		r.End = end + int64(len(b))
	}
	b = append(append(append(b, commitMark...), source...), '\n')
	if err := j.write(b, end); err != nil {
		return fmt.Errorf("writing a log: %w", err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.end, j.source = end+int64(len(b)), source
	close(j.changed)
	j.changed = make(chan struct{})
	return j.shrink()
}

// write writes a batch at the end, all or nothing. It opens the file each time, so that a thousand quiet services hold none.
func (j *Journal) write(b []byte, end int64) error {
	file, start, err := j.writable(end)
	if err != nil {
		return err
	}
	if _, err := file.WriteAt(b, end-start); err != nil {
		return errors.Join(err, file.Truncate(end-start), file.Close())
	}
	return file.Close()
}

// writable opens the file to append to, and returns where it begins. It begins a new one when the present one is large enough, or
// was deleted by somebody else.
func (j *Journal) writable(end int64) (*os.File, int64, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if n := len(j.starts); n > 0 && end-j.starts[n-1] < max(j.limit/segments, minSegment) {
		file, err := os.OpenFile(j.path(j.starts[n-1]), os.O_WRONLY, fileMode)
		if !errors.Is(err, fs.ErrNotExist) {
			return file, j.starts[n-1], err
		}
	}
	if err := os.MkdirAll(j.dir, folderMode); err != nil {
		return nil, 0, err
	}
	file, err := os.OpenFile(j.path(end), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return nil, 0, err
	}
	if n := len(j.starts); n == 0 || j.starts[n-1] != end {
		j.starts = append(j.starts, end)
	}
	return file, end, nil
}

// shrink deletes the oldest files while the journal exceeds its limit. j.mu is held.
func (j *Journal) shrink() error {
	for len(j.starts) > 1 && j.end-j.starts[0] > j.limit {
		if err := os.Remove(j.path(j.starts[0])); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("deleting the oldest part of a log: %w", err)
		}
		j.starts = j.starts[1:]
	}
	return nil
}

// Source returns the position in the source up to which the journal goes; empty at its beginning.
func (j *Journal) Source() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.source
}

// Bounds returns the offsets of the first byte and of the byte after the last, and a channel that is closed when they change.
func (j *Journal) Bounds() (start, end int64, changed <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	start = j.end
	if len(j.starts) > 0 {
		start = j.starts[0]
	}
	return start, j.end, j.changed
}

// Close has later calls of Append fail. Reading goes on to work.
func (j *Journal) Close() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closed = true
}

// segment is a part of the journal in one file.
type segment struct {
	path       string
	start, end int64 // offsets
}

// between returns the segments that hold what lies between two offsets, rising.
func (j *Journal) between(from, to int64) []segment {
	j.mu.Lock()
	defer j.mu.Unlock()
	var all []segment
	for i, start := range j.starts {
		s := segment{j.path(start), start, j.end}
		if i+1 < len(j.starts) {
			s.end = j.starts[i+1]
		}
		if s.start < to && s.end > from {
			all = append(all, s)
		}
	}
	return all
}

// linesBackward calls yield with the lines of f between two offsets, last first, until it returns false: where a line begins,
// its bytes without the line ending, valid until yield returns, and whether it had one. from is the beginning of a line.
func linesBackward(f io.ReaderAt, from, to int64, yield func(start int64, line []byte, ended bool) bool) error {
	buf := make([]byte, 0, block)
	ended := false // whether what is in buf had a line ending
	for pos := to; pos > from; {
		n := min(pos-from, block)
		head := make([]byte, n, n+int64(len(buf)))
		if _, err := f.ReadAt(head, pos-n); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		buf = append(head, buf...)
		pos -= n
		for {
			i := bytes.LastIndexByte(buf, '\n')
			if i < 0 {
				break
			}
			if i+1 < len(buf) || ended {
				if !yield(pos+int64(i)+1, buf[i+1:], ended) {
					return nil
				}
			}
			buf, ended = buf[:i], true
		}
	}
	if len(buf) > 0 || ended {
		yield(from, buf, ended)
	}
	return nil
}
