package store

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/unicorn-web-services/uws/internal/fsync"
)

// CopyTo writes a copy of the database, as of one moment, to a new file. The key that its secrets are sealed with is not in it.
// Writers go on meanwhile.
func (s *Store) CopyTo(ctx context.Context, path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // SQLite keeps the mode of an empty file
	if err != nil {
		return fmt.Errorf("copy the store: %w", err)
	}
	db, err := openPool(ctx, (&Options{Dir: s.dir}).path(dbName), writerSettings, 1)
	if err = errors.Join(f.Close(), err); err != nil {
		return fmt.Errorf("copy the store: %w", err)
	}
	_, err = db.ExecContext(ctx, "VACUUM INTO ?", path)
	if err = errors.Join(err, db.Close()); err != nil {
		return fmt.Errorf("copy the store: %w", err)
	}
	return nil
}

// PutBack writes a copy of a database as the store of a folder that has none.
func PutBack(dir string, write func(f *os.File) error) error {
	opts := Options{Dir: dir}
	if err := opts.Validate(); err != nil {
		return err
	}
	if Exists(opts.Dir) {
		return fmt.Errorf("there is a store in %s already, which is never overwritten; choose an empty folder, or move %s away", opts.Dir, dbName)
	}
	if err := prepareDir(opts.Dir); err != nil {
		return err
	}
	tmp := opts.path(dbName + ".new") // which the next start removes if this process dies
	if err := removeDatabase(tmp); err != nil {
		return err
	}
	f, err := os.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(write(f), f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return errors.Join(os.Rename(tmp, opts.path(dbName)), fsync.Path(opts.Dir))
}
