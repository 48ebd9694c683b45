package programs_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
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
	"github.com/unicorn-web-services/uws/orchestrator/driver/process/programs"
)

// provide puts an engine, a copy of /bin/true, into a new folder of prebuilt engines.
func provide(t *testing.T, name, version string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	engine := filepath.Join(dir, name+"-"+version)
	data, err := os.ReadFile("/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	if err := errors.Join(
		os.Mkdir(engine, 0o755), os.WriteFile(filepath.Join(engine, name), data, 0o755),
		os.WriteFile(filepath.Join(engine, "SHA256SUMS"), []byte(hex.EncodeToString(sum[:])+"  "+name+"\n"), 0o644),
	); err != nil {
		t.Fatal(err)
	}
	return dir
}

// newStore returns a store in a new folder.
func newStore(t *testing.T, opts programs.Options) (s *programs.Store, dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "engines")
	s = programs.New(dir, opts)
	t.Cleanup(s.Close)
	return s, dir
}

var trueSpec = driver.Spec{Engine: "true", EngineVersion: "1"}

// An engine is installed only when no process that is being forked can still hold a descriptor for writing to its program.
func TestInstallAwaitsForks(t *testing.T) {
	s, dir := newStore(t, programs.Options{Prebuilt: provide(t, "true", "1")})
	prepared := make(chan error, 1)
	syscall.ForkLock.Lock() // as a fork does
	go func() { prepared <- s.Prepare(t.Context(), trueSpec, nil) }()
	stacks := make([]byte, 1<<20)
	for waits := false; !waits; {
		select {
		case err := <-prepared:
			syscall.ForkLock.Unlock()
			t.Fatalf("Prepare ended (%v) during a fork", err)
		default:
			waits = bytes.Contains(stacks[:runtime.Stack(stacks, true)], []byte("programs.awaitForks"))
			runtime.Gosched()
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "true-1")); err == nil {
		t.Error("the engine was installed during a fork")
	}
	syscall.ForkLock.Unlock()
	if err := <-prepared; err != nil {
		t.Fatal(err)
	}
}

func TestCorruptPrebuilt(t *testing.T) {
	prebuilt := provide(t, "true", "1")
	s, dir := newStore(t, programs.Options{Prebuilt: prebuilt})
	if err := os.WriteFile(filepath.Join(prebuilt, "true-1", "true"), []byte("other"), 0o755); err != nil {
		t.Fatal(err)
	}
	err := s.Prepare(t.Context(), trueSpec, nil)
	if err == nil || driver.ClassOf(err) != driver.Invalid || !strings.Contains(err.Error(), "wrong checksum") {
		t.Errorf("Prepare says %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "true-1")); err == nil {
		t.Error("it is in the store")
	}
}

// A store that is closed fetches nothing.
func TestClosed(t *testing.T) {
	s, dir := newStore(t, programs.Options{Prebuilt: provide(t, "true", "1")})
	s.Close()
	if err := s.Prepare(t.Context(), trueSpec, nil); err == nil {
		t.Error("Prepare of a closed store succeeded")
	}
	if _, err := os.Stat(filepath.Join(dir, "true-1")); err == nil {
		t.Error("the engine is in the store")
	}
}

// builder returns a store without prebuilt engines, and puts a Go that is a shell script into the folder bin of the PATH.
func builder(t *testing.T, script string) (s *programs.Store, bin string) {
	t.Helper()
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
	s, _ = newStore(t, programs.Options{Build: true, Version: "1.2.3"})
	return s, bin
}

var natsSpec = driver.Spec{Engine: "nats", EngineVersion: "2.15.2"}

// building is a Go that lists four packages, prints two of them as compiled, and ends once the file "go-on" exists.
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
	s, bin := builder(t, building)
	var wg sync.WaitGroup
	const callers = 5
	errs := make([]error, callers)
	var halfway sync.WaitGroup // until each caller got this progress
	halfway.Add(callers)
	for i := range callers {
		wg.Go(func() {
			var once sync.Once
			errs[i] = s.Prepare(t.Context(), natsSpec, func(p driver.Progress) {
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

func TestBuildStopsWithItsLastCaller(t *testing.T) {
	s, bin := builder(t, building)
	ctx, cancel := context.WithCancel(t.Context())
	other, cancelOther := context.WithCancel(t.Context())
	begun, otherBegun := make(chan struct{}), make(chan struct{})
	results := make(chan error)
	prepare := func(ctx context.Context, begun chan struct{}) {
		var once sync.Once
		results <- s.Prepare(ctx, natsSpec, func(p driver.Progress) {
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
		t.Error("the build has stopped although a caller waits for it")
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
			s, _ := builder(t, test.script)
			err := s.Prepare(t.Context(), natsSpec, nil)
			if err == nil || driver.ClassOf(err) != test.class || !strings.Contains(err.Error(), test.says) {
				t.Errorf("Prepare says %v of class %v", err, driver.ClassOf(err))
			}
		})
	}
}

func TestUnknownEngineIsInvalid(t *testing.T) {
	s, _ := builder(t, building)
	for _, spec := range []driver.Spec{{Engine: "nats", EngineVersion: "0.0.1"}, {Engine: "../nats", EngineVersion: "1"}, {Engine: "nats", EngineVersion: ".."}} {
		if err := s.Prepare(t.Context(), spec, nil); err == nil || driver.ClassOf(err) != driver.Invalid {
			t.Errorf("%s %s: Prepare says %v", spec.Engine, spec.EngineVersion, err)
		}
	}
}
