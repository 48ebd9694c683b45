package volumes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/archive"
)

// Export writes an archive of a volume to w.
// Errors: [driver.DataMissing] if there is no such volume, it is removed meanwhile, or what is there is not it.
func (s *Store) Export(ctx context.Context, data driver.Data, w io.Writer) error {
	if err := s.Recognise(data); err != nil {
		return err
	}
	root, err := os.OpenRoot(s.Folder(data.Volume))
	if err != nil {
		return fmt.Errorf("exporting the data %s: %w", data.Volume, err)
	}
	defer root.Close()
	if err := archive.Write(ctx, root, w); err != nil {
		return fmt.Errorf("exporting the data %s: %w", data.Volume, err)
	}
	read, err := root.Stat(".")
	if err != nil {
		return fmt.Errorf("exporting the data %s: %w", data.Volume, err)
	}
	now, err := s.info(data.Volume)
	if err == nil && !os.SameFile(read, now) {
		err = driver.Errorf(driver.DataMissing, "the data %s was replaced while it was exported", data.Volume)
	}
	return err // its files vanish when it is removed
}

// Import makes a volume of the archive r, see [Store.Create]. It is durable when Import returns.
// Errors: [driver.Conflict] if there is such a volume; [driver.Invalid] if the archive is refused.
func (s *Store) Import(ctx context.Context, volume string, r io.Reader) error {
	if _, err := os.Lstat(s.Folder(volume)); !errors.Is(err, fs.ErrNotExist) {
		if err != nil {
			return fmt.Errorf("looking at the data %s: %w", volume, err)
		}
		return driver.Errorf(driver.Conflict, "the data %s exists already; import into another volume, or delete it first", volume)
	}
	return s.Create(volume, nil, func(dir string, owner uint32) error {
		root, err := os.OpenRoot(dir)
		if err != nil {
			return err
		}
		defer root.Close()
		id := archive.KeepOwner
		if ownUIDs() {
			id = int(owner)
		}
		if err := archive.Extract(ctx, r, root, id); err != nil {
			return err
		}
		return syncFileSystem(root)
	})
}

// syncFileSystem makes everything on the file system of a folder durable: faster than file by file.
func syncFileSystem(root *os.Root) error {
	dir, err := root.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := unix.Syncfs(int(dir.Fd())); err != nil {
		return fmt.Errorf("writing to the disk: %w", err)
	}
	return nil
}
