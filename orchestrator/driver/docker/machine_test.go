package docker_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/docker"
	"github.com/unicorn-web-services/uws/orchestrator/driver/docker/endpoint"
	"github.com/unicorn-web-services/uws/orchestrator/driver/drivertest"
	"github.com/unicorn-web-services/uws/test/dockertest"
)

func TestConformance(t *testing.T) {
	drivertest.Run(t, drivertest.Harness{Machine: func(t *testing.T) drivertest.Machine { return newMachine(t) }, ForgetsRuns: true, Network: true, Coarse: true})
}

// machine is a real engine, with names of its own for the installations of one test.
type machine struct {
	*testing.T
	engine *dockertest.Engine
	mark   string // of this test's installations
	opened map[string]*docker.Driver

	connection endpoint.Connection // of the drivers
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	e, err := dockertest.Shared()
	if err != nil {
		t.Fatal(err)
	}
	return machineOn(t, e)
}

func machineOn(t *testing.T, e *dockertest.Engine) *machine {
	t.Helper()
	m := &machine{T: t, engine: e, mark: strings.ToLower(rand.Text()[:6]), opened: map[string]*docker.Driver{},
		connection: endpoint.Connection{Endpoint: e.Host}}
	t.Cleanup(m.clear)
	return m
}

func (m *machine) docker(args ...string) string {
	m.Helper()
	out, err := m.engine.Docker(args...)
	if err != nil {
		m.Fatal(err)
	}
	return out
}

func (m *machine) installation(name string) string { return name + "-" + m.mark }

func (m *machine) Open(name string) driver.Driver {
	m.Helper()
	if old := m.opened[name]; old != nil {
		if err := old.Close(); err != nil {
			m.Fatal(err)
		}
	}
	o := m.options(name)
	o.Log = slog.New(slog.DiscardHandler)
	d, err := docker.New(o)
	if err != nil {
		m.Fatal(err)
	}
	m.opened[name] = d
	return d
}

func (m *machine) options(name string) docker.Options {
	return docker.Options{Connection: m.connection, Installation: m.installation(name)}
}

func (m *machine) Options(name string) any { return m.options(name) }

// clear removes what a test left.
func (m *machine) clear() {
	for name, d := range m.opened {
		all, err := d.List(context.Background())
		if err != nil {
			m.Error(err)
		}
		for _, o := range all {
			if m.Failed() {
				m.Logf("%+v\n%s", o, m.docker("logs", "--tail", "20", m.container(name, o.Service)))
			}
		}
		if err := d.Close(); err != nil {
			m.Error(err)
		}
		label := "label=" + driver.LabelInstallation + "=" + m.installation(name)
		if ids := strings.Fields(m.docker("ps", "-aq", "--filter", label)); len(ids) > 0 {
			m.docker(append([]string{"rm", "-f"}, ids...)...)
		}
		if ids := strings.Fields(m.docker("volume", "ls", "-q", "--filter", label)); len(ids) > 0 {
			m.docker(append([]string{"volume", "rm"}, ids...)...)
		}
		if ids := strings.Fields(m.docker("network", "ls", "-q", "--filter", label)); len(ids) > 0 {
			m.docker(append([]string{"network", "rm"}, ids...)...)
		}
	}
}

func (m *machine) Fill(spec *driver.Spec, engine string) {
	m.Helper()
	if engine == "puppet" {
		spec.Image = dockertest.PuppetImage
		return
	}
	ref, err := m.engine.ImportEngine(m.Context(), engine)
	if err != nil {
		m.Fatal(err)
	}
	spec.Image = ref
	if engine == "nats" { // its image's folder for data belongs to this user
		spec.User = "65532:65532"
	}
}

func (m *machine) Unknown(spec *driver.Spec) { spec.Image = "not a reference" }

// container is the name of a service's container.
func (m *machine) container(installation, service string) string {
	id := m.installation(installation)
	return "uws-" + id[:min(12, len(id))] + "-" + service
}

// processes are the pids of a service's container: the init process, and then the engine's.
func (m *machine) processes(service string) []int {
	m.Helper()
	id := m.docker("inspect", "--format", "{{.Id}}", m.container("first", service))
	files, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		m.Fatal(err)
	}
	var pids []int
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil || !strings.Contains(string(text), id) {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(f)))
		pids = append(pids, pid)
	}
	return pids
}

func (m *machine) Signal(service string, sig syscall.Signal) {
	m.Helper()
	pid, err := m.engine.MainPID(m.container("first", service))
	if err != nil || pid == 0 {
		m.Fatalf("service %s has no process (%v)", service, err)
	}
	drivertest.Signal(m.T, pid, sig)
}

func (m *machine) Pause(service string)  { m.docker("pause", m.container("first", service)) }
func (m *machine) Resume(service string) { m.docker("unpause", m.container("first", service)) }

func (m *machine) CommandLines(service string) []string {
	if _, err := m.engine.Docker("inspect", m.container("first", service)); err != nil {
		return nil
	}
	var lines []string
	for _, pid := range m.processes(service) {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err == nil && len(data) > 0 {
			lines = append(lines, strings.ReplaceAll(string(data), "\x00", " "))
		}
	}
	return lines
}

// People find a service by its name in the engine. A container with a name of older versions, or one that somebody
// renamed, is the same container.
func TestNames(t *testing.T) {
	m := newMachine(t)
	d := m.Open("first")
	spec := driver.Spec{Service: "s1", Name: "orders", Volume: "v1", Image: dockertest.PuppetImage, Args: []string{"listen=0.0.0.0:4000"},
		Env: map[string]string{"DRIVERTEST_PUPPET": "1"}, Ports: []driver.Port{{Name: "main", Number: drivertest.FreePort(t), Target: 4000}}}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(d.Create(t.Context(), spec))
	must(d.Start(t.Context(), "s1"))
	old := m.container("first", "s1")
	named := strings.TrimSuffix(old, "s1") + "orders-s1"
	if got := m.docker("inspect", "--format", `{{.Name}} {{index .Config.Labels "uws.name"}}`, named); got != "/"+named+" orders" {
		t.Errorf("it is %s", got)
	}
	if got := m.docker("volume", "inspect", "--format", `{{index .Labels "uws.name"}}`, strings.TrimSuffix(old, "s1")+"v1"); got != "orders" {
		t.Errorf("its volume is labelled %q", got)
	}
	first, err := d.Inspect(t.Context(), "s1")
	must(err)
	for _, name := range []string{old, "anything"} {
		m.docker("rename", named, name)
		named = name
		d = m.Open("first")
		must(d.Create(t.Context(), spec))
		if o, err := d.Inspect(t.Context(), "s1"); err != nil || !o.Running || o.Instance != first.Instance {
			t.Errorf("as %s: %+v, %v", name, o, err)
		}
		if all, err := d.List(t.Context()); err != nil || len(all) != 1 {
			t.Errorf("List says %v, %v", all, err)
		}
	}
	must(d.Remove(t.Context(), "s1"))
	if o, err := d.Inspect(t.Context(), "s1"); err != nil || o.Exists {
		t.Errorf("removed: %+v, %v", o, err)
	}
}

// A container of an older version, whose labels do not name its ports, is kept. Where it listens is not known.
func TestNoPortNames(t *testing.T) {
	m := newMachine(t)
	d := m.Open("first")
	number := drivertest.FreePort(t)
	spec := driver.Spec{Service: "s1", Volume: "v1", Image: dockertest.PuppetImage, Args: []string{"listen=0.0.0.0:4000"},
		Env: map[string]string{"DRIVERTEST_PUPPET": "1"}, Ports: []driver.Port{{Name: "main", Number: number, Target: 4000}}}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(d.Create(t.Context(), spec))
	name := m.container("first", "s1")
	args := []string{"create", "--name", name, "--publish", fmt.Sprintf("127.0.0.1:%d:4000", number), "--env", "DRIVERTEST_PUPPET=1",
		"--network", m.docker("inspect", "--format", "{{.HostConfig.NetworkMode}}", name),
		"--mount", m.docker("inspect", "--format", "{{range .Mounts}}type=volume,src={{.Name}},dst={{.Destination}}{{end}}", name)}
	for label := range strings.Lines(m.docker("inspect", "--format", `{{range $name, $value := .Config.Labels}}{{println $name $value}}{{end}}`, name)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(label), " "); ok && name != "uws.ports" {
			args = append(args, "--label", name+"="+value)
		}
	}
	m.docker("rm", name)
	old := m.docker(append(args, dockertest.PuppetImage, "listen=0.0.0.0:4000")...)
	must(d.Create(t.Context(), spec))
	must(d.Start(t.Context(), "s1"))
	if got := m.docker("inspect", "--format", "{{.Id}}", name); got != old {
		t.Errorf("container %s was replaced by %s", old, got)
	}
	if o, err := d.Inspect(t.Context(), "s1"); err != nil || !o.Running || o.Endpoints != nil {
		t.Errorf("it is %+v, %v; want it running, and no endpoints", o, err)
	}
}

// However many ask at once, and whatever they ask first: the version of the API is settled before.
func TestAskedAtOnce(t *testing.T) {
	d := newMachine(t).Open("fresh")
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if _, err := d.List(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}
