package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	block = 4096 // bytes; holes are multiples of it
	// generation is the distance of the offsets of a file and of the one that replaces it: no file system here has larger files.
	generation = int64(1) << 44
	maxMarks   = 64
	// defaultMaxSize is the size in bytes, with its holes, beyond which a file is shortened, where the file system can do that.
	// File systems bound the size of a file, and an engine that exceeds it is killed; some backups write holes as zeros.
	defaultMaxSize = 1 << 30
)

// file is one of the files. Its offsets are logical: they keep growing when the file is truncated or replaced.
type file struct {
	f    *os.File // nil: it does not exist, or has no user
	base int64    // offset of its first byte
	head int64    // offset of the first byte that was not punched
	end  int64    // as last seen

	marks      []mark
	noPunch    bool
	noCollapse bool
}

// mark says when what lies before an offset, and behind the mark before, was written.
type mark struct {
	end    int64
	lo, hi time.Time
}

// openFile opens a file to read it and to punch holes; nil if there is none.
func openFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return f, err
}

func closeFile(f *os.File) error {
	if f == nil {
		return nil
	}
	return f.Close()
}

// restart gives the file offsets that none of an earlier file has, which had reached last.
func (f *file) restart(last int64) {
	f.base = last - last%generation + generation
	f.head, f.end, f.marks = f.base, f.base, nil
}

// refresh looks how far the file has grown.
func (f *file) refresh() error {
	if f.f == nil {
		return nil
	}
	info, err := f.f.Stat()
	if err != nil {
		return fmt.Errorf("looking at the log: %w", err)
	}
	end := f.base + info.Size()
	if end < f.end { // somebody truncated it
		f.restart(f.end)
		end = f.base + info.Size()
	}
	f.head = max(f.head, f.base)
	if end > f.end || f.marks == nil {
		f.mark(end, info.ModTime())
	}
	f.end = end
	return nil
}

// mark records that the file had reached end at a time. When there are many marks, every second one is dropped.
func (f *file) mark(end int64, at time.Time) {
	m := mark{end: end, hi: at}
	if n := len(f.marks); n > 0 {
		m.lo = f.marks[n-1].hi
		if m.hi.Before(m.lo) { // somebody set the clock back
			m.hi = m.lo
		}
	}
	f.marks = append(f.marks, m)
	if len(f.marks) < maxMarks {
		return
	}
	kept := f.marks[:0]
	for i := 1; i < len(f.marks); i += 2 {
		m := f.marks[i]
		m.lo = f.marks[i-1].lo
		kept = append(kept, m)
	}
	f.marks = kept
}

// findHead looks for holes that an earlier uws punched.
func (f *file) findHead() {
	at, err := unix.Seek(int(f.f.Fd()), 0, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO): // it has no data
		f.head = max(f.head, f.end)
	case err == nil:
		f.head = max(f.head, f.base+at)
	}
}

// readAt reads at an offset that is not before head; n is less than len(buf) only at the end of the file.
func (f *file) readAt(buf []byte, at int64) (n int, err error) {
	n, err = f.f.ReadAt(buf, at-f.base)
	if err != nil && !errors.Is(err, io.EOF) {
		return n, fmt.Errorf("reading the log: %w", err)
	}
	return n, nil
}

// drop frees what lies before an offset, if that is at least step bytes. It reports whether base changed.
func (f *file) drop(to, step int64, opt Options) (moved bool, err error) {
	to = min(to, f.end)
	to -= (to - f.base) % block
	if f.f == nil || to <= f.head || to-f.head < step {
		return false, nil
	}
	if f.noPunch {
		return f.rewrite(to)
	}
	// From the beginning: an engine that writes elsewhere than at the end must not fill a hole.
	err = opt.punch(int(f.f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, to-f.base)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		f.noPunch = true
		return f.rewrite(to)
	}
	if err != nil {
		return false, fmt.Errorf("bounding the log: %w", err)
	}
	f.head = to
	return f.collapse(opt), nil
}

// collapse removes the hole at the head of a large file, with no loss for an engine that writes to it. It reports whether base
// changed. It is a no-op on file systems that cannot do that.
func (f *file) collapse(opt Options) (moved bool) {
	size := f.end - f.base
	n := min(f.head-f.base, (size-1)/block*block) // not all of the file
	if size <= opt.maxSize || f.noCollapse || n <= 0 {
		return false
	}
	if err := opt.punch(int(f.f.Fd()), unix.FALLOC_FL_COLLAPSE_RANGE, 0, n); err != nil {
		f.noCollapse = true
		return false
	}
	f.base += n
	return true
}

// rewrite does what drop does on file systems that cannot punch holes: it truncates the file and appends what is to be kept,
// from the beginning of a line on. What an engine writes between the two steps is lost, or comes before older lines.
func (f *file) rewrite(to int64) (bool, error) {
	kept := make([]byte, f.end-to)
	n, err := f.readAt(kept, to)
	if err != nil {
		return false, err
	}
	kept = kept[:n]
	if i := bytes.IndexByte(kept, '\n'); i >= 0 {
		kept = kept[i+1:]
		to += int64(i) + 1
	}
	if err := f.f.Truncate(0); err != nil {
		return false, fmt.Errorf("bounding the log: %w", err)
	}
	f.base, f.head = to, to
	if _, err := f.f.Write(kept); err != nil {
		return true, fmt.Errorf("bounding the log: %w", err)
	}
	return true, f.refresh()
}
