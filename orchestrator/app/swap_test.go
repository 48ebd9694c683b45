package app_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
)

// Two services exchange what clients find them by. The new one keeps running where it was until the old one has released its
// ports, and exchanging them again gives back what was.
func TestSwap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := cluster(t, "a")
		on := func(name string) *orchestrator.Service {
			return w.healthy(w.mustLaunch(orchestrator.LaunchInput{Name: name, NodeID: "a"}).ID)
		}
		old, next := on("shop"), on("shop-b")
		hold := make(chan struct{})
		early := 0
		w.machine.others["a"].set(func() {
			m := w.machine.others["a"]
			m.stopping = func(service string) {
				if service == old.ID {
					<-hold
				}
			}
			m.startErr = func(spec driver.Spec) error {
				if spec.Service == next.ID && m.instances[old.ID].running {
					early++
				}
				return nil
			}
		})
		plan, err := w.Swap(t.Context(), old.ID, next.ID, false)
		if err != nil || plan.Begun || plan.DataAsOf != nil || len(plan.Steps) != 2 || !strings.Contains(strings.Join(plan.Warnings, " "), "was not restored from a backup of shop") {
			t.Errorf("the plan is %+v (%v)", plan, err)
		}
		if s := w.get(old.ID); s.Name != "shop" || s.DesiredState != lifecycle.WantRunning {
			t.Errorf("the plan changed %+v", s)
		}
		got, err := w.Swap(t.Context(), old.ID, next.ID, true)
		if err != nil || !got.Begun || got.A.Name != "shop-b" || got.B.Name != "shop" || got.B.Ports["main"] != old.Ports["main"] || got.A.Ports["main"] != next.Ports["main"] {
			t.Fatalf("%+v (%v)", got, err)
		}
		synctest.Wait()
		if s := w.get(next.ID); s.Phase != lifecycle.Running || s.ObservedGeneration != 1 {
			t.Errorf("it was replaced before the ports were free: %s, generation %d", s.Phase, s.ObservedGeneration)
		}
		close(hold)
		w.waitFor(old.ID, lifecycle.Stopped, lifecycle.HealthUnknown)
		w.eventually("replaced", func() bool {
			s := w.get(next.ID)
			return s.ObservedGeneration == 2 && s.Health == lifecycle.HealthHealthy
		})
		if early > 0 {
			t.Errorf("it was started %d times while the other one had its port", early)
		}
		for _, s := range []*orchestrator.Service{w.get(old.ID), w.get(next.ID)} {
			w.owned(s)
			if !slices.Contains(w.codes(s.ID), lifecycle.CodeSwapped) {
				t.Errorf("the events of %s do not tell: %v", s.Name, w.codes(s.ID))
			}
		}
		if s := w.mustLaunch(orchestrator.LaunchInput{Name: "shop", NodeID: "a"}); s.ID != next.ID {
			t.Error("the launch as it was does not find the service that has the name")
		}
		if _, err := w.Swap(t.Context(), next.ID, old.ID, true); err != nil {
			t.Fatal(err)
		}
		w.waitFor(next.ID, lifecycle.Stopped, lifecycle.HealthUnknown)
		back := w.healthy(old.ID)
		if back.Name != "shop" || back.Ports["main"] != old.Ports["main"] || w.get(next.ID).Name != "shop-b" || w.get(next.ID).Ports["main"] != next.Ports["main"] {
			t.Errorf("exchanging them again gave %+v and %+v", back, w.get(next.ID))
		}
		w.machine.others["a"].set(func() {
			if i := w.machine.others["a"].instances[old.ID]; i.spec.Ports[0].Number != old.Ports["main"] || i.spec.Name != "shop" || i.spec.Volume != old.Volume {
				t.Errorf("what runs is %+v", i.spec)
			}
		})
	})
}

// What cannot be exchanged is refused with what would be right, and stays as it was.
func TestSwapRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := cluster(t, "a", "b")
		launch := func(name, node, template string) *orchestrator.Service {
			return w.healthy(w.mustLaunch(orchestrator.LaunchInput{Name: name, NodeID: node, Template: template}).ID)
		}
		shop, copied, far := launch("shop", "a", ""), launch("copied", "a", ""), launch("far", "b", "")
		refuse := func(a, b string, code orchestrator.Code, part string) {
			t.Helper()
			for _, confirm := range []bool{false, true} {
				_, err := w.Swap(t.Context(), a, b, confirm)
				wantCode(t, err, code, part)
			}
		}
		refuse(shop.ID, shop.ID, orchestrator.InvalidInput, "b: is the same service")
		refuse("none", shop.ID, orchestrator.NotFound, "a: ")
		refuse(shop.ID, "none", orchestrator.NotFound, "b: ")
		refuse(shop.ID, far.ID, orchestrator.Conflict, "moveService")
		w.machine.others["a"].crash(copied.ID, 1)
		w.machine.others["a"].set(func() {
			w.machine.others["a"].startErr = func(driver.Spec) error { return driver.Errorf(driver.Unreachable, "no") }
		})
		w.eventually("it does not work", func() bool { return !w.get(copied.ID).Health.Healthy() })
		refuse(shop.ID, copied.ID, orchestrator.Conflict, "HEALTHY")
		if s := w.get(shop.ID); s.Name != "shop" || s.DesiredState != lifecycle.WantRunning || s.Generation != 1 {
			t.Errorf("a refusal changed %+v", s)
		}
	})
}
