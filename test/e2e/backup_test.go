package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/test/stories"
	"github.com/unicorn-web-services/uws/test/uwstest"
)

// A policy's last backup is complete before data is deleted.
func TestLastBackup(t *testing.T) {
	t.Parallel()
	stories.LastBackup(t, serve(t, folder(t)), filepath.Join(t.TempDir(), "target"))
}

// A table that was dropped comes back.
func TestPointInTime(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	first := serve(t, dir)
	killed := func() *uwstest.Process {
		must(t, first.Kill())
		return serve(t, dir)
	}
	stories.PointInTime(t, first, serve(t, folder(t)), killed, filepath.Join(t.TempDir(), "target"))
}

// What an engine of each kind holds comes back in another installation, by the recovery kit alone.
func TestEverythingLost(t *testing.T) {
	first, second := serve(t, folder(t)), serve(t, folder(t))
	for _, c := range stories.Engines {
		t.Run(c.Template, func(t *testing.T) {
			t.Parallel()
			stories.EverythingLost(t, first, second, c.Template, c.Kind, c.Client, filepath.Join(t.TempDir(), "target"))
		})
	}
}

// Clients follow when a service is exchanged for its restored copy, and back.
func TestSwapRestored(t *testing.T) {
	p := serve(t, folder(t))
	for _, e := range stories.Engines {
		t.Run(e.Template, func(t *testing.T) {
			t.Parallel()
			stories.SwapRestored(t, p, e, t.TempDir())
		})
	}
}

// A database that is made of a backup follows no subscriptions until that is confirmed.
func TestQuarantinedDB(t *testing.T) {
	dir := folder(t)
	p := serve(t, dir, "--templates", "testdata/older") // its user is a superuser
	s := launch(t, p, "DB", "accounts", nil)
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	p = serve(t, dir)
	stories.QuarantinedDB(t, p, host{}, stories.Healthy(t, p, s.ID, 0), filepath.Join(t.TempDir(), "target"))
}

// Streams of a queue that is made of a backup take no messages from others until that is confirmed.
func TestQuarantinedQueue(t *testing.T) {
	stories.QuarantinedQueue(t, serve(t, folder(t)), filepath.Join(t.TempDir(), "target"))
}

// A database that lost its replication slot is restorable to any moment again after a new backup, which is taken at once. It keeps no
// log for a policy that does not want it any more.
func TestLogLost(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	p := serve(t, dir)
	s := launch(t, p, "DB", "ledger", nil)
	target, _ := stories.Target(t, p, "disk", filepath.Join(t.TempDir(), "target"))
	var policy struct{ SetBackupPolicy struct{ ID string } }
	must(t, p.Query(t.Context(), `mutation($s: ID!, $t: ID!) { setBackupPolicy(input: {serviceId: $s, targetId: $t, proveEvery: 0, pointInTime: true}) { id } }`,
		map[string]any{"s": s.ID, "t": target}, &policy))
	stories.Restorable(t, p, s.ID, time.Time{})
	base := stories.NewestBackup(t, p, s.ID)
	must(t, p.Kill())
	must(t, uwstest.KillEngines(dir))
	slots := func() []string {
		all, err := filepath.Glob(filepath.Join(dir, "process", "volumes", "*", "pg_replslot", "uws_*"))
		must(t, err)
		return all
	}
	if len(slots()) != 1 {
		t.Fatalf("slots %v", slots())
	}
	must(t, os.RemoveAll(slots()[0]))
	p = serve(t, dir)
	now := time.Now()
	stories.Restorable(t, p, s.ID, now)
	if stories.NewestBackup(t, p, s.ID) == base {
		t.Error("no new backup was taken")
	}
	var out struct {
		Events struct{ Nodes []struct{ ReasonCode string } }
	}
	must(t, p.Query(t.Context(), `query($s: ID!) { events(filter: {serviceId: $s}, first: 100) { nodes { reasonCode } } }`, map[string]any{"s": s.ID}, &out))
	if !strings.Contains(fmt.Sprint(out.Events.Nodes), "BACKUP_LOG_LOST") {
		t.Errorf("the events are %v", out.Events.Nodes)
	}
	must(t, p.Query(t.Context(), `mutation($i: ID!, $s: ID!, $t: ID!) { setBackupPolicy(id: $i, input: {serviceId: $s, targetId: $t, proveEvery: 0}) { id } }`,
		map[string]any{"i": policy.SetBackupPolicy.ID, "s": s.ID, "t": target}, nil))
	must(t, uwstest.Until(t.Context(), "the slot is gone", func() (bool, error) { return len(slots()) == 0, nil }))
}

// Without its data folder uws comes back by the recovery kit of a target and its key: it knows its services and users, and makes the
// services again.
func TestStoreRestored(t *testing.T) {
	t.Parallel()
	ctx, dir, again := t.Context(), folder(t), folder(t)
	p := serve(t, dir)
	target, kit := stories.Target(t, p, "disk", filepath.Join(t.TempDir(), "target"))
	s := launch(t, p, "SECRETS", "vault", nil)
	keys, err := p.Credentials(ctx, s.ID)
	must(t, err)
	must(t, stories.Setec.Write(ctx, s.Endpoint, keys, "meow"))
	b := stories.BackUp(t, p, s.ID, target)
	type targets struct {
		BackupTargets []struct {
			StoreSavedAt *time.Time
			Warnings     []string
		}
	}
	var saved targets
	must(t, uwstest.Until(ctx, "the store is saved", func() (bool, error) {
		err := p.Query(ctx, `{ backupTargets { storeSavedAt warnings } }`, nil, &saved)
		return err == nil && saved.BackupTargets[0].StoreSavedAt != nil, err
	}))
	must(t, p.Stop())
	must(t, uwstest.KillEngines(dir))
	kitFile := filepath.Join(t.TempDir(), "kit")
	must(t, os.WriteFile(kitFile, []byte(kit), 0o600))
	restore := func(into string) (string, error) {
		out, err := exec.CommandContext(ctx, uwstest.Binary, "restore-store", "--kit", kitFile, "--data-dir", into).CombinedOutput()
		return string(out), err
	}
	if out, err := restore(dir); err == nil || !strings.Contains(out, "never overwritten") {
		t.Errorf("over a store that exists: %v %s", err, out)
	}
	if out, err := restore(again); err != nil || !strings.Contains(out, "--moved") {
		t.Fatalf("%v %s", err, out)
	}
	key, err := os.ReadFile(filepath.Join(dir, "uws.key"))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(again, "uws.key"), key, 0o600))
	must(t, os.Rename(dir+".token", again+".token")) // tokens remain valid
	must(t, os.RemoveAll(dir))
	p = serve(t, again, "--moved")
	if got, err := p.Service(ctx, s.ID); err != nil || got == nil || got.Name != "vault" {
		t.Fatalf("the service is %+v (%v)", got, err)
	}
	var backups struct {
		Backups struct{ Nodes []struct{ ID string } }
	}
	must(t, uwstest.Until(ctx, "the backup is known, though the store was saved before it", func() (bool, error) {
		err := p.Query(ctx, `{ backups { nodes { id } } }`, nil, &backups)
		return len(backups.Backups.Nodes) == 1 && backups.Backups.Nodes[0].ID == b.ID, err
	}))
	made := stories.RestoreBackup(t, p, b.ID, "vault-again")
	if text, err := stories.Setec.Read(ctx, made.Endpoint, keys); err != nil || text != "meow" {
		t.Errorf("the restored service has %q (%v)", text, err)
	}
}
