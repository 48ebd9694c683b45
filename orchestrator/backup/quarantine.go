package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/ent/restore"
	"github.com/unicorn-web-services/uws/ent/service"
	entvolume "github.com/unicorn-web-services/uws/ent/volume"
	"github.com/unicorn-web-services/uws/internal/clean"
	"github.com/unicorn-web-services/uws/internal/fault"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/backup/method"
	"github.com/unicorn-web-services/uws/orchestrator/backup/method/nats"
	"github.com/unicorn-web-services/uws/orchestrator/backup/method/postgres"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/snapshot"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

const (
	// releaseWait is how long it may take to put back what was left out of streams: mirrors are copied.
	releaseWait = time.Hour
	// releaseFolder has a folder for each volume whose streams are being changed, with those that were deleted for it.
	releaseFolder = "releases"
	maxHeldBack   = 300
)

// quarantineOf returns what keeps a service that is made of a backup from acting on others; nil if nothing in it would.
func quarantineOf(m *manifest) (*lifecycle.Quarantine, error) {
	switch {
	case m.Definition.Probe.Type == "postgres":
		return &lifecycle.Quarantine{
			HeldBack: "subscriptions are not followed, and no preloaded libraries run, such as those that schedule jobs",
			Args:     postgres.Quarantine(),
		}, nil
	case m.How == byStreams:
		aside, err := asideOf(m.Saved)
		if err != nil || len(aside) == 0 {
			return nil, err
		}
		text, err := json.Marshal(aside)
		names := strings.Join(slices.Sorted(maps.Keys(aside)), ", ")
		return &lifecycle.Quarantine{HeldBack: clean.Clip(clean.Line("streams take no messages from those that they mirror or have as sources: "+names), maxHeldBack), Aside: text}, err
	}
	return nil, nil
}

// asideOf returns what makes streams take messages from others.
func asideOf(saved method.Saved) (map[string]nats.Aside, error) {
	var details nats.Details
	if err := json.Unmarshal(saved.Details, &details); err != nil {
		return nil, fmt.Errorf("the manifest of the backup is damaged: %w", err)
	}
	return details.Aside, nil
}

// keepAside adds what a service in quarantine is kept from to its backup, so that one that is made of that has it too.
func keepAside(saved *method.Saved, q *lifecycle.Quarantine) error {
	if q == nil || len(q.Aside) == 0 {
		return nil
	}
	var details nats.Details
	kept := map[string]nats.Aside{}
	if err := errors.Join(json.Unmarshal(saved.Details, &details), json.Unmarshal(q.Aside, &kept)); err != nil {
		return err
	}
	maps.Copy(kept, details.Aside)
	details.Aside = kept
	var err error
	saved.Details, err = json.Marshal(details)
	return err
}

// EndQuarantine implements [orchestrator.BackupVerbs].
func (b *Backups) EndQuarantine(ctx context.Context, id string) (*orchestrator.Service, error) {
	row, err := b.Snapshot.Row(ctx, id)
	if err != nil || row.Quarantine == nil {
		return snapshot.ServiceOf(row), err
	}
	if len(row.Quarantine.Aside) == 0 {
		return b.endQuarantine(ctx, id)
	}
	if s := snapshot.ServiceOf(row); s.DesiredState != lifecycle.WantRunning || s.Phase != lifecycle.Running || !s.Health.Healthy() {
		return nil, orchestrator.Errorf(orchestrator.Conflict, "id", "service %s is %s and %s, and its streams are changed while it works; wait until it is HEALTHY", s.Name, s.Phase, s.Health)
	}
	type result struct {
		s   *orchestrator.Service
		err error
	}
	ended := make(chan result, 1)
	b.work.Go(func(ctx context.Context) { // also if the caller goes away: no stream is left half
		s, err := b.release(ctx, id)
		ended <- result{s, err}
	})
	select {
	case r := <-ended:
		return r.s, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// release puts back what was left out of the streams of a service, and ends its quarantine. It can be repeated.
func (b *Backups) release(ctx context.Context, id string) (*orchestrator.Service, error) {
	if !b.beginEnding(id) {
		return nil, orchestrator.Errorf(orchestrator.Conflict, "id", "the quarantine of this service is being ended already; wait until `quarantined` is false")
	}
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.ending, id)
	}()
	ctx, cancel := context.WithTimeout(ctx, releaseWait)
	defer cancel()
	s, err := b.Snapshot.Row(ctx, id)
	if err != nil {
		return nil, err
	}
	folder := filepath.Join(b.Dir, releaseFolder, s.Volume)
	if s.Quarantine != nil {
		if err := restored(ctx, b.Store.Read, s); err != nil {
			return nil, err
		}
		if err := b.putBack(ctx, s, folder); err != nil {
			return nil, orchestrator.Errorf(orchestrator.Unavailable, "id", "its streams could not be changed, and it stays in quarantine; call endQuarantine again: %v", err)
		}
		fault.Point("quarantine-released")
	}
	out, err := b.endQuarantine(ctx, id)
	if err != nil {
		return nil, err
	}
	return out, os.RemoveAll(folder)
}

// beginEnding claims the end of a quarantine. It reports false if that is under way already.
func (b *Backups) beginEnding(id string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ending[id] {
		return false
	}
	b.ending[id] = true
	return true
}

// putBack gives streams back what they were kept from.
func (b *Backups) putBack(ctx context.Context, s *ent.Service, folder string) error {
	var aside map[string]nats.Aside
	if err := json.Unmarshal(s.Quarantine.Aside, &aside); err != nil {
		return err
	}
	in, err := b.instance(ctx, s.ID)
	if err != nil {
		return err
	}
	return nats.Method{Folder: b.Dir}.Release(ctx, in, aside, folder)
}

// endQuarantine records the end of the quarantine of a service. Its instance is replaced if it was started otherwise for it.
func (b *Backups) endQuarantine(ctx context.Context, id string) (*orchestrator.Service, error) {
	var s *ent.Service
	err := b.Store.Update(ctx, func(ctx context.Context, tx *ent.Tx) (err error) {
		if s, err = tx.Service.Get(ctx, id); err != nil || s.Quarantine == nil {
			return err
		}
		if err := restored(ctx, tx.Client(), s); err != nil {
			return err
		}
		now := store.Now()
		up := tx.Service.UpdateOne(s).ClearQuarantine().SetRecordStale(true).SetUpdatedAt(now)
		if len(s.Quarantine.Args) > 0 {
			up.AddSpecGeneration(1)
		}
		if s, err = up.Save(ctx); err != nil {
			return err
		}
		return b.Fleet.ChangeEvent(tx, now, s, s).SetReason("quarantine ended: it acts on others as the service that was backed up").SetReasonCode(lifecycle.CodeQuarantineEnded).Exec(ctx)
	})
	if err != nil {
		return nil, snapshot.NotFound(err, "service", id)
	}
	fault.Point("quarantine-ended")
	b.log.Info("quarantine ended", "service", s.Name, "id", s.ID)
	return snapshot.ServiceOf(s), nil
}

// restored returns Conflict unless a service is made and stays.
func restored(ctx context.Context, c *ent.Client, s *ent.Service) error {
	if s.DesiredState == lifecycle.WantRemoved {
		return orchestrator.Errorf(orchestrator.Conflict, "id", "service %s is being removed; nothing else can be done with it", s.Name)
	}
	making, err := c.Restore.Query().Where(restore.ServiceID(s.ID), restore.FinishedAtIsNil()).Exist(ctx)
	if err == nil && making {
		err = orchestrator.Errorf(orchestrator.Conflict, "id", "service %s is still being made from its backup; wait until the restore is COMPLETE", s.Name)
	}
	return err
}

// resumeReleases goes on with changes of streams that were interrupted by the end of uws.
func (b *Backups) resumeReleases() {
	left, err := os.ReadDir(filepath.Join(b.Dir, releaseFolder))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		b.log.Error("looking for interrupted changes of streams failed", "error", err)
	}
	for _, f := range left {
		b.work.Go(func(ctx context.Context) {
			if err := b.resumeRelease(ctx, f.Name()); err != nil && ctx.Err() == nil {
				b.log.Error("going on with the end of a quarantine failed; call endQuarantine again", "volume", f.Name(), "error", err)
			}
		})
	}
}

// resumeRelease goes on with the streams of a volume, once its service works. What was kept of deleted data is removed.
func (b *Backups) resumeRelease(ctx context.Context, volume string) error {
	known, err := b.Store.Read.Volume.Query().Where(entvolume.ID(volume)).Exist(ctx)
	if err != nil {
		return err
	}
	if !known {
		return os.RemoveAll(filepath.Join(b.Dir, releaseFolder, volume))
	}
	id, err := b.Store.Read.Service.Query().Where(service.Volume(volume)).OnlyID(ctx)
	if err == nil {
		err = b.healthy(ctx, id)
	}
	if err == nil {
		_, err = b.release(ctx, id)
	}
	return ignoreMissing(err) // retained data waits for a service
}
