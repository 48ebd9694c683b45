package app_test

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

func (w *world) away(err error) {
	w.machine.set(func() { w.machine.away = err })
	w.eventually("the node has changed", func() bool {
		nodes, e := w.Nodes(w.t.Context())
		return e == nil && nodes[0].Healthy == (err == nil)
	})
}

func (w *world) starts(id string) (n int) {
	w.machine.set(func() { n = w.machine.starts[id] })
	return n
}

// orphansCounted sums up the series of the metric.
func (w *world) orphansCounted() (sum float64) {
	w.t.Helper()
	families, err := w.reg.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "uws_orphans" {
			for _, m := range f.GetMetric() {
				sum += m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

func (w *world) orphans() []orchestrator.Orphan {
	w.t.Helper()
	all, err := w.Orphans(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

// What lived on a forgotten node is kept, with its credentials, and taken back when the same engine is registered again.
func TestForgottenNodeComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.machine.set(func() { w.machine.info.EngineID = "the engine" })
		s, other, kept := w.healthy(w.launch("q").ID), w.healthy(w.launch("other").ID), w.healthy(w.launch("kept").ID)
		w.raise(s.ID)
		w.eventually("replaced", func() bool {
			s = w.get(s.ID)
			return s.ObservedGeneration == 2 && s.Health == lifecycle.HealthHealthy
		})
		before, err := w.Reveal(t.Context(), s.ID)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Remove(t.Context(), kept.ID, false); err != nil {
			t.Fatal(err)
		}
		w.gone(kept.ID)
		nodes, err := w.Nodes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		w.eventually("the engine is known", func() bool {
			n, err := w.st.Read.Node.Get(t.Context(), nodes[0].ID)
			return err == nil && n.EngineID != ""
		})
		wantCode(t, w.RemoveNode(t.Context(), nodes[0].ID, true), orchestrator.Conflict, "answers, with 2 services and the kept data of 1")
		w.away(errors.New("no route to host"))
		if err := w.RemoveNode(t.Context(), nodes[0].ID, true); err != nil {
			t.Fatal(err)
		}
		w.gone(s.ID)
		for _, id := range []string{s.ID, other.ID, kept.ID} {
			if codes := w.codes(id); codes[len(codes)-1] != lifecycle.CodeNodeForgotten {
				t.Errorf("codes %v", codes)
			}
		}
		all, err := w.Retained(t.Context())
		if err != nil || len(all) != 3 || slices.ContainsFunc(all, func(k *orchestrator.Retained) bool { return !k.Forgotten || k.NodeName != "local" }) {
			t.Fatalf("retained %v, %v", all, err)
		}
		_, err = w.Launch(t.Context(), orchestrator.LaunchInput{Kind: catalog.Queue, Name: "q", Reattach: s.Volume})
		wantCode(t, err, orchestrator.Conflict, "was forgotten; register the node again")

		w.machine.set(func() { w.machine.away = nil })
		in := orchestrator.NodeInput{Name: "again", Driver: "PROCESS", Endpoint: "fake", ServiceAddress: "127.0.0.1"}
		if _, err := w.RegisterNode(t.Context(), in); err != nil {
			t.Fatal(err)
		}
		if found := w.orphans(); len(found) != 2 || !found[0].Running || found[0].Problem != nil {
			t.Fatalf("orphans %+v", found)
		}
		starts := w.starts(s.ID)
		back, err := w.AdoptOrphan(t.Context(), "q") // by name
		if err != nil || back.ID != s.ID || back.Ports["main"] != s.Ports["main"] || back.Generation != 2 {
			t.Fatalf("adopted %+v, %v", back, err)
		}
		w.owned(w.healthy(s.ID))
		if after, err := w.Reveal(t.Context(), s.ID); err != nil || after[0] != before[0] || w.starts(s.ID) != starts {
			t.Errorf("credentials %v, %v; started %d times more", after, err, w.starts(s.ID)-starts)
		}
		if err := w.RemoveOrphan(t.Context(), other.ID, orchestrator.OrphanRemoval{}); err != nil {
			t.Fatal(err)
		}
		if found := w.orphans(); len(found) != 0 {
			t.Errorf("orphans %+v", found)
		}
		// Both are ordinary retained data again.
		for _, k := range []*orchestrator.Service{other, kept} {
			again := w.mustLaunch(orchestrator.LaunchInput{Name: k.Name, Reattach: k.Volume})
			w.healthy(again.ID)
		}
	})
}

// A store that was restored from an older copy finds what it does not know, and what it needs to adopt it.
func TestOrphansOfARestoredStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		old := filepath.Join(w.dir, "old")
		w.stop()
		copyStore(t, filepath.Join(w.dir, "data"), mkdir(t, old))
		w.start()
		names := []string{"adopted", "stopped", "retained", "deleted", "unmarked"}
		services := map[string]*orchestrator.Service{}
		for _, name := range names {
			s := w.healthy(w.launch(name).ID)
			w.eventually("its volume is marked", func() bool { return w.row(s.ID).DataMarked })
			services[name] = s
		}
		before, err := w.Reveal(t.Context(), services["adopted"].ID)
		if err != nil {
			t.Fatal(err)
		}
		w.machine.set(func() { delete(w.machine.marks, services["unmarked"].Volume) })
		w.stop()
		copyStore(t, old, filepath.Join(w.dir, "data"))
		w.start()

		found := w.orphans()
		if len(found) != len(names) {
			t.Fatalf("orphans %+v", found)
		}
		for _, x := range found {
			if known := x.Name != nil && x.Problem == nil; known == (x.ID == services["unmarked"].ID) || !x.Running {
				t.Errorf("orphan %+v", x)
			}
		}
		_, err = w.AdoptOrphan(t.Context(), services["unmarked"].ID)
		wantCode(t, err, orchestrator.Conflict, "has no record of it")
		wantCode(t, w.RemoveOrphan(t.Context(), services["unmarked"].ID, orchestrator.OrphanRemoval{DeleteData: true}), orchestrator.Conflict, "orphan of its own")
		_, err = w.AdoptOrphan(t.Context(), "nobody")
		wantCode(t, err, orchestrator.NotFound, "no orphan")

		starts := w.starts(services["adopted"].ID)
		if _, err := w.AdoptOrphan(t.Context(), "adopted"); err != nil {
			t.Fatal(err)
		}
		s := w.healthy(services["adopted"].ID)
		after, err := w.Reveal(t.Context(), s.ID)
		if err != nil || after[0] != before[0] || w.starts(s.ID) != starts {
			t.Errorf("credentials %v, %v; started %d times more", after, err, w.starts(s.ID)-starts)
		}
		if codes := w.codes(s.ID); !slices.Contains(codes, lifecycle.CodeOrphanAdopted) {
			t.Errorf("codes %v", codes)
		}
		w.owned(s)
		if x, err := w.StopOrphan(t.Context(), "stopped"); err != nil || x.Running {
			t.Errorf("stopped: %+v, %v", x, err)
		}
		if _, err := w.AdoptOrphan(t.Context(), "stopped"); err != nil {
			t.Fatal(err)
		}
		w.healthy(services["stopped"].ID) // started again
		for name, deleteData := range map[string]bool{"retained": false, "deleted": true} {
			if err := w.RemoveOrphan(t.Context(), name, orchestrator.OrphanRemoval{DeleteData: deleteData}); err != nil {
				t.Fatal(err)
			}
			w.eventually("its data is retained or deleted", func() bool {
				return slices.ContainsFunc(w.retained(), func(k *orchestrator.Retained) bool { return k.Name == name }) != deleteData
			})
			w.machine.set(func() {
				if has := w.machine.volumes[services[name].Volume]; has == deleteData || w.machine.instances[services[name].ID] != nil {
					t.Errorf("%s: its data is there: %v", name, has)
				}
			})
		}
	})
}

// After a rotation of the key the record in the mark of retained data is written again when the data was reattached, so that
// its service can be adopted. Until then, data without a mark is still refused.
func TestReattachedDataIsRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.healthy(w.launch("q").ID)
		mark := w.marked(s)
		w.eventually("the mark is in its row", func() bool { return w.row(s.ID).DataMarked })
		w.remove(s, false)
		w.stop()
		if _, err := store.RotateKey(t.Context(), store.Options{Dir: filepath.Join(w.dir, "data"), Log: testLog()}); err != nil {
			t.Fatal(err)
		}
		old := filepath.Join(w.dir, "old")
		copyStore(t, filepath.Join(w.dir, "data"), mkdir(t, old))
		w.machine.set(func() { delete(w.machine.marks, s.Volume) })
		w.start()
		again := w.mustLaunch(orchestrator.LaunchInput{Name: "renamed", Reattach: s.Volume})
		w.waitFor(again.ID, lifecycle.Failed, lifecycle.HealthUnhealthy)
		w.machine.set(func() { w.machine.marks[s.Volume] = mark })
		w.healthy(again.ID)
		w.eventually("its mark is written again", func() bool {
			var now string
			w.machine.set(func() { now = w.machine.marks[s.Volume] })
			return now != mark
		})
		w.eventually("that is in its row", func() bool { row := w.row(again.ID); return row.DataMarked && !row.RecordStale })

		w.stop()
		copyStore(t, old, filepath.Join(w.dir, "data"))
		w.start()
		if found := w.orphans(); len(found) != 1 || found[0].ID != again.ID || found[0].Problem != nil {
			t.Fatalf("orphans %+v", found)
		}
		if _, err := w.AdoptOrphan(t.Context(), "renamed"); err != nil {
			t.Fatal(err)
		}
		w.owned(w.healthy(again.ID))
	})
}

// Data without a workload that the store does not know is listed, told of once, and adopted, kept or deleted by name.
func TestOrphanedData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		old := filepath.Join(w.dir, "old")
		w.stop()
		copyStore(t, filepath.Join(w.dir, "data"), mkdir(t, old))
		w.start()
		services := map[string]*orchestrator.Service{}
		for _, name := range []string{"adopted", "kept", "deleted", "unmarked"} {
			s := w.healthy(w.launch(name).ID)
			w.eventually("its volume is marked", func() bool { return w.row(s.ID).DataMarked })
			services[name] = s
		}
		before, err := w.Reveal(t.Context(), services["adopted"].ID)
		if err != nil {
			t.Fatal(err)
		}
		w.stop()
		copyStore(t, old, filepath.Join(w.dir, "data"))
		w.machine.set(func() {
			for _, s := range services {
				w.machine.end(s.ID, 0)
				delete(w.machine.instances, s.ID)
			}
			delete(w.machine.marks, services["unmarked"].Volume)
		})
		w.start()

		for _, name := range []string{"adopted", "kept", "deleted", "unmarked"} {
			w.eventually("it is told of", func() bool { return len(w.codes(services[name].Volume)) == 1 })
		}
		found := w.orphans()
		if len(found) != 4 || w.orphansCounted() != 4 {
			t.Fatalf("orphans %+v, metric %v", found, w.orphansCounted())
		}
		for _, x := range found {
			unmarked := x.ID == services["unmarked"].Volume
			if !x.DataOnly || x.Running || x.CreatedAt != created || (x.Problem != nil) != unmarked || (x.Name == nil) != unmarked {
				t.Errorf("orphan %+v", x)
			}
		}
		w.restart()
		w.eventually("they are counted", func() bool { return w.orphansCounted() == 4 })
		for _, x := range found {
			if codes := w.codes(x.ID); !slices.Equal(codes, []lifecycle.ReasonCode{lifecycle.CodeOrphanFound}) {
				t.Errorf("events %v", codes)
			}
		}

		if _, err := w.AdoptOrphan(t.Context(), "adopted"); err != nil {
			t.Fatal(err)
		}
		s := w.healthy(services["adopted"].ID)
		if after, err := w.Reveal(t.Context(), s.ID); err != nil || after[0] != before[0] || s.Ports["main"] != services["adopted"].Ports["main"] {
			t.Errorf("credentials %v, ports %v, %v", after, s.Ports, err)
		}
		_, err = w.StopOrphan(t.Context(), "kept")
		wantCode(t, err, orchestrator.Conflict, "nothing to stop")
		if err := w.RemoveOrphan(t.Context(), "kept", orchestrator.OrphanRemoval{}); err != nil {
			t.Fatal(err)
		}
		w.healthy(w.mustLaunch(orchestrator.LaunchInput{Name: "kept", Reattach: services["kept"].Volume}).ID)

		unmarked := services["unmarked"].Volume
		_, err = w.AdoptOrphan(t.Context(), unmarked)
		wantCode(t, err, orchestrator.Conflict, "its credentials are not known")
		wantCode(t, w.RemoveOrphan(t.Context(), unmarked, orchestrator.OrphanRemoval{}), orchestrator.Conflict, "cannot become retained data")
		for _, id := range []string{unmarked, "deleted"} {
			wantCode(t, w.RemoveOrphan(t.Context(), id, orchestrator.OrphanRemoval{DeleteData: true}), orchestrator.InvalidInput, "give the time")
			other := orchestrator.OrphanRemoval{DeleteData: true, CreatedAt: created.Add(time.Hour)}
			wantCode(t, w.RemoveOrphan(t.Context(), id, other), orchestrator.Conflict, "other data than was listed")
			if len(w.orphans()) == 0 {
				t.Fatal("it was deleted")
			}
			if err := w.RemoveOrphan(t.Context(), id, orchestrator.OrphanRemoval{DeleteData: true, CreatedAt: created}); err != nil {
				t.Fatal(err)
			}
		}
		w.eventually("none is counted", func() bool { return w.orphansCounted() == 0 })
		if left := w.orphans(); len(left) != 0 {
			t.Errorf("left: %+v", left)
		}
		w.eventually("two of the volumes are deleted", func() bool {
			var left int
			w.machine.set(func() { left = len(w.machine.volumes) })
			return left == 2
		})
	})
}

// One engine is one node, however it is reached.
func TestOneEngineIsOneNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		engine := newMachine()
		engine.info.EngineID = "one and the same"
		w.machine.others = map[string]*machine{"tcp://10.0.0.5:2376": engine, "ssh://root@10.0.0.5": engine}
		w.restart()
		register := func(name, endpoint string) error {
			_, err := w.RegisterNode(t.Context(), orchestrator.NodeInput{Name: name, Driver: "DOCKER", Endpoint: endpoint, ServiceAddress: "10.0.0.5"})
			return err
		}
		if err := register("far", "tcp://10.0.0.5:2376"); err != nil {
			t.Fatal(err)
		}
		err := register("twice", "ssh://root@10.0.0.5")
		wantCode(t, err, orchestrator.Conflict, `this is the engine of node "far"`)
		wantCode(t, err, orchestrator.Conflict, "engine-id")
	})
}
