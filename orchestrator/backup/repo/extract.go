package repo

import (
	"archive/tar"
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"

	kopiafs "github.com/kopia/kopia/fs"
	kopia "github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/snapshot"
)

// Extract writes a tar stream of everything below the folder dir of a snapshot. It reads all of it from the storage, and
// fails if anything is not what was saved; what was written until then must not be used. Progress is called with the number of
// bytes of files written so far; it can be nil. Errors: [ErrNotFound], *[DamageError], *[LocationError], those of w.
func (r *Repository) Extract(ctx context.Context, id, dir string, w io.Writer, progress func(bytes int64)) (err error) {
	k, err := r.fresh(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, k.Close(context.WithoutCancel(ctx))) }()
	m, err := loadManifest(ctx, k, id)
	if err != nil {
		return err
	}
	top, err := lookup(ctx, k, m.RootEntry, dir)
	if err != nil {
		return err
	}
	if top.Type != snapshot.EntryTypeDirectory {
		return fmt.Errorf("%s is not a folder: %w", dir, ErrNotFound)
	}
	x := &extraction{k: k, t: tar.NewWriter(w), progress: progress}
	if x.progress == nil {
		x.progress = func(int64) {}
	}
	if err := x.run(ctx, m.RootEntry, top, strings.Trim(path.Clean("/"+dir), "/")); err != nil {
		return err
	}
	return x.t.Close()
}

type extraction struct {
	k        kopia.Repository
	t        *tar.Writer
	extras   map[string]extra // by path in the snapshot
	written  int64
	progress func(int64)
}

func (x *extraction) run(ctx context.Context, root, top *snapshot.DirEntry, dir string) error {
	var err error
	if x.extras, err = readExtras(ctx, x.k, root, dir); err != nil {
		return err
	}
	err = walk(ctx, x.k, dir, top, func(at string, e *snapshot.DirEntry) error {
		if at == extrasName {
			return nil
		}
		return x.entry(ctx, at, relative(dir, at), e)
	})
	if err != nil {
		return err
	}
	for at, e := range x.extras { // what is left of them are files that are not regular
		if e.Type == 0 {
			continue
		}
		h := &tar.Header{Typeflag: e.Type, Name: relative(dir, at), Mode: e.Mode, Uid: e.UID, Gid: e.GID, Devmajor: e.Major, Devminor: e.Minor, ModTime: e.At}
		if err := x.header(h, e.Attrs); err != nil {
			return err
		}
	}
	return nil
}

// relative returns the path of what is at a path, as seen from dir: "." for itself.
func relative(dir, at string) string {
	if at == dir {
		return "."
	}
	return strings.TrimPrefix(strings.TrimPrefix(at, dir), "/")
}

func (x *extraction) header(h *tar.Header, attrs map[string][]byte) error {
	h.Format = tar.FormatPAX
	for name, v := range attrs {
		if h.PAXRecords == nil {
			h.PAXRecords = map[string]string{}
		}
		h.PAXRecords[xattrPrefix+name] = string(v)
	}
	return x.t.WriteHeader(h)
}

func (x *extraction) entry(ctx context.Context, at, name string, e *snapshot.DirEntry) error {
	h := &tar.Header{
		Name: name, Mode: tarMode(e.Permissions), ModTime: e.ModTime.ToTime(), Uid: int(e.UserID), Gid: int(e.GroupID),
	}
	attrs := x.extras[at].Attrs
	switch e.Type {
	case snapshot.EntryTypeDirectory:
		h.Typeflag, h.Name = tar.TypeDir, name+"/"
		return x.header(h, attrs)
	case snapshot.EntryTypeSymlink:
		var target strings.Builder
		if err := copyObject(ctx, x.k, e, &target); err != nil {
			return damage(ctx, "/"+at, err)
		}
		h.Typeflag, h.Linkname = tar.TypeSymlink, target.String()
		return x.header(h, attrs)
	case snapshot.EntryTypeFile:
		h.Typeflag, h.Size = tar.TypeReg, e.FileSize
		if err := x.header(h, attrs); err != nil {
			return err
		}
		return x.data(ctx, at, e)
	}
	return &DamageError{Path: "/" + at, Err: fmt.Errorf("it is of the unknown type %q", e.Type)}
}

func (x *extraction) data(ctx context.Context, at string, e *snapshot.DirEntry) error {
	err := copyObject(ctx, x.k, e, writerFunc(func(p []byte) (int, error) {
		n, err := x.t.Write(p)
		x.written += int64(n)
		x.progress(x.written)
		return n, err
	}))
	if s, ok := errors.AsType[stop](err); ok {
		return s.error
	}
	return damage(ctx, "/"+at, err)
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// tarMode returns the bits of a tar header for kopia's, which are those of Go.
func tarMode(p snapshot.Permissions) int64 {
	m := fs.FileMode(p) & kopiafs.ModBits //nolint:gosec // a few bits
	bits := int64(m.Perm())
	for _, b := range []struct {
		mode fs.FileMode
		bit  int64
	}{{fs.ModeSetuid, 0o4000}, {fs.ModeSetgid, 0o2000}, {fs.ModeSticky, 0o1000}} {
		if m&b.mode != 0 {
			bits |= b.bit
		}
	}
	return bits
}

// readExtras returns what kopia has no place for, of what is below dir.
func readExtras(ctx context.Context, k kopia.Repository, root *snapshot.DirEntry, dir string) (map[string]extra, error) {
	e, err := lookup(ctx, k, root, extrasName)
	if isNotFound(err) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	o, err := k.OpenObject(ctx, e.ObjectID)
	if err != nil {
		return nil, damage(ctx, "/"+extrasName, err)
	}
	defer o.Close()
	all := map[string]extra{}
	for d := json.NewDecoder(bufio.NewReaderSize(o, copySize)); ; {
		var x extra
		if err := d.Decode(&x); err == io.EOF {
			return all, nil
		} else if err != nil {
			return nil, damage(ctx, "/"+extrasName, err)
		}
		if dir == "" && x.Path == "." {
			x.Path = ""
		}
		if dir == "" || x.Path == dir || strings.HasPrefix(x.Path, dir+"/") {
			all[x.Path] = x
		}
	}
}

// Entry is a file or a folder in a snapshot.
type Entry struct {
	Name string
	Mode fs.FileMode // with its type
	Size int64       // of a folder: of all files in it
	At   time.Time
}

// List returns what is in a folder of a snapshot, folders first, by name. Errors: [ErrNotFound], *[DamageError].
func (r *Repository) List(ctx context.Context, id, dir string) ([]Entry, error) {
	m, err := loadManifest(ctx, r.direct, id)
	if err != nil {
		return nil, err
	}
	e, err := lookup(ctx, r.direct, m.RootEntry, dir)
	if err != nil {
		return nil, err
	}
	if e.Type != snapshot.EntryTypeDirectory {
		return nil, fmt.Errorf("%s is not a folder: %w", dir, ErrNotFound)
	}
	var all []Entry
	err = entries(ctx, r.direct, e.ObjectID, func(c *snapshot.DirEntry) error {
		one := Entry{Name: c.Name, Mode: fs.FileMode(c.Permissions) & kopiafs.ModBits, Size: c.FileSize, At: c.ModTime.ToTime()} //nolint:gosec // a few bits
		switch c.Type {
		case snapshot.EntryTypeDirectory:
			one.Mode |= fs.ModeDir
			if c.DirSummary != nil {
				one.Size = c.DirSummary.TotalFileSize
			}
		case snapshot.EntryTypeSymlink:
			one.Mode |= fs.ModeSymlink
		}
		if c.Name != extrasName || e != m.RootEntry {
			all = append(all, one)
		}
		return nil
	})
	return all, damage(ctx, "folder "+dir, err)
}

// OpenFile opens a file of a snapshot for reading, which goes on as long as ctx does. It returns its size too.
// Errors: [ErrNotFound], *[DamageError].
func (r *Repository) OpenFile(ctx context.Context, id, file string) (io.ReadSeekCloser, int64, error) {
	m, err := loadManifest(ctx, r.direct, id)
	if err != nil {
		return nil, 0, err
	}
	e, err := lookup(ctx, r.direct, m.RootEntry, file)
	if err != nil {
		return nil, 0, err
	}
	if e.Type != snapshot.EntryTypeFile {
		return nil, 0, fmt.Errorf("%s is not a regular file: %w", file, ErrNotFound)
	}
	o, err := r.direct.OpenObject(ctx, e.ObjectID)
	if err != nil {
		return nil, 0, damage(ctx, "/"+file, err)
	}
	return o, e.FileSize, nil
}
