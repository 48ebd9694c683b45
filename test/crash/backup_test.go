package crash

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/test/stories"
	"github.com/unicorn-web-services/uws/test/uwstest"
)

// If uws is killed at any step of a backup, a restore or a proof, the next start goes on with it. The engine that was frozen goes on,
// nothing is left of what was given up, and nothing is orphaned.
func TestCrashInBackups(t *testing.T) {
	const fields = ` { id state reason serviceId }`
	each(t, []string{"backup-frozen", "restore-copy", "restore-copied", "restore-launched", "proof-check"}, func(w *world, step string) {
		w.start("")
		s, err := w.p.Launch(w.Context(), "SECRETS", "vault", nil)
		w.must(err)
		w.id = s.ID
		up := w.healthy()
		keys, err := w.p.Credentials(w.Context(), w.id)
		w.must(err)
		w.must(stories.Setec.Write(w.Context(), up.Endpoint, keys, "meow"))
		target, _ := stories.Target(w.T, w.p, "disk", filepath.Join(w.dir, "target"))
		backup := ""
		if step != "backup-frozen" {
			backup = stories.BackUp(w.T, w.p, w.id, target).ID
		}
		w.must(w.p.Stop())
		w.start(step)
		engines := 1
		switch step {
		case "backup-frozen":
			_ = w.p.Query(w.Context(), `mutation($s: ID!, $t: ID!) { backUpService(id: $s, targetId: $t)`+fields+` }`, map[string]any{"s": w.id, "t": target}, nil)
		case "proof-check":
			_ = w.p.Query(w.Context(), `mutation($i: ID!) { proveBackup(id: $i)`+fields+` }`, map[string]any{"i": backup}, nil)
		default:
			_ = w.p.Query(w.Context(), `mutation($i: ID!) { restoreBackup(id: $i, input: {name: "again"})`+fields+` }`, map[string]any{"i": backup}, nil)
			engines = 2
		}
		w.crash()
		w.backupsAreOver()
		w.healthy()
		if text, err := stories.Setec.Read(w.Context(), up.Endpoint, keys); err != nil || text != "meow" {
			w.Errorf("the service has %q (%v)", text, err)
		}
		if engines == 2 {
			w.restored("again", keys)
		}
		w.processes(engines)
		var left struct{ Orphans []struct{ ID string } }
		w.must(w.p.Query(w.Context(), `{ orphans { id } }`, nil, &left))
		if len(left.Orphans) > 0 || len(w.retained()) > 0 {
			w.Errorf("left are the orphans %v, and the data %v", left.Orphans, w.retained())
		}
	})
}

// If uws is killed while it begins to receive a log, or stores some of it, the database can be restored to any moment afterwards.
func TestCrashInLogs(t *testing.T) {
	each(t, []string{"wal-slot", "wal-store"}, func(w *world, step string) {
		w.start("")
		s, err := w.p.Launch(w.Context(), "DB", "ledger", nil)
		w.must(err)
		w.id = s.ID
		w.healthy()
		target, _ := stories.Target(w.T, w.p, "disk", filepath.Join(w.dir, "target"))
		w.must(w.p.Stop())
		w.start(step)
		_ = w.p.Query(w.Context(), `mutation($s: ID!, $t: ID!) { setBackupPolicy(input: {serviceId: $s, targetId: $t, proveEvery: 0, pointInTime: true}) { id } }`,
			map[string]any{"s": w.id, "t": target}, nil)
		w.crash()
		now := time.Now()
		stories.Restorable(w.T, w.p, w.id, now)
		w.backupsAreOver()
	})
}

// backupsAreOver waits until every backup, restore and proof is complete.
func (w *world) backupsAreOver() {
	w.Helper()
	type job struct{ State, Reason string }
	var all struct {
		Backups, Restores struct{ Nodes []job }
	}
	err := uwstest.Until(w.Context(), "backups and restores are over", func() (bool, error) {
		err := w.p.Query(w.Context(), `{ backups { nodes { state reason } } restores { nodes { state reason } } }`, nil, &all)
		for _, j := range append(all.Backups.Nodes, all.Restores.Nodes...) {
			if j.State != "COMPLETE" {
				return false, err
			}
		}
		return err == nil, err
	})
	if err != nil {
		w.Fatalf("%v: %+v", err, all)
	}
}

// restored checks the service that was made of a backup.
func (w *world) restored(name string, keys map[string]string) {
	w.Helper()
	var all struct {
		Services struct{ Nodes []struct{ ID, Name string } }
	}
	w.must(w.p.Query(w.Context(), `{ services { nodes { id name } } }`, nil, &all))
	for _, s := range all.Services.Nodes {
		if s.Name != name {
			continue
		}
		up, err := w.p.Healthy(w.Context(), s.ID, 0)
		w.must(err)
		if text, err := stories.Setec.Read(w.Context(), up.Endpoint, keys); err != nil || text != "meow" {
			w.Errorf("the restored service has %q (%v)", text, err)
		}
		return
	}
	w.Errorf("there is no service %s: %+v", name, all.Services.Nodes)
}
