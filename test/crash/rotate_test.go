package crash

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/unicorn-web-services/uws/test/stories"
	"github.com/unicorn-web-services/uws/test/uwstest"
)

// If uws is killed at any step of a rotation, the credentials that it reveals after its next start work, both at once
// and after the rotation has completed. Then the old ones are refused.
func TestCrashInRotation(t *testing.T) {
	inEngine := []string{"rotate-staged", "rotate-begin", "rotate-changed", "rotate-verified", "rotate-stored"}
	byInstance := slices.Concat([]string{"rotate-staged", "rotate-begin", "rotate-verified", "rotate-stored"}, replacing, comingBack)
	for _, c := range []struct {
		kind, template string
		client         stories.Client
		steps          []string
	}{
		{"DB", "postgres", stories.Postgres, inEngine},
		{"NOSQL", "ferretdb", stories.MongoDB, inEngine},
		{"QUEUE", "nats", stories.NATS, byInstance},
	} {
		t.Run(c.template, func(t *testing.T) {
			each(t, c.steps, func(w *world, step string) { w.rotated(step, c.kind, c.template, c.client) })
		})
	}
}

func (w *world) rotated(step, kind, template string, c stories.Client) {
	w.start("")
	s, err := w.p.Launch(w.Context(), kind, "rotated", map[string]any{"template": template})
	w.must(err)
	w.id = s.ID
	endpoint := w.healthy().Endpoint
	old := w.keys()
	w.must(c.Write(w.Context(), endpoint, old, "meow"))
	w.must(w.p.Stop())
	w.start(step)
	w.healthy()
	_ = w.p.Do(w.Context(), "rotateCredentials", w.id) // the answer may be lost
	w.crash()

	w.works(c) // at once
	w.must(uwstest.Until(w.Context(), "the rotation ends", func() (bool, error) {
		return !w.rotating(), nil
	}))
	w.healthy()
	w.works(c)
	if maps.Equal(w.keys(), old) {
		w.Error("the credentials are the old ones")
	}
	if text, err := c.Read(w.Context(), endpoint, old); err == nil {
		w.Errorf("with the old credentials a client reads %q", text)
	}
}

func (w *world) keys() map[string]string {
	w.Helper()
	keys, err := w.p.Credentials(w.Context(), w.id)
	w.must(err)
	return keys
}

// works waits until a client can read with the revealed credentials. They may change in between, and the engine may be
// restarting.
func (w *world) works(c stories.Client) {
	w.Helper()
	var failed error
	err := uwstest.Until(w.Context(), "the credentials work", func() (bool, error) {
		s := w.healthy()
		text, err := c.Read(w.Context(), s.Endpoint, w.keys())
		if err == nil && text != "meow" {
			return false, fmt.Errorf("read %q", text)
		}
		failed = err
		return err == nil, nil
	})
	if err != nil {
		w.Fatal(err, failed)
	}
}
