package app_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	entbackup "github.com/unicorn-web-services/uws/ent/backup"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
)

// A backup that fails makes a service FAILING, and is taken again by itself.
func TestBackupRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, a, target := newArchives(t)
		s := w.healthy(w.launch("a").ID)
		a.set(func(context.Context, string) error { return errors.New("the disk is away") })
		w.policy(s.ID, target, "0 3 * * *")
		w.backupIs(s.ID, orchestrator.BackupFailing, "the disk is away")
		<-time.After(6 * time.Minute)
		if n := len(a.exported); n != 2 {
			t.Errorf("%d attempts within 6 minutes", n)
		}
		a.set(nil)
		<-time.After(10 * time.Minute)
		w.complete(s.ID, 1)
		w.backupIs(s.ID, orchestrator.BackupOK, "")
	})
}

// A node that is lost during a backup, or that does not answer any more, fails the backup with the reason, and the service is
// backed up when the node is back.
func TestNodeLostInBackup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, a, target := newArchives(t)
		s := w.healthy(w.launch("a").ID)
		for text, meets := range map[string]func(context.Context, string) error{
			"no route to host":   func(context.Context, string) error { return driver.Errorf(driver.Unreachable, "no route to host") },
			"nothing was copied": func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() },
		} {
			a.set(func(ctx context.Context, service string) error {
				w.machine.set(func() { w.machine.away = errors.New("no route to host") })
				return meets(ctx, service)
			})
			b, err := w.BackUp(t.Context(), s.ID, target)
			if err != nil {
				t.Fatal(err)
			}
			w.over(b.ID, orchestrator.BackupFailed, text)
			w.machine.set(func() { w.machine.away = nil })
			<-time.After(time.Minute)
			w.healthy(s.ID)
		}
		a.set(nil)
		w.policy(s.ID, target, "0 3 * * *")
		<-time.After(10 * time.Minute) // the pause after two failures
		w.complete(s.ID, 1)
	})
}

// over waits until a backup is in its last state, with a reason that contains text.
func (w *world) over(id string, state orchestrator.BackupState, text string) {
	w.t.Helper()
	var b *orchestrator.Backup
	deadline := time.After(time.Hour)
	for {
		var err error
		if b, err = w.Backup(w.t.Context(), id); err != nil {
			w.t.Fatal(err)
		}
		if b.FinishedAt != nil {
			break
		}
		select {
		case <-deadline:
			w.t.Fatalf("the backup is %s: %s", b.State, b.Reason)
		case <-time.After(10 * time.Second):
		}
	}
	if b.State != state || !strings.Contains(b.Reason, text) {
		w.t.Errorf("the backup is %s: %s; want %s: %s", b.State, b.Reason, state, text)
	}
}

// A node that is lost during a restore fails it when the node is back, or when it is removed. Nothing is left of it.
func TestNodeLostInRestore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, a, target := newArchives(t)
		s := w.healthy(w.launch("a").ID)
		w.policy(s.ID, target, "0 3 * * *")
		w.complete(s.ID, 1)
		list, err := w.Backups(t.Context(), orchestrator.BackupFilter{}, orchestrator.Page{})
		if err != nil {
			t.Fatal(err)
		}
		a.set(func(context.Context, string) error {
			w.machine.set(func() {
				w.machine.away = errors.New("no route to host")
				w.machine.volumes["half"] = true
			})
			return driver.Errorf(driver.Unreachable, "no route to host")
		})
		r, err := w.RestoreBackup(t.Context(), list.Items[0].ID, orchestrator.RestoreInput{Name: "again"})
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(10 * time.Minute)
		if r, err = w.Restore(t.Context(), r.ID); err != nil || r.State != orchestrator.RestoreCopying {
			t.Errorf("while the node is lost the restore is %+v, %v", r, err)
		}
		w.machine.set(func() { w.machine.away = nil; delete(w.machine.volumes, "half") })
		<-time.After(2 * time.Minute)
		if r, err = w.Restore(t.Context(), r.ID); err != nil || r.State != orchestrator.RestoreFailed || !strings.Contains(r.Reason, "no route to host") {
			t.Errorf("the restore is %+v, %v", r, err)
		}
		if len(w.machine.volumes) != 1 || len(w.machine.instances) != 1 {
			t.Errorf("left are the volumes %v and the instances %v", w.machine.volumes, w.machine.instances)
		}
		a.set(nil)
		if r, err = w.RestoreBackup(t.Context(), list.Items[0].ID, orchestrator.RestoreInput{Name: "again"}); err != nil {
			t.Fatal(err)
		}
		w.eventually("restored", func() bool {
			r, err := w.Restore(t.Context(), r.ID)
			return err == nil && r.State == orchestrator.RestoreComplete
		})
	})
}

// A service that is removed while its backup waits or is taken, and one that is removed while it is being made, end what is under
// way. What is complete outlives the service.
func TestRemovedInBackup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, a, target := newArchives(t)
		hold := make(chan struct{})
		entered := make(chan string, 10)
		a.set(func(ctx context.Context, service string) error {
			entered <- service
			select {
			case <-hold:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		var ids, backups []string
		for _, name := range []string{"a", "b", "c"} {
			s := w.healthy(w.launch(name).ID)
			b, err := w.BackUp(t.Context(), s.ID, target)
			if err != nil {
				t.Fatal(err)
			}
			ids, backups = append(ids, s.ID), append(backups, b.ID)
		}
		<-entered
		<-entered // of a and b; c waits for its turn
		for _, id := range ids[1:] {
			if _, err := w.Remove(t.Context(), id, true); err != nil {
				t.Fatal(err)
			}
		}
		w.gone(ids[2])
		close(hold)
		w.gone(ids[1])
		w.over(backups[0], orchestrator.BackupComplete, "")
		w.over(backups[1], orchestrator.BackupFailed, "removed meanwhile")
		w.over(backups[2], orchestrator.BackupFailed, "removed")

		var restored *orchestrator.Restore
		a.set(func(context.Context, string) error { // the source is removed while its data is copied
			_, err := w.Remove(context.Background(), ids[0], true)
			return err
		})
		restored, err := w.RestoreBackup(t.Context(), backups[0], orchestrator.RestoreInput{Name: "again"})
		if err != nil {
			t.Fatal(err)
		}
		w.eventually("restored", func() bool {
			r, err := w.Restore(t.Context(), restored.ID)
			return err == nil && r.State == orchestrator.RestoreComplete
		})
		w.gone(ids[0])

		a.set(nil)
		w.machine.set(func() {
			w.machine.startErr = func(driver.Spec) error { return driver.Errorf(driver.Transient, "no time") }
		})
		if restored, err = w.RestoreBackup(t.Context(), backups[0], orchestrator.RestoreInput{Name: "more"}); err != nil {
			t.Fatal(err)
		}
		made := ""
		w.eventually("it starts", func() bool {
			r, err := w.Restore(t.Context(), restored.ID)
			made = r.ServiceID
			return err == nil && made != ""
		})
		if _, err := w.Remove(t.Context(), made, true); err != nil {
			t.Fatal(err)
		}
		w.eventually("the restore failed", func() bool {
			r, err := w.Restore(t.Context(), restored.ID)
			return err == nil && r.State == orchestrator.RestoreFailed && strings.Contains(r.Reason, "removed")
		})
		w.gone(made)
		if len(w.machine.volumes) != 1 {
			t.Errorf("left are the volumes %v", w.machine.volumes)
		}
	})
}

// A clock that was a year ahead, and one that was a year behind, neither end the backups nor have the new ones deleted.
func TestClockJumps(t *testing.T) {
	for name, years := range map[string]int{"put back": 1, "put forward": -1} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, a, target := newArchives(t)
				s := w.healthy(w.launch("a").ID)
				w.policy(s.ID, target, "*/5 * * * *")
				w.complete(s.ID, 1)
				w.edit(func(ctx context.Context, tx *ent.Tx) error { // what such a clock would have recorded
					b, err := tx.Backup.Query().Only(ctx)
					if err != nil {
						return err
					}
					at := func(t time.Time) time.Time { return t.AddDate(years, 0, 0) }
					again := func(id string, state entbackup.State, finished time.Time) error {
						return tx.Backup.Create().SetID(id).SetServiceID(s.ID).SetServiceName(s.Name).SetKind(s.Kind).SetTemplate("echo").SetEngineVersion("1").
							SetNodeID(b.NodeID).SetTargetID(target).SetPolicyID(b.PolicyID).SetTrigger(b.Trigger).SetState(state).SetReason("then").SetSnapshot(b.Snapshot).
							SetSlot(at(*b.Slot)).SetCreatedAt(at(b.CreatedAt)).SetStartedAt(at(*b.StartedAt)).SetFinishedAt(at(finished)).Exec(ctx)
					}
					err = errors.Join(tx.Backup.DeleteOne(b).Exec(ctx), again(b.ID, b.State, *b.FinishedAt), again("failed", entbackup.StateFAILED, b.FinishedAt.Add(time.Minute)))
					return errors.Join(err, tx.BackupTarget.UpdateOneID(target).SetMaintainedAt(time.Now().AddDate(years, 0, 0)).Exec(ctx))
				})
				w.complete(s.ID, 2)
				w.backupIs(s.ID, orchestrator.BackupOK, "")
				for want := 2; want < 4; want++ { // as the policy keeps two
					<-time.After(5 * time.Minute)
					w.complete(s.ID, 2)
					if n := len(a.exported); n != want+1 {
						t.Errorf("%d backups were taken, want %d", n, want+1)
					}
				}
				status := w.BackupStatus(w.get(s.ID))
				if age := time.Since(*status.LastAt); age > 5*time.Minute || age < 0 {
					t.Errorf("the newest backup is of %s, %s ago", status.LastAt, age)
				}
				if codes := w.codes(s.ID); slices.Contains(codes, lifecycle.CodeBackupFailed) {
					t.Errorf("%v", codes)
				}
			})
		})
	}
}
