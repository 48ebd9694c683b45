package e2e

import (
	"strings"
	"testing"

	"github.com/unicorn-web-services/uws/test/stories"
	"github.com/unicorn-web-services/uws/test/uwstest"
)

// Services that were launched with an earlier template keep their content and credentials, also when their data is reattached
// with today's template. Their credentials can be rotated.
func TestOlderServices(t *testing.T) {
	for _, c := range []stories.Engine{{Kind: "DB", Template: "postgres", Client: stories.Postgres}, {Kind: "QUEUE", Template: "nats", Client: stories.NATS}} {
		t.Run(c.Template, func(t *testing.T) {
			t.Parallel()
			ctx, dir := t.Context(), folder(t)
			p := serve(t, dir, "--templates", "testdata/older")
			s := launch(t, p, c.Kind, "older", map[string]any{"template": c.Template})
			keys := reveal(t, p, s.ID)
			if err := c.Client.Write(ctx, s.Endpoint, keys, "meow"); err != nil {
				t.Fatal(err)
			}
			there := func(when string, s *uwstest.Service) {
				t.Helper()
				if text, err := c.Client.Read(ctx, s.Endpoint, reveal(t, p, s.ID)); err != nil || text != "meow" {
					t.Fatalf("%s: read %q, %v", when, text, err)
				}
			}
			if err := p.Stop(); err != nil {
				t.Fatal(err)
			}
			p = serve(t, dir)
			pid := enginePID(t, s.ID)
			if err := p.Do(ctx, "restartService", s.ID); err != nil {
				t.Fatal(err)
			}
			there("restarted", restarted(t, p, s.ID, pid))
			if c.Template == "postgres" {
				refusesSettings(t, s, reveal(t, p, s.ID))
			}
			rotate(t, p, s.ID)
			there("after a rotation", healthy(t, p, s.ID, 0))
			stories.Remove(t, p, s.ID, "RETAIN")
			s = launch(t, p, c.Kind, "older", map[string]any{"template": c.Template, "reattach": stories.Retained(t, p)[0]})
			there("attached to today's template", s)
			rotate(t, p, s.ID)
			there("after a second rotation", healthy(t, p, s.ID, 0))
		})
	}
}

// refusesSettings fails if the user of an older database, which is a superuser, can change its configuration.
func refusesSettings(t *testing.T, s *uwstest.Service, keys map[string]string) {
	t.Helper()
	c, err := stories.PostgresConnect(t.Context(), s.Endpoint, keys)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	_, err = c.Exec(t.Context(), "ALTER SYSTEM SET shared_preload_libraries = 'nope'")
	if err == nil || !strings.Contains(err.Error(), "ALTER SYSTEM is not allowed") {
		t.Errorf("ALTER SYSTEM: %v", err)
	}
}
