package app_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/app"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/fleet"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/probe"
	"github.com/unicorn-web-services/uws/orchestrator/store"
	"github.com/unicorn-web-services/uws/test/uwstest"
)

// A template whose engine only listens: what is tested here is the control plane.
const echoTemplate = `
name: echo
kind: QUEUE
version: 1.0.0
default: true
description: Listens.
ports: [{name: main}]
credentials: [{name: password, length: 32}]
endpoint: tcp://${host}:${port.main}
probe: {type: tcp, port: main, interval: 1s, timeout: 500ms, failureThreshold: 2, grace: 5s}
process: {engine: echo, args: ["${address}:${port.main}"], env: {PASSWORD: "${credential.password}"}}
`

// world is one orchestrator on one machine; it can be restarted.
type world struct {
	*app.App
	t       *testing.T
	machine *machine
	dir     string
	reg     *prometheus.Registry
	stop    func()
	options []func(*app.Options)
	st      *store.Store
}

func newWorld(t *testing.T, options ...func(*app.Options)) *world {
	w := &world{t: t, machine: newMachine(), dir: t.TempDir(), options: options}
	if err := os.WriteFile(filepath.Join(mkdir(t, w.dir, "templates"), "echo.yaml"), []byte(echoTemplate), 0o600); err != nil {
		t.Fatal(err)
	}
	w.start()
	t.Cleanup(func() { w.stop() })
	return w
}

func mkdir(t *testing.T, parts ...string) string {
	t.Helper()
	dir := filepath.Join(parts...)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func testLog() *slog.Logger {
	var out io.Writer = io.Discard
	if testing.Verbose() {
		out = os.Stderr
	}
	return slog.New(slog.NewTextHandler(out, nil))
}

func (w *world) start() {
	w.t.Helper()
	w.run()
	w.eventually("ready", func() bool { return w.Ready(w.t.Context()) == nil })
}

// run starts without waiting until it is ready, which a read-only one never is.
func (w *world) run() {
	w.t.Helper()
	st, err := store.Open(w.t.Context(), store.Options{Dir: filepath.Join(w.dir, "data"), Log: testLog()})
	if err != nil {
		w.t.Fatal(err)
	}
	templates, err := catalog.Load(filepath.Join(w.dir, "templates"), catalog.Probes{Check: probe.Check, Writes: probe.Writes})
	if err != nil {
		w.t.Fatal(err)
	}
	o, reg := newApp(w.t, st, templates, w.machine, w.options...)
	w.reg, w.st = reg, st
	w.App = o
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- o.Run(ctx) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := errors.Join(<-ended, st.Close()); err != nil {
			w.t.Errorf("stopping: %v", err)
		}
	})
}

// newApp makes a control plane that checks its one node often.
func newApp(t testing.TB, st *store.Store, templates *catalog.Catalog, m *machine, change ...func(*app.Options)) (*app.App, *prometheus.Registry) {
	t.Helper()
	reg := prometheus.NewRegistry()
	opts := app.Options{
		Store: st, Catalog: templates, Log: testLog(), Registerer: reg,
		Probe: func(string) (probe.Func, bool) { return m.ask, true },
		Local: fleet.LocalNode{Driver: "PROCESS", Endpoint: "fake"},
		Drivers: fleet.Drivers{
			"PROCESS": {Capabilities: fleet.Capabilities{Endpoint: "fake"}, Open: func(n orchestrator.Node, _ orchestrator.Access) (driver.Driver, error) {
				return &fakeDriver{m: m.at(n.Endpoint)}, nil
			}},
			"DOCKER": {Capabilities: fleet.Capabilities{Keys: true}, Open: func(n orchestrator.Node, _ orchestrator.Access) (driver.Driver, error) {
				return &fakeDriver{m: m.at(n.Endpoint), mapped: true}, nil
			}},
		},
		NodeInterval: 50 * time.Millisecond, Resync: 500 * time.Millisecond,
	}
	for _, f := range change {
		f(&opts)
	}
	o, err := app.New(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	return o, reg
}

func (w *world) restart() {
	w.stop()
	w.start()
}

// eventually waits for a condition, for as long as a loaded machine may need.
func (w *world) eventually(what string, ok func() bool) {
	w.t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			w.t.Fatalf("not within 30 s: %s", what)
		case <-tick.C:
		}
	}
}

func (w *world) launch(name string) *orchestrator.Service {
	w.t.Helper()
	s, err := w.Launch(w.t.Context(), orchestrator.LaunchInput{Kind: catalog.Queue, Name: name})
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

func (w *world) get(id string) *orchestrator.Service {
	w.t.Helper()
	s, err := w.Service(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// row returns a service as it is stored.
func (w *world) row(id string) *ent.Service {
	w.t.Helper()
	row, err := w.st.Read.Service.Get(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return row
}

func (w *world) waitFor(id string, phase lifecycle.Phase, health lifecycle.Health) *orchestrator.Service {
	w.t.Helper()
	s := w.get(id)
	defer func() {
		if s.Phase != phase || s.Health != health {
			w.t.Logf("%s is %s/%s: %s", s.Name, s.Phase, s.Health, s.Reason)
		}
	}()
	w.eventually(fmt.Sprintf("%s is %s/%s", id, phase, health), func() bool {
		s = w.get(id)
		return s.Phase == phase && s.Health == health
	})
	return s
}

func (w *world) healthy(id string) *orchestrator.Service {
	w.t.Helper()
	return w.waitFor(id, lifecycle.Running, lifecycle.HealthHealthy)
}

func (w *world) gone(id string) {
	w.t.Helper()
	w.eventually(id+" is gone", func() bool {
		_, err := w.Service(w.t.Context(), id)
		return orchestrator.CodeOf(err) == orchestrator.NotFound
	})
}

// story is a service's events in words, oldest first.
func (w *world) story(id string) []string {
	w.t.Helper()
	page, err := w.Events(w.t.Context(), orchestrator.EventFilter{ServiceID: id}, orchestrator.Page{First: 500})
	if err != nil {
		w.t.Fatal(err)
	}
	var all []string
	for _, e := range page.Items {
		if e.ReasonCode == nil || !slices.Contains(lifecycle.ReasonCodes(), *e.ReasonCode) {
			w.t.Errorf("event %q has the reason code %v", e.Reason, e.ReasonCode)
		}
		phase := "gone"
		if e.Phase != nil {
			phase = string(*e.Phase)
		}
		all = append([]string{phase + "/" + string(*e.Health)}, all...)
	}
	return all
}

// codes are the reason codes of a service's events, oldest first.
func (w *world) codes(id string) []lifecycle.ReasonCode {
	w.t.Helper()
	page, err := w.Events(w.t.Context(), orchestrator.EventFilter{ServiceID: id}, orchestrator.Page{First: 500})
	if err != nil {
		w.t.Fatal(err)
	}
	var all []lifecycle.ReasonCode
	for _, e := range slices.Backward(page.Items) {
		all = append(all, *e.ReasonCode)
	}
	return all
}

func wantCode(t *testing.T, err error, code orchestrator.Code, part string) {
	t.Helper()
	if orchestrator.CodeOf(err) != code || err == nil || !strings.Contains(err.Error(), part) {
		t.Errorf("got %v, want %s with %q", err, code, part)
	}
}

func TestLaunchHealRemove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.launch("q1")
		if s.Phase != lifecycle.Pending {
			t.Errorf("launch answers with %s, want PENDING", s.Phase)
		}
		s = w.healthy(s.ID)
		port := s.Ports["main"]
		if port < 20000 || port > 29999 {
			t.Errorf("port %d", port)
		}

		w.machine.crash(s.ID, 3)
		w.eventually("healed", func() bool { s = w.get(s.ID); return s.Restarts == 1 && s.Health == lifecycle.HealthHealthy })
		if s.Ports["main"] != port {
			t.Errorf("port changed from %d to %d", port, s.Ports["main"])
		}
		want := []string{"PENDING/UNKNOWN", "PENDING/UNKNOWN", "STARTING/STARTING", "RUNNING/HEALTHY", "RESTARTING/UNHEALTHY", "STARTING/STARTING", "RUNNING/HEALTHY"}
		if got := w.story(s.ID); strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("story\n%v, want\n%v", got, want)
		}

		codes := []lifecycle.ReasonCode{lifecycle.CodeLaunchRequested, lifecycle.CodePlaced, lifecycle.CodePrepared, lifecycle.CodeHealthy,
			lifecycle.CodeExited, lifecycle.CodeExited, lifecycle.CodeHealthy, lifecycle.CodeRemoveRequested, lifecycle.CodeRemoved}
		if *s.ReasonCode != lifecycle.CodeHealthy {
			t.Errorf("healthy with the reason code %s", *s.ReasonCode)
		}
		if _, err := w.Remove(t.Context(), s.ID, false); err != nil {
			t.Fatal(err)
		}
		w.gone(s.ID)
		if got := w.codes(s.ID); !slices.Equal(got, codes) {
			t.Errorf("codes\n%v, want\n%v", got, codes)
		}
		w.machine.set(func() {
			if !w.machine.volumes[s.Volume] {
				t.Error("the data is gone")
			}
		})
		for range 2 { // removing again is a no-op
			if again, err := w.Remove(t.Context(), s.ID, false); again != nil || err != nil {
				t.Errorf("removing twice: %v, %v", again, err)
			}
		}
		_, err := w.Remove(t.Context(), "nobody", false)
		wantCode(t, err, orchestrator.NotFound, "nobody")
	})
}

// The events of one trouble point at the one it began with.
func TestTroubleHasOneCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.healthy(w.launch("q1").ID)
		w.machine.crash(s.ID, 3)
		w.eventually("healed", func() bool { s = w.get(s.ID); return s.Restarts == 1 && s.Health == lifecycle.HealthHealthy })
		page, err := w.Events(t.Context(), orchestrator.EventFilter{ServiceID: s.ID}, orchestrator.Page{First: 10})
		if err != nil {
			t.Fatal(err)
		}
		healed, starting, failed := page.Items[0], page.Items[1], page.Items[2]
		if failed.CauseID != nil || starting.CauseID == nil || *starting.CauseID != failed.ID || healed.CauseID == nil || *healed.CauseID != failed.ID {
			t.Errorf("causes: failed %v, starting %v, healed %v; want nil, %d, %d", failed.CauseID, starting.CauseID, healed.CauseID, failed.ID, failed.ID)
		}
		if failed.ExitCode == nil || *failed.ExitCode != 3 || failed.Attempt != 1 || failed.NextAttemptAt == nil {
			t.Errorf("the failure's row: %+v", failed)
		}
	})
}

func TestHangIsHealed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.healthy(w.launch("q1").ID)
		w.machine.hang(s.ID)
		w.eventually("healed", func() bool { s = w.get(s.ID); return s.Restarts == 1 && s.Health == lifecycle.HealthHealthy })
		want := "RUNNING/SUSPECT RESTARTING/UNHEALTHY STARTING/STARTING RUNNING/HEALTHY"
		if got := strings.Join(w.story(s.ID), " "); !strings.HasSuffix(got, want) {
			t.Errorf("story %s, want it to end with %s", got, want)
		}
	})
}

func TestStopStartRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.healthy(w.launch("q1").ID)
		if _, err := w.Stop(t.Context(), s.ID); err != nil {
			t.Fatal(err)
		}
		w.waitFor(s.ID, lifecycle.Stopped, lifecycle.HealthUnknown)
		if _, _, err := w.Check(t.Context(), s.ID); orchestrator.CodeOf(err) != orchestrator.Conflict {
			t.Errorf("checking a stopped service: %v", err)
		}
		w.restart()
		if s := w.get(s.ID); s.Phase != lifecycle.Stopped {
			t.Errorf("after a restart of uws it is %s", s.Phase)
		}
		if _, err := w.Start(t.Context(), s.ID); err != nil {
			t.Fatal(err)
		}
		w.healthy(s.ID)
		var before int
		w.machine.set(func() { before = w.machine.starts[s.ID] })
		if _, err := w.Start(t.Context(), s.ID); err != nil { // runs already: left alone
			t.Fatal(err)
		}
		if _, err := w.Restart(t.Context(), s.ID); err != nil {
			t.Fatal(err)
		}
		w.eventually("restarted", func() bool {
			row := w.row(s.ID)
			return row.HandledGeneration == row.RestartGeneration && row.Health == lifecycle.HealthHealthy
		})
		w.machine.set(func() {
			if got := w.machine.starts[s.ID] - before; got != 1 {
				t.Errorf("started %d times, want 1", got)
			}
		})
		if s.Restarts != 0 {
			t.Errorf("%d automatic restarts, want 0", s.Restarts)
		}
	})
}

func TestLaunchInput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for _, name := range []string{"", "-", "Q", "9q", "a_b", "a.b", "q-", strings.Repeat("a", 300), "a\x00b", "ä"} {
			_, err := w.Launch(t.Context(), orchestrator.LaunchInput{Kind: catalog.Queue, Name: name})
			wantCode(t, err, orchestrator.InvalidInput, "name")
		}
		_, err := w.Launch(t.Context(), orchestrator.LaunchInput{Kind: catalog.Queue, Name: "q", Template: "nope"})
		wantCode(t, err, orchestrator.InvalidInput, `those of kind QUEUE are: echo`)
		_, err = w.Launch(t.Context(), orchestrator.LaunchInput{Kind: catalog.Bucket, Name: "q", Template: "echo"})
		wantCode(t, err, orchestrator.InvalidInput, `"echo" makes a QUEUE`)
		_, err = w.Launch(t.Context(), orchestrator.LaunchInput{Kind: "CACHE", Name: "q"})
		wantCode(t, err, orchestrator.InvalidInput, "no template makes a CACHE")
		_, err = w.Launch(t.Context(), orchestrator.LaunchInput{Kind: catalog.Queue, Name: "q", NodeID: "x"})
		wantCode(t, err, orchestrator.NotFound, "nodeId")
		_, err = w.Launch(t.Context(), orchestrator.LaunchInput{Kind: catalog.Queue, Name: "q", Reattach: "x"})
		wantCode(t, err, orchestrator.NotFound, "reattach")
		short := time.Millisecond
		_, err = w.Launch(t.Context(), orchestrator.LaunchInput{Kind: catalog.Queue, Name: "q", Check: orchestrator.CheckInput{Interval: &short}})
		wantCode(t, err, orchestrator.InvalidInput, "healthCheck.interval")

		first := w.launch("q")
		if second := w.launch("q"); second.ID != first.ID {
			t.Error("the same input made another service")
		}
		three := 3
		_, err = w.Launch(t.Context(), orchestrator.LaunchInput{Kind: catalog.Queue, Name: "q", Check: orchestrator.CheckInput{FailureThreshold: &three}})
		wantCode(t, err, orchestrator.Conflict, `"q" is taken`)
	})
}

func TestRetainedData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *app.Options) { o.Resync = time.Hour })
		s := w.healthy(w.launch("q").ID)
		before, err := w.Reveal(t.Context(), s.ID)
		if err != nil || len(before) != 1 || len(before[0].Value) != 32 {
			t.Fatalf("credentials %v, %v", before, err)
		}
		if _, err := w.Remove(t.Context(), s.ID, false); err != nil {
			t.Fatal(err)
		}
		_, err = w.Start(t.Context(), s.ID)
		if code := orchestrator.CodeOf(err); code != orchestrator.Conflict && code != orchestrator.NotFound {
			t.Errorf("start while it is removed: %v", err)
		}
		w.gone(s.ID)
		kept, err := w.Retained(t.Context())
		if err != nil || len(kept) != 1 || kept[0].ID != s.Volume || kept[0].Name != "q" {
			t.Fatalf("retained %v, %v", kept, err)
		}
		_, err = w.Launch(t.Context(), orchestrator.LaunchInput{Kind: catalog.Queue, Name: "q"})
		wantCode(t, err, orchestrator.Conflict, "deleteRetainedData")

		in := orchestrator.LaunchInput{Kind: catalog.Queue, Name: "q", Reattach: s.Volume}
		again, err := w.Launch(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		w.healthy(again.ID)
		after, err := w.Reveal(t.Context(), again.ID)
		if err != nil || after[0] != before[0] || again.Volume != s.Volume {
			t.Errorf("reattached with %v (%v) and volume %s", after, err, again.Volume)
		}
		if same, err := w.Launch(t.Context(), in); err != nil || same.ID != again.ID {
			t.Errorf("the same launch again: %v, %v", same, err)
		}

		if _, err := w.Remove(t.Context(), again.ID, false); err != nil {
			t.Fatal(err)
		}
		w.gone(again.ID)
		w.deleteRetained(s.Volume)
		w.eventually("deleted", func() bool { return len(w.retained()) == 0 })
		w.machine.set(func() {
			if w.machine.volumes[s.Volume] {
				t.Error("the data is still there")
			}
		})
		_, err = w.DeleteRetained(t.Context(), s.Volume)
		wantCode(t, err, orchestrator.NotFound, "retained")
		page, err := w.Events(t.Context(), orchestrator.EventFilter{ServiceID: again.ID}, orchestrator.Page{First: 1})
		if err != nil || *page.Items[0].ReasonCode != lifecycle.CodeDataDeleted || page.Items[0].Reason != "the retained data was deleted" {
			t.Errorf("the last event: %+v, %v", page.Items, err)
		}
		w.healthy(w.launch("q").ID)
	})
}

func (w *world) retained() []*orchestrator.Retained {
	w.t.Helper()
	all, err := w.Retained(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

func (w *world) deleteRetained(id string) {
	w.t.Helper()
	if k, err := w.DeleteRetained(w.t.Context(), id); err != nil || k.ID != id || !k.Deleting {
		w.t.Fatalf("deletion requested: %v, %v", k, err)
	}
}

// hindered waits until the only retained data is to be deleted and says what is in the way.
func (w *world) hindered(text string) {
	w.t.Helper()
	w.eventually("the deletion is held up", func() bool {
		all := w.retained()
		return len(all) == 1 && all[0].Deleting && all[0].Obstacle != nil && strings.Contains(*all[0].Obstacle, text)
	})
}

func TestDataMissingIsNeverMadeAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.healthy(w.launch("q").ID)
		w.eventually("its volume is marked", func() bool { return w.row(s.ID).DataMarked })
		w.machine.set(func() {
			delete(w.machine.volumes, s.Volume)
			delete(w.machine.marks, s.Volume)
		})
		w.machine.crash(s.ID, 1)
		s = w.waitFor(s.ID, lifecycle.Failed, lifecycle.HealthUnhealthy)
		if !strings.Contains(s.Reason, "data missing") {
			t.Errorf("reason %q", s.Reason)
		}
		w.machine.set(func() {
			if w.machine.volumes[s.Volume] {
				t.Error("the volume was created again")
			}
			w.machine.volumes[s.Volume] = true // somebody creates an empty one
		})
		failed, err := w.Start(t.Context(), s.ID)
		if err != nil || failed.Phase != lifecycle.Failed {
			t.Fatalf("start: %v, %v", failed, err)
		}
		for _, part := range []string{"data missing", "Bring the volume back", "remove the service"} {
			wantIn(t, failed.Reason, part)
		}
		w.machine.set(func() { w.machine.marks[s.Volume] = s.Volume + "\n" }) // and restores what was in it
		w.healthy(s.ID)                                                       // nobody asks for it
		if got := w.codes(s.ID); !slices.Contains(got, lifecycle.CodeDataBack) {
			t.Errorf("codes %v", got)
		}
	})
}

// When a node is back with the data, what runs on it is taken up as it is; startService does not restart it.
func TestWhatRunsOnDataThatIsBackIsAdopted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *app.Options) { o.Resync = time.Hour })
		s := w.healthy(w.launch("q").ID)
		w.eventually("its volume is marked", func() bool { return w.row(s.ID).DataMarked })
		var real *instance
		w.machine.set(func() { // an engine with an empty data root
			real = w.machine.instances[s.ID]
			delete(w.machine.instances, s.ID)
			delete(w.machine.volumes, s.Volume)
			w.machine.hint(s.ID)
		})
		w.waitFor(s.ID, lifecycle.Failed, lifecycle.HealthUnhealthy)
		starts := 0
		w.machine.set(func() {
			starts = w.machine.starts[s.ID]
			w.machine.instances[s.ID], w.machine.volumes[s.Volume] = real, true
		})
		if _, err := w.Start(t.Context(), s.ID); err != nil {
			t.Fatal(err)
		}
		w.healthy(s.ID)
		w.machine.set(func() {
			if now := w.machine.starts[s.ID]; now != starts {
				t.Errorf("started %d times more", now-starts)
			}
		})
	})
}

// A volume that is not recognised is never deleted.
func TestUnrecognisedVolumeIsNotDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.healthy(w.launch("q").ID)
		w.eventually("its volume is marked", func() bool { return w.row(s.ID).DataMarked })
		w.machine.set(func() { delete(w.machine.marks, s.Volume) })
		if _, err := w.Remove(t.Context(), s.ID, true); err != nil {
			t.Fatal(err)
		}
		w.gone(s.ID)
		page, err := w.Events(t.Context(), orchestrator.EventFilter{ServiceID: s.ID}, orchestrator.Page{First: 1})
		if err != nil || !strings.Contains(page.Items[0].Reason, "was left alone") {
			t.Errorf("the last event: %+v, %v", page.Items, err)
		}

		s = w.healthy(w.launch("q2").ID)
		w.eventually("its volume is marked", func() bool { return w.row(s.ID).DataMarked })
		if _, err := w.Remove(t.Context(), s.ID, false); err != nil {
			t.Fatal(err)
		}
		w.gone(s.ID)
		w.machine.set(func() { delete(w.machine.marks, s.Volume) })
		w.deleteRetained(s.Volume)
		w.hindered("delete it by hand")
		w.machine.set(func() {
			if !w.machine.volumes[s.Volume] {
				t.Error("a volume without its mark was deleted")
			}
		})
	})
}

func TestPortInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		taken, refused := 0, false
		w.machine.set(func() {
			w.machine.startErr = func(spec driver.Spec) error {
				if taken == 0 || taken == spec.Ports[0].Number {
					taken = spec.Ports[0].Number
					refused = true
					return driver.PortInUseError(taken)
				}
				return nil
			}
		})
		s := w.healthy(w.launch("q").ID)
		w.machine.set(func() {
			if !refused || s.Ports["main"] == taken {
				t.Errorf("port %d, taken %d", s.Ports["main"], taken)
			}
		})
		// Once it was healthy, clients know the port: it stays, and the reason names it.
		w.machine.set(func() { taken = s.Ports["main"] })
		w.machine.crash(s.ID, 1)
		w.eventually("the reason names the port", func() bool {
			now := w.get(s.ID)
			return strings.Contains(now.Reason, fmt.Sprintf("port %d is in use", s.Ports["main"])) &&
				*now.ReasonCode == lifecycle.CodePortInUse && now.ReasonParams != nil && now.ReasonParams.Port == s.Ports["main"]
		})
		w.machine.set(func() { taken = -1 }) // free again
		if after := w.healthy(s.ID); after.Ports["main"] != s.Ports["main"] {
			t.Errorf("port changed from %d to %d", s.Ports["main"], after.Ports["main"])
		}

		// A new service with the data of another has clients of its own: none yet.
		if _, err := w.Remove(t.Context(), s.ID, false); err != nil {
			t.Fatal(err)
		}
		w.gone(s.ID)
		w.machine.set(func() { refused, taken = false, 0 })
		again := w.mustLaunch(orchestrator.LaunchInput{Kind: catalog.Queue, Name: "q", Reattach: s.Volume})
		w.healthy(again.ID)
		w.machine.set(func() {
			if !refused {
				t.Error("the port of the reattached data was never refused")
			}
		})
	})
}

func TestNodeLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		one, two := w.healthy(w.launch("q1").ID), w.healthy(w.launch("q2").ID)
		active := func() float64 {
			n, err := testutil.GatherAndCount(w.reg, "active_nodes")
			if n != 1 || err != nil {
				t.Fatal(n, err)
			}
			return gauge(t, w.reg, "active_nodes")
		}
		if got := active(); got != 1 {
			t.Errorf("active_nodes %v, want 1", got)
		}
		w.machine.set(func() { w.machine.away = errors.New("no route to host") })
		w.waitFor(one.ID, lifecycle.Running, lifecycle.HealthUnknown)
		w.waitFor(two.ID, lifecycle.Running, lifecycle.HealthUnknown)
		if got := active(); got != 0 {
			t.Errorf("active_nodes %v, want 0", got)
		}
		events, err := w.Events(t.Context(), orchestrator.EventFilter{}, orchestrator.Page{First: 3})
		if err != nil {
			t.Fatal(err)
		}
		node := events.Items[2]
		if node.Subject != "NODE" || !strings.Contains(node.Reason, "no route to host") {
			t.Errorf("the node's event: %+v", node)
		}
		for _, e := range events.Items[:2] {
			if e.CauseID == nil || *e.CauseID != node.ID || *e.Health != lifecycle.HealthUnknown {
				t.Errorf("a lost service's event: %+v", e)
			}
		}
		// Removing meanwhile finishes when the node is back; what runs is not restarted.
		if _, err := w.Remove(t.Context(), one.ID, true); err != nil {
			t.Fatal(err)
		}
		w.waitFor(one.ID, lifecycle.Removing, lifecycle.HealthUnknown)
		w.machine.set(func() { w.machine.away = nil })
		w.gone(one.ID)
		if s := w.healthy(two.ID); s.Restarts != 0 {
			t.Errorf("%d restarts, want 0", s.Restarts)
		}
		all, err := w.Events(t.Context(), orchestrator.EventFilter{}, orchestrator.Page{First: 100})
		if err != nil {
			t.Fatal(err)
		}
		var codes []lifecycle.ReasonCode
		for _, e := range slices.Backward(all.Items) {
			if e.Subject == "NODE" {
				codes = append(codes, *e.ReasonCode)
			}
		}
		if want := []lifecycle.ReasonCode{lifecycle.CodeNodeReady, lifecycle.CodeNodeLost, lifecycle.CodeNodeBack}; !slices.Equal(codes, want) {
			t.Errorf("events of the node: %v, want %v", codes, want)
		}
		w.machine.set(func() {
			if w.machine.starts[two.ID] != 1 || w.machine.volumes[one.Volume] {
				t.Errorf("starts %v, volumes %v", w.machine.starts, w.machine.volumes)
			}
		})
	})
}

func gauge(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	all, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// A hint has a healthy service inspected, whatever was seen last: another process may answer its probe.
func TestHintInspects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.healthy(w.launch("q").ID)
		w.machine.set(func() {
			i, code := w.machine.instances[s.ID], 3
			i.running, i.exit = false, &code
			w.machine.hint(s.ID)
		})
		w.eventually("its end is seen", func() bool { s := w.get(s.ID); return s.Restarts > 0 || s.Phase != lifecycle.Running })
	})
}

func TestRestartOfTheOrchestratorAdopts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a, b := w.healthy(w.launch("qa").ID), w.healthy(w.launch("qb").ID)
		w.stop()
		w.machine.crash(b.ID, 9) // while nobody looks
		w.start()
		w.eventually("b is healed", func() bool { s := w.get(b.ID); return s.Restarts == 1 && s.Health == lifecycle.HealthHealthy })
		if s := w.get(a.ID); s.Restarts != 0 || s.Health != lifecycle.HealthHealthy {
			t.Errorf("a: %s/%s, %d restarts", s.Phase, s.Health, s.Restarts)
		}
		w.machine.set(func() {
			if w.machine.starts[a.ID] != 1 {
				t.Errorf("a was started %d times", w.machine.starts[a.ID])
			}
		})
	})
}

func TestStopInTheMiddleOfALaunchGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		begun := make(chan struct{}, 1)
		w.machine.set(func() {
			w.machine.prepare = func(ctx context.Context, progress func(driver.Progress)) error {
				progress(driver.Progress{Step: "building", Percent: 40})
				begun <- struct{}{}
				<-ctx.Done()
				return ctx.Err()
			}
		})
		s := w.launch("q")
		<-begun
		if p := w.Progress(w.get(s.ID)); p == nil || p.Step != "building" || p.Percent != 40 {
			t.Errorf("progress %+v", p)
		}
		w.stop()
		w.machine.set(func() { w.machine.prepare = nil })
		w.start()
		w.healthy(s.ID)
	})
}

func TestRemoveCancelsALaunch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		begun := make(chan struct{}, 1)
		w.machine.set(func() {
			w.machine.prepare = func(ctx context.Context, _ func(driver.Progress)) error {
				begun <- struct{}{}
				<-ctx.Done()
				return ctx.Err()
			}
		})
		s := w.launch("q")
		<-begun
		if _, err := w.Remove(t.Context(), s.ID, false); err != nil {
			t.Fatal(err)
		}
		w.gone(s.ID)
		w.machine.set(func() { w.machine.prepare = nil })
		w.healthy(w.launch("q").ID) // it never had data: the name is free
	})
}

// That an engine cannot be had is said by the driver, and not concluded from the fault being fatal.
func TestFailedPrepareHasItsOwnCode(t *testing.T) {
	for _, tt := range []struct {
		err  error
		code lifecycle.ReasonCode
	}{
		{driver.UnavailableError("the registry does not have it"), lifecycle.CodeImageNotFound},
		{driver.Errorf(driver.Invalid, "the sandbox cannot be made here"), lifecycle.CodePrepareFailed},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.machine.set(func() {
				w.machine.prepare = func(context.Context, func(driver.Progress)) error { return tt.err }
			})
			if s := w.waitFor(w.launch("q").ID, lifecycle.Failed, lifecycle.HealthUnhealthy); *s.ReasonCode != tt.code || s.Reason != tt.err.Error() {
				t.Errorf("%v: the reason is %q, its code %s", tt.err, s.Reason, *s.ReasonCode)
			}
		})
	}
}

func TestExitsAtOnceEndsInCrashLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.machine.set(func() { w.machine.dieAtOnce = true })
		s := w.launch("q")
		s = w.waitFor(s.ID, lifecycle.CrashLoop, lifecycle.HealthUnhealthy)
		if s.Restarts != 5 || !strings.Contains(s.Reason, "exited with code 1") || s.NextRestartAt == nil {
			t.Errorf("restarts %d, reason %q, next %v", s.Restarts, s.Reason, s.NextRestartAt)
		}
		if p := s.ReasonParams; p == nil || p.ExitCode == nil || *p.ExitCode != 1 || p.Failures != lifecycle.CrashLoopAt {
			t.Errorf("the parameters of %q are %+v", s.Reason, p)
		}
		w.machine.set(func() { w.machine.dieAtOnce = false })
		if _, err := w.Restart(t.Context(), s.ID); err != nil {
			t.Fatal(err)
		}
		w.healthy(s.ID)
		if row := w.row(s.ID); row.CrashLoop || len(row.Failures) > 0 {
			t.Errorf("not cleared: %v %v", row.CrashLoop, row.Failures)
		}
	})
}

// Under the race detector they are fewer, as SQLite takes twenty times as long there; `make test` runs it without too.
func TestFiveHundredAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 500
		if uwstest.Raced {
			n = 50
		}
		w := newWorld(t)
		var ids []string
		for i := range n {
			ids = append(ids, w.launch(fmt.Sprintf("q%d", i)).ID)
		}
		ports := map[int]bool{}
		for _, id := range ids {
			ports[w.healthy(id).Ports["main"]] = true
		}
		if len(ports) != n {
			t.Errorf("%d different ports, want %d", len(ports), n)
		}
		w.eventually("all are counted", func() bool { return gauge(t, w.reg, "active_queue_services") == float64(n) })
	})
}

func TestWatchEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.healthy(w.launch("q").ID)
		var seen []*orchestrator.Event
		enough := errors.New("enough")
		collect := func(n int) func(*orchestrator.Event) error {
			seen = nil
			return func(e *orchestrator.Event) error {
				if seen = append(seen, e); len(seen) == n {
					return enough
				}
				return nil
			}
		}
		page, err := w.Events(t.Context(), orchestrator.EventFilter{}, orchestrator.Page{First: 500})
		if err != nil {
			t.Fatal(err)
		}
		first := page.Items[len(page.Items)-1]
		watch := func(since string, yield func(*orchestrator.Event) error) error {
			_, err := w.WatchEvents(t.Context(), orchestrator.Span{Since: since, Live: true}, yield)
			return err
		}
		if err := watch(orchestrator.EventCursor(first), collect(3)); !errors.Is(err, enough) {
			t.Fatal(err)
		}
		for i, e := range seen {
			if e.ID != first.ID+int64(i)+1 {
				t.Errorf("event %d has sequence number %d", i, e.ID)
			}
		}
		// Live, from a cursor in the middle, through a restart of the orchestrator.
		cursor := orchestrator.EventCursor(seen[2])
		w.restart()
		w.machine.crash(s.ID, 1)
		if err := watch(cursor, collect(3)); !errors.Is(err, enough) {
			t.Fatal(err)
		}
		foreign := *first
		foreign.Mark++
		for _, bad := range []string{"x", "AAAAAAAAAAAAAAAAAAAAAA", orchestrator.EventCursor(&foreign)} {
			wantCode(t, watch(bad, collect(1)), orchestrator.CursorExpired, "since")
		}
	})
}

// inLaunch compares two steps by their place in a launch.
func inLaunch(a, b lifecycle.LaunchStep) int {
	order := a.Values()
	return slices.Index(order, string(a)) - slices.Index(order, string(b))
}

func TestWatchProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		release := make(chan struct{})
		w.machine.set(func() {
			w.machine.prepare = func(_ context.Context, progress func(driver.Progress)) error {
				progress(driver.Progress{Step: "building", Percent: 40})
				<-release
				return nil
			}
		})
		s := w.launch("q")
		var steps []string
		var codes []lifecycle.LaunchStep
		_, err := w.WatchProgress(t.Context(), s.ID, orchestrator.Span{Live: true}, func(p orchestrator.Progress, _ int64) error {
			steps = append(steps, p.Step)
			if n := len(codes); n == 0 || codes[n-1] != p.StepCode {
				codes = append(codes, p.StepCode)
			}
			if p.Step == "building" {
				close(release)
				w.machine.set(func() { w.machine.prepare = nil })
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if all := strings.Join(steps, "; "); !strings.Contains(all, "building") {
			t.Errorf("steps: %s", all)
		}
		if first, last := codes[0], codes[len(codes)-1]; first != lifecycle.StepPlacing && first != lifecycle.StepFetching || last != lifecycle.StepProbing || !slices.IsSortedFunc(codes, inLaunch) {
			t.Errorf("the launch went through %v", codes)
		}
		w.healthy(s.ID)
	})
}

func TestStrangersAreListedAndLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		d := w.machine.open()
		spec := driver.Spec{Service: "stranger", Volume: "v", Ports: []driver.Port{{Number: 0}}} // any that is free
		if err := errors.Join(d.Create(t.Context(), spec), d.Start(t.Context(), "stranger")); err != nil {
			t.Fatal(err)
		}
		w.eventually("listed", func() bool {
			nodes, err := w.Nodes(t.Context())
			return err == nil && len(nodes[0].Unrecognised) == 1
		})
		if there, err := d.Inspect(t.Context(), "stranger"); err != nil || !there.Running {
			t.Errorf("it was touched: %+v, %v", there, err)
		}
	})
}

func TestCheckByHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.healthy(w.launch("q").ID)
		_, r, err := w.Check(t.Context(), s.ID)
		if err != nil || r.Verdict != probe.OK {
			t.Fatalf("%+v, %v", r, err)
		}
		_, _, err = w.Check(t.Context(), "nobody")
		wantCode(t, err, orchestrator.NotFound, "nobody")
	})
}

// A check that could not be made says nothing of the service: nothing is restarted for it.
func TestServiceThatCannotBeAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		node, err := w.RegisterNode(t.Context(), orchestrator.NodeInput{Name: "far", Driver: "DOCKER", Endpoint: "unix:///far", ServiceAddress: "no-such-host.invalid"})
		if err != nil {
			t.Fatal(err)
		}
		s, err := w.Launch(t.Context(), orchestrator.LaunchInput{Kind: catalog.Queue, Name: "q", NodeID: node.ID,
			Check: orchestrator.CheckInput{Grace: new(time.Second)}})
		if err != nil {
			t.Fatal(err)
		}
		w.waitFor(s.ID, lifecycle.Starting, lifecycle.HealthUnknown)
		for range 3 {
			_, r, err := w.Check(t.Context(), s.ID)
			if err != nil || r.Verdict != probe.NotAsked || !strings.Contains(r.Detail, "cannot be looked up") {
				t.Fatalf("%+v, %v", r, err)
			}
		}
		if s = w.get(s.ID); s.ReasonCode == nil || *s.ReasonCode != lifecycle.CodeProbeNotAsked || !strings.Contains(s.Reason, "cannot be looked up") || s.Restarts != 0 {
			t.Errorf("reason %q, %d restarts", s.Reason, s.Restarts)
		}
		for _, step := range w.story(s.ID) {
			if step == "RESTARTING/UNHEALTHY" {
				t.Errorf("restarted: %v", w.story(s.ID))
			}
		}
	})
}

func TestPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for i := range 5 {
			w.launch(fmt.Sprintf("q%d", i))
			breathe(t.Context()) // they are listed in the order of their launch
		}
		var names []string
		page := orchestrator.Page{First: 2}
		for {
			l, err := w.Services(t.Context(), orchestrator.ServiceFilter{}, page)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range l.Items {
				names = append(names, s.Name)
			}
			if !l.More {
				break
			}
			page.After = l.Cursors[len(l.Cursors)-1]
		}
		if got := strings.Join(names, " "); got != "q0 q1 q2 q3 q4" {
			t.Errorf("pages give %s", got)
		}
		_, err := w.Services(t.Context(), orchestrator.ServiceFilter{}, orchestrator.Page{First: 2, After: "x"})
		wantCode(t, err, orchestrator.InvalidInput, "after")
	})
}

func TestNodeVerbs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		local := orchestrator.NodeInput{Name: "again", Driver: "PROCESS", Endpoint: "fake", ServiceAddress: "127.0.0.1"}
		change := func(f func(*orchestrator.NodeInput)) orchestrator.NodeInput { in := local; f(&in); return in }
		register := func(in orchestrator.NodeInput) error {
			_, err := w.RegisterNode(t.Context(), in)
			return err
		}
		wantCode(t, register(local), orchestrator.Conflict, `"local" is this one already`)
		wantCode(t, register(change(func(in *orchestrator.NodeInput) { in.Name = "local" })), orchestrator.Conflict, `a node "local" already`)
		wantCode(t, register(change(func(in *orchestrator.NodeInput) { in.Name = "No" })), orchestrator.InvalidInput, "name")

		nodes, err := w.Nodes(t.Context())
		if err != nil || len(nodes) != 1 || !nodes[0].Healthy || nodes[0].Info == nil {
			t.Fatalf("nodes %+v, %v", nodes, err)
		}
		s := w.healthy(w.launch("q").ID)
		wantCode(t, w.RemoveNode(t.Context(), nodes[0].ID, false), orchestrator.Conflict, "1 services")
		w.away(errors.New("no route to host"))
		if err := w.RemoveNode(t.Context(), nodes[0].ID, true); err != nil {
			t.Fatal(err)
		}
		w.machine.set(func() { w.machine.away = nil })
		w.gone(s.ID)
		w.machine.set(func() {
			if !w.machine.volumes[s.Volume] {
				t.Error("data of an abandoned service was deleted")
			}
		})
		wantCode(t, w.RemoveNode(t.Context(), nodes[0].ID, true), orchestrator.NotFound, nodes[0].ID)

		// With no node a launch waits, and says for what; it goes on when there is one.
		waiting := w.launch("q2")
		w.eventually("the reason says so", func() bool { return strings.Contains(w.get(waiting.ID).Reason, "none is registered") })
		wantCode(t, register(change(func(in *orchestrator.NodeInput) { in.Endpoint = "/etc" })), orchestrator.InvalidInput, "endpoint")
		wantCode(t, register(change(func(in *orchestrator.NodeInput) { in.ServiceAddress = "a b" })), orchestrator.InvalidInput, "serviceAddress")
		if err := register(local); err != nil {
			t.Fatal(err)
		}
		w.healthy(waiting.ID)
	})
}

func TestKeptDataIsDeletedWhenItsNodeIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *app.Options) { o.Resync = time.Hour })
		s := w.healthy(w.launch("q").ID)
		if _, err := w.Remove(t.Context(), s.ID, false); err != nil {
			t.Fatal(err)
		}
		w.gone(s.ID)
		w.machine.set(func() { w.machine.away = errors.New("no route to host") })
		w.eventually("the node is lost", func() bool {
			nodes, err := w.Nodes(t.Context())
			return err == nil && !nodes[0].Healthy
		})
		w.deleteRetained(s.Volume)
		w.hindered("when the node is back")
		w.deleteRetained(s.Volume) // again
		_, err := w.Launch(t.Context(), orchestrator.LaunchInput{Kind: catalog.Queue, Name: "q"})
		wantCode(t, err, orchestrator.Conflict, "is being deleted")
		w.machine.set(func() { w.machine.away = nil })
		w.eventually("deleted", func() bool { return len(w.retained()) == 0 })
		w.machine.set(func() {
			if w.machine.volumes[s.Volume] {
				t.Error("the data is still there")
			}
		})
	})
}

// Data that is to be deleted after all, while a removal that keeps it is under way, is deleted.
func TestDeleteDataWhileRemoving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.healthy(w.launch("q").ID)
		begun, release := make(chan struct{}, 2), make(chan struct{})
		w.machine.set(func() {
			w.machine.removing = func() {
				begun <- struct{}{}
				<-release
			}
		})
		if _, err := w.Remove(t.Context(), s.ID, false); err != nil {
			t.Fatal(err)
		}
		<-begun
		if _, err := w.Remove(t.Context(), s.ID, true); err != nil {
			t.Fatal(err)
		}
		close(release)
		w.gone(s.ID)
		w.machine.set(func() {
			if w.machine.volumes[s.Volume] {
				t.Error("the data is still there, though the service is gone and nothing lists it")
			}
		})
		if kept, err := w.Retained(t.Context()); err != nil || len(kept) != 0 {
			t.Errorf("retained %v, %v", kept, err)
		}
	})
}
