package repo

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"

	"github.com/kopia/kopia/snapshot"
	"golang.org/x/sync/errgroup"
)

// Verify reads every file of a snapshot from the storage, without any cache, and fails if one is not what was saved.
// Progress is called with the number of bytes of files read so far, by several goroutines; it can be nil. It finds a changed bit
// in everything that a restore of the snapshot needs; kopia fills up objects with random bytes, in which a changed bit does no
// harm. Errors: [ErrNotFound], *[DamageError], *[LocationError].
func (r *Repository) Verify(ctx context.Context, id string, progress func(bytes int64)) (err error) {
	k, err := r.fresh(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, k.Close(context.WithoutCancel(ctx))) }()
	m, err := loadManifest(ctx, k, id)
	if err != nil {
		return err
	}
	if progress == nil {
		progress = func(int64) {}
	}
	var read atomic.Int64
	count := writerFunc(func(p []byte) (int, error) {
		progress(read.Add(int64(len(p))))
		return len(p), nil
	})
	workers, ctx := errgroup.WithContext(ctx)
	workers.SetLimit(2 * runtime.GOMAXPROCS(0))
	walked := walk(ctx, k, "", m.RootEntry, func(at string, e *snapshot.DirEntry) error {
		if e.Type != snapshot.EntryTypeDirectory {
			workers.Go(func() error { return damage(ctx, "/"+at, copyObject(ctx, k, e, count)) })
		}
		return nil
	})
	if err := workers.Wait(); err != nil {
		return err // why walking ended
	}
	return walked
}
