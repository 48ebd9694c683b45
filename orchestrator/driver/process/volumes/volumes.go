// Package volumes provides the folders with the data of services, each with an owner and a mark.
package volumes

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unicorn-web-services/uws/internal/fsync"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/machine"
	"github.com/unicorn-web-services/uws/orchestrator/driver/process/folders"
)

// Store is a folder of volumes. Its methods are safe for concurrent use.
type Store struct {
	dir     string
	uidBase uint32     // first uid of the block of this installation
	mu      sync.Mutex // held while volumes appear and disappear
}

// New returns the volumes in a folder. As root, they have uids of the block that begins at uidBase.
func New(dir string, uidBase uint32) *Store { return &Store{dir: dir, uidBase: uidBase} }

// Folder returns the folder of a volume, which need not exist.
func (s *Store) Folder(volume string) string { return filepath.Join(s.dir, volume) }

// info describes the folder of a volume.
// Errors: [driver.DataMissing] if there is none.
func (s *Store) info(volume string) (fs.FileInfo, error) {
	info, err := os.Lstat(s.Folder(volume))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, driver.Errorf(driver.DataMissing, "the data %s is missing: there is no folder %s", volume, s.Folder(volume))
	case err != nil:
		return nil, fmt.Errorf("looking at the data %s: %w", volume, err)
	case !info.IsDir():
		return nil, driver.Errorf(driver.DataMissing, "the data %s is missing: %s is not a folder", volume, s.Folder(volume))
	}
	return info, nil
}

// Create makes a volume with the folders inside it, which fill then fills. The volume appears at once, when fill has
// returned, or not at all. fill is called with its temporary path and the uid that owns it.
func (s *Store) Create(volume string, inside []string, fill func(dir string, owner uint32) error) error {
	tmp, uid, err := s.reserve()
	if err != nil {
		return fmt.Errorf("making the data %s: %w", volume, err)
	}
	ready := filepath.Join(tmp, "new")
	if err = makeFolders(ready, inside, uid); err == nil {
		err = fill(ready, uid)
	}
	s.mu.Lock() // freeUID must see at least one of both folders
	if err == nil {
		err = os.Rename(ready, s.Folder(volume))
	}
	err = errors.Join(err, os.RemoveAll(tmp))
	s.mu.Unlock()
	if err == nil {
		err = fsync.Path(s.dir)
	}
	if err != nil {
		return fmt.Errorf("making the data %s: %w", volume, err)
	}
	return nil
}

func makeFolders(dir string, inside []string, uid uint32) error {
	for _, f := range append([]string{"."}, inside...) {
		if err := os.MkdirAll(filepath.Join(dir, f), 0o700); err != nil {
			return err
		}
	}
	return folders.Give(dir, uid)
}

// reserve makes a temporary folder for a new volume. It belongs to a uid that no other volume has or gets while the folder
// exists.
func (s *Store) reserve() (tmp string, uid uint32, err error) {
	s.mu.Lock() // concurrent calls must not choose the same uid
	defer s.mu.Unlock()
	uid = uint32(os.Geteuid()) //nolint:gosec // uids fit
	if ownUIDs() {
		if uid, err = s.freeUID(); err != nil {
			return "", 0, err
		}
	}
	if tmp, err = os.MkdirTemp(s.dir, folders.TempPrefix); err != nil {
		return "", 0, err
	}
	if err := errors.Join(folders.Give(tmp, uid), os.Chmod(tmp, folders.Passable())); err != nil {
		return "", 0, errors.Join(err, os.RemoveAll(tmp))
	}
	return tmp, uid, nil
}

// List returns all volumes.
func (s *Store) List() ([]driver.Volume, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("listing the data: %w", err)
	}
	var all []driver.Volume
	for _, e := range entries {
		if e.IsDir() && driver.CheckID("volume", e.Name()) == nil { // temporary folders have names that are no ids
			all = append(all, driver.Volume{ID: e.Name(), CreatedAt: birth(s.Folder(e.Name()))})
		}
	}
	return all, nil
}

// birth returns when a folder was created, in whole seconds; zero if the file system does not record it.
func birth(dir string) time.Time {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, dir, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BTIME, &st)
	if err != nil || st.Mask&unix.STATX_BTIME == 0 || st.Btime.Sec <= 0 {
		return time.Time{}
	}
	return time.Unix(st.Btime.Sec, 0).UTC()
}

// Size returns the size of a volume on the disk in bytes, see [machine.Size].
// Errors: [driver.DataMissing] if there is no such volume.
func (s *Store) Size(ctx context.Context, volume string) (int64, error) {
	if err := driver.CheckID("volume", volume); err != nil {
		return 0, err
	}
	if _, err := s.info(volume); err != nil {
		return 0, err
	}
	return machine.Size(ctx, s.Folder(volume))
}

// Remove removes a volume, if there is one and it is the one that data describes. inUse is called last and returns an error if
// the volume is in use.
func (s *Store) Remove(data driver.Data, inUse func() error) error {
	volume := data.Volume
	if _, err := os.Lstat(s.Folder(volume)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := data.CheckAge("the folder "+s.Folder(volume), birth(s.Folder(volume))); err != nil {
		return err
	}
	if err := s.Recognise(data); err != nil {
		return err
	}
	if err := inUse(); err != nil {
		return err
	}
	// Renamed first, so that a part of the data never counts as the data.
	s.mu.Lock()
	tmp, err := os.MkdirTemp(s.dir, folders.TempPrefix)
	if err == nil {
		err = os.Rename(s.Folder(volume), filepath.Join(tmp, volume))
	}
	s.mu.Unlock()
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if tmp != "" {
		err = errors.Join(err, os.RemoveAll(tmp))
	}
	if err != nil {
		return fmt.Errorf("removing the data %s: %w", volume, err)
	}
	return nil
}
