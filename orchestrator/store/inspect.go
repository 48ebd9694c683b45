package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	_ "modernc.org/sqlite" // registers the driver "sqlite"
)

// checkLimit bounds the time that Open spends on looking for damage.
const checkLimit = 2 * time.Second

// stored is what a store says of itself.
type stored struct {
	version      int64 // of its newest migration
	installation string
	keyCheck     []byte
}

// storeExists reports whether there is a database. create puts it in place whole, so an empty one is damaged.
func storeExists(opts Options) (bool, error) {
	path := opts.path(dbName)
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if fileExists(path + "-wal") {
			return false, fmt.Errorf("%s is lost, though its write-ahead log %s-wal is there; put both back from a backup", path, path)
		}
		return false, nil
	case err != nil:
		return false, fmt.Errorf("look at the store: %w", err)
	case !info.Mode().IsRegular():
		return false, fmt.Errorf("%s is not a file; move it away", path)
	}
	// Not by opening it: closing a file drops all locks that this process has on it.
	if err := syscall.Access(path, 6); err != nil {
		return false, fmt.Errorf("user id %d must be able to read and write %s: %w", os.Getuid(), path, err)
	}
	return true, nil
}

// Exists reports whether a folder holds a store, whole or not.
func Exists(dir string) bool {
	return fileExists(filepath.Join(dir, dbName)) || fileExists(filepath.Join(dir, dbName+"-wal"))
}

// inspect reads what the store says of itself, and looks for damage, without writing to it.
func inspect(ctx context.Context, opts Options) (stored, error) {
	path := opts.path(dbName)
	found, err := inspectFile(ctx, path, !opts.Shared)
	if damaged(err) {
		return stored{}, fmt.Errorf("%s is damaged. Nothing was changed. Put it back from a backup together with its %s; "+
			"or, to save what can be saved, run `sqlite3 %s .recover` into a new file: %w", path, keyName, path, err)
	}
	if err != nil {
		return stored{}, fmt.Errorf("read %s: %w", path, err)
	}
	if newest := latestVersion(opts.migrations); found.version > newest {
		return stored{}, fmt.Errorf("%s was made by a newer uws (schema %d, this one knows %d). Nothing was changed. "+
			"Start that version, or a later one; or put back a backup from before the upgrade", path, found.version, newest)
	}
	return found, nil
}

func inspectFile(ctx context.Context, path string, check bool) (found stored, err error) {
	db, err := sql.Open("sqlite", inspectSettings(path).dsn(path))
	if err != nil {
		return stored{}, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)

	var tables int
	const ours = `SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN ('goose_db_version', 'installations')`
	if err := db.QueryRowContext(ctx, ours).Scan(&tables); err != nil {
		return stored{}, err
	}
	if tables != 2 {
		return stored{}, errors.New("not a store of uws, or an empty one; put the store back from a backup, or name another data folder")
	}
	if check {
		if err := quickCheck(ctx, db); err != nil {
			return stored{}, err
		}
	}
	if err := db.QueryRowContext(ctx, `SELECT max(version_id) FROM goose_db_version`).Scan(&found.version); err != nil {
		return stored{}, err
	}
	err = db.QueryRowContext(ctx, `SELECT id, key_check FROM installations`).Scan(&found.installation, &found.keyCheck)
	if errors.Is(err, sql.ErrNoRows) {
		err = errors.New("the row that says which installation it is of is missing; put the store back from a backup")
	}
	return found, err
}

// inspectSettings open the database such that nothing is written. Without a write-ahead log nobody has it
// open and no file is even made beside it; with one, the log is read too, and stays.
func inspectSettings(path string) settings {
	s := settings{
		pragmas: []pragma{{name: "busy_timeout", value: "5000"}},
		params:  with(times, "mode", "ro"),
	}
	if !fileExists(path + "-wal") {
		s.params.Set("immutable", "1")
	}
	return s
}

// damageError is what SQLite's check of the file found.
type damageError string

func (e damageError) Error() string { return string(e) }

// quickCheck looks for damage for at most checkLimit: a store too big to be read in that time is opened, and
// damage in it is found when it is touched.
func quickCheck(ctx context.Context, db *sql.DB) error {
	limited, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	var answer string
	err := db.QueryRowContext(limited, "PRAGMA quick_check(1)").Scan(&answer)
	switch {
	case err != nil && limited.Err() != nil && ctx.Err() == nil:
		return nil
	case err != nil:
		return err
	case answer != "ok":
		return damageError(answer)
	}
	return nil
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
