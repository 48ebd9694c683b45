package process_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/unicorn-web-services/uws/engines"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/drivertest"
	"github.com/unicorn-web-services/uws/orchestrator/driver/process"
	"github.com/unicorn-web-services/uws/orchestrator/driver/process/programs"
	"github.com/unicorn-web-services/uws/test/uwstest"
)

func TestMain(m *testing.M) {
	drivertest.Transferring(func(options json.RawMessage) (driver.Driver, error) {
		o := process.Options{}
		if err := json.Unmarshal(options, &o); err != nil {
			return nil, err
		}
		return process.New(o)
	})
	crashingOrchestrator()
	os.Exit(run(m))
}

// puppetVariable has the path of the puppet, also for the tests that run as another user.
const puppetVariable = "UWS_TEST_PUPPET"

func run(m *testing.M) int {
	if os.Getenv(puppetVariable) == "" {
		dir, err := os.MkdirTemp("", "uws-puppet-")
		if err == nil {
			defer os.RemoveAll(dir)
			err = errors.Join(os.Chmod(dir, 0o755), uwstest.Build(dir, uwstest.Puppet), os.Setenv(puppetVariable, uwstest.Path(dir, uwstest.Puppet)))
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return m.Run()
}

func TestConformance(t *testing.T) {
	drivertest.Run(t, drivertest.Harness{Machine: func(t *testing.T) drivertest.Machine { return newMachine(t) }})
}

// realEngines is a folder with the pinned engines: $UWS_TEST_ENGINES, else build/engines in the repository,
// where those that are missing are built.
var realEngines = sync.OnceValues(func() (string, error) {
	dir, err := filepath.Abs("../../../build/engines")
	if err != nil {
		return "", err
	}
	if set := os.Getenv("UWS_TEST_ENGINES"); set != "" {
		dir = set
	}
	err = programs.FetchAll(context.Background(), dir, func(engine string, p driver.Progress) {
		fmt.Printf("%s: %s %.0f %%\n", engine, p.Step, p.Percent)
	})
	return dir, err
})

// machine is a state folder for each installation, and a folder of prebuilt engines that has the puppet too.
type machine struct {
	*testing.T
	root    string
	unique  string // part of the installations' ids: other tests may run at the same time on this computer
	engines string
	opened  map[string]*process.Driver
	change  func(*process.Options)

	inherited []*os.File // descriptors that crashing orchestrators are started with
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{T: t, root: reachableTemp(t), unique: "-" + rand.Text(), opened: map[string]*process.Driver{}}
	m.engines = filepath.Join(m.root, "prebuilt")
	real, err := realEngines()
	if err != nil {
		t.Fatalf("the engines for tests cannot be had: %v", err)
	}
	m.provide("puppet", "1", os.Getenv(puppetVariable))
	all, err := engines.All()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if err := os.Symlink(filepath.Join(real, e.ID()), filepath.Join(m.engines, e.ID())); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(m.clear)
	return m
}

// reachableTemp is a temporary folder that unprivileged uids can reach, as root's state folder must be.
func reachableTemp(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// provide puts a program into the folder of prebuilt engines.
func (m *machine) provide(name, version, program string) {
	m.Helper()
	dir := filepath.Join(m.engines, name+"-"+version)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		m.Fatal(err)
	}
	data, err := os.ReadFile(program)
	if err != nil {
		m.Fatal(err)
	}
	sum := sha256.Sum256(data)
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o755); err != nil {
		m.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "SHA256SUMS"), []byte(hex.EncodeToString(sum[:])+"  "+name+"\n"), 0o644); err != nil {
		m.Fatal(err)
	}
}

func (m *machine) installation(name string) string { return name + m.unique }

func (m *machine) dir(installation string) string { return filepath.Join(m.root, installation) }

func (m *machine) options(installation string) process.Options {
	o := process.Options{
		Dir: m.dir(installation), Installation: m.installation(installation), Engines: m.engines,
		Log: slog.New(slog.DiscardHandler),
	}
	if m.change != nil {
		m.change(&o)
	}
	return o
}

func (m *machine) Open(installation string) driver.Driver {
	m.Helper()
	if old := m.opened[installation]; old != nil {
		if err := old.Close(); err != nil {
			m.Fatal(err)
		}
	}
	d, err := process.New(m.options(installation))
	if err != nil {
		m.Fatal(err)
	}
	m.opened[installation] = d
	return d
}

// clear ends what a test left running.
func (m *machine) clear() {
	for _, d := range m.opened {
		_ = d.Close()
	}
	for installation := range m.opened {
		d, err := process.New(m.options(installation))
		if err != nil {
			m.Error(err)
			continue
		}
		all, err := d.List(context.Background())
		if err != nil {
			m.Error(err)
		}
		for _, o := range all {
			if m.Failed() {
				m.Logf("%s %+v has printed:\n%s", installation, o, m.logs(d, o.Service))
			}
			if err := d.Remove(context.Background(), o.Service); err != nil {
				m.Error(err)
			}
		}
		if err := d.Close(); err != nil {
			m.Error(err)
		}
	}
}

func (m *machine) Fill(spec *driver.Spec, engine string) {
	switch engine {
	case "puppet":
		spec.Engine, spec.EngineVersion = "puppet", "1"
	default:
		all, err := engines.All()
		if err != nil {
			m.Fatal(err)
		}
		i := slices.IndexFunc(all, func(e engines.Engine) bool { return e.Name == engine })
		spec.Engine, spec.EngineVersion = engine, all[i].Version
	}
}

func (m *machine) Options(installation string) any {
	o := m.options(installation)
	o.Log = nil
	return o
}

func (m *machine) Unknown(spec *driver.Spec) { spec.Engine = "no-such-engine" }

func (m *machine) Pause(service string)  { m.Signal(service, syscall.SIGSTOP) }
func (m *machine) Resume(service string) { m.Signal(service, syscall.SIGCONT) }

// processes are the pids of a service in any of the machine's installations, leaders of their session first.
func (m *machine) processes(service string) []int {
	m.Helper()
	names, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		m.Fatal(err)
	}
	var leaders, others []int
	for _, name := range names {
		env, err := os.ReadFile(name)
		if err != nil || !strings.Contains(string(env), "UWS_SERVICE="+service+"\x00") || !m.hasInstallationOf(string(env)) {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if sid, _, errno := syscall.Syscall(syscall.SYS_GETSID, uintptr(pid), 0, 0); errno == 0 && int(sid) == pid {
			leaders = append(leaders, pid)
		} else {
			others = append(others, pid)
		}
	}
	return append(leaders, others...)
}

// hasInstallationOf tells this machine's processes from those of tests beside it: by the folder they live in.
func (m *machine) hasInstallationOf(env string) bool {
	return strings.Contains(env, "HOME="+m.root+"/")
}

func (m *machine) Signal(service string, sig syscall.Signal) {
	m.Helper()
	pids := m.processes(service)
	if len(pids) == 0 {
		m.Fatalf("service %s has no process", service)
	}
	drivertest.Signal(m.T, pids[0], sig)
}

func (m *machine) CommandLines(service string) []string {
	var lines []string
	for _, pid := range m.processes(service) {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err == nil && len(data) > 0 {
			lines = append(lines, strings.ReplaceAll(string(data), "\x00", " "))
		}
	}
	return lines
}
