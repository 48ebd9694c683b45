package volumes

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"strings"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/process/folders"
)

// Block is the number of uids, and so of volumes, of one installation.
const Block = 8192

// lowestUID is far above the uids of people, system services, containers' subordinate ranges and systemd's dynamic users.
const lowestUID = 0x70000000

// BaseOf returns the first uid of an installation's block. The id of the installation determines it, so that two
// installations on one machine rarely share uids.
func BaseOf(installation string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(installation))
	return lowestUID + h.Sum32()%(1<<14)*Block
}

// ownUIDs reports whether volumes have uids of their own.
func ownUIDs() bool { return os.Geteuid() == 0 }

// CheckBlock refuses a user namespace without the uids of the block that begins at base.
func CheckBlock(base uint32) error {
	data, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return fmt.Errorf("reading the user namespace's uids: %w", err)
	}
	for line := range strings.Lines(string(data)) {
		var inside, outside, count uint64
		if _, err := fmt.Sscan(line, &inside, &outside, &count); err != nil {
			return fmt.Errorf("reading the user namespace's uids: %w", err)
		}
		if inside <= uint64(base) && uint64(base)+Block <= inside+count {
			return nil
		}
	}
	return driver.Errorf(driver.Invalid, "engines run under uids from %d to %d, which this user namespace does not have; run uws as an ordinary user", base, base+Block-1)
}

// Ours reports whether an engine of this installation can run under uid.
func (s *Store) Ours(uid uint32) bool {
	if ownUIDs() {
		return uid >= s.uidBase && uid-s.uidBase < Block
	}
	return uid == uint32(os.Geteuid()) //nolint:gosec // uids fit
}

// Owner returns the uid that owns a volume, under which its engine runs.
// Errors: [driver.DataMissing] if there is no such volume.
func (s *Store) Owner(volume string) (uint32, error) {
	info, err := s.info(volume)
	if err != nil {
		return 0, err
	}
	uid := folders.Owner(info)
	if ownUIDs() && !s.Ours(uid) {
		return 0, driver.Errorf(driver.Invalid, "the data %s belongs to uid %d, which is none of this installation's (%d to %d)",
			volume, uid, s.uidBase, s.uidBase+Block-1)
	}
	return uid, nil
}

// freeUID returns the smallest uid that no volume has. The caller holds s.mu.
func (s *Store) freeUID() (uint32, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return 0, fmt.Errorf("looking for a free uid: %w", err)
	}
	used := make(map[uint32]bool, len(entries))
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // data that was removed meanwhile
		}
		if err != nil {
			return 0, fmt.Errorf("looking for a free uid: %w", err)
		}
		used[folders.Owner(info)] = true
	}
	for uid := s.uidBase; uid < s.uidBase+Block; uid++ {
		if !used[uid] {
			return uid, nil
		}
	}
	return 0, driver.Errorf(driver.Invalid, "all %d uids for data on this node are used; delete data that was retained", Block)
}

// TakeFrom gives the volumes of a cloned folder to uids of this installation. from is the first uid of the original's block.
// The folder of a volume changes its owner last, so that TakeFrom can be repeated after a crash. It is a no-op unless run as
// root.
func (s *Store) TakeFrom(from uint32) error {
	if !ownUIDs() {
		return nil
	}
	if info, err := os.Lstat(s.dir); err != nil || !info.IsDir() {
		return errors.Join(err, driver.Errorf(driver.Invalid, "%s is a symbolic link, whose target the original uses too; replace it by a copy of the target", s.dir))
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("taking over the volumes: %w", err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return fmt.Errorf("taking over the volumes: %w", err)
		}
		if uid := folders.Owner(info); uid >= from && uid-from < Block {
			if err := take(s.Folder(e.Name()), s.uidBase+uid-from); err != nil {
				return fmt.Errorf("taking over volume %s: %w", e.Name(), err)
			}
		}
	}
	return nil
}

func take(dir string, uid uint32) error {
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
