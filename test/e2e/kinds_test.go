package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/unicorn-web-services/uws/test/stories"
	"github.com/unicorn-web-services/uws/test/uwstest"
)

// Every kind, and a second engine for one of them, goes through its whole life cycle: launch, write, kill, recover, stop, start,
// remove with the data retained, reattach, remove with the data. The written data is there each time.
func TestEveryKind(t *testing.T) {
	for _, c := range stories.Engines {
		t.Run(c.Template, func(t *testing.T) {
			t.Parallel()
			stories.Life(t, serve(t, folder(t)), host{}, c.Kind, c.Template, c.Client)
		})
	}
}

// A folder of user templates adds an engine without a rebuild.
func TestOwnTemplate(t *testing.T) {
	templates := t.TempDir()
	redis, err := os.ReadFile(repoFile(t, "orchestrator", "catalog", "templates", "redis.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	own := bytes.Replace(redis, []byte("name: redis"), []byte("name: my-cache"), 1)
	if err := os.WriteFile(filepath.Join(templates, "mine.yaml"), own, 0o600); err != nil {
		t.Fatal(err)
	}
	p := serve(t, folder(t), "--templates", templates)
	stories.Life(t, p, host{}, "NOSQL", "my-cache", stories.Redis)
}

// clients are the standard clients of the kinds, for tests that use one service.
var clients = map[string]stories.Client{
	"BUCKET":  stories.S3,
	"DB":      stories.Postgres,
	"NOSQL":   stories.MongoDB,
	"QUEUE":   stories.NATS,
	"SECRETS": stories.Setec,
}

func write(t *testing.T, p *uwstest.Process, s *uwstest.Service, text string) {
	t.Helper()
	keys, err := p.Credentials(t.Context(), s.ID)
	if err == nil {
		err = clients[s.Kind].Write(t.Context(), s.Endpoint, keys, text)
	}
	if err != nil {
		t.Fatalf("writing to %s: %v", s.Name, err)
	}
}

func wantText(t *testing.T, p *uwstest.Process, s *uwstest.Service, text string) {
	t.Helper()
	keys, err := p.Credentials(t.Context(), s.ID)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := clients[s.Kind].Read(t.Context(), s.Endpoint, keys); err != nil || got != text {
		t.Fatalf("read %q from %s, %v; want %q", got, s.Name, err, text)
	}
}

// A database that answers but refuses connections is SUSPECT, with a reason. It is not restarted.
func TestRefusalIsNoFailure(t *testing.T) {
	p := serve(t, folder(t))
	s := launch(t, p, "DB", "accounts", map[string]any{
		"healthCheck": map[string]any{"intervalSeconds": 1, "timeoutSeconds": 1, "failureThreshold": 1}})
	keys, err := p.Credentials(t.Context(), s.ID)
	if err != nil {
		t.Fatal(err)
	}
	var read struct {
		Service struct{ HealthCheck map[string]any }
	}
	if err := p.Query(t.Context(), `query($id: ID!) { service(id: $id) { healthCheck { intervalSeconds timeoutSeconds failureThreshold graceSeconds writeCheck writeIntervalSeconds } } }`,
		map[string]any{"id": s.ID}, &read); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(read.Service.HealthCheck); got != "map[failureThreshold:1 graceSeconds:300 intervalSeconds:1 timeoutSeconds:1 writeCheck:PERIODIC writeIntervalSeconds:300]" {
		t.Errorf("the settings that apply: %s", got)
	}
	pid := enginePID(t, s.ID)
	var all []*pgx.Conn
	fill := func() { // called again, because each check that ends frees its connection
		for {
			c, err := stories.PostgresConnect(t.Context(), s.Endpoint, keys)
			if err != nil {
				want(t, err.Error(), "53300")
				return
			}
			all = append(all, c)
		}
	}
	suspect := waitFor(t, p, s.ID, "suspect", func(s *uwstest.Service) bool {
		if s.Health != "SUSPECT" {
			fill()
		}
		return s.Health == "SUSPECT"
	})
	want(t, suspect.Reason, "connections are used up")
	for range 3 { // with a threshold of 1 each failed check would cause a restart
		var out struct{ CheckServiceHealth struct{ Verdict string } }
		err := p.Query(t.Context(), `mutation($id: ID!) { checkServiceHealth(id: $id) { verdict } }`, map[string]any{"id": s.ID}, &out)
		if err != nil || out.CheckServiceHealth.Verdict != "ALIVE" {
			t.Fatalf("verdict %q, %v; want ALIVE", out.CheckServiceHealth.Verdict, err)
		}
	}
	if now := enginePID(t, s.ID); now != pid {
		t.Errorf("it was restarted: process %d, was %d", now, pid)
	}
	for _, c := range all {
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if s := healthy(t, p, s.ID, 0); s.Restarts != 0 {
		t.Errorf("%d restarts", s.Restarts)
	}
}
