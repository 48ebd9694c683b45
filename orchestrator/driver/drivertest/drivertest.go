// Package drivertest is the conformance suite that every driver must pass. It knows drivers by their
// interface only; what that does not offer, a [Machine] does.
package drivertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// Patience is how long a test waits for what must come before it fails. No test depends on how fast it comes.
const Patience = 30 * time.Second

// Machine is where the driver under test drives. Each test has a fresh one.
type Machine interface {
	// Open opens the driver of an installation. When it was opened before, it first leaves the old one as a
	// crash of uws would, and the new one finds what that left.
	Open(installation string) driver.Driver
	// Fill sets what makes spec run an engine: "versitygw", "nats" or "puppet" (see [Puppet]).
	Fill(spec *driver.Spec, engine string)
	// Unknown sets what names an engine or image that cannot be had.
	Unknown(spec *driver.Spec)
	// Signal sends a signal to the main process of a service's instance, behind the driver's back.
	Signal(service string, sig syscall.Signal)
	// Pause has an instance stand still, behind the driver's back, in a way that the driver can see. Resume undoes it.
	Pause(service string)
	Resume(service string)
	// CommandLines are those of all processes of a service.
	CommandLines(service string) []string
	// Options are what opens the driver of an installation in another process, see [Transferring].
	Options(installation string) any
}

// Harness makes machines.
type Harness struct {
	Machine func(t *testing.T) Machine
	// ForgetsRuns is true if a driver that was opened again does not know which lines are of which earlier run.
	ForgetsRuns bool
	// Elsewhere is true if the machine is another one, so that its engine measures what instances use.
	Elsewhere bool
	// Coarse is true if archives of the driver have whole seconds since 1970 only, and no extended attributes.
	Coarse bool
	// Network is true if the driver measures what instances send and receive.
	Network bool
}

// test is one of the suite.
type test struct {
	name string
	run  func(*fixture)
}

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	run(t, h, []test{
		{"Ping", testPing},
		{"UnknownService", testUnknownService},
		{"Lifecycle", testLifecycle},
		{"InvalidSpec", testInvalidSpec},
		{"UnknownEngine", testUnknownEngine},
		{"AnotherSpec", testAnotherSpec},
		{"Generation", testGeneration},
		{"Endpoints", testEndpoints},
		{"Environment", testEnvironment},
		{"ExitCode", testExitCode},
		{"KilledBySignal", testKilledBySignal},
		{"Paused", testPaused},
		{"StopGracefully", testStopGracefully},
		{"StopStubborn", testStopStubborn},
		{"StopEndsWithContext", testStopEndsWithContext},
		{"StopLeavesNothing", testStopLeavesNothing},
		{"PortInUse", testPortInUse},
		{"DataSurvives", testDataSurvives},
		{"DataMissing", testDataMissing},
		{"DataGoneBeforeStart", testDataGoneBeforeStart},
		{"DataMarked", testDataMarked},
		{"Impostor", testImpostor},
		{"Volumes", testVolumes},
		{"RemoveDataInUse", testRemoveDataInUse},
		{"AutoRestart", testAutoRestart},
		{"Adoption", testAdoption},
		{"ExitWhileClosed", testExitWhileClosed},
		{"StoppedThenReopened", testStoppedThenReopened},
		{"Logs", testLogs},
		{"LogsUnknownService", testLogsUnknownService},
		{"LogsOfRuns", testLogsOfRuns},
		{"LogsAcrossRestart", testLogsAcrossRestart},
		{"LogsCancelled", testLogsCancelled},
		{"LogsUnfinishedLine", testLogsUnfinishedLine},
		{"LogsOfCrash", testLogsOfCrash},
		{"LogStreams", testLogStreams},
		{"LogsLongLine", testLogsLongLine},
		{"LogsBinary", testLogsBinary},
		{"LogsReleased", testLogsReleased},
		{"ListIsOwn", testListIsOwn},
		{"ManyAtOnce", testManyAtOnce},
		{"ContextEnded", testContextEnded},
		{"WatchEnds", testWatchEnds},
		{"NATS", testNATS},
		{"Versitygw", testVersitygw},
	})
	run(t, h, []test{
		{"ManyFiles", testManyFiles},
		{"SparseFile", testSparseFile},
	})
	RunUsage(t, h)
	RunExport(t, h)
}

// RunUsage runs the part of the suite that is about what instances use.
func RunUsage(t *testing.T, h Harness) {
	run(t, h, []test{
		{"Usage", testUsage},
		{"UsageOfChildren", testUsageOfChildren},
		{"UsageOfRuns", testUsageOfRuns},
		{"UsageOfRestarts", testUsageOfRestarts},
		{"UsageAcrossRestart", testUsageAcrossRestart},
		{"UsageOfNetwork", testUsageOfNetwork},
		{"NodeUsage", testNodeUsage},
		{"Size", testSize},
	})
}

func run(t *testing.T, h Harness, tests []test) {
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 4*Patience)
			defer cancel()
			f := &fixture{T: t, ctx: ctx, m: h.Machine(t), Harness: h}
			f.d = f.m.Open("first")
			test.run(f)
		})
	}
}

// fixture is one test on one machine.
type fixture struct {
	*testing.T
	ctx context.Context
	m   Machine
	d   driver.Driver
	Harness
}

func (f *fixture) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) wantClass(err error, want driver.Class) {
	f.Helper()
	if err == nil || driver.ClassOf(err) != want {
		f.Fatalf("got error %v of class %v, want class %v", err, driver.ClassOf(err), want)
	}
}

// FreePort is a port that nobody listens on. It is below those that the kernel gives to clients: a client that tries
// such a port of its own machine again and again could be given that very port, and then talks to itself. No other test
// is given it before the test ends, in whatever process and by whatever user it runs.
func FreePort(t *testing.T) int {
	t.Helper()
	for {
		port := 10000 + rand.IntN(10000)
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, used := given.LoadOrStore(port, true); l.Close() == nil && !used && reserve(t, port) {
			return port
		}
	}
}

// reserve reports whether no other process has reserved a port, and reserves it: by a socket in the abstract namespace,
// which is that of the machine's network, as ports are.
func reserve(t *testing.T, port int) bool {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", fmt.Sprintf("@uws-test-port-%d", port))
	if errors.Is(err, syscall.EADDRINUSE) {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return true
}

// Signal sends a signal to a process. One that stops it has done so when Signal returns: it takes the kernel a moment.
func Signal(t *testing.T, pid int, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, sig); err != nil {
		t.Fatal(err)
	}
	if sig != syscall.SIGSTOP {
		return
	}
	Eventually(t, "the process stands still", func() bool {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		return err == nil && !slices.ContainsFunc(threads, func(path string) bool {
			stat, err := os.ReadFile(path)
			return err == nil && !strings.Contains(string(stat), ") T ")
		})
	})
}

// given are the ports that FreePort has given in this process.
var given sync.Map

// eventually waits until ok, looking again and again.
func (f *fixture) eventually(what string, ok func() bool) {
	f.Helper()
	Eventually(f.T, what, ok)
}

// Eventually waits until ok, looking again and again, and fails the test when that takes longer than [Patience].
func Eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	end := time.NewTimer(Patience)
	defer end.Stop()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for !ok() {
		select {
		case <-again.C:
		case <-end.C:
			t.Fatalf("waited %v in vain: %s", Patience, what)
		}
	}
}

// spec is a service of the given engine with one port, called service, on the data service+"-data".
func (f *fixture) spec(service, engine string, args ...string) driver.Spec {
	f.Helper()
	s := driver.Spec{Service: service, Volume: service + "-data", Args: args, Env: map[string]string{}}
	f.m.Fill(&s, engine)
	s.Ports = []driver.Port{{Name: "main", Number: FreePort(f.T), Target: 4000}}
	return s
}

// puppet is a service that runs the puppet, which listens on its port last.
func (f *fixture) puppet(service string, args ...string) driver.Spec {
	f.Helper()
	s := f.spec(service, "puppet", args...)
	s.Args = append(s.Args, "listen="+f.listen(s))
	s.Env[puppetEnv] = "1"
	s.Env["GORACE"] = "atexit_sleep_ms=0" // the race detector's exit takes a second otherwise
	return s
}

// listen is where the instance must listen, in its own view.
func (f *fixture) listen(s driver.Spec) string {
	l := f.d.Layout(s.Service, s.Volume)
	port := s.Ports[0].Target
	if l.HostPorts {
		port = s.Ports[0].Number
	}
	return net.JoinHostPort(l.Address, strconv.Itoa(port))
}

// create prepares and creates. What ends stays so, but for the tests that want otherwise.
func (f *fixture) create(s driver.Spec) {
	f.Helper()
	f.must(f.d.Prepare(f.ctx, s, nil))
	f.must(f.d.Create(f.ctx, s))
	if d, ok := f.d.(driver.AutoRestarter); ok {
		f.must(d.SetAutoRestart(f.ctx, s.Service, false))
	}
}

// start creates and starts, and waits until the port answers.
func (f *fixture) start(s driver.Spec) driver.Observed {
	f.Helper()
	f.create(s)
	f.must(f.d.Start(f.ctx, s.Service))
	f.answers(s)
	return f.inspect(s.Service)
}

func (f *fixture) answers(s driver.Spec) {
	f.Helper()
	f.eventually("service "+s.Service+" listens", func() bool {
		if s.Env[puppetEnv] != "" {
			return f.dial(s.Ports[0].Number)
		}
		c, err := f.connect(loopback(s.Ports[0].Number))
		return err == nil && c.Close() == nil
	})
}

// dial reports whether a puppet listens on a port: it greets. That a connection can be made proves nothing where an
// engine forwards ports.
func (f *fixture) dial(port int) bool { return f.greets(loopback(port)) }

func (f *fixture) greets(address string) bool {
	c, err := f.connect(address)
	if err != nil {
		return false
	}
	defer c.Close()
	if c.SetDeadline(time.Now().Add(5*time.Second)) != nil {
		return false
	}
	got, err := io.ReadAll(c)
	return err == nil && string(got) == greeting
}

func (f *fixture) connect(address string) (net.Conn, error) {
	d := net.Dialer{Timeout: time.Second}
	return d.DialContext(f.ctx, "tcp", address)
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func (f *fixture) inspect(service string) driver.Observed {
	f.Helper()
	o, err := f.d.Inspect(f.ctx, service)
	f.must(err)
	return o
}

// untilStopped waits until a hint comes after which the service does not run.
func (f *fixture) untilStopped(hints <-chan string, service string) driver.Observed {
	f.Helper()
	end := time.NewTimer(Patience)
	defer end.Stop()
	for {
		select {
		case id, open := <-hints:
			if !open {
				f.Fatal("the hints ended")
			}
			if o := f.inspect(service); id == service && !o.Running {
				return o
			}
		case <-end.C:
			f.Fatalf("no hint that service %s has ended: %+v", service, f.inspect(service))
		}
	}
}

// logs returns the newest tail lines of a service, all if tail < 0.
func (f *fixture) logs(service string, tail int) string {
	f.Helper()
	if tail < 0 {
		tail = math.MaxInt
	}
	lines, err := f.logReader().TailLogs(f.ctx, service, tail)
	f.must(err)
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(l.Text + "\n")
	}
	return b.String()
}

func (f *fixture) list() map[string]driver.Observed {
	f.Helper()
	all, err := f.d.List(f.ctx)
	f.must(err)
	byID := map[string]driver.Observed{}
	for _, o := range all {
		byID[o.Service] = o
	}
	if len(byID) != len(all) {
		f.Fatalf("List has a service twice: %v", all)
	}
	return byID
}

func withEnv(s driver.Spec, env map[string]string) driver.Spec {
	s.Env = maps.Clone(s.Env)
	maps.Copy(s.Env, env)
	return s
}

// lineWith is the line of text that begins so, without that beginning.
func lineWith(text, prefix string) string {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, prefix); ok {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}
