package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/unicorn-web-services/uws/test/uwstest"
)

// A full disk loses nothing: what cannot be written is refused or waits, what runs goes on, and all is well when
// there is room again.
func TestDiskFull(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("NOT TESTED: a small file system can only be mounted as root")
	}
	dir := folder(t)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=200m,mode=755"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(uwstest.KillEngines(dir), syscall.Unmount(dir, syscall.MNT_DETACH)); err != nil {
			t.Error(err)
		}
	})
	p := serve(t, dir)
	s := launch(t, p, "QUEUE", "orders", nil)
	write(t, p, s, "one hat")

	ballast := fill(t, dir)
	_, err := p.Launch(t.Context(), "BUCKET", "photos", nil)
	for i := 0; err == nil && i < 200; i++ { // the store has some room in its files yet
		_, err = p.Launch(t.Context(), "BUCKET", fmt.Sprintf("photos-%d", i), nil)
	}
	if err == nil {
		t.Error("200 launches were accepted on a full disk")
	}
	kill(t, enginePID(t, s.ID), syscall.SIGKILL)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	healthy(t, p, s.ID, 1)
	wantText(t, p, s, "one hat")
	healthy(t, p, mustLaunch(t, p, "QUEUE", "after").ID, 0)
}

func mustLaunch(t *testing.T, p *uwstest.Process, kind, name string) *uwstest.Service {
	t.Helper()
	s, err := p.Launch(t.Context(), kind, name, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &s
}

// fill leaves no room in the file system of dir.
func fill(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "ballast")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := bytes.Repeat([]byte{1}, 4096)
	for {
		if _, err := f.Write(block); errors.Is(err, syscall.ENOSPC) {
			return path
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// A store that was damaged is refused, left as it is, and the message says what to do.
func TestStoreDamaged(t *testing.T) {
	dir := folder(t)
	p := serve(t, dir)
	launch(t, p, "QUEUE", "orders", nil)
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "uws.db")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	garbled := bytes.Clone(whole)
	for i := 4096; i < len(garbled); i++ {
		garbled[i] ^= 0x5a
	}
	for name, content := range map[string][]byte{"truncated": whole[:len(whole)/2], "empty": {}, "garbled": garbled} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			want(t, refused(t, "serve", "--listen", "127.0.0.1:0", "--data-dir", dir), "uws.db", "backup")
			after, err := os.ReadFile(path)
			if err != nil || !bytes.Equal(after, content) {
				t.Errorf("the damaged store was changed (%v)", err)
			}
		})
	}
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	again := serve(t, dir)
	var out struct {
		Services struct{ Nodes []uwstest.Service }
	}
	if err := again.Query(t.Context(), `{ services { nodes { id name } } }`, nil, &out); err != nil || len(out.Services.Nodes) != 1 {
		t.Fatalf("services %+v, %v", out, err)
	}
	healthy(t, again, out.Services.Nodes[0].ID, 0)
}

// After a reboot no process of before is left: a pid that means another process now is not touched, and everything is started again.
func TestReboot(t *testing.T) {
	dir := folder(t)
	p := serve(t, dir)
	s := launch(t, p, "QUEUE", "orders", nil)
	write(t, p, s, "one hat")
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	kill(t, enginePID(t, s.ID), syscall.SIGKILL)
	state := filepath.Join(dir, "process", "services", s.ID, "state.json")
	text, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Fatal(err)
	}
	id := strings.TrimSpace(string(boot))
	if !bytes.Contains(text, []byte(id)) {
		t.Fatalf("state.json does not name the boot: %s", text)
	}
	other := bytes.ReplaceAll(text, []byte(id), []byte("00000000"+id[8:]))
	if err := os.WriteFile(state, other, fs.FileMode(0o600)); err != nil {
		t.Fatal(err)
	}
	again := serve(t, dir)
	healthy(t, again, s.ID, 1)
	wantText(t, again, s, "one hat")
}
