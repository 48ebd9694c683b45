package process_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/drivertest"
	"github.com/unicorn-web-services/uws/orchestrator/driver/process"
)

func TestCorruptProgram(t *testing.T) {
	m := newMachine(t)
	d := m.Open("first")
	s := m.puppet("rotten")
	m.start(d, s)
	if err := d.Stop(t.Context(), "rotten", 0); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(m.dir("first"), "engines", "puppet-1", "puppet")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	err := d.Start(t.Context(), "rotten")
	if err == nil || !strings.Contains(err.Error(), "corrupt") || driver.ClassOf(err) != driver.Transient {
		t.Fatalf("Start of a corrupt program says %v", err)
	}
	m.start(d, s) // Prepare fetches it again
}

// An engine is installed only when no process that is being forked can still hold a descriptor for writing to its program.
func TestInstallAwaitsForks(t *testing.T) {
	m := newMachine(t)
	d := m.Open("first")
	prepared := make(chan error, 1)
	syscall.ForkLock.Lock() // as a fork does
	go func() { prepared <- d.Prepare(m.Context(), m.puppet("forks"), nil) }()
	stacks := make([]byte, 1<<20)
	for waits := false; !waits; {
		select {
		case err := <-prepared:
			syscall.ForkLock.Unlock()
			t.Fatalf("Prepare ended (%v) during a fork", err)
		default:
			waits = bytes.Contains(stacks[:runtime.Stack(stacks, true)], []byte("process.awaitForks"))
			runtime.Gosched()
		}
	}
	if _, err := os.Stat(filepath.Join(m.dir("first"), "engines", "puppet-1")); err == nil {
		t.Error("the engine was installed during a fork")
	}
	syscall.ForkLock.Unlock()
	if err := <-prepared; err != nil {
		t.Fatal(err)
	}
}

func TestCorruptPrebuilt(t *testing.T) {
	m := newMachine(t)
	d := m.Open("first")
	m.provide("faulty", "1", "/bin/true")
	if err := os.WriteFile(filepath.Join(m.engines, "faulty-1", "faulty"), []byte("other"), 0o755); err != nil {
		t.Fatal(err)
	}
	err := d.Prepare(t.Context(), driver.Spec{Engine: "faulty", EngineVersion: "1"}, nil)
	if err == nil || driver.ClassOf(err) != driver.Invalid || !strings.Contains(err.Error(), "wrong checksum") {
		t.Errorf("Prepare says %v", err)
	}
	if _, err := os.Stat(filepath.Join(m.dir("first"), "engines", "faulty-1")); err == nil {
		t.Error("it is in the cache")
	}
}

// builder is a driver without prebuilt engines, and a Go that is a shell script.
func builder(t *testing.T, script string) (d driver.Driver, bin string) {
	t.Helper()
	m := newMachine(t)
	m.change = func(o *process.Options) { o.Engines, o.BuildEngines, o.Version = "", true, "1.2.3" }
	bin = t.TempDir()
	if script != "" {
		script = "#!/bin/sh\ncd '" + bin + "'\necho \"$1\" >> calls\n" + script
		if err := os.WriteFile(filepath.Join(bin, "go"), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		t.Setenv("PATH", bin+string(filepath.ListSeparator)+os.Getenv("PATH"))
	} else {
		t.Setenv("PATH", bin)
	}
	return m.Open("first"), bin
}

var natsSpec = driver.Spec{Engine: "nats", EngineVersion: "2.15.2"}

// building is a Go that knows four packages, shows two of them as compiled, and waits for the file "go-on" before
// it is done.
const building = `
case "$1" in
list) echo a; echo b; echo c; echo d ;;
build)
	echo a >&2; echo b >&2
	while [ "$1" != -o ]; do shift; done
	while [ ! -e go-on ]; do sleep 0.01; done
	cp /bin/true "$2" ;;
esac
`

func TestBuildsOnceForAll(t *testing.T) {
	d, bin := builder(t, building)
	var wg sync.WaitGroup
	const callers = 5
	errs := make([]error, callers)
	var halfway sync.WaitGroup // each caller hears of it
	halfway.Add(callers)
	for i := range callers {
		wg.Go(func() {
			var once sync.Once
			errs[i] = d.Prepare(t.Context(), natsSpec, func(p driver.Progress) {
				if p.Percent == 50 && strings.Contains(p.Step, "nats 2.15.2") {
					once.Do(halfway.Done)
				}
			})
		})
	}
	halfway.Wait()
	if err := os.WriteFile(filepath.Join(bin, "go-on"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	calls, err := os.ReadFile(filepath.Join(bin, "calls"))
	if err != nil || string(calls) != "list\nbuild\n" {
		t.Errorf("go was called %q, %v", calls, err)
	}
}

func TestBuildStopsWhenNobodyWantsIt(t *testing.T) {
	d, bin := builder(t, building)
	ctx, cancel := context.WithCancel(t.Context())
	other, cancelOther := context.WithCancel(t.Context())
	begun, otherBegun := make(chan struct{}), make(chan struct{})
	results := make(chan error)
	prepare := func(ctx context.Context, begun chan struct{}) {
		var once sync.Once
		results <- d.Prepare(ctx, natsSpec, func(p driver.Progress) {
			if p.Percent == 50 {
				once.Do(func() { close(begun) })
			}
		})
	}
	go prepare(ctx, begun)
	go prepare(other, otherBegun)
	<-begun
	<-otherBegun
	cancel()
	if err := <-results; !errors.Is(err, context.Canceled) {
		t.Errorf("Prepare says %v", err)
	}
	if !buildRuns(t, bin) {
		t.Error("the build has stopped though one still wants it")
	}
	cancelOther()
	if err := <-results; !errors.Is(err, context.Canceled) {
		t.Errorf("Prepare says %v", err)
	}
	drivertest.Eventually(t, "the build stops", func() bool { return !buildRuns(t, bin) })
}

// buildRuns reports whether the script bin/go runs.
func buildRuns(t *testing.T, bin string) bool {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lines {
		data, err := os.ReadFile(l)
		if err == nil && strings.HasPrefix(string(data), "/bin/sh\x00"+bin) {
			return true
		}
	}
	return false
}

func TestBuildErrors(t *testing.T) {
	for name, test := range map[string]struct {
		script string
		class  driver.Class
		says   string
	}{
		"no go":          {"", driver.Invalid, "uws-1.2.3-linux-"},
		"checksum":       {"echo 'verifying x@v1: checksum mismatch' >&2; exit 1", driver.Invalid, "checksum mismatch"},
		"not in go.sum":  {"echo 'missing go.sum entry for module' >&2; exit 1", driver.Invalid, "missing go.sum entry"},
		"network":        {"echo 'dial tcp: i/o timeout' >&2; exit 1", driver.Transient, "i/o timeout"},
		"no output file": {"exit 0", driver.Transient, "nats-server"},
	} {
		t.Run(name, func(t *testing.T) {
			d, _ := builder(t, test.script)
			err := d.Prepare(t.Context(), natsSpec, nil)
			if err == nil || driver.ClassOf(err) != test.class || !strings.Contains(err.Error(), test.says) {
				t.Errorf("Prepare says %v of class %v", err, driver.ClassOf(err))
			}
		})
	}
}

func TestUnknownEngineIsInvalid(t *testing.T) {
	d, _ := builder(t, building)
	for _, s := range []driver.Spec{{Engine: "nats", EngineVersion: "0.0.1"}, {Engine: "../nats", EngineVersion: "1"}, {Engine: "nats", EngineVersion: ".."}} {
		if err := d.Prepare(t.Context(), s, nil); err == nil || driver.ClassOf(err) != driver.Invalid {
			t.Errorf("%s %s: Prepare says %v", s.Engine, s.EngineVersion, err)
		}
	}
}
