package drivertest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

func testPing(f *fixture) {
	info, err := f.d.Ping(f.ctx)
	f.must(err)
	if info.Version == "" || info.CPUs < 1 || info.MemoryBytes < 1<<20 || info.DiskFree < 1<<20 {
		f.Errorf("Ping says %+v", info)
	}
}

func testUnknownService(f *fixture) {
	if o := f.inspect("nobody"); !reflect.DeepEqual(o, driver.Observed{}) {
		f.Errorf("Inspect of an unknown service says %+v", o)
	}
	f.must(f.d.Stop(f.ctx, "nobody", time.Second))
	f.must(f.d.Remove(f.ctx, "nobody"))
	f.must(f.d.RemoveData(f.ctx, driver.Data{Volume: "nobody-data"}))
	f.wantClass(f.d.Start(f.ctx, "nobody"), driver.NotCreated)
	if has, err := f.d.HasData(f.ctx, driver.Data{Volume: "nobody-data"}); has || err != nil {
		f.Errorf("HasData says %v, %v", has, err)
	}
	if l := f.list(); len(l) != 0 {
		f.Errorf("List has %v", l)
	}
}

func testLifecycle(f *fixture) {
	s := f.puppet("life")
	f.create(s)
	f.create(s)
	o := f.inspect("life")
	if !o.Exists || o.Running || o.SpecHash != s.Hash() || o.Instance != "" || o.ExitCode != nil {
		f.Errorf("created: %+v", o)
	}
	first := f.start(s)
	if !first.Exists || !first.Running || first.Paused || first.Instance == "" || first.StartedAt.IsZero() || !first.StoppedAt.IsZero() || first.ExitCode != nil {
		f.Errorf("started: %+v", first)
	}
	f.must(f.d.Start(f.ctx, "life"))
	f.must(f.d.Create(f.ctx, s))
	if o := f.inspect("life"); !reflect.DeepEqual(o, first) {
		f.Errorf("after starting twice: %+v, want %+v", o, first)
	}
	f.must(f.d.Stop(f.ctx, "life", Patience))
	f.must(f.d.Stop(f.ctx, "life", Patience))
	o = f.inspect("life")
	if !o.Exists || o.Running || o.Instance != first.Instance || o.ExitCode == nil || o.StoppedAt.IsZero() {
		f.Errorf("stopped: %+v", o)
	}
	f.must(f.d.Start(f.ctx, "life"))
	f.answers(s)
	o = f.inspect("life")
	if !o.Running || o.Instance == first.Instance || o.ExitCode != nil || !o.StoppedAt.IsZero() {
		f.Errorf("started again: %+v after %+v", o, first)
	}
	f.must(f.d.Remove(f.ctx, "life"))
	f.must(f.d.Remove(f.ctx, "life"))
	if o := f.inspect("life"); !reflect.DeepEqual(o, driver.Observed{}) || len(f.m.CommandLines("life")) != 0 || f.dial(s.Ports[0].Number) {
		f.Errorf("removed: %+v with the processes %v", o, f.m.CommandLines("life"))
	}
	if has, err := f.d.HasData(f.ctx, driver.Data{Volume: s.Volume}); !has || err != nil {
		f.Errorf("Remove took the data too: %v, %v", has, err)
	}
	f.must(f.d.RemoveData(f.ctx, driver.Data{Volume: s.Volume}))
	f.must(f.d.RemoveData(f.ctx, driver.Data{Volume: s.Volume}))
	if has, err := f.d.HasData(f.ctx, driver.Data{Volume: s.Volume}); has || err != nil {
		f.Errorf("RemoveData left the data: %v, %v", has, err)
	}
}

func testInvalidSpec(f *fixture) {
	for name, change := range map[string]func(*driver.Spec){
		"service":     func(s *driver.Spec) { s.Service = "../evil" },
		"volume":      func(s *driver.Spec) { s.Volume = "a/../../evil" },
		"empty":       func(s *driver.Spec) { s.Volume = "" },
		"file":        func(s *driver.Spec) { s.Files = map[string]string{"../evil": ""} },
		"folder":      func(s *driver.Spec) { s.Folders = []string{"../evil"} },
		"port":        func(s *driver.Spec) { s.Ports[0].Number = 70000 },
		"environment": func(s *driver.Spec) { s.Env["a=b"] = "c" },
		"signal":      func(s *driver.Spec) { s.StopSignal = "SIGNONE" },
	} {
		s := f.puppet("bad")
		change(&s)
		if err := f.d.Create(f.ctx, s); err == nil || driver.ClassOf(err) != driver.Invalid {
			f.Errorf("%s: got %v, want an Invalid error", name, err)
		}
		if has, err := f.d.HasData(f.ctx, driver.Data{Volume: "bad-data"}); has || err != nil {
			f.Errorf("%s: it has data: %v", name, err)
		}
	}
	for _, err := range []error{f.d.Start(f.ctx, ".."), f.d.Remove(f.ctx, "a/b"), f.d.RemoveData(f.ctx, driver.Data{Volume: ".."})} {
		f.wantClass(err, driver.Invalid)
	}
}

func testUnknownEngine(f *fixture) {
	s := f.spec("odd", "puppet")
	f.m.Unknown(&s)
	f.wantClass(f.d.Prepare(f.ctx, s, nil), driver.Invalid)
}

func testAnotherSpec(f *fixture) {
	s := f.puppet("change")
	first := f.start(s)
	other := withEnv(s, map[string]string{"CHANGED": "yes"})
	f.must(f.d.Create(f.ctx, other))
	if o := f.inspect("change"); !reflect.DeepEqual(o, first) {
		f.Errorf("Create of another spec touched a running instance: %+v, was %+v", o, first)
	}
	f.must(f.d.Stop(f.ctx, "change", Patience))
	f.must(f.d.Create(f.ctx, other))
	if o := f.inspect("change"); o.SpecHash != other.Hash() || o.Running {
		f.Errorf("not replaced: %+v", o)
	}
	f.must(f.d.Start(f.ctx, "change"))
	f.answers(other)
}

// The generation of a spec is kept with the instance and is no part of the spec's hash. One of another generation is replaced
// when it does not run, on the same data.
func testGeneration(f *fixture) {
	s := f.puppet("age", "count="+f.d.Layout("age", "age-data").Data)
	has := func(when string, want int) driver.Observed {
		f.Helper()
		o := f.inspect("age")
		if listed := f.list()["age"]; o.Generation != want || listed.Generation != want || o.SpecHash != s.Hash() {
			f.Errorf("%s: generation %d, listed with %d, want %d; hash %s, want %s", when, o.Generation, listed.Generation, want, o.SpecHash, s.Hash())
		}
		return o
	}
	f.create(s)
	has("without a generation", 1)
	s.Generation = 3
	f.create(s)
	has("created", 3)
	first := f.start(s)
	has("started", 3)
	s.Generation = 4
	f.must(f.d.Create(f.ctx, s))
	if o := has("while it runs", 3); !reflect.DeepEqual(o, first) {
		f.Errorf("Create of another generation touched a running instance: %+v, was %+v", o, first)
	}
	f.d = f.m.Open("first")
	has("adopted", 3)
	f.must(f.d.Stop(f.ctx, "age", Patience))
	has("stopped", 3)
	f.must(f.d.Create(f.ctx, s))
	has("replaced", 4)
	f.must(f.d.Start(f.ctx, "age"))
	f.answers(s)
	if o := has("started again", 4); o.Instance == first.Instance {
		f.Errorf("it is the same instance: %+v", o)
	}
	f.eventually("it has the data", func() bool { return strings.Contains(f.logs("age", -1), "starts: 2") })
	f.must(f.d.Stop(f.ctx, "age", Patience))
	f.d = f.m.Open("first")
	has("reopened", 4)
}

// A running instance is reached at its endpoints, which are those of the spec that it was created from.
func testEndpoints(f *fixture) {
	has := func(when string, want *driver.Spec) {
		f.Helper()
		got := f.inspect("where").Endpoints
		if want == nil {
			if got != nil {
				f.Errorf("%s: endpoints %v, want none", when, got)
			}
			return
		}
		for _, p := range want.Ports {
			if int(got[p.Name].Port()) != p.Number {
				f.Errorf("%s: port %s is at %v, want %d", when, p.Name, got[p.Name], p.Number)
			}
		}
		if len(got) != len(want.Ports) || !f.greets(got["main"].String()) {
			f.Errorf("%s: the puppet does not answer at %v", when, got)
		}
	}
	spec := func() *driver.Spec {
		s := f.puppet("where")
		s.Ports = append(s.Ports, driver.Port{Name: "second-port", Number: FreePort(f.T), Target: 4001})
		return &s
	}
	s := spec()
	has("before it is created", nil)
	f.create(*s)
	has("created", nil)
	f.start(*s)
	has("started", s)
	other := spec()
	f.must(f.d.Create(f.ctx, *other))
	has("with another spec for the next instance", s)
	f.d = f.m.Open("first")
	has("adopted", s)
	f.must(f.d.Stop(f.ctx, "where", Patience))
	has("stopped", nil)
	f.start(*other)
	has("replaced", other)
	f.must(f.d.Remove(f.ctx, "where"))
	has("removed", nil)
}

func testEnvironment(f *fixture) {
	const secret = "v3ry-s3cret"
	s := withEnv(f.puppet("env", "environment"), map[string]string{"SECRET": secret})
	f.start(s)
	f.eventually("the engine sees the secret", func() bool { return lineWith(f.logs("env", -1), "SECRET=") == secret })
	lines := f.m.CommandLines("env")
	if len(lines) == 0 || strings.Contains(strings.Join(lines, "\n"), secret) {
		f.Errorf("the command lines are %q", lines)
	}
}

func testExitCode(f *fixture) {
	for _, code := range []int{0, 3} {
		hints := f.d.Watch(f.ctx)
		id := fmt.Sprint("exits", code)
		s := f.puppet(id, fmt.Sprint("exit=", code))
		f.create(s)
		f.must(f.d.Start(f.ctx, id))
		o := f.untilStopped(hints, id)
		if o.ExitCode == nil || *o.ExitCode != code || o.Instance == "" || o.StoppedAt.IsZero() || !o.Exists {
			f.Errorf("after exit %d: %+v", code, o)
		}
	}
}

func testKilledBySignal(f *fixture) {
	hints := f.d.Watch(f.ctx)
	s := f.puppet("killed")
	first := f.start(s)
	f.m.Signal("killed", syscall.SIGKILL)
	o := f.untilStopped(hints, "killed")
	if o.ExitCode == nil || *o.ExitCode != 128+int(syscall.SIGKILL) || o.Instance != first.Instance {
		f.Errorf("after SIGKILL: %+v", o)
	}
	f.must(f.d.Start(f.ctx, "killed"))
	f.answers(s)
}

func testPaused(f *fixture) {
	s := f.puppet("paused")
	f.start(s)
	f.m.Pause("paused")
	f.eventually("the instance is paused", func() bool { return f.inspect("paused").Paused })
	if o := f.inspect("paused"); !o.Running {
		f.Errorf("paused: %+v", o)
	}
	f.m.Resume("paused")
	f.eventually("the instance goes on", func() bool { return !f.inspect("paused").Paused })
	f.m.Pause("paused")
	f.eventually("the instance is paused", func() bool { return f.inspect("paused").Paused })
	// A grace beyond the test's own time: only killing it at once ends the test.
	f.must(f.d.Stop(f.ctx, "paused", time.Hour))
	if o := f.inspect("paused"); o.Running || o.Paused {
		f.Errorf("stopped: %+v", o)
	}
	// So it is when a signal has stopped it, whether or not the driver can see that otherwise.
	f.must(f.d.Start(f.ctx, "paused"))
	f.answers(s)
	f.m.Signal("paused", syscall.SIGSTOP)
	f.must(f.d.Stop(f.ctx, "paused", time.Hour))
	if o := f.inspect("paused"); o.Running {
		f.Errorf("stopped: %+v", o)
	}
}

// testAutoRestart is for engines that start by themselves what ended; with others nothing does.
func testAutoRestart(f *fixture) {
	hints := f.d.Watch(f.ctx)
	s := f.puppet("phoenix")
	f.must(f.d.Prepare(f.ctx, s, nil))
	f.must(f.d.Create(f.ctx, s))
	f.must(f.d.Start(f.ctx, "phoenix"))
	f.answers(s)
	first := f.inspect("phoenix")
	d, ok := f.d.(driver.AutoRestarter)
	if never := first.AutoRestart == driver.AutoRestartNever; never == ok {
		f.Fatalf("AutoRestart is %v, and the driver can turn that on: %v", first.AutoRestart, ok)
	}
	f.m.Signal("phoenix", syscall.SIGKILL)
	if !ok {
		o := f.untilStopped(hints, "phoenix")
		if o.ExitCode == nil || *o.ExitCode != 128+int(syscall.SIGKILL) || o.Instance != first.Instance || o.Restarting {
			f.Errorf("after SIGKILL: %+v", o)
		}
		return
	}
	// That it ended may never be seen: an engine restarts it within 100 ms.
	f.eventually("the engine has restarted it", func() bool { o := f.inspect("phoenix"); return o.Running && o.Restarts > 0 })
	o := f.inspect("phoenix")
	want := driver.End{Seen: true, ExitCode: 137}
	if o.AutoRestart != driver.AutoRestartOn || o.Restarts != 1 || o.Instance == first.Instance || o.Before != want {
		f.Errorf("restarted: %+v", o)
	}
	f.answers(s)
	// Told not to, it does not.
	f.must(d.SetAutoRestart(f.ctx, "phoenix", false))
	f.must(d.SetAutoRestart(f.ctx, "phoenix", false))
	f.m.Signal("phoenix", syscall.SIGKILL)
	f.eventually("it has ended for good", func() bool { o := f.inspect("phoenix"); return !o.Running && !o.Restarting })
	f.must(d.SetAutoRestart(f.ctx, "phoenix", true))
	f.must(f.d.Start(f.ctx, "phoenix"))
	f.answers(s)
	if o := f.inspect("phoenix"); o.AutoRestart != driver.AutoRestartOn || o.Restarts != 0 {
		f.Errorf("started on purpose: %+v", o)
	}
	// Stopped on purpose it stays so.
	f.must(f.d.Stop(f.ctx, "phoenix", Patience))
	if o := f.inspect("phoenix"); o.Running || o.Restarting {
		f.Errorf("stopped: %+v", o)
	}
	f.wantClass(d.SetAutoRestart(f.ctx, "nobody", true), driver.NotCreated)
}

func testStopGracefully(f *fixture) {
	f.start(f.puppet("polite"))
	f.must(f.d.Stop(f.ctx, "polite", time.Hour))
	if o := f.inspect("polite"); o.ExitCode == nil || *o.ExitCode != 0 {
		f.Errorf("stopped: %+v", o)
	}
	f.eventually("its last line is written", func() bool { return f.logs("polite", 1) == "bye\n" })
}

func testStopStubborn(f *fixture) {
	f.start(f.puppet("stubborn", "stubborn"))
	f.must(f.d.Stop(f.ctx, "stubborn", 50*time.Millisecond))
	if o := f.inspect("stubborn"); o.Running || o.ExitCode == nil || *o.ExitCode != 128+int(syscall.SIGKILL) {
		f.Errorf("stopped: %+v", o)
	}
}

func testStopEndsWithContext(f *fixture) {
	f.start(f.puppet("slow", "stubborn"))
	ctx, cancel := context.WithTimeout(f.ctx, 50*time.Millisecond)
	defer cancel()
	if err := f.d.Stop(ctx, "slow", time.Hour); !errors.Is(err, context.DeadlineExceeded) {
		f.Errorf("Stop says %v", err)
	}
	if !f.inspect("slow").Running {
		f.Error("it was killed before its grace was over")
	}
	f.must(f.d.Stop(f.ctx, "slow", 0))
}

func testStopLeavesNothing(f *fixture) {
	s := f.puppet("parent")
	child := FreePort(f.T)
	s.Ports = append(s.Ports, driver.Port{Name: "child", Number: child, Target: 4001})
	address := net.JoinHostPort(f.d.Layout(s.Service, s.Volume).Address, fmt.Sprint(child))
	if !f.d.Layout(s.Service, s.Volume).HostPorts {
		address = ":4001"
	}
	s.Args = append([]string{"fork=" + address}, s.Args...)
	f.start(s)
	f.eventually("the child listens", func() bool { return f.dial(child) })
	// The parent goes when asked, the child does not.
	f.must(f.d.Stop(f.ctx, "parent", time.Hour))
	if left := f.m.CommandLines("parent"); len(left) != 0 || f.dial(child) {
		f.Errorf("Stop left %q", left)
	}
	// A crash of the parent leaves the child, which the next start clears away.
	hints := f.d.Watch(f.ctx)
	f.must(f.d.Start(f.ctx, "parent"))
	f.answers(s)
	f.eventually("the child listens", func() bool { return f.dial(child) })
	f.m.Signal("parent", syscall.SIGKILL)
	f.untilStopped(hints, "parent")
	f.must(f.d.Start(f.ctx, "parent"))
	f.answers(s)
}

func testPortInUse(f *fixture) {
	s := f.puppet("taken")
	f.create(s)
	l, err := new(net.ListenConfig).Listen(f.ctx, "tcp", fmt.Sprint("127.0.0.1:", s.Ports[0].Number))
	f.must(err)
	err = f.d.Start(f.ctx, "taken")
	f.wantClass(err, driver.PortInUse)
	if e, ok := errors.AsType[*driver.Error](err); !ok || e.Port != s.Ports[0].Number {
		f.Errorf("the error is %#v", err)
	}
	if f.inspect("taken").Running {
		f.Error("it runs")
	}
	f.must(l.Close())
	f.must(f.d.Start(f.ctx, "taken"))
	f.answers(s)
}

func testManyAtOnce(f *fixture) {
	var wg sync.WaitGroup
	var specs []driver.Spec
	for i := range 20 {
		specs = append(specs, f.puppet(fmt.Sprint("many-", i), "count="+f.d.Layout("", fmt.Sprint("many-", i, "-data")).Data))
	}
	errs := make([]error, len(specs))
	for i, s := range specs {
		wg.Go(func() {
			errs[i] = errors.Join(f.d.Prepare(f.ctx, s, nil), f.d.Create(f.ctx, s), f.d.Start(f.ctx, s.Service))
		})
	}
	wg.Wait()
	f.must(errors.Join(errs...))
	for _, s := range specs {
		f.answers(s)
	}
	if n := len(f.list()); n != len(specs) {
		f.Errorf("List has %d services", n)
	}
	for i, s := range specs {
		wg.Go(func() { errs[i] = errors.Join(f.d.Stop(f.ctx, s.Service, Patience), f.d.Remove(f.ctx, s.Service)) })
	}
	wg.Wait()
	f.must(errors.Join(errs...))
	if l := f.list(); len(l) != 0 {
		f.Errorf("List has %v", l)
	}
}

func testContextEnded(f *fixture) {
	s := f.puppet("late")
	ctx, cancel := context.WithCancel(f.ctx)
	cancel()
	for name, err := range map[string]error{
		"Prepare": f.d.Prepare(ctx, s, nil), "Create": f.d.Create(ctx, s), "Start": f.d.Start(ctx, "late"),
		"Stop": f.d.Stop(ctx, "late", 0), "Remove": f.d.Remove(ctx, "late"),
	} {
		if !errors.Is(err, context.Canceled) {
			f.Errorf("%s says %v", name, err)
		}
	}
}

func testWatchEnds(f *fixture) {
	ctx, cancel := context.WithCancel(f.ctx)
	hints := f.d.Watch(ctx)
	idle := f.d.Watch(f.ctx) // nobody reads it: that must block nothing
	s := f.puppet("seen")
	f.start(s)
	cancel()
	end := time.NewTimer(Patience)
	defer end.Stop()
	for open := true; open; {
		select {
		case _, open = <-hints:
		case <-end.C:
			f.Fatal("the channel was not closed")
		}
	}
	if len(idle) == 0 {
		f.Error("another watcher has no hint")
	}
}
