package app_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	entnode "github.com/unicorn-web-services/uws/ent/node"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/app"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

// A template that both drivers run.
const boxedTemplate = `
name: boxed
kind: QUEUE
version: 1.0.0
default: true
description: Listens, in a box or not.
ports: [{name: main, target: 7}]
credentials: []
endpoint: tcp://${host}:${port.main}
probe: {type: tcp, port: main, interval: 1s, timeout: 500ms, failureThreshold: 2, grace: 5s}
process: {engine: echo, args: ["--data=${data}"]}
docker: {image: "boxed:1", data: /var/lib/boxed, args: ["--data=${data}"], user: boxed, capabilities: [CHOWN], limits: {memoryMiB: 256, pids: 64}}
`

// cluster is a world of several nodes of 1 GiB and two processors, whose ids are their names. Nothing is looked at just
// because time passes: what is to happen must be caused by something.
func cluster(t *testing.T, names ...string) *world {
	w := &world{t: t, machine: newMachine(), dir: t.TempDir()}
	w.machine.others = map[string]*machine{}
	w.options = []func(*app.Options){func(o *app.Options) { o.Resync = time.Hour }}
	for file, text := range map[string]string{"echo.yaml": strings.Replace(echoTemplate, "default: true", "default: false", 1), "boxed.yaml": boxedTemplate} {
		if err := os.WriteFile(filepath.Join(mkdir(t, w.dir, "templates"), file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w.edit(func(ctx context.Context, tx *ent.Tx) error {
		for _, name := range names {
			m := newMachine()
			m.info.Limits = true
			w.machine.others[name] = m
			err := tx.Node.Create().SetID(name).SetName(name).SetDriver(entnode.DriverDOCKER).SetEndpoint(name).
				SetServiceAddress("127.0.0.1").SetCreatedAt(time.Now()).Exec(ctx)
			if err != nil {
				return err
			}
		}
		return nil
	})
	w.start()
	t.Cleanup(func() { w.stop() })
	return w
}

// edit changes the store while nothing uses it.
func (w *world) edit(change func(ctx context.Context, tx *ent.Tx) error) {
	w.t.Helper()
	if w.stop != nil {
		w.stop()
		defer w.start()
	}
	st, err := store.Open(w.t.Context(), store.Options{Dir: filepath.Join(w.dir, "data"), Log: testLog()})
	if err != nil {
		w.t.Fatal(err)
	}
	if err := errors.Join(st.Update(w.t.Context(), change), st.Close()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) drain(node string, draining bool) {
	w.edit(func(ctx context.Context, tx *ent.Tx) error {
		return tx.Node.UpdateOneID(node).SetDraining(draining).Exec(ctx)
	})
}

func (w *world) mustLaunch(in orchestrator.LaunchInput) *orchestrator.Service {
	w.t.Helper()
	in.Kind = catalog.Queue
	s, err := w.Launch(w.t.Context(), in)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// sized launches a service that is promised memory.
func (w *world) sized(name string, mib int) *orchestrator.Service {
	w.t.Helper()
	return w.mustLaunch(orchestrator.LaunchInput{Name: name, Limits: orchestrator.LimitsInput{MemoryMiB: &mib}})
}

// waits expects a service that waits for a node, for a reason.
func (w *world) waits(id, reason string) {
	w.t.Helper()
	var s *orchestrator.Service
	w.eventually(fmt.Sprintf("%s waits: %s", id, reason), func() bool {
		s = w.get(id)
		return s.NodeID == "" && strings.HasPrefix(s.Reason, "waiting for a node: ") && strings.Contains(s.Reason, reason)
	})
	if s.Phase != lifecycle.Pending {
		w.t.Errorf("%s is %s", s.Name, s.Phase)
	}
}

// placedBecause is the reason of the event of a service's placement.
func (w *world) placedBecause(id string) string {
	w.t.Helper()
	page, err := w.Events(w.t.Context(), orchestrator.EventFilter{ServiceID: id}, orchestrator.Page{First: 500})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range page.Items {
		if strings.HasPrefix(e.Reason, "placed on node ") {
			if *e.PreviousPhase != lifecycle.Pending || *e.Phase != lifecycle.Pending || e.NodeName == "" || e.Endpoint == "" {
				w.t.Errorf("the event: %+v", e)
			}
			return e.Reason
		}
	}
	w.t.Fatalf("no event says where %s was placed", id)
	return ""
}

func wantIn(t *testing.T, text, part string) {
	t.Helper()
	if !strings.Contains(text, part) {
		t.Errorf("%q does not contain %q", text, part)
	}
}

func TestServicesSpreadAndSayWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := cluster(t, "a", "b", "c")
		for i, node := range []string{"a", "b", "c", "a"} {
			s := w.healthy(w.launch(fmt.Sprintf("q%d", i)).ID)
			if s.NodeID != node {
				t.Errorf("%s is on node %s, want %s", s.Name, s.NodeID, node)
			}
			wantIn(t, w.placedBecause(s.ID), "placed on node "+node+": it has room (")
		}
		wantIn(t, w.placedBecause(w.healthy(w.launch("q4").ID).ID), "as few QUEUE services as any (1)") // b or c
		named := w.healthy(w.mustLaunch(orchestrator.LaunchInput{Name: "named", NodeID: "a"}).ID)
		wantIn(t, w.placedBecause(named.ID), "placed on node a: it was asked for, and has room (512 MiB of 1 GiB")
	})
}

// However many are launched at once, memory is promised once; what is freed goes to one that waits.
func TestMemoryIsPromisedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := cluster(t, "a", "b")
		ids := make([]string, 10)
		var all sync.WaitGroup
		for i := range ids {
			all.Go(func() { ids[i] = w.sized(fmt.Sprintf("q%d", i), 512).ID })
		}
		all.Wait()
		count := func() (on map[string][]string) {
			on = map[string][]string{}
			for _, id := range ids {
				if s, err := w.Service(t.Context(), id); err == nil {
					on[s.NodeID] = append(on[s.NodeID], id)
				}
			}
			return on
		}
		w.eventually("four are placed", func() bool { return len(count()[""]) == 6 })
		on := count()
		if len(on["a"]) != 2 || len(on["b"]) != 2 {
			t.Fatalf("placed %v", on)
		}
		for _, id := range on[""] {
			w.waits(id, "node a has no room: 512 MiB of memory are needed, and of its 1 GiB 0 MiB are not promised yet; node b has no room")
		}
		stopped := w.healthy(on["a"][0])
		if _, err := w.Stop(t.Context(), stopped.ID); err != nil { // it keeps what it was promised
			t.Fatal(err)
		}
		w.waitFor(stopped.ID, lifecycle.Stopped, lifecycle.HealthUnknown)
		w.waits(w.sized("small", 16).ID, "has no room")
		if _, err := w.Remove(t.Context(), stopped.ID, true); err != nil {
			t.Fatal(err)
		}
		w.gone(stopped.ID)
		w.eventually("another one has its place", func() bool { return len(count()["a"]) == 2 || w.get(idOf(w, "small")).NodeID == "a" })
		b := w.machine.others["b"]
		b.set(func() { b.info.MemoryBytes = 16 << 30 })
		w.eventually("the others fit a node that has grown", func() bool { return len(count()[""]) == 0 })
	})
}

func idOf(w *world, name string) string {
	w.t.Helper()
	page, err := w.Services(w.t.Context(), orchestrator.ServiceFilter{NameContains: name}, orchestrator.Page{First: 1})
	if err != nil || len(page.Items) != 1 {
		w.t.Fatal(page, err)
	}
	return page.Items[0].ID
}

// A service that was given no node is placed again when its node dies before anything was created there.
func TestPlacedElsewhereWhenItsNodeDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := cluster(t, "a", "b")
		a := w.machine.others["a"]
		begun := make(chan struct{}, 1)
		a.set(func() {
			a.prepare = func(ctx context.Context, _ func(driver.Progress)) error {
				begun <- struct{}{}
				<-ctx.Done() // as a connection that nobody answers
				return ctx.Err()
			}
		})
		b := w.machine.others["b"]
		b.set(func() { b.away = errors.New("no route to host") })
		w.eventually("b is lost", func() bool { n, err := w.Node(t.Context(), "b"); return err == nil && !n.Healthy })
		s := w.mustLaunch(orchestrator.LaunchInput{Name: "q"})
		asked := w.mustLaunch(orchestrator.LaunchInput{Name: "asked", NodeID: "a"})
		<-begun
		w.eventually("it is placed on a", func() bool { return w.get(s.ID).NodeID == "a" })
		a.set(func() { a.away = errors.New("no route to host") })
		w.eventually("it is on no node", func() bool { return w.get(s.ID).NodeID == "" })
		w.owned(w.get(s.ID))
		b.set(func() { b.away = nil })
		if now := w.healthy(s.ID); now.NodeID != "b" {
			t.Errorf("it is on node %s", now.NodeID)
		} else {
			w.owned(now)
		}
		if now := w.get(asked.ID); now.NodeID != "a" || now.Phase != lifecycle.Pending {
			t.Errorf("what asked for node a is %s on node %q", now.Phase, now.NodeID)
		}
	})
}

func TestPlacedWhenANodeIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := cluster(t, "a", "b")
		a := w.machine.others["a"]
		a.set(func() { a.away = errors.New("no route to host") })
		s := w.mustLaunch(orchestrator.LaunchInput{Name: "q", NodeID: "a"})
		w.eventually("the node is lost", func() bool {
			n, err := w.Node(t.Context(), "a")
			return err == nil && !n.Healthy
		})
		late := w.mustLaunch(orchestrator.LaunchInput{Name: "late", NodeID: "a"})
		w.waits(late.ID, "node a is not healthy")
		a.set(func() { a.away = nil })
		w.healthy(s.ID)
		w.healthy(late.ID)
	})
}

func TestDraining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := cluster(t, "a", "b")
		named := orchestrator.LaunchInput{Kind: catalog.Queue, Name: "old", NodeID: "a"}
		old := w.healthy(w.mustLaunch(named).ID)
		kept := w.healthy(w.mustLaunch(orchestrator.LaunchInput{Name: "kept", NodeID: "a"}).ID)
		if _, err := w.Remove(t.Context(), kept.ID, false); err != nil {
			t.Fatal(err)
		}
		w.gone(kept.ID)
		w.drain("a", true)

		wantIn(t, w.placedBecause(w.healthy(w.launch("new").ID).ID), "placed on node b: it is the only one that fits, and has room (1 GiB of 1 GiB of memory not promised before). Node a is draining")
		_, err := w.Launch(t.Context(), orchestrator.LaunchInput{Kind: catalog.Queue, Name: "q", NodeID: "a"})
		wantCode(t, err, orchestrator.Conflict, "nodeId: node a is draining")
		if again, err := w.Launch(t.Context(), named); err != nil || again.ID != old.ID {
			t.Errorf("the launch of before, again: %v, %v", again, err)
		}
		a := w.machine.others["a"]
		a.crash(old.ID, 1) // what is there is healed there
		w.eventually("healed", func() bool { s := w.get(old.ID); return s.Restarts == 1 && s.Health == lifecycle.HealthHealthy })
		if s := w.get(old.ID); s.NodeID != "a" {
			t.Errorf("it moved to %s", s.NodeID)
		}
		attached := w.healthy(w.mustLaunch(orchestrator.LaunchInput{Name: "kept", NodeID: "a", Reattach: kept.Volume}).ID)
		wantIn(t, w.placedBecause(attached.ID), "placed on node a: its data is there and cannot move, so that it goes there though the node is draining")

		b := w.machine.others["b"]
		b.set(func() { b.info.MemoryBytes = 1 << 20 })
		w.eventually("uws knows", func() bool { n, err := w.Node(t.Context(), "b"); return err == nil && n.Info.MemoryBytes == 1<<20 })
		waiting := w.launch("waiting")
		w.waits(waiting.ID, "node a is draining: it takes no new services; node b has no room")
		w.drain("a", false)
		w.healthy(waiting.ID)
	})
}

func TestLabels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := cluster(t, "a", "b")
		in := orchestrator.LaunchInput{Kind: catalog.Queue, Name: "q", NodeLabels: []orchestrator.Label{{Name: "zone", Value: "1"}, {Name: "disk", Value: "ssd"}}}
		s := w.mustLaunch(in)
		w.waits(s.ID, "node a does not have label disk=ssd; node b does not have label disk=ssd")
		in.NodeLabels[0], in.NodeLabels[1] = in.NodeLabels[1], in.NodeLabels[0]
		if again, err := w.Launch(t.Context(), in); err != nil || again.ID != s.ID || !reflect.DeepEqual(again.NodeLabels, map[string]string{"zone": "1", "disk": "ssd"}) {
			t.Errorf("the same in another order: %+v, %v", again, err)
		}
		w.edit(func(ctx context.Context, tx *ent.Tx) error {
			return tx.Node.UpdateOneID("b").SetLabels(map[string]string{"zone": "1", "disk": "ssd", "more": "x"}).Exec(ctx)
		})
		if s = w.healthy(s.ID); s.NodeID != "b" {
			t.Errorf("it is on node %s", s.NodeID)
		}
		_, err := w.Launch(t.Context(), orchestrator.LaunchInput{Kind: catalog.Queue, Name: "q"})
		wantCode(t, err, orchestrator.Conflict, `"q" is taken`)

		label := func(name, value string) orchestrator.Label {
			return orchestrator.Label{Name: name, Value: value}
		}
		for part, labels := range map[string][]orchestrator.Label{
			"nodeLabels[1].name: is given twice": {label("a", "1"), label("a", "2")},
			"nodeLabels[0].name: has 0 bytes":    {label("", "1")},
			"nodeLabels[0].value: has 200 bytes": {label("a", strings.Repeat("x", 200))},
			"cannot be shown":                    {label("a", "x\x00")},
			"has 33 labels; at most 32":          make([]orchestrator.Label, 33),
		} {
			_, err := w.Launch(t.Context(), orchestrator.LaunchInput{Kind: catalog.Queue, Name: "bad", NodeLabels: labels})
			wantCode(t, err, orchestrator.InvalidInput, part)
		}
	})
}

func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := cluster(t, "a")
		s := w.healthy(w.mustLaunch(orchestrator.LaunchInput{Name: "q", Limits: orchestrator.LimitsInput{MemoryMiB: new(128), CPUs: new(1.5)}}).ID)
		want := catalog.Limits{MemoryMiB: 128, CPUs: 1.5, PIDs: 64, Asked: true}
		if got := w.get(s.ID).Definition.Docker.Limits; got != want || w.Limits(s) != want {
			t.Errorf("limits %+v and %+v, want %+v", got, w.Limits(s), want)
		}
		a := w.machine.others["a"]
		a.set(func() {
			spec := a.instances[s.ID].spec
			if got, want := spec.Limits, (driver.Limits{MemoryBytes: 128 << 20, CPUs: 1.5, PIDs: 64}); got != want {
				t.Errorf("the spec's limits are %+v, want %+v", got, want)
			}
			if spec.Image != "boxed:1" || spec.Mount != "/var/lib/boxed" || spec.User != "boxed" || !reflect.DeepEqual(spec.Capabilities, []string{"CHOWN"}) ||
				!reflect.DeepEqual(spec.Args, []string{"--data=/var/lib/boxed"}) {
				t.Errorf("image %q, mount %q, user %q, capabilities %v, args %v", spec.Image, spec.Mount, spec.User, spec.Capabilities, spec.Args)
			}
		})
		w.waits(w.mustLaunch(orchestrator.LaunchInput{Name: "wide", Limits: orchestrator.LimitsInput{CPUs: new(3.0)}}).ID, "node a has 2 processors, and the limit is 3")

		limits := func(memory *int, cpus *float64, pids *int) orchestrator.LimitsInput {
			return orchestrator.LimitsInput{MemoryMiB: memory, CPUs: cpus, PIDs: pids}
		}
		zero := 0.0
		for part, in := range map[string]orchestrator.LimitsInput{
			"limits.memoryMiB: is 15; must be 16 to 1048576 MiB":            limits(new(15), nil, nil),
			"limits.memoryMiB: is 2000000;":                                 limits(new(2000000), nil, nil),
			"limits.cpus: is 0; must be 0.05 to 1024 processors":            limits(nil, new(0.0), nil),
			"limits.cpus: is NaN;":                                          limits(nil, new(zero/zero), nil),
			"limits.pids: is 7; must be 8 to 1000000 processes and threads": limits(nil, nil, new(7)),
			"limits.pids: is -1;":                                           limits(nil, nil, new(-1)),
		} {
			_, err := w.Launch(t.Context(), orchestrator.LaunchInput{Kind: catalog.Queue, Name: "bad", Limits: in})
			wantCode(t, err, orchestrator.InvalidInput, part)
		}
		_, err := w.Launch(t.Context(), orchestrator.LaunchInput{Kind: catalog.Queue, Template: "echo", Name: "bad", Limits: limits(new(64), nil, nil)})
		wantCode(t, err, orchestrator.InvalidInput, "limits: template echo runs only as a process")
		_, err = w.Launch(t.Context(), orchestrator.LaunchInput{Kind: catalog.Queue, Name: "q", Limits: limits(new(129), new(1.5), nil)})
		wantCode(t, err, orchestrator.Conflict, `"q" is taken`)
	})
}

// A node whose driver enforces no limits takes any number of services, but none whose limits were asked for.
func TestNodeWithoutLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		if err := os.WriteFile(filepath.Join(w.dir, "templates", "echo.yaml"), []byte(boxedTemplate), 0o600); err != nil {
			t.Fatal(err)
		}
		w.restart()
		for i := range 6 {
			s := w.healthy(w.launch(fmt.Sprintf("q%d", i)).ID)
			if l := w.Limits(s); l != (catalog.Limits{}) {
				t.Errorf("held to %+v", l)
			}
			wantIn(t, w.placedBecause(s.ID), "placed on node local: it is the only node")
		}
		asked := w.sized("asked", 64)
		if l := w.Limits(asked); l.MemoryMiB != 64 {
			t.Errorf("before it is placed it is to be held to %+v", l)
		}
		w.waits(asked.ID, "node local does not hold services to limits, which were asked for")
	})
}

func TestRemoveNodeThatIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := cluster(t, "a", "b")
		kept := w.healthy(w.mustLaunch(orchestrator.LaunchInput{Name: "kept", NodeID: "a"}).ID)
		if _, err := w.Remove(t.Context(), kept.ID, false); err != nil {
			t.Fatal(err)
		}
		w.gone(kept.ID)
		a := w.machine.others["a"]
		a.set(func() { a.away = errors.New("no route to host") })
		w.eventually("the node is lost", func() bool { n, err := w.Node(t.Context(), "a"); return err == nil && !n.Healthy })
		wantCode(t, w.RemoveNode(t.Context(), "a", false), orchestrator.Conflict, "0 services and the kept data of 1")

		// Data that is about to be attached again is still there.
		attached := w.mustLaunch(orchestrator.LaunchInput{Name: "kept", Reattach: kept.Volume})
		w.waits(attached.ID, "its data cannot move, and node a is not healthy")
		wantCode(t, w.RemoveNode(t.Context(), "a", false), orchestrator.Conflict, "1 services and the kept data of 0")
		if _, err := w.Remove(t.Context(), attached.ID, false); err != nil {
			t.Fatal(err)
		}
		w.gone(attached.ID)
		all, err := w.Retained(t.Context())
		if err != nil || len(all) != 1 || all[0].ID != kept.Volume || all[0].NodeID != "a" || all[0].Deleting {
			t.Fatalf("retained %v, %v", all, err)
		}

		attached = w.mustLaunch(orchestrator.LaunchInput{Name: "kept", Reattach: kept.Volume})
		waiting := w.mustLaunch(orchestrator.LaunchInput{Name: "waiting", NodeID: "a"})
		w.waits(waiting.ID, "node a is not healthy")
		if err := w.RemoveNode(t.Context(), "a", true); err != nil {
			t.Fatal(err)
		}
		w.gone(attached.ID)
		w.waits(waiting.ID, "the one that was asked for is not registered any more")
	})
}

// Data that was to be attached again when its service was removed, data and all, is deleted once its node is back.
func TestRemoveWithDataBeforeItIsPlaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.healthy(w.launch("q").ID)
		if _, err := w.Remove(t.Context(), s.ID, false); err != nil {
			t.Fatal(err)
		}
		w.gone(s.ID)
		w.machine.set(func() { w.machine.away = errors.New("no route to host") })
		w.eventually("the node is lost", func() bool { n, err := w.Nodes(t.Context()); return err == nil && !n[0].Healthy })
		again := w.mustLaunch(orchestrator.LaunchInput{Name: "q", Reattach: s.Volume})
		w.waits(again.ID, "its data cannot move")
		if _, err := w.Remove(t.Context(), again.ID, true); err != nil {
			t.Fatal(err)
		}
		w.gone(again.ID)
		w.machine.set(func() { w.machine.away = nil })
		w.eventually("deleted", func() bool { all, err := w.Retained(t.Context()); return err == nil && len(all) == 0 })
		w.machine.set(func() {
			if w.machine.volumes[s.Volume] {
				t.Error("the data is still there")
			}
		})
	})
}
