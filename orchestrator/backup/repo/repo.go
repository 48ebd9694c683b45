package repo

import (
	"bytes"
	"context"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	kopia "github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/format"
)

// Errors that callers branch on.
var (
	ErrNone     = errors.New("there is no repository")
	ErrForeign  = errors.New("not a repository of uws")
	ErrWrongKey = errors.New("the key is not the one of this repository")
	ErrBusy     = errors.New("busy")              // maintenance, or a save that it must not overlap, is running
	ErrNotOwner = errors.New("not the owner")     // another installation does maintenance; see [Repository.Own]
	ErrDamaged  = errors.New("damaged")           // see [DamageError]
	ErrClock    = errors.New("the clocks differ") // of this machine and of the storage, by more than 5 minutes
)

// DamageError means that what is stored cannot be read back as it was written. It is an [ErrDamaged].
type DamageError struct {
	Path string // of a file in a snapshot, the name of an object, or empty if all of the repository is concerned
	Err  error
}

func (e *DamageError) Error() string {
	if e.Path == "" {
		return fmt.Sprintf("the repository is damaged: %v", e.Err)
	}
	return fmt.Sprintf("%s is damaged: %v", e.Path, e.Err)
}

// Unwrap returns the reason, and [ErrDamaged].
func (e *DamageError) Unwrap() []error { return []error{ErrDamaged, e.Err} }

// damage returns an error from reading what is stored at path: a *[DamageError], unless the storage failed or ctx ended.
func damage(ctx context.Context, path string, err error) error {
	switch {
	case err == nil, isLocationError(err), errors.Is(err, ErrDamaged):
		return err
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return &DamageError{Path: path, Err: err}
}

// Options say how to open a repository.
type Options struct {
	Location Location
	Key      Key
	// Scratch is a folder for small files that kopia wants to have, without secrets. It can be deleted while no repository is
	// open, and repositories can share it. There are no caches but in memory: of indexes, and of the last 16 MB read.
	Scratch string
	// Owner is the id of this installation, by default "uws". One owner does the maintenance of a repository.
	Owner string
	Log   *slog.Logger
	// ReadRate and WriteRate limit the bytes per second; 0 is unlimited.
	ReadRate, WriteRate int64
	// Timeout is how long one call of the storage may make no progress; by default 30 s.
	Timeout time.Duration
	// Now is the clock; by default that of this machine.
	Now func() time.Time
	// AtOnce makes Maintain drop unused data without the margins that protect saves of others. It is for tests.
	AtOnce bool
}

const (
	splitter = "FIXED-1M" // fixed pieces, since engines change their files in place
	user     = "uws"
)

func (o *Options) validate() error {
	if err := o.Location.Validate(); err != nil {
		return err
	}
	if !filepath.IsAbs(o.Scratch) {
		return fmt.Errorf("scratch: %q is not the absolute path of a folder", o.Scratch)
	}
	return nil
}

func (o *Options) now() time.Time {
	if o.Now != nil {
		return o.Now()
	}
	return time.Now()
}

func (o *Options) owner() string {
	if o.Owner != "" {
		return o.Owner
	}
	return user
}

// Repository is an open repository. Its methods can be called at the same time.
type Repository struct {
	o      Options
	dir    string // in Scratch
	st     *storage
	direct kopia.DirectRepository
	seal   cipher.AEAD // of the objects beside the snapshots

	mu    sync.Mutex
	saves map[*session]time.Time // those that are running, by their beginning
}

// Open opens the repository at the location. Errors: [ErrNone], [ErrForeign], [ErrWrongKey], *[LocationError], *[DamageError].
func Open(ctx context.Context, o Options) (*Repository, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	s, err := o.Location.open()
	if err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	r := &Repository{o: o, st: &storage{guarded: guard(s, o.Timeout, o.ReadRate, o.WriteRate)}, saves: map[*session]time.Time{}}
	if err := r.open(ctx); err != nil {
		s.close()
		return nil, err
	}
	return r, nil
}

func (r *Repository) open(ctx context.Context) error {
	var b bytes.Buffer
	if err := r.st.get(ctx, format.KopiaRepositoryBlobID, 0, -1, &b, b.Reset); isNotFound(err) {
		return r.absent(ctx)
	} else if err != nil {
		return err
	}
	r.st.attach()
	sum := sha256.Sum256(b.Bytes()) // two repositories that were at the same place are not mixed up
	r.dir = filepath.Join(r.o.Scratch, hex.EncodeToString(sum[:8]))
	var err error
	r.direct, err = r.connect(ctx, "kopia.json", kopia.ClientOptions{})
	if errors.Is(err, kopia.ErrInvalidPassword) {
		found, inspectErr := inspect(ctx, r.st.guarded)
		switch {
		case inspectErr != nil:
			return inspectErr
		case found.State == Foreign:
			return fmt.Errorf("%w: it is %s", ErrForeign, found.Name)
		}
		return ErrWrongKey
	} else if err != nil {
		return damage(ctx, "", err)
	}
	r.seal, err = sealer(r.o.Key)
	return err
}

// absent returns why there is no repository to open.
func (r *Repository) absent(ctx context.Context) error {
	found, err := inspect(ctx, r.st.guarded)
	switch {
	case err != nil:
		return err
	case found.State == Empty:
		return fmt.Errorf("%w at %s: mount the disk that holds it, or name the place where it is", ErrNone, r.o.Location)
	}
	return fmt.Errorf("%w: it is %s", ErrForeign, found.Name)
}

// connect opens the repository as kopia wants it, by a configuration file, which holds no secrets.
func (r *Repository) connect(ctx context.Context, name string, client kopia.ClientOptions) (kopia.DirectRepository, error) {
	client.Hostname, client.Username = r.o.owner(), user
	text, err := json.Marshal(kopia.LocalConfig{
		Storage:       &blob.ConnectionInfo{Type: storageType, Config: &struct{}{}},
		ClientOptions: client,
	})
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(r.dir, 0o700); err != nil {
		return nil, fmt.Errorf("scratch: %w", err)
	}
	path := filepath.Join(r.dir, name)
	if err := replaceFile(path, text); err != nil {
		return nil, fmt.Errorf("scratch: %w", err)
	}
	opened, err := kopia.Open(withStorage(ctx, &readAhead{storage: r.st}), path, r.o.Key.Text(), &kopia.Options{
		TimeNowFunc:          r.o.Now,
		DisableRepositoryLog: true,
		DoNotWaitForUpgrade:  true,
		OnFatalError:         func(err error) { r.o.Log.Error("repository failed", "location", r.o.Location.String(), "error", err) },
	})
	if err != nil {
		return nil, err
	}
	direct, ok := opened.(kopia.DirectRepository)
	if !ok {
		return nil, errors.Join(errors.New("kopia opened something else than a repository"), opened.Close(ctx))
	}
	return direct, nil
}

func replaceFile(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+temporary)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, removeFile(f.Name()))
	}
	return nil
}

// fresh opens the repository once more, without writing: its indexes are read from the storage again too.
func (r *Repository) fresh(ctx context.Context) (kopia.DirectRepository, error) {
	direct, err := r.connect(ctx, "fresh.json", kopia.ClientOptions{ReadOnly: true})
	if err != nil {
		return nil, damage(ctx, "", err)
	}
	return direct, nil
}

// Size returns how many bytes the snapshots occupy at the location, without the objects of [Repository.Put].
func (r *Repository) Size(ctx context.Context) (int64, error) {
	var total int64
	sizes, err := r.sizes(ctx)
	for _, size := range sizes {
		total += size
	}
	return total, err
}

// sizes returns the sizes of kopia's objects.
func (r *Repository) sizes(ctx context.Context) (map[string]int64, error) {
	sizes := map[string]int64{}
	err := r.st.list(ctx, "", func(o ObjectInfo) error {
		if !ours(o.Name) {
			sizes[o.Name] = o.Size
		}
		return nil
	})
	return sizes, err
}

// Close releases the repository. No other method may be running.
func (r *Repository) Close(ctx context.Context) error {
	err := r.direct.Close(context.WithoutCancel(ctx))
	r.st.store.close()
	return err
}
