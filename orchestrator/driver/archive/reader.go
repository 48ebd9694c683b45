package archive

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"path"
	"path/filepath"
	"strings"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

const (
	// maxName is the longest name of an entry in bytes. The path of the volume in a container comes before it, and 4096 bytes are the
	// most that the kernel takes.
	maxName = 3 << 10
	// maxPart is the longest name of a file in its folder in bytes, on all common file systems.
	maxPart = 255
)

// Reader reads an archive that nobody vouches for. It refuses entries that lead out of the volume, and what an archive of
// [Writer] cannot be: entries that come twice, or before their folder or the file that they link to. It needs about 40 bytes of
// memory for each entry.
type Reader struct {
	tar  *tar.Reader
	from *source
	seen map[[16]byte]byte // the type of each entry, by a hash of its name
}

// source is what an archive is read from.
type source struct {
	io.Reader
	ended bool  // there was nothing more
	err   error // other than the end
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	switch {
	case errors.Is(err, io.EOF):
		s.ended = s.ended || n == 0
	case err != nil:
		s.err = err
	}
	return n, err
}

// NewReader returns a reader of an archive. Its methods fail once ctx has ended.
func NewReader(ctx context.Context, r io.Reader) *Reader {
	from := &source{Reader: reader{ctx, r}}
	return &Reader{tar: tar.NewReader(from), from: from, seen: map[[16]byte]byte{}}
}

// Next returns the next entry, with a clean name and as [Entry] returns it. The owner can enter and change every folder. The root of
// the volume and what [driver.Ignored] names are left out.
// Errors: [io.EOF] at the end; [driver.Invalid] if the archive is refused; those of the reader.
func (r *Reader) Next() (*tar.Header, error) {
	for {
		h, err := r.tar.Next()
		switch {
		case errors.Is(err, io.EOF) && !r.from.ended:
			return nil, io.EOF
		case errors.Is(err, io.EOF):
			return nil, r.failed(io.ErrUnexpectedEOF)
		case err != nil:
			return nil, r.failed(err)
		case h.Typeflag == tar.TypeXGlobalHeader:
			continue
		}
		if !filepath.IsLocal(h.Name) {
			return nil, refused(h, "its name leads out of the volume")
		}
		name := path.Clean(h.Name)
		if first, _, _ := strings.Cut(name, "/"); name == "." && h.Typeflag == tar.TypeDir || driver.Ignored(first) {
			continue
		}
		e := Entry(h, name)
		if e == nil {
			return nil, refused(h, "it is a device, a pipe or of another kind that no volume has")
		}
		if err := r.check(e, name); err != nil {
			return nil, err
		}
		if e.Typeflag == tar.TypeDir {
			e.Mode |= 0o700 // a user other than root can remove it too
		}
		return e, nil
	}
}

// check refuses an entry that does not fit those before it.
func (r *Reader) check(e *tar.Header, name string) error {
	if name == "." {
		return refused(e, "it replaces the root of the volume")
	}
	if tooLong(name) || tooLong(e.Linkname) {
		return refused(e, "a name is longer than a file system takes")
	}
	if r.typeOf(name) != 0 {
		return refused(e, "it is there twice")
	}
	if folder := path.Dir(name); folder != "." && r.typeOf(folder) != tar.TypeDir {
		return refused(e, "its folder does not come before it")
	}
	kind := e.Typeflag
	switch kind {
	case tar.TypeLink:
		e.Linkname = path.Clean(e.Linkname)
		if r.typeOf(e.Linkname) != tar.TypeReg {
			return refused(e, "the file "+shown(e.Linkname)+", to which it links, does not come before it")
		}
		kind = tar.TypeReg
	case tar.TypeSymlink:
		if e.Linkname == "" {
			return refused(e, "it links to nothing")
		}
	}
	r.seen[key(name)] = kind
	return nil
}

func tooLong(name string) bool {
	if len(name) > maxName {
		return true
	}
	for part := range strings.SplitSeq(name, "/") {
		if len(part) > maxPart {
			return true
		}
	}
	return false
}

func (r *Reader) typeOf(name string) byte { return r.seen[key(name)] }

func key(name string) [16]byte {
	sum := sha256.Sum256([]byte(name))
	return [16]byte(sum[:])
}

// Read reads the content of the entry.
func (r *Reader) Read(p []byte) (int, error) {
	n, err := r.tar.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = r.failed(err)
	}
	return n, err
}

// failed returns the error of what is read, if that failed, and otherwise says that it is no archive.
func (r *Reader) failed(err error) error {
	switch {
	case r.from.err != nil:
		return r.from.err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return driver.Errorf(driver.Invalid, "the archive is incomplete: it ends before its end was written")
	}
	return driver.Errorf(driver.Invalid, "the archive cannot be read: %w", err)
}

func refused(h *tar.Header, why string) error {
	return driver.Errorf(driver.Invalid, "the archive is refused because of its entry %s: %s", shown(h.Name), why)
}
