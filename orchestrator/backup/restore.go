package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	entbackup "github.com/unicorn-web-services/uws/ent/backup"
	"github.com/unicorn-web-services/uws/ent/restore"
	"github.com/unicorn-web-services/uws/internal/background"
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
	"github.com/unicorn-web-services/uws/orchestrator/snapshot"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

const (
	// startWait is how long a restored service may take until its first good answer, the fetching of its engine included.
	startWait = 45 * time.Minute
	// copyTimeout ends the copying of data to a node that hangs.
	copyTimeout = 24 * time.Hour
)

// RestoreBackup implements [orchestrator.BackupVerbs].
func (b *Backups) RestoreBackup(ctx context.Context, id string, in orchestrator.RestoreInput) (*orchestrator.Restore, error) {
	if err := orchestrator.CheckName(in.Name); err != nil {
		return nil, err
	}
	x, err := b.Store.Read.Backup.Query().Where(entbackup.ID(id)).Select(listed()...).Only(ctx)
	if err != nil {
		return nil, snapshot.NotFound(err, "backup", id)
	}
	if x.State != entbackup.StateCOMPLETE {
		return nil, orchestrator.Errorf(orchestrator.Conflict, "id", "the backup is %s; only a COMPLETE one can be restored", x.State)
	}
	if in.NodeID != "" && b.Fleet.Lookup(in.NodeID) == nil {
		return nil, orchestrator.Errorf(orchestrator.NotFound, "nodeId", "there is no node with id %q; `nodes` lists them", in.NodeID)
	}
	switch {
	case in.At == nil:
	case in.At.Equal(*x.StartedAt): // as the timeline shows it
		in.At = nil
	case in.At.Before(*x.StartedAt):
		return nil, orchestrator.Errorf(orchestrator.InvalidInput, "at", "the backup was begun at %s; an earlier moment needs an earlier backup", x.StartedAt.UTC().Format(time.RFC3339))
	}
	m, err := b.manifestOf(ctx, x)
	if err != nil {
		return nil, err
	}
	if err := b.checkPoint(ctx, x, m, in.At); err != nil {
		return nil, err
	}
	var row *ent.Restore
	err = b.Store.Update(ctx, func(ctx context.Context, tx *ent.Tx) error {
		if err := control.NameFree(ctx, tx, in.Name, ""); err != nil {
			return err
		}
		choice, err := b.Reconciler.ChooseNode(ctx, tx, m.Definition, in.NodeID)
		if err != nil {
			return err
		}
		if choice.NodeID == "" {
			return orchestrator.Errorf(orchestrator.Conflict, "nodeId", "%s", choice.Reason)
		}
		row, err = tx.Restore.Create().SetID(orchestrator.NewID()).SetPurpose(restore.PurposeRESTORE).SetBackupID(id).SetSourceID(x.ServiceID).SetKind(x.Kind).
			SetName(in.Name).SetNillableAt(in.At).SetNodeID(choice.NodeID).SetVolume(orchestrator.NewID()).SetState(restore.StateQUEUED).
			SetReason("waiting for its turn").SetRotate(in.Rotate).SetQuarantine(in.Quarantine).SetCreatedAt(store.Now()).SetBytes(x.Bytes).Save(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	b.queueRestore(row, x.TargetID)
	return restoreOf(row), nil
}

func (b *Backups) queueRestore(row *ent.Restore, target string) {
	run := b.make
	b.mu.Lock()
	switch row.Purpose {
	case restore.PurposePROOF:
		run = b.prove
		b.recordOf(row.SourceID).proving = true
	case restore.PurposeMOVE:
		run = b.move
	}
	b.add(row.ID, target, row.NodeID, row.Reason, func(ctx context.Context, j *job) { run(ctx, j, row) })
	b.mu.Unlock()
	b.start()
}

// CancelRestore implements [orchestrator.BackupVerbs].
func (b *Backups) CancelRestore(ctx context.Context, id string) (*orchestrator.Restore, error) {
	var row *ent.Restore
	err := b.Store.Update(ctx, func(ctx context.Context, tx *ent.Tx) (err error) {
		if row, err = tx.Restore.Get(ctx, id); err != nil {
			return err
		}
		if row.FinishedAt != nil {
			return orchestrator.Errorf(orchestrator.Conflict, "id", "it is over: it is %s. A service that was restored is removed with removeService, one that was moved is moved back with moveService", row.State)
		}
		row, err = tx.Restore.UpdateOne(row).SetCancel(true).AddVersion(1).Save(ctx)
		return err
	})
	if err != nil {
		return nil, snapshot.NotFound(err, "restore", id)
	}
	b.mu.Lock()
	j := b.jobs[id]
	b.mu.Unlock()
	if j != nil {
		j.cancel(errCancelled)
	}
	b.lookSoon()
	return restoreOf(row), nil
}

// make makes a service of a backup, and records how that ended.
func (b *Backups) make(ctx context.Context, j *job, row *ent.Restore) {
	began := time.Now()
	err := b.restore(ctx, j, row)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if b.work.Context().Err() != nil { // uws ends: it goes on afterwards
		return
	}
	if err == nil {
		b.metrics.restores.WithLabelValues(string(row.Kind)).Observe(time.Since(began).Seconds())
	} else {
		b.metrics.failures.WithLabelValues("restore").Inc()
	}
	b.conclude(row.ID, func(ctx context.Context) error { return b.recordRestored(ctx, row.ID, err) })
}

// restore brings a restore from where it is to its end.
func (b *Backups) restore(ctx context.Context, j *job, row *ent.Restore) error {
	row, err := b.Store.Read.Restore.Get(ctx, row.ID)
	if err != nil {
		return err
	}
	if row.Cancel {
		return errCancelled
	}
	x, r, m, err := b.source(ctx, j, row)
	if err != nil {
		return err
	}
	loader := b.loader(m.How, row.Quarantine)
	if row.State == restore.StateLOADING {
		return errors.New("uws was restarted while the data was being loaded; begin again")
	}
	if row.ServiceID == "" {
		if loader == nil {
			if err := b.importVolume(ctx, j, r, x, m, row); err != nil {
				return err
			}
		}
		if row, err = b.launch(ctx, m, row, loader == nil); err != nil {
			return err
		}
	}
	j.progress.enter(string(restore.StateSTARTING), "starting the service", 0, startWait)
	if err := b.healthy(ctx, row.ServiceID); err != nil {
		return err
	}
	if row.At != nil {
		if err := b.recovered(ctx, row.ServiceID); err != nil {
			return err
		}
	}
	if loader != nil {
		if err := b.loadInto(ctx, j, r, x, loader, row); err != nil {
			return err
		}
	}
	if row.Rotate {
		if _, err := b.Vault.Rotate(ctx, row.ServiceID); err != nil {
			return fmt.Errorf("it works, but its credentials could not be replaced: %w", err)
		}
	}
	return nil
}

// enterRestore records the step that a restore is at.
func (b *Backups) enterRestore(ctx context.Context, id string, s restore.State, reason string) error {
	return b.Store.Update(ctx, func(ctx context.Context, tx *ent.Tx) error {
		return tx.Restore.UpdateOneID(id).Where(restore.FinishedAtIsNil()).SetState(s).SetReason(reason).AddVersion(1).Exec(ctx)
	})
}

// importVolume copies the data of a backup into a new volume.
func (b *Backups) importVolume(ctx context.Context, j *job, r *repo.Repository, x *ent.Backup, m *manifest, row *ent.Restore) error {
	if err := b.enterRestore(ctx, row.ID, restore.StateCOPYING, "copying the data to its node"); err != nil {
		return err
	}
	return b.Fleet.Do(ctx, row.NodeID, copyTimeout, func(ctx context.Context, n *fleet.Node) error {
		d, ok := n.Driver().(driver.Exporter)
		if !ok {
			return fmt.Errorf("node %s cannot copy volumes", n.Name)
		}
		drv := catalog.Driver(n.Row().Driver)
		spec, err := b.Reconciler.ImportSpec(m.Definition, drv, row.ID, row.Name, row.Volume)
		if err != nil {
			return err
		}
		j.progress.enter(string(restore.StateCOPYING), "fetching the engine", 0, startWait)
		if err := n.Driver().Prepare(ctx, spec, nil); err != nil {
			return err
		}
		// What an interrupted attempt left.
		if err := n.Driver().RemoveData(ctx, driver.Data{Volume: row.Volume}); err != nil {
			return err
		}
		j.progress.enter(string(restore.StateCOPYING), "copying the data to node "+n.Name, x.Bytes, silence)
		fault.Point("restore-copy")
		return piped(
			func(w io.Writer) error { return r.Extract(ctx, x.Snapshot, dataDir, w, j.progress.copied) },
			b.transform(ctx, r, m, drv, row.At),
			func(r io.Reader) error { return d.Import(ctx, spec, r) })
	})
}

// transform returns what becomes of the archive of a backup on its way into a volume, for a point in time if at is not nil.
func (b *Backups) transform(ctx context.Context, r *repo.Repository, m *manifest, drv catalog.Driver, at *time.Time) func(io.Reader, io.Writer) error {
	from, to := b.root(m.Definition, m.Driver), b.root(m.Definition, drv)
	return func(in io.Reader, w io.Writer) error {
		if at == nil {
			return m.How.prepare(in, w, from, to)
		}
		point, err := pointIn(ctx, r, m, *at)
		if err != nil {
			return err
		}
		return postgres.PrepareAt(ctx, in, w, postgres.Restore{Folder: to}, point)
	}
}

// launch makes the service.
func (b *Backups) launch(ctx context.Context, m *manifest, row *ent.Restore, hasData bool) (*ent.Restore, error) {
	fault.Point("restore-copied")
	in := control.Restored{RestoreID: row.ID, Name: row.Name, Definition: m.Definition, Labels: m.Labels, NodeID: row.NodeID, Volume: row.Volume, Credentials: m.Credentials, HasData: hasData}
	if row.Quarantine {
		var err error
		if in.Quarantine, err = quarantineOf(m); err != nil {
			return nil, err
		}
	}
	var changed *ent.Restore
	_, err := b.Control.LaunchRestored(ctx, in, func(ctx context.Context, tx *ent.Tx, s *ent.Service) (err error) {
		changed, err = tx.Restore.UpdateOneID(row.ID).SetServiceID(s.ID).SetState(restore.StateSTARTING).SetReason("starting the service").AddVersion(1).Save(ctx)
		return err
	})
	fault.Point("restore-launched")
	return changed, err
}

// healthy waits until a service has its first good answer.
func (b *Backups) healthy(ctx context.Context, id string) error {
	for {
		_, err := b.Reconciler.WatchProgress(ctx, id, orchestrator.Span{Live: true}, func(orchestrator.Progress, int64) error { return nil })
		var s *orchestrator.Service
		if err == nil {
			s, err = b.Snapshot.Service(ctx, id)
		}
		if orchestrator.CodeOf(err) == orchestrator.NotFound {
			return errors.New("the service was removed meanwhile")
		}
		if err != nil {
			return err
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case s.DesiredState != lifecycle.WantRunning:
			return errors.New("the service was stopped or removed meanwhile")
		case s.Phase == lifecycle.Running && s.Health.Healthy():
			return nil
		case s.Phase == lifecycle.Failed, s.Phase == lifecycle.CrashLoop:
			return fmt.Errorf("the data was copied, but the service does not work: %s", s.Reason)
		}
		if !background.Pause(ctx, time.Second) { // between two starts
			return ctx.Err()
		}
	}
}

// recovered waits until a server has read its log up to its point in time.
func (b *Backups) recovered(ctx context.Context, id string) error {
	for {
		in, err := b.instance(ctx, id)
		if err != nil {
			return err
		}
		recovering, err := postgres.Method{}.Recovering(ctx, in)
		if err == nil && !recovering {
			return nil
		}
		if !background.Pause(ctx, time.Second) {
			return errors.Join(ctx.Err(), err)
		}
	}
}

// instance returns how a service is reached.
func (b *Backups) instance(ctx context.Context, id string) (method.Instance, error) {
	s, err := b.Snapshot.Row(ctx, id)
	if err != nil {
		return method.Instance{}, err
	}
	keys, err := b.Vault.Accepted(ctx, s)
	if err != nil {
		return method.Instance{}, err
	}
	return b.instanceOf(s, keys)
}

// instanceOf returns how a service is reached with its credentials.
func (b *Backups) instanceOf(s *ent.Service, keys map[string]string) (method.Instance, error) {
	at, _, err := b.Vault.Target(s, keys)
	return method.Instance{Address: at.Address, Credentials: keys, Options: at.Options}, err
}

// loadInto loads the data of a backup into a running service.
func (b *Backups) loadInto(ctx context.Context, j *job, r *repo.Repository, x *ent.Backup, loader method.Loader, row *ent.Restore) error {
	if err := b.enterRestore(ctx, row.ID, restore.StateLOADING, "loading the data"); err != nil {
		return err
	}
	into, err := b.instance(ctx, row.ServiceID)
	if err != nil {
		return err
	}
	fault.Point("restore-load")
	return loadArchive(ctx, j, r, x, loader, into)
}

// loadArchive loads the archive of a backup into a running engine.
func loadArchive(ctx context.Context, j *job, r *repo.Repository, x *ent.Backup, loader method.Loader, into method.Instance) error {
	f, total, err := r.OpenFile(ctx, x.Snapshot, path.Join(dataDir, archiveFile))
	if err != nil {
		return err
	}
	defer f.Close()
	j.progress.enter(string(restore.StateLOADING), "loading the data", total, silence)
	return loader.Load(ctx, into, &counting{r: f, count: j.progress.copied}, nil)
}

// counting counts what is read.
type counting struct {
	r     io.Reader
	n     int64
	count func(int64)
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	c.count(c.n)
	return n, err
}

// recordRestored removes what a restore that failed has left, and records its end.
func (b *Backups) recordRestored(ctx context.Context, id string, failed error) error {
	row, err := b.Store.Read.Restore.Get(ctx, id)
	if err != nil {
		return err
	}
	if failed != nil {
		if err := b.undo(ctx, row); err != nil {
			return err
		}
	}
	state, code, reason := restore.StateCOMPLETE, lifecycle.CodeRestored, "restored as service "+row.Name
	switch {
	case failed == nil:
	case errors.Is(failed, errCancelled):
		state, code, reason = restore.StateCANCELLED, lifecycle.CodeRestoreCancelled, "restoring it as "+row.Name+" was cancelled"
	default:
		state, code, reason = restore.StateFAILED, lifecycle.CodeRestoreFailed, "restoring it as "+row.Name+" failed: "+reasonOf(failed)
	}
	err = b.Store.Update(ctx, func(ctx context.Context, tx *ent.Tx) error {
		if err := tx.Restore.UpdateOneID(id).SetState(state).SetReason(reason).SetFinishedAt(store.Now()).AddVersion(1).Exec(ctx); err != nil {
			return err
		}
		subject := row.SourceID
		if failed == nil {
			subject = row.ServiceID
		}
		return b.event(ctx, tx, subject, row.Name, code, reason, nil)
	})
	if err == nil {
		b.log.Info("restore ended", "restore", id, "name", row.Name, "state", state, "reason", reason)
	}
	return err
}

// undo removes the service or the volume of a restore that failed.
func (b *Backups) undo(ctx context.Context, row *ent.Restore) error {
	if row.ServiceID != "" {
		_, err := b.Control.Remove(ctx, row.ServiceID, true)
		if orchestrator.CodeOf(err) == orchestrator.NotFound {
			err = nil
		}
		return err
	}
	if b.Fleet.Lookup(row.NodeID) == nil {
		return nil // with its volumes
	}
	return b.Fleet.Do(ctx, row.NodeID, copyTimeout, func(ctx context.Context, n *fleet.Node) error {
		return n.Driver().RemoveData(ctx, driver.Data{Volume: row.Volume})
	})
}

// resume queues what was under way when uws ended.
func (b *Backups) resume(ctx context.Context) error {
	backups, err := b.Store.Read.Backup.Query().Where(entbackup.StateIn(entbackup.StateQUEUED, entbackup.StateRUNNING), entbackup.TriggerNEQ(entbackup.TriggerMOVE)).Order(entbackup.ByCreatedAt()).Select(listed()...).All(ctx)
	if err != nil {
		return err
	}
	b.queueBackups(backups)
	restores, err := b.Store.Read.Restore.Query().Where(restore.FinishedAtIsNil()).Order(restore.ByCreatedAt()).All(ctx)
	if err != nil {
		return err
	}
	for _, row := range restores {
		x, err := b.Store.Read.Backup.Query().Where(entbackup.ID(row.BackupID)).Select(listed()...).Only(ctx)
		target := ""
		if err == nil {
			target = x.TargetID
		} else if !ent.IsNotFound(err) {
			return err
		}
		b.queueRestore(row, target)
	}
	return nil
}
