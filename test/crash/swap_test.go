package crash

import (
	"path/filepath"
	"testing"

	"github.com/unicorn-web-services/uws/test/stories"
	"github.com/unicorn-web-services/uws/test/uwstest"
)

// If uws is killed at any step of an exchange of two services, either nothing has happened or it is completed: one of the two has the
// name and the address, and runs.
func TestCrashInSwaps(t *testing.T) {
	each(t, []string{"rotate-changed", "swap-checked", "swap-stored", "stop-begin", "replace-prepared", "replace-down", "launch-created"}, func(w *world, step string) {
		w.start("")
		s, err := w.p.Launch(w.Context(), "DB", "shop", nil)
		w.must(err)
		w.id = s.ID
		a := w.healthy()
		target, _ := stories.Target(w.T, w.p, "disk", filepath.Join(w.dir, "target"))
		b := stories.RestoreBackup(w.T, w.p, stories.BackUp(w.T, w.p, a.ID, target).ID, "shop-b")
		w.must(w.p.Do(w.Context(), "rotateCredentials", b.ID))
		w.id = b.ID
		w.waitFor("has new credentials", func(s *uwstest.Service) bool { return !w.rotating() && s.Health == "HEALTHY" })
		keys, err := w.p.Credentials(w.Context(), a.ID)
		w.must(err)
		w.must(w.p.Stop())
		w.start(step)
		w.healthy()
		_, _ = stories.Swap(w.T, w.p, a.ID, b.ID, true) // the answer is lost
		w.crash()
		now, old := b.ID, a.ID
		if step == "rotate-changed" || step == "swap-checked" {
			now, old = a.ID, b.ID
		}
		w.id = now
		up := w.waitFor("where clients look for it", func(s *uwstest.Service) bool {
			return s.Name == a.Name && s.Endpoint == a.Endpoint && s.Health == "HEALTHY" && s.Phase == "RUNNING"
		})
		want := 1
		if now == a.ID {
			want = 2
		} else {
			w.id = old
			w.waitFor("stopped", func(s *uwstest.Service) bool {
				return s.Phase == "STOPPED" && s.Name == b.Name && s.Endpoint == b.Endpoint
			})
		}
		w.must(uwstest.Until(w.Context(), "clients get in", func() (bool, error) { // the instance may be about to be replaced
			_, err := stories.PostgresConnect(w.Context(), up.Endpoint, keys)
			return err == nil, nil
		}))
		w.processes(want)
		w.log()
	})
}

// rotating reports whether the credentials of the service are being changed.
func (w *world) rotating() bool {
	w.Helper()
	var out struct{ Service struct{ Rotating bool } }
	w.must(w.p.Query(w.Context(), `query($id: ID!) { service(id: $id) { rotating } }`, map[string]any{"id": w.id}, &out))
	return out.Service.Rotating
}
