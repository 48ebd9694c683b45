package docker

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/unicorn-web-services/uws/test/dockertest"
	"github.com/unicorn-web-services/uws/test/stories"
	"github.com/unicorn-web-services/uws/test/uwstest"
)

// checked is the result of checkServiceHealth.
type checked struct {
	Verdict, Detail string
	Service         struct {
		Health, ReasonCode, Reason string
		Restarts                   int
	}
}

func check(t *testing.T, p *uwstest.Process, id string) checked {
	t.Helper()
	var out struct{ CheckServiceHealth checked }
	err := p.Query(t.Context(), `mutation($id: ID!) { checkServiceHealth(id: $id) { verdict detail service { health reasonCode reason restarts } } }`,
		map[string]any{"id": id}, &out)
	if err != nil {
		t.Fatal(err)
	}
	return out.CheckServiceHealth
}

// A service whose volume is full can be read but is not healthy. It is not restarted, and becomes healthy again when there is
// space.
func TestContainersOnAFullDisk(t *testing.T) {
	root := t.TempDir()
	e, err := dockertest.Start("--iptables=false", "--data-root", root)
	if err != nil {
		t.Fatal(err)
	}
	// Only the volumes are on it: if images and logs had no space either, that would be another fault. It is mounted after the
	// engine was started, because the engine bind-mounts its root over itself, which would hide it.
	volumes := filepath.Join(root, "volumes")
	if err := syscall.Mount("tmpfs", volumes, "tmpfs", 0, "size=400m,mode=701"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Stop(); err != nil {
			t.Error(err)
		}
		err := syscall.Unmount(volumes, syscall.MNT_DETACH)
		if err != nil && !errors.Is(err, syscall.EINVAL) { // the engine may have unmounted it when it ended
			t.Error(err)
		}
	})
	p := serve(t, e, folder(t))
	services, containers := map[string]*uwstest.Service{}, map[string]string{}
	for _, c := range stories.Engines {
		withImages(t, e, c.Template)
		s := stories.Launch(t, p, c.Kind, c.Template, map[string]any{"template": c.Template})
		services[c.Template], containers[c.Template] = s, container(t, e, s.ID)
		if got := check(t, p, s.ID); got.Verdict != "OK" {
			t.Errorf("%s with free space: %+v", c.Template, got)
		}
	}

	// The errors of two engines do not mention the disk.
	full := map[string]string{"postgres": "DISK_FULL", "ferretdb": "DISK_FULL", "redis": "DISK_FULL", "versitygw": "WRITE_REFUSED", "nats": "WRITE_REFUSED"}
	ballast := fill(t, volumes)
	for template, s := range services {
		for range 3 { // as many failures as make a service unhealthy
			got := check(t, p, s.ID)
			switch {
			case template == "setec": // it has no write check
				if got.Verdict != "OK" {
					t.Errorf("%s: %+v", template, got)
				}
			case got.Verdict != "ALIVE" || got.Service.Health != "SUSPECT" || got.Service.ReasonCode != full[template] ||
				!strings.Contains(got.Detail, "cannot write") || got.Service.Restarts != 0:
				t.Errorf("%s on a full disk: %+v", template, got)
			}
		}
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	for template, s := range services {
		stories.Healthy(t, p, s.ID, 0)
		if got := check(t, p, s.ID); got.Verdict != "OK" {
			t.Errorf("%s with free space again: %+v", template, got)
		}
		started := docker(t, e, "inspect", "--format", "{{.RestartCount}}", containers[template])
		if container(t, e, s.ID) != containers[template] || started != "0" {
			t.Errorf("%s was restarted %s times", template, started)
		}
	}
}

// fill fills the file system of a folder, and returns the file that takes the space.
func fill(t *testing.T, dir string) string {
	t.Helper()
	var disk syscall.Statfs_t
	if err := syscall.Statfs(dir, &disk); err != nil || disk.Blocks*uint64(disk.Bsize) > 1<<30 {
		t.Fatalf("%s is not on the small file system of the test, so that filling it would be harmful (%v)", dir, err)
	}
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
