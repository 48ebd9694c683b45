package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// Size returns the bytes that a folder takes on its disk: the blocks that are allocated, so that holes do not count, and those of
// a file with several names once. It follows no links and enters no other file system. What disappears meanwhile is left out.
// Errors: [fs.ErrNotExist], [fs.ErrPermission].
func Size(ctx context.Context, dir string) (bytes int64, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return 0, fmt.Errorf("measuring %s: %w", dir, err)
	}
	defer root.Close()
	type file struct{ device, inode uint64 }
	seen := map[file]bool{} // those with several names
	var disk uint64
	err = fs.WalkDir(root.FS(), ".", func(path string, e fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var info fs.FileInfo
		if err == nil {
			info, err = e.Info()
		}
		if errors.Is(err, fs.ErrNotExist) && path != "." {
			return nil
		}
		if err != nil {
			return err
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return nil
		}
		if path == "." {
			disk = st.Dev
		}
		if st.Dev != disk {
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if !e.IsDir() && st.Nlink > 1 {
			if id := (file{st.Dev, st.Ino}); seen[id] {
				return nil
			} else {
				seen[id] = true
			}
		}
		bytes += st.Blocks * 512
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("measuring %s: %w", dir, err)
	}
	return bytes, nil
}
