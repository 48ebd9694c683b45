// Package store opens the data folder: the database, the key that seals its secrets, and the lock that prevents a
// second uws from using it.
//
// Open only reads until it has checked for everything that prevents it: another uws, a missing key, a damaged file, a
// store of a newer uws. If it fails for one of these reasons, the folder is unchanged.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/unicorn-web-services/uws/ent"
)

// Files in a data folder.
const (
	dbName   = "uws.db"
	keyName  = "uws.key"
	lockName = "uws.lock"
)

// Options say which store to open.
type Options struct {
	Dir      string       // data folder; created if it does not exist
	Key      string       // base64 of a keyset, as in a uws.key file; empty means the file uws.key in Dir
	Shared   bool         // for short commands: works while a uws serves the folder
	Existing bool         // fail if the folder has no store, instead of creating one
	Log      *slog.Logger // nil means no log

	migrations fs.FS // nil means the embedded ones
}

// Validate sets the defaults and checks the options.
func (o *Options) Validate() error {
	if o.Dir == "" {
		return errors.New("data folder: empty; choose a folder, such as ./data")
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return fmt.Errorf("data folder %q: %w", o.Dir, err)
	}
	o.Dir = dir
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.migrations == nil {
		if o.migrations, err = fs.Sub(migrations, sqliteMigrations); err != nil {
			return err
		}
	}
	return nil
}

func (o *Options) path(name string) string { return filepath.Join(o.Dir, name) }

// Store is an open data folder. It is safe for concurrent use.
type Store struct {
	Write *ent.Client // one connection; inside a transaction, use only the transaction's client
	Read  *ent.Client // a few read-only connections; a query sees everything committed before it started

	Installation string // random, created with the store; workloads have it as a label

	dir    string // absolute
	aead   tink.AEAD
	writer *sql.DB
	reader *sql.DB
	lock   *folderLock // nil with Options.Shared
	space  space

	archiving sync.Mutex // held while lines of the audit log are archived
	followers []func(context.Context, Commit)

	closeOnce sync.Once
	closeErr  error
}

// Open opens the store in opts.Dir. It creates the store if there is none, and migrates a store of an older uws. It
// returns a *LockedError if another uws uses the folder. The caller must close the store.
func Open(ctx context.Context, opts Options) (_ *Store, err error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	if opts.Existing && !Exists(opts.Dir) {
		return nil, fmt.Errorf("there is no store in %s; choose another data folder", opts.Dir)
	}
	if err := prepareDir(opts.Dir); err != nil {
		return nil, err
	}
	lock := &folderLock{path: opts.path(lockName)}
	keep := false
	defer func() {
		if !keep {
			err = errors.Join(err, lock.release())
		}
	}()
	if !opts.Shared {
		if err := lock.acquire(); err != nil {
			return nil, explain(err, opts.Dir)
		}
	}

	aead, installation, err := ready(ctx, opts, lock)
	if err != nil {
		return nil, explain(err, opts.Dir)
	}
	s := &Store{Installation: installation, dir: opts.Dir, aead: aead, space: space{dir: opts.Dir}}
	if err := s.connect(ctx, opts.path(dbName)); err != nil {
		return nil, errors.Join(explain(err, opts.Dir), s.Close())
	}
	if !opts.Shared {
		s.lock, keep = lock, true
	}
	return s, nil
}

// ready makes sure that there is a store with the present schema, or returns why that is not possible. It takes the
// lock before it changes anything.
func ready(ctx context.Context, opts Options, lock *folderLock) (tink.AEAD, string, error) {
	exists, err := storeExists(opts)
	if err == nil && !exists {
		if err := lock.acquire(); err != nil {
			return nil, "", err
		}
		exists, err = storeExists(opts) // check again: another process may have created it before we had the lock
	}
	switch {
	case err != nil:
		return nil, "", err
	case !exists:
		return create(ctx, opts)
	}

	aead, err := loadKey(opts)
	if err != nil {
		return nil, "", err
	}
	found, err := inspect(ctx, opts)
	if err != nil {
		return nil, "", err
	}
	if err := checkKey(aead, found, opts); err != nil {
		return nil, "", err
	}
	if newest := latestVersion(opts.migrations); found.version < newest {
		if err := lock.acquire(); err != nil {
			return nil, "", fmt.Errorf("the store must be migrated first: %w", err)
		}
		if err := migrateFile(ctx, opts.path(dbName), opts.migrations); err != nil {
			return nil, "", err
		}
		opts.Log.InfoContext(ctx, "store migrated", "dir", opts.Dir, "from", found.version, "to", newest)
	}
	return aead, found.installation, nil
}

// connect opens both pools.
func (s *Store) connect(ctx context.Context, path string) error {
	var err error
	if s.writer, err = openPool(ctx, path, writerSettings, 1); err != nil {
		return fmt.Errorf("open %s for writing: %w", path, err)
	}
	if s.reader, err = openPool(ctx, path, readerSettings, readers); err != nil {
		return fmt.Errorf("open %s for reading: %w", path, err)
	}
	s.Write = ent.NewClient(ent.Driver(watched{entsql.OpenDB(dialect.SQLite, s.writer), &s.space}))
	follow(s.Write)
	s.Read = ent.NewClient(ent.Driver(entsql.OpenDB(dialect.SQLite, s.reader)))
	return nil
}

// Ping returns an error unless the store can be read and written. It takes the write lock and releases it.
func (s *Store) Ping(ctx context.Context) error {
	if _, err := s.Read.Installation.Query().Count(ctx); err != nil {
		return fmt.Errorf("read the store: %w", err)
	}
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("write to the store: %w", err)
	}
	if err := tx.Rollback(); err != nil {
		return fmt.Errorf("write to the store: %w", err)
	}
	return nil
}

// Close closes the database and releases the lock of the folder. Later calls are no-ops.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		var errs []error
		for _, db := range []*sql.DB{s.reader, s.writer} {
			if db != nil {
				errs = append(errs, db.Close())
			}
		}
		if s.lock != nil {
			errs = append(errs, s.lock.release())
		}
		s.closeErr = errors.Join(errs...)
	})
	return s.closeErr
}
