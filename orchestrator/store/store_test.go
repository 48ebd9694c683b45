package store_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/ent/node"
	"github.com/unicorn-web-services/uws/orchestrator/store"
	"github.com/unicorn-web-services/uws/orchestrator/store/internal/schemadiff"
)

func open(t *testing.T, opts store.Options) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), opts)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { closeStore(t, s) })
	return s
}

func closeStore(t *testing.T, s *store.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// made returns a data folder with a closed store that contains a node.
func made(t *testing.T, opts store.Options) string {
	t.Helper()
	opts.Dir = filepath.Join(t.TempDir(), "data")
	s, err := store.Open(t.Context(), opts)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	addNode(t, s, "n1")
	closeStore(t, s)
	return opts.Dir
}

func addNode(t *testing.T, s *store.Store, name string) *ent.Node {
	t.Helper()
	var n *ent.Node
	err := s.Update(t.Context(), func(ctx context.Context, tx *ent.Tx) (err error) {
		n, err = tx.Node.Create().SetID(name).SetName(name).SetDriver(node.DriverPROCESS).
			SetEndpoint("x").SetServiceAddress("127.0.0.1").SetCreatedAt(time.Now()).Save(ctx)
		return err
	})
	if err != nil {
		t.Fatalf("create node: %v", err)
	}
	return n
}

// snapshot returns the content of every file below dir.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		files[strings.TrimPrefix(path, dir)] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// refused checks that Open fails with an error that contains all of words, and does not change the folder.
func refused(t *testing.T, opts store.Options, words ...string) {
	t.Helper()
	before := snapshot(t, opts.Dir)
	s, err := store.Open(t.Context(), opts)
	if err == nil {
		closeStore(t, s)
		t.Fatalf("Open succeeded; want an error with %q", words)
	}
	t.Logf("refused: %v", err)
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q lacks %q", err, w)
		}
	}
	after := snapshot(t, opts.Dir)
	for name := range after {
		if _, ok := before[name]; !ok && name != "/uws.lock" {
			t.Errorf("%s was made", name)
		}
	}
	for name, b := range before {
		switch got, ok := after[name]; {
		case !ok:
			t.Errorf("%s is gone", name)
		case got != b && !strings.HasSuffix(name, "-shm") && name != "/uws.lock": // these do not hold data
			t.Errorf("%s has changed", name)
		}
	}
}

func TestReopenKeepsEverything(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "an odd ?#% folder", "below")
	s := open(t, store.Options{Dir: dir})
	n := addNode(t, s, "n1")
	sealed, err := s.Seal([]byte("secret"), "service:a")
	if err != nil {
		t.Fatal(err)
	}
	installation := s.Installation
	if len(installation) < 16 {
		t.Errorf("installation = %q, want a random text", installation)
	}
	closeStore(t, s)
	closeStore(t, s)

	s = open(t, store.Options{Dir: dir})
	if s.Installation != installation {
		t.Errorf("installation = %q after reopening, was %q", s.Installation, installation)
	}
	if got := s.Read.Node.GetX(t.Context(), "n1"); !got.CreatedAt.Equal(n.CreatedAt) || got.CreatedAt.Location() != time.UTC {
		t.Errorf("createdAt = %v after reopening, want %v in UTC", got.CreatedAt, n.CreatedAt)
	}
	// The stored time came from the clock. A query with the time that was read back must find it.
	if _, err := s.Read.Node.Query().Where(node.CreatedAt(n.CreatedAt.Round(0))).Only(t.Context()); err != nil {
		t.Errorf("find a node by its time of creation: %v", err)
	}
	if got, err := s.Unseal(sealed, "service:a"); err != nil || string(got) != "secret" {
		t.Errorf("Unseal = %q, %v", got, err)
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("Ping: %v", err)
	}
}

func TestSealBindsContext(t *testing.T) {
	s := open(t, store.Options{Dir: t.TempDir()})
	sealed, err := s.Seal([]byte("secret"), "service:a")
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(sealed, []byte("secret")) {
		t.Error("sealed value holds the plain text")
	}
	if got, err := s.Unseal(sealed, "service:b"); err == nil {
		t.Errorf("Unseal with another context = %q, want an error", got)
	}
	sealed[len(sealed)-1] ^= 1
	if got, err := s.Unseal(sealed, "service:a"); err == nil {
		t.Errorf("Unseal of a changed value = %q, want an error", got)
	}
}

func TestModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := open(t, store.Options{Dir: dir})
	addNode(t, s, "n1")
	want := fs.FileMode(0o700)
	if os.Geteuid() == 0 {
		want = 0o711
	}
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != want {
		t.Errorf("mode of the folder = %v, %v; want %v", info.Mode(), err, want)
	}
	for name := range snapshot(t, dir) {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode of %s = %v, %v; want 0600", name, info.Mode(), err)
		}
	}
}

func TestReadersCannotWrite(t *testing.T) {
	s := open(t, store.Options{Dir: t.TempDir()})
	addNode(t, s, "n1")
	if _, err := s.Read.Node.Delete().Exec(t.Context()); err == nil {
		t.Error("a write through Read succeeded")
	}
	// A reader's transaction does not wait for the writer, and does not block it.
	tx, err := s.Read.Tx(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n, err := tx.Node.Query().Count(t.Context()); err != nil || n != 1 {
		t.Errorf("count = %d, %v", n, err)
	}
	addNode(t, s, "n2")
	if n, err := tx.Node.Query().Count(t.Context()); err != nil || n != 1 {
		t.Errorf("count within the same transaction = %d, %v; want 1", n, err)
	}
	if err := tx.Rollback(); err != nil {
		t.Error(err)
	}
	if n, err := s.Read.Node.Query().Count(t.Context()); err != nil || n != 2 {
		t.Errorf("count = %d, %v; want 2", n, err)
	}
}

// Two stores, like those of a server and a short command, read and write the same row. Unless transactions are
// immediate, this fails with SQLITE_BUSY.
func TestConcurrentWritersWait(t *testing.T) {
	dir := t.TempDir()
	stores := []*store.Store{open(t, store.Options{Dir: dir}), open(t, store.Options{Dir: dir, Shared: true})}
	addNode(t, stores[0], "n1")
	const each, writers = 50, 4
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			for range each {
				if err := increment(t.Context(), stores[i%len(stores)]); err != nil {
					t.Errorf("increment: %v", err)
				}
			}
		})
	}
	wg.Wait()
	if got := stores[0].Read.Node.GetX(t.Context(), "n1").Version; got != each*writers {
		t.Errorf("version = %d, want %d", got, each*writers)
	}
}

func increment(ctx context.Context, s *store.Store) error {
	return s.Update(ctx, func(ctx context.Context, tx *ent.Tx) error {
		n, err := tx.Node.Get(ctx, "n1")
		if err != nil {
			return err
		}
		return tx.Node.UpdateOneID("n1").Where(node.Version(n.Version)).SetReason(n.Reason + ".").Exec(ctx)
	})
}

func TestOptimisticLock(t *testing.T) {
	s := open(t, store.Options{Dir: t.TempDir()})
	n := addNode(t, s, "n1")
	update := func(version int, reason string) error {
		return s.Update(t.Context(), func(ctx context.Context, tx *ent.Tx) error {
			return tx.Node.UpdateOneID("n1").Where(node.Version(version)).SetReason(reason).Exec(ctx)
		})
	}
	if err := update(n.Version, "first"); err != nil {
		t.Errorf("first write: %v", err)
	}
	if err := update(n.Version, "stale"); !ent.IsNotFound(err) {
		t.Errorf("stale write: %v, want not found", err)
	}
	if got := s.Read.Node.GetX(t.Context(), "n1"); got.Reason != "first" || got.Version != n.Version+1 {
		t.Errorf("row = %q at version %d", got.Reason, got.Version)
	}
}

// A cursor names one event permanently: the number of a deleted event must not be reused.
func TestEventNumbersAreNeverReused(t *testing.T) {
	dir := t.TempDir()
	s := open(t, store.Options{Dir: dir})
	add := func() int64 {
		return s.Write.Event.Create().SetMark(1).SetAt(time.Now()).SetSubject("NODE").SetReason("r").SaveX(t.Context()).ID
	}
	add()
	last := add()
	s.Write.Event.Delete().ExecX(t.Context())
	if got := add(); got <= last {
		t.Errorf("event number %d after %d was deleted", got, last)
	}
	last = add()
	s.Write.Event.Delete().ExecX(t.Context())
	closeStore(t, s)
	s = open(t, store.Options{Dir: dir})
	if got := add(); got <= last {
		t.Errorf("event number %d after %d was deleted and the store reopened", got, last)
	}
}

// Times are compared in SQL, as text.
func TestTimesSortAsTheyPass(t *testing.T) {
	s := open(t, store.Options{Dir: t.TempDir()})
	base := time.Date(2026, 3, 29, 23, 59, 59, 0, time.FixedZone("east", 9*3600))
	for i, d := range []time.Duration{0, 1, 100 * time.Millisecond, 120 * time.Millisecond, time.Second, 10 * time.Hour} {
		at := base.Add(d)
		if i%2 == 1 {
			at = at.In(time.FixedZone("west", -5*3600))
		}
		s.Write.Event.Create().SetMark(int64(d)).SetAt(at).SetSubject("NODE").SetReason("r").ExecX(t.Context())
	}
	last := int64(-1)
	for _, e := range s.Read.Event.Query().Order(ent.Asc("at")).AllX(t.Context()) {
		if e.Mark <= last {
			t.Errorf("event at %v sorts after one %v later", e.At, time.Duration(last-e.Mark))
		}
		last = e.Mark
	}
}

func TestMigrationsMakeEntsSchema(t *testing.T) {
	missing, err := schemadiff.SQLite(t.Context(), os.DirFS("migrations/sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	if missing != "" {
		t.Errorf("ent's schema and the migrations differ; run `make migration NAME=what_changed`. Missing:\n%s", missing)
	}
}

func TestOptions(t *testing.T) {
	if _, err := store.Open(t.Context(), store.Options{}); err == nil || !strings.Contains(err.Error(), "data folder") {
		t.Errorf("Open without a folder: %v", err)
	}
	for _, key := range []string{"%", base64.StdEncoding.EncodeToString([]byte("{}"))} {
		dir := t.TempDir()
		_, err := store.Open(t.Context(), store.Options{Dir: dir, Key: key})
		if err == nil || !strings.Contains(err.Error(), "UWS_KEY") {
			t.Errorf("Open with key %q: %v", key, err)
		}
		if files := snapshot(t, dir); len(files) > 1 { // the lock file
			t.Errorf("a refused key left %d files", len(files))
		}
	}
}

// execSQL changes a database without the store.
func execSQL(t *testing.T, dir, query string) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, "uws.db"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), query); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}
