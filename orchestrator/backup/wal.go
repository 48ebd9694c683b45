package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/backup/method/postgres"
	"github.com/unicorn-web-services/uws/orchestrator/backup/repo"
)

// walIndex lists what a target has of the log of a service, oldest first. It is in the target, so that an installation
// that knows nothing else can restore to a point in time.
type walIndex struct {
	Format int      `json:"format"` // 1
	Logs   []walLog `json:"logs"`
}

// walLog is a part of the log without a gap. Its segments are objects of its own, so that those of other data never take
// their place.
type walLog struct {
	ID string `json:"id"`
	postgres.Log
	Begun time.Time `json:"begun"` // base backups from then on can be restored with it
}

const (
	walRoot      = "logs/"
	walIndexName = "/index.json"
	maxWALLogs   = 100 // in an index: the newest ones
	// walSlack is how much the clocks of a target and of uws may differ.
	walSlack = time.Hour
	// walAlone is how long a log is kept without a backup that it belongs to.
	walAlone = 24 * time.Hour
)

// readWAL returns what a target has of the log of a service.
func readWAL(ctx context.Context, r *repo.Repository, serviceID string) (walIndex, error) {
	text, err := r.Get(ctx, walRoot+serviceID+walIndexName)
	if errors.Is(err, repo.ErrNotFound) {
		return walIndex{Format: 1}, nil
	}
	var x walIndex
	if err == nil {
		err = json.Unmarshal(text, &x)
	}
	if err == nil && x.Format != 1 {
		err = fmt.Errorf("the log was stored by a newer uws (format %d, and this one reads 1); use that version", x.Format)
	}
	return x, err
}

// write stores the index of a service.
func (x walIndex) write(ctx context.Context, r *repo.Repository, serviceID string) error {
	x.Logs = x.Logs[max(0, len(x.Logs)-maxWALLogs):]
	text, err := json.Marshal(x)
	if err != nil {
		return err
	}
	return r.Put(ctx, walRoot+serviceID+walIndexName, text)
}

// newest returns the log that is being received; nil if there is none yet.
func (x walIndex) newest() *walLog {
	if len(x.Logs) == 0 {
		return nil
	}
	return &x.Logs[len(x.Logs)-1]
}

// after returns the log that follows a base backup; nil if there is none.
func (x walIndex) after(base postgres.Details) *walLog {
	i := slices.IndexFunc(x.Logs, func(l walLog) bool { return l.Follows(base) })
	if i < 0 {
		return nil
	}
	return &x.Logs[i]
}

// object returns the name of a segment in the target.
func (l walLog) object(serviceID, segment string) string {
	return walRoot + serviceID + "/" + l.ID + "/" + segment
}

// pointIn returns how a backup is restored to a point in time. InvalidInput, which names the window, if it cannot be.
func pointIn(ctx context.Context, r *repo.Repository, m *manifest, at time.Time) (postgres.At, error) {
	var base postgres.Details
	if m.How != byBaseBackup {
		return postgres.At{}, orchestrator.Errorf(orchestrator.InvalidInput, "at", "this backup can be restored to its own end alone; leave the argument out, or choose a backup that PostgreSQL was running for")
	}
	if err := json.Unmarshal(m.Saved.Details, &base); err != nil {
		return postgres.At{}, fmt.Errorf("the details of the backup are damaged: %w", err)
	}
	x, err := readWAL(ctx, r, m.ServiceID)
	if err != nil {
		return postgres.At{}, fmt.Errorf("the log: %w", err)
	}
	log := x.after(base)
	if log == nil {
		return postgres.At{}, orchestrator.Errorf(orchestrator.InvalidInput, "at", "no log follows this backup, so that it can be restored to its own end alone; leave the argument out, or choose another backup")
	}
	to := postgres.At{Time: at, Base: base, Until: log.RestorableTo, Fetch: func(ctx context.Context, name string) ([]byte, error) {
		data, err := r.Get(ctx, log.object(m.ServiceID, name))
		if errors.Is(err, repo.ErrNotFound) {
			return nil, fs.ErrNotExist
		}
		return data, err
	}}
	if !to.Until.After(base.StoppedAt) {
		return to, orchestrator.Errorf(orchestrator.InvalidInput, "at", "no log that follows this backup is stored yet; leave the argument out, choose an earlier backup, or try again in a minute")
	}
	if err := to.Within(); err != nil {
		return to, orchestrator.Errorf(orchestrator.InvalidInput, "at", "%v by this backup; an earlier time needs an earlier backup", err)
	}
	return to, nil
}

// checkPoint returns InvalidInput for a time that a backup cannot be restored to; nil is its end.
func (b *Backups) checkPoint(ctx context.Context, x *ent.Backup, m *manifest, at *time.Time) error {
	if at == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	r, err := b.open(ctx, x.TargetID)
	if err == nil {
		err = b.writeNewest(ctx, r, m.ServiceID)
	}
	if err == nil {
		_, err = pointIn(ctx, r, m, *at)
	}
	if _, ok := orchestrator.AsError(err); err == nil || ok {
		return err
	}
	return orchestrator.Errorf(orchestrator.Unavailable, "id", "the log cannot be read now: %v", err)
}

// writeNewest stores up to when the log that is being received can be restored: the index is stored once a minute only.
func (b *Backups) writeNewest(ctx context.Context, r *repo.Repository, serviceID string) error {
	x, err := readWAL(ctx, r, serviceID)
	if err != nil {
		return err
	}
	last, now := x.newest(), b.logOf(serviceID)
	if last == nil || last.ID != now.ID || !now.RestorableTo.After(last.RestorableTo) {
		return nil
	}
	*last = now
	return x.write(ctx, r, serviceID)
}

// logOf returns the newest log of a service, as far as it is stored.
func (b *Backups) logOf(serviceID string) (log walLog) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r := b.services[serviceID]; r != nil {
		log = r.wal.log
	}
	return log
}

// trimWAL deletes the logs in a target that no backup needs: a backup needs what was stored after it was begun. What backups there
// are, the target says: another installation may have taken some.
func trimWAL(ctx context.Context, r *repo.Repository, now time.Time) error {
	backups, err := r.Snapshots(ctx, nil)
	if err != nil {
		return err
	}
	objects, err := r.Names(ctx, walRoot)
	if err != nil {
		return err
	}
	oldest := map[string]time.Time{}
	for _, s := range backups {
		id := s.Labels[labelService]
		if _, ok := oldest[id]; !ok { // the oldest come first
			oldest[id] = s.At
		}
	}
	for _, o := range objects {
		id, _, _ := strings.Cut(strings.TrimPrefix(o.Name, walRoot), "/")
		until := now.Add(-walAlone)
		if at, ok := oldest[id]; ok {
			until = at.Add(-walSlack)
		}
		if !o.At.Before(until) {
			continue
		}
		if err := r.Remove(ctx, o.Name); err != nil {
			return err
		}
	}
	return nil
}
