package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/internal/fsync"
)

// create creates a store. The key is written to disk before the database that depends on it, and the database is
// renamed into place once it is complete. After a crash at any point, the next start completes the store.
func create(ctx context.Context, opts Options) (tink.AEAD, string, error) {
	key, err := createKey(ctx, opts)
	if err != nil {
		return nil, "", err
	}
	path, tmp := opts.path(dbName), opts.path(dbName+".new")
	if err := removeDatabase(tmp); err != nil {
		return nil, "", fmt.Errorf("remove an unfinished store: %w", err)
	}
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // SQLite's own files get the same mode
	if err != nil {
		return nil, "", fmt.Errorf("create the store: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, "", fmt.Errorf("create the store: %w", err)
	}
	if err := migrateFile(ctx, tmp, opts.migrations); err != nil {
		return nil, "", err
	}
	installation := strings.ToLower(rand.Text())
	if err := writeInstallation(ctx, tmp, installation, key); err != nil {
		return nil, "", fmt.Errorf("create the store: %w", err)
	}
	if err := errors.Join(fsync.Path(tmp), os.Rename(tmp, path), fsync.Path(opts.Dir)); err != nil {
		return nil, "", fmt.Errorf("rename the store into place: %w", err)
	}
	opts.Log.InfoContext(ctx, "store created", "dir", opts.Dir, "installation", installation)
	return key, installation, nil
}

// createKey returns the key for a new store: the given one, the one in the folder, or a new one.
func createKey(ctx context.Context, opts Options) (tink.AEAD, error) {
	if opts.Key != "" {
		return parseOption(opts.Key)
	}
	path := opts.path(keyName)
	if fileExists(path) {
		opts.Log.WarnContext(ctx, "found a key but no store; creating a store with that key", "key", path)
		return loadKey(opts)
	}
	b, err := newKey()
	if err != nil {
		return nil, err
	}
	if err := writeFile(path, b); err != nil {
		return nil, fmt.Errorf("write the key file %s: %w", path, err)
	}
	return parseKey(b)
}

func writeInstallation(ctx context.Context, path, installation string, key tink.AEAD) (err error) {
	check, err := seal(key, []byte(keyCheckText), keyCheckContext(installation))
	if err != nil {
		return err
	}
	db, err := openPool(ctx, path, writerSettings, 1)
	if err != nil {
		return err
	}
	client := ent.NewClient(ent.Driver(entsql.OpenDB(dialect.SQLite, db)))
	defer func() { err = errors.Join(err, client.Close()) }()
	return client.Installation.Create().SetID(installation).SetKeyCheck(check).SetCreatedAt(time.Now()).Exec(ctx)
}

// removeDatabase removes a database that was not renamed into place.
func removeDatabase(path string) error {
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
