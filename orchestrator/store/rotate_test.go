package store

import (
	"bytes"
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/ent"
)

// Every column of type bytes is in the list of sealed columns. A new one must be resealed too.
func TestSealedColumns(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	rows, err := s.reader.QueryContext(t.Context(), `SELECT m.name || '.' || c.name FROM sqlite_schema m, pragma_table_info(m.name) c WHERE m.type = 'table' AND lower(c.type) = 'blob' AND c.name != 'hash'`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	there, known := map[string]bool{}, map[string]bool{}
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		there[name] = true
	}
	for _, c := range sealedColumns {
		known[c.table+"."+c.column] = true
	}
	if err := rows.Err(); err != nil || !maps.Equal(there, known) {
		t.Errorf("the store has %v, and %v is resealed (%v)", slices.Sorted(maps.Keys(there)), slices.Sorted(maps.Keys(known)), err)
	}
}

// sealedStore returns a folder with a sealed value in a node's row, and that value.
func sealedStore(t *testing.T) (dir string, sealed []byte) {
	t.Helper()
	dir = t.TempDir()
	s := mustOpen(t, Options{Dir: dir})
	sealed, err := s.Seal([]byte("the key of a node"), AccessContext("n1"))
	if err != nil {
		t.Fatal(err)
	}
	err = s.Update(t.Context(), func(ctx context.Context, tx *ent.Tx) error {
		return tx.Node.Create().SetID("n1").SetName("n1").SetDriver("PROCESS").SetEndpoint("x").SetServiceAddress("127.0.0.1").
			SetAccess(sealed).SetCreatedAt(time.Now()).Exec(ctx)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, sealed
}

func wantSealed(t *testing.T, dir string) {
	t.Helper()
	s := mustOpen(t, Options{Dir: dir})
	n, err := s.Read.Node.Get(t.Context(), "n1")
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := s.Unseal(n.Access, AccessContext("n1")); err != nil || string(plain) != "the key of a node" {
		t.Errorf("unsealed %q, %v", plain, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func readKey(t *testing.T, dir string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, keyName))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRotateKey(t *testing.T) {
	dir, sealed := sealedStore(t)
	old := readKey(t, dir)
	n, err := RotateKey(t.Context(), Options{Dir: dir})
	if err != nil || n != 2 {
		t.Fatalf("%d values, %v; want the check of the key and the node's", n, err)
	}
	wantSealed(t, dir)
	fresh := readKey(t, dir)
	if handle, err := parseHandle(fresh); err != nil || handle.Len() != 1 || bytes.Equal(old, fresh) {
		t.Errorf("the key file has not just a new key: %v", err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, dbName+"*"))
	for _, file := range files {
		if b, err := os.ReadFile(file); err != nil || bytes.Contains(b, sealed) {
			t.Errorf("%s holds what was sealed with the old key (%v)", file, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, keyName), old, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "wrong key") {
		t.Errorf("the old key opens the store: %v", err)
	}
	if _, err := RotateKey(t.Context(), Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "wrong key") {
		t.Errorf("the old key is replaced: %v", err)
	}
}

// After a crash both keys may exist, before or after all values were resealed. The store opens, and the next call
// completes the rotation.
func TestRotateKeyAfterACrash(t *testing.T) {
	for _, resealed := range []bool{false, true} {
		dir, _ := sealedStore(t)
		path := filepath.Join(dir, keyName)
		handle, err := readHandle(path)
		if err != nil {
			t.Fatal(err)
		}
		both, err := withNewPrimary(handle)
		if err != nil {
			t.Fatal(err)
		}
		if err := writeHandle(path, both); err != nil {
			t.Fatal(err)
		}
		if resealed {
			s := mustOpen(t, Options{Dir: dir})
			if _, err := s.sealAnew(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		wantSealed(t, dir)
		if _, err := RotateKey(t.Context(), Options{Dir: dir}); err != nil {
			t.Fatal(err)
		}
		wantSealed(t, dir)
		now, err := readHandle(path)
		if err != nil || now.Len() != 1 || now.KeysetInfo().GetPrimaryKeyId() != both.KeysetInfo().GetPrimaryKeyId() {
			t.Errorf("resealed %t: the key begun is not the only one (%v)", resealed, err)
		}
	}
}

func TestRotateKeyRefuses(t *testing.T) {
	dir := t.TempDir()
	if _, err := RotateKey(t.Context(), Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "no store") {
		t.Errorf("an empty folder: %v", err)
	}
	if _, err := RotateKey(t.Context(), Options{Dir: dir, Key: "eA=="}); err == nil || !strings.Contains(err.Error(), "UWS_KEY") {
		t.Errorf("a key that is given: %v", err)
	}
	mustOpen(t, Options{Dir: dir})
	before := readKey(t, dir)
	if _, err := RotateKey(t.Context(), Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "stop it first") {
		t.Errorf("a folder in use: %v", err)
	}
	if !bytes.Equal(before, readKey(t, dir)) {
		t.Error("the key changed all the same")
	}
}
