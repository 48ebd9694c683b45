package e2e

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/unicorn-web-services/uws/test/uwstest"
)

// The main job: launch a bucket and a queue, watch them turn healthy, write, kill, see them come back with
// what was written, remove.
func TestStory(t *testing.T) {
	p := serve(t, folder(t))
	live := subscribe(t, p, nil)
	bucket, queued := launch(t, p, "BUCKET", "photos", nil), launch(t, p, "QUEUE", "orders", nil)
	for _, name := range []string{"photos", "orders"} {
		watchLaunch(t, p, name)
	}
	write(t, p, bucket, "meow")
	write(t, p, queued, "one hat")

	for _, s := range []*uwstest.Service{bucket, queued} {
		kill(t, enginePID(t, s.ID), syscall.SIGKILL)
		m := live.until(s.Name+" fails", func(m message) bool { return m.Name == s.Name && m.Phase == "RESTARTING" })
		if m.Healthy || m.ExitCode == nil || *m.ExitCode != 137 || !strings.Contains(m.Reason, "signal 9") {
			t.Errorf("the failure's message: %+v", m)
		}
		live.until(s.Name+" is back", func(m message) bool { return m.Name == s.Name && m.Health == "HEALTHY" })
		if after := healthy(t, p, s.ID, 1); after.Endpoint != s.Endpoint {
			t.Errorf("endpoint %s, was %s", after.Endpoint, s.Endpoint)
		}
	}
	wantText(t, p, bucket, "meow")
	wantText(t, p, queued, "one hat")

	for _, s := range []*uwstest.Service{bucket, queued} {
		remove := `mutation($id: ID!) { removeService(id: $id) { id service { phase } } }`
		for range 2 { // twice is fine
			if err := p.Query(t.Context(), remove, map[string]any{"id": s.ID}, nil); err != nil {
				t.Fatal(err)
			}
		}
		live.until(s.Name+" is gone", func(m message) bool { return m.Name == s.Name && m.PreviousPhase == "REMOVING" && m.Phase == "" })
		if pid, err := uwstest.EnginePID(s.ID); pid != 0 || err != nil {
			t.Errorf("process %d still runs %s (%v)", pid, s.Name, err)
		}
	}
	attachAgain(t, p)
	metricsAreClean(t, p)
}

// watchLaunch sees a launch's messages by replaying them from the first event of all.
func watchLaunch(t *testing.T, p *uwstest.Process, name string) {
	t.Helper()
	var out struct {
		Events struct {
			Edges []struct{ Cursor string }
		}
	}
	if err := p.Query(t.Context(), `{ events(first: 500) { edges { cursor } } }`, nil, &out); err != nil {
		t.Fatal(err)
	}
	first := out.Events.Edges[len(out.Events.Edges)-1]
	replay := subscribe(t, p, map[string]any{"variables": map[string]any{"since": first.Cursor}})
	replay.until(name+" is healthy", func(m message) bool { return m.Name == name && m.Health == "HEALTHY" })
	var story []string
	for _, m := range replay.seen {
		if m.Name == name {
			story = append(story, m.Phase+"/"+m.Health)
		}
	}
	if got, want := strings.Join(story, " "), "PENDING/UNKNOWN PENDING/UNKNOWN STARTING/STARTING RUNNING/HEALTHY"; got != want {
		t.Errorf("%s: %s, want %s", name, got, want)
	}
}

// attachAgain launches the removed bucket and queue with the data that was kept.
func attachAgain(t *testing.T, p *uwstest.Process) {
	t.Helper()
	var out struct {
		RetainedData []struct{ ID, Name, Kind string }
	}
	if err := p.Query(t.Context(), `{ retainedData { id name kind } }`, nil, &out); err != nil {
		t.Fatal(err)
	}
	if len(out.RetainedData) != 2 {
		t.Fatalf("retained data: %+v", out.RetainedData)
	}
	for _, kept := range out.RetainedData {
		s := launch(t, p, kept.Kind, kept.Name, map[string]any{"reattach": kept.ID})
		if kept.Kind == "BUCKET" {
			wantText(t, p, s, "meow")
		} else {
			wantText(t, p, s, "one hat")
		}
	}
}

// metricsAreClean lets Prometheus's own linter read /metrics; only the names that are mandated may displease it.
func metricsAreClean(t *testing.T, p *uwstest.Process) {
	t.Helper()
	body := get(t, p.URL+"/metrics")
	for _, name := range []string{"active_bucket_services 1", "active_queue_services 1", "active_db_services 0", "active_nosql_services 0",
		"active_secrets_services 0", "active_nodes 1", "service_health_check_duration_bucket", `service_restart_attempts_total{kind="BUCKET",reason="exited"} 1`,
		"uws_build_info", "uws_reconcile_queue_depth", "uws_reconcile_duration_seconds", "uws_graphql_requests_total", "uws_services{"} {
		if !strings.Contains(body, name) {
			t.Errorf("/metrics has no %s", name)
		}
	}
	cmd := exec.Command("promtool", "check", "metrics")
	cmd.Stdin, cmd.Stderr = strings.NewReader(body), os.Stderr
	said, err := cmd.Output()
	for line := range strings.Lines(string(said)) {
		if strings.HasPrefix(line, "service_health_check_duration ") { // a mandated name without its unit
			continue
		}
		t.Errorf("promtool (%v): %s", err, line)
	}
}
