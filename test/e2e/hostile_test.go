package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/unicorn-web-services/uws/test/uwstest"
)

// A full disk loses no data: writes are refused or wait, running services continue, and everything works again when there is
// space.
func TestDiskFull(t *testing.T) {
	dir := folder(t)
	mount(t, dir, "200m")
	p := serve(t, dir)
	s := launch(t, p, "QUEUE", "orders", nil)
	write(t, p, s, "one hat")

	going, kept := launch(t, p, "QUEUE", "going", nil), launch(t, p, "QUEUE", "kept", nil)

	ballast := fill(t, dir)
	wait(t, "/readyz answers 503", func() bool {
		status, body := status(t, p.URL+"/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(body, "the disk of the data folder "+dir+" is full")
	})
	refusedForRoom(t, dir, func(i int) error { // the files of the store have some space left
		_, err := p.Launch(t.Context(), "BUCKET", fmt.Sprintf("photos-%d", i), nil)
		return err
	})
	refusedForRoom(t, dir, func(i int) error {
		return p.Query(t.Context(), `mutation($n: String!) { createToken(input: {name: $n, role: VIEWER}) { token { id } } }`,
			map[string]any{"n": fmt.Sprintf("%d-%s", i, strings.Repeat("x", 50))}, nil)
	})
	refusedAt := 0
	for i := 0; refusedAt == 0 && i < 500; i++ { // the old endpoints too
		if status := oldLaunch(t, p, fmt.Sprintf("old-%d", i)); status >= 300 {
			refusedAt = status
		}
	}
	if refusedAt != http.StatusServiceUnavailable {
		t.Errorf("the old endpoint answers %d", refusedAt)
	}
	if got := check(t, p, s.ID); got.Verdict != "ALIVE" || !strings.Contains(got.Detail, "cannot write: JetStream answers with an error") {
		t.Errorf("checkServiceHealth on a full disk: %+v", got)
	}
	// Actions that free space still work, and are recorded in the audit log.
	if err := p.Do(t.Context(), "stopService", kept.ID); err != nil {
		t.Error(err)
	}
	waitFor(t, p, kept.ID, "it is stopped", func(s *uwstest.Service) bool { return s != nil && s.Phase == "STOPPED" })
	if err := p.Query(t.Context(), `mutation($id: ID!) { removeService(id: $id, data: DELETE) { id } }`, map[string]any{"id": going.ID}, nil); err != nil {
		t.Error(err)
	}
	waitFor(t, p, going.ID, "it is gone", func(s *uwstest.Service) bool { return s == nil })
	kill(t, enginePID(t, s.ID), syscall.SIGKILL)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	healthy(t, p, s.ID, 1)
	wantText(t, p, s, "one hat")
	healthy(t, p, mustLaunch(t, p, "QUEUE", "after").ID, 0)
	wait(t, "/readyz answers 200", func() bool { status, _ := status(t, p.URL+"/readyz"); return status == http.StatusOK })
}

// refusedForRoom repeats an action until it is refused because the disk of the data folder is full.
func refusedForRoom(t *testing.T, dir string, do func(i int) error) {
	t.Helper()
	var err error
	for i := 0; err == nil && i < 500; i++ {
		err = do(i)
	}
	var said *uwstest.GraphQLError
	if !errors.As(err, &said) || said.Code != "UNAVAILABLE" || !strings.Contains(said.Message, "the disk of the data folder "+dir+" is full") {
		t.Errorf("on a full disk: %v", err)
	}
}

func oldLaunch(t *testing.T, p *uwstest.Process, name string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.URL+"/launchQueue", strings.NewReader(`{"name":"`+name+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+p.Token)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	return answer.StatusCode
}

func status(t *testing.T, url string) (int, string) {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(body)
}

func mustLaunch(t *testing.T, p *uwstest.Process, kind, name string) *uwstest.Service {
	t.Helper()
	s, err := p.Launch(t.Context(), kind, name, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &s
}

// fill fills the file system of dir.
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

// A damaged store is refused and left unchanged, and the error says what to do.
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

// After a reboot all services are started again. A process that has the pid of an earlier one is not touched.
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
