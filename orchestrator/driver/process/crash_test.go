package process_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/drivertest"
	"github.com/unicorn-web-services/uws/orchestrator/driver/process"
)

// crashing makes the test binary an orchestrator that starts one service and then waits to be killed.
const crashing = "PROCESSTEST_CRASHING"

func crashingOrchestrator() {
	data := os.Getenv(crashing)
	if data == "" {
		return
	}
	var job struct {
		Options process.Options
		Spec    driver.Spec
	}
	err := json.Unmarshal([]byte(data), &job)
	if err == nil {
		err = startOne(job.Options, job.Spec)
	}
	fmt.Println("result:", err)
	select {} // until it is killed
}

func startOne(o process.Options, spec driver.Spec) error {
	o.Log = slog.New(slog.DiscardHandler)
	d, err := process.New(o)
	if err != nil {
		return err
	}
	ctx := testContext()
	if err := d.Prepare(ctx, spec, nil); err != nil {
		return err
	}
	if err := d.Create(ctx, spec); err != nil {
		return err
	}
	return d.Start(ctx, spec.Service)
}

// crash starts spec in an orchestrator of its own, and kills that.
func (m *machine) crash(installation string, spec driver.Spec) {
	m.Helper()
	o := m.options(installation)
	o.Log = nil
	data, err := json.Marshal(map[string]any{"Options": o, "Spec": spec})
	if err != nil {
		m.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.ExtraFiles = m.inherited
	cmd.Env = append(os.Environ(), crashing+"="+string(data))
	out, err := cmd.StdoutPipe()
	if err != nil {
		m.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		m.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "result: <nil>\n" {
		m.Errorf("the crashing orchestrator says %q, %v", line, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		m.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
}

// rewrite changes what the state file of a service says of the newest run.
func (m *machine) rewrite(installation, service string, change func(run map[string]any)) {
	m.Helper()
	path := filepath.Join(m.dir(installation), "services", service, "state.json")
	data, err := os.ReadFile(path)
	if err != nil {
		m.Fatal(err)
	}
	var st map[string]any
	if err := json.Unmarshal(data, &st); err != nil {
		m.Fatal(err)
	}
	change(st["run"].(map[string]any))
	if data, err = json.Marshal(st); err != nil {
		m.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		m.Fatal(err)
	}
}

// sleeper is a process that is none of ours.
func sleeper(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	return cmd
}

func mustBeAlive(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", cmd.Process.Pid))
	if err != nil || !containsState(string(data), "S") {
		t.Fatalf("the foreign process was touched: %q, %v", data, err)
	}
}

func TestAdoptionAfterCrash(t *testing.T) {
	for name, forge := range map[string]func(run map[string]any){
		"after the start": func(map[string]any) {},
		// uws died after the fork and before it wrote down the pid.
		"with the intent alone": func(run map[string]any) { delete(run, "pid"); delete(run, "start") },
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			spec := m.puppet("crashed")
			m.crash("first", spec)
			m.rewrite("first", "crashed", forge)
			pids := m.processes("crashed")
			d := m.Open("first")
			o, err := d.Inspect(t.Context(), "crashed")
			if err != nil || !o.Running || o.Instance == "" || o.SpecHash != spec.Hash() || o.Generation != 1 || len(pids) != 1 {
				t.Fatalf("adopted %+v, %v; the processes are %v", o, err, pids)
			}
			if err := d.Start(t.Context(), "crashed"); err != nil {
				t.Fatal(err)
			}
			if now := m.processes("crashed"); len(now) != 1 || now[0] != pids[0] {
				t.Fatalf("the processes are %v, were %v", now, pids)
			}
			m.Signal("crashed", syscall.SIGKILL)
			drivertest.Eventually(t, "the end is seen", func() bool {
				o, err = d.Inspect(t.Context(), "crashed")
				return err == nil && !o.Running
			})
			if o.ExitCode != nil || o.StoppedAt.IsZero() {
				t.Errorf("nobody could see its exit code: %+v", o)
			}
			if err := d.Start(t.Context(), "crashed"); err != nil {
				t.Error(err)
			}
		})
	}
}

// An intent without a process: uws died before the fork.
func TestIntentWithoutProcess(t *testing.T) {
	m := newMachine(t)
	d := m.Open("first")
	spec := m.puppet("never")
	m.start(d, spec)
	if err := d.Stop(t.Context(), "never", 0); err != nil {
		t.Fatal(err)
	}
	m.rewrite("first", "never", func(run map[string]any) {
		maps.DeleteFunc(run, func(k string, _ any) bool { return k != "boot" && k != "mark" && k != "startedAt" })
	})
	d = m.Open("first")
	if o, err := d.Inspect(t.Context(), "never"); err != nil || o.Running || o.Instance != "" {
		t.Fatalf("Inspect says %+v, %v", o, err)
	}
	m.start(d, spec)
}

// A pid in the state that belongs to another process by now, in this boot or since another, is never touched.
func TestReusedPID(t *testing.T) {
	for name, forge := range map[string]func(run map[string]any, pid int){
		"another start time": func(run map[string]any, pid int) { run["pid"] = pid },
		"another boot": func(run map[string]any, pid int) {
			run["pid"], run["start"], run["boot"] = pid, startTime(pid), "00000000-0000-0000-0000-000000000000"
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			d := m.Open("first")
			spec := m.puppet("reused")
			m.start(d, spec)
			if err := d.Stop(t.Context(), "reused", 0); err != nil {
				t.Fatal(err)
			}
			foreign := sleeper(t)
			m.rewrite("first", "reused", func(run map[string]any) {
				delete(run, "ended")
				delete(run, "exitCode")
				forge(run, foreign.Process.Pid)
			})
			d = m.Open("first")
			if o, err := d.Inspect(t.Context(), "reused"); err != nil || o.Running {
				t.Fatalf("Inspect says %+v, %v", o, err)
			}
			if err := d.Stop(t.Context(), "reused", 0); err != nil {
				t.Fatal(err)
			}
			m.start(d, spec)
			if err := d.Remove(t.Context(), "reused"); err != nil {
				t.Fatal(err)
			}
			mustBeAlive(t, foreign)
		})
	}
}

// A process with our markers whose folder is gone is listed, and stopped when asked.
func TestProcessWithoutFolder(t *testing.T) {
	m := newMachine(t)
	d := m.Open("first")
	spec := m.puppet("homeless")
	spec.Generation = 5
	m.start(d, spec)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(m.dir("first"), "services", "homeless")); err != nil {
		t.Fatal(err)
	}
	d = m.Open("first")
	all, err := d.List(t.Context())
	if err != nil || len(all) != 1 || all[0].Service != "homeless" || !all[0].Running || all[0].SpecHash != spec.Hash() || all[0].Generation != 5 {
		t.Fatalf("List says %+v, %v", all, err)
	}
	if err := d.Remove(t.Context(), "homeless"); err != nil {
		t.Fatal(err)
	}
	if left := m.processes("homeless"); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}

func startTime(pid int) uint64 {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseUint(statField(string(data), 22), 10, 64)
	return n
}
