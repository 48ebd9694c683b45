package store

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/pressly/goose/v3"
)

// migrations are goose's files, in one folder for each dialect. `make migration` writes them; one that was
// released is never changed.
//
//go:embed migrations
var migrations embed.FS

const sqliteMigrations = "migrations/sqlite"

// migrateFile migrates the database at path to the newest schema. Each migration is one transaction, which also records
// that it was applied. After a crash the next start continues with the next migration.
func migrateFile(ctx context.Context, path string, files fs.FS) (err error) {
	db, err := openPool(ctx, path, migrationSettings, 1)
	if err != nil {
		return fmt.Errorf("open %s for migration: %w", path, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, files)
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate the store: %w", err)
	}
	return nil
}

// migrationSettings are the settings of the writer without foreign keys. SQLite changes a table by recreating it. With
// foreign keys on, dropping the old table would delete the rows that refer to it.
var migrationSettings = settings{
	pragmas: []pragma{
		{"journal_mode", "WAL", "wal"},
		{"busy_timeout", "5000", "5000"},
		{"foreign_keys", "0", "0"},
		{"synchronous", "FULL", "2"},
	},
	params: writerSettings.params,
}

// latestVersion returns the number of the newest migration. It panics on a file without a number, which is a bug that
// every test finds.
func latestVersion(files fs.FS) int64 {
	names, err := fs.Glob(files, "*.sql")
	if err != nil || len(names) == 0 {
		panic("store: no migrations")
	}
	newest := names[len(names)-1]
	number, _, _ := strings.Cut(newest, "_")
	version, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		panic("store: migration without a number: " + newest)
	}
	return version
}
