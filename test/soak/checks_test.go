package soak

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/test/uwstest"
)

const sampleEvery = 50 * time.Millisecond

// watchProcesses checks until the test ends that no service runs twice.
func (s *soak) watchProcesses() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	s.t.Cleanup(func() { cancel(); <-ended })
	go func() {
		defer close(ended)
		tick := time.NewTicker(sampleEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if twice, err := s.twice(); err != nil {
				s.t.Errorf("looking at the processes: %v", err)
			} else if twice != "" {
				s.t.Error(twice)
				return
			}
		}
	}()
}

// twice describes a service that has processes of two starts at the same time. It returns "" if there is none.
func (s *soak) twice() (string, error) {
	all, err := uwstest.EngineProcesses(s.dir)
	if err != nil {
		return "", err
	}
	of := map[string]uwstest.EngineProcess{}
	for _, e := range all {
		other, has := of[e.Service]
		// Listing takes time: the earlier process must have existed until the later one was seen.
		if has && other.Run != e.Run && e.Alive() && other.Alive() && e.Alive() {
			return fmt.Sprintf("service %s runs twice: processes %d and %d", e.Service, other.PID, e.PID), nil
		}
		of[e.Service] = e
	}
	return "", nil
}

// settle waits until every service is in its desired state and nothing changes any more.
func (s *soak) settle() {
	s.t.Helper()
	s.writes.Wait()
	for _, sl := range s.slots {
		err := uwstest.Until(s.t.Context(), sl.name+" is in its desired state", func() (bool, error) {
			s.look()
			if sl.state == absent || sl.state == retained {
				return true, nil
			}
			// The process is checked first: once it runs, what happened to the previous one is in the store.
			if sl.state == running && !runs(sl.id) {
				return false, nil
			}
			there, err := s.process().Service(s.t.Context(), sl.id)
			switch {
			case err != nil || there == nil:
				return false, err
			case there.Phase == "FAILED" || there.Phase == "CRASH_LOOP":
				return false, fmt.Errorf("service %+v", there)
			case sl.state == stopped:
				return there.Phase == "STOPPED", nil
			}
			return sl.state == running && there.Health == "HEALTHY", nil
		})
		if err != nil {
			s.t.Fatal(err)
		}
	}
}

// runs reports whether a service has a process that is not stopped by a signal. uws may not have noticed the newest signal yet.
func runs(service string) bool {
	pid, err := uwstest.EnginePID(service)
	if err != nil || pid == 0 {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, state, _ := strings.Cut(string(stat), ") ")
	return err == nil && !strings.HasPrefix(state, "T") && !strings.HasPrefix(state, "Z")
}

// check compares the store, the processes, the data and the messages of the subscribers.
func (s *soak) check() {
	s.t.Helper()
	services, log := s.services(), s.log()
	s.checkProcesses(services)
	s.caughtUp(log[len(log)-1].ID)
	if now := s.log(); len(now) != len(log) {
		s.t.Errorf("%d more events, though everything had settled; the last is %+v", len(now)-len(log), now[len(now)-1])
		log = now
	}
	s.checkStory("the witness", s.witness, log, true)
	for i, sub := range s.others {
		s.checkStory(fmt.Sprintf("subscriber %d", i), sub, log, true)
	}
	for i, sub := range s.left {
		s.checkStory(fmt.Sprintf("subscriber %d of those who left", i), sub, log, false)
	}
	if told, _ := s.witness.all(); len(told) != len(log) {
		s.t.Errorf("the witness got %d events; the log has %d", len(told), len(log))
	}
	s.checkViews(services)
	for _, sl := range s.slots {
		if sl.state == running {
			s.readBack(sl)
		}
	}
}

// services returns the services in the store by id.
func (s *soak) services() map[string]uwstest.Service {
	s.t.Helper()
	var out struct {
		Services struct{ Nodes []uwstest.Service }
	}
	s.must("listing the services", func(ctx context.Context, p *uwstest.Process) error {
		return p.Query(ctx, `{ services(first: 500) { nodes { id name kind phase health healthy reason endpoint restarts } } }`, nil, &out)
	})
	all := map[string]uwstest.Service{}
	for _, one := range out.Services.Nodes {
		all[one.ID] = one
	}
	want := map[string]bool{}
	for _, sl := range s.slots {
		if sl.state == running || sl.state == stopped {
			want[sl.id] = true
		}
	}
	if got := slices.Sorted(maps.Keys(all)); !slices.Equal(got, slices.Sorted(maps.Keys(want))) {
		s.t.Errorf("the store has the services %v, want %v", got, slices.Sorted(maps.Keys(want)))
	}
	return all
}

// checkProcesses fails unless each service that runs has one instance, and the others none.
func (s *soak) checkProcesses(services map[string]uwstest.Service) {
	s.t.Helper()
	all, err := uwstest.EngineProcesses(s.dir)
	if err != nil {
		s.t.Fatal(err)
	}
	runs := map[string]map[string]bool{}
	for _, e := range all {
		if runs[e.Service] == nil {
			runs[e.Service] = map[string]bool{}
		}
		runs[e.Service][e.Run] = true
		if services[e.Service].Phase != "RUNNING" {
			s.t.Errorf("process %d runs service %s, which is %+v", e.PID, e.Service, services[e.Service])
		}
	}
	for id, one := range services {
		if one.Phase == "RUNNING" && len(runs[id]) != 1 {
			s.t.Errorf("service %s is RUNNING with %d instances", one.Name, len(runs[id]))
		}
	}
}

// checkViews reduces the messages of each connected subscriber to the newest of each service and compares them with the store.
// The witness, which has all messages, must have every service; the others those that changed since they connected.
func (s *soak) checkViews(services map[string]uwstest.Service) {
	s.t.Helper()
	for i, sub := range append([]*subscriber{s.witness}, s.others...) {
		told, _ := sub.all()
		view := map[string]uwstest.Change{}
		for _, c := range told {
			if view[c.ServiceID] = c; c.Phase == "" {
				delete(view, c.ServiceID)
			}
		}
		for id, c := range view {
			if one, there := services[id]; !there || one.Phase != c.Phase || one.Health != c.Health || one.Name != c.Name {
				s.t.Errorf("the newest message of subscriber %d is %+v; the store has %+v (%v)", i, c, one, there)
			}
		}
		if i == 0 && len(view) != len(services) {
			s.t.Errorf("by its messages the witness has %d services; the store has %d", len(view), len(services))
		}
	}
}

// finish removes all services with their data, and fails if anything is left.
func (s *soak) finish() {
	s.t.Helper()
	for _, sub := range s.others {
		s.disconnect(sub)
	}
	s.others = nil
	for _, sl := range s.slots {
		switch sl.state {
		case running, stopped:
			s.removeSlot(sl, "DELETE")
		case retained:
			s.deleteData(sl)
		}
	}
	s.settle()
	s.check()
	volumes, err := filepath.Glob(filepath.Join(s.dir, "process", "volumes", "*"))
	if err != nil || len(volumes) > 0 {
		s.t.Errorf("volumes are left: %v (%v)", volumes, err)
	}
	s.disconnect(s.witness)
	s.exchange(s.process().Stop, "the last stop")
	for _, p := range append(s.old, s.process()) {
		for _, bad := range []string{"DATA RACE", "panic:", "mistake in uws"} {
			if out := p.Output.String(); strings.Contains(out, bad) {
				s.t.Errorf("the output of a uws contains %q:\n%s", bad, tail(out[:min(len(out), strings.Index(out, bad)+8000)], 10_000))
			}
		}
	}
}

// size is the resource use that must not grow.
type size struct{ goroutines, files, memory float64 }

// quiet brings uws to a defined state (all slots run, only the witness is connected) and measures it.
func (s *soak) quiet() size {
	s.t.Helper()
	s.settle()
	for _, sub := range s.others {
		s.disconnect(sub)
	}
	s.others = nil
	for _, sl := range s.slots {
		switch sl.state {
		case absent, retained:
			s.launchSlot(sl)
		case stopped:
			s.do(sl, "startService")
			sl.state = running
		}
	}
	s.settle()
	s.check()
	http.DefaultClient.CloseIdleConnections()
	var least size
	// Connections and probes take a moment to end, so the smallest of several measurements counts.
	for range 20 {
		now := s.size()
		if least.goroutines == 0 || now.goroutines < least.goroutines {
			least = now
		}
		s.pause(100 * time.Millisecond)
	}
	return least
}

func (s *soak) size() size {
	s.t.Helper()
	resp, err := http.Get(s.process().URL + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	gauge := func(name string) float64 {
		_, rest, _ := strings.Cut(string(text), "\n"+name+" ")
		value, _, _ := strings.Cut(rest, "\n")
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			s.t.Fatalf("/metrics has no %s: %v", name, err)
		}
		return v
	}
	return size{gauge("go_goroutines"), gauge("process_open_fds"), gauge("process_resident_memory_bytes")}
}

// compare allows for work in progress, and in memory for garbage and the newest rows of the log.
func (before size) compare(t *testing.T, after size) {
	t.Helper()
	const mb = 1 << 20
	t.Logf("goroutines %.0f, then %.0f; open files %.0f, then %.0f; resident %.1f MB, then %.1f MB",
		before.goroutines, after.goroutines, before.files, after.files, before.memory/mb, after.memory/mb)
	if after.goroutines > before.goroutines+5 {
		t.Errorf("%.0f goroutines, were %.0f", after.goroutines, before.goroutines)
	}
	if after.files > before.files+5 {
		t.Errorf("%.0f open files, were %.0f", after.files, before.files)
	}
	if after.memory > before.memory*1.25+32*mb {
		t.Errorf("%.1f MB resident, were %.1f MB", after.memory/mb, before.memory/mb)
	}
}

// conflict reports whether uws refused a request because of the state of the service.
func conflict(err error) bool {
	refused, ok := errors.AsType[*uwstest.GraphQLError](err)
	return ok && refused.Code == "CONFLICT"
}
