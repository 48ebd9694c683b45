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

// checkLimit is the maximum time that Open spends on checking for damage.
const checkLimit = 2 * time.Second

// stored is what a store contains about itself.
type stored struct {
	version      int64 // number of its newest migration
	installation string
	keyCheck     []byte
}

// storeExists reports whether there is a database. create renames complete databases into place, so an empty file is
// damaged.
func storeExists(opts Options) (bool, error) {
	path := opts.path(dbName)
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if fileExists(path + "-wal") {
			return false, fmt.Errorf("%s is missing, but its write-ahead log %s-wal exists; restore both from a backup", path, path)
		}
		return false, nil
	case err != nil:
		return false, fmt.Errorf("check the store: %w", err)
	case !info.Mode().IsRegular():
		return false, fmt.Errorf("%s is not a file; move it away", path)
	}
	// Do not open the file to check this: closing it would release all locks that this process has on it.
	if err := syscall.Access(path, 6); err != nil {
		return false, fmt.Errorf("user id %d must be able to read and write %s: %w", os.Getuid(), path, err)
	}
	return true, nil
}

// Exists reports whether a folder contains a store, damaged or not.
func Exists(dir string) bool {
	return fileExists(filepath.Join(dir, dbName)) || fileExists(filepath.Join(dir, dbName+"-wal"))
}

// inspect reads what the store contains about itself and checks for damage. It does not write.
func inspect(ctx context.Context, opts Options) (stored, error) {
	path := opts.path(dbName)
	found, err := inspectFile(ctx, path, !opts.Shared)
	if damaged(err) {
		return stored{}, fmt.Errorf("%s is damaged. Nothing was changed. Restore it from a backup together with its %s; "+
			"or, to save what can be saved, run `sqlite3 %s .recover` into a new file: %w", path, keyName, path, err)
	}
	if err != nil {
		return stored{}, fmt.Errorf("read %s: %w", path, err)
	}
	if newest := latestVersion(opts.migrations); found.version > newest {
		return stored{}, fmt.Errorf("%s was created by a newer uws (schema %d, this one supports %d). Nothing was changed. "+
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
		return stored{}, errors.New("not a store of uws, or an empty one; restore the store from a backup, or name another data folder")
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
		err = errors.New("the row with the id of the installation is missing; restore the store from a backup")
	}
	return found, err
}

// inspectSettings returns settings with which SQLite writes nothing. Without a write-ahead log no process has the
// database open, and SQLite does not even create files beside it. With one, SQLite also reads the log and keeps it.
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

// damageError is the result of SQLite's check of the file.
type damageError string

func (e damageError) Error() string { return string(e) }

// quickCheck checks for damage for at most checkLimit. A store that cannot be checked in that time is opened anyway;
// damage is then found when the page is read.
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
