package repo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	kopia "github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/manifest"
	"github.com/kopia/kopia/snapshot"
)

// Snapshot is a saved backup.
type Snapshot struct {
	ID     string
	At     time.Time // when the save began
	Bytes  int64     // of all files
	Files  int
	New    int64 // bytes that the save added to the location
	Labels map[string]string
}

func toSnapshot(m *snapshot.Manifest) Snapshot {
	s := Snapshot{
		ID:     string(m.ID),
		At:     m.StartTime.ToTime(),
		Bytes:  m.Stats.TotalFileSize,
		Files:  int(m.Stats.TotalFileCount),
		Labels: make(map[string]string, len(m.Tags)),
	}
	if m.StorageStats != nil {
		s.New = m.StorageStats.NewData.PackedContentBytes
	}
	for k, v := range m.Tags {
		if label, ok := strings.CutPrefix(k, tagPrefix); ok {
			s.Labels[label] = v
		}
	}
	return s
}

// Snapshots returns the snapshots that have all of these labels, the oldest first. Those that others saved since the
// repository was opened appear after 15 minutes at most.
func (r *Repository) Snapshots(ctx context.Context, labels map[string]string) ([]Snapshot, error) {
	want := map[string]string{manifest.TypeLabelKey: snapshot.ManifestType}
	for k, v := range labels {
		want[tagPrefix+k] = v
	}
	found, err := r.direct.FindManifests(ctx, want)
	if err != nil {
		return nil, damage(ctx, "", err)
	}
	all := make([]Snapshot, 0, len(found))
	for _, f := range found {
		m, err := loadManifest(ctx, r.direct, string(f.ID))
		if errors.Is(err, ErrNotFound) {
			continue // deleted meanwhile
		} else if err != nil {
			return nil, err
		}
		all = append(all, toSnapshot(m))
	}
	return all, nil
}

// Snapshot returns one snapshot, or [ErrNotFound].
func (r *Repository) Snapshot(ctx context.Context, id string) (Snapshot, error) {
	m, err := loadManifest(ctx, r.direct, id)
	if err != nil {
		return Snapshot{}, err
	}
	return toSnapshot(m), nil
}

func loadManifest(ctx context.Context, k kopia.Repository, id string) (*snapshot.Manifest, error) {
	m, err := snapshot.LoadSnapshot(ctx, k, manifest.ID(id))
	switch {
	case errors.Is(err, snapshot.ErrSnapshotNotFound):
		return nil, fmt.Errorf("snapshot %s: %w", id, ErrNotFound)
	case err != nil:
		return nil, damage(ctx, "", err)
	case m.RootEntry == nil || m.RootEntry.Type != snapshot.EntryTypeDirectory:
		return nil, &DamageError{Path: "snapshot " + id, Err: errors.New("it has no folder at its top")}
	}
	return m, nil
}

// Delete deletes snapshots, all or none. Those that do not exist are ignored. What they alone use is dropped by
// [Repository.Maintain], a day or more later.
func (r *Repository) Delete(ctx context.Context, ids ...string) error {
	return kopia.WriteSession(ctx, r.direct, kopia.WriteSessionOptions{Purpose: "delete"}, func(ctx context.Context, w kopia.RepositoryWriter) error {
		for _, id := range ids {
			_, err := snapshot.LoadSnapshot(ctx, w, manifest.ID(id)) // not another kind of manifest
			if errors.Is(err, snapshot.ErrSnapshotNotFound) {
				continue
			} else if err != nil {
				return damage(ctx, "", err)
			}
			if err := w.DeleteManifest(ctx, manifest.ID(id)); err != nil {
				return err
			}
		}
		return nil
	})
}
