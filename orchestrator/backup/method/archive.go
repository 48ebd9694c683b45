package method

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"strings"
)

// Archive reads a tar archive of a [Saver]. In contrast to a [tar.Reader] it finds archives that end early, between two
// entries too. Its errors are those of the reader below, as they are, and else of type [DamagedError].
type Archive struct {
	tar  *tar.Reader
	from *source
	name string // of the current entry
}

// source is what an archive is read from.
type source struct {
	io.Reader
	ended bool
	err   error
}

func (s *source) Read(b []byte) (int, error) {
	n, err := s.Reader.Read(b)
	switch {
	case errors.Is(err, io.EOF):
		s.ended = s.ended || n == 0
	case err != nil:
		s.err = err
	}
	return n, err
}

// seekable is a source in which entries can be skipped without reading them.
type seekable struct {
	*source
	io.Seeker
}

// ReadArchive returns an archive. If r is an [io.Seeker], entries that are not read are skipped by it.
func ReadArchive(r io.Reader) *Archive {
	from := &source{Reader: r}
	a := &Archive{tar: tar.NewReader(from), from: from}
	if s, ok := r.(io.Seeker); ok {
		a.tar = tar.NewReader(seekable{from, s})
	}
	return a
}

// Next goes on to the next entry: a file or a folder whose name is a clean local path, without a slash at its end. It
// returns [io.EOF] at the end of a whole archive.
func (a *Archive) Next() (*tar.Header, error) {
	header, err := a.tar.Next()
	switch {
	case a.from.err != nil:
		return nil, a.from.err
	case errors.Is(err, io.EOF) && a.from.ended:
		return nil, &DamagedError{What: "its archive ends early"}
	case errors.Is(err, io.EOF):
		return nil, io.EOF
	case err != nil:
		return nil, &DamagedError{What: "its archive cannot be read", Err: err}
	}
	clean := strings.TrimSuffix(header.Name, "/")
	if path.Clean(clean) != clean || !filepath.IsLocal(clean) || header.Typeflag != tar.TypeReg && header.Typeflag != tar.TypeDir {
		return nil, &DamagedError{What: fmt.Sprintf("its archive has an entry %.200q of type %q", header.Name, header.Typeflag)}
	}
	header.Name, a.name = clean, clean
	return header, nil
}

// Read reads the current entry.
func (a *Archive) Read(b []byte) (int, error) {
	n, err := a.tar.Read(b)
	if err == nil || errors.Is(err, io.EOF) {
		return n, err
	}
	if a.from.err != nil {
		return n, a.from.err
	}
	return n, &DamagedError{What: fmt.Sprintf("%.200q cannot be read", a.name), Err: err}
}

// Text reads the current entry, which must have at most limit bytes.
func (a *Archive) Text(header *tar.Header, limit int64) ([]byte, error) {
	if header.Size > limit {
		return nil, &DamagedError{What: fmt.Sprintf("%.200q has %d bytes, more than %d", header.Name, header.Size, limit)}
	}
	return io.ReadAll(a)
}

// WriteFile adds a file to an archive.
func WriteFile(w *tar.Writer, name string, text []byte) error {
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(text)), Typeflag: tar.TypeReg, Format: tar.FormatPAX}); err != nil {
		return err
	}
	_, err := w.Write(text)
	return err
}
