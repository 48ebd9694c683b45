package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/process/folders"
)

// volumeOwner is the uid that owns a volume, which is the identity its engine runs under.
// The error is DataMissing when there is no such volume.
func (d *Driver) volumeOwner(volume string) (uint32, error) {
	info, err := d.volumeInfo(volume)
	if err != nil {
		return 0, err
	}
	uid := folders.Owner(info)
	if asRoot() && !d.ours(uid) {
		return 0, driver.Errorf(driver.Invalid, "the data %s belongs to uid %d, which is none of this installation's (%d to %d)",
			volume, uid, d.opt.UIDBase, d.opt.UIDBase+uidBlock-1)
	}
	return uid, nil
}

// ours reports whether an engine of this installation can run under uid.
func (d *Driver) ours(uid uint32) bool {
	if asRoot() {
		return uid >= d.opt.UIDBase && uid-d.opt.UIDBase < uidBlock
	}
	return uid == uint32(os.Geteuid()) //nolint:gosec // uids fit
}

// createVolume makes the volume of a service, with the folders inside it and what its init puts there. It appears at
// once or not at all. The service's verb is held.
func (d *Driver) createVolume(ctx context.Context, s *service, spec driver.Spec) error {
	tmp, uid, err := d.reserveVolume()
	if err != nil {
		return fmt.Errorf("making the data %s: %w", spec.Volume, err)
	}
	ready := filepath.Join(tmp, "new")
	err = d.fillVolume(ctx, s, spec, ready, uid)
	// At no time may freeUID see neither the one nor the other.
	d.volumes.Lock()
	if err == nil {
		err = os.Rename(ready, d.volumeDir(spec.Volume))
	}
	err = errors.Join(err, os.RemoveAll(tmp))
	d.volumes.Unlock()
	if err == nil {
		err = folders.Sync(d.volumesDir())
	}
	if err != nil {
		return fmt.Errorf("making the data %s: %w", spec.Volume, err)
	}
	return nil
}

// fillVolume makes the folder dir as the volume of a service shall be.
func (d *Driver) fillVolume(ctx context.Context, s *service, spec driver.Spec, dir string, uid uint32) error {
	for _, f := range append([]string{"."}, spec.Folders...) {
		if err := os.MkdirAll(filepath.Join(dir, f), 0o700); err != nil {
			return err
		}
	}
	if err := folders.Give(dir, uid); err != nil {
		return err
	}
	if spec.Init == nil {
		return nil
	}
	return d.initialise(ctx, s, spec, dir, uid)
}

// reserveVolume makes a temporary folder to make a volume in. It belongs to a uid that no other volume has, nor will
// while the folder is there.
func (d *Driver) reserveVolume() (tmp string, uid uint32, err error) {
	d.volumes.Lock() // two creates must not choose the same uid
	defer d.volumes.Unlock()
	uid = uint32(os.Geteuid()) //nolint:gosec // uids fit
	if asRoot() {
		if uid, err = d.freeUID(); err != nil {
			return "", 0, err
		}
	}
	if tmp, err = os.MkdirTemp(d.volumesDir(), folders.TempPrefix); err != nil {
		return "", 0, err
	}
	if err := errors.Join(folders.Give(tmp, uid), os.Chmod(tmp, folders.Passable())); err != nil {
		return "", 0, errors.Join(err, os.RemoveAll(tmp))
	}
	return tmp, uid, nil
}

// freeUID is the smallest uid that no volume has. d.volumes is held.
func (d *Driver) freeUID() (uint32, error) {
	entries, err := os.ReadDir(d.volumesDir())
	if err != nil {
		return 0, fmt.Errorf("looking for a free uid: %w", err)
	}
	used := make(map[uint32]bool, len(entries))
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // what was left of data that is being removed
		}
		if err != nil {
			return 0, fmt.Errorf("looking for a free uid: %w", err)
		}
		used[folders.Owner(info)] = true
	}
	for uid := d.opt.UIDBase; uid < d.opt.UIDBase+uidBlock; uid++ {
		if !used[uid] {
			return uid, nil
		}
	}
	return 0, driver.Errorf(driver.Invalid, "all %d uids for data on this node are used; delete data that was retained", uidBlock)
}

// Volumes implements [driver.Driver].
func (d *Driver) Volumes(context.Context) ([]driver.Volume, error) {
	entries, err := os.ReadDir(d.volumesDir())
	if err != nil {
		return nil, fmt.Errorf("listing the data: %w", err)
	}
	var all []driver.Volume
	for _, e := range entries {
		if e.IsDir() && driver.CheckID("volume", e.Name()) == nil { // the names of what is half made are no ids
			all = append(all, driver.Volume{ID: e.Name(), CreatedAt: birth(d.volumeDir(e.Name()))})
		}
	}
	return all, nil
}

// birth is when a folder was created, in whole seconds; zero where the file system does not tell.
func birth(dir string) time.Time {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, dir, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BTIME, &st)
	if err != nil || st.Mask&unix.STATX_BTIME == 0 || st.Btime.Sec <= 0 {
		return time.Time{}
	}
	return time.Unix(st.Btime.Sec, 0).UTC()
}

// Size implements [driver.Sizer].
func (d *Driver) Size(ctx context.Context, volume string) (bytes int64, err error) {
	if err := driver.CheckID("volume", volume); err != nil {
		return 0, err
	}
	if _, err := d.volumeInfo(volume); err != nil {
		return 0, err
	}
	root, err := os.OpenRoot(d.volumeDir(volume))
	if err != nil {
		return 0, fmt.Errorf("measuring the data %s: %w", volume, err)
	}
	defer root.Close()
	err = fs.WalkDir(root.FS(), ".", func(_ string, e fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		var info fs.FileInfo
		if err == nil {
			info, err = e.Info()
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				bytes += st.Blocks * 512
			}
		}
		return err
	})
	return bytes, err
}

// HasData implements [driver.Driver].
func (d *Driver) HasData(_ context.Context, data driver.Data) (bool, error) {
	if err := driver.CheckID("volume", data.Volume); err != nil {
		return false, err
	}
	err := d.recognise(data)
	switch {
	case err == nil:
		return true, nil
	case driver.ClassOf(err) == driver.DataMissing:
		return false, nil
	}
	return false, err
}

// RemoveData implements [driver.Driver].
func (d *Driver) RemoveData(_ context.Context, data driver.Data) error {
	volume := data.Volume
	if err := driver.CheckID("volume", volume); err != nil {
		return err
	}
	if _, err := os.Lstat(d.volumeDir(volume)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := data.CheckAge("the folder "+d.volumeDir(volume), birth(d.volumeDir(volume))); err != nil {
		return err
	}
	if err := d.recognise(data); err != nil {
		return err
	}
	for _, s := range d.all() {
		if name, running := s.uses(); running && name == volume {
			return driver.Errorf(driver.Conflict, "the data %s is in use: service %s runs on it; stop it first", volume, s.id)
		}
	}
	// Renamed first: half of the data must never count as the data.
	d.volumes.Lock()
	tmp, err := os.MkdirTemp(d.volumesDir(), folders.TempPrefix)
	if err == nil {
		err = os.Rename(d.volumeDir(volume), filepath.Join(tmp, volume))
	}
	d.volumes.Unlock()
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

// takeVolumes gives the volumes of a cloned folder to uids of this installation. The folder of a volume changes its
// owner last, so that a crash leaves it to be done again.
func (d *Driver) takeVolumes() error {
	if d.opt.ClonedFrom == "" || !asRoot() {
		return nil
	}
	if info, err := os.Lstat(d.volumesDir()); err != nil || !info.IsDir() {
		return errors.Join(err, driver.Errorf(driver.Invalid, "%s is a symbolic link, whose target the original uses too; replace it by a copy of the target", d.volumesDir()))
	}
	entries, err := os.ReadDir(d.volumesDir())
	if err != nil {
		return fmt.Errorf("taking over the volumes: %w", err)
	}
	from := uidsOf(d.opt.ClonedFrom)
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return fmt.Errorf("taking over the volumes: %w", err)
		}
		if uid := folders.Owner(info); uid >= from && uid-from < uidBlock {
			if err := takeVolume(filepath.Join(d.volumesDir(), e.Name()), d.opt.UIDBase+uid-from); err != nil {
				return fmt.Errorf("taking over volume %s: %w", e.Name(), err)
			}
		}
	}
	return nil
}

func takeVolume(dir string, uid uint32) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	err = fs.WalkDir(root.FS(), ".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || path == "." {
			return err
		}
		return root.Lchown(path, int(uid), int(uid))
	})
	if err != nil {
		return err
	}
	return root.Lchown(".", int(uid), int(uid))
}
