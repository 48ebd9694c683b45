// Package crash kills uws at every step of a service's life, starts it again, and checks that the step is completed or
// undone: no process is orphaned or duplicated, no data is lost, and the event log has no gap.
package crash

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/unicorn-web-services/uws/test/uwstest"
)

func TestMain(m *testing.M) { os.Exit(uwstest.Main(m, uwstest.Faulty)) }

// world is a data folder with one queue.
type world struct {
	*testing.T
	dir string
	// templates is a folder of templates that replace built-in ones; empty means none.
	templates string
	args      []string // more flags of uws serve
	p         *uwstest.Process
	id        string
}

func newWorld(t *testing.T) *world {
	w := &world{T: t, dir: uwstest.Folder(t)}
	t.Cleanup(func() {
		if w.p == nil {
			return
		}
		if t.Failed() {
			t.Logf("uws printed:\n%s", w.p.Output)
		}
		if err := w.p.Stop(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// start starts uws. It kills itself at the step fault, unless fault is empty.
func (w *world) start(fault string) {
	w.Helper()
	args := append([]string{"--engines", uwstest.EnginesFolder(w.T)}, w.args...)
	if w.templates != "" {
		args = append(args, "--templates", w.templates)
	}
	var err error
	w.p, err = uwstest.StartWith(w.Context(), []string{"UWS_FAULT=" + fault}, uwstest.Binary, filepath.Join(w.dir, "data"), args...)
	if err != nil {
		w.Fatal(err)
	}
}

// crash waits until uws has killed itself, and starts it again.
func (w *world) crash() {
	w.Helper()
	select {
	case <-w.p.Exited():
	case <-time.After(uwstest.Patience):
		w.Fatal("the step was never reached")
	}
	if w.p.Cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		w.Fatalf("uws ended with %s, but did not kill itself:\n%s", w.p.Cmd.ProcessState, w.p.Output)
	}
	w.start("")
}

// launch launches the queue. The response may be lost in a crash.
func (w *world) launch(more map[string]any) error {
	s, err := w.p.Launch(w.Context(), "QUEUE", "orders", more)
	if err == nil {
		w.id = s.ID
	}
	return err
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) waitFor(what string, ok func(*uwstest.Service) bool) *uwstest.Service {
	w.Helper()
	s, err := w.p.WaitFor(w.Context(), w.id, what, ok)
	w.must(err)
	return s
}

func (w *world) healthy() *uwstest.Service {
	w.Helper()
	return w.waitFor("healthy", func(s *uwstest.Service) bool { return s != nil && s.Health == "HEALTHY" && s.Phase == "RUNNING" })
}

func (w *world) jetstream() jetstream.JetStream {
	w.Helper()
	keys, err := w.p.Credentials(w.Context(), w.id)
	w.must(err)
	var nc *nats.Conn
	w.must(uwstest.Until(w.Context(), "a client can connect", func() (bool, error) { // it may just be restarting
		nc, err = nats.Connect(w.healthy().Endpoint, nats.UserInfo(keys["user"], keys["password"]))
		return err == nil, nil
	}))
	w.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	w.must(err)
	return js
}

func (w *world) write() {
	w.Helper()
	js := w.jetstream()
	_, err := js.CreateStream(w.Context(), jetstream.StreamConfig{Name: "orders", Subjects: []string{"orders"}})
	w.must(err)
	_, err = js.Publish(w.Context(), "orders", []byte("one hat"))
	w.must(err)
}

func (w *world) readBack() {
	w.Helper()
	stream, err := w.jetstream().Stream(w.Context(), "orders")
	w.must(err)
	m, err := stream.GetLastMsgForSubject(w.Context(), "orders")
	if err != nil || string(m.Data) != "one hat" {
		w.Fatalf("the message is lost: %v, %v", m, err)
	}
}

// processes fails unless the given number of engines is running.
func (w *world) processes(want int) {
	w.Helper()
	pids, err := uwstest.Engines(w.dir)
	if err != nil || len(pids) != want {
		w.Errorf("processes %v (%v), want %d", pids, err, want)
	}
}

// log checks that the event log has no gap, and that each event of a service begins with the state in which the
// previous one ended.
func (w *world) log() {
	w.Helper()
	type event struct{ ID, ServiceID, PreviousPhase, Phase, PreviousHealth, Health string }
	var all []event
	for after, more := "", true; more; {
		var out struct {
			Events struct {
				Nodes    []event
				PageInfo struct {
					HasNextPage bool
					EndCursor   string
				}
			}
		}
		variables := map[string]any{}
		if after != "" {
			variables["after"] = after
		}
		w.must(w.p.Query(w.Context(), `query($after: ID) { events(first: 500, after: $after) {
			nodes { id serviceId previousPhase phase previousHealth health } pageInfo { hasNextPage endCursor } } }`, variables, &out))
		all = append(all, out.Events.Nodes...)
		after, more = out.Events.PageInfo.EndCursor, out.Events.PageInfo.HasNextPage
	}
	slices.Reverse(all)
	type state struct{ phase, health string }
	was := map[string]state{}
	for i, e := range all {
		if e.ID != fmt.Sprint(i+1) {
			w.Errorf("event %d has id %s: there is a gap", i+1, e.ID)
		}
		if e.ServiceID == "" {
			continue
		}
		if before := was[e.ServiceID]; before != (state{e.PreviousPhase, e.PreviousHealth}) {
			w.Errorf("event %s begins with %s/%s, but the previous one ended with %s/%s", e.ID, e.PreviousPhase, e.PreviousHealth, before.phase, before.health)
		}
		was[e.ServiceID] = state{e.Phase, e.Health}
	}
}

func (w *world) retained() []string {
	w.Helper()
	var out struct{ RetainedData []struct{ ID string } }
	w.must(w.p.Query(w.Context(), `{ retainedData { id } }`, nil, &out))
	var ids []string
	for _, k := range out.RetainedData {
		ids = append(ids, k.ID)
	}
	return ids
}

func (w *world) remove(data string) error {
	return w.p.Query(w.Context(), `mutation($id: ID!, $data: DataPolicy) { removeService(id: $id, data: $data) { id } }`,
		map[string]any{"id": w.id, "data": data}, nil)
}
