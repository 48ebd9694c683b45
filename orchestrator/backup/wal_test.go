package backup

import (
	"archive/tar"
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/backup/method/postgres"
	"github.com/unicorn-web-services/uws/orchestrator/backup/repo"
)

// newRepository makes a repository in a folder.
func newRepository(t *testing.T) (r *repo.Repository, folder string) {
	t.Helper()
	folder = filepath.Join(t.TempDir(), "target")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	o := repo.Options{Location: repo.Location{Folder: folder}, Key: repo.NewKey(), Scratch: t.TempDir(), Owner: "us"}
	if err := repo.Create(t.Context(), o, "target"); err != nil {
		t.Fatal(err)
	}
	r, err := repo.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close(context.Background()) })
	return r, folder
}

// Maintenance deletes log segments that were stored more than an hour before the oldest backup of their service. Segments of a
// service without backups are deleted after a day.
func TestTrimWAL(t *testing.T) {
	r, folder := newRepository(t)
	empty := repo.Part{Dir: "data", Write: func(_ context.Context, w io.Writer) error { return tar.NewWriter(w).Close() }}
	s, err := r.Save(t.Context(), map[string]string{labelService: "kept"}, nil, empty)
	if err != nil {
		t.Fatal(err)
	}
	if later, err := r.Save(t.Context(), map[string]string{labelService: "kept"}, nil, empty); err != nil || !later.At.After(s.At) {
		t.Fatalf("%+v %v", later, err)
	}
	now := s.At.Add(100 * time.Hour)
	stored := map[string]time.Time{
		"logs/kept/l/before":  s.At.Add(-walSlack - time.Minute),
		"logs/kept/l/about":   s.At.Add(-walSlack),
		"logs/kept/l/after":   s.At.Add(time.Hour),
		"logs/alone/l/before": now.Add(-walAlone - time.Minute),
		"logs/alone/l/after":  now.Add(-walAlone + time.Minute),
		"other/kept":          s.At.Add(-1000 * time.Hour),
	}
	for name, at := range stored {
		if err := r.Put(t.Context(), name, []byte("x")); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(filepath.Join(folder, "uws", filepath.FromSlash(name)), at, at); err != nil {
			t.Fatal(err)
		}
	}
	if err := trimWAL(t.Context(), r, now); err != nil {
		t.Fatal(err)
	}
	left, err := r.Names(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, o := range left {
		names = append(names, o.Name)
	}
	slices.Sort(names)
	if got := strings.Join(names, " "); got != "logs/alone/l/after logs/kept/l/about logs/kept/l/after other/kept" {
		t.Errorf("left is %s", got)
	}
}

// An index keeps the newest logs, and finds the one that a base backup is followed by.
func TestWALIndex(t *testing.T) {
	r, _ := newRepository(t)
	x, err := readWAL(t.Context(), r, "s1")
	if err != nil || x.newest() != nil {
		t.Fatalf("%+v %v", x, err)
	}
	begun := time.Date(2026, 5, 6, 3, 0, 0, 0, time.UTC)
	for n := range maxWALLogs + 5 {
		log := postgres.Log{SystemIdentifier: "7", Timeline: 1, SegmentBytes: 16 << 20, From: "0/3000000", To: "0/5000000"}
		if n%2 == 1 {
			log.SystemIdentifier = "8"
		}
		x.Logs = append(x.Logs, walLog{ID: string(rune('a' + n%26)), Log: log, Begun: begun.Add(time.Duration(n) * time.Hour)})
	}
	if err := x.write(t.Context(), r, "s1"); err != nil {
		t.Fatal(err)
	}
	x, err = readWAL(t.Context(), r, "s1")
	if err != nil || len(x.Logs) != maxWALLogs || !x.newest().Begun.Equal(begun.Add((maxWALLogs+4)*time.Hour)) {
		t.Fatalf("%d logs, the newest of %v (%v)", len(x.Logs), x.newest(), err)
	}
	base := postgres.Details{SystemIdentifier: "8", Timeline: 1, StopLSN: "0/4000000"}
	if got := x.after(base); got == nil || got.SystemIdentifier != "8" {
		t.Errorf("a backup within is followed by %+v", got)
	}
	for name, change := range map[string]func(*postgres.Details){
		"of another server":        func(d *postgres.Details) { d.SystemIdentifier = "9" },
		"of another timeline":      func(d *postgres.Details) { d.Timeline = 2 },
		"from before the log":      func(d *postgres.Details) { d.StopLSN = "0/2FFFFFF" },
		"from after what is there": func(d *postgres.Details) { d.StopLSN = "0/5000001" },
		"without a position":       func(d *postgres.Details) { d.StopLSN = "" },
	} {
		other := base
		if change(&other); x.after(other) != nil {
			t.Errorf("a backup %s is followed by a log", name)
		}
	}
	if err := r.Put(t.Context(), "logs/s2/index.json", []byte(`{"format":2}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := readWAL(t.Context(), r, "s2"); err == nil || !strings.Contains(err.Error(), "newer uws") {
		t.Errorf("an index of a newer uws: %v", err)
	}
}
