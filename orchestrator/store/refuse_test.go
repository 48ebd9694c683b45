package store_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/unicorn-web-services/uws/orchestrator/store"
)

func keyOf(t *testing.T, dir string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "uws.key"))
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(b)
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func TestLostKey(t *testing.T) {
	dir := made(t, store.Options{})
	key := filepath.Join(dir, "uws.key")
	rename(t, key, key+".away")
	refused(t, store.Options{Dir: dir}, "missing", key, "backup")
	refused(t, store.Options{Dir: dir, Shared: true}, "missing", key)
	rename(t, key+".away", key)
	s := open(t, store.Options{Dir: dir})
	s.Read.Node.GetX(t.Context(), "n1")
}

func TestWrongKey(t *testing.T) {
	dir, other := made(t, store.Options{}), made(t, store.Options{})
	refused(t, store.Options{Dir: dir, Key: keyOf(t, other)}, "wrong key", "UWS_KEY", filepath.Join(dir, "uws.db"))
	rename(t, filepath.Join(other, "uws.key"), filepath.Join(dir, "uws.key"))
	refused(t, store.Options{Dir: dir}, "wrong key", filepath.Join(dir, "uws.key"), "backup")
}

// The store of a killed uws has a write-ahead log. A failed Open does not change that either.
func TestWrongKeyAfterACrash(t *testing.T) {
	dir, other := t.TempDir(), made(t, store.Options{})
	holder := hold(t, dir)
	holder.kill()
	if info, err := os.Stat(filepath.Join(dir, "uws.db-wal")); err != nil || info.Size() == 0 {
		t.Fatalf("no write-ahead log after a crash: %v", err)
	}
	refused(t, store.Options{Dir: dir, Key: keyOf(t, other)}, "wrong key")
	s := open(t, store.Options{Dir: dir})
	s.Read.Node.GetX(t.Context(), "held")
}

func TestKeyFromOutside(t *testing.T) {
	key := keyOf(t, made(t, store.Options{}))
	dir := made(t, store.Options{Key: key})
	if _, err := os.Stat(filepath.Join(dir, "uws.key")); err == nil {
		t.Error("a key file was made though a key was given")
	}
	refused(t, store.Options{Dir: dir}, "missing", "UWS_KEY")
	open(t, store.Options{Dir: dir, Key: key})
}

func TestBadKeyFile(t *testing.T) {
	dir := made(t, store.Options{})
	key := filepath.Join(dir, "uws.key")
	for _, mode := range []os.FileMode{0o640, 0o604, 0o644} {
		if err := os.Chmod(key, mode); err != nil {
			t.Fatal(err)
		}
		refused(t, store.Options{Dir: dir}, key, "chmod 600")
	}
	for _, content := range []string{"", "{", "{\"primaryKeyId\":1}"} {
		if err := os.Remove(key); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(key, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		refused(t, store.Options{Dir: dir}, key, "backup")
	}
}

func TestNewerStore(t *testing.T) {
	dir := made(t, store.Options{})
	execSQL(t, dir, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)`)
	refused(t, store.Options{Dir: dir}, "newer uws", "9999")
	refused(t, store.Options{Dir: dir, Shared: true}, "newer uws")
}

func TestDamagedStore(t *testing.T) {
	const pageSize = 4096
	origin := made(t, store.Options{})
	key := keyOf(t, origin)
	intact, err := os.ReadFile(filepath.Join(origin, "uws.db"))
	if err != nil {
		t.Fatal(err)
	}
	damaged := map[string][]byte{
		"empty":       {},
		"no database": []byte("hello, this is a note and no database at all"),
		"header only": intact[:100],
		"truncated":   intact[:len(intact)/2],
		"a page lost": intact[:len(intact)-pageSize],
	}
	liar := append([]byte(nil), intact...)
	liar[39] = 5 // in the header: the number of free pages
	damaged["free pages that are not"] = liar
	for page := 0; page < len(intact)/pageSize; page++ { // including pages that opening alone does not read
		b := append([]byte(nil), intact...)
		copy(b[page*pageSize:], bytes.Repeat([]byte{0xa5}, pageSize))
		damaged[fmt.Sprintf("page %d", page)] = b
	}
	for name, b := range damaged {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "uws.db"), b, 0o600); err != nil {
				t.Fatal(err)
			}
			refused(t, store.Options{Dir: dir, Key: key}, filepath.Join(dir, "uws.db"), "backup")
		})
	}
}

func TestStoreWithoutInstallation(t *testing.T) {
	dir := made(t, store.Options{})
	execSQL(t, dir, `DELETE FROM installations`)
	refused(t, store.Options{Dir: dir}, "installation", "backup")
}

func TestLostDatabase(t *testing.T) {
	dir := t.TempDir()
	hold(t, dir).kill()
	rename(t, filepath.Join(dir, "uws.db"), filepath.Join(t.TempDir(), "uws.db"))
	refused(t, store.Options{Dir: dir}, "missing", "uws.db-wal", "backup")
}

// Open completes a store whose creation was interrupted by a crash, with the same key.
func TestUnfinishedStore(t *testing.T) {
	dir := made(t, store.Options{})
	key := keyOf(t, dir)
	rename(t, filepath.Join(dir, "uws.db"), filepath.Join(dir, "uws.db.new"))
	if err := os.WriteFile(filepath.Join(dir, "uws.key.new"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, store.Options{Dir: dir})
	if n := s.Read.Node.Query().CountX(t.Context()); n != 0 {
		t.Errorf("the new store has %d nodes", n)
	}
	if keyOf(t, dir) != key {
		t.Error("the key was replaced")
	}
	if _, err := os.Stat(filepath.Join(dir, "uws.db.new")); err == nil {
		t.Error("the unfinished store is still there")
	}
}

func TestFolderThatCannotBeUsed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "below")} {
		_, err := store.Open(t.Context(), store.Options{Dir: dir})
		if err == nil || !strings.Contains(err.Error(), "data folder "+dir) {
			t.Errorf("Open(%s): %v", dir, err)
		}
	}

	dir := made(t, store.Options{})
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(dir, 0o700) }) // so that it can be removed
	unfinished := filepath.Join(dir, "below")
	for _, dir := range []string{dir, unfinished} {
		err := openUnprivileged(t, dir)
		if err == nil || !strings.Contains(err.Error(), "data folder "+dir) || !strings.Contains(err.Error(), "user id") {
			t.Errorf("Open of a folder that cannot be written: %v", err)
		}
	}
}

// openUnprivileged opens a store on a thread without root's power over files.
func openUnprivileged(t *testing.T, dir string) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if os.Geteuid() == 0 {
			if err := syscall.Setfsuid(65534); err != nil {
				done <- err
				return
			}
		}
		s, err := store.Open(t.Context(), store.Options{Dir: dir})
		if err == nil {
			err = s.Close()
		}
		done <- err
	}()
	return <-done
}
