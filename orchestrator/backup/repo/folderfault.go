package repo

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"github.com/kopia/kopia/repo/format"
)

// explain returns an error of the file system as one that says what would be right.
func (f *folder) explain(err error) error {
	problem := func(p Problem, format string, args ...any) error {
		return &LocationError{Problem: p, Text: fmt.Sprintf(format, args...), Err: err}
	}
	switch {
	case err == nil || isNotFound(err) || isLocationError(err):
		return err
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return problem(Full, "the disk of folder %s is full: make room on it, delete backups, or choose another target", f.root)
	case errors.Is(err, syscall.EROFS):
		return problem(ReadOnly, "folder %s is on a file system that is mounted read-only: mount it writable", f.root)
	case errors.Is(err, fs.ErrPermission):
		return problem(Denied, "folder %s: %v: let user %d read and write it", f.root, err, os.Geteuid())
	case errors.Is(err, errUnmounted):
		return problem(Missing, "%v", err)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		if info, statErr := os.Stat(f.root); statErr != nil || !info.IsDir() {
			return problem(Missing, "folder %s does not exist: create it, or mount the disk that holds it", f.root)
		}
		if absent := f.present(); absent != nil {
			return f.explain(absent)
		}
		return ErrNotFound
	}
	return problem(Refused, "folder %s: %v", f.root, err)
}

var errUnmounted = errors.New("it holds no repository any more")

// present returns an error if the folder held a repository and holds none now: what is written there is lost when the disk that
// holds it is mounted again.
func (f *folder) present() error {
	if !f.made {
		_, err := os.Stat(f.root)
		return err
	}
	path, err := f.path(format.KopiaRepositoryBlobID)
	if err != nil {
		return err
	}
	if _, err = os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("folder %s: %w: mount the disk that holds it", f.root, errUnmounted)
	}
	return err
}
