package stories

import (
	"fmt"
	"strings"
	"testing"

	"github.com/unicorn-web-services/uws/test/uwstest"
)

// Target makes a backup target in an empty folder of the control plane's machine, and returns its id and recovery kit.
func Target(t *testing.T, p *uwstest.Process, name, folder string) (id, kit string) {
	t.Helper()
	var made struct{ CreateBackupTarget struct{ ID string } }
	err := p.Query(t.Context(), `mutation($n: String!, $f: String!) { createBackupTarget(input: {name: $n, folder: $f}) { id } }`, map[string]any{"n": name, "f": folder}, &made)
	if err != nil {
		t.Fatal(err)
	}
	var taken struct{ RecoveryKit struct{ RecoveryKit string } }
	err = p.Query(t.Context(), `mutation($i: ID!) { recoveryKit(id: $i) { recoveryKit } }`, map[string]any{"i": made.CreateBackupTarget.ID}, &taken)
	if err != nil {
		t.Fatal(err)
	}
	return made.CreateBackupTarget.ID, taken.RecoveryKit.RecoveryKit
}

// Backup is a backup as the API shows it.
type Backup struct {
	ID, State, Reason, ServiceName string
	Bytes, PausedSeconds           float64
	Proof                          *struct {
		Proven   bool
		Reason   string
		Failures []string
		Compared []struct {
			What  string
			Count float64
		}
	}
}

const backupFields = `{ id state reason serviceName bytes pausedSeconds proof { proven reason failures compared { what count } } }`

// BackUp backs a service up and returns the complete backup.
func BackUp(t *testing.T, p *uwstest.Process, service, target string) Backup {
	t.Helper()
	b := backUp(t, p, service, target)
	if b.State != "COMPLETE" {
		t.Fatalf("the backup is %s: %s", b.State, b.Reason)
	}
	return b
}

// FailedBackup backs a service up, which fails with a reason that contains text.
func FailedBackup(t *testing.T, p *uwstest.Process, service, target, text string) {
	t.Helper()
	if b := backUp(t, p, service, target); b.State != "FAILED" || !strings.Contains(b.Reason, text) {
		t.Errorf("the backup is %s: %s; want it FAILED: %s", b.State, b.Reason, text)
	}
}

func backUp(t *testing.T, p *uwstest.Process, service, target string) Backup {
	t.Helper()
	var begun struct{ BackUpService Backup }
	err := p.Query(t.Context(), `mutation($s: ID!, $t: ID!) { backUpService(id: $s, targetId: $t) `+backupFields+` }`, map[string]any{"s": service, "t": target}, &begun)
	if err != nil {
		t.Fatal(err)
	}
	return awaitBackup(t, p, begun.BackUpService.ID, "over", func(b Backup) bool { return b.State != "QUEUED" && b.State != "RUNNING" })
}

// Policy gives a service a policy that backs it up once and proves that, and again in a year.
func Policy(t *testing.T, p *uwstest.Process, service, target string) {
	t.Helper()
	err := p.Query(t.Context(), `mutation($s: ID!, $t: ID!) { setBackupPolicy(input: {serviceId: $s, targetId: $t, schedule: "0 0 1 1 *", proveEvery: 604800}) { id } }`, map[string]any{"s": service, "t": target}, nil)
	if err != nil {
		t.Fatal(err)
	}
}

// BackupIs waits until a service is backed up as well as state says, with a reason that contains text.
func BackupIs(t *testing.T, p *uwstest.Process, service, state, text string) {
	t.Helper()
	var out struct {
		Service struct {
			Backup struct{ State, Reason string }
		}
	}
	err := uwstest.Until(t.Context(), "the backups are "+state, func() (bool, error) {
		err := p.Query(t.Context(), `query($i: ID!) { service(id: $i) { backup { state reason } } }`, map[string]any{"i": service}, &out)
		return out.Service.Backup.State == state && strings.Contains(out.Service.Backup.Reason, text), err
	})
	if err != nil {
		t.Fatalf("%v: %s: %+v", err, text, out)
	}
}

// NewestBackup returns the id of the newest complete backup of a service, empty if there is none.
func NewestBackup(t *testing.T, p *uwstest.Process, service string) string {
	t.Helper()
	var out struct{ Backups struct{ Nodes []Backup } }
	err := p.Query(t.Context(), `query($s: ID!) { backups(filter: {serviceId: $s, state: COMPLETE}) { nodes `+backupFields+` } }`, map[string]any{"s": service}, &out)
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Backups.Nodes) == 0 {
		return ""
	}
	return out.Backups.Nodes[0].ID
}

func awaitBackup(t *testing.T, p *uwstest.Process, id, what string, ok func(Backup) bool) Backup {
	t.Helper()
	var out struct{ Backup Backup }
	err := uwstest.Until(t.Context(), "backup "+id+" is "+what, func() (bool, error) {
		err := p.Query(t.Context(), `query($i: ID!) { backup(id: $i) `+backupFields+` }`, map[string]any{"i": id}, &out)
		return ok(out.Backup), err
	})
	if err != nil {
		t.Fatalf("%v: %+v", err, out.Backup)
	}
	return out.Backup
}

// Prove restores a backup on trial, and returns it with the outcome.
func Prove(t *testing.T, p *uwstest.Process, id string) Backup {
	t.Helper()
	var begun struct{ ProveBackup struct{ ID string } }
	if err := p.Query(t.Context(), `mutation($i: ID!) { proveBackup(id: $i) { id } }`, map[string]any{"i": id}, &begun); err != nil {
		t.Fatal(err)
	}
	err := uwstest.Until(t.Context(), "the proof is over", func() (bool, error) {
		var out struct{ Restore struct{ State string } }
		err := p.Query(t.Context(), `query($i: ID!) { restore(id: $i) { state } }`, map[string]any{"i": begun.ProveBackup.ID}, &out)
		return out.Restore.State == "COMPLETE" || out.Restore.State == "FAILED", err
	})
	if err != nil {
		t.Fatal(err)
	}
	return awaitBackup(t, p, id, "proven or not", func(b Backup) bool { return b.Proof != nil })
}

// Proven restores a backup on trial, which works.
func Proven(t *testing.T, p *uwstest.Process, id string) {
	t.Helper()
	if b := Prove(t, p, id); !b.Proof.Proven {
		t.Errorf("the backup is not proven: %+v", b.Proof)
	}
}

// RestoreBackup makes a service of a backup, and returns it when it is there.
func RestoreBackup(t *testing.T, p *uwstest.Process, backup, name string) *uwstest.Service {
	t.Helper()
	return restoreAs(t, p, backup, map[string]any{"name": name})
}

func restoreAs(t *testing.T, p *uwstest.Process, backup string, input map[string]any) *uwstest.Service {
	t.Helper()
	s, err := tryRestore(t, p, backup, input)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// tryRestore is RestoreBackup; the error is that of the mutation.
func tryRestore(t *testing.T, p *uwstest.Process, backup string, input map[string]any) (*uwstest.Service, error) {
	t.Helper()
	type restore struct{ ID, State, Reason, ServiceID string }
	var begun struct{ RestoreBackup restore }
	err := p.Query(t.Context(), `mutation($i: ID!, $n: RestoreBackupInput!) { restoreBackup(id: $i, input: $n) { id state reason serviceId } }`, map[string]any{"i": backup, "n": input}, &begun)
	if err != nil {
		return nil, err
	}
	var out struct{ Restore restore }
	err = uwstest.Until(t.Context(), "the restore is over", func() (bool, error) {
		err := p.Query(t.Context(), `query($i: ID!) { restore(id: $i) { id state reason serviceId } }`, map[string]any{"i": begun.RestoreBackup.ID}, &out)
		return out.Restore.State == "COMPLETE" || out.Restore.State == "FAILED", err
	})
	if err != nil || out.Restore.State != "COMPLETE" {
		t.Fatalf("%v: the restore is %+v", err, out.Restore)
	}
	return Healthy(t, p, out.Restore.ServiceID, 0), nil
}

// LastBackup deletes a service with its data under a policy that wants a last backup. What was written just before is in
// the backup, which outlives the service.
func LastBackup(t *testing.T, p *uwstest.Process, folder string) {
	t.Helper()
	ctx := t.Context()
	target, _ := Target(t, p, "disk", folder)
	s := Launch(t, p, "DB", "shop", nil)
	keys, err := p.Credentials(ctx, s.ID)
	if err != nil {
		t.Fatal(err)
	}
	err = p.Query(ctx, `mutation($s: ID!, $t: ID!) { setBackupPolicy(input: {serviceId: $s, targetId: $t, schedule: "0 0 1 1 *", proveEvery: 0}) { id } }`, map[string]any{"s": s.ID, "t": target}, nil)
	if err != nil {
		t.Fatal(err)
	}
	first := func() string { return NewestBackup(t, p, s.ID) }
	if err := uwstest.Until(ctx, "a service without a backup gets its first", func() (bool, error) { return first() != "", nil }); err != nil {
		t.Fatal(err)
	}
	was := first()
	if err := Postgres.Write(ctx, s.Endpoint, keys, "meow"); err != nil {
		t.Fatal(err)
	}
	Remove(t, p, s.ID, "DELETE")
	last := first()
	if last == was {
		t.Fatal("no last backup was taken")
	}
	again := RestoreBackup(t, p, last, "shop")
	if text, err := Postgres.Read(ctx, again.Endpoint, keys); err != nil || text != "meow" {
		t.Errorf("the last backup has %q (%v)", text, err)
	}
}

// EverythingLost writes to a service, backs it up and proves the backup, and deletes the service with its data. Another installation
// then makes the service again by the recovery kit alone: what was written is there, with the same credentials.
func EverythingLost(t *testing.T, first, second *uwstest.Process, template, kind string, c Client, folder string) {
	t.Helper()
	ctx := t.Context()
	s := Launch(t, first, kind, template, map[string]any{"template": template})
	keys, err := first.Credentials(ctx, s.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Write(ctx, s.Endpoint, keys, "meow"); err != nil {
		t.Fatalf("writing: %v", err)
	}
	target, kit := Target(t, first, template, folder)
	b := BackUp(t, first, s.ID, target)
	if proven := Prove(t, first, b.ID); !proven.Proof.Proven || len(proven.Proof.Compared) == 0 {
		t.Errorf("the backup is not proven: %+v", proven.Proof)
	}
	if text, err := c.Read(ctx, s.Endpoint, keys); err != nil || text != "meow" {
		t.Errorf("after the backup and its proof the service itself has %q (%v)", text, err)
	}
	Remove(t, first, s.ID, "DELETE")

	err = second.Query(ctx, `mutation($n: String!, $k: String!) { importBackupTarget(input: {name: $n, recoveryKit: $k}) { backupCount } }`, map[string]any{"n": template, "k": kit}, nil)
	if err != nil {
		t.Fatal(err)
	}
	again := RestoreBackup(t, second, b.ID, template+"-again")
	now, err := second.Credentials(ctx, again.ID)
	if err != nil || fmt.Sprint(now) != fmt.Sprint(keys) {
		t.Errorf("the credentials changed (%v)", err)
	}
	if text, err := c.Read(ctx, again.Endpoint, now); err != nil || text != "meow" {
		t.Errorf("the restored service has %q (%v)", text, err)
	}
	Remove(t, second, again.ID, "DELETE")
}
