package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/unicorn-web-services/uws/test/uwstest"
)

// checked is the result of checkServiceHealth.
type checked struct {
	Verdict, Detail string
	Service         struct {
		Health, ReasonCode, Reason string
		Restarts                   int
		HealthCheck                struct{ WriteCheck string }
	}
}

func check(t *testing.T, p *uwstest.Process, id string) checked {
	t.Helper()
	var out struct{ CheckServiceHealth checked }
	err := p.Query(t.Context(), `mutation($id: ID!) { checkServiceHealth(id: $id) { verdict detail
		service { health reasonCode reason restarts healthCheck { writeCheck } } } }`, map[string]any{"id": id}, &out)
	if err != nil {
		t.Fatal(err)
	}
	return out.CheckServiceHealth
}

// A service whose disk is full can be read but is not healthy. It is not restarted, and becomes healthy again when there is
// space.
func TestEnginesOnAFullDisk(t *testing.T) {
	dir := folder(t)
	disk := filepath.Join(dir, "process")
	mount(t, disk, "500m")
	p := serve(t, dir)
	services := map[string]*uwstest.Service{}
	for _, s := range []struct{ kind, name, template string }{
		{"BUCKET", "photos", "versitygw"}, {"DB", "shop", "postgres"}, {"NOSQL", "carts", "ferretdb"},
		{"NOSQL", "cache", "redis"}, {"QUEUE", "orders", "nats"}, {"SECRETS", "keys", "setec"},
	} {
		started, err := p.Launch(t.Context(), s.kind, s.name, map[string]any{"template": s.template})
		if err != nil {
			t.Fatal(err)
		}
		services[s.template] = &started
	}
	for template, s := range services {
		healthy(t, p, s.ID, 0)
		want := checked{Verdict: "OK"}
		if got := check(t, p, s.ID); got.Verdict != want.Verdict || (got.Service.HealthCheck.WriteCheck == "NONE") != (template == "setec") {
			t.Errorf("%s with free space: %+v", template, got)
		}
	}

	ballast := fill(t, disk)
	for template, s := range services {
		got := check(t, p, s.ID)
		switch {
		case template == "setec":
			if got.Verdict != "OK" {
				t.Errorf("%s: %+v", template, got)
			}
		case got.Verdict != "ALIVE" || got.Service.Health != "SUSPECT" || !strings.Contains(got.Detail, "cannot write"):
			t.Errorf("%s on a full disk: %+v", template, got)
		}
	}
	nodeEvent(t, p, "DISK_LOW")
	for template, s := range services {
		if template == "setec" {
			continue
		}
		wait(t, "DISK_FULL of "+template, func() bool {
			var got struct {
				Service struct{ ReasonCode, Reason string }
			}
			if err := p.Query(t.Context(), `query($id: ID!) { service(id: $id) { reasonCode reason } }`, map[string]any{"id": s.ID}, &got); err != nil {
				t.Fatal(err)
			}
			return got.Service.ReasonCode == "DISK_FULL" && strings.Contains(got.Service.Reason, "the disk of node local is low: 0 MiB of 500 MiB are free")
		})
	}
	if !strings.Contains(get(t, p.URL+"/metrics"), "\nuws_node_disk_low{node=\"local\"} 1\n") {
		t.Error("uws_node_disk_low is not 1")
	}

	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	for _, s := range services {
		healthy(t, p, s.ID, 0)
	}
	nodeEvent(t, p, "DISK_OK")
}

// mount mounts a small file system at dir until the test ends.
func mount(t *testing.T, dir, size string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("NOT TESTED: a small file system can only be mounted as root")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size+",mode=755"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(uwstest.KillEngines(dir), syscall.Unmount(dir, syscall.MNT_DETACH)); err != nil {
			t.Error(err)
		}
	})
}

func wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	if err := uwstest.Until(t.Context(), what, func() (bool, error) { return ok(), nil }); err != nil {
		t.Fatal(err)
	}
}

// nodeEvent waits for an event of the node with this code.
func nodeEvent(t *testing.T, p *uwstest.Process, code string) {
	t.Helper()
	wait(t, code, func() bool {
		var out struct {
			Events struct {
				Nodes []struct{ Subject, ReasonCode string }
			}
		}
		if err := p.Query(t.Context(), `{ events(first: 100) { nodes { subject reasonCode } } }`, nil, &out); err != nil {
			t.Fatal(err)
		}
		for _, e := range out.Events.Nodes {
			if e.Subject == "NODE" && e.ReasonCode == code {
				return true
			}
		}
		return false
	})
}
