package stories

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/test/uwstest"
)

// PointInTime drops a table of a database whose policy keeps its log. The table comes back by the time before that, in this
// installation after uws was killed and started again, and in another one by the recovery kit alone.
func PointInTime(t *testing.T, first, second *uwstest.Process, killed func() *uwstest.Process, folder string) {
	t.Helper()
	ctx := t.Context()
	target, kit := Target(t, first, "log", folder)
	s := Launch(t, first, "DB", "ledger", nil)
	keys, err := first.Credentials(ctx, s.ID)
	if err != nil {
		t.Fatal(err)
	}
	err = first.Query(ctx, `mutation($s: ID!, $t: ID!) {
		setBackupPolicy(input: {serviceId: $s, targetId: $t, schedule: "0 0 1 1 *", proveEvery: 0, pointInTime: true, finalBackup: false}) { id }
	}`, map[string]any{"s": s.ID, "t": target}, nil)
	if err != nil {
		t.Fatal(err)
	}
	Restorable(t, first, s.ID, time.Time{})
	base := NewestBackup(t, first, s.ID)
	if err := Postgres.Write(ctx, s.Endpoint, keys, "meow"); err != nil {
		t.Fatal(err)
	}
	before := postgresNow(t, s, keys)
	drop := func() {
		t.Helper()
		c, err := PostgresConnect(ctx, s.Endpoint, keys)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Exec(ctx, "DROP TABLE cats"); err != nil || c.Close(ctx) != nil {
			t.Fatal(err)
		}
	}
	drop()
	first = killed()
	Restorable(t, first, s.ID, before)

	for want, wrong := range map[string]time.Time{
		"an earlier moment needs an earlier backup": before.Add(-24 * time.Hour),
		"outside the time that can be restored":     before.Add(24 * time.Hour),
	} {
		if _, err := tryRestore(t, first, base, map[string]any{"name": "no", "at": wrong}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("restoring to %s: %v", wrong, err)
		}
	}
	hasTable := func(p *uwstest.Process, name string) {
		t.Helper()
		again := restoreAs(t, p, base, map[string]any{"name": name, "at": before})
		if text, err := Postgres.Read(ctx, again.Endpoint, keys); err != nil || text != "meow" {
			t.Errorf("the table before it was dropped has %q (%v)", text, err)
		}
		c, err := PostgresConnect(ctx, again.Endpoint, keys)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Exec(ctx, "INSERT INTO cats VALUES ('again')"); err != nil || c.Close(ctx) != nil {
			t.Errorf("the restored service takes no writes: %v", err)
		}
	}
	hasTable(first, "ledger-before")
	Remove(t, first, s.ID, "DELETE")
	err = second.Query(ctx, `mutation($k: String!) { importBackupTarget(input: {name: "log", recoveryKit: $k}) { backupCount } }`, map[string]any{"k": kit}, nil)
	if err != nil {
		t.Fatal(err)
	}
	hasTable(second, "ledger")
}

// Restorable waits until a service can be restored to any moment up to a time.
func Restorable(t *testing.T, p *uwstest.Process, id string, to time.Time) {
	t.Helper()
	var out struct {
		Service struct {
			Backup struct {
				State, Reason string
				PointInTime   bool
				RestorableTo  time.Time
			}
		}
	}
	err := uwstest.Until(t.Context(), "it can be restored to "+to.String(), func() (bool, error) {
		err := p.Query(t.Context(), `query($i: ID!) { service(id: $i) { backup { state reason pointInTime restorableTo } } }`, map[string]any{"i": id}, &out)
		b := out.Service.Backup
		return b.PointInTime && !b.RestorableTo.Before(to), err
	})
	if err != nil {
		t.Fatalf("%v: %+v", err, out.Service.Backup)
	}
}

// postgresNow returns the time of the clock of a database.
func postgresNow(t *testing.T, s *uwstest.Service, keys map[string]string) (at time.Time) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c, err := PostgresConnect(ctx, s.Endpoint, keys)
	if err == nil {
		err = errors.Join(c.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&at), c.Close(ctx))
	}
	if err != nil {
		t.Fatal(err)
	}
	return at
}
