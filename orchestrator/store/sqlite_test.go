package store

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"

	sqlite3 "modernc.org/sqlite/lib"
)

// Every connection of both pools has the settings, not only the first.
func TestPragmasHold(t *testing.T) {
	s, err := Open(t.Context(), Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, p := range []struct {
		name string
		db   *sql.DB
		size int
	}{{"writer", s.writer, 1}, {"reader", s.reader, readers}} {
		if got := p.db.Stats().MaxOpenConnections; got != p.size {
			t.Errorf("%s has at most %d connections, want %d", p.name, got, p.size)
		}
		for range p.size {
			conn, err := p.db.Conn(t.Context()) // kept open, so that the next one is another connection
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			for name, want := range map[string]string{
				"journal_mode": "wal", "busy_timeout": "5000", "foreign_keys": "1", "synchronous": "1",
			} {
				var got string
				if err := conn.QueryRowContext(t.Context(), "PRAGMA "+name).Scan(&got); err != nil || got != want {
					t.Errorf("%s: %s = %q, %v; want %q", p.name, name, got, err, want)
				}
			}
		}
	}
}

// A writer's transaction holds the write lock from BEGIN on, before it has written anything.
func TestTransactionsAreImmediate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	writer, err := openPool(t.Context(), path, writerSettings, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	impatient := settings{pragmas: []pragma{{"busy_timeout", "0", "0"}}, params: writerSettings.params}
	other, err := openPool(t.Context(), path, impatient, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	tx, err := writer.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.ExecContext(t.Context(), "CREATE TABLE t (n integer)"); sqliteCode(err) != sqlite3.SQLITE_BUSY {
		t.Errorf("another write during the transaction: %v; want SQLITE_BUSY", err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if _, err := other.ExecContext(t.Context(), "CREATE TABLE t (n integer)"); err != nil {
		t.Errorf("another write after the transaction: %v", err)
	}
}

func TestWrongPragmaRefusesStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	for _, p := range []pragma{
		{"journal_mode", "DELETE", "wal"},
		{"foreign_keys", "0", "1"},
		{"sinchronous", "NORMAL", "1"}, // SQLite ignores a misspelt pragma
	} {
		db, err := openPool(t.Context(), path, settings{pragmas: []pragma{p}, params: times}, 1)
		if err == nil {
			t.Errorf("%s: a connection without it was opened", p.name)
			_ = db.Close()
		} else if !strings.Contains(err.Error(), p.name) || !strings.Contains(err.Error(), p.answer) {
			t.Errorf("%s: error %q does not say what is wrong", p.name, err)
		}
	}
}

func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.writer.ExecContext(t.Context(), "PRAGMA max_page_count = 1"); err != nil { // SQLite raises it to the present number of pages
		t.Fatal(err)
	}
	_, err = s.writer.ExecContext(t.Context(), "CREATE TABLE big AS SELECT zeroblob(1000000)")
	if !DiskFull(err) {
		t.Fatalf("DiskFull(%v) = false", err)
	}
	if got := explain(err, dir).Error(); !strings.Contains(got, dir) || !strings.Contains(got, "free some") {
		t.Errorf("explained as %q", got)
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("Ping after a full disk: %v", err)
	}
}
