package crash

import (
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/unicorn-web-services/uws/test/uwstest"
)

var (
	launching = []string{"launch-prepared", "launch-created", "start-intent", "start-spawned", "launch-started"}
	recording = func(phase string) []string {
		return []string{"record-" + phase + "-before", "record-" + phase + "-after"}
	}
	removing   = []string{"remove-begin", "remove-stopped", "remove-removed", "remove-done", "volume-released", "drop-done"}
	stopping   = []string{"stop-begin", "stop-done"}
	replacing  = []string{"replace-prepared", "replace-down"}
	comingBack = slices.Concat(recording("STARTING"), launching, recording("RUNNING"))
)

// each runs a scenario once for each step at which uws is killed.
func each(t *testing.T, steps []string, scenario func(w *world, step string)) {
	for _, step := range steps {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			scenario(w, step)
			w.log()
		})
	}
}

// begin launches the queue without a fault, writes to it, and restarts uws with one.
func (w *world) begin(step string) {
	w.Helper()
	w.start("")
	w.must(w.launch(nil))
	w.write()
	w.must(w.p.Stop())
	w.start(step)
}

func TestCrashInLaunch(t *testing.T) {
	each(t, slices.Concat([]string{"volume-owned", "launch-stored", "placed"}, comingBack), func(w *world, step string) {
		w.start(step)
		_ = w.launch(nil) // the answer may be lost
		w.crash()
		w.must(w.launch(nil)) // repeating the launch returns the same service
		w.write()
		w.readBack()
		w.processes(1)
	})
}

func TestCrashInHealing(t *testing.T) {
	each(t, comingBack, func(w *world, step string) {
		w.begin(step)
		w.healthy()
		pid, err := uwstest.EnginePID(w.id)
		w.must(err)
		w.must(syscall.Kill(pid, syscall.SIGKILL))
		w.crash()
		w.readBack()
		w.processes(1)
	})
}

func TestCrashInStop(t *testing.T) {
	each(t, slices.Concat([]string{"wish-STOPPED"}, recording("STOPPING"), stopping, recording("STOPPED")), func(w *world, step string) {
		w.begin(step)
		_ = w.p.Do(w.Context(), "stopService", w.id)
		w.crash()
		w.must(w.p.Do(w.Context(), "stopService", w.id))
		w.waitFor("stopped", func(s *uwstest.Service) bool { return s.Phase == "STOPPED" })
		w.processes(0)
		w.must(w.p.Do(w.Context(), "startService", w.id))
		w.readBack()
		w.processes(1)
	})
}

func TestCrashInRestart(t *testing.T) {
	each(t, slices.Concat([]string{"wish-RUNNING"}, recording("RESTARTING"), stopping, comingBack), func(w *world, step string) {
		w.begin(step)
		_ = w.p.Do(w.Context(), "restartService", w.id)
		w.crash()
		w.readBack()
		w.processes(1)
	})
}

func TestCrashInRemove(t *testing.T) {
	each(t, slices.Concat([]string{"wish-REMOVED"}, recording("REMOVING"), removing), func(w *world, step string) {
		w.begin(step)
		_ = w.remove("RETAIN")
		w.crash()
		w.must(w.remove("RETAIN"))
		w.waitFor("gone", func(s *uwstest.Service) bool { return s == nil })
		w.processes(0)
		kept := w.retained()
		if len(kept) != 1 {
			w.Fatalf("retained %v, want one", kept)
		}
		w.must(w.launch(map[string]any{"reattach": kept[0]}))
		w.readBack()
		w.processes(1)
	})
}

// The data is either retained or in use, never both and never neither.
func TestCrashInReattachment(t *testing.T) {
	each(t, slices.Concat([]string{"volume-owned", "launch-stored", "placed"}, comingBack), func(w *world, step string) {
		w.begin("")
		w.must(w.remove("RETAIN"))
		w.waitFor("gone", func(s *uwstest.Service) bool { return s == nil })
		reattach := map[string]any{"reattach": w.retained()[0]}
		w.must(w.p.Stop())
		w.start(step)
		_ = w.launch(reattach) // the answer may be lost
		w.crash()
		want := 0
		if step == "volume-owned" {
			want = 1
		}
		if kept := w.retained(); len(kept) != want {
			w.Errorf("retained %v, want %d", kept, want)
		}
		w.must(w.launch(reattach))
		w.readBack()
		w.processes(1)
		if kept := w.retained(); len(kept) != 0 {
			w.Errorf("retained %v while the data is in use", kept)
		}
	})
}

func TestCrashInRemoveWithData(t *testing.T) {
	each(t, slices.Concat([]string{"wish-REMOVED"}, recording("REMOVING"), removing), func(w *world, step string) {
		w.begin(step)
		_ = w.remove("DELETE")
		w.crash()
		w.must(w.remove("DELETE"))
		w.waitFor("gone", func(s *uwstest.Service) bool { return s == nil })
		w.processes(0)
		volumes, err := os.ReadDir(filepath.Join(w.dir, "data", "process", "volumes"))
		if kept := w.retained(); len(kept) != 0 || err != nil || len(volumes) != 0 {
			w.Errorf("retained %v, volumes %v (%v); want none", kept, volumes, err)
		}
		w.must(w.launch(nil)) // the name is free
		w.healthy()
	})
}

func TestCrashInDeletion(t *testing.T) {
	each(t, []string{"volume-deleted"}, func(w *world, step string) {
		w.begin(step)
		w.must(w.remove("RETAIN"))
		w.waitFor("gone", func(s *uwstest.Service) bool { return s == nil })
		kept := w.retained()
		if len(kept) != 1 {
			w.Fatalf("retained %v, want one", kept)
		}
		_ = w.p.Query(w.Context(), `mutation($id: ID!) { deleteRetainedData(id: $id) { id } }`, map[string]any{"id": kept[0]}, nil)
		w.crash()
		w.must(uwstest.Until(w.Context(), "the data is gone", func() (bool, error) { return len(w.retained()) == 0, nil }))
		w.must(w.launch(nil)) // the name is free
		w.healthy()
	})
}
