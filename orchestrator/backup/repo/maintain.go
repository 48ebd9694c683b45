package repo

import (
	"context"
	"errors"
	"fmt"
	"time"

	kopia "github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/maintenance"
	"github.com/kopia/kopia/snapshot/snapshotgc"
)

const (
	maxSkew    = 5 * time.Minute // of kopia
	unfinished = 24 * time.Hour  // after which a file that is not finished is of a process that died
	longSave   = time.Hour       // kopia expects that a save shows what it uses within this time
)

// Maintained is what maintenance did.
type Maintained struct {
	Freed    int64 // bytes that were deleted, less those that were written for it
	Duration time.Duration
}

// Maintain keeps the repository fast, which is due every hour or so, and if it is full, which is due once a day, drops what
// no snapshot uses. What was deleted is dropped a day later, and its space is free within three days: until then, a save may
// use it again.
//
// It runs once at a time. Errors: [ErrBusy] if it is running, or if it is full and a save has been running for more than an
// hour; [ErrNotOwner]; [ErrClock]; *[LocationError].
func (r *Repository) Maintain(ctx context.Context, full bool) (Maintained, error) {
	begin := r.o.now()
	mode := maintenance.ModeQuick
	if full {
		mode = maintenance.ModeFull
		if r.savingSince(begin.Add(-longSave)) {
			return Maintained{}, fmt.Errorf("%w: a save has been running for more than an hour", ErrBusy)
		}
	}
	if err := r.checkClock(ctx); err != nil {
		return Maintained{}, err
	}
	sizes, err := r.sizes(ctx)
	if err != nil {
		return Maintained{}, err
	}
	t := &tally{sizes: sizes}
	if err := r.runMaintenance(withTally(ctx, t), mode); err != nil {
		return Maintained{}, err
	}
	if full {
		if err := r.st.sweep(ctx, begin.Add(-unfinished)); err != nil {
			return Maintained{}, err
		}
	}
	return Maintained{Freed: max(0, t.freed.Load()), Duration: r.o.now().Sub(begin)}, nil
}

// savingSince reports whether a save is running that began before a time.
func (r *Repository) savingSince(t time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, begin := range r.saves {
		if begin.Before(t) {
			return true
		}
	}
	return false
}

func (r *Repository) runMaintenance(ctx context.Context, mode maintenance.Mode) error {
	safety := maintenance.SafetyFull
	if r.o.AtOnce {
		safety = maintenance.SafetyNone
	}
	ran := false
	err := kopia.DirectWriteSession(ctx, r.direct, kopia.WriteSessionOptions{Purpose: "maintain"}, func(ctx context.Context, w kopia.DirectRepositoryWriter) error {
		// snapshotmaintenance.Run does the same, but says nil if another is running, and enables kopia's log in the repository.
		return maintenance.RunExclusive(ctx, w, mode, false, func(ctx context.Context, p maintenance.RunParameters) error {
			ran = true
			if mode == maintenance.ModeFull {
				if err := snapshotgc.Run(ctx, w, true, safety, p.MaintenanceStartTime); err != nil {
					return err
				}
			}
			return maintenance.Run(ctx, p, safety)
		})
	})
	if owner, ok := errors.AsType[maintenance.NotOwnedError](err); ok {
		return fmt.Errorf("%w: %s does the maintenance of this repository", ErrNotOwner, owner.Owner)
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return fmt.Errorf("maintenance: %w", err)
	case !ran:
		return fmt.Errorf("%w: maintenance is running", ErrBusy)
	}
	return nil
}

// Own makes this installation the one that maintains the repository. It is for when the one that did so is gone.
func (r *Repository) Own(ctx context.Context) error {
	return kopia.WriteSession(ctx, r.direct, kopia.WriteSessionOptions{Purpose: "own"}, func(ctx context.Context, w kopia.RepositoryWriter) error {
		p := maintenance.DefaultParams()
		p.Owner = r.direct.ClientOptions().UsernameAtHost()
		return maintenance.SetParams(ctx, w, &p)
	})
}

// checkClock returns [ErrClock] if the clock of the storage differs from ours by more than kopia allows.
func (r *Repository) checkClock(ctx context.Context) error {
	const name = testPrefix + "clock"
	if err := r.st.put(ctx, name, []byte("The time of this object is compared with a clock.\n")); err != nil {
		return err
	}
	info, err := r.st.stat(ctx, name)
	if err != nil {
		return err
	}
	if skew := info.At.Sub(r.o.now()); skew.Abs() > maxSkew {
		return fmt.Errorf("%w by %s: it is %s at %s. Correct the clock that is wrong", ErrClock, skew.Abs().Round(time.Second), info.At.UTC().Format(time.RFC3339), r.st.where())
	}
	return nil
}
