// Package store opens the data folder: the database that ent's clients work on, the key that seals its
// secrets, and the lock that keeps a second uws out.
//
// Whatever stands in the way (another uws, a lost key, a damaged file, a store made by a newer uws) is
// found out by reading only: a refused Open leaves the folder as it was.
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

// The files of a data folder.
const (
	dbName   = "uws.db"
	keyName  = "uws.key"
	lockName = "uws.lock"
)

// Options say which store to open.
type Options struct {
	Dir      string       // the data folder; made when it is missing
	Key      string       // base64 of a keyset, as in a uws.key file; empty: the file uws.key in Dir
	Shared   bool         // for short commands: work beside a uws that serves the folder
	Existing bool         // whether to refuse a folder without a store, and not to make one
	Log      *slog.Logger // nil: nothing is logged

	migrations fs.FS // nil: the embedded ones
}

// Validate fills the defaults in.
func (o *Options) Validate() error {
	if o.Dir == "" {
		return errors.New("data folder: empty; name a folder, such as ./data")
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
	Write *ent.Client // one connection: inside a transaction, use the transaction's client only
	Read  *ent.Client // a few connections that cannot write; each sees what was committed before it looked

	Installation string // random, made with the store; workloads carry it as a label

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

// Open opens the store in opts.Dir, makes it when there is none, and migrates it when an older uws made it.
// A *LockedError says that another uws uses the folder. The caller closes the store.
func Open(ctx context.Context, opts Options) (_ *Store, err error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	if opts.Existing && !Exists(opts.Dir) {
		return nil, fmt.Errorf("there is no store in %s; name the data folder of one", opts.Dir)
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

// ready leaves a store of this version at its place, or says why it cannot. It takes the lock before it
// changes anything.
func ready(ctx context.Context, opts Options, lock *folderLock) (tink.AEAD, string, error) {
	exists, err := storeExists(opts)
	if err == nil && !exists {
		if err := lock.acquire(); err != nil {
			return nil, "", err
		}
		exists, err = storeExists(opts) // again: another may have made it before we had the lock
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
