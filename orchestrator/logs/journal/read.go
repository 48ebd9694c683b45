package journal

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
)

// Before returns the newest records before an offset that match, oldest first: at most n, and with texts of at most size bytes
// together, but at least one. A nil match selects all. more reports whether there are older ones. It reads the journal from its
// end until match says not to go on, and returns soon after ctx ends.
func (j *Journal) Before(ctx context.Context, offset int64, n, size int, match func(*Record) (matches, goOn bool)) (records []Record, more bool, err error) {
	all := j.between(0, offset)
	for i := len(all) - 1; i >= 0; i-- {
		s := all[i]
		f, err := os.Open(s.path)
		if errors.Is(err, fs.ErrNotExist) { // deleted meanwhile, or by somebody else
			continue
		}
		if err != nil {
			return nil, false, err
		}
		stop := false
		err = linesBackward(f, 0, min(s.end, offset)-s.start, func(start int64, line []byte, _ bool) bool {
			r, ok := parseRecord(line)
			if !ok {
				return ctx.Err() == nil
			}
			r.Offset, r.End = s.start+start, s.start+start+int64(len(line))+1
			matches, goOn := true, true
			if match != nil {
				matches, goOn = match(&r)
			}
			if matches && goOn {
				if size -= len(r.Text); len(records) > 0 && (len(records) == n || size < 0) {
					more, stop = true, true
					return false
				}
				records = append(records, r)
			}
			stop = !goOn
			return goOn && ctx.Err() == nil
		})
		if err = errors.Join(err, f.Close(), ctx.Err()); err != nil {
			return nil, false, err
		}
		if stop {
			break
		}
	}
	for i, k := 0, len(records)-1; i < k; i, k = i+1, k-1 {
		records[i], records[k] = records[k], records[i]
	}
	return records, more, nil
}

// lineCost is what a line counts in the size of a batch beside its text, so that short lines do not make a long batch.
const lineCost = 16

// After returns records from an offset on, in order, until they exceed a number of bytes, where each counts as its text and
// [lineCost], and the offset to go on at. It begins at the oldest record that there is.
func (j *Journal) After(offset int64, size int) (records []Record, next int64, err error) {
	start, end, _ := j.Bounds()
	next = max(offset, start)
	stopped := false
	err = j.forward(next, end, func(lineStart int64, line []byte) bool {
		if r, ok := parseRecord(line); ok {
			if stopped = size <= 0; stopped {
				return false
			}
			size -= len(r.Text) + lineCost
			r.Offset, r.End = lineStart, lineStart+int64(len(line))+1
			records = append(records, r)
		}
		next = lineStart + int64(len(line)) + 1
		return true
	})
	if err == nil && !stopped {
		next = max(next, end) // files may have been deleted by somebody else
	}
	return records, next, err
}

// Count returns the number of records between two offsets.
func (j *Journal) Count(from, to int64) (n int, err error) {
	err = j.forward(from, to, func(_ int64, line []byte) bool {
		if isRecord(line) {
			n++
		}
		return true
	})
	return n, err
}

// Boundary returns the offset of the first line that begins at an offset or after it.
func (j *Journal) Boundary(offset int64) int64 {
	in := j.between(offset, offset+1)
	if len(in) == 0 || in[0].start == offset {
		return offset
	}
	s := in[0]
	f, err := os.Open(s.path)
	if err != nil {
		return s.end
	}
	defer f.Close()
	r := bufio.NewReaderSize(io.NewSectionReader(f, offset-1-s.start, s.end-offset+1), block)
	skipped, err := r.ReadBytes('\n')
	if err != nil {
		return s.end
	}
	return offset - 1 + int64(len(skipped))
}

// forward calls yield with the lines between two offsets until it returns false. Offsets in the middle of a line begin with the
// next one.
func (j *Journal) forward(from, to int64, yield func(start int64, line []byte) bool) error {
	from = j.Boundary(from)
	for _, s := range j.between(from, to) {
		f, err := os.Open(s.path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		pos := max(from, s.start)
		more, err := linesForward(io.NewSectionReader(f, pos-s.start, min(s.end, to)-pos), pos, yield)
		if err = errors.Join(err, f.Close()); err != nil || !more {
			return err
		}
	}
	return nil
}

func linesForward(r io.Reader, pos int64, yield func(start int64, line []byte) bool) (more bool, err error) {
	lines := bufio.NewReaderSize(r, block)
	var long []byte // of a line that is longer than the buffer
	for {
		part, err := lines.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			long = append(long, part...)
			continue
		}
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		line := part
		if len(long) > 0 {
			long = append(long, part...)
			line = long
		}
		if !yield(pos, bytes.TrimSuffix(line, []byte{'\n'})) {
			return false, nil
		}
		pos += int64(len(line))
		long = long[:0]
	}
}
