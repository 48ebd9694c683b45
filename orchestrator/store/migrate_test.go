package store

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

// later returns the embedded migrations and one more.
func later(t *testing.T, sql string) fs.FS {
	t.Helper()
	files := fstest.MapFS{"9000_later.sql": {Data: []byte("-- +goose Up\n" + sql)}}
	embedded, err := fs.Glob(migrations, sqliteMigrations+"/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range embedded {
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
