package folders

import (
	"fmt"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// ID identifies a folder independently of its path, until the machine is rebooted: device numbers can change then.
type ID struct{ device, inode uint64 }

func (id ID) String() string {
	return strconv.FormatUint(id.device, 16) + ":" + strconv.FormatUint(id.inode, 10)
}

// At returns the ID of the folder that a path leads to.
func At(path string) (ID, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return ID{}, fmt.Errorf("looking at folder %s: %w", path, err)
	}
	return ID{st.Dev, st.Ino}, nil
}

// maxDepth bounds the steps from a folder to the root.
const maxDepth = 128

// Within reports whether a path leads to one of ids or to something below it. It goes up by "..", because paths may be
// symbolic links or bind mounts, or have been renamed.
func Within(path string, ids ...ID) bool {
	var last ID
	for range maxDepth {
		id, err := At(path)
		if err != nil || id == last {
			return false
		}
		if slices.Contains(ids, id) {
			return true
		}
		last, path = id, path+"/.."
	}
	return false
}
