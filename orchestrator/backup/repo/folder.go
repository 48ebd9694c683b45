package repo

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/blob/sharded"

	"github.com/unicorn-web-services/uws/internal/fsync"
)

// folder is a store in a folder, with the layout that the kopia program expects. Kopia's own store does not sync files, so
// that a power cut could leave empty ones behind; this one syncs each file before it gets its name, and then the folder.
type folder struct {
	root   string
	shards func() (*sharded.Parameters, error)
	made   bool // it holds a repository; without one, the disk that holds it is not mounted
}

const temporary = ".tmp." // in the names of files that are being written

func newFolder(root string) *folder {
	f := &folder{root: root}
	f.shards = sync.OnceValues(f.readShards)
	return f
}

func (f *folder) where() string { return "folder " + f.root }
func (f *folder) attach()       { f.made = true }
func (f *folder) close()        {}

// readShards returns how kopia's objects are spread over folders. It is kopia's default until something else is recorded.
func (f *folder) readShards() (*sharded.Parameters, error) {
	p := sharded.DefaultParameters([]int{1, 3})
	file, err := os.Open(filepath.Join(f.root, sharded.ParametersFile))
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	} else if err != nil {
		return nil, err
	}
	defer file.Close()
	if err := p.Load(io.LimitReader(file, 1<<20)); err != nil {
		return nil, fmt.Errorf("%s: %w", file.Name(), err)
	}
	return p, nil
}

// ours reports whether an object is one beside those of kopia, which have names of their own.
func ours(name string) bool { return name == markerName || strings.HasPrefix(name, objectPrefix) }

func (f *folder) path(name string) (string, error) {
	if ours(name) {
		return filepath.Join(f.root, filepath.FromSlash(name)), nil
	}
	p, err := f.shards()
	if err != nil {
		return "", err
	}
	dir, file := p.GetShardDirectoryAndBlob(f.root, blob.ID(name))
	return filepath.Join(dir, string(file)+sharded.CompleteBlobSuffix), nil
}

// run calls do, which system calls can hold up for as long as a file system does not answer, and returns without it at the
// end of ctx. What do uses must not be used again in that case.
func (f *folder) run(ctx context.Context, name string, do func(path string) error) error {
	done := make(chan error, 1)
	go func() {
		path, err := f.path(name)
		if err == nil {
			err = do(path)
		}
		done <- err
	}()
	select {
	case err := <-done:
		return f.explain(err)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (f *folder) get(ctx context.Context, name string, off, n int64, w io.Writer) error {
	if n == 0 {
		_, err := f.stat(ctx, name)
		return err
	}
	for n != 0 {
		size := int64(sectionSize)
		if n > 0 {
			size = min(size, n)
		}
		var section []byte
		err := f.run(ctx, name, func(path string) (err error) {
			section, err = readSection(path, off, size)
			return err
		})
		if err != nil {
			return err
		}
		if _, err := w.Write(section); err != nil {
			return err
		}
		if int64(len(section)) < size {
			break
		}
		off += size
		if n > 0 {
			n -= size
		}
	}
	return nil
}

// sectionSize is how many bytes are read at once, without a sign of progress.
const sectionSize = 1 << 20

func readSection(path string, off, n int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	section := make([]byte, n)
	read, err := file.ReadAt(section, off)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return section[:read], nil
}

func (f *folder) put(ctx context.Context, name string, data []byte, via func(io.Reader) io.Reader) error {
	return f.run(ctx, name, func(path string) error {
		if err := f.present(); err != nil {
			return err // a folder that was unmounted is not created again
		}
		if err := f.recordShards(ctx); err != nil {
			return err
		}
		if err := f.makeDirs(filepath.Dir(path)); err != nil {
			return err
		}
		return writeFile(ctx, path, via(newReader(data)))
	})
}

// recordShards writes down how objects are spread over folders: the kopia program has another default for what exists.
func (f *folder) recordShards(ctx context.Context) error {
	path := filepath.Join(f.root, sharded.ParametersFile)
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	p, err := f.shards()
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := p.Save(&text); err != nil {
		return err
	}
	return writeFile(ctx, path, &text)
}

// makeDirs makes dir durable, and those above it up to the root.
func (f *folder) makeDirs(dir string) error {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	if dir == f.root {
		return fs.ErrNotExist
	}
	if err := f.makeDirs(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return fsync.Path(filepath.Dir(dir))
}

// writeFile makes a file durable and whole, and not at all if ctx ends before it is written.
func writeFile(ctx context.Context, path string, r io.Reader) (err error) {
	var random [8]byte
	_, _ = rand.Read(random[:])
	temp := path + temporary + hex.EncodeToString(random[:])
	defer func() {
		if err != nil {
			err = errors.Join(err, removeFile(temp))
		}
	}()
	file, err := os.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{file}, struct{ io.Reader }{r}, make([]byte, copySize))
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx) // the caller has given up
	}
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	return fsync.Path(filepath.Dir(path))
}

func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (f *folder) stat(ctx context.Context, name string) (ObjectInfo, error) {
	var found ObjectInfo
	err := f.run(ctx, name, func(path string) error {
		info, err := os.Stat(path)
		if err == nil {
			found = ObjectInfo{Name: name, Size: info.Size(), At: info.ModTime()}
		}
		return err
	})
	if err != nil {
		return ObjectInfo{}, err
	}
	return found, nil
}

func (f *folder) remove(ctx context.Context, name string) error {
	return f.run(ctx, name, removeFile)
}

func (f *folder) list(ctx context.Context, prefix string, visit func(ObjectInfo) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	found, done := make(chan ObjectInfo), make(chan error, 1)
	go func() {
		done <- f.run(ctx, markerName, func(string) error {
			if err := f.present(); err != nil {
				return err
			}
			return f.walk(ctx, f.root, "", prefix, found)
		})
	}()
	for {
		select {
		case o := <-found:
			if err := visit(o); err != nil {
				return err
			}
		case err := <-done:
			return err
		}
	}
}

// walk sends the objects in dir whose names begin with prefix. The names of folders of kopia's, without slashes, are the
// beginnings of the names of the objects in them.
func (f *folder) walk(ctx context.Context, dir, begin, prefix string, found chan<- ObjectInfo) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := begin + e.Name()
		if e.IsDir() {
			if begin == "" && e.Name()+"/" == objectPrefix || strings.HasPrefix(begin, objectPrefix) {
				name += "/"
			}
			if !strings.HasPrefix(name, prefix) && !strings.HasPrefix(prefix, name) {
				continue
			}
			if err := f.walk(ctx, filepath.Join(dir, e.Name()), name, prefix, found); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			continue
		}
		name, complete := strings.CutSuffix(name, sharded.CompleteBlobSuffix)
		if ours(name) {
			name, complete = begin+e.Name(), !strings.Contains(e.Name(), temporary)
		}
		if !complete || !strings.HasPrefix(name, prefix) {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed meanwhile
		} else if err != nil {
			return err
		}
		select {
		case found <- ObjectInfo{Name: name, Size: info.Size(), At: info.ModTime()}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// sweep removes files that a process that died was writing before a time.
func (f *folder) sweep(ctx context.Context, before time.Time) error {
	return f.run(ctx, markerName, func(string) error {
		return filepath.WalkDir(f.root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || ctx.Err() != nil {
				return errors.Join(err, ctx.Err())
			}
			if d.IsDir() || !strings.Contains(d.Name(), temporary) {
				return nil
			}
			if info, err := d.Info(); err != nil || !info.ModTime().Before(before) {
				return nil // it has got its name meanwhile, or is being written
			}
			return removeFile(path)
		})
	})
}

func (f *folder) top(ctx context.Context) ([]string, error) {
	result := make(chan []string, 1)
	err := f.run(ctx, markerName, func(string) error {
		entries, err := os.ReadDir(f.root)
		var names []string
		for _, e := range entries {
			name := strings.TrimSuffix(e.Name(), sharded.CompleteBlobSuffix)
			if e.IsDir() {
				name = e.Name() + "/"
			}
			if name != sharded.ParametersFile && !strings.Contains(name, temporary) && name != "lost+found/" {
				names = append(names, name)
			}
		}
		result <- names
		return err
	})
	if err != nil {
		return nil, err
	}
	return <-result, nil
}
