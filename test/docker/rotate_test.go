package docker

import (
	"strings"
	"testing"

	"github.com/unicorn-web-services/uws/test/stories"
	"github.com/unicorn-web-services/uws/test/uwstest"
)

// Credentials are rotated in containers, whether the engine changes them over its protocol or when it starts. The old ones
// are refused, the data is kept, and no secret is on the command line or in labels.
func TestRotate(t *testing.T) {
	e := engine(t)
	for _, c := range stories.Engines {
		if c.Template != "postgres" && c.Template != "nats" {
			continue
		}
		t.Run(c.Template, func(t *testing.T) {
			ctx := t.Context()
			withImages(t, e, c.Template)
			p := serve(t, e, folder(t))
			s := stories.Launch(t, p, c.Kind, "rotated", map[string]any{"template": c.Template})
			if c.Template == "postgres" {
				stories.DatabaseUser(t, p, stories.Launch(t, p, c.Kind, "another", nil))
			}
			old, err := p.Credentials(ctx, s.ID)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Client.Write(ctx, s.Endpoint, old, "meow"); err != nil {
				t.Fatal(err)
			}
			if err := p.Do(ctx, "rotateCredentials", s.ID); err != nil {
				t.Fatal(err)
			}
			var fresh map[string]string
			err = uwstest.Until(ctx, "the credentials are others, and the old ones refused", func() (bool, error) {
				var out struct{ Service struct{ Rotating bool } }
				if err := p.Query(ctx, `query($id: ID!) { service(id: $id) { rotating } }`, map[string]any{"id": s.ID}, &out); err != nil {
					return false, err
				}
				fresh, err = p.Credentials(ctx, s.ID)
				return !out.Service.Rotating && fresh["password"] != old["password"], err
			})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := p.Healthy(ctx, s.ID, 0); err != nil {
				t.Fatal(err)
			}
			if text, err := c.Client.Read(ctx, s.Endpoint, fresh); err != nil || text != "meow" {
				t.Errorf("read %q, %v", text, err)
			}
			if text, err := c.Client.Read(ctx, s.Endpoint, old); err == nil {
				t.Errorf("with the old credentials a client reads %q", text)
			}
			seen := docker(t, e, "inspect", "--format", "{{json .Config.Labels}} {{json .Config.Cmd}} {{json .Config.Entrypoint}} {{json .Args}} {{.Name}}", container(t, e, s.ID))
			if !strings.Contains(seen, s.ID) {
				t.Fatalf("not the requested container: %s", seen)
			}
			for _, keys := range []map[string]string{old, fresh} {
				if secret := keys["password"]; secret == "" || strings.Contains(seen, secret) {
					t.Errorf("the password %q is in %s", secret, seen)
				}
			}
			stories.Remove(t, p, s.ID, "DELETE")
		})
	}
}
