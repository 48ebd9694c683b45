package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// folder identifies a folder for as long as the machine runs, whatever its path. Device numbers can change at a reboot,
// which no process survives.
type folder struct{ device, inode uint64 }

func (f folder) String() string {
	return strconv.FormatUint(f.device, 16) + ":" + strconv.FormatUint(f.inode, 10)
}

func folderAt(path string) (folder, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return folder{}, fmt.Errorf("looking at folder %s: %w", path, err)
	}
	return folder{st.Dev, st.Ino}, nil
}

// inFolder reports whether a process runs in this driver's state folder. A copy of the folder has the same state files
// and the same installation as the original, whose engines must not be adopted, stopped or killed from the copy.
func (d *Driver) inFolder(pid int, m markers) bool {
	if m.folder == d.folder.String() || d.holds("/proc/"+strconv.Itoa(pid)+"/cwd") {
		return true
	}
	return m.folder == "" && d.holds(m.home)
}

// maxDepth bounds the steps from a folder to the root.
const maxDepth = 128

// holds reports whether path lies in the state folder. It goes up by "..", because paths may be symbolic links, bind
// mounts, or have been renamed since.
func (d *Driver) holds(path string) bool {
	if path == "" {
		return false
	}
	volumes, _ := folderAt(d.volumesDir()) // which may be a link to another disk
	var last folder
	for range maxDepth {
		f, err := folderAt(path)
		switch {
		case err != nil || f == last:
			return false
		case f == d.folder || f == volumes:
			return true
		}
		last, path = f, path+"/.."
	}
	return false
}

// refuseStrays is an error if engines of this installation run in another folder: this one is a copy, or it was put
// back while they ran. They hold the ports and, for root, run under the uids of the volumes here.
func (d *Driver) refuseStrays(found []process) error {
	var pids, where []string
	for _, p := range found {
		if p.installation != d.opt.Installation || p.service == "" || d.inFolder(p.pid, p.markers) {
			continue
		}
		pids = append(pids, strconv.Itoa(p.pid))
		if dir, err := os.Readlink("/proc/" + strconv.Itoa(p.pid) + "/cwd"); err == nil && !slices.Contains(where, dir) {
			where = append(where, dir)
		}
	}
	if len(pids) == 0 {
		return nil
	}
	return driver.Errorf(driver.Invalid, "engines of this installation run in another folder (%s): this data folder is a copy, or was restored while they ran. "+
		"If the other folder is gone, stop them with `kill %s` and start uws again; if it is in use, start this one with --clone",
		strings.Join(where, ", "), strings.Join(pids, " "))
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
		if uid := ownerOf(info); uid >= from && uid-from < uidBlock {
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
