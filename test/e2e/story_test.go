package e2e

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/unicorn-web-services/uws/test/uwstest"
)

// The main use case: launch a bucket and a queue, wait until they are healthy, write, kill them, check that they
// recover with their data, remove them.
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
		for range 2 { // may be repeated
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

// watchLaunch checks the messages of a launch, by replaying them from the first event.
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

// attachAgain launches the removed bucket and queue with their retained data.
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

// metrics reads /metrics with a token, or without one.
func metrics(t *testing.T, p *uwstest.Process, token string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("/metrics: %s, %v: %s", answer.Status, err, body)
	}
	return string(body)
}

// metricsAreClean checks /metrics with Prometheus's linter. Only mandated names may cause warnings.
func metricsAreClean(t *testing.T, p *uwstest.Process) {
	t.Helper()
	if body := metrics(t, p, ""); strings.Contains(body, "service=") {
		t.Error("/metrics names services without a token")
	}
	var made struct{ CreateToken struct{ Secret string } }
	if err := p.Query(t.Context(), `mutation { createToken(input: {name: "queues", role: VIEWER, kinds: [QUEUE]}) { secret } }`, nil, &made); err != nil {
		t.Fatal(err)
	}
	if body := metrics(t, p, made.CreateToken.Secret); strings.Contains(body, `service="photos"`) || !strings.Contains(body, `uws_service_healthy{kind="QUEUE",node="local",service="`) {
		t.Error("/metrics is not limited to the kinds of the token")
	}
	body := metrics(t, p, p.Token)
	for _, name := range []string{"active_bucket_services 1", "active_queue_services 1", "active_db_services 0", "active_nosql_services 0",
		"active_secrets_services 0", "active_nodes 1", "service_health_check_duration_bucket", `service_restart_attempts_total{kind="BUCKET",reason="exited"} 1`,
		"uws_build_info", "uws_reconcile_queue_depth", "uws_reconcile_duration_seconds", "uws_graphql_requests_total", "uws_services{",
		`uws_service_healthy{kind="BUCKET",node="local",service="photos"} 1`, `uws_service_restarts_total{kind="BUCKET",node="local",service="photos"} 0`,
		`uws_service_health{kind="BUCKET",node="local",service="photos",state="HEALTHY"} 1`, `uws_service_health{kind="BUCKET",node="local",service="photos",state="SUSPECT"} 0`,
		`uws_service_last_check_timestamp_seconds{kind="BUCKET",node="local",service="photos"} 1.`, "uws_service_metrics_omitted 0",
		`uws_node_disk_free_bytes{node="local"}`, "uws_store_full 0"} {
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
