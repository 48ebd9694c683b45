package backup

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	entbackup "github.com/unicorn-web-services/uws/ent/backup"
	"github.com/unicorn-web-services/uws/ent/restore"
	"github.com/unicorn-web-services/uws/internal/background"
	"github.com/unicorn-web-services/uws/internal/fault"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/backup/method"
	"github.com/unicorn-web-services/uws/orchestrator/backup/repo"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/fleet"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/probe"
	"github.com/unicorn-web-services/uws/orchestrator/snapshot"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

const (
	// checkWait is how long the check of a restored copy may take.
	checkWait = 6 * time.Hour
	// proveAgain is the pause after a proof that failed or could not be made.
	proveAgain = 6 * time.Hour
	// trialGrace is how long an instance on trial gets to stop.
	trialGrace = 2 * time.Second
)

// proof is the outcome of the newest proof of a backup, as its row has it.
type proof struct {
	At       time.Time         `json:"at"`
	Proven   bool              `json:"proven"`
	Reason   string            `json:"reason"`             // why not
	NoRoom   bool              `json:"noRoom,omitempty"`   // it could not be made
	Duration time.Duration     `json:"duration"`           // of all of it
	Compared []method.Compared `json:"compared,omitempty"` // what was checked
	Failures []string          `json:"failures,omitempty"`
}

// noRoomError means that a backup could not be restored on trial for want of a place.
type noRoomError struct{ text string }

func (e *noRoomError) Error() string { return e.text }

// damageError means that a restored copy is not what was saved.
type damageError struct{ report method.Report }

func (e *damageError) Error() string {
	more := ""
	if n := len(e.report.Failures); n > 1 {
		more = fmt.Sprintf(", and %d more", n-1)
	}
	return "the restored copy is damaged: " + e.report.Failures[0] + more
}

// ProveBackup implements [orchestrator.BackupVerbs].
func (b *Backups) ProveBackup(ctx context.Context, id string) (*orchestrator.Restore, error) {
	x, err := b.Store.Read.Backup.Query().Where(entbackup.ID(id)).Select(listed()...).Only(ctx)
	if err != nil {
		return nil, snapshot.NotFound(err, "backup", id)
	}
	if x.State != entbackup.StateCOMPLETE {
		return nil, orchestrator.Errorf(orchestrator.Conflict, "id", "the backup is %s; only a COMPLETE one can be proven", x.State)
	}
	under, err := b.Store.Read.Restore.Query().Where(restore.BackupID(id), restore.FinishedAtIsNil(), restore.PurposeEQ(restore.PurposePROOF)).First(ctx)
	if err == nil {
		return restoreOf(under), nil
	}
	node := ""
	if s := b.Snapshot.Known(x.ServiceID); s != nil {
		b.mu.Lock()
		if p := b.policyFor(s); p != nil {
			node = p.ProveNodeID
		}
		b.mu.Unlock()
	}
	row, err := b.beginProof(ctx, x, node)
	if none, ok := errors.AsType[*noRoomError](err); ok {
		return nil, orchestrator.Errorf(orchestrator.Conflict, "id", "%s", none.text)
	}
	if err != nil {
		return nil, err
	}
	return restoreOf(row), nil
}

// beginProof stores and queues a proof on a node, or on the best one if node is empty. The error is a noRoomError if there is no
// place for it.
func (b *Backups) beginProof(ctx context.Context, x *ent.Backup, node string) (*ent.Restore, error) {
	m, err := b.manifestOf(ctx, x)
	if err != nil {
		return nil, err
	}
	id := orchestrator.NewID()
	var row *ent.Restore
	err = b.Store.Update(ctx, func(ctx context.Context, tx *ent.Tx) error {
		name := "proof-" + id[len(id)-12:]
		choice, ports, err := b.Reconciler.Trial(ctx, tx, m.Definition, name, b.proofNode(x, node))
		if err != nil {
			return err
		}
		n := b.Fleet.Lookup(choice.NodeID)
		switch {
		case n == nil:
			return &noRoomError{choice.Reason}
		case n.Info() != nil && n.Info().DiskFree >= 0 && n.Info().DiskFree < 2*x.Bytes:
			return &noRoomError{fmt.Sprintf("node %s has %s of free disk, and twice the size of the data is needed: %s", n.Name, size(n.Info().DiskFree), size(2*x.Bytes))}
		}
		create := tx.Restore.Create().SetID(id).SetPurpose(restore.PurposePROOF).SetBackupID(x.ID).SetSourceID(x.ServiceID).SetKind(x.Kind).
			SetName(name).SetNodeID(n.ID).SetVolume(orchestrator.NewID()).SetPorts(ports).SetState(restore.StateQUEUED).
			SetReason("waiting for its turn").SetCreatedAt(store.Now()).SetBytes(x.Bytes)
		if run := m.Definition.Runtime(catalog.Driver(n.Row().Driver)); run != nil {
			create.SetMemoryBytes(int64(run.Limits.MemoryMiB) << 20).SetCpus(run.Limits.CPUs)
		}
		row, err = create.Save(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	b.queueRestore(row, x.TargetID)
	return row, nil
}

// proofNode returns the node on which a backup is proven: the given one, else where the service was, if that can be used.
func (b *Backups) proofNode(x *ent.Backup, node string) string {
	if node != "" {
		return node
	}
	if n := b.Fleet.Lookup(x.NodeID); n != nil && !n.Down() && !n.Row().Draining {
		return n.ID
	}
	return ""
}

// prove restores a backup on trial, checks the copy, and removes it.
func (b *Backups) prove(ctx context.Context, j *job, row *ent.Restore) {
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.recordOf(row.SourceID).proving = false
	}()
	began := time.Now()
	report, err := b.try(ctx, j, row)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if b.work.Context().Err() != nil { // uws ends: it is made again afterwards
		return
	}
	outcome := proof{At: store.Now(), Proven: err == nil, Duration: time.Since(began), Compared: report.Compared, Failures: report.Failures}
	if err != nil {
		outcome.Reason = reasonOf(err)
		b.metrics.failures.WithLabelValues("proof").Inc()
	} else {
		b.metrics.proofs.WithLabelValues(string(row.Kind)).Observe(outcome.Duration.Seconds())
	}
	b.conclude(row.ID, func(ctx context.Context) error {
		if err := b.removeTrial(ctx, row); err != nil {
			return err
		}
		return b.recordProof(ctx, row, outcome, errors.Is(err, errCancelled))
	})
}

// try restores a backup on trial and checks the copy.
func (b *Backups) try(ctx context.Context, j *job, row *ent.Restore) (report method.Report, err error) {
	current, err := b.Store.Read.Restore.Get(ctx, row.ID)
	if err != nil {
		return report, err
	}
	if current.Cancel {
		return report, errCancelled
	}
	x, r, m, err := b.source(ctx, j, row)
	if err != nil {
		return report, err
	}
	if err := b.removeTrial(ctx, row); err != nil { // what an interrupted attempt left
		return report, err
	}
	loader := b.loader(m.How, true)
	if loader == nil {
		if err := b.importVolume(ctx, j, r, x, m, row); err != nil {
			return report, err
		}
	}
	at, ask, err := b.startTrial(ctx, j, m, row, loader == nil)
	if err != nil {
		return report, err
	}
	instance := method.Instance{Address: at.Address, Credentials: at.Credentials, Options: at.Options}
	if err := b.answers(ctx, row, m, at, ask); err != nil {
		return report, err
	}
	if loader != nil {
		if err := b.enterRestore(ctx, row.ID, restore.StateLOADING, "loading the data"); err != nil {
			return report, err
		}
		if err := loadArchive(ctx, j, r, x, loader, instance); err != nil {
			return report, err
		}
	}
	if err := b.enterRestore(ctx, row.ID, restore.StateCHECKING, "checking the copy"); err != nil {
		return report, err
	}
	j.progress.enter(string(restore.StateCHECKING), "checking the copy", 0, checkWait)
	fault.Point("proof-check")
	report, err = b.check(ctx, m, instance)
	if err == nil && len(report.Failures) > 0 {
		err = &damageError{report}
	}
	return report, err
}

// check compares a restored copy with what was saved. An engine without a check of its own has passed its probe.
func (b *Backups) check(ctx context.Context, m *manifest, at method.Instance) (method.Report, error) {
	checker := b.checker(m)
	if checker == nil {
		report := method.Report{}
		report.Add("good answers to the probe", 1)
		return report, nil
	}
	return checker.Check(ctx, at, m.Saved)
}

// startTrial starts the instance of a proof, and returns how it is reached.
func (b *Backups) startTrial(ctx context.Context, j *job, m *manifest, row *ent.Restore, hasData bool) (at probe.Target, ask probe.Func, err error) {
	if err := b.enterRestore(ctx, row.ID, restore.StateSTARTING, "starting the copy"); err != nil {
		return at, nil, err
	}
	j.progress.enter(string(restore.StateSTARTING), "starting the copy", 0, startWait)
	sealed, err := b.Vault.Seal(m.Credentials, row.Volume)
	if err != nil {
		return at, nil, err
	}
	apart, err := quarantineOf(m)
	if err != nil {
		return at, nil, err
	}
	s := &ent.Service{
		ID: row.ID, Name: row.Name, Kind: row.Kind, Template: m.Definition.Name, Definition: m.Definition, Volume: row.Volume, Credentials: sealed,
		NodeID: row.NodeID, Ports: row.Ports, SpecGeneration: 1, EverHealthy: hasData, Quarantine: apart,
	}
	err = b.Fleet.Do(ctx, row.NodeID, startWait, func(ctx context.Context, n *fleet.Node) error {
		spec, err := b.Reconciler.TrialSpec(ctx, s, n)
		if err != nil {
			return err
		}
		if err := n.Driver().Prepare(ctx, spec, nil); err != nil {
			return err
		}
		if err := n.Driver().Create(ctx, spec); err != nil {
			return err
		}
		if d, ok := n.Driver().(driver.AutoRestarter); ok {
			if err := d.SetAutoRestart(ctx, row.ID, false); err != nil {
				return err
			}
		}
		return n.Driver().Start(ctx, row.ID)
	})
	if err != nil {
		return at, nil, err
	}
	return b.Vault.Target(s, m.Credentials)
}

// answers waits until the instance of a proof gives a good answer.
func (b *Backups) answers(ctx context.Context, row *ent.Restore, m *manifest, at probe.Target, ask probe.Func) error {
	until := time.Now().Add(m.Definition.Probe.Grace + startWait/3)
	for wait := lifecycle.FirstProbe; ; wait = min(wait*2, lifecycle.FastInterval) {
		if !background.Pause(ctx, wait) {
			return ctx.Err()
		}
		r := probe.Run(ctx, ask, at, m.Definition.Probe.Timeout, time.Now)
		if r.Verdict == probe.OK {
			return nil
		}
		n := b.Fleet.Lookup(row.NodeID)
		if n == nil {
			return driver.Errorf(driver.Unreachable, "its node is not registered any more")
		}
		seen, err := n.Driver().Inspect(ctx, row.ID)
		switch {
		case err != nil && driver.ClassOf(err) != driver.Unreachable:
			return err
		case err == nil && !seen.Running && !seen.Restarting:
			return fmt.Errorf("the restored copy ended at its start: %s", exitOf(seen))
		case time.Now().After(until):
			return fmt.Errorf("the restored copy did not give a good answer: %s", r.Detail)
		}
	}
}

func exitOf(o driver.Observed) string {
	if o.ExitCode == nil {
		return "nobody saw how"
	}
	return fmt.Sprintf("exit code %d", *o.ExitCode)
}

// removeTrial removes the instance and the volume of a proof, or of a move that failed.
func (b *Backups) removeTrial(ctx context.Context, row *ent.Restore) error {
	if b.Fleet.Lookup(row.NodeID) == nil {
		return nil
	}
	return b.Fleet.Do(ctx, row.NodeID, copyTimeout, func(ctx context.Context, n *fleet.Node) error {
		if err := endTrial(ctx, n, row, trialGrace); err != nil {
			return err
		}
		return n.Driver().RemoveData(ctx, driver.Data{Volume: row.Volume})
	})
}

// endTrial removes the instance of a restore on trial. Its volume stays.
func endTrial(ctx context.Context, n *fleet.Node, row *ent.Restore, grace time.Duration) error {
	if err := n.Driver().Stop(ctx, row.ID, grace); err != nil {
		return err
	}
	return n.Driver().Remove(ctx, row.ID)
}

// source opens what a restore is made of.
func (b *Backups) source(ctx context.Context, j *job, row *ent.Restore) (*ent.Backup, *repo.Repository, *manifest, error) {
	x, err := b.Store.Read.Backup.Query().Where(entbackup.ID(row.BackupID)).Select(listed()...).Only(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	j.progress.enter(string(restore.StateCOPYING), "opening the target", 0, openTimeout)
	r, err := b.open(ctx, x.TargetID)
	if err != nil {
		return nil, nil, nil, err
	}
	m, err := readManifest(ctx, r, x.Snapshot)
	return x, r, m, err
}
