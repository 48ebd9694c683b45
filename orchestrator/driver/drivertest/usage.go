package drivertest

import (
	"errors"
	"io"
	"net"
	"path"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// usage returns what a service uses, nil if it is not measured.
func (f *fixture) usage(service string) *driver.Usage {
	f.Helper()
	all, err := f.d.(driver.UsageReader).Usage(f.ctx, []string{service, "nobody"})
	f.must(err)
	use, ok := all[service]
	if len(all) > 1 || len(all) == 1 && !ok {
		f.Fatalf("Usage says %+v", all)
	}
	if !ok {
		return nil
	}
	if o := f.inspect(service); use.Run != o.Instance || use.At.IsZero() || time.Since(use.At) > Patience || use.MemoryBytes < 100<<10 {
		f.Fatalf("Usage says %+v of %+v", use, o)
	}
	return &use
}

// measured is usage of a service that is measured.
func (f *fixture) measured(service string) driver.Usage {
	f.Helper()
	use := f.usage(service)
	if use == nil {
		f.Fatalf("service %s is not measured", service)
	}
	return *use
}

// What an instance does is seen in the numbers.
func testUsage(f *fixture) {
	s := f.puppet("use")
	order := f.obeying(&s)
	if use := f.usage("use"); use != nil {
		f.Errorf("before it exists: %+v", use)
	}
	f.start(s)
	before := f.measured("use")
	if before.Processes == nil || *before.Processes < 1 {
		f.Fatalf("it is %+v", before)
	}
	const burnt, eaten, opened, forked = 300 * time.Millisecond, 64 << 20, 50, 3
	order("burn", int(burnt.Milliseconds()))
	order("eat", eaten>>20)
	order("open", opened)
	order("fork", forked)
	after := f.measured("use")
	if grown := after.CPU - before.CPU; grown < burnt-20*time.Millisecond || grown > Patience {
		f.Errorf("it burnt %v, and Usage says %v more", burnt, grown)
	}
	if grown := after.MemoryBytes - before.MemoryBytes; grown < eaten*9/10 || grown > 3*eaten {
		f.Errorf("it ate %d MiB, and Usage says %d MiB more", eaten>>20, grown>>20)
	}
	if grown := *after.Processes - *before.Processes; grown < forked {
		f.Errorf("it has %d children, and Usage says %d processes more", forked, grown)
	}
	if (before.Descriptors == nil) != (after.Descriptors == nil) {
		f.Errorf("the descriptors were %v and are %v", before.Descriptors, after.Descriptors)
	} else if after.Descriptors != nil && *after.Descriptors-*before.Descriptors < opened {
		f.Errorf("it opened %d descriptors, and Usage says %d, after %d", opened, *after.Descriptors, *before.Descriptors)
	}
	if !f.Elsewhere && after.Descriptors == nil {
		f.Error("its descriptors are not counted")
	}
}

// The time of a child that has ended stays part of the sum.
func testUsageOfChildren(f *fixture) {
	s := f.puppet("parent")
	order := f.obeying(&s)
	f.start(s)
	before := f.measured("parent")
	const burnt = 300 * time.Millisecond
	order("burn-child", int(burnt.Milliseconds())) // and waits for it
	after := f.measured("parent")
	if grown := after.CPU - before.CPU; grown < burnt-20*time.Millisecond {
		f.Errorf("its child burnt %v, and Usage says %v more", burnt, grown)
	}
	if !f.Elsewhere && *after.Processes != *before.Processes {
		f.Errorf("it has %d processes, %d before", *after.Processes, *before.Processes)
	}
	// Nor does the sum decrease when one ends for which its parent does not wait.
	order("fork-burning", int(burnt.Milliseconds()))
	var living driver.Usage
	f.eventually("the child has burnt it", func() bool {
		living = f.measured("parent")
		return living.CPU-after.CPU >= burnt-20*time.Millisecond
	})
	order("kill", 0)
	f.eventually("the child is gone", func() bool {
		use := f.measured("parent")
		if use.CPU < living.CPU {
			f.Fatalf("after a child was killed, Usage says %v, and %v before", use.CPU, living.CPU)
		}
		return *use.Processes < *living.Processes
	})
}

// Counters begin with the run. One that ended is not measured, however it ended.
func testUsageOfRuns(f *fixture) {
	s := f.puppet("again")
	order := f.obeying(&s)
	f.start(s)
	order("burn", 1000)
	first := f.measured("again")
	f.must(f.d.Stop(f.ctx, "again", Patience))
	if use := f.usage("again"); use != nil {
		f.Errorf("after Stop, Usage says %+v", use)
	}
	f.must(f.d.Start(f.ctx, "again"))
	f.answers(s)
	second := f.measured("again")
	if second.Run == first.Run || second.CPU >= first.CPU {
		f.Errorf("%+v, and after a restart %+v", first, second)
	}
	hints := f.d.Watch(f.ctx)
	order("exit", 3)
	f.untilStopped(hints, "again")
	if use := f.usage("again"); use != nil {
		f.Errorf("after its end, Usage says %+v", use)
	}
	f.must(f.d.Remove(f.ctx, "again"))
	if use := f.usage("again"); use != nil {
		f.Errorf("after Remove, Usage says %+v", use)
	}
}

// A run that ends by itself and the next one are never taken for each other, however soon they are measured.
func testUsageOfRestarts(f *fixture) {
	restarter, ok := f.d.(driver.AutoRestarter)
	if !ok {
		f.Skip("the engine does not restart instances by itself")
	}
	s := f.puppet("phoenix")
	order := f.obeying(&s)
	f.start(s)
	f.must(restarter.SetAutoRestart(f.ctx, "phoenix", true))
	order("burn", 1000)
	first := f.measured("phoenix")
	order("exit", 3)
	var next driver.Usage
	f.eventually("the next run is measured", func() bool {
		all, err := f.d.(driver.UsageReader).Usage(f.ctx, []string{"phoenix"})
		f.must(err)
		use, ok := all["phoenix"]
		if ok && (use.Run == first.Run) != (use.CPU >= first.CPU) {
			f.Fatalf("%+v, after %+v", use, first)
		}
		next = use
		return ok && use.Run != first.Run
	})
	f.answers(s)
	if o := f.inspect("phoenix"); next.Run != o.Instance {
		f.Errorf("the run %s is measured, and %s runs", next.Run, o.Instance)
	}
}

// Many services are measured together; a driver that was opened again continues.
func testUsageAcrossRestart(f *fixture) {
	ids := []string{"one", "two", "three"}
	for _, id := range ids {
		f.start(f.puppet(id))
	}
	before, err := f.d.(driver.UsageReader).Usage(f.ctx, ids)
	f.must(err)
	f.d = f.m.Open("first")
	after, err := f.d.(driver.UsageReader).Usage(f.ctx, append(ids, ids...))
	f.must(err)
	for _, id := range ids {
		if a, b := after[id], before[id]; a.Run == "" || a.Run != b.Run || a.CPU < b.CPU {
			f.Errorf("service %s: %+v, and %+v before", id, a, b)
		}
	}
	if len(before) != 3 || len(after) != 3 {
		f.Errorf("%d and %d services are measured", len(before), len(after))
	}
}

// Where the network is measured, what clients send and get is in the numbers.
func testUsageOfNetwork(f *fixture) {
	s := f.puppet("talkative")
	order, address := f.obeyingAt(&s)
	f.start(s)
	before := f.measured("talkative")
	if before.Received == nil {
		if before.Sent != nil || f.Network {
			f.Errorf("Usage says %+v", before)
		}
		return
	}
	const bytes = 4 << 20
	c, err := f.connect(address)
	f.must(err)
	defer c.Close()
	f.must(c.SetDeadline(time.Now().Add(Patience)))
	_, err = io.WriteString(c, "echo 0\n")
	f.must(err)
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(make([]byte, bytes))
		sent <- errors.Join(err, c.(*net.TCPConn).CloseWrite())
	}()
	n, err := io.Copy(io.Discard, c)
	if f.must(errors.Join(err, <-sent)); n != bytes {
		f.Fatalf("%d bytes came back", n)
	}
	order("print", 1)
	after := f.measured("talkative")
	for direction, grown := range map[string]int64{"received": *after.Received - *before.Received, "sent": *after.Sent - *before.Sent} {
		if grown < bytes || grown > 2*bytes {
			f.Errorf("%d bytes were %s, and Usage says %d", bytes, direction, grown)
		}
	}
}

// A volume takes the room that was written to: holes take none, and a file with two names takes it once.
func testSize(f *fixture) {
	s := f.puppet("full")
	s.Args = append([]string{"data=" + f.d.Layout(s.Service, s.Volume).Data}, s.Args...)
	order := f.obeying(&s)
	sizer := f.d.(driver.Sizer)
	_, err := sizer.Size(f.ctx, s.Volume)
	f.wantClass(err, driver.DataMissing)
	_, err = sizer.Size(f.ctx, path.Join("..", s.Volume))
	f.wantClass(err, driver.Invalid)
	f.start(s)
	size := func() int64 {
		f.Helper()
		bytes, err := sizer.Size(f.ctx, s.Volume)
		f.must(err)
		return bytes
	}
	if f.Elsewhere { // an old engine does not report sizes, and others report those of some minutes ago
		if _, err := sizer.Size(f.ctx, s.Volume); err != nil && driver.ClassOf(err) != driver.Invalid {
			f.Errorf("Size says %v", err)
		}
		return
	}
	before := size()
	for _, step := range []struct {
		verb string
		n    int
		want int64
	}{{"write", 8, 8 << 20}, {"sparse", 64, 0}, {"link", 0, 0}, {"symlink", 0, 0}, {"write", 16, 8 << 20}} {
		order(step.verb, step.n)
		after := size()
		if grown := after - before; grown < step.want || grown > step.want+1<<20 {
			f.Errorf("%s %d: Size says %d bytes more, want %d", step.verb, step.n, grown, step.want)
		}
		before = after
	}
	f.must(f.d.Remove(f.ctx, s.Service))
	f.start(f.puppet("neighbour")) // so that a Docker Engine on this machine is known to be
	if after := size(); after < before || after > before+1<<20 {
		f.Errorf("without its service Size says %d bytes, and %d before", after, before)
	}
}

// The machine is measured, or it is said that it cannot be.
func testNodeUsage(f *fixture) {
	s := f.puppet("busy")
	order := f.obeying(&s)
	f.start(s)
	read := func() *driver.NodeUsage {
		f.Helper()
		use, err := f.d.(driver.NodeUsageReader).NodeUsage(f.ctx)
		f.must(err)
		return use
	}
	before := read()
	if (before == nil) != f.Elsewhere {
		f.Fatalf("NodeUsage says %+v", before)
	}
	if before == nil {
		return
	}
	order("burn", 500)
	after := read()
	if grown := after.CPU - before.CPU; grown < 450*time.Millisecond || !after.At.After(before.At) {
		f.Errorf("500 ms were burnt, and NodeUsage says %v more", grown)
	}
	if after.MemoryTotal < 100<<20 || after.MemoryBytes < 10<<20 || after.MemoryBytes >= after.MemoryTotal || after.MemoryTotal != before.MemoryTotal {
		f.Errorf("NodeUsage says %+v", after)
	}
}
