package crash

import (
	"path/filepath"
	"testing"

	"github.com/unicorn-web-services/uws/test/stories"
	"github.com/unicorn-web-services/uws/test/uwstest"
)

// If uws is killed at any step of the end of a quarantine, the next start goes on with it, or it can be ended again. No stream
// is lost.
func TestCrashInQuarantine(t *testing.T) {
	each(t, []string{"mirror-kept", "mirror-deleted", "mirror-restored", "quarantine-released", "quarantine-ended"}, func(w *world, step string) {
		w.start("")
		w.must(w.launch(nil))
		stories.LinkedStreams(w.T, w.p, w.healthy())
		target, _ := stories.Target(w.T, w.p, "disk", filepath.Join(w.dir, "target"))
		s := stories.RestoreBackup(w.T, w.p, stories.BackUp(w.T, w.p, w.id, target).ID, "again")
		w.must(w.p.Stop())
		w.start(step)
		stories.Healthy(w.T, w.p, s.ID, 0)
		if err := w.p.Do(w.Context(), "endQuarantine", s.ID); err == nil {
			w.Error("the answer came from a process that had killed itself")
		}
		w.crash()
		w.must(uwstest.Until(w.Context(), "the quarantine is over", func() (bool, error) {
			return stories.HeldBack(w.T, w.p, s.ID) == "", nil
		}))
		stories.EndQuarantine(w.T, w.p, s.ID)
		stories.WantLinked(w.T, w.p, stories.Healthy(w.T, w.p, s.ID, 0))
		w.processes(2)
	})
}
