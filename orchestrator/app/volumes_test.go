package app_test

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// volume returns the row of a volume; nil if there is none.
func (w *world) volume(id string) *ent.Volume {
	w.t.Helper()
	v, err := w.st.Read.Volume.Get(w.t.Context(), id)
	if err != nil && !ent.IsNotFound(err) {
		w.t.Fatal(err)
	}
	return v
}

// owned returns the row of a volume that a service uses.
func (w *world) owned(s *orchestrator.Service) *ent.Volume {
	w.t.Helper()
	v := w.volume(s.Volume)
	if v == nil || v.ServiceID == nil || *v.ServiceID != s.ID || v.Name != s.Name || v.NodeID != s.NodeID || v.RetainedAt != nil || len(v.Credentials) > 0 {
		w.t.Fatalf("the volume of %s is %+v", s.Name, v)
	}
	return v
}

func (w *world) remove(s *orchestrator.Service, deleteData bool) {
	w.t.Helper()
	if _, err := w.Remove(w.t.Context(), s.ID, deleteData); err != nil {
		w.t.Fatal(err)
	}
	w.gone(s.ID)
}

// A volume is one row from launch to the deletion of the data: removal takes its owner, reattachment gives it another.
func TestVolumeIsOneRow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.launch("q")
		if v := w.volume(s.Volume); v == nil || v.ServiceID == nil || *v.ServiceID != s.ID || !v.CreatedAt.Equal(s.CreatedAt) {
			t.Fatalf("launched with the volume %+v", v)
		}
		s = w.healthy(s.ID)
		used := w.owned(s)
		if kept := w.retained(); len(kept) != 0 {
			t.Errorf("retained %v while it is in use", kept)
		}
		_, err := w.DeleteRetained(t.Context(), s.Volume)
		wantCode(t, err, orchestrator.NotFound, "retained data")
		_, err = w.Launch(t.Context(), orchestrator.LaunchInput{Kind: catalog.Queue, Name: "other", Reattach: s.Volume})
		wantCode(t, err, orchestrator.Conflict, `used by service "q"`)

		w.remove(s, false)
		kept := w.volume(s.Volume)
		if kept.ServiceID != nil || kept.FormerService != s.ID || kept.NodeID != s.NodeID || kept.RetainedAt == nil || kept.Version <= used.Version {
			t.Errorf("retained as %+v, used as %+v", kept, used)
		}

		again := w.healthy(w.mustLaunch(orchestrator.LaunchInput{Name: "renamed", Reattach: s.Volume}).ID)
		reused := w.owned(again)
		if reused.FormerService != "" || reused.Version <= kept.Version || !reused.CreatedAt.Equal(again.CreatedAt) {
			t.Errorf("reattached as %+v, retained as %+v", reused, kept)
		}
		w.healthy(w.launch("q").ID) // the name that the data had is free
		w.remove(again, true)
		if v := w.volume(s.Volume); v != nil {
			t.Errorf("the data was deleted, and its row is %+v", v)
		}
	})
}

// A service that was never healthy has no data to retain.
func TestVolumeWithoutData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := cluster(t, "a", "b")
		unplaced := w.mustLaunch(orchestrator.LaunchInput{Name: "unplaced", NodeLabels: []orchestrator.Label{{Name: "none", Value: "has"}}})
		if v := w.owned(unplaced); v.NodeID != "" {
			t.Errorf("not placed yet, and its data is on %q", v.NodeID)
		}
		w.remove(unplaced, false)
		a := w.machine.others["a"]
		a.set(func() { a.startErr = func(driver.Spec) error { return errors.New("no") } })
		s := w.mustLaunch(orchestrator.LaunchInput{Name: "q", NodeID: "a"})
		w.eventually("it is placed", func() bool { s = w.get(s.ID); return s.NodeID == "a" })
		w.owned(s)
		a.set(func() { a.away = errors.New("no route to host") })
		w.eventually("the node is lost", func() bool { n, err := w.Node(t.Context(), "a"); return err == nil && !n.Healthy })
		if err := w.RemoveNode(t.Context(), "a", true); err != nil {
			t.Fatal(err)
		}
		w.gone(s.ID)
		for _, id := range []string{unplaced.Volume, s.Volume} {
			if v := w.volume(id); v != nil {
				t.Errorf("the volume of a service without data is still there: %+v", v)
			}
		}
	})
}

// Of two launches that want the same data one gets it.
func TestVolumeIsReattachedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.healthy(w.launch("q").ID)
		w.remove(s, false)
		launched, errs := make([]*orchestrator.Service, 2), make([]error, 2)
		var both sync.WaitGroup
		for i, name := range []string{"one", "two"} {
			both.Go(func() {
				launched[i], errs[i] = w.Launch(t.Context(), orchestrator.LaunchInput{Kind: catalog.Queue, Name: name, Reattach: s.Volume})
			})
		}
		both.Wait()
		won := 0
		if errs[0] != nil {
			won = 1
		}
		if errs[won] != nil {
			t.Fatalf("neither was launched: %v", errs)
		}
		wantCode(t, errs[1-won], orchestrator.Conflict, "used by service")
		w.owned(w.healthy(launched[won].ID))
	})
}
