// Package systemd runs deploy/uws.service in a private systemd, as root.
package systemd

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/unicorn-web-services/uws/test/stories"
	"github.com/unicorn-web-services/uws/test/uwstest"
)

const dataDir = "/var/lib/uws" // as in the unit

func TestMain(m *testing.M) { os.Exit(uwstest.Main(m, uwstest.UWS)) }

// Engines of all kinds run in the unit's sandbox. Stopping, restarting or killing uws does not end them.
func TestUnit(t *testing.T) {
	m := boot(t)
	m.systemctl("start", "uws")
	p := m.uws()
	m.confined()

	all := map[string]stories.Engine{}
	for _, e := range stories.Engines {
		s := stories.Launch(t, p, e.Kind, "in-"+e.Template, map[string]any{"template": e.Template})
		all[s.ID] = e
		m.must(e.Client.Write(t.Context(), s.Endpoint, m.keys(p, s.ID), "meow"))
	}
	runs := m.runs()
	if len(runs) != len(all) {
		t.Fatalf("%d services run, want %d", len(runs), len(all))
	}
	asBefore := func(when string) {
		t.Helper()
		for id, e := range all {
			s := stories.Healthy(t, p, id, 0)
			if text, err := e.Client.Read(t.Context(), s.Endpoint, m.keys(p, id)); err != nil || text != "meow" {
				t.Errorf("%s: read %q from %s, %v", when, text, s.Name, err)
			}
			if s.Restarts != 0 {
				t.Errorf("%s: %s was restarted", when, s.Name)
			}
		}
		if now := m.runs(); fmt.Sprint(now) != fmt.Sprint(runs) {
			t.Errorf("%s: the runs are %v, were %v", when, now, runs)
		}
	}
	asBefore("at first")

	m.systemctl("restart", "uws")
	m.ready(p)
	asBefore("after a restart")

	m.systemctl("stop", "uws")
	if now := m.runs(); fmt.Sprint(now) != fmt.Sprint(runs) {
		t.Errorf("while uws is stopped the runs are %v, were %v", now, runs)
	}
	m.systemctl("start", "uws")
	m.ready(p)
	asBefore("after a stop and a start")

	died := m.mainPID()
	m.must(syscall.Kill(died, syscall.SIGKILL))
	m.must(uwstest.Until(t.Context(), "systemd brings uws back", func() (bool, error) {
		now := m.mainPID()
		return now != 0 && now != died, nil
	}))
	m.ready(p)
	asBefore("after uws was killed")

	for id := range all {
		pid, err := uwstest.EnginePID(id)
		m.must(err)
		m.must(syscall.Kill(pid, syscall.SIGKILL))
		stories.Healthy(t, p, id, 1)
		stories.Remove(t, p, id, "DELETE")
	}
	if now := m.runs(); len(now) != 0 {
		t.Errorf("still there: %v", now)
	}
}

// machine is a systemd with its own process and mount namespaces, and the network of this machine.
type machine struct {
	*testing.T
	init *exec.Cmd
	url  string
}

func boot(t *testing.T) *machine {
	if os.Getuid() != 0 {
		t.Fatal("this needs root")
	}
	repo, err := uwstest.Repo()
	if err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	settings := filepath.Join(t.TempDir(), "uws.env")
	text := "UWS_LISTEN=" + address + "\nUWS_LOCAL_NODE=process\nUWS_ENGINES=/opt/engines\nUWS_ENGINE_SANDBOX=require\n"
	if err := os.WriteFile(settings, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	m := &machine{T: t, url: "http://" + address, init: exec.Command("testdata/boot",
		filepath.Join(repo, "deploy", "uws.service"), uwstest.Binary, uwstest.EnginesFolder(t), settings)}
	var out uwstest.Output
	m.init.Stdout, m.init.Stderr = &out, &out
	m.init.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setsid: true, Cloneflags: syscall.CLONE_NEWPID |
		syscall.CLONE_NEWNS | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC | syscall.CLONE_NEWCGROUP}
	m.must(m.init.Start())
	t.Cleanup(func() {
		if t.Failed() {
			journal, _ := m.in("journalctl", "--unit=uws", "--no-pager")
			t.Logf("init printed:\n%s\nthe journal of uws:\n%s", out.String(), journal)
		}
		_ = m.init.Process.Kill() // which ends all its processes
		_ = m.init.Wait()
	})
	m.must(uwstest.Until(t.Context(), "systemd has booted", func() (bool, error) {
		state, _ := m.in("systemctl", "is-system-running") // fails until systemd runs
		return state == "running" || state == "degraded", nil
	}))
	return m
}

func freeAddress(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (m *machine) must(err error) {
	m.Helper()
	if err != nil {
		m.Fatal(err)
	}
}

// in runs a command in the machine.
func (m *machine) in(args ...string) (string, error) {
	enter := []string{"--target", strconv.Itoa(m.init.Process.Pid), "--mount", "--pid", "--root", "--wd"}
	out, err := exec.CommandContext(m.Context(), "nsenter", append(enter, args...)...).Output()
	return strings.TrimSpace(string(out)), err
}

func (m *machine) systemctl(args ...string) {
	m.Helper()
	if out, err := m.in(append([]string{"systemctl"}, args...)...); err != nil {
		m.Fatalf("systemctl %s: %v\n%s", args, err, out)
	}
}

// uws waits until uws is ready and creates a token.
func (m *machine) uws() *uwstest.Process {
	m.Helper()
	p := &uwstest.Process{URL: m.url}
	m.ready(p)
	token, err := m.in("/usr/local/bin/uws", "token", "create", "--name", "tests", "--role", "ADMIN", "--data-dir", dataDir, "--quiet")
	m.must(err)
	p.Token = token
	return p
}

func (m *machine) ready(p *uwstest.Process) {
	m.Helper()
	m.must(uwstest.Until(m.Context(), "uws is ready", func() (bool, error) { return p.Ready(), nil }))
}

// mainPID returns the pid of uws in this machine's namespace, or 0 if there is none.
func (m *machine) mainPID() int {
	m.Helper()
	procs, err := filepath.Glob("/proc/[0-9]*/exe")
	m.must(err)
	inside, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", m.init.Process.Pid))
	m.must(err)
	for _, exe := range procs {
		dir := filepath.Dir(exe)
		target, err := os.Readlink(exe)
		if ns, _ := os.Readlink(filepath.Join(dir, "ns", "pid")); err != nil || ns != inside || !strings.HasSuffix(target, "/usr/local/bin/uws") {
			continue // not ours, or it has ended
		}
		line, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil && strings.HasPrefix(string(line), "/usr/local/bin/uws\x00serve\x00") {
			return pid
		}
	}
	return 0
}

// confined fails unless uws has exactly the capabilities that the unit names, and cannot gain others.
func (m *machine) confined() {
	m.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", m.mainPID()))
	m.must(err)
	var bits uint64
	for _, capability := range []int{
		0,  // CAP_CHOWN
		1,  // CAP_DAC_OVERRIDE
		3,  // CAP_FOWNER
		5,  // CAP_KILL
		6,  // CAP_SETGID
		7,  // CAP_SETUID
		10, // CAP_NET_BIND_SERVICE
		19, // CAP_SYS_PTRACE
	} {
		bits |= 1 << capability
	}
	for _, want := range []string{"NoNewPrivs:\t1", "Seccomp:\t2", fmt.Sprintf("CapBnd:\t%016x", bits), fmt.Sprintf("CapEff:\t%016x", bits)} {
		if !strings.Contains(string(status), want+"\n") {
			m.Errorf("uws does not have %q:\n%s", want, status)
		}
	}
}

// runs returns the marks of the running instances by service.
func (m *machine) runs() map[string]string {
	m.Helper()
	all, err := uwstest.EngineProcesses(dataDir)
	m.must(err)
	runs := map[string]string{}
	for _, e := range all {
		runs[e.Service] = e.Run
	}
	return runs
}

func (m *machine) keys(p *uwstest.Process, id string) map[string]string {
	m.Helper()
	keys, err := p.Credentials(m.Context(), id)
	m.must(err)
	return keys
}
