package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	entbackup "github.com/unicorn-web-services/uws/ent/backup"
	"github.com/unicorn-web-services/uws/internal/clean"
	"github.com/unicorn-web-services/uws/internal/fault"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/backup/method"
	"github.com/unicorn-web-services/uws/orchestrator/backup/method/postgres"
	"github.com/unicorn-web-services/uws/orchestrator/backup/repo"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/control"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/fleet"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

var (
	errSilent    = errors.New("nothing was copied for too long, so it was given up")
	errCancelled = errors.New("cancelled on request")
	errFrozen    = errors.New("its files could not be copied while it was frozen")
)

const (
	// maxFrozen is how long an engine is frozen for a backup at most. One that takes longer is stopped for it.
	maxFrozen = 10 * time.Second
	// maxReason is how many bytes of an error are kept.
	maxReason = 2000
	// restWait is how long a backup waits for a service to be at rest.
	restWait = 10 * time.Minute
)

// queueBackups queues backups that were stored.
func (b *Backups) queueBackups(rows []*ent.Backup) {
	b.mu.Lock()
	for _, row := range rows {
		b.note(row)
		b.add(row.ID, row.TargetID, row.NodeID, row.Reason, func(ctx context.Context, j *job) { b.take(ctx, j, row) })
	}
	b.mu.Unlock()
	b.start()
}

// take takes a backup, and records how it ended.
func (b *Backups) take(ctx context.Context, j *job, row *ent.Backup) {
	began := time.Now()
	saved := &manifest{}
	snap, err := b.save(ctx, j, row, saved)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if b.work.Context().Err() != nil { // uws ends: it is taken again
		return
	}
	b.conclude(row.ID, func(ctx context.Context) error { return b.recordEnd(ctx, row.ID, snap, saved, err) })
	b.metrics.took(row, time.Since(began), err)
	b.noteUse(row.TargetID, err)
	b.measureSoon(ctx, row.TargetID)
}

// save copies the data of a service into the repository.
func (b *Backups) save(ctx context.Context, j *job, row *ent.Backup, m *manifest) (repo.Snapshot, error) {
	if err := b.startBackup(ctx, row.ID); err != nil {
		return repo.Snapshot{}, err
	}
	j.progress.enter("RUNNING", "opening the target", 0, openTimeout)
	r, err := b.open(ctx, row.TargetID)
	if err != nil {
		return repo.Snapshot{}, err
	}
	s, err := b.Snapshot.Row(ctx, row.ServiceID)
	if orchestrator.CodeOf(err) == orchestrator.NotFound {
		err = errors.New("the service was removed before its turn came")
	}
	if err != nil {
		return repo.Snapshot{}, err
	}
	n := b.Fleet.Lookup(s.NodeID)
	if n == nil {
		return repo.Snapshot{}, errors.New("it was never placed on a node, so that there is nothing to back up")
	}
	if m.Credentials, err = b.Vault.Accepted(ctx, s); err != nil {
		return repo.Snapshot{}, err
	}
	m.describe(row, s, n)
	var saver method.Saver
	if m.How, saver = b.live(s.Definition); saver == nil || s.DesiredState == lifecycle.WantStopped {
		m.How = byVolume
		return b.saveVolume(ctx, j, r, row, m)
	}
	return b.saveLive(ctx, j, r, s, saver, m)
}

// startBackup records that a backup has begun.
func (b *Backups) startBackup(ctx context.Context, id string) error {
	return b.Store.Update(ctx, func(ctx context.Context, tx *ent.Tx) error {
		return tx.Backup.UpdateOneID(id).SetState(entbackup.StateRUNNING).SetReason("being taken").SetStartedAt(store.Now()).AddVersion(1).Exec(ctx)
	})
}

// describe sets what a manifest says of the backup and its service.
func (m *manifest) describe(row *ent.Backup, s *ent.Service, n *fleet.Node) {
	m.Format, m.ID, m.ServiceID, m.Name, m.Labels, m.Definition = 1, row.ID, s.ID, s.Name, s.Labels, s.Definition
	m.Driver, m.NodeID, m.PolicyID, m.Trigger = catalog.Driver(n.Row().Driver), n.ID, row.PolicyID, orchestrator.BackupTrigger(row.Trigger)
	m.Started = store.Now()
}

// labels returns the labels of the snapshot of a backup.
func (m *manifest) labels() map[string]string {
	return map[string]string{labelBackup: m.ID, labelService: m.ServiceID}
}

// saveLive saves a running engine over its own protocol.
func (b *Backups) saveLive(ctx context.Context, j *job, r *repo.Repository, s *ent.Service, saver method.Saver, m *manifest) (repo.Snapshot, error) {
	in, err := b.instanceOf(s, m.Credentials)
	if err != nil {
		return repo.Snapshot{}, err
	}
	if m.How == byBaseBackup {
		if err := (postgres.Method{}).DropSlots(ctx, in, b.slotOf(s.ID)); err != nil {
			return repo.Snapshot{}, err
		}
	}
	j.progress.enter("RUNNING", "copying the data", b.sizeOf(s.ID), silence)
	file := ""
	if b.loader(m.How, false) != nil { // it has to have the archive as it was written
		file = archiveFile
	}
	data := repo.Part{Dir: dataDir, File: file, Write: func(ctx context.Context, w io.Writer) (err error) {
		m.Saved, err = saver.Save(ctx, in, w, nil)
		if err != nil {
			return err
		}
		return keepAside(&m.Saved, s.Quarantine)
	}}
	return r.Save(ctx, m.labels(), j.progress.copied, data, m.part())
}

// saveVolume saves the files of a volume: while the engine is frozen, or if that takes too long, while it is stopped.
func (b *Backups) saveVolume(ctx context.Context, j *job, r *repo.Repository, row *ent.Backup, m *manifest) (snap repo.Snapshot, err error) {
	stop := false
	for {
		j.progress.enter("RUNNING", "waiting until the service is at rest", 0, restWait)
		err = b.Reconciler.Copy(ctx, row.ServiceID, func(ctx context.Context, s *ent.Service, n *fleet.Node, spec driver.Spec) (err error) {
			c := &volumeCopy{b: b, s: s, n: n, spec: spec, m: m, stop: stop}
			snap, err = c.save(ctx, j, r)
			return err
		})
		if !errors.Is(err, errFrozen) || stop {
			return snap, err
		}
		stop = true
	}
}

// volumeCopy is one copy of the files of a volume at its node.
type volumeCopy struct {
	b    *Backups
	s    *ent.Service
	n    *fleet.Node
	spec driver.Spec
	m    *manifest
	stop bool // the engine, instead of freezing it

	within  context.Context // ends when a frozen engine has to go on
	release func() error    // lets it go on; it can be repeated
}

func (c *volumeCopy) save(ctx context.Context, j *job, r *repo.Repository) (snap repo.Snapshot, err error) {
	d, ok := c.n.Driver().(driver.Exporter)
	if !ok {
		return snap, fmt.Errorf("node %s cannot copy volumes", c.n.Name)
	}
	seen, err := c.n.Driver().Inspect(ctx, c.s.ID)
	if err != nil {
		return snap, err
	}
	var before method.Contents
	if seen.Running && !c.stop {
		if before, err = c.describe(ctx); err != nil {
			return snap, err
		}
	}
	c.m.Started = store.Now()
	if err := c.quiesce(ctx, seen.Running); err != nil {
		return snap, err
	}
	defer func() { err = errors.Join(err, c.release()) }()
	j.progress.enter("RUNNING", "copying the data", c.b.sizeOf(c.s.ID), silence)
	data := repo.Part{Dir: dataDir, Write: func(ctx context.Context, w io.Writer) error {
		exporting, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		defer context.AfterFunc(c.within, func() { cancel(context.Cause(c.within)) })()
		if err := errors.Join(d.Export(exporting, c.spec, w), c.release()); err != nil || len(before.Groups) == 0 {
			return err
		}
		after, err := c.describe(ctx)
		c.m.Saved.Contents = method.Unchanged(before, after)
		return err
	}}
	snap, err = r.Save(ctx, c.m.labels(), j.progress.copied, data, c.m.part())
	if err != nil && errors.Is(context.Cause(c.within), errFrozen) {
		err = errFrozen
	}
	return snap, err
}

// describe returns what a running engine holds, nothing if it cannot be asked.
func (c *volumeCopy) describe(ctx context.Context) (method.Contents, error) {
	d := describer(c.s.Definition)
	if d == nil {
		return method.Contents{}, nil
	}
	in, err := c.b.instanceOf(c.s, c.m.Credentials)
	if err != nil {
		return method.Contents{}, err
	}
	return d.Describe(ctx, in)
}

// quiesce keeps a running engine from writing until release.
func (c *volumeCopy) quiesce(ctx context.Context, running bool) error {
	c.within, c.release = ctx, func() error { return nil }
	if !running {
		return nil
	}
	began := time.Now()
	freezer, ok := c.n.Driver().(driver.Freezer)
	if c.stop || !ok {
		fault.Point("backup-stop")
		if c.m.Trigger != orchestrator.TriggerMove {
			c.b.log.Warn("stopping a service for its backup: copying its data takes longer than it can be frozen", "service", c.s.Name, "id", c.s.ID)
		}
		c.release = func() error { // package reconcile starts it again
			c.m.paused = time.Since(began)
			return nil
		}
		grace := c.s.Definition.Stop.Grace
		stopping, cancel := context.WithTimeout(ctx, grace+fleet.StopSlack)
		defer cancel()
		return c.n.Driver().Stop(stopping, c.s.ID, grace)
	}
	if err := freezer.Freeze(ctx, c.s.ID); err != nil {
		return fmt.Errorf("freezing it: %w", err)
	}
	fault.Point("backup-frozen")
	within, cancel := context.WithTimeoutCause(ctx, maxFrozen, errFrozen)
	c.within = within
	c.release = sync.OnceValue(func() error {
		defer cancel()
		thawing, done := context.WithTimeout(context.WithoutCancel(ctx), fleet.StopSlack)
		defer done()
		err := freezer.Thaw(thawing, c.s.ID)
		c.m.paused = time.Since(began)
		if err != nil {
			return fmt.Errorf("thawing it: %w", err)
		}
		return nil
	})
	return nil
}

// sizeOf returns how many bytes the newest backup of a service had, 0 if there is none.
func (b *Backups) sizeOf(serviceID string) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r := b.services[serviceID]; r != nil && len(r.complete) > 0 {
		return r.complete[len(r.complete)-1].bytes
	}
	return 0
}

// reasonOf returns why a backup or a restore failed, for people: of a target that fails what that says, without the way on which
// it was met.
func reasonOf(err error) string {
	if at, ok := errors.AsType[*repo.LocationError](err); ok {
		err = at
	}
	return clean.Clip(clean.Line(err.Error()), maxReason)
}

// recordEnd records how a backup ended, with its event.
func (b *Backups) recordEnd(ctx context.Context, id string, snap repo.Snapshot, m *manifest, failed error) error {
	var row *ent.Backup
	err := b.Store.Update(ctx, func(ctx context.Context, tx *ent.Tx) (err error) {
		now := store.Now()
		up := tx.Backup.UpdateOneID(id).SetFinishedAt(now).SetPausedMs(m.paused.Milliseconds()).AddVersion(1)
		var code lifecycle.ReasonCode
		var reason string
		switch {
		case failed == nil:
			code, reason = lifecycle.CodeBackupComplete, "backup complete: "+size(snap.Bytes)+", of which "+size(snap.New)+" were new"
			contents, err := contentsOf(m.Saved.Contents)
			if err != nil {
				return err
			}
			up.SetState(entbackup.StateCOMPLETE).SetSnapshot(snap.ID).SetStartedAt(m.Started).SetBytes(snap.Bytes).SetStoredBytes(snap.New).SetFiles(snap.Files).SetContents(contents)
		case errors.Is(failed, errCancelled):
			code, reason = lifecycle.CodeBackupCancelled, "the backup was cancelled"
			up.SetState(entbackup.StateCANCELLED)
		default:
			code, reason = lifecycle.CodeBackupFailed, "the backup failed: "+reasonOf(failed)
			up.SetState(entbackup.StateFAILED)
		}
		if m.paused > 0 && failed == nil {
			reason += fmt.Sprintf("; the engine was paused for %s", m.paused.Round(time.Millisecond))
		}
		row, err = up.SetReason(reason).SetReasonCode(code).Save(ctx)
		if err != nil {
			return err
		}
		if err := b.event(ctx, tx, row.ServiceID, row.ServiceName, code, reason, row); err != nil {
			return err
		}
		if failed == nil && row.Trigger == entbackup.TriggerREMOVAL {
			return ignoreMissing(control.RemoveWithData(ctx, tx, row.ServiceID))
		}
		return nil
	})
	if err != nil {
		return err
	}
	b.mu.Lock()
	r := b.recordOf(row.ServiceID)
	if r.running == row.ID {
		r.running = ""
	}
	b.note(row)
	r.settle(store.Now())
	b.mu.Unlock()
	if failed == nil {
		if err := b.expire(ctx, row.ServiceID); err != nil {
			b.log.Error("looking for backups that are not kept failed", "service", row.ServiceName, "error", err)
		}
	}
	level := b.log.Info
	if failed != nil {
		level = b.log.Warn
	}
	level("backup ended", "backup", row.ID, "service", row.ServiceName, "state", row.State, "reason", row.Reason)
	return nil
}
