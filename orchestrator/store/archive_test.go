package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/ent"
)

var archiveDay = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// addLines appends n lines to the audit log, one per hour beginning at from.
func addLines(t *testing.T, s *Store, n int, from time.Time) {
	t.Helper()
	_, err := s.writer.ExecContext(t.Context(), `
		WITH RECURSIVE line(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM line WHERE i + 1 < ?)
		INSERT INTO audits (at, actor, credential, role, address, door, action, target, detail, result, message)
		SELECT strftime('%Y-%m-%d %H:%M:%S+00:00', ?, i || ' hours'), 'tester', '', 'ADMIN', '', 'HTTP', 'stopService', 's' || i, '', 'OK', '' FROM line`,
		n, from.UTC().Format(time.DateTime))
	if err != nil {
		t.Fatal(err)
	}
}

// before selects the lines older than a time.
func before(at time.Time) AuditArchiving {
	return AuditArchiving{Before: at, Now: at, Line: func(r *ent.Audit) any { return map[string]any{"id": r.ID, "target": r.Target} }}
}

func archive(t *testing.T, s *Store, what AuditArchiving) int {
	t.Helper()
	n, _, err := s.ArchiveAudit(t.Context(), what)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func problems(t *testing.T, s *Store) []string {
	t.Helper()
	r, err := s.VerifyAudit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r.Problems
}

func whole(t *testing.T, s *Store, archived, kept int) *AuditReport {
	t.Helper()
	r, err := s.VerifyAudit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Problems) > 0 || r.Archived != archived || r.Kept != kept {
		t.Errorf("got %+v, want %d lines archived and %d kept", r, archived, kept)
	}
	return r
}

// archiveIDs returns the ids of the lines in an archive, between its header and its footer.
func archiveIDs(t *testing.T, path string) (ids []int64) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(b) {
		var l struct{ ID int64 }
		if err := json.Unmarshal(line, &l); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		ids = append(ids, l.ID)
	}
	if n := len(ids); n < 3 || ids[0] != 0 || ids[n-1] != 0 {
		t.Fatalf("%s has neither header nor footer", path)
	}
	return ids[1 : len(ids)-1]
}

func names(t *testing.T, s *Store) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(s.archives())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestArchiveAudit(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	if n := archive(t, s, before(archiveDay)); n != 0 {
		t.Errorf("%d of no lines were archived", n)
	}
	addLines(t, s, 30, archiveDay)
	if n := archive(t, s, before(archiveDay)); n != 0 || len(names(t, s)) != 0 {
		t.Errorf("%d young lines were archived", n)
	}
	if n := archive(t, s, before(archiveDay.Add(10*time.Hour))); n != 10 {
		t.Errorf("%d lines were archived, want 10", n)
	}
	first := whole(t, s, 10, 20)
	if n := archive(t, s, before(archiveDay.Add(10*time.Hour))); n != 0 {
		t.Errorf("%d lines were archived twice", n)
	}
	if n := archive(t, s, before(archiveDay.Add(1000*time.Hour))); n != 19 {
		t.Errorf("%d lines were archived, want all but the newest", n)
	}
	second := whole(t, s, 29, 1)
	if second.Chain == first.Chain || len(second.Archives) != 2 {
		t.Errorf("got %+v after %+v", second, first)
	}
	if got := names(t, s); !slices.Equal(got, []string{"1-10.jsonl", "11-29.jsonl"}) {
		t.Errorf("got %q", got)
	}
	if ids := archiveIDs(t, second.Archives[1].Path); len(ids) != 19 || ids[0] != 11 || ids[18] != 29 {
		t.Errorf("got ids %v", ids)
	}
	for path, want := range map[string]fs.FileMode{s.archives(): 0o700 | fs.ModeDir, second.Archives[0].Path: 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v; want %v", path, info.Mode(), err, want)
		}
	}
	addLines(t, s, 1, archiveDay)
	if last, err := s.Read.Audit.Query().Count(t.Context()); last != 2 || err != nil {
		t.Errorf("%d lines after another, %v", last, err)
	}
	shared := mustOpen(t, Options{Dir: s.dir, Shared: true})
	if _, _, err := shared.ArchiveAudit(t.Context(), before(archiveDay.Add(1000*time.Hour))); err == nil {
		t.Error("a short command archives")
	}
}

// A long log is archived in several files.
func TestArchiveLongAudit(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	addLines(t, s, 2*archiveLines+3, archiveDay)
	began := time.Now()
	if n := archive(t, s, before(archiveDay.Add(100000*time.Hour))); n != 2*archiveLines+2 {
		t.Errorf("%d lines were archived", n)
	}
	t.Logf("it took %s", time.Since(began))
	if r := whole(t, s, 2*archiveLines+2, 1); len(r.Archives) != 3 {
		t.Errorf("got %+v", r)
	}
}

func TestArchiveAuditAtOnce(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	addLines(t, s, 50, archiveDay)
	var all sync.WaitGroup
	total := make(chan int, 8)
	for i := range 8 {
		all.Go(func() {
			n, _, err := s.ArchiveAudit(t.Context(), before(archiveDay.Add(time.Duration(5*i)*time.Hour)))
			if err != nil {
				t.Error(err)
			}
			total <- n
		})
	}
	all.Wait()
	close(total)
	sum := 0
	for n := range total {
		sum += n
	}
	if whole(t, s, 35, 15); sum != 35 {
		t.Errorf("%d lines were archived", sum)
	}
}

// The next call completes or removes what a crash left behind. Files of another store are not overwritten.
func TestArchiveLeftovers(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	addLines(t, s, 30, archiveDay)
	p := prefix{first: 1, last: 5}
	if _, _, err := s.writeArchive(t.Context(), p, before(archiveDay).Line); err != nil { // as if uws had crashed here
		t.Fatal(err)
	}
	for _, name := range []string{"1-10.jsonl.new", "1-7.jsonl.new"} {
		if err := os.WriteFile(filepath.Join(s.archives(), name), []byte(`{"archive":`), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(s.archives(), "6-10.jsonl"), []byte("another store's"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r, err := s.VerifyAudit(t.Context()); err != nil || len(r.Problems) > 0 || len(r.Notes) != 4 {
		t.Errorf("got %+v, %v", r, err)
	}
	if n := archive(t, s, before(archiveDay.Add(10*time.Hour))); n != 10 {
		t.Errorf("%d lines were archived", n)
	}
	whole(t, s, 10, 20)
	got := names(t, s)
	if len(got) != 3 || got[0] != "1-5.jsonl" || got[1] != "6-10.jsonl" || !strings.HasPrefix(got[2], "6-10.jsonl.other-") {
		t.Errorf("got %q", got)
	}
	if b, err := os.ReadFile(filepath.Join(s.archives(), got[2])); string(b) != "another store's" {
		t.Errorf("got %q, %v", b, err)
	}
}

// No SQL statement can insert lines anywhere but at the end, or delete lines that no checkpoint covers.
func TestAuditTriggers(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	addLines(t, s, 20, archiveDay)
	archive(t, s, before(archiveDay.Add(10*time.Hour)))
	insert := func(how string, id int) string {
		return fmt.Sprintf("INSERT %s INTO audits (id, at, actor, credential, role, address, door, action, target, detail, result, message) VALUES (%d, '2026-05-01', '', '', '', '', '', 'x', '', '', '', '')", how, id)
	}
	checkpoint := func(how string, id string, first, last, count int, previous string) string {
		return fmt.Sprintf("INSERT %s INTO audit_checkpoints (id, at, first_id, last_id, count, file, sha256, signed_in, previous, hash) VALUES (%s, '2026-05-01', %d, %d, %d, 'x', 'x', 0, %s, 'x')", how, id, first, last, count, previous)
	}
	const newest = "(SELECT hash FROM audit_checkpoints)"
	for _, sql := range []string{
		"DELETE FROM audits", "DELETE FROM audits WHERE id = 11", "DELETE FROM audits WHERE id = 20",
		"UPDATE audits SET actor = 'x'", "UPDATE audits SET id = 1 WHERE id = 11",
		insert("", 1), insert("", 10), insert("", 0), insert("", -1), insert("", 15), insert("OR REPLACE", 5), insert("OR REPLACE", 11), insert("OR REPLACE", 20),
		"DELETE FROM audit_checkpoints", "UPDATE audit_checkpoints SET last_id = 20", "UPDATE audit_checkpoints SET sha256 = 'x'",
		checkpoint("", "NULL", 11, 20, 10, newest),           // the newest line
		checkpoint("", "NULL", 11, 15, 4, newest),            // too few
		checkpoint("", "NULL", 12, 15, 5, newest),            // not from the beginning of the log
		checkpoint("", "NULL", 11, 10, 0, newest),            // none
		checkpoint("", "NULL", 11, 15, 5, "''"),              // does not follow the newest checkpoint
		checkpoint("OR REPLACE", "1", 11, 15, 5, newest),     // replaces it
		checkpoint("", "0", 11, 15, 5, newest),               // before it
		checkpoint("OR REPLACE", "NULL", 11, 10, 0, newest),  // nothing
		checkpoint("OR IGNORE", "NULL", 11, 100, 10, newest), // beyond the end
	} {
		if _, err := s.writer.ExecContext(t.Context(), sql); err == nil {
			t.Errorf("%s: was done", sql)
		}
	}
	whole(t, s, 10, 10)
	for _, sql := range []string{"DELETE FROM audits WHERE id <= 10", insert("", 21)} {
		if _, err := s.writer.ExecContext(t.Context(), sql); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
	addLines(t, s, 1, archiveDay)
	whole(t, s, 10, 12)
}

// VerifyAudit finds everything that is deleted or changed without the store.
func TestVerifyAudit(t *testing.T) {
	sql := func(t *testing.T, s *Store, statements ...string) {
		for _, text := range statements {
			if _, err := s.writer.ExecContext(t.Context(), text); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
		}
	}
	file := func(s *Store, name string) string { return filepath.Join(s.archives(), name) }
	for name, c := range map[string]struct {
		do   func(t *testing.T, s *Store)
		want []string
	}{
		"nothing":        {func(*testing.T, *Store) {}, nil},
		"archive gone":   {func(t *testing.T, s *Store) { _ = os.Remove(file(s, "11-20.jsonl")) }, []string{"11-20.jsonl, with lines 11 to 20, is missing"}},
		"archives gone":  {func(t *testing.T, s *Store) { _ = os.RemoveAll(s.archives()) }, []string{"lines 1 to 10, is missing", "lines 11 to 20, is missing"}},
		"archive edited": {func(t *testing.T, s *Store) { edit(t, file(s, "1-10.jsonl")) }, []string{"1-10.jsonl, with lines 1 to 10, was changed"}},
		"checkpoint edited": {func(t *testing.T, s *Store) {
			edit(t, file(s, "1-10.jsonl"))
			sum, _ := fileSum(file(s, "1-10.jsonl"))
			sql(t, s, "DROP TRIGGER audit_checkpoints_no_update", "UPDATE audit_checkpoints SET sha256 = '"+sum+"' WHERE id = 1")
		}, []string{"checkpoint of lines 1 to 10 was changed"}},
		"checkpoint replaced": {func(t *testing.T, s *Store) {
			c, err := s.Read.AuditCheckpoint.Get(t.Context(), 1)
			if err != nil {
				t.Fatal(err)
			}
			edit(t, file(s, "1-10.jsonl"))
			c.Sha256, _ = fileSum(file(s, "1-10.jsonl"))
			sql(t, s, "DROP TRIGGER audit_checkpoints_no_update", "UPDATE audit_checkpoints SET sha256 = '"+c.Sha256+"', hash = '"+checkpointHash(c)+"' WHERE id = 1")
		}, []string{"checkpoint of lines 11 to 20 does not follow"}},
		"first checkpoint gone": {func(t *testing.T, s *Store) {
			sql(t, s, "DROP TRIGGER audit_checkpoints_no_delete", "DELETE FROM audit_checkpoints WHERE id = 1")
		}, []string{"does not begin the chain", "Lines 1 to 10 are missing"}},
		"last checkpoint gone": {func(t *testing.T, s *Store) {
			sql(t, s, "DROP TRIGGER audit_checkpoints_no_delete", "DELETE FROM audit_checkpoints WHERE id = 2")
		}, []string{"Lines 11 to 20 are missing"}},
		"lines gone": {func(t *testing.T, s *Store) {
			sql(t, s, "DROP TRIGGER audits_no_delete", "DELETE FROM audits WHERE id IN (21, 25, 26, 30)")
		}, []string{"Lines 21 to 21 are missing", "Lines 25 to 26 are missing", "Lines 30 to 30 are missing"}},
		"all lines gone": {func(t *testing.T, s *Store) {
			sql(t, s, "DROP TRIGGER audits_no_delete", "DELETE FROM audits")
		}, []string{"Lines 21 to 30 are missing"}},
		"archived line added again": {func(t *testing.T, s *Store) {
			sql(t, s, "DROP TRIGGER audits_rise", "INSERT INTO audits (id, at, actor, credential, role, address, door, action, target, detail, result, message) VALUES (20, '2026-05-01', '', '', '', '', '', 'x', '', '', '', '')")
		}, []string{"Line 20 is in the log, though lines up to 20 were archived"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := mustOpen(t, Options{Dir: t.TempDir()})
			addLines(t, s, 30, archiveDay)
			archive(t, s, before(archiveDay.Add(10*time.Hour)))
			archive(t, s, before(archiveDay.Add(20*time.Hour)))
			c.do(t, s)
			got := problems(t, s)
			if len(got) != len(c.want) {
				t.Fatalf("got %q, want %q", got, c.want)
			}
			for i, want := range c.want {
				if !strings.Contains(got[i], want) {
					t.Errorf("got %q, want %q", got[i], want)
				}
			}
		})
	}
}

func edit(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, bytes.Replace(b, []byte(`"s3"`), []byte(`"s4"`), 1), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// If the disk is full, or becomes full meanwhile, the log is unchanged. The archive is written once there is space.
func TestArchiveOnFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=40m,mode=700"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	s := mustOpen(t, Options{Dir: dir})
	t.Cleanup(func() { _ = s.Close() })
	addLines(t, s, 2000, archiveDay)
	filler := filepath.Join(dir, "filler")
	fill := func(most int64) {
		f, err := os.OpenFile(filler, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		for some, n := make([]byte, 1<<12), int64(0); err == nil && n < most; n += int64(len(some)) {
			_, err = f.Write(some)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	all := before(archiveDay.Add(10000 * time.Hour))
	meanwhile := all
	meanwhile.Line = func(r *ent.Audit) any {
		if r.ID == 700 {
			fill(1 << 40)
		}
		return all.Line(r)
	}
	for _, c := range []struct {
		when   string
		filled int64
		what   AuditArchiving
	}{{"it becomes full", 0, meanwhile}, {"it is nearly full", 25 << 20, all}} {
		fill(c.filled)
		if n, _, err := s.ArchiveAudit(t.Context(), c.what); n != 0 || !DiskFull(err) {
			t.Errorf("%s: %d lines were archived, %v", c.when, n, err)
		}
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		if got := names(t, s); len(got) > 0 {
			t.Errorf("%s: %q is left", c.when, got)
		}
		whole(t, s, 0, 2000)
	}
	if n := archive(t, s, all); n != 1999 {
		t.Errorf("%d lines were archived", n)
	}
	whole(t, s, 1999, 1)
}
