// Package home detects whether a data folder is the original or a copy of it.
package home

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Home identifies the place of a folder. A field is zero if the file system or the machine does not have it; it is then
// not compared. Device numbers are not included, because they can change at a reboot.
type Home struct {
	Path       string `json:"path"`                 // absolute, without symbolic links
	Inode      uint64 `json:"inode,omitempty"`      // of the folder
	Birth      int64  `json:"birth,omitempty"`      // of the folder: Unix time in nanoseconds
	FileSystem string `json:"fileSystem,omitempty"` // independent of the device
	Machine    string `json:"machine,omitempty"`    // hash of the machine id
}

// Look returns the place of a folder.
func Look(dir string) (Home, error) {
	path, err := filepath.Abs(dir)
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		return Home{}, fmt.Errorf("resolve %s: %w", dir, err)
	}
	h := Home{Path: path, Machine: machine("/etc/machine-id")}
	f, err := os.Open(path)
	if err != nil {
		return Home{}, err
	}
	defer f.Close()
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &fs); err != nil {
		return Home{}, fmt.Errorf("stat the file system of %s: %w", path, err)
	}
	h.FileSystem = fileSystem(f, fs)
	if !stableInodes(fs) {
		return h, nil
	}
	var st unix.Statx_t
	if err := unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_INO|unix.STATX_BTIME, &st); err != nil {
		return Home{}, fmt.Errorf("stat %s: %w", path, err)
	}
	h.Inode = st.Ino
	if st.Mask&unix.STATX_BTIME != 0 && st.Btime.Sec > 0 {
		h.Birth = st.Btime.Sec*1e9 + int64(st.Btime.Nsec)
	}
	return h, nil
}

// Moved returns a text that describes the difference between h and now. It is empty if both are the same folder.
// Another path to the same folder, such as a bind mount, is not a difference.
func (h Home) Moved(now Home) string {
	var parts []string
	differ := func(known bool, text string) {
		if known {
			parts = append(parts, text)
		}
	}
	differ(h.Path != now.Path && !sameFile(h.Path, now.Path), "it was served from "+h.Path+" and now is at "+now.Path)
	differ(h.Machine != "" && now.Machine != "" && h.Machine != now.Machine, "this is another machine")
	differ(h.FileSystem != "" && now.FileSystem != "" && h.FileSystem != now.FileSystem, "it is on another file system")
	differ(h.Inode != 0 && now.Inode != 0 && h.Inode != now.Inode || h.Birth != 0 && now.Birth != 0 && h.Birth != now.Birth,
		"its folder was created again")
	return strings.Join(parts, "; ")
}

func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// machine returns a hash of the machine id, which must not be published. It is empty if there is none, as in most
// containers.
func machine(path string) string {
	id, err := os.ReadFile(path)
	text := strings.TrimSpace(string(id))
	if err != nil || text == "" || text == "uninitialized" {
		return ""
	}
	sum := sha256.Sum256([]byte("uws home " + text))
	return hex.EncodeToString(sum[:8])
}
