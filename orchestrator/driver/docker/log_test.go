package docker_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/docker"
	"github.com/unicorn-web-services/uws/orchestrator/driver/drivertest"
	"github.com/unicorn-web-services/uws/test/dockertest"
)

// reader follows a log until its context ends.
type reader struct {
	*testing.T
	mu    sync.Mutex
	lines []driver.LogLine
	at    string
	err   error
	done  chan struct{}
	end   context.CancelFunc
}

// follow follows the log of the talker after a position. Before are lines that were read before.
func follow(t *testing.T, d driver.LogReader, after string, before ...driver.LogLine) *reader {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := &reader{T: t, lines: before, at: after, done: make(chan struct{}), end: cancel}
	go func() {
		defer close(r.done)
		err := d.FollowLogs(ctx, "talker", after, func(b driver.LogBatch) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.lines, r.at = append(r.lines, b.Lines...), b.Position
			return nil
		})
		r.mu.Lock()
		defer r.mu.Unlock()
		r.err = err
	}()
	t.Cleanup(func() {
		if at, err := r.stop(); t.Failed() {
			t.Logf("at %s (%v): %.2000q", at, err, r.texts())
		}
	})
	return r
}

// stop ends the following and returns the position and the error.
func (r *reader) stop() (string, error) {
	r.end()
	return r.wait()
}

// wait waits until the following has ended by itself.
func (r *reader) wait() (string, error) {
	<-r.done
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.at, r.err
}

func (r *reader) texts() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return texts(r.lines)
}

func texts(lines []driver.LogLine) []string {
	var all []string
	for _, l := range lines {
		all = append(all, l.Text)
	}
	return all
}

// until waits until a line has been read.
func (r *reader) until(line string) {
	r.Helper()
	drivertest.Eventually(r.T, "the log has "+line, func() bool { return slices.Contains(r.texts(), line) })
}

// find returns a line that has been read.
func (r *reader) find(text string) driver.LogLine {
	r.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.IndexFunc(r.lines, func(l driver.LogLine) bool { return l.Text == text })
	if i < 0 {
		r.Fatalf("no line %q", text)
	}
	return r.lines[i]
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// talker creates and starts a puppet, which prints "listening" first and then what [machine.say] makes it say.
func (m *machine) talker(d *docker.Driver, args ...string) {
	m.Helper()
	spec := driver.Spec{Service: "talker", Volume: "talker", Image: dockertest.PuppetImage, Args: append(args, "listen=0.0.0.0:4000"),
		Env: map[string]string{"DRIVERTEST_PUPPET": "1"}, Ports: []driver.Port{{Name: "main", Number: drivertest.FreePort(m.T), Target: 4000}}}
	must(m.T, d.Create(m.Context(), spec))
	must(m.T, d.Start(m.Context(), "talker"))
}

// say writes to the stdout (1) or the stderr (2) of the talker.
func (m *machine) say(fd int, format string, args ...any) {
	m.Helper()
	pid, err := m.engine.MainPID(m.container("first", "talker"))
	must(m.T, err)
	out, err := os.OpenFile(filepath.Join("/proc", fmt.Sprint(pid), "fd", fmt.Sprint(fd)), os.O_WRONLY, 0)
	must(m.T, err)
	defer out.Close()
	_, err = fmt.Fprintf(out, format, args...)
	must(m.T, err)
}

func (m *machine) open() *docker.Driver { return m.Open("first").(*docker.Driver) }

func (m *machine) instance(d *docker.Driver) string {
	m.Helper()
	o, err := d.Inspect(m.Context(), "talker")
	must(m.T, err)
	return o.Instance
}

// Each line comes once and in order, over restarts of the container, also by its engine, and each has the id of its run.
func TestLogsOverRestarts(t *testing.T) {
	m := newMachine(t)
	d := m.open()
	m.talker(d)
	r := follow(t, d, "")
	r.until("listening")
	var runs, want []string
	for n := range 3 {
		runs = append(runs, m.instance(d))
		line := fmt.Sprintf("run %d", n)
		m.say(1+n%2, "%s\nunfinished %d", line, n)
		want = append(want, "listening", line, fmt.Sprintf("unfinished %d", n))
		r.until(line)
		if n == 0 {
			m.docker("kill", m.container("first", "talker"))
			at, err := r.wait()
			must(t, err)
			m.docker("start", m.container("first", "talker"))
			r = follow(t, d, at, r.lines...)
		} else { // its engine starts it again
			m.Signal("talker", 9)
		}
		drivertest.Eventually(t, "the next run", func() bool { return m.instance(d) != runs[n] })
		r.until(fmt.Sprintf("unfinished %d", n))
		drivertest.Eventually(t, "it listens again", func() bool { return strings.Count(fmt.Sprint(r.texts()), "listening") == n+2 })
	}
	for n, id := range runs {
		if l := r.find(fmt.Sprintf("run %d", n)); l.Run != id || l.Stream != []driver.LogStream{driver.Stdout, driver.Stderr}[n%2] {
			t.Errorf("run %d is %s: %+v", n, id, l)
		}
		if l := r.find(fmt.Sprintf("unfinished %d", n)); l.Run != id {
			t.Errorf("run %d is %s: %+v", n, id, l)
		}
	}
	got := r.texts()
	if want = append(want, "listening"); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	other := follow(t, m.open(), "") // it has not seen the earlier runs
	other.until("unfinished 2")
	drivertest.Eventually(t, "it has all", func() bool { return len(other.texts()) == len(got) })
	for n := range runs {
		if l := other.find(fmt.Sprintf("run %d", n)); l.Run != "" {
			t.Errorf("the run of %+v is not known", l)
		}
	}
	d = m.opened["first"]
	if l := other.lines[len(other.lines)-1]; l.Run != m.instance(d) {
		t.Errorf("%+v is not of run %s", l, m.instance(d))
	}
	r = other
	must(t, d.Stop(t.Context(), "talker", 0))
	if _, err := r.wait(); err != nil {
		t.Errorf("stopped: %v", err)
	}
}

// A position is good for another driver, which does not know the runs before its own time.
func TestLogsResumed(t *testing.T) {
	m := newMachine(t)
	d := m.open()
	m.talker(d)
	ready := follow(t, d, "")
	ready.until("listening")
	at, _ := ready.stop()
	for n := range 20 {
		r := follow(t, d, at)
		m.say(1, "line %d\npart %d", n, n)
		drivertest.Eventually(t, "the next line", func() bool { return strings.HasSuffix(fmt.Sprint(r.texts()), fmt.Sprintf("line %d]", n)) })
		var err error
		if at, err = r.stop(); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if got := r.texts(); n > 0 && (len(got) != 1 || got[0] != fmt.Sprintf("part %dline %d", n-1, n)) {
			t.Fatalf("the lines after %s are %q", at, got)
		}
		d = m.open()
	}
}

// TailLogs returns the newest lines, and joins the parts of long ones.
func TestLogsTail(t *testing.T) {
	m := newMachine(t)
	d := m.open()
	m.talker(d, "print=5000")
	r := follow(t, d, "")
	r.until("listening")
	long := strings.Repeat("o", 40<<10)
	m.say(1, "%s\n", long)
	m.say(2, "last\n")
	r.until("last")
	for n, want := range map[int][]string{-1: nil, 0: nil, 1: {"last"}, 6: {"line 4998", "line 4999", "line 5000", "listening", long, "last"}} {
		got, err := d.TailLogs(t.Context(), "talker", n)
		if err != nil || !slices.Equal(texts(got), want) {
			t.Errorf("the newest %d: %d lines, %v, want %d", n, len(got), err, len(want))
		}
	}
	if got, err := d.TailLogs(t.Context(), "talker", 1<<20); err != nil || len(got) != 5003 || got[0].Run != m.instance(d) {
		t.Errorf("%d lines, %v", len(got), err)
	}
	if got := r.texts(); len(got) != 5003 || got[5001] != long {
		t.Errorf("followed: %d lines", len(got))
	}
	must(t, d.ReleaseLogs(t.Context(), "talker", r.at))
	for _, err := range []error{second(d.TailLogs(t.Context(), "nobody", 1)), d.FollowLogs(t.Context(), "nobody", "", nil)} {
		if driver.ClassOf(err) != driver.NotCreated {
			t.Errorf("a service that is not there: %v", err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// An error of yield ends the following.
func TestLogsYieldFails(t *testing.T) {
	m := newMachine(t)
	d := m.open()
	m.talker(d)
	want := errors.New("no more")
	if err := d.FollowLogs(t.Context(), "talker", "", func(driver.LogBatch) error { return want }); !errors.Is(err, want) {
		t.Errorf("got %v", err)
	}
}

// Somebody removes the container while its log is followed. The one that replaces it is read from its beginning, also with the
// position of the first or with what is no position.
func TestLogsOfRemovedContainer(t *testing.T) {
	m := newMachine(t)
	d := m.open()
	m.talker(d)
	r := follow(t, d, "")
	r.until("listening")
	m.say(1, "first container\n")
	r.until("first container")
	m.docker("rm", "-f", m.container("first", "talker"))
	at, err := r.wait()
	if driver.ClassOf(err) != driver.NotCreated {
		t.Errorf("removed: %v", err)
	}
	m.talker(d, "print=1")
	for _, after := range []string{at, "", "nonsense", "1:::::", strings.Replace(at, "1:", "2:", 1)} {
		r := follow(t, d, after)
		r.until("listening")
		if got := r.texts(); !slices.Equal(got, []string{"line 1", "listening"}) {
			t.Errorf("after %q: %q", after, got)
		}
	}
}

// A log that cannot be read is an error that says why.
func TestLogsUnreadable(t *testing.T) {
	m := newMachine(t)
	d := m.open()
	m.talker(d)
	name := m.container("first", "talker")
	labels := []string{"create", "--name", name, "--log-driver", "none"}
	for _, l := range []string{driver.LabelInstallation, driver.LabelService} {
		labels = append(labels, "--label", l+"="+m.docker("inspect", "--format", `{{index .Config.Labels "`+l+`"}}`, name))
	}
	m.docker("rm", "-f", name)
	m.docker(append(labels, dockertest.PuppetImage)...)
	for _, err := range []error{second(d.TailLogs(t.Context(), "talker", 1)), d.FollowLogs(t.Context(), "talker", "", nil)} {
		if driver.ClassOf(err) != driver.Invalid || !strings.Contains(fmt.Sprint(err), `"none"`) {
			t.Errorf("got %v of class %v", err, driver.ClassOf(err))
		}
	}
}

// The engine rotates the log while it is followed. No line is lost or given twice.
func TestLogsOverRotation(t *testing.T) {
	m := newMachine(t)
	d := m.open()
	m.talker(d)
	name := m.container("first", "talker")
	args := []string{"create", "--name", name, "--env", "DRIVERTEST_PUPPET=1", "--init", "--log-driver", "json-file", "--log-opt", "max-size=20k", "--log-opt", "max-file=3"}
	for _, l := range []string{driver.LabelInstallation, driver.LabelService} {
		args = append(args, "--label", l+"="+m.docker("inspect", "--format", `{{index .Config.Labels "`+l+`"}}`, name))
	}
	m.docker("rm", "-f", name)
	id := m.docker(append(args, dockertest.PuppetImage, "listen=127.0.0.1:4000")...)
	m.docker("start", name)
	r := follow(t, d, "")
	r.until("listening")
	want := []string{"listening"}
	for n := range 100 { // 4 lines to a KiB
		var text []string
		for part := range 10 {
			text = append(text, fmt.Sprintf("%d %d %0200d", n, part, 0))
		}
		m.say(1, "%s\n", strings.Join(text, "\n"))
		want = append(want, text...)
		r.until(want[len(want)-1])
		if n%30 == 29 { // and another reader goes on from there
			at, _ := r.stop()
			r = follow(t, d, at, r.lines...)
		}
	}
	got := r.texts()
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Fatalf("line %d is %.10s, want %.10s; %d lines, want %d", i, got[i], want[i], len(got), len(want))
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d lines, want %d", len(got), len(want))
	}
	rotated, err := filepath.Glob(filepath.Join(m.engine.Root(), "containers", id, "*.log.2"))
	if err != nil || len(rotated) != 1 {
		t.Errorf("the log was not rotated twice: %v, %v", rotated, err)
	}
}

// The engine ends while the log is followed, and its containers go on. The follower is told that the engine cannot be reached,
// and its position is good for the engine's next run.
func TestLogsOverEngineRestart(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(*dockertest.Engine) error
		live bool
	}{
		"TERM":               {(*dockertest.Engine).Stop, false},
		"TERM, live-restore": {(*dockertest.Engine).Stop, true},
		"KILL, live-restore": {(*dockertest.Engine).Kill, true},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := dockertest.Start("--iptables=false", fmt.Sprintf("--live-restore=%v", c.live))
			must(t, err)
			t.Cleanup(func() { _ = e.Stop() })
			must(t, e.ImportPuppet())
			m := machineOn(t, e)
			d := m.open()
			m.talker(d)
			r := follow(t, d, "")
			r.until("listening")
			for n := range 2 {
				m.say(1, "before %d\n", n)
				r.until(fmt.Sprintf("before %d", n))
				run := m.instance(d)
				must(t, c.end(e))
				at, err := r.wait()
				if err != nil && driver.ClassOf(err) != driver.Unreachable {
					t.Errorf("the engine is gone: %v of class %v", err, driver.ClassOf(err))
				}
				must(t, e.Up())
				drivertest.Eventually(t, "it runs", func() bool {
					o, err := d.Inspect(t.Context(), "talker")
					return err == nil && o.Running && (o.Instance == run) == c.live
				})
				r = follow(t, d, at, r.lines...)
				m.say(2, "after %d\n", n)
				r.until(fmt.Sprintf("after %d", n))
			}
			got := slices.DeleteFunc(r.texts(), func(s string) bool { return s == "bye" || s == "listening" })
			if want := []string{"before 0", "after 0", "before 1", "after 1"}; !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}
