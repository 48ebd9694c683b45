// Package fsync makes changes of the file system durable.
package fsync

import (
	"errors"
	"os"
)

// Path waits until the content of a file, or the entries of a folder, are on disk.
func Path(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
