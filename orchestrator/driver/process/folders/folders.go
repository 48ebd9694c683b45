// Package folders makes, owns, replaces and identifies the folders and files of the process driver.
package folders

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/unicorn-web-services/uws/internal/fsync"
)

// TempPrefix begins the names of folders that are half made or half removed. No id begins with it.
const TempPrefix = ".tmp-"

// Passable returns the mode of folders that engines must pass through. As root, where engines run under other uids, it is
// 0711, so that no engine can list them.
func Passable() fs.FileMode {
	if os.Geteuid() == 0 {
		return 0o711
	}
	return 0o700
}

// Make makes a folder and those above it. It sets the mode of a folder that exists.
func Make(dir string, mode fs.FileMode) error {
	if err := os.MkdirAll(dir, mode); err != nil {
		return fmt.Errorf("making a folder: %w", err)
	}
	if err := os.Chmod(dir, mode); err != nil {
		return fmt.Errorf("setting a folder's mode: %w", err)
	}
	return nil
}

// Give makes uid the owner of a folder and its content. It is a no-op unless run as root.
func Give(dir string, uid uint32) error {
	if os.Geteuid() != 0 {
		return nil
	}
	root, err := os.OpenRoot(dir) // does not follow links out of dir
	if err != nil {
		return err
	}
	defer root.Close()
	return fs.WalkDir(root.FS(), ".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return root.Lchown(path, int(uid), int(uid))
	})
}

// Owner returns the uid of a file or folder.
func Owner(info fs.FileInfo) uint32 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Uid
	}
	return 0
}

// ReplaceFile replaces a file atomically: readers see the old content or the new one, also after a crash of uws. If
// durable, the same holds after a power cut.
func ReplaceFile(path string, data []byte, mode fs.FileMode, durable bool) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("writing %s: %w", filepath.Base(path), err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("writing %s: %w", filepath.Base(path), err), os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil && durable {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	if durable {
		return fsync.Path(filepath.Dir(path))
	}
	return nil
}

// Sweep removes the entries of a folder whose names begin with TempPrefix, which a crash left behind.
func Sweep(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("tidying up: %w", err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), TempPrefix) {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return fmt.Errorf("tidying up: %w", err)
			}
		}
	}
	return nil
}
