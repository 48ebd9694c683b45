package app_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/app"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// gate is what lets drivers in: nodes on other machines answer only those who have the key.
type gate struct {
	mu     sync.Mutex
	key    driver.Secret
	open   int   // drivers that are open, of other machines
	refuse error // what opening one answers
}

// opener puts the gate before the driver of nodes on other machines.
func (g *gate) opener(o *app.Options) {
	docker := o.Drivers["DOCKER"]
	inner := docker.Open
	docker.Open = func(n orchestrator.Node, a orchestrator.Access) (driver.Driver, error) {
		drv, err := inner(n, a)
		if err != nil {
			return drv, err
		}
		return g.guard(drv, a)
	}
	o.Drivers["DOCKER"] = docker
}

func (g *gate) guard(inner driver.Driver, a orchestrator.Access) (driver.Driver, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.refuse != nil {
		return nil, g.refuse
	}
	if a.TLS == nil {
		return nil, driver.FieldError(driver.Invalid, "tls.ca", "is missing")
	}
	g.open++
	return &gated{Driver: inner, gate: g, key: a.TLS.Key}, nil
}

func (g *gate) set(change func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change()
}

func (g *gate) opened() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.open
}

type gated struct {
	driver.Driver
	gate *gate
	key  driver.Secret
}

func (d *gated) Ping(ctx context.Context) (driver.Info, error) {
	d.gate.mu.Lock()
	ok := d.key == d.gate.key
	d.gate.mu.Unlock()
	if !ok {
		return driver.Info{}, driver.FieldError(driver.Unreachable, "tls.certificate", "it is refused")
	}
	return d.Driver.Ping(ctx)
}

func (d *gated) Close() error {
	d.gate.set(func() { d.gate.open-- })
	return d.Driver.Close()
}

const planted = "planted-private-key"

func keys(key driver.Secret) orchestrator.Access {
	return orchestrator.Access{TLS: &orchestrator.TLSKeys{CA: "ca", Certificate: "certificate", Key: key}}
}

// newGated makes a world with other machines behind a gate, and a log that is kept.
func newGated(t *testing.T) (*world, *gate, *bytes.Buffer) {
	t.Helper()
	g, log := &gate{key: planted}, new(bytes.Buffer)
	w := newWorld(t, func(o *app.Options) {
		g.opener(o)
		o.Log = slog.New(slog.NewTextHandler(&locked{w: log}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	return w, g, log
}

// locked lets goroutines write beside each other.
type locked struct {
	mu sync.Mutex
	w  *bytes.Buffer
}

func (l *locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

var far = orchestrator.NodeInput{Name: "far", Driver: "DOCKER", Endpoint: "tcp://far.example:2376", ServiceAddress: "far.example", Access: keys(planted)}

// wantField checks an error's code and path, and that the text does not begin with the path, which is for the door to add.
func wantField(t *testing.T, err error, code orchestrator.Code, field, text string) {
	t.Helper()
	e, ok := errors.AsType[*orchestrator.Error](err)
	if !ok || e.Code != code || e.Path != field || !strings.Contains(e.Message, text) || strings.HasPrefix(e.Message, field) {
		t.Errorf("got %v, want %s about %s with %q", err, code, field, text)
	}
}

func TestRegisterNodeInput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, g, _ := newGated(t)
		for _, tt := range []struct {
			edit  func(*orchestrator.NodeInput)
			field string
			want  string
		}{
			{func(in *orchestrator.NodeInput) { in.ServiceAddress = "127.0.0.1" }, "serviceAddress", "is this machine"},
			{func(in *orchestrator.NodeInput) { in.ServiceAddress = "127.9.9.9" }, "serviceAddress", "is this machine"},
			{func(in *orchestrator.NodeInput) { in.ServiceAddress = "::1" }, "serviceAddress", "is this machine"},
			{func(in *orchestrator.NodeInput) { in.ServiceAddress = "LocalHost" }, "serviceAddress", "is this machine"},
			{func(in *orchestrator.NodeInput) { in.ServiceAddress = "x.localhost" }, "serviceAddress", "is this machine"},
			{func(in *orchestrator.NodeInput) { in.Endpoint, in.ServiceAddress = "ssh://me@h", "127.0.0.1" }, "serviceAddress", "is this machine"},
			{func(in *orchestrator.NodeInput) { in.ServiceAddress = "0.0.0.0" }, "serviceAddress", "the node's own"},
			{func(in *orchestrator.NodeInput) { in.ServiceAddress = "::" }, "serviceAddress", "the node's own"},
			{func(in *orchestrator.NodeInput) { in.ServiceAddress = "224.0.0.1" }, "serviceAddress", "the node's own"},
			{func(in *orchestrator.NodeInput) { in.ServiceAddress = "" }, "serviceAddress", "must be an IP address"},
			{func(in *orchestrator.NodeInput) { in.Labels = []orchestrator.Label{{Name: "Zone"}} }, "labels[0].name", "1 to 63 of a-z"},
			{func(in *orchestrator.NodeInput) {
				in.Labels = []orchestrator.Label{{Name: strings.Repeat("a", 64)}}
			}, "labels[0].name", "1 to 63 of a-z"},
			{func(in *orchestrator.NodeInput) { in.Labels = []orchestrator.Label{{Name: "a"}, {Name: "a"}} }, "labels[1].name", "twice"},
			{func(in *orchestrator.NodeInput) { in.Labels = []orchestrator.Label{{Name: "a", Value: "b c"}} }, "labels[0].value", "letters"},
			{func(in *orchestrator.NodeInput) { in.Labels = make([]orchestrator.Label, 33) }, "labels", "at most 32"},
			{func(in *orchestrator.NodeInput) { in.Access = orchestrator.Access{} }, "tls.ca", "is missing"},
			{func(in *orchestrator.NodeInput) { in.Access = keys("another") }, "tls.certificate", "it is refused"},
		} {
			in := far
			tt.edit(&in)
			_, err := w.RegisterNode(t.Context(), in)
			wantField(t, err, orchestrator.InvalidInput, tt.field, tt.want)
		}
		process := orchestrator.NodeInput{Name: "p", Driver: "PROCESS", Endpoint: "fake", ServiceAddress: "127.0.0.1", Access: keys("x")}
		nodes, err := w.Nodes(t.Context())
		if err != nil || len(nodes) != 1 || g.opened() != 0 {
			t.Fatalf("nodes %v, %v, open %d", nodes, err, g.opened())
		}
		if err := w.RemoveNode(t.Context(), nodes[0].ID, false); err != nil {
			t.Fatal(err)
		}
		_, err = w.RegisterNode(t.Context(), process)
		wantField(t, err, orchestrator.InvalidInput, "tls", "without keys")
		// An engine on this machine's own socket may have its services on loopback.
		w.machine.set(func() { w.machine.away = errors.New("no route") })
		near := orchestrator.NodeInput{Name: "near", Driver: "DOCKER", Endpoint: "unix:///x", ServiceAddress: "127.0.0.1", Access: keys(planted)}
		_, err = w.RegisterNode(t.Context(), near)
		wantField(t, err, orchestrator.NodeUnavailable, "endpoint", "no route")
		w.machine.set(func() { w.machine.away = nil })
		if _, err := w.RegisterNode(t.Context(), near); err != nil {
			t.Error(err)
		}
	})
}

func TestNodeKeysAreSealed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, g, log := newGated(t)
		node, err := w.RegisterNode(t.Context(), far)
		if err != nil {
			t.Fatal(err)
		}
		w.restart() // with the keys that were stored
		if w.farHealthy(); g.opened() != 1 {
			t.Errorf("%d drivers are open", g.opened())
		}

		// New keys that do not fit change nothing; those that do replace the old ones.
		_, err = w.UpdateNode(t.Context(), node.ID, orchestrator.NodeUpdate{Access: keys("another")})
		wantField(t, err, orchestrator.InvalidInput, "tls.certificate", "it is refused")
		w.farHealthy()
		g.set(func() { g.key = planted + "-2" })
		w.eventually("the old keys are refused", func() bool { return !w.nodeNamed("far").Healthy })
		if updated, err := w.UpdateNode(t.Context(), node.ID, orchestrator.NodeUpdate{Access: keys(planted + "-2")}); err != nil || !updated.Healthy {
			t.Errorf("after the update: %+v, %v", updated, err)
		}
		if g.opened() != 1 {
			t.Errorf("%d drivers are open", g.opened())
		}
		w.restart()
		w.farHealthy()
		if row, err := w.st.Read.Node.Get(t.Context(), node.ID); err != nil || len(row.Access) == 0 || bytes.Contains(row.Access, []byte("planted")) {
			t.Errorf("the row holds no key, or one in clear: %v", err)
		}
		w.stop()
		if strings.Contains(log.String(), "planted") {
			t.Errorf("the key is in the log:\n%s", log)
		}
		files, err := filepath.Glob(filepath.Join(w.dir, "data", "uws.db*"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no store: %v", err)
		}
		for _, file := range files {
			if text, err := os.ReadFile(file); err != nil || bytes.Contains(text, []byte("planted")) {
				t.Errorf("the key is in %s (%v)", file, err)
			}
		}
		w.start()
	})
}

func (w *world) nodeNamed(name string) orchestrator.Node {
	w.t.Helper()
	nodes, err := w.Nodes(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, n := range nodes {
		if n.Name == name {
			return n
		}
	}
	w.t.Fatalf("there is no node %s", name)
	return orchestrator.Node{}
}

func (w *world) farHealthy() {
	w.t.Helper()
	w.eventually("node far is healthy", func() bool { return w.nodeNamed("far").Healthy })
}

func TestUpdateNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _, _ := newGated(t)
		local := w.nodeNamed("local")
		update := func(in orchestrator.NodeUpdate) error {
			_, err := w.UpdateNode(t.Context(), local.ID, in)
			return err
		}
		_, err := w.UpdateNode(t.Context(), "no", orchestrator.NodeUpdate{})
		wantField(t, err, orchestrator.NotFound, "id", "no node")
		wantField(t, update(orchestrator.NodeUpdate{Access: keys("x")}), orchestrator.InvalidInput, "tls", "without keys")
		wantField(t, update(orchestrator.NodeUpdate{ServiceAddress: new("a b")}), orchestrator.InvalidInput, "serviceAddress", "must be an IP address")
		wantField(t, update(orchestrator.NodeUpdate{Labels: []orchestrator.Label{{Name: "-"}}}), orchestrator.InvalidInput, "labels[0].name", "1 to 63")

		if err := update(orchestrator.NodeUpdate{ServiceAddress: new("localhost"), Labels: []orchestrator.Label{{Name: "zone", Value: "B"}, {Name: "example.com/disk", Value: "ssd"}}}); err != nil {
			t.Fatal(err)
		}
		if n := w.nodeNamed("local"); n.ServiceAddress != "localhost" || n.Labels["zone"] != "B" || n.Labels["example.com/disk"] != "ssd" || n.Draining || !n.Healthy {
			t.Errorf("got %+v", n)
		}
		w.healthy(w.launch("q").ID)
		wantField(t, update(orchestrator.NodeUpdate{ServiceAddress: new("127.0.0.1")}), orchestrator.Conflict, "serviceAddress", "has 1 services, which clients reach at localhost")
		if err := update(orchestrator.NodeUpdate{ServiceAddress: new("localhost"), Draining: new(true)}); err != nil { // the same address is no change
			t.Fatal(err)
		}
		if err := update(orchestrator.NodeUpdate{}); err != nil {
			t.Fatal(err)
		}
		w.restart()
		if n := w.nodeNamed("local"); !n.Draining || len(n.Labels) != 2 {
			t.Errorf("got %+v", n)
		}
		waiting := w.launch("q2")
		w.eventually("it waits", func() bool { return strings.Contains(w.get(waiting.ID).Reason, "draining") })
		if err := update(orchestrator.NodeUpdate{Draining: new(false), Labels: []orchestrator.Label{}}); err != nil {
			t.Fatal(err)
		}
		w.healthy(waiting.ID)
		if n := w.nodeNamed("local"); n.Draining || len(n.Labels) != 0 {
			t.Errorf("got %+v", n)
		}
		list, err := w.Events(t.Context(), orchestrator.EventFilter{NodeID: local.ID}, orchestrator.Page{First: 100})
		if err != nil {
			t.Fatal(err)
		}
		var reasons []string
		for _, e := range list.Items {
			if e.ServiceID == "" {
				reasons = append(reasons, e.Reason)
			}
		}
		if got := strings.Join(reasons, "; "); strings.Count(got, "draining") != 1 || strings.Count(got, "takes new services again") != 1 {
			t.Errorf("events: %s", got)
		}
	})
}

// A node that cannot be opened as its row says is shown with the reason, keeps the others from nothing, and can be
// mended.
func TestUnopenedNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, g, _ := newGated(t)
		node, err := w.RegisterNode(t.Context(), far)
		if err != nil {
			t.Fatal(err)
		}
		w.stop()
		g.set(func() { g.refuse = driver.Errorf(driver.Invalid, "it has no such endpoint any more") })
		w.start()
		w.eventually("the reason is shown", func() bool {
			n := w.nodeNamed("far")
			return !n.Healthy && strings.Contains(n.Reason, "no such endpoint any more")
		})
		s, err := w.Launch(t.Context(), orchestrator.LaunchInput{Kind: catalog.Queue, Name: "q", Template: "echo"})
		if err != nil {
			t.Fatal(err)
		}
		w.healthy(s.ID)
		g.set(func() { g.refuse = nil })
		if _, err := w.UpdateNode(t.Context(), node.ID, orchestrator.NodeUpdate{Access: keys(planted)}); err != nil {
			t.Fatal(err)
		}
		w.farHealthy()
		w.stop()
		g.set(func() { g.refuse = driver.Errorf(driver.Invalid, "it has no such endpoint any more") })
		w.start()
		if err := w.RemoveNode(t.Context(), node.ID, false); err != nil {
			t.Error(err)
		}
	})
}
