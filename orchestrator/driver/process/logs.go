package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// openLog opens a service's log for appending.
func (d *Driver) openLog(s *service) (*os.File, error) {
	if err := d.rotate(s); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(d.logFile(s.id), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the log: %w", err)
	}
	return f, nil
}

// rotate rotates a service's log if it has become too large.
func (d *Driver) rotate(s *service) error {
	s.log.Lock()
	defer s.log.Unlock()
	return rotate(d.logFile(s.id), d.opt.LogBytes)
}

// rotate copies a log that has reached limit bytes to path.1 and truncates it, because the engine keeps the file open. Lines
// that are written between the two steps are lost.
func rotate(path string, limit int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("rotating the log: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() < limit {
		return err
	}
	old, err := os.OpenFile(path+".tmp", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("rotating the log: %w", err)
	}
	_, err = io.Copy(old, f)
	if err = errors.Join(err, old.Close()); err == nil {
		err = os.Rename(old.Name(), path+".1")
	}
	if err == nil {
		err = f.Truncate(0)
	}
	if err != nil {
		return fmt.Errorf("rotating the log: %w", err)
	}
	return nil
}

// logReader reads the content that the files had when they were opened.
type logReader struct {
	io.Reader
	files []*os.File
}

func (r *logReader) Close() error {
	var errs []error
	for _, f := range r.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// Logs implements [driver.LogReader]. Standard output and standard error are in one stream.
func (d *Driver) Logs(_ context.Context, id string, tail int) (io.ReadCloser, error) {
	if err := driver.CheckID("service", id); err != nil {
		return nil, err
	}
	if _, err := os.Stat(d.serviceDir(id)); errors.Is(err, fs.ErrNotExist) {
		return nil, driver.Errorf(driver.NotCreated, "service %s is not created on this node", id)
	}
	r := &logReader{}
	var parts []io.Reader // newest first
	path := d.logFile(id)
	for _, name := range []string{path, path + ".1"} {
		if tail == 0 {
			break
		}
		f, err := os.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("opening the log: %w", err), r.Close())
		}
		r.files = append(r.files, f)
		from, size, lines, err := tailOf(f, tail)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("reading the log: %w", err), r.Close())
		}
		parts = append(parts, io.NewSectionReader(f, from, size-from))
		if tail > 0 {
			tail -= lines
		}
	}
	for i, j := 0, len(parts)-1; i < j; i, j = i+1, j-1 {
		parts[i], parts[j] = parts[j], parts[i]
	}
	r.Reader = io.MultiReader(parts...)
	return r, nil
}

// tailOf returns the offset of the newest tail lines of a file (0 if tail < 0), its size, and the number of lines from the
// offset on. It reads the file from its end.
func tailOf(f *os.File, tail int) (from, size int64, lines int, err error) {
	info, err := f.Stat()
	if err != nil {
		return 0, 0, 0, err
	}
	size = info.Size()
	if tail < 0 || size == 0 {
		return 0, size, 0, nil
	}
	buf := make([]byte, 32<<10)
	end := size
	for end > 0 {
		n := min(end, int64(len(buf)))
		chunk := buf[:n]
		if _, err := f.ReadAt(chunk, end-n); err != nil && !errors.Is(err, io.EOF) {
			return 0, 0, 0, err
		}
		for {
			i := bytes.LastIndexByte(chunk, '\n')
			if i < 0 {
				break
			}
			if at := end - n + int64(i) + 1; at < size { // not the end of the last line
				if lines++; lines == tail {
					return at, size, lines, nil
				}
			}
			chunk = chunk[:i]
		}
		end -= n
	}
	return 0, size, lines + 1, nil
}
