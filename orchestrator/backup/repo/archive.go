package repo

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	kopiafs "github.com/kopia/kopia/fs"
	kopia "github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/object"
	"github.com/kopia/kopia/snapshot"
)

// cleanPath returns a relative path without . and empty elements; "." is the top. It refuses one that leads out.
func cleanPath(p string) (string, error) {
	for name := range strings.SplitSeq(p, "/") {
		if name == ".." {
			return "", fmt.Errorf("%q leads out of the archive", p)
		}
	}
	if strings.ContainsRune(p, 0) {
		return "", fmt.Errorf("%q has a zero byte", p)
	}
	return path.Clean("./" + strings.TrimLeft(p, "/")), nil
}

// link is a hard link in an archive.
type link struct {
	dir    *dir
	entry  *snapshot.DirEntry
	target string // below the top of the snapshot
}

// readArchive reads a tar stream to its end.
func (s *session) readArchive(ctx context.Context, at string, r io.Reader) error {
	z := &zeros{r: r}
	t := tar.NewReader(z)
	for {
		h, err := t.Next()
		if err == io.EOF {
			break
		} else if err != nil {
			return err
		}
		if err := s.readEntry(ctx, at, h, t); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
	// What follows the end of the archive, and the error of who writes it.
	if _, err := io.Copy(io.Discard, z); err != nil {
		return err
	}
	if z.last < endOfArchive {
		return fmt.Errorf("the archive is cut short: %w", io.ErrUnexpectedEOF)
	}
	return nil
}

const endOfArchive = 1024 // zero bytes, at least; archive/tar takes the end of the stream for it too

// zeros counts the zero bytes at the end of what was read.
type zeros struct {
	r    io.Reader
	last int
}

func (z *zeros) Read(p []byte) (int, error) {
	n, err := z.r.Read(p)
	if rest := bytes.TrimRight(p[:n], "\x00"); len(rest) > 0 {
		z.last = n - len(rest)
	} else {
		z.last += n
	}
	return n, err
}

func (s *session) readEntry(ctx context.Context, at string, h *tar.Header, data io.Reader) error {
	name, err := cleanPath(h.Name)
	if err != nil {
		return err
	}
	full := path.Join(at, name)
	if full == extrasName {
		return errors.New("this name is reserved")
	}
	entry := &snapshot.DirEntry{
		Name:        path.Base(full),
		Permissions: snapshot.Permissions(h.FileInfo().Mode() & kopiafs.ModBits),
		ModTime:     kopiafs.UTCTimestampFromTime(h.ModTime),
		UserID:      uint32(h.Uid), //nolint:gosec // kopia has 32 bits for it, as Linux does
		GroupID:     uint32(h.Gid), //nolint:gosec // see above
	}
	if err := s.extras.add(full, h); err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeDir:
		d := s.root.at(full)
		entry.Name, entry.Type = d.entry.Name, snapshot.EntryTypeDirectory
		d.entry = *entry
		return nil
	case tar.TypeReg, tar.TypeSymlink, tar.TypeLink:
	case tar.TypeFifo, tar.TypeChar, tar.TypeBlock:
		return nil // all of it is in the extras
	default:
		return fmt.Errorf("entries of type %q cannot be saved", h.Typeflag)
	}
	if full == "." {
		return errors.New("the top of an archive must be a folder")
	}
	d := s.root.at(path.Dir(full))
	d.files = append(d.files, entry)
	entry.Type = snapshot.EntryTypeFile
	switch h.Typeflag {
	case tar.TypeSymlink:
		entry.Type, entry.FileSize = snapshot.EntryTypeSymlink, int64(len(h.Linkname))
		entry.ObjectID, err = s.small(ctx, []byte(h.Linkname))
		return err
	case tar.TypeLink:
		target, err := cleanPath(h.Linkname)
		s.links = append(s.links, link{d, entry, path.Join(at, target)})
		return err
	}
	entry.FileSize = h.Size
	return s.file(ctx, entry, data)
}

// resolveLinks makes hard links copies of what they are links to.
func (s *session) resolveLinks() error {
	byName := map[*dir]map[string]*snapshot.DirEntry{}
	for _, l := range s.links {
		d := s.root.at(path.Dir(l.target))
		names := byName[d]
		if names == nil {
			names = make(map[string]*snapshot.DirEntry, len(d.files))
			for _, f := range d.files {
				names[f.Name] = f
			}
			byName[d] = names
		}
		to := names[path.Base(l.target)]
		if to == nil || to.ObjectID == object.EmptyID {
			return fmt.Errorf("%s is a hard link to %s, which is not in the archive before it", l.entry.Name, l.target)
		}
		l.entry.Type, l.entry.ObjectID, l.entry.FileSize = to.Type, to.ObjectID, to.FileSize
		s.stats.TotalFileCount++
		s.stats.TotalFileSize += to.FileSize
	}
	return nil
}

const (
	extrasName  = ".uws-attributes" // at the top of a snapshot
	xattrPrefix = "SCHILY.xattr."   // of PAX records
)

// extra is what kopia has no place for: extended attributes, and files that are not regular.
type extra struct {
	Path  string            `json:"path"`
	Attrs map[string][]byte `json:"xattrs,omitempty"`
	Type  byte              `json:"type,omitempty"` // of a tar entry that kopia has no type for; then also:
	Mode  int64             `json:"mode,omitempty"`
	UID   int               `json:"uid,omitempty"`
	GID   int               `json:"gid,omitempty"`
	Major int64             `json:"major,omitempty"`
	Minor int64             `json:"minor,omitempty"`
	At    time.Time         `json:"at,omitzero"`
}

// extras writes a file with one JSON object a line.
type extras struct {
	ctx  context.Context // of the save
	w    kopia.RepositoryWriter
	out  object.Writer // nil if there are none yet
	enc  *json.Encoder
	size int64
}

func newExtras(ctx context.Context, w kopia.RepositoryWriter) *extras { return &extras{ctx: ctx, w: w} }

func (x *extras) Write(p []byte) (int, error) {
	x.size += int64(len(p))
	return x.out.Write(p)
}

func (x *extras) add(at string, h *tar.Header) error {
	e := extra{Path: at}
	for k, v := range h.PAXRecords {
		if name, ok := strings.CutPrefix(k, xattrPrefix); ok {
			if e.Attrs == nil {
				e.Attrs = map[string][]byte{}
			}
			e.Attrs[name] = []byte(v)
		}
	}
	switch h.Typeflag {
	case tar.TypeFifo, tar.TypeChar, tar.TypeBlock:
		e.Type, e.Mode, e.UID, e.GID, e.Major, e.Minor, e.At = h.Typeflag, h.Mode, h.Uid, h.Gid, h.Devmajor, h.Devminor, h.ModTime
	default:
		if e.Attrs == nil {
			return nil
		}
	}
	if x.out == nil {
		x.out = x.w.NewObjectWriter(x.ctx, object.WriterOptions{Compressor: metadataCompressor, MetadataCompressor: metadataCompressor})
		x.enc = json.NewEncoder(x)
	}
	return x.enc.Encode(e)
}

// finish returns the entry of the file, or nil if there is nothing in it.
func (x *extras) finish() (*snapshot.DirEntry, error) {
	if x.out == nil {
		return nil, nil
	}
	id, err := x.out.Result()
	return &snapshot.DirEntry{Name: extrasName, Type: snapshot.EntryTypeFile, Permissions: 0o600, FileSize: x.size, ObjectID: id}, err
}

func (x *extras) close() {
	if x.out != nil {
		_ = x.out.Close()
	}
}
