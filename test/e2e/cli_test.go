package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/unicorn-web-services/uws/test/stories"
	"github.com/unicorn-web-services/uws/test/uwstest"
)

// shell runs client commands as a user who has no other settings than these.
type shell struct {
	t   *testing.T
	env []string
}

func (s shell) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, uwstest.Binary, args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, s.env...)
	return cmd
}

// run returns what a command prints, and its exit code.
func (s shell) run(stdin string, args ...string) (stdout, stderr string, code int) {
	s.t.Helper()
	cmd := s.command(s.t.Context(), args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	} else if err != nil {
		s.t.Fatal(err)
	}
	return out.String(), errs.String(), code
}

// want expects a command to succeed and to print all of these.
func (s shell) want(parts []string, args ...string) string {
	s.t.Helper()
	stdout, stderr, code := s.run("", args...)
	if code != 0 {
		s.t.Errorf("uws %s exits with %d: %s", strings.Join(args, " "), code, stderr)
	}
	for _, part := range parts {
		if !strings.Contains(stdout, part) {
			s.t.Errorf("uws %s has no %q:\n%s", strings.Join(args, " "), part, stdout)
		}
	}
	return stdout
}

// fails expects a command to fail with an exit code and to explain it.
func (s shell) fails(code int, part string, args ...string) {
	s.t.Helper()
	stdout, stderr, got := s.run("", args...)
	if got != code || !strings.Contains(stderr, part) || strings.Count(stderr, "\n") > 1 {
		s.t.Errorf("uws %s exits with %d, want %d with %q: %s%s", strings.Join(args, " "), got, code, part, stderr, stdout)
	}
}

// A service's whole life with the command line alone.
func TestCommandLine(t *testing.T) {
	dir := folder(t)
	p := serve(t, dir)
	home := t.TempDir()
	s := shell{t, []string{"HOME=" + home}}
	s.fails(1, "there is no token", "ls", "--url", p.URL)
	if out, errs, code := s.run(p.Token+"\n", "login", p.URL); code != 0 || !strings.Contains(out, "Signed in to "+p.URL) {
		t.Fatalf("login exits with %d: %s%s", code, out, errs)
	}
	stored := filepath.Join(home, ".config", "uws", "client.json")
	if info, err := os.Stat(stored); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the stored token: %v, %v", info, err)
	}
	s.fails(1, "there is no token for http://127.0.0.1:1", "ls", "--url", "http://127.0.0.1:1") // it is not sent elsewhere

	s.want([]string{"There are no services"}, "ls")
	s.want([]string{"orders is healthy"}, "launch", "queue", "orders", "-l", "team=shop", "--wait")
	s.want([]string{"NAME", "orders", "QUEUE", "RUNNING", "HEALTHY", "nats://"}, "ls")
	s.want([]string{"orders\n"}, "ls", "-o", "name", "--label", "team=shop")
	if out := s.want(nil, "ls", "-o", "name", "--label", "team=other", "--kind", "queue"); out != "" {
		t.Errorf("other labels: %s", out)
	}
	s.want([]string{`"name": "orders"`}, "ls", "-o", "json")
	s.want([]string{"- id: ", "name: orders"}, "ls", "-o", "yaml")
	s.want([]string{"Name         orders", "RUNNING, HEALTHY", "Newest events:", "Endpoint     nats://"}, "get", "orders")
	s.want([]string{`"phase": "RUNNING"`}, "get", "orders", "-o", "json")
	s.want([]string{"CPU", "MEMORY", "orders"}, "top")
	s.want([]string{"Server is ready"}, "logs", "orders", "-n", "all")
	s.want([]string{"OK: "}, "check", "orders")

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	follow := s.command(ctx, "events", "orders", "-f")
	feed, err := follow.StdoutPipe()
	if err == nil {
		err = follow.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(feed)
	until := func(part string) {
		t.Helper()
		for lines.Scan() {
			if strings.Contains(lines.Text(), part) {
				return
			}
		}
		t.Errorf("the events ended before %q", part)
	}
	until("RUNNING, HEALTHY")
	var log bytes.Buffer
	followLog := s.command(ctx, "logs", "orders", "-f", "-n", "all")
	followLog.Stdout = &log
	if err := followLog.Start(); err != nil {
		t.Fatal(err)
	}
	var shown struct{ ID string }
	if err := json.Unmarshal([]byte(s.want(nil, "get", "orders", "-o", "json")), &shown); err != nil {
		t.Fatal(err)
	}
	if name := s.want(nil, "get", shown.ID, "-o", "name"); name != "orders\n" {
		t.Errorf("the name of %q is %q", shown.ID, name)
	}
	s.want([]string{"orders is stopped"}, "stop", "orders", "--wait")
	until("STOPPED")
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	p = uwstest.Serve(t, nil, uwstest.Binary, dir, "--engines", uwstest.EnginesFolder(t), "--listen", strings.TrimPrefix(p.URL, "http://"))
	s.want([]string{"orders is healthy"}, "start", "orders", "-w")
	until("RUNNING, HEALTHY") // which it connected again for
	if err := follow.Process.Signal(syscall.SIGINT); err != nil {
		t.Error(err)
	}
	_ = follow.Wait()

	s.fails(4, `uws: "orders" is taken by a QUEUE`, "launch", "db", "orders")
	s.fails(3, "there is orders", "get", "order")
	s.fails(3, "there is no service named", "logs", "photos")
	s.fails(1, "repeat its name", "rm", "orders", "--delete-data", "order")
	known := s.want(nil, "logs", "orders", "-n", "all")
	if n := strings.Count(known, "Server is ready"); n != 2 {
		t.Errorf("the log has %d runs that became ready, want 2:\n%s", n, known)
	}
	s.fails(5, "is not removed after 1ns", "rm", "orders", "--wait", "--timeout", "1ns")
	err = uwstest.Until(t.Context(), "it is removed all the same", func() (bool, error) {
		_, _, code := s.run("", "get", "orders")
		return code == 3, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// The log ends with the service. It was followed over the kill of uws without a gap or a line twice.
	if err := followLog.Wait(); err != nil || !strings.HasPrefix(log.String(), known) {
		t.Errorf("followed (%v), the log is\n%s\nwant\n%s", err, log.String(), known)
	}
	s.want([]string{"photos is healthy"}, "launch", "bucket", "photos", "-w")
	s.want([]string{"photos is removed; its data is deleted"}, "rm", "photos", "--delete-data", "photos", "-w")
	if kept := stories.Retained(t, p); len(kept) != 1 {
		t.Errorf("%d volumes are retained, want that of orders", len(kept))
	}
	s.want([]string{"stays valid"}, "logout")
	s.fails(1, "there is no token", "ls")
	s.env = append(s.env, "UWS_TOKEN=wrong", "UWS_URL="+p.URL)
	s.fails(1, "uws login", "ls")
}
