package crash

import (
	"fmt"
	"testing"

	"github.com/unicorn-web-services/uws/test/stories"
	"github.com/unicorn-web-services/uws/test/uwstest"
)

// If uws is killed at any step of setting up a database, it resumes, and the service becomes healthy only afterwards.
func TestCrashInSetup(t *testing.T) {
	var steps []string
	for i := range 6 {
		steps = append(steps, fmt.Sprintf("setup-%d", i))
	}
	each(t, steps, func(w *world, step string) {
		w.start(step)
		s, err := w.p.Launch(w.Context(), "DB", "accounts", nil)
		w.must(err)
		w.id = s.ID
		w.crash()
		stories.DatabaseUser(w.T, w.p, w.healthy())
	})
}

// If uws is killed at any step of separating the administrator of an older database, it resumes. The user can log in at
// all times.
func TestCrashInSeparation(t *testing.T) {
	each(t, []string{"rotate-staged", "separate-begun", "separate-switched", "separate-owned", "setup-4", "separate-done", "rotate-stored"}, func(w *world, step string) {
		w.templates = "../e2e/testdata/older"
		w.start("")
		s, err := w.p.Launch(w.Context(), "DB", "accounts", nil)
		w.must(err)
		w.id = s.ID
		s = *w.healthy()
		stories.FurnishDatabase(w.T, &s, w.keys())
		w.must(w.p.Stop())
		w.templates = ""
		w.start(step)
		w.healthy()
		_, _ = stories.SeparateAdmin(w.Context(), w.p, w.id, true) // the answer may be lost
		w.crash()
		w.must(uwstest.Until(w.Context(), "the separation ends", func() (bool, error) {
			var out struct{ Service struct{ Rotating bool } }
			err := w.p.Query(w.Context(), `query($id: ID!) { service(id: $id) { rotating } }`, map[string]any{"id": w.id}, &out)
			return !out.Service.Rotating, err
		}))
		stories.WantHandedOver(w.T, w.healthy(), w.keys())
		stories.DatabaseUser(w.T, w.p, w.healthy())
	})
}
