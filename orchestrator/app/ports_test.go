package app_test

import (
	"context"
	"strconv"
	"testing"
	"testing/synctest"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/probe"
)

func ask(name string, ports ...orchestrator.PortInput) orchestrator.LaunchInput {
	return orchestrator.LaunchInput{Kind: catalog.Queue, Name: name, Ports: ports}
}

func TestLaunchWithPorts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		main := func(n int) orchestrator.PortInput { return orchestrator.PortInput{Name: "main", Number: n} }
		refuse := func(in orchestrator.LaunchInput, code orchestrator.Code, part string) {
			t.Helper()
			_, err := w.Launch(t.Context(), in)
			wantCode(t, err, code, part)
		}
		refuse(ask("q", main(80)), orchestrator.InvalidInput, "ports[0].number: is 80; must be 20000 to 29999")
		refuse(ask("q", main(30000)), orchestrator.InvalidInput, "ports[0].number")
		refuse(ask("q", main(20001), main(20002)), orchestrator.InvalidInput, "ports[1].name")
		refuse(ask("q", orchestrator.PortInput{Name: "admin", Number: 20001}), orchestrator.InvalidInput, `template echo has no port "admin" for clients; its ports are: main`)
		free := w.healthy(w.launch("scout").ID)
		if _, err := w.Remove(t.Context(), free.ID, true); err != nil {
			t.Fatal(err)
		}
		w.gone(free.ID)
		port := free.Ports["main"]
		s := w.healthy(w.mustLaunch(ask("q", main(port))).ID)
		if s.Ports["main"] != port {
			t.Errorf("ports %v", s.Ports)
		}
		if same := w.mustLaunch(ask("q", main(port))); same.ID != s.ID {
			t.Error("the same launch made another service")
		}
		refuse(ask("q", main(port+1)), orchestrator.Conflict, "ports: ")
		refuse(ask("other", main(port)), orchestrator.Conflict, "ports[0].number: "+strconv.Itoa(port)+` is used by service "q" on node local`)
	})
}

// Data that is attached again is reached where it was, and a launch as it was before finds it.
func TestReattachKeepsPorts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		remove := func(s *orchestrator.Service) {
			t.Helper()
			if _, err := w.Remove(t.Context(), s.ID, false); err != nil {
				t.Fatal(err)
			}
			w.gone(s.ID)
		}
		s := w.healthy(w.launch("q").ID)
		remove(s)
		again := w.healthy(w.mustLaunch(orchestrator.LaunchInput{Name: "q", Reattach: s.Volume}).ID)
		if again.Ports["main"] != s.Ports["main"] {
			t.Errorf("ports %v, were %v", again.Ports, s.Ports)
		}
		if same := w.launch("q"); same.ID != again.ID {
			t.Error("the launch as it was made another service")
		}
		three := 3
		_, err := w.Launch(t.Context(), orchestrator.LaunchInput{Kind: catalog.Queue, Name: "q", Check: orchestrator.CheckInput{FailureThreshold: &three}})
		wantCode(t, err, orchestrator.Conflict, "healthCheck.failureThreshold: ")

		remove(again)
		taker := w.healthy(w.mustLaunch(ask("taker", orchestrator.PortInput{Name: "main", Number: s.Ports["main"]})).ID)
		other := w.healthy(w.mustLaunch(orchestrator.LaunchInput{Name: "q", Reattach: s.Volume}).ID)
		if taker.Ports["main"] != s.Ports["main"] || other.Ports["main"] == s.Ports["main"] {
			t.Errorf("ports %v and %v", taker.Ports, other.Ports)
		}
	})
}

// A service is probed at the port that its instance really has, whatever is recorded, and at the recorded one where the driver
// reports none.
func TestProbedWhereItListens(t *testing.T) {
	check := func(t *testing.T, w *world, id, where string) {
		t.Helper()
		if _, result, err := w.Check(t.Context(), id); err != nil || result.Verdict != probe.OK {
			t.Errorf("%s: the check says %+v, %v", where, result, err)
		}
		if s := w.get(id); s.Health != lifecycle.HealthHealthy || s.Restarts != 0 {
			t.Errorf("%s: it is %s after %d restarts: %s", where, s.Health, s.Restarts, s.Reason)
		}
	}
	t.Run("allocated by the driver", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.machine.set(func() { w.machine.reports, w.machine.shift = true, 1000 })
			s := w.healthy(w.launch("q").ID)

			w.stop()
			inspect := make(chan struct{})
			w.machine.set(func() { w.machine.inspected = func() { <-inspect } })
			w.start()
			checked := make(chan struct{})
			go func() {
				defer close(checked)
				check(t, w, s.ID, "when uws has just been started")
			}()
			synctest.Wait()
			close(inspect)
			<-checked

			w.machine.set(func() { w.machine.reports, w.machine.shift = false, 0 })
			w.machine.crash(s.ID, 1)
			w.eventually("restarted", func() bool { s = w.get(s.ID); return s.Restarts == 1 && s.Health == lifecycle.HealthHealthy })
		})
	})
	t.Run("changed in the spec", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.machine.set(func() { w.machine.reports = true })
			s := w.healthy(w.launch("q").ID)
			other := s.Ports["main"] + 1
			w.edit(func(ctx context.Context, tx *ent.Tx) error {
				return tx.Service.UpdateOneID(s.ID).SetPorts(map[string]int{"main": other}).Exec(ctx)
			})
			check(t, w, s.ID, "before it is replaced")
			w.raise(s.ID)
			w.eventually("replaced", func() bool { s = w.get(s.ID); return s.ObservedGeneration == 2 && s.Health == lifecycle.HealthHealthy })
			check(t, w, s.ID, "replaced")
			w.machine.set(func() {
				if got := w.machine.instances[s.ID].port; got != other {
					t.Errorf("the new instance listens on port %d, want %d", got, other)
				}
			})
		})
	})
}

// A service whose port was taken before it was placed has a reason that does not name the holder: its readers may
// be limited to its kind.
func TestPortTakenWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		nodes, err := w.Nodes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		drain := func(draining bool) {
			t.Helper()
			if _, err := w.UpdateNode(t.Context(), nodes[0].ID, orchestrator.NodeUpdate{Draining: &draining}); err != nil {
				t.Fatal(err)
			}
		}
		drain(true)
		ids := []string{w.mustLaunch(ask("hidden-one", orchestrator.PortInput{Name: "main", Number: 23456})).ID,
			w.mustLaunch(ask("hidden-two", orchestrator.PortInput{Name: "main", Number: 23457})).ID}
		_, err = w.Launch(t.Context(), ask("hidden-three", orchestrator.PortInput{Name: "main", Number: 23456}))
		wantCode(t, err, orchestrator.Conflict, "ports[0].number: 23456 is used")
		synctest.Wait()
		err = w.st.Update(t.Context(), func(ctx context.Context, tx *ent.Tx) error { // an earlier uws took it
			return tx.Service.UpdateOneID(ids[1]).SetRequestedPorts(map[string]int{"main": 23456}).Exec(ctx)
		})
		if err != nil {
			t.Fatal(err)
		}
		w.restart()
		drain(false)
		synctest.Wait()
		waiting := 0
		for _, id := range ids {
			s := w.get(id)
			if s.NodeID != "" {
				continue
			}
			waiting++
			if want := "waiting for a node: on node local: port 23456 is not free"; s.Reason != want {
				t.Errorf("the reason is %q, want %q", s.Reason, want)
			}
		}
		if waiting != 1 {
			t.Errorf("%d of the two wait", waiting)
		}
	})
}
