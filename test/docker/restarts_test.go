package docker

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/test/dockertest"
	"github.com/unicorn-web-services/uws/test/stories"
	"github.com/unicorn-web-services/uws/test/uwstest"
)

// backWithin is the limit for a service to be healthy again after its engine answers.
const backWithin = 30 * time.Second

// everyRestart selects the whole matrix, ten rounds each; see the Makefile.
var everyRestart = os.Getenv("UWS_TEST_ENGINE_RESTARTS") != ""

// However an engine is restarted, all services are healthy soon after it answers, and no failure is counted.
func TestEngineRestarted(t *testing.T) {
	for _, c := range []struct {
		name  string
		kill  bool // SIGKILL, else SIGTERM
		apart bool // containerd is a separate service that keeps running
		live  bool // live-restore
		bare  bool // no default network
	}{
		{name: "TERM"},
		{name: "TERM, containerd apart", apart: true},
		{name: "TERM, live-restore", live: true},
		{name: "TERM, containerd apart, live-restore", apart: true, live: true},
		{name: "KILL", kill: true},
		{name: "KILL, containerd apart", kill: true, apart: true},
		{name: "KILL, live-restore", kill: true, live: true},
		{name: "KILL, containerd apart, live-restore", kill: true, apart: true, live: true},
		{name: "TERM, no bridge", bare: true},
		{name: "KILL, no bridge", kill: true, bare: true},
		{name: "KILL, no bridge, live-restore", kill: true, live: true, bare: true},
	} {
		rounds := 10
		if !everyRestart {
			if c.apart == c.live && !c.bare { // keeps the cases that differ most
				continue
			}
			rounds = 2
		}
		t.Run(c.name, func(t *testing.T) {
			start, end := dockertest.Start, (*dockertest.Engine).Stop
			if c.apart {
				start = dockertest.StartOnContainerd
			}
			if c.kill {
				end = (*dockertest.Engine).Kill
			}
			flags := []string{"--iptables=false", fmt.Sprintf("--live-restore=%v", c.live)}
			if c.bare {
				flags = append(flags, "--bridge=none")
			}
			e, err := start(flags...)
			if err == nil {
				err = e.ImportPuppet()
			}
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = e.Stop() })
			restarts(t, e, end, c.live, rounds)
		})
	}
}

// restarts restarts an engine with services, one of which had failures before.
func restarts(t *testing.T, e *dockertest.Engine, end func(*dockertest.Engine) error, live bool, rounds int) {
	p := serve(t, e, folder(t))
	all := []*uwstest.Service{puppet(t, p, "failed", nil), puppet(t, p, "fresh", nil), puppet(t, p, "other", nil)}
	for n := range 2 {
		order(t, e, all[0].ID, "exit 3")
		stories.Healthy(t, p, all[0].ID, n+1)
	}
	var worst time.Duration
	ids := func() (all []string) {
		for _, s := range []string{"failed", "fresh", "other"} {
			all = append(all, docker(t, e, "ps", "-q", "--no-trunc", "--filter", "label=uws.name="+s, "--filter", "status=running"))
		}
		return all
	}
	var before []string
	if live {
		before = ids()
	}
	for round := range rounds {
		if err := end(e); err != nil {
			t.Fatal(err)
		}
		if err := e.Up(); err != nil {
			t.Fatal(err)
		}
		answered := time.Now()
		for _, s := range all {
			if took := checkedSince(t, p, s.ID, answered); took > backWithin {
				t.Errorf("round %d: service %s took %v", round, s.Name, took)
			} else {
				worst = max(worst, took)
			}
		}
		restartsTold(t, p, round+1)
	}
	t.Logf("%d rounds, healthy %v after the engine's answer at worst", rounds, worst.Round(10*time.Millisecond))
	causes := nodeCauses(t, p)
	if live { // the containers keep running during each restart
		if after := ids(); !slices.Equal(before, after) {
			t.Errorf("the containers are %v, were %v", after, before)
		}
		for _, s := range all[1:] {
			if got := codesOf(t, p, s.ID); count(got, "STARTED") > 1 || count(got, "ENGINE_RESTARTED") > 0 {
				t.Errorf("%s was restarted: %+v", s.Name, got)
			}
		}
		return
	}
	for _, s := range all {
		got := codesOf(t, p, s.ID)
		if n := count(got, "CRASH_LOOP"); n > 0 {
			t.Errorf("%s was in a crash loop: %v", s.Name, got)
		}
		for _, c := range got {
			if c.ReasonCode == "ENGINE_RESTARTED" && (c.CauseID == nil || !slices.Contains(causes, *c.CauseID)) {
				t.Errorf("%s: the cause of an event is not the engine's restart: %+v", s.Name, c)
			}
		}
		if n := count(got, "ENGINE_RESTARTED"); n < rounds {
			t.Errorf("%s: %d events of the engine's restart, want %d: %+v", s.Name, n, rounds, got)
		}
	}
}

// restartsTold waits for the given number of events of the node that say that its engine was restarted. It fails if there are
// more.
func restartsTold(t *testing.T, p *uwstest.Process, want int) {
	t.Helper()
	var got []string
	err := uwstest.Until(t.Context(), "the node's event", func() (bool, error) {
		got = nodeCauses(t, p)
		return len(got) >= want, nil
	})
	if err != nil || len(got) != want {
		t.Fatalf("%d events say that the engine was restarted, want %d (%v)", len(got), want, err)
	}
}

// If the engine is restarted while uws is down, uws then records one event of the node, which is the cause of the services'
// events. No failure is counted.
func TestEngineRestartedWhileAway(t *testing.T) {
	for _, c := range []struct {
		name  string
		end   func(*dockertest.Engine) error
		flags []string
	}{
		{"TERM", (*dockertest.Engine).Stop, nil},
		{"KILL", (*dockertest.Engine).Kill, nil},
		{"TERM, no bridge", (*dockertest.Engine).Stop, []string{"--bridge=none"}},
		{"KILL, live-restore", (*dockertest.Engine).Kill, []string{"--live-restore"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e := own(t, c.flags...)
			dir := folder(t)
			p := serve(t, e, dir)
			all := []*uwstest.Service{puppet(t, p, "one", nil), puppet(t, p, "two", nil)}
			if err := p.Stop(); err != nil {
				t.Fatal(err)
			}
			if err := c.end(e); err != nil {
				t.Fatal(err)
			}
			if err := e.Up(); err != nil {
				t.Fatal(err)
			}
			back := time.Now()
			p = serve(t, e, dir)
			for _, s := range all {
				checkedSince(t, p, s.ID, back)
			}
			restartsTold(t, p, 1)
			cause := nodeCauses(t, p)[0]
			live := slices.Contains(c.flags, "--live-restore")
			for _, s := range all {
				got := codesOf(t, p, s.ID)
				if n := count(got, "ENGINE_RESTARTED"); (n > 0) == live {
					t.Errorf("%s: %d events of the engine's restart: %+v", s.Name, n, got)
				}
				for _, e := range got {
					if e.ReasonCode == "ENGINE_RESTARTED" && (e.CauseID == nil || *e.CauseID != cause) {
						t.Errorf("%s: the cause of %+v is not %s", s.Name, e, cause)
					}
					if e.Attempt > 0 {
						t.Errorf("%s: counts as a failure: %+v", s.Name, e)
					}
				}
			}
			// If uws is restarted during the same run of the engine, it records nothing new.
			if err := p.Stop(); err != nil {
				t.Fatal(err)
			}
			back = time.Now()
			p = serve(t, e, dir)
			for _, s := range all {
				checkedSince(t, p, s.ID, back)
			}
			restartsTold(t, p, 1)
		})
	}
}

// Pruning stopped containers removes the mark of the engine's run too. That does not count as a restart.
func TestRunMarkPruned(t *testing.T) {
	t.Parallel()
	e, dir := own(t, "--bridge=none"), folder(t)
	p := serve(t, e, dir)
	s := puppet(t, p, "unmoved", nil)
	docker(t, e, "container", "prune", "-f")
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	back := time.Now()
	p = serve(t, e, dir)
	checkedSince(t, p, s.ID, back)
	restartsTold(t, p, 0)
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	restart(t, e)
	back = time.Now()
	p = serve(t, e, dir)
	checkedSince(t, p, s.ID, back)
	restartsTold(t, p, 1)
}

// checkedSince waits until a check after the given time finds a service healthy, and returns how long that took.
func checkedSince(t *testing.T, p *uwstest.Process, id string, since time.Time) time.Duration {
	t.Helper()
	var out struct {
		Service struct {
			Health, Reason    string
			LastHealthCheckAt time.Time
		}
	}
	err := uwstest.Until(t.Context(), "checked and healthy", func() (bool, error) {
		err := p.Query(t.Context(), `query($id: ID!) { service(id: $id) { health reason lastHealthCheckAt } }`, map[string]any{"id": id}, &out)
		return out.Service.Health == "HEALTHY" && out.Service.LastHealthCheckAt.After(since), err
	})
	if err != nil {
		t.Fatalf("%v: %+v", err, out)
	}
	return out.Service.LastHealthCheckAt.Sub(since)
}

type coded struct {
	ReasonCode string
	Reason     string
	CauseID    *string
	Attempt    int
}

// codesOf returns the events of a service with their codes, oldest first.
func codesOf(t *testing.T, p *uwstest.Process, id string) []coded {
	t.Helper()
	var out struct{ Events struct{ Nodes []coded } }
	if err := p.Query(t.Context(), `query($id: ID!) { events(filter: {serviceId: $id}, first: 500) { nodes { reasonCode reason causeId attempt } } }`,
		map[string]any{"id": id}, &out); err != nil {
		t.Fatal(err)
	}
	slices.Reverse(out.Events.Nodes)
	return out.Events.Nodes
}

func count(events []coded, code string) (n int) {
	for _, e := range events {
		if e.ReasonCode == code {
			n++
		}
	}
	return n
}

// nodeCauses returns the ids of the events that say that the engine was restarted.
func nodeCauses(t *testing.T, p *uwstest.Process) (ids []string) {
	t.Helper()
	var out struct {
		Events struct {
			Nodes []struct{ ID, Subject, ReasonCode string }
		}
	}
	if err := p.Query(t.Context(), `{ events(first: 500) { nodes { id subject reasonCode } } }`, nil, &out); err != nil {
		t.Fatal(err)
	}
	for _, e := range out.Events.Nodes {
		if e.Subject == "NODE" && e.ReasonCode == "ENGINE_RESTARTED" {
			ids = append(ids, e.ID)
		}
	}
	return ids
}

// What people do with the docker command is recorded and undone, and never counts as a failure, however often it happens.
func TestPeopleRestartIt(t *testing.T) {
	t.Parallel()
	e := engine(t)
	p := serve(t, e, folder(t))
	s := puppet(t, p, "restarted", nil)
	for n := range 7 {
		docker(t, e, "restart", "-t", "5", container(t, e, s.ID))
		checkedSince(t, p, s.ID, time.Now())
		if got := count(codesOf(t, p, s.ID), "HEALTHY"); got < n+1 {
			t.Errorf("healthy %d times after %d restarts", got, n)
		}
	}
	docker(t, e, "stop", "-t", "5", container(t, e, s.ID))
	if got := told(t, p, s.ID, "stopped from outside uws", "stopService"); got.ExitCode == nil {
		t.Errorf("%+v", got)
	}
	stories.WaitFor(t, p, s.ID, "undone", func(s *uwstest.Service) bool { return s.Restarts >= 1 && s.Health == "HEALTHY" })
	got := codesOf(t, p, s.ID)
	if count(got, "CRASH_LOOP")+count(got, "EXITED")+count(got, "OOM_KILLED") > 0 {
		t.Errorf("acts of people count as failures: %+v", got)
	}
	if !strings.Contains(fmt.Sprint(got), "RESTARTED_OUTSIDE") && !strings.Contains(fmt.Sprint(got), "STOPPED_OUTSIDE") {
		t.Errorf("no event has a reason code for the act of a person: %+v", got)
	}
}

// A container that its engine cannot start is created again, with the same data.
func TestCannotStart(t *testing.T) {
	e, err := dockertest.StartOnContainerd("--iptables=false")
	if err == nil {
		err = e.ImportPuppet()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Stop() })
	p := serve(t, e, folder(t))
	s := puppet(t, p, "blocked", nil)
	before := container(t, e, s.ID)
	docker(t, e, "stop", "-t", "5", before)
	if err := e.BlockTask(before); err != nil {
		t.Fatal(err)
	}
	stories.WaitFor(t, p, s.ID, "healthy again", func(s *uwstest.Service) bool { return s.Restarts >= 1 && s.Health == "HEALTHY" })
	after := container(t, e, s.ID)
	if after == before {
		t.Error("the container was not replaced, so nothing blocked its start")
	}
	if log := docker(t, e, "logs", after); !strings.Contains(log, "starts: 2") {
		t.Errorf("the log does not say that it is the second start, so the data is not the same:\n%s", log)
	}
}

// Repeated pauses are undone after growing delays, also if no check succeeds in between.
func TestPausedAgain(t *testing.T) {
	t.Parallel()
	e := engine(t)
	p := serve(t, e, folder(t))
	s := puppet(t, p, "paused", nil)
	id := container(t, e, s.ID)
	running := func() {
		t.Helper()
		err := uwstest.Until(t.Context(), "it is unpaused", func() (bool, error) {
			state, err := e.Docker("inspect", "--format", "{{.State.Status}}", id)
			return state == "running", err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	docker(t, e, "pause", id)
	// The first one may be delayed as well: an engine that has just started is given time to do its own work.
	told(t, p, s.ID, "it was paused from outside uws, and is unpaused", "call stopService")
	running()
	docker(t, e, "pause", id)
	told(t, p, s.ID, "it was paused from outside uws, and is unpaused in 5s; call stopService")
	running()
	docker(t, e, "pause", id)
	told(t, p, s.ID, "it was paused from outside uws, and is unpaused in 30s; call stopService")
	docker(t, e, "unpause", id)
	checkedSince(t, p, s.ID, time.Now())
	for _, c := range codesOf(t, p, s.ID) {
		if c.Attempt > 0 {
			t.Errorf("an act of people counts as a failure: %+v", c)
		}
	}
}

// If the docker-proxy of the container's last run still holds the port, the service keeps its port, has that as its reason, and
// starts when the port is free.
func TestProxyLeftBehind(t *testing.T) {
	t.Parallel()
	e := own(t)
	p := serve(t, e, folder(t))
	s := puppet(t, p, "held", nil)
	before := container(t, e, s.ID)
	port := s.Endpoint[strings.LastIndex(s.Endpoint, ":")+1:]
	proxy := proxyOf(t, port)
	// A process that is stopped by a signal does not notice that its engine was killed.
	if err := syscall.Kill(proxy, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := e.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := e.Up(); err != nil {
		t.Fatal(err)
	}
	told(t, p, s.ID, "port "+port+" is still held by the engine's own docker-proxy")
	if err := syscall.Kill(proxy, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	after := stories.Healthy(t, p, s.ID, 1)
	if after.Endpoint != s.Endpoint {
		t.Errorf("the endpoint is %s, was %s", after.Endpoint, s.Endpoint)
	}
	if now := container(t, e, s.ID); now != before {
		t.Errorf("container %s was replaced by %s", before, now)
	}
	for _, c := range codesOf(t, p, s.ID) {
		if strings.Contains(c.Reason, "another program") || c.Attempt > 0 {
			t.Errorf("%+v", c)
		}
	}
}

// proxyOf returns the process of the docker-proxy that publishes a port.
func proxyOf(t *testing.T, port string) int {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range all {
		line, _ := os.ReadFile(name) // it may have ended
		if strings.Contains(string(line), "docker-proxy\x00") && strings.Contains(string(line), "-host-port\x00"+port+"\x00") {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
			if err != nil {
				t.Fatal(err)
			}
			return pid
		}
	}
	t.Fatalf("no docker-proxy publishes port %s", port)
	return 0
}

// An engine that is started without its disk has no data. When the disk is back, the services work again without any action by
// people.
func TestDiskOfEngineAway(t *testing.T) {
	t.Parallel()
	e := own(t)
	p := serve(t, e, folder(t))
	all := []*uwstest.Service{puppet(t, p, "first", nil), puppet(t, p, "second", nil)}
	containers := map[string]string{}
	for _, s := range all {
		containers[s.ID] = container(t, e, s.ID)
	}
	disk := func(change func() error) {
		t.Helper()
		err := e.Stop()
		if err == nil {
			err = change()
		}
		if err == nil {
			err = e.Up()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	disk(e.Hide)
	if err := e.ImportPuppet(); err != nil { // images were on the disk, too
		t.Fatal(err)
	}
	for _, s := range all {
		stories.WaitFor(t, p, s.ID, "failed for its data", func(s *uwstest.Service) bool {
			return s.Phase == "FAILED" && strings.Contains(s.Reason, "data missing")
		})
	}
	disk(e.Unhide)
	for _, s := range all {
		checkedSince(t, p, s.ID, time.Now())
		id, started := container(t, e, s.ID), ""
		if id != containers[s.ID] {
			t.Errorf("%s runs in container %s, had %s", s.Name, id, containers[s.ID])
		}
		started = docker(t, e, "inspect", "--format", "{{.State.StartedAt}}", id)
		if err := p.Do(t.Context(), "startService", s.ID); err != nil {
			t.Fatal(err)
		}
		checkedSince(t, p, s.ID, time.Now())
		if now := container(t, e, s.ID); now != id {
			t.Errorf("startService replaced the container: it is %s, was %s", now, id)
		}
		if now := docker(t, e, "inspect", "--format", "{{.State.StartedAt}}", id); now != started {
			t.Errorf("startService restarted a running container: started %s, before %s", now, started)
		}
		got := codesOf(t, p, s.ID)
		if count(got, "DATA_MISSING") == 0 || count(got, "DATA_BACK") == 0 {
			t.Errorf("the events do not explain what happened: %+v", got)
		}
	}
}
