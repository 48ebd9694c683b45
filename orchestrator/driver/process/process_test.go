package process_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"io/fs"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/drivertest"
	"github.com/unicorn-web-services/uws/orchestrator/driver/process"
)

func testContext() context.Context { return context.Background() }

// statField is field n, 3 or more, of a line of /proc/PID/stat.
func statField(line string, n int) string {
	return strings.Fields(line[strings.LastIndexByte(line, ')')+1:])[n-3]
}

func containsState(line, state string) bool { return statField(line, 3) == state }

// puppet is a service that runs the puppet, which listens on its port last.
func (m *machine) puppet(service string, args ...string) driver.Spec {
	m.Helper()
	port := drivertest.FreePort(m.T)
	s := driver.Spec{
		Service: service, Volume: service + "-data", Args: append(args, fmt.Sprint("listen=127.0.0.1:", port)),
		Env:   map[string]string{"DRIVERTEST_PUPPET": "1", "GORACE": "atexit_sleep_ms=0"},
		Ports: []driver.Port{{Name: "main", Number: port}},
	}
	m.Fill(&s, "puppet")
	return s
}

func (m *machine) start(d driver.Driver, s driver.Spec) {
	m.Helper()
	for _, err := range []error{d.Prepare(m.Context(), s, nil), d.Create(m.Context(), s), d.Start(m.Context(), s.Service)} {
		if err != nil {
			m.Fatal(err)
		}
	}
	drivertest.Eventually(m.T, s.Service+" listens", func() bool { return answers(s.Ports[0].Number) })
}

func answers(port int) bool {
	c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	return err == nil && c.Close() == nil
}

func (m *machine) logs(d driver.Driver, service string) string {
	m.Helper()
	lines, err := d.(driver.LogReader).TailLogs(context.Background(), service, math.MaxInt) // at the test's end its own context has ended
	if err != nil {
		m.Fatal(err)
	}
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(l.Text + "\n")
	}
	return b.String()
}

// The whole suite again under an ordinary uid, when the tests run as root.
func TestConformanceAsOrdinaryUser(t *testing.T) {
	if os.Geteuid() != 0 {
		return // TestConformance has just done that
	}
	m := newMachine(t)
	real, err := realEngines()
	if err != nil {
		t.Fatal(err)
	}
	tmp := filepath.Join(m.root, "tmp")
	if err := os.Mkdir(tmp, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(tmp, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	tests := filepath.Join(m.root, "tests") // where that user can reach it
	if err := os.WriteFile(tests, program, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(tests, "-test.parallel", "4", "-test.run", "^(TestConformance|TestAdoptionAfterCrash|TestReusedPID|TestEscapedChildren|TestUsageOfEscapedChildren|TestCorruptProgram|TestBackendLeftBehind|TestCopiedFolderAdoptsNothing|TestClonedFolder|TestRenamedFolderAdopts|TestLeftovers|TestInheritedDescriptors)$", "-test.count=1")
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp, "HOME="+tmp, "UWS_TEST_ENGINES="+real, puppetVariable+"="+filepath.Join(m.engines, "puppet-1", "puppet"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v:\n%s", err, out)
	}
}

func TestOwnUIDs(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: uids of their own need root; CI runs this as root")
	}
	m := newMachine(t)
	d := m.Open("first")
	other := m.puppet("other")
	m.start(d, other)
	l := d.Layout("curious", "curious-data")
	s := m.puppet("curious", "identity", "read="+d.Layout("other", other.Volume).Data, "read="+d.Layout("other", "").Config,
		"read="+filepath.Join(m.dir("first"), "services"), "read="+filepath.Dir(l.Data), "read="+l.Data, "read="+l.Config)
	s.Files = map[string]string{"secret.conf": "x"}
	m.start(d, s)
	log := m.logs(d, "curious")
	info, err := os.Stat(l.Data)
	if err != nil {
		t.Fatal(err)
	}
	uid := info.Sys().(*syscall.Stat_t).Uid
	otherInfo, err := os.Stat(d.Layout("other", other.Volume).Data)
	if err != nil {
		t.Fatal(err)
	}
	if otherUID := otherInfo.Sys().(*syscall.Stat_t).Uid; uid == otherUID || uid < 0x70000000 || otherUID < 0x70000000 {
		t.Errorf("the uids are %d and %d", uid, otherUID)
	}
	four := strings.Repeat(fmt.Sprint("\t", uid), 4)
	for _, want := range []string{"Uid:" + four + "\n", "Gid:" + four + "\n", "\nGroups:\t \n", "NoNewPrivs:\t1\n", "CapEff:\t0000000000000000\n"} {
		if !strings.Contains(log, want) {
			t.Errorf("its status lacks %q:\n%s", want, log)
		}
	}
	if got := strings.Count(log, "permission denied"); got != 4 {
		t.Errorf("%d of 4 folders were closed to it:\n%s", got, log)
	}
	if got := strings.Count(log, ": <nil>\n"); got != 2 {
		t.Errorf("%d of its own 2 folders were open to it:\n%s", got, log)
	}
	conf, err := os.Stat(filepath.Join(l.Config, "secret.conf"))
	if err != nil || conf.Mode().Perm() != 0o600 || conf.Sys().(*syscall.Stat_t).Uid != uid {
		t.Errorf("its configuration is %v, %v", conf, err)
	}
}

func TestUnreachableFolder(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: only root's engines run under other uids; CI runs this as root")
	}
	m := newMachine(t)
	closed := filepath.Join(m.root, "closed")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	o := m.options("first")
	o.Dir = filepath.Join(closed, "state")
	_, err := process.New(o)
	if err == nil {
		t.Fatal("New took a folder that engines cannot reach")
	}
	for _, want := range []string{closed, "0700", "--data-dir", "chmod o+x", "ordinary user"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
}

// Children that left the session and wiped their environment end with the service too.
func TestEscapedChildren(t *testing.T) {
	m := newMachine(t)
	d := m.Open("first")
	for _, grace := range []time.Duration{0, time.Hour} {
		child := drivertest.FreePort(t)
		m.start(d, m.puppet("leaky", fmt.Sprint("escape=127.0.0.1:", child)))
		drivertest.Eventually(t, "the child listens", func() bool { return answers(child) })
		if err := d.Stop(t.Context(), "leaky", grace); err != nil {
			t.Fatal(err)
		}
		if answers(child) {
			t.Errorf("after a grace of %v the child is still there", grace)
		}
		if err := d.Remove(t.Context(), "leaky"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSecretsAreNotKept(t *testing.T) {
	m := newMachine(t)
	d := m.Open("first")
	s := m.puppet("discreet")
	secret := rand.Text()
	s.Env["PASSWORD"] = secret
	m.start(d, s)
	err := filepath.WalkDir(m.dir("first"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if strings.Contains(string(data), secret) {
			t.Errorf("%s holds the secret", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestNoThreadPerProcess(t *testing.T) {
	m := newMachine(t)
	d := m.Open("first")
	threads := func() int {
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			t.Fatal(err)
		}
		return len(tasks)
	}
	m.start(d, m.puppet("warm-up"))
	before := threads()
	const n = 24
	for i := range n {
		m.start(d, m.puppet(fmt.Sprint("thread-", i)))
	}
	if after := threads(); after-before > n/2 {
		t.Errorf("%d instances took %d threads", n, after-before)
	}
}

func TestOptions(t *testing.T) {
	for field, o := range map[string]process.Options{
		"Dir":          {Dir: "relative", Installation: "a"},
		"Installation": {Dir: "/x", Installation: "a/b"},
		"Engines":      {Dir: "/x", Installation: "a", Engines: "relative"},
		"UIDBase":      {Dir: "/x", Installation: "a", UIDBase: 1},
		"LogBytes":     {Dir: "/x", Installation: "a", LogBytes: -1},
		"Sandbox":      {Dir: "/x", Installation: "a", Sandbox: "maybe"},
	} {
		if err := o.Validate(); err == nil || !strings.HasPrefix(err.Error(), "option "+field+" ") {
			t.Errorf("%s: Validate says %v", field, err)
		}
	}
	if err := (process.Options{Dir: "/x", Installation: "a"}).Validate(); err != nil {
		t.Error(err)
	}
}

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

func TestMissingProgram(t *testing.T) {
	m := newMachine(t)
	d := m.Open("first")
	s := m.puppet("absent")
	s.Engine, s.EngineVersion, s.Program, s.Package = "", "", "no-such-program", "no-such-package"
	err := d.Prepare(t.Context(), s, nil)
	if err == nil || driver.ClassOf(err) != driver.Invalid || !strings.Contains(err.Error(), "install the package no-such-package") {
		t.Errorf("Prepare says %v of class %v", err, driver.ClassOf(err))
	}
	s.Program = "../evil"
	if err := d.Create(t.Context(), s); driver.ClassOf(err) != driver.Invalid {
		t.Errorf("Create says %v", err)
	}
	s.Program, s.Engine, s.EngineVersion = "", "puppet", "1"
	s.Init = &driver.Init{Program: "initdb"}
	if err := d.Prepare(t.Context(), s, nil); err != nil {
		t.Fatal(err)
	}
	if err := d.Create(t.Context(), s); err == nil || driver.ClassOf(err) != driver.Invalid || !strings.Contains(err.Error(), `has no program "initdb"`) {
		t.Errorf("Create says %v", err)
	}
}
