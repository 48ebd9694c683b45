package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/unicorn-web-services/uws/test/stories"
	"github.com/unicorn-web-services/uws/test/uwstest"
)

// ordinary is the user of a uws that does not run as root. initdb requires that the uid has a name.
const ordinary = "nobody"

// unprivileged gives the parent of a data folder to the ordinary user, and returns a program in it that runs uws as that user,
// and a folder of engines.
func unprivileged(t *testing.T, dir string) (binary, engines string) {
	t.Helper()
	home := filepath.Dir(dir)
	binary, engines = filepath.Join(home, "as-ordinary"), filepath.Join(home, "engines")
	copied := filepath.Join(home, "uws")
	run(t, "cp", "-r", uwstest.EnginesFolder(t), engines)
	run(t, "cp", uwstest.Binary, copied)
	run(t, "chown", "-R", ordinary, home)
	script := fmt.Sprintf("#!/bin/sh\nexec setpriv --reuid %s --regid nogroup --clear-groups %s \"$@\"\n", ordinary, copied)
	must(t, os.WriteFile(binary, []byte(script), 0o755))
	return binary, engines
}

func run(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %v: %s", args, err, out)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// superuser returns a folder with the template "superuser", a PostgreSQL whose user can run programs.
func superuser(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("testdata/older/postgres.yaml")
	must(t, err)
	dir := uwstest.Folder(t)
	changed := strings.NewReplacer("name: postgres\n", "name: superuser\n", "default: true\n", "").Replace(string(text))
	must(t, os.WriteFile(filepath.Join(dir, "superuser.yaml"), []byte(changed), 0o644))
	return dir
}

// Programs that an engine runs cannot read files of uws or of other services, and can write only to the folders of their own
// service.
func TestSandbox(t *testing.T) {
	for name, user := range map[string]func(t *testing.T, dir string) (binary, engines string){
		"root":          func(t *testing.T, _ string) (string, string) { return uwstest.Binary, uwstest.EnginesFolder(t) },
		"ordinary user": unprivileged,
	} {
		t.Run(name, func(t *testing.T) {
			dir := folder(t)
			binary, engines := user(t, dir)
			p := started(t, binary, dir, "--engines", engines, "--templates", superuser(t), "--engine-sandbox", "require")
			all := launchAll(t, p)
			intruder := launch(t, p, "DB", "intruder", map[string]any{"template": "superuser"})
			wantConfined(t, dir, len(all)+1)

			shell := shellIn(t, p, intruder)
			uws, other := p.Cmd.Process.Pid, enginePID(t, all["postgres"].ID)
			data, own := workFolder(t, other), workFolder(t, enginePID(t, intruder.ID))
			process := filepath.Join(dir, "process")
			service := filepath.Join(process, "services", all["postgres"].ID)
			must(t, os.WriteFile(filepath.Join(service, "tmp", "planted"), []byte("x"), 0o644))
			must(t, os.WriteFile("/tmp/uws-sandbox-planted", []byte("x"), 0o644))
			t.Cleanup(func() { must(t, os.Remove("/tmp/uws-sandbox-planted")) })

			for _, path := range []string{
				filepath.Join(dir, "uws.key"), filepath.Join(dir, "uws.db"), filepath.Join(data, "PG_VERSION"),
				filepath.Join(service, "state.json"), filepath.Join(service, "config", "postgresql.conf"), filepath.Join(service, "tmp", "planted"),
				"/tmp/uws-sandbox-planted", fmt.Sprintf("/proc/%d/environ", uws), fmt.Sprintf("/proc/%d/environ", other),
			} {
				if _, err := os.Stat(path); err != nil {
					t.Errorf("no file to test reading with: %v", err)
				}
				wantRefused(t, shell, "cp "+path+" /dev/null")
			}
			for _, path := range []string{
				dir, filepath.Dir(dir), filepath.Dir(data), data, filepath.Join(service, "tmp"), "/tmp", "/var/tmp", "/dev/shm", "/root", "/home",
			} {
				wantRefused(t, shell, "ls "+path)
			}
			for _, path := range []string{
				"/tmp", "/var/tmp", "/etc", "/usr", dir, process, data, filepath.Dir(data), service, filepath.Join(service, "tmp"),
				filepath.Join(process, "engines"), filepath.Join(process, "services", intruder.ID, "config"),
			} {
				wantRefused(t, shell, "touch "+path+"/uws-sandbox-test")
			}
			for _, attempt := range []string{
				fmt.Sprintf("readlink -v /proc/%d/fd/1", uws), fmt.Sprintf("readlink -v /proc/%d/fd/1", other), fmt.Sprintf("kill -0 %d", uws), fmt.Sprintf("kill -0 %d", other), "unshare -U true", "unshare -Urm true",
			} {
				wantRefused(t, shell, attempt)
			}
			for _, allowed := range []string{
				"touch " + own + "/here && rm " + own + "/here", `cd "$TMPDIR" && echo x > here && ls && mv here there && sh -c "cat there"`,
				"cat /etc/passwd", "ls /usr/bin", "date > /dev/null", "head -c 8 /dev/urandom | wc -c", "cat /proc/self/status > /dev/null", "cat /sys/kernel/mm/transparent_hugepage/enabled",
			} {
				if said, err := shell(allowed); err != nil {
					t.Errorf("%q: %v: %s", allowed, err, said)
				}
			}
			if node := labelOfNode(t, p, "sandbox"); !strings.Contains(node, "landlock") || !strings.Contains(node, "seccomp") {
				t.Errorf("the node says %q", node)
			}
		})
	}
}

// Engines that were started without the sandbox keep running, and are in the sandbox after their next start.
func TestSandboxAfterUpgrade(t *testing.T) {
	dir := folder(t)
	p := serve(t, dir, "--engine-sandbox", "off")
	s := launch(t, p, "DB", "older", nil)
	keys := reveal(t, p, s.ID)
	must(t, stories.Postgres.Write(t.Context(), s.Endpoint, keys, "meow"))
	pid := enginePID(t, s.ID)
	if status := statusOf(t, pid); status["Seccomp"] != "0" || status["NoNewPrivs"] != "1" {
		t.Errorf("without a sandbox: %v", status)
	}
	if label := labelOfNode(t, p, "sandbox"); label != "off" {
		t.Errorf("the node says %q", label)
	}
	must(t, p.Stop())
	p = serve(t, dir)
	s = healthy(t, p, s.ID, 0)
	if now := enginePID(t, s.ID); now != pid {
		t.Errorf("process %d was replaced by %d", pid, now)
	}
	kill(t, pid, syscall.SIGKILL)
	s = healthy(t, p, s.ID, 1)
	wantConfined(t, dir, 1)
	if text, err := stories.Postgres.Read(t.Context(), s.Endpoint, keys); err != nil || text != "meow" {
		t.Errorf("read %q, %v", text, err)
	}
}

// started is serve with another program.
func started(t *testing.T, binary, dir string, args ...string) *uwstest.Process {
	t.Helper()
	p, err := uwstest.Start(t.Context(), binary, dir, args...)
	must(t, err)
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("uws printed:\n%s", p.Output)
		}
	})
	return p
}

// launchAll launches a service of each template, and writes to and reads from it.
func launchAll(t *testing.T, p *uwstest.Process) map[string]*uwstest.Service {
	t.Helper()
	all := map[string]*uwstest.Service{}
	for _, e := range stories.Engines {
		s := launch(t, p, e.Kind, "in-"+e.Template, map[string]any{"template": e.Template})
		all[e.Template] = s
		keys := reveal(t, p, s.ID)
		if err := e.Client.Write(t.Context(), s.Endpoint, keys, "meow"); err != nil {
			t.Errorf("writing to %s: %v", e.Template, err)
		}
		if text, err := e.Client.Read(t.Context(), s.Endpoint, keys); err != nil || text != "meow" {
			t.Errorf("read %q from %s: %v", text, e.Template, err)
		}
	}
	return all
}

// wantConfined fails unless all engine processes with data in dir are in the sandbox, and belong to that many services.
func wantConfined(t *testing.T, dir string, services int) {
	t.Helper()
	all, err := uwstest.EngineProcesses(dir)
	must(t, err)
	seen := map[string]bool{}
	for _, e := range all {
		status := statusOf(t, e.PID)
		if status == nil {
			continue // a worker that has ended
		}
		seen[e.Service] = true
		if status["NoNewPrivs"] != "1" || status["Seccomp"] != "2" {
			t.Errorf("process %d of service %s: %v", e.PID, e.Service, status)
		}
	}
	if len(seen) != services {
		t.Errorf("%d services have processes, want %d", len(seen), services)
	}
}

// statusOf returns /proc/PID/status by field, or nil if the process has ended.
func statusOf(t *testing.T, pid int) map[string]string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return nil
	}
	status := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if k, v, ok := strings.Cut(line, ":"); ok {
			status[k] = strings.TrimSpace(v)
		}
	}
	return status
}

func workFolder(t *testing.T, pid int) string {
	t.Helper()
	dir, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
	must(t, err)
	return dir
}

// shellIn runs commands in a PostgreSQL whose user is a superuser.
func shellIn(t *testing.T, p *uwstest.Process, s *uwstest.Service) func(command string) (said string, err error) {
	t.Helper()
	c, err := stories.PostgresConnect(t.Context(), s.Endpoint, reveal(t, p, s.ID))
	must(t, err)
	t.Cleanup(func() { _ = c.Close(t.Context()) })
	_, err = c.Exec(t.Context(), "CREATE TEMP TABLE said (line text)")
	must(t, err)
	return func(command string) (said string, err error) {
		_, err = c.Exec(t.Context(), "TRUNCATE said")
		must(t, err)
		if _, err := c.Exec(t.Context(), "COPY said FROM PROGRAM $sh$"+command+" 2>&1$sh$"); err != nil {
			return "", err
		}
		err = c.QueryRow(t.Context(), "SELECT coalesce(string_agg(line, E'\n'), '') FROM said").Scan(&said)
		return said, err
	}
}

// wantRefused fails unless a command fails with a permission error.
func wantRefused(t *testing.T, shell func(string) (string, error), command string) {
	t.Helper()
	said, err := shell("(" + command + ") 2>&1 && echo DONE || true")
	switch {
	case err != nil:
		t.Errorf("%q: %v", command, err)
	case strings.Contains(said, "DONE"):
		t.Errorf("%q is not refused: %.200s", command, said)
	case !strings.Contains(said, "ermi"): // "Permission denied", "Operation not permitted"
		t.Errorf("%q fails for another reason: %s", command, said)
	}
}

func labelOfNode(t *testing.T, p *uwstest.Process, name string) string {
	t.Helper()
	var out struct {
		Nodes []struct {
			EngineLabels []struct{ Name, Value string }
		}
	}
	must(t, p.Query(t.Context(), `{ nodes { engineLabels { name value } } }`, nil, &out))
	for _, n := range out.Nodes {
		for _, l := range n.EngineLabels {
			if l.Name == name {
				return l.Value
			}
		}
	}
	return ""
}
