package backup

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/backup/method"
	"github.com/unicorn-web-services/uws/orchestrator/backup/repo"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

// Parts of a snapshot.
const (
	dataDir      = "data"        // of the engine
	archiveFile  = "archive.tar" // in it, for engines that are loaded over their own protocol
	manifestDir  = "uws"
	manifestFile = "backup.json"
)

// Labels of a snapshot, by which it is found.
const (
	labelBackup  = "uws-backup"
	labelService = "uws-service"
)

// manifest is what a backup holds beside the data: all that another installation needs to make the service again. It is
// encrypted like the data.
type manifest struct {
	Format      int                        `json:"format"` // 1
	ID          string                     `json:"id"`
	ServiceID   string                     `json:"serviceId"`
	Name        string                     `json:"name"`
	Labels      map[string]string          `json:"labels,omitempty"`
	Definition  catalog.Template           `json:"definition"`
	Credentials map[string]string          `json:"credentials"`
	Driver      catalog.Driver             `json:"driver"`
	NodeID      string                     `json:"nodeId"`
	PolicyID    string                     `json:"policyId,omitempty"`
	Trigger     orchestrator.BackupTrigger `json:"trigger"`
	Started     time.Time                  `json:"started"`
	How         how                        `json:"how"`
	Saved       method.Saved               `json:"saved"`

	paused time.Duration // how long the engine was frozen or stopped
}

// maxManifest bounds the manifest that is read: more than a template with 100,000 tables needs.
const maxManifest = 64 << 20

// part returns the manifest as a part of a snapshot.
func (m *manifest) part() repo.Part {
	return repo.Part{Dir: manifestDir, Write: func(_ context.Context, w io.Writer) error {
		text, err := json.Marshal(m)
		if err != nil {
			return err
		}
		t := tar.NewWriter(w)
		err = t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: manifestFile, Mode: 0o600, Size: int64(len(text)), ModTime: m.Started})
		if err == nil {
			_, err = t.Write(text)
		}
		return errors.Join(err, t.Close())
	}}
}

// manifestOf reads the manifest of a backup from its target. One that is damaged cannot be restored, which is recorded as a proof
// that failed.
func (b *Backups) manifestOf(ctx context.Context, x *ent.Backup) (*manifest, error) {
	reading, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	r, err := b.open(reading, x.TargetID)
	if err == nil {
		var m *manifest
		if m, err = readManifest(reading, r, x.Snapshot); err == nil {
			return m, nil
		}
	}
	if _, ok := orchestrator.AsError(err); ok {
		return nil, err
	}
	if errors.Is(err, repo.ErrDamaged) || errors.Is(err, repo.ErrNotFound) {
		if err := b.recordUnmade(ctx, x, proof{At: store.Now(), Reason: reasonOf(err)}); err != nil {
			return nil, err
		}
	}
	return nil, orchestrator.Errorf(orchestrator.Unavailable, "id", "the backup cannot be read now: %v", err)
}

// readManifest reads the manifest of a snapshot.
func readManifest(ctx context.Context, r *repo.Repository, snapshot string) (*manifest, error) {
	var text bytes.Buffer
	if err := r.Extract(ctx, snapshot, manifestDir, &limited{w: &text, left: maxManifest}, nil); err != nil {
		return nil, err
	}
	t := tar.NewReader(&text)
	for {
		h, err := t.Next()
		if err != nil {
			return nil, fmt.Errorf("this is no backup of uws: it has no file %s/%s: %w", manifestDir, manifestFile, err)
		}
		if h.Name != manifestFile {
			continue
		}
		m := &manifest{}
		if err := json.NewDecoder(t).Decode(m); err != nil {
			return nil, fmt.Errorf("the manifest of the backup is damaged: %w", err)
		}
		if m.Format != 1 {
			return nil, fmt.Errorf("this backup was made by a newer uws (format %d, and this one reads 1); use that version", m.Format)
		}
		return m, nil
	}
}

// limited fails after so many bytes.
type limited struct {
	w    io.Writer
	left int64
}

func (l *limited) Write(p []byte) (int, error) {
	if l.left -= int64(len(p)); l.left < 0 {
		return 0, errors.New("it is larger than a manifest can be")
	}
	return l.w.Write(p)
}
