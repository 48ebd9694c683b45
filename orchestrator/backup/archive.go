package backup

import (
	"archive/tar"
	"cmp"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// piped connects a writer of an archive with its reader, through change if that is not nil. The first error is returned.
func piped(write func(io.Writer) error, change func(io.Reader, io.Writer) error, read func(io.Reader) error) error {
	if change != nil {
		return piped(write, nil, func(r io.Reader) error {
			return piped(func(w io.Writer) error { return change(r, w) }, nil, read)
		})
	}
	r, w := io.Pipe()
	written := make(chan error, 1)
	go func() {
		err := write(w)
		w.CloseWithError(err)
		written <- err
	}()
	err := read(r)
	if err == nil {
		_, err = io.Copy(io.Discard, r) // the writer ends by itself
	}
	r.CloseWithError(cmp.Or(err, io.ErrClosedPipe))
	if wrote := <-written; wrote != nil && !errors.Is(wrote, err) && !errors.Is(wrote, io.ErrClosedPipe) {
		return wrote
	}
	return err
}

// reroot moves the entries below one folder of an archive below another one. Entries beside it are left out.
func reroot(r io.Reader, w io.Writer, from, to string) error {
	in, out := tar.NewReader(r), tar.NewWriter(w)
	made := false
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return out.Close()
		}
		if err != nil {
			return fmt.Errorf("reading the archive: %w", err)
		}
		name, ok := below(h.Name, from)
		if !ok || name == "" { // the folder itself is made here, or by the driver
			continue
		}
		if !made && to != "" {
			made = true
			for dir := range parents(to) {
				if err := out.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o700, ModTime: h.ModTime}); err != nil {
					return err
				}
			}
		}
		h.Name = path.Join(to, name)
		if h.Typeflag == tar.TypeLink {
			if link, ok := below(h.Linkname, from); ok {
				h.Linkname = path.Join(to, link)
			}
		}
		if err := out.WriteHeader(h); err != nil {
			return err
		}
		if _, err := io.CopyN(out, in, h.Size); err != nil {
			return fmt.Errorf("copying %s: %w", h.Name, err)
		}
	}
}

// below returns the name of an entry relative to a folder, and false if it is not in it.
func below(name, dir string) (string, bool) {
	name = strings.Trim(path.Clean("/"+name), "/")
	if dir == "" {
		return name, true
	}
	if name == dir {
		return "", true
	}
	return strings.CutPrefix(name, dir+"/")
}

// parents yields the folders above a path, and the path itself.
func parents(dir string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for i, c := range dir + "/" {
			if c == '/' && !yield(dir[:i]) {
				return
			}
		}
	}
}
