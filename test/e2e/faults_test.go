package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/unicorn-web-services/uws/test/uwstest"
)

func get(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s %v\n%s", url, resp.Status, err, body)
	}
	return string(body)
}

// refused runs uws, which must fail to start, and returns its output.
func refused(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), uwstest.Patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, uwstest.Binary, args...).CombinedOutput()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.ExitCode() < 1 {
		t.Fatalf("uws %v: %v, want an error; its output:\n%s", args, err, out)
	}
	return string(out)
}

func want(t *testing.T, said string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(said, part) {
			t.Errorf("%q does not contain %q", said, part)
		}
	}
}

// After a crash of uws its engines are adopted, and those that died meanwhile are restarted.
func TestEnginesOutliveACrash(t *testing.T) {
	dir := folder(t)
	p := serve(t, dir)
	kept, died := launch(t, p, "BUCKET", "kept", nil), launch(t, p, "QUEUE", "died", nil)
	write(t, p, died, "before the crash")
	pid := enginePID(t, kept.ID)
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	kill(t, enginePID(t, died.ID), syscall.SIGKILL)

	again := serve(t, dir)
	healthy(t, again, died.ID, 1)
	if s := healthy(t, again, kept.ID, 0); s.Restarts != 0 {
		t.Errorf("%s was restarted %d times", s.Name, s.Restarts)
	}
	if now := enginePID(t, kept.ID); now != pid {
		t.Errorf("it was restarted: process %d, was %d", now, pid)
	}
	wantText(t, again, died, "before the crash")

	// The end of an adopted engine is detected like that of a child.
	kill(t, pid, syscall.SIGKILL)
	healthy(t, again, kept.ID, 1)
}

// SIGTERM stops only uws, and asks WebSocket clients to reconnect. A launch in progress is resumed later.
func TestGracefulStop(t *testing.T) {
	dir := folder(t)
	p := serve(t, dir)
	s := launch(t, p, "QUEUE", "orders", nil)
	live := subscribe(t, p, nil)
	pid := enginePID(t, s.ID)
	half, err := p.Launch(t.Context(), "BUCKET", "half", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	if code := live.line("closed")["closed"]; code != float64(1001) && code != float64(1012) {
		t.Errorf("WebSocket closed with %v, want 1001 or 1012", code)
	}
	if now := enginePID(t, s.ID); now != pid {
		t.Errorf("process %d, was %d", now, pid)
	}
	again := serve(t, dir)
	healthy(t, again, half.ID, 0)
}

// A service that hangs is killed and restarted.
func TestHang(t *testing.T) {
	p := serve(t, folder(t))
	check := map[string]any{"healthCheck": map[string]any{"intervalSeconds": 1, "timeoutSeconds": 1, "failureThreshold": 3}}
	for _, kind := range []string{"BUCKET", "QUEUE"} {
		s := launch(t, p, kind, "hung-"+strings.ToLower(kind), check)
		kill(t, enginePID(t, s.ID), syscall.SIGSTOP)
		waitFor(t, p, s.ID, "suspect, and says why", func(s *uwstest.Service) bool {
			return s.Health == "SUSPECT" && strings.Contains(s.Reason, "stopped or paused")
		})
		healthy(t, p, s.ID, 1)
	}
}

// Twenty concurrent launches, of both kinds.
func TestTwentyAtOnce(t *testing.T) {
	p := serve(t, folder(t))
	var ids []string
	for i := range 20 {
		s, err := p.Launch(t.Context(), []string{"BUCKET", "QUEUE"}[i%2], fmt.Sprintf("s-%d", i), nil)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, s.ID)
	}
	for _, id := range ids {
		healthy(t, p, id, 0)
	}
}

func TestBadInput(t *testing.T) {
	p := serve(t, folder(t))
	for name, c := range map[string]struct {
		input map[string]any
		code  string
		says  string
	}{
		"unknown kind":     {map[string]any{"kind": "CACHE", "name": "x"}, "INVALID_INPUT", "one of BUCKET, DB"},
		"unknown template": {map[string]any{"kind": "BUCKET", "name": "x", "template": "nope"}, "INVALID_INPUT", "versitygw"},
		"empty name":       {map[string]any{"kind": "BUCKET", "name": ""}, "INVALID_INPUT", "input.name"},
		"long name":        {map[string]any{"kind": "BUCKET", "name": strings.Repeat("x", 300)}, "INVALID_INPUT", "1 to 63"},
		"not a DNS label":  {map[string]any{"kind": "BUCKET", "name": "My_Bucket"}, "INVALID_INPUT", "DNS label"},
		"no such node":     {map[string]any{"kind": "BUCKET", "name": "x", "nodeId": "n"}, "NOT_FOUND", "input.nodeId"},
		"bad interval":     {map[string]any{"kind": "BUCKET", "name": "x", "healthCheck": map[string]any{"intervalSeconds": 0}}, "INVALID_INPUT", "intervalSeconds"},
	} {
		t.Run(name, func(t *testing.T) {
			err := p.Query(t.Context(), `mutation($input: LaunchServiceInput!) { launchService(input: $input) { id } }`, map[string]any{"input": c.input}, nil)
			bad, ok := errors.AsType[*uwstest.GraphQLError](err)
			if !ok || bad.Code != c.code || !strings.Contains(bad.Message, c.says) {
				t.Errorf("got %v, want %s with %q", err, c.code, c.says)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	t.Run("beyond loopback", func(t *testing.T) {
		want(t, refused(t, "serve", "--listen", "0.0.0.0:0", "--data-dir", folder(t)), "0.0.0.0", "loopback")
	})
	t.Run("a template with a mistake", func(t *testing.T) {
		templates := t.TempDir()
		if err := os.WriteFile(filepath.Join(templates, "mine.yaml"), []byte("name: mine\nkind: CACHE\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		want(t, refused(t, "serve", "--listen", "127.0.0.1:0", "--data-dir", folder(t), "--templates", templates), "mine.yaml:2", "BUCKET")
	})
	t.Run("a data folder that cannot be written", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		want(t, refused(t, "serve", "--listen", "127.0.0.1:0", "--data-dir", filepath.Join(file, "data")), file)
	})
	t.Run("a port in use", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		want(t, refused(t, "serve", "--listen", l.Addr().String(), "--data-dir", folder(t)), l.Addr().String(), "in use")
	})
	t.Run("a second uws", func(t *testing.T) {
		dir := folder(t)
		p := serve(t, dir)
		want(t, refused(t, "serve", "--listen", "127.0.0.1:0", "--data-dir", dir), fmt.Sprint(p.Cmd.Process.Pid))
	})
	t.Run("a lost key", func(t *testing.T) {
		dir := folder(t)
		if err := serve(t, dir).Stop(); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(dir, "uws.key")); err != nil {
			t.Fatal(err)
		}
		want(t, refused(t, "serve", "--listen", "127.0.0.1:0", "--data-dir", dir), "uws.key")
	})
}

// Credentials are only in the engine: not in the store, logs, events, metrics, argv or other responses of the API.
func TestSecretsStaySecret(t *testing.T) {
	dir := folder(t)
	p := serve(t, dir, "--log-level", "debug")
	var secrets []string
	for kind, name := range map[string]string{"BUCKET": "secretKey", "QUEUE": "password"} {
		s := launch(t, p, kind, strings.ToLower(kind), nil)
		keys, err := p.Credentials(t.Context(), s.ID)
		if err != nil || len(keys[name]) < 20 {
			t.Fatalf("credentials of %s: %d, %v", kind, len(keys[name]), err)
		}
		secrets = append(secrets, keys[name])
		pid := enginePID(t, s.ID)
		kill(t, pid, syscall.SIGKILL)
		healthy(t, p, s.ID, 1)
		found(t, fmt.Sprintf("/proc/%d/cmdline", enginePID(t, s.ID)), secrets)
	}
	out := p.Output.String() + get(t, p.URL+"/metrics")
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, secret := range secrets {
		if strings.Contains(out, secret) {
			t.Error("a secret is in the log or the metrics")
		}
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || strings.Contains(path, "/engines/") || strings.Contains(path, "/volumes/") {
			return err
		}
		if info, err := d.Info(); err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is readable by others: %s", path, info.Mode())
		}
		found(t, path, secrets)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func found(t *testing.T, path string, secrets []string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range secrets {
		if bytes.Contains(content, []byte(secret)) {
			t.Errorf("a secret is in %s", path)
		}
	}
}

// Without Go and without a prebuilt engine a launch fails with a reason that names the archive. With the archive's
// folder, startService is enough to continue.
func TestWithoutGo(t *testing.T) {
	dir := folder(t)
	t.Setenv("PATH", t.TempDir())
	p, err := uwstest.Start(t.Context(), uwstest.Binary, dir, "--engines", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s, err := p.Launch(t.Context(), "QUEUE", "orders", nil)
	if err != nil {
		t.Fatal(err)
	}
	failed := waitFor(t, p, s.ID, "failed", func(s *uwstest.Service) bool { return s.Phase == "FAILED" })
	want(t, failed.Reason, "-linux-", ".tar.gz", "make dist")
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	again := serve(t, dir) // with the archive's folder of engines
	if err := again.Do(t.Context(), "startService", s.ID); err != nil {
		t.Fatal(err)
	}
	healthy(t, again, s.ID, 0)
}

// A user's template whose engine exits at once ends in a crash loop with a reason.
func TestCrashLoop(t *testing.T) {
	templates := t.TempDir()
	broken := `
name: broken
kind: QUEUE
version: 2.15.2
description: NATS with a flag that it does not know, on which it exits at once with code 0.
ports: [{name: client}]
endpoint: nats://${host}:${port.client}
probe: {type: tcp, port: client}
process: {engine: nats, args: [--no-such-flag]}
`
	if err := os.WriteFile(filepath.Join(templates, "broken.yaml"), []byte(broken), 0o600); err != nil {
		t.Fatal(err)
	}
	p := serve(t, folder(t), "--templates", templates)
	s, err := p.Launch(t.Context(), "QUEUE", "q", map[string]any{"template": "broken"})
	if err != nil {
		t.Fatal(err)
	}
	loop := waitFor(t, p, s.ID, "crash loop", func(s *uwstest.Service) bool { return s.Phase == "CRASH_LOOP" })
	want(t, loop.Reason, "6 failures", "exited with code 0")
	if loop.Restarts != 5 {
		t.Errorf("%d restarts, want 5", loop.Restarts)
	}
}

// If another program takes the port while the engine is down, uws waits for the port, because clients use it.
func TestPortStolen(t *testing.T) {
	p := serve(t, folder(t))
	s := launch(t, p, "QUEUE", "orders", nil)
	if err := p.Do(t.Context(), "stopService", s.ID); err != nil {
		t.Fatal(err)
	}
	waitFor(t, p, s.ID, "stopped", func(s *uwstest.Service) bool { return s.Phase == "STOPPED" })
	thief, err := net.Listen("tcp", strings.TrimPrefix(s.Endpoint, "nats://"))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Do(t.Context(), "startService", s.ID); err != nil {
		t.Fatal(err)
	}
	port := s.Endpoint[strings.LastIndex(s.Endpoint, ":")+1:]
	waitFor(t, p, s.ID, "its reason names the port", func(s *uwstest.Service) bool {
		return strings.Contains(s.Reason, "port "+port+" is in use") && s.Health == "UNHEALTHY"
	})
	if err := thief.Close(); err != nil {
		t.Fatal(err)
	}
	if after := healthy(t, p, s.ID, 0); after.Endpoint != s.Endpoint {
		t.Errorf("endpoint %s, was %s", after.Endpoint, s.Endpoint)
	}
}

// A damaged engine binary is detected before it runs, and fetched again.
func TestEngineDamaged(t *testing.T) {
	dir := folder(t)
	p := serve(t, dir)
	s := launch(t, p, "QUEUE", "orders", nil)
	path := filepath.Join(dir, "process", "engines", "nats-2.15.2", "nats-server")
	damaged, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	damaged[len(damaged)/2] ^= 0xff
	pid := enginePID(t, s.ID)
	if err := os.Remove(path); err != nil { // a running program cannot be written to
		t.Fatal(err)
	}
	if err := os.WriteFile(path, damaged, 0o755); err != nil {
		t.Fatal(err)
	}
	kill(t, pid, syscall.SIGKILL)
	healthy(t, p, s.ID, 1)
	mended, err := os.ReadFile(path)
	if err != nil || bytes.Equal(mended, damaged) {
		t.Errorf("the damaged engine was not replaced (%v)", err)
	}
}

// A missing data folder is never created again. When it is restored, the service works again.
func TestDataMissing(t *testing.T) {
	dir := folder(t)
	p := serve(t, dir)
	s := launch(t, p, "BUCKET", "photos", nil)
	write(t, p, s, "meow")
	volumes, err := filepath.Glob(filepath.Join(dir, "process", "volumes", "*"))
	if err != nil || len(volumes) != 1 {
		t.Fatalf("volumes %v, %v", volumes, err)
	}
	aside := filepath.Join(dir, "aside")
	if err := os.Rename(volumes[0], aside); err != nil {
		t.Fatal(err)
	}
	kill(t, enginePID(t, s.ID), syscall.SIGKILL)
	failed := waitFor(t, p, s.ID, "failed", func(s *uwstest.Service) bool { return s.Phase == "FAILED" })
	want(t, failed.Reason, "data missing")
	if _, err := os.Stat(volumes[0]); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the data folder was created again (%v)", err)
	}
	// An empty folder with its name is not the data, and must not be deleted.
	if err := os.Mkdir(volumes[0], 0o777); err != nil {
		t.Fatal(err)
	}
	if err := p.Do(t.Context(), "startService", s.ID); err != nil {
		t.Fatal(err)
	}
	failed = waitFor(t, p, s.ID, "failed", func(s *uwstest.Service) bool { return s.Phase == "FAILED" })
	want(t, failed.Reason, "data missing", "Bring the volume back")
	if err := os.Remove(volumes[0]); err != nil { // fails unless the folder is empty
		t.Fatal(err)
	}
	if err := os.Rename(aside, volumes[0]); err != nil {
		t.Fatal(err)
	}
	if err := p.Do(t.Context(), "startService", s.ID); err != nil {
		t.Fatal(err)
	}
	healthy(t, p, s.ID, 0)
	wantText(t, p, s, "meow")
}
