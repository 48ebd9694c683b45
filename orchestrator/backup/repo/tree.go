package repo

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"sort"
	"strings"

	kopia "github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/object"
	"github.com/kopia/kopia/snapshot"
	"github.com/kopia/kopia/snapshot/snapshotfs"
)

// dir is a folder of a snapshot that is being made.
type dir struct {
	entry snapshot.DirEntry
	dirs  map[string]*dir
	files []*snapshot.DirEntry
}

func newDir(name string) *dir {
	return &dir{entry: snapshot.DirEntry{Name: name, Type: snapshot.EntryTypeDirectory, Permissions: 0o755}}
}

// at returns the folder at a clean path below d, which it makes if there is none.
func (d *dir) at(dirPath string) *dir {
	if dirPath == "." || dirPath == "" {
		return d
	}
	for name := range strings.SplitSeq(dirPath, "/") {
		next := d.dirs[name]
		if next == nil {
			if d.dirs == nil {
				d.dirs = map[string]*dir{}
			}
			next = newDir(name)
			d.dirs[name] = next
		}
		d = next
	}
	return d
}

// write stores the folder and those below it, and forgets what is in them.
func (d *dir) write(ctx context.Context, w kopia.RepositoryWriter, at string) error {
	var b snapshotfs.DirManifestBuilder
	for name, child := range d.dirs {
		if err := child.write(ctx, w, path.Join(at, name)); err != nil {
			return err
		}
		b.AddEntry(&child.entry)
	}
	sort.Slice(d.files, func(i, j int) bool { return d.files[i].Name < d.files[j].Name })
	for i, f := range d.files {
		if d.dirs[f.Name] != nil || i > 0 && d.files[i-1].Name == f.Name {
			return fmt.Errorf("%s is twice in the archive", path.Join(at, f.Name))
		}
		b.AddEntry(f)
	}
	m := b.Build(d.entry.ModTime, "")
	id, err := writeDir(ctx, w, at, m)
	if err != nil {
		return err
	}
	d.entry.ObjectID, d.entry.DirSummary = id, m.Summary
	d.dirs, d.files = nil, nil
	return nil
}

// writeDir is snapshotfs.WriteDirManifest, but holds one entry as JSON in memory, and not all of them.
func writeDir(ctx context.Context, w kopia.RepositoryWriter, at string, m *snapshot.DirManifest) (object.ID, error) {
	ow := w.NewObjectWriter(ctx, object.WriterOptions{
		Description: "DIR:" + at, Prefix: dirPrefix, Compressor: metadataCompressor, MetadataCompressor: metadataCompressor,
	})
	defer ow.Close()
	bw := bufio.NewWriter(ow)
	_, _ = fmt.Fprintf(bw, `{"stream":%q,"entries":[`, m.StreamType)
	for i, e := range m.Entries {
		text, err := json.Marshal(e)
		if err != nil {
			return object.EmptyID, err
		}
		if i > 0 {
			_ = bw.WriteByte(',')
		}
		_, _ = bw.Write(text)
	}
	summary, err := json.Marshal(m.Summary)
	if err != nil {
		return object.EmptyID, err
	}
	_, _ = fmt.Fprintf(bw, "],\"summary\":%s}\n", summary)
	if err := bw.Flush(); err != nil {
		return object.EmptyID, err
	}
	return ow.Result()
}

const (
	dirPrefix  = "k" // of the ids of folders, as kopia wants it
	streamType = "kopia:directory"
)

// entries calls visit for each entry of a stored folder, folders first, in the order of their names.
func entries(ctx context.Context, r kopia.Repository, id object.ID, visit func(*snapshot.DirEntry) error) error {
	o, err := r.OpenObject(ctx, id)
	if err != nil {
		return err
	}
	defer o.Close()
	d := json.NewDecoder(bufio.NewReader(o))
	for _, want := range []json.Token{json.Delim('{'), "stream", streamType, "entries", json.Delim('[')} {
		if got, err := d.Token(); err != nil {
			return err
		} else if got == nil && want == json.Delim('[') {
			return nil // kopia writes null for no entries
		} else if got != want {
			return fmt.Errorf("folder %s is not stored as kopia stores one: %v instead of %v", id, got, want)
		}
	}
	for d.More() {
		var e snapshot.DirEntry
		if err := d.Decode(&e); err != nil {
			return err
		}
		if e.Name == "" || e.Name == "." || e.Name == ".." || strings.ContainsAny(e.Name, "/\x00") {
			return fmt.Errorf("folder %s has an entry with the name %q", id, e.Name)
		}
		if err := visit(&e); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}

var errFound = errors.New("found")

// lookup returns the entry at a path below root.
func lookup(ctx context.Context, r kopia.Repository, root *snapshot.DirEntry, at string) (*snapshot.DirEntry, error) {
	e := root
	clean := strings.Trim(path.Clean("/"+at), "/")
	if clean == "" {
		return e, nil
	}
	for name := range strings.SplitSeq(clean, "/") {
		if e.Type != snapshot.EntryTypeDirectory {
			return nil, fmt.Errorf("%s: %w", at, ErrNotFound)
		}
		var next *snapshot.DirEntry
		err := entries(ctx, r, e.ObjectID, func(c *snapshot.DirEntry) error {
			if c.Name != name {
				return nil
			}
			next = c
			return errFound
		})
		if err != nil && !errors.Is(err, errFound) {
			return nil, damage(ctx, "folder /"+clean, err)
		}
		if next == nil {
			return nil, fmt.Errorf("%s: %w", at, ErrNotFound)
		}
		e = next
	}
	return e, nil
}

// walk calls visit for e, whose path is at, and for everything below it; folders before what is in them.
func walk(ctx context.Context, r kopia.Repository, at string, e *snapshot.DirEntry, visit func(at string, e *snapshot.DirEntry) error) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if err := visit(at, e); err != nil {
		return err
	}
	if e.Type != snapshot.EntryTypeDirectory {
		return nil
	}
	err := entries(ctx, r, e.ObjectID, func(c *snapshot.DirEntry) error {
		if err := walk(ctx, r, path.Join(at, c.Name), c, visit); err != nil {
			return stop{err}
		}
		return nil
	})
	if s, ok := errors.AsType[stop](err); ok {
		return s.error
	}
	return damage(ctx, "folder /"+at, err)
}

// stop is an error of a visit, and not of what is stored.
type stop struct{ error }

func (s stop) Unwrap() error { return s.error }

// copyObject writes the data of an entry to w. Errors of w are [stop]s.
func copyObject(ctx context.Context, r kopia.Repository, e *snapshot.DirEntry, w io.Writer) error {
	o, err := r.OpenObject(ctx, e.ObjectID)
	if err != nil {
		return err
	}
	defer o.Close()
	if o.Length() != e.FileSize {
		return fmt.Errorf("%d bytes are stored of %d", o.Length(), e.FileSize)
	}
	_, err = io.CopyBuffer(stopWriter{w}, struct{ io.Reader }{o}, make([]byte, min(copySize, e.FileSize+1)))
	return err
}

type stopWriter struct{ w io.Writer }

func (s stopWriter) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	if err != nil {
		err = stop{err}
	}
	return n, err
}
