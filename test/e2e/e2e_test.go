// Package e2e tests the real binary with real engines, through its public interfaces and with third-party clients.
package e2e

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/unicorn-web-services/uws/test/uwstest"
)

func TestMain(m *testing.M) {
	olderKernel()
	os.Exit(uwstest.Main(m, uwstest.UWS))
}

// repoFile returns the path of a file in the repository.
func repoFile(t *testing.T, parts ...string) string {
	t.Helper()
	repo, err := uwstest.Repo()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(append([]string{repo}, parts...)...)
}

// folder returns the path of a data folder that does not exist yet.
func folder(t *testing.T) string {
	t.Helper()
	return filepath.Join(uwstest.Folder(t), "data")
}

// serve starts uws. It is stopped when the test ends.
func serve(t *testing.T, dir string, args ...string) *uwstest.Process {
	t.Helper()
	return uwstest.Serve(t, nil, uwstest.Binary, dir, append([]string{"--engines", uwstest.EnginesFolder(t)}, args...)...)
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

// restarted waits until the service has another process than before, and then until it is healthy. The order matters:
// the state may be that of the earlier process.
func restarted(t *testing.T, p *uwstest.Process, id string, before int) *uwstest.Service {
	t.Helper()
	waitFor(t, p, id, "another process", func(*uwstest.Service) bool {
		pid, err := uwstest.EnginePID(id)
		return err == nil && pid != before && pid != 0
	})
	return healthy(t, p, id, 0)
}

func waitFor(t *testing.T, p *uwstest.Process, id, what string, ok func(*uwstest.Service) bool) *uwstest.Service {
	t.Helper()
	s, err := p.WaitFor(t.Context(), id, what, ok)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// enginePID returns the process of a service. It fails if there is none.
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

// host is this machine, on which engines run as processes.
type host struct{}

func (host) EnginePID(service string) (int, error) { return uwstest.EnginePID(service) }
