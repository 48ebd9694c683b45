package e2e

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/test/stories"
	"github.com/unicorn-web-services/uws/test/uwstest"
)

// Credentials are rotated in every engine: the old ones are refused and the data is kept. The new ones stay after a crash of the
// engine, a stop, a restart of uws, and a removal with the data retained.
func TestRotateEveryKind(t *testing.T) {
	for _, c := range stories.Engines {
		t.Run(c.Template, func(t *testing.T) {
			t.Parallel()
			ctx, dir := t.Context(), folder(t)
			p := serve(t, dir)
			s := launch(t, p, c.Kind, "rotated", map[string]any{"template": c.Template})
			old := reveal(t, p, s.ID)
			if err := c.Client.Write(ctx, s.Endpoint, old, "meow"); err != nil {
				t.Fatal(err)
			}
			fresh := rotate(t, p, s.ID)
			if changed := differing(old, fresh); len(changed) != 1 {
				t.Fatalf("%v changed, want one secret", changed)
			}
			check := func(when string) {
				t.Helper()
				s := healthy(t, p, s.ID, 0)
				if now := reveal(t, p, s.ID); !maps.Equal(now, fresh) {
					t.Errorf("%s: the credentials changed", when)
				}
				if text, err := c.Client.Read(ctx, s.Endpoint, fresh); err != nil || text != "meow" {
					t.Fatalf("%s: read %q, %v", when, text, err)
				}
				if text, err := c.Client.Read(ctx, s.Endpoint, old); err == nil {
					t.Fatalf("%s: with the old credentials a client reads %q", when, text)
				}
			}
			check("after the rotation")
			for _, again := range []string{"restartService", "stopService", "startService"} {
				before, err := uwstest.EnginePID(s.ID)
				if err != nil {
					t.Fatal(err)
				}
				if err := p.Do(ctx, again, s.ID); err != nil {
					t.Fatal(err)
				}
				if again == "stopService" {
					waitFor(t, p, s.ID, "stopped", func(s *uwstest.Service) bool { return s.Phase == "STOPPED" })
					wantError(t, p.Do(ctx, "rotateCredentials", s.ID), "CONFLICT", "startService")
					continue
				}
				restarted(t, p, s.ID, before)
				check(again)
			}
			if err := p.Stop(); err != nil {
				t.Fatal(err)
			}
			p = serve(t, dir)
			check("after a restart of uws")
			stories.Remove(t, p, s.ID, "RETAIN")
			s = launch(t, p, c.Kind, "rotated", map[string]any{"template": c.Template, "reattach": stories.Retained(t, p)[0]})
			check("after it was attached again")
		})
	}
}

func reveal(t *testing.T, p *uwstest.Process, id string) map[string]string {
	t.Helper()
	keys, err := p.Credentials(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// rotate rotates the credentials of a service, and waits until that is done.
func rotate(t *testing.T, p *uwstest.Process, id string) map[string]string {
	t.Helper()
	if err := p.Do(t.Context(), "rotateCredentials", id); err != nil {
		t.Fatal(err)
	}
	if err := p.Do(t.Context(), "rotateCredentials", id); err != nil { // no error if the first one has ended already
		wantError(t, err, "CONFLICT", "already")
	}
	settled(t, p, id)
	if all := reasons(t, p, id); !slices.ContainsFunc(all, func(r string) bool { return strings.HasPrefix(r, "credentials rotated: ") }) {
		t.Fatalf("no event about the rotation: %q", all)
	}
	return reveal(t, p, id)
}

// settled waits until no rotation is under way and the service is healthy.
func settled(t *testing.T, p *uwstest.Process, id string) {
	t.Helper()
	err := uwstest.Until(t.Context(), "rotated", func() (bool, error) {
		var out struct {
			Service struct {
				Rotating      bool
				Phase, Health string
			}
		}
		err := p.Query(t.Context(), `query($id: ID!) { service(id: $id) { rotating phase health } }`, map[string]any{"id": id}, &out)
		return !out.Service.Rotating && out.Service.Phase == "RUNNING" && out.Service.Health == "HEALTHY", err
	})
	if err != nil {
		t.Fatal(err, reasons(t, p, id))
	}
}

// reasons returns the reasons of a service's events, newest first.
func reasons(t *testing.T, p *uwstest.Process, id string) []string {
	t.Helper()
	var out struct {
		Events struct{ Nodes []struct{ Reason string } }
	}
	err := p.Query(t.Context(), `query($id: ID!) { events(first: 500, filter: {serviceId: $id}) { nodes { reason } } }`, map[string]any{"id": id}, &out)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range out.Events.Nodes {
		all = append(all, e.Reason)
	}
	return all
}

func differing(a, b map[string]string) []string {
	var names []string
	for name, value := range a {
		if b[name] != value {
			names = append(names, name)
		}
	}
	return names
}

// If the password was changed in the engine, rotation ends with a reason, and the stored credentials stay.
func TestRotateWhatSomebodyChanged(t *testing.T) {
	p := serve(t, folder(t))
	s := launch(t, p, "NOSQL", "accounts", map[string]any{"template": "ferretdb", "healthCheck": map[string]any{"intervalSeconds": 600}})
	keys := reveal(t, p, s.ID)
	if err := stories.MongoPassword(t.Context(), s.Endpoint, keys, "another"); err != nil {
		t.Fatal(err)
	}
	if err := p.Do(t.Context(), "rotateCredentials", s.ID); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(uwstest.Patience)
	for !strings.HasPrefix(reasons(t, p, s.ID)[0], "rotation given up") {
		if time.Now().After(deadline) {
			t.Fatalf("no event says that the rotation was given up: %q", reasons(t, p, s.ID))
		}
	}
	if now := reveal(t, p, s.ID); !maps.Equal(now, keys) {
		t.Error("the stored credentials changed")
	}
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Error("the credentials were rotated, but should not have been")
		return
	}
	want(t, err.Error(), parts...)
}
