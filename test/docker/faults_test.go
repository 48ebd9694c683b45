package docker

import (
	"strings"
	"syscall"
	"testing"

	"github.com/unicorn-web-services/uws/test/dockertest"
	"github.com/unicorn-web-services/uws/test/stories"
	"github.com/unicorn-web-services/uws/test/uwstest"
)

// The engine restarts what ends by itself; uws counts the restarts and records the reasons.
func TestExit(t *testing.T) {
	t.Parallel()
	e := engine(t)
	p := serve(t, e, folder(t))
	s := puppet(t, p, "exit", nil)
	order(t, e, s.ID, "exit 3")
	if got := told(t, p, s.ID, "exited with code 3"); got.ExitCode == nil || *got.ExitCode != 3 {
		t.Errorf("the event is %+v", got)
	}
	after := stories.Healthy(t, p, s.ID, 1)
	if after.Restarts != 1 || after.Endpoint != s.Endpoint {
		t.Errorf("%d restarts; the endpoint is %s, was %s", after.Restarts, after.Endpoint, s.Endpoint)
	}
	if count := docker(t, e, "inspect", "--format", "{{.RestartCount}}", container(t, e, s.ID)); count != "1" {
		t.Errorf("the engine restarted the container %s times, want once", count)
	}
}

func TestOutOfMemory(t *testing.T) {
	t.Parallel()
	e := engine(t)
	p := serve(t, e, folder(t))
	s := puppet(t, p, "hungry", map[string]any{"limits": map[string]any{"memoryMiB": 48}})
	order(t, e, s.ID, "eat 200")
	if got := told(t, p, s.ID, "more memory than its limit of 48 MiB"); got.OutOfMemory == nil || !*got.OutOfMemory {
		t.Errorf("the event is %+v", got)
	}
	stories.Healthy(t, p, s.ID, 1)
}

// What people do to a service's container with the engine's own tools is undone and recorded as an event.
func TestBehindOurBack(t *testing.T) {
	e := engine(t)
	for name, c := range map[string]struct {
		do  []string
		say string
	}{
		"stop":  {[]string{"stop", "-t", "5"}, "it was stopped from outside uws"},
		"kill":  {[]string{"kill"}, "it was killed from outside uws"},
		"pause": {[]string{"pause"}, "it was paused from outside uws"},
		"rm":    {[]string{"rm", "-f"}, "from outside uws"}, // removed; or killed, if its end is noticed before its removal
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := serve(t, e, folder(t))
			s := puppet(t, p, "victim", nil)
			docker(t, e, append(c.do, container(t, e, s.ID))...)
			told(t, p, s.ID, c.say)
			err := uwstest.Until(t.Context(), "it runs again", func() (bool, error) {
				id, err := e.Container(s.ID)
				if err != nil || id == "" {
					return false, err
				}
				state, err := e.Docker("inspect", "--format", "{{.State.Status}}", id)
				return state == "running", err
			})
			if err != nil {
				t.Fatal(err)
			}
			if after := stories.Healthy(t, p, s.ID, 0); after.Endpoint != s.Endpoint {
				t.Errorf("the endpoint is %s, was %s", after.Endpoint, s.Endpoint)
			}
			want := "starts: 2"
			if name == "pause" { // it did not end
				want = "starts: 1"
			}
			if log := docker(t, e, "logs", container(t, e, s.ID)); !strings.Contains(log, want) {
				t.Errorf("the log does not contain %q, so the data is not the same:\n%s", want, log)
			}
		})
	}
}

// A missing volume is never created again.
func TestVolumeRemoved(t *testing.T) {
	t.Parallel()
	e, dir := engine(t), folder(t)
	p := serve(t, e, dir)
	s := puppet(t, p, "robbed", nil)
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	id := container(t, e, s.ID)
	volume := docker(t, e, "inspect", "--format", "{{(index .Mounts 0).Name}}", id)
	docker(t, e, "rm", "-f", id)
	docker(t, e, "volume", "rm", volume)
	p = serve(t, e, dir)
	failed := stories.WaitFor(t, p, s.ID, "failed", func(s *uwstest.Service) bool { return s.Phase == "FAILED" })
	if !strings.Contains(failed.Reason, "data missing") {
		t.Errorf("the reason is %q", failed.Reason)
	}
	if out := docker(t, e, "volume", "ls", "-q", "--filter", "name="+volume); out != "" {
		t.Errorf("the volume was created again: %s", out)
	}
	// A new volume with its name is not the data, and must not be deleted.
	docker(t, e, "volume", "create", volume)
	if err := p.Do(t.Context(), "startService", s.ID); err != nil {
		t.Fatal(err)
	}
	stories.Remove(t, p, s.ID, "DELETE")
	if out := docker(t, e, "volume", "ls", "-q", "--filter", "name="+volume); out != volume {
		t.Errorf("the foreign volume was deleted: %q", out)
	}
	told(t, p, s.ID, "was left alone")
}

// uws kills an instance that hangs, which the Docker Engine does not notice.
func TestHang(t *testing.T) {
	t.Parallel()
	e := engine(t)
	withImages(t, e, "nats")
	p := serve(t, e, folder(t))
	s := stories.Launch(t, p, "QUEUE", "hung", map[string]any{"template": "nats",
		"healthCheck": map[string]any{"intervalSeconds": 1, "timeoutSeconds": 1, "failureThreshold": 3}})
	stories.Signal(t, e, s.ID, syscall.SIGSTOP)
	told(t, p, s.ID, "3 checks in a row failed")
	stories.Healthy(t, p, s.ID, 1)
}

// uws stops a crash loop, and the Docker Engine does not continue it while uws is down. The container and its log are kept.
func TestCrashLoop(t *testing.T) {
	t.Parallel()
	e := engine(t)
	p := serve(t, e, folder(t))
	s, err := p.Launch(t.Context(), "QUEUE", "loop", map[string]any{"template": "broken"})
	if err != nil {
		t.Fatal(err)
	}
	loop := stories.WaitFor(t, p, s.ID, "crash loop", func(s *uwstest.Service) bool { return s.Phase == "CRASH_LOOP" })
	if !strings.Contains(loop.Reason, "tried again every 5 minutes") || !strings.Contains(loop.Reason, "exited with code 7") {
		t.Errorf("the reason is %q", loop.Reason)
	}
	id := container(t, e, s.ID)
	quiet := func() bool {
		return docker(t, e, "inspect", "--format", "{{.State.Status}} {{.HostConfig.RestartPolicy.Name}}", id) == "exited no"
	}
	if err := uwstest.Until(t.Context(), "the container is stopped, and stays so", func() (bool, error) { return quiet(), nil }); err != nil {
		t.Fatal(err)
	}
	// After restartService the engine restarts the container again, until the next crash loop.
	if err := p.Do(t.Context(), "restartService", s.ID); err != nil {
		t.Fatal(err)
	}
	stories.WaitFor(t, p, s.ID, "crash loop again", func(s *uwstest.Service) bool { return s.Phase == "CRASH_LOOP" && s.Restarts > loop.Restarts })
}

// A service that was stopped stays stopped, also after a restart of the engine.
func TestStoppedStaysStopped(t *testing.T) {
	t.Parallel()
	e := own(t)
	p := serve(t, e, folder(t))
	s := puppet(t, p, "stopped", nil)
	if err := p.Do(t.Context(), "stopService", s.ID); err != nil {
		t.Fatal(err)
	}
	stories.WaitFor(t, p, s.ID, "stopped", func(s *uwstest.Service) bool { return s.Phase == "STOPPED" })
	restart(t, e)
	if pid, err := e.EnginePID(s.ID); pid != 0 || err != nil {
		t.Errorf("process %d runs it (%v)", pid, err)
	}
	if err := p.Do(t.Context(), "startService", s.ID); err != nil {
		t.Fatal(err)
	}
	stories.Healthy(t, p, s.ID, 0)
}

// own returns an engine for one test, which may restart it.
func own(t *testing.T, flags ...string) *dockertest.Engine {
	t.Helper()
	e, err := dockertest.Start(append(flags, "--iptables=false")...) // the iptables rules would be shared with the other engines here
	if err == nil {
		err = e.ImportPuppet()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Stop(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func restart(t *testing.T, e *dockertest.Engine) {
	t.Helper()
	if err := e.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := e.Up(); err != nil {
		t.Fatal(err)
	}
}

// While uws is down the engine restarts what crashes. uws counts that when it is back, and restarts nothing.
func TestCrashesWhileAway(t *testing.T) {
	t.Parallel()
	e, dir := engine(t), folder(t)
	p := serve(t, e, dir)
	s := puppet(t, p, "alone", nil)
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	id := container(t, e, s.ID)
	for _, count := range []string{"1", "2"} {
		stories.Signal(t, e, s.ID, syscall.SIGKILL)
		err := uwstest.Until(t.Context(), "the engine has restarted it", func() (bool, error) {
			out, err := e.Docker("inspect", "--format", "{{.RestartCount}} {{.State.Status}}", id)
			return out == count+" running", err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	pid, err := e.EnginePID(s.ID)
	if err != nil {
		t.Fatal(err)
	}
	p = serve(t, e, dir)
	after := stories.Healthy(t, p, s.ID, 2)
	if after.Restarts != 2 {
		t.Errorf("%d restarts, want 2", after.Restarts)
	}
	told(t, p, s.ID, "restarted by the engine 2 times")
	if now, err := e.EnginePID(s.ID); now != pid || err != nil {
		t.Errorf("process %d runs it, was %d (%v)", now, pid, err)
	}
}
