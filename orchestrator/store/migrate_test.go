package store

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
)

// later returns the embedded migrations and one more.
func later(t *testing.T, sql string) fs.FS {
	t.Helper()
	files := upTo(t, "9")
	files["9000_later.sql"] = &fstest.MapFile{Data: []byte("-- +goose Up\n" + sql)}
	return files
}

// upTo is the embedded migrations before one, by the beginning of its name.
func upTo(t *testing.T, before string) fstest.MapFS {
	t.Helper()
	files := fstest.MapFS{}
	embedded, err := fs.Glob(migrations, sqliteMigrations+"/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range embedded {
		if filepath.Base(name) >= before {
			continue
		}
		b, err := migrations.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(name)] = &fstest.MapFile{Data: b}
	}
	return files
}

func tables(t *testing.T, s *Store, like string) int {
	t.Helper()
	var n int
	err := s.reader.QueryRowContext(t.Context(), "SELECT count(*) FROM sqlite_schema WHERE name LIKE ?", like).Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func mustOpen(t *testing.T, opts Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestUpgrade(t *testing.T) {
	dir := t.TempDir()
	old := mustOpen(t, Options{Dir: dir})

	// While an older uws serves the folder, a newer short command must not migrate it.
	files := later(t, "CREATE TABLE later_a (n integer);\nCREATE TABLE later_b (n integer);\n")
	_, err := Open(t.Context(), Options{Dir: dir, Shared: true, migrations: files})
	if _, locked := errors.AsType[*LockedError](err); !locked || !strings.Contains(err.Error(), "migrated") {
		t.Errorf("a short command migrated a store in use: %v", err)
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}

	for range 2 { // the second time there is nothing to do
		s := mustOpen(t, Options{Dir: dir, migrations: files})
		if s.Installation != old.Installation {
			t.Errorf("installation = %q, was %q", s.Installation, old.Installation)
		}
		if n := tables(t, s, "later_%"); n != 2 {
			t.Errorf("%d of the migration's tables are there, want 2", n)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}

	if _, err := Open(t.Context(), Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "newer uws") {
		t.Errorf("the older uws opened the newer store: %v", err)
	}
}

// A failed migration changes nothing: the older uws can still open the store.
func TestUpgradeIsAllOrNothing(t *testing.T) {
	dir := t.TempDir()
	if err := mustOpen(t, Options{Dir: dir}).Close(); err != nil {
		t.Fatal(err)
	}
	files := later(t, "CREATE TABLE later_a (n integer);\nINSERT INTO no_such_table VALUES (1);\n")
	if _, err := Open(t.Context(), Options{Dir: dir, migrations: files}); err == nil || !strings.Contains(err.Error(), "migrate the store") {
		t.Fatalf("a broken migration: %v", err)
	}
	s := mustOpen(t, Options{Dir: dir})
	if n := tables(t, s, "later_%"); n != 0 {
		t.Errorf("%d tables of the broken migration are there", n)
	}
}

// Retained data of before keeps everything, sealed credentials included, and each service of before has a volume.
func TestUpgradeToVolumes(t *testing.T) {
	dir := t.TempDir()
	old := mustOpen(t, Options{Dir: dir, migrations: upTo(t, "0017")})
	seal := func(text, volume string) []byte {
		t.Helper()
		b, err := old.Seal([]byte(text), CredentialsContext(volume))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	exec := func(query string, args ...any) {
		t.Helper()
		if _, err := old.writer.ExecContext(t.Context(), query, args...); err != nil {
			t.Fatal(err)
		}
	}
	const launched, removed = "2026-01-02 03:04:05+00:00", "2026-02-03 04:05:06.789+00:00"
	retain := "INSERT INTO retaineds (id, name, kind, template, definition, credentials, pending_credentials, service_id, node_id, deleting, created_at, retained_at, " +
		"data_marked, desired_state, ports, forgotten, node_name, engine_id, obstacle) VALUES (?, ?, 'QUEUE', 'nats', '{\"name\":\"nats\",\"version\":\"2.1\"}', ?, ?, ?, ?, ?, '" + launched + "', '" + removed + "', ?, ?, ?, ?, ?, ?, ?)"
	exec(retain, "v1", "plain", seal("plain", "v1"), nil, "gone1", "n1", false, false, "", nil, false, "", "", nil)
	exec(retain, "v2", "full", seal("old", "v2"), seal("new", "v2"), "gone2", "n9", true, true, "RUNNING", `{"main":4222}`, true, "far", "engine-9", "in the way")
	launch := "INSERT INTO services (id, name, kind, template, definition, input_hash, volume, credentials, requested_node, created_at, desired_state, node_id, phase, health, ever_healthy, updated_at) " +
		"VALUES (?, ?, 'DB', 'redis', '{\"name\":\"redis\",\"version\":\"8.2\"}', '', ?, ?, ?, '" + launched + "', ?, ?, 'RUNNING', 'HEALTHY', ?, '" + removed + "')"
	exec(launch, "s3", "runs", "v3", seal("3", "v3"), "", "RUNNING", "n1", true)
	exec(launch, "s4", "reattached", "v4", seal("4", "v4"), "n2", "RUNNING", nil, true)
	exec(launch, "s5", "waits", "v5", seal("5", "v5"), "n2", "RUNNING", nil, false)
	exec(launch, "s6", "leaves", "v6", seal("6", "v6"), nil, "REMOVED", "n2", false)
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}

	s := mustOpen(t, Options{Dir: dir})
	if n := tables(t, s, "retained%"); n != 0 {
		t.Errorf("%d tables of retained data are left", n)
	}
	volumes := map[string]*ent.Volume{}
	for _, v := range s.Read.Volume.Query().AllX(t.Context()) {
		volumes[v.ID] = v
	}
	if len(volumes) != 6 {
		t.Fatalf("%d volumes, want 6: %v", len(volumes), volumes)
	}
	created, retained := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), time.Date(2026, 2, 3, 4, 5, 6, 789e6, time.UTC)
	for id, want := range map[string]*ent.Volume{
		"v1": {Name: "plain", NodeID: "n1", FormerService: "gone1", Credentials: []byte("plain")},
		"v2": {Name: "full", NodeID: "n9", FormerService: "gone2", Credentials: []byte("old"), PendingCredentials: []byte("new"), Ports: map[string]int{"main": 4222},
			DataMarked: true, DesiredState: "RUNNING", Forgotten: true, NodeName: "far", EngineID: "engine-9", Deleting: true, Obstacle: new("in the way")},
		"v3": {ServiceID: new("s3"), Name: "runs", NodeID: "n1"},
		"v4": {ServiceID: new("s4"), Name: "reattached", NodeID: "n2"},
		"v5": {ServiceID: new("s5"), Name: "waits"},
		"v6": {ServiceID: new("s6"), Name: "leaves", NodeID: "n2"},
	} {
		got := *volumes[id]
		for _, sealed := range []*[]byte{&got.Credentials, &got.PendingCredentials} {
			if *sealed == nil {
				continue
			}
			plain, err := s.Unseal(*sealed, CredentialsContext(id))
			if err != nil {
				t.Errorf("%s: %v", id, err)
			}
			*sealed = plain
		}
		want.Kind, want.Template, want.Definition.Version = catalog.Queue, "nats", "2.1"
		if want.ServiceID != nil {
			want.Kind, want.Template, want.Definition.Version = catalog.DB, "redis", "8.2"
		} else if got.RetainedAt == nil || !got.RetainedAt.Equal(retained) {
			t.Errorf("%s was retained at %v", id, got.RetainedAt)
		}
		want.ID, want.Definition.Name = id, want.Template
		if !got.CreatedAt.Equal(created) || got.Definition.Name != want.Definition.Name || got.Definition.Version != want.Definition.Version {
			t.Errorf("%s: launched at %v with %+v", id, got.CreatedAt, got.Definition)
		}
		got.CreatedAt, got.RetainedAt, got.Definition = want.CreatedAt, nil, want.Definition
		a, b := fmt.Sprintf("%+v %s %s", got.String(), got.Credentials, got.PendingCredentials), fmt.Sprintf("%+v %s %s", want.String(), want.Credentials, want.PendingCredentials)
		if a != b {
			t.Errorf("got  %s\nwant %s", a, b)
		}
	}
}
