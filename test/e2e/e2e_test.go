// Package e2e tests the real binary with real engines, through its public doors and with clients that others wrote.
package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/unicorn-web-services/uws/test/uwstest"
)

var repo, binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "uws-e2e-")
	if err == nil {
		defer os.RemoveAll(dir)
		err = build(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	return m.Run()
}

func build(dir string) (err error) {
	if repo, err = uwstest.Repo(); err != nil {
		return err
	}
	binary = filepath.Join(dir, "uws")
	cmd := exec.Command("go", "build", "-race", "-o", binary, "./cmd/uws")
	cmd.Dir, cmd.Stderr = repo, os.Stderr
	return cmd.Run()
}

func engines() string {
	if dir := os.Getenv("UWS_TEST_ENGINES"); dir != "" {
		return dir
	}
	return filepath.Join(repo, "build", "engines")
}

// folder is a data folder that the unprivileged users of engines can reach.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "uws-e2e-data-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(uwstest.KillEngines(dir), os.RemoveAll(dir)); err != nil {
			t.Error(err)
		}
	})
	return filepath.Join(dir, "data")
}

// serve starts uws; at the end of the test it is stopped.
func serve(t *testing.T, dir string, args ...string) *uwstest.Process {
	t.Helper()
	p, err := uwstest.Start(t.Context(), binary, dir, append([]string{"--engines", engines()}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("uws printed:\n%s", p.Output)
		}
	})
	return p
}

func launch(t *testing.T, p *uwstest.Process, kind, name string, more map[string]any) *uwstest.Service {
	t.Helper()
	s, err := p.Launch(t.Context(), kind, name, more)
	if err != nil {
		t.Fatal(err)
	}
	return healthy(t, p, s.ID, 0)
}

func healthy(t *testing.T, p *uwstest.Process, id string, restarts int) *uwstest.Service {
	t.Helper()
	s, err := p.Healthy(t.Context(), id, restarts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func waitFor(t *testing.T, p *uwstest.Process, id, what string, ok func(*uwstest.Service) bool) *uwstest.Service {
	t.Helper()
	s, err := p.WaitFor(t.Context(), id, what, ok)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// enginePID is the process that runs a service, which must be there.
func enginePID(t *testing.T, id string) int {
	t.Helper()
	pid, err := uwstest.EnginePID(id)
	if err != nil || pid == 0 {
		t.Fatalf("no process runs service %s (%v)", id, err)
	}
	return pid
}

func kill(t *testing.T, pid int, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, sig); err != nil {
		t.Fatal(err)
	}
}
