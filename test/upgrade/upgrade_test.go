package upgrade

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/test/dockertest"
	"github.com/unicorn-web-services/uws/test/stories"
	"github.com/unicorn-web-services/uws/test/uwstest"
)

// role is the state of a service before the upgrade.
type role string

const (
	runs    role = "runs"
	stopped role = "stopped"
	kept    role = "kept" // removed, its data retained
)

// workload is one service of the test.
type workload struct {
	stories.Engine
	role     role
	node     string // its id
	name     string
	id       string
	endpoint string
	keys     map[string]string
}

// TestUpgrade upgrades an installation that has every kind of service on both drivers. No engine is touched, retained data
// can be reattached, and clients and subscribers continue with their credentials, endpoints and cursors.
func TestUpgrade(t *testing.T) {
	engine, err := dockertest.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := engine.Stop(); err != nil {
			t.Error(err)
		}
	})
	root := uwstest.Folder(t)
	dir := filepath.Join(root, "data")

	p := serve(t, oldBinary(dockertest.Dir()), dir)
	told := follow(t, p, "")
	all := populate(t, p, engine)
	for _, w := range all {
		switch w.role {
		case stopped:
			if err := p.Do(t.Context(), "stopService", w.id); err != nil {
				t.Fatal(err)
			}
			stories.WaitFor(t, p, w.id, "stopped", func(s *uwstest.Service) bool { return s.Phase == "STOPPED" })
		case kept:
			stories.Remove(t, p, w.id, "RETAIN")
		}
	}
	cursor := told.until(t, "any message", func(uwstest.Change) bool { return true })
	earlier := events(t, p, cursor.ID)
	existing := resourcesOf(t, root, engine)
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}

	began := time.Now()
	p = serve(t, uwstest.Path(dockertest.Dir(), uwstest.UWS), dir)
	told = follow(t, p, cursor.Cursor)
	for _, w := range all {
		if w.role == runs {
			sameService(t, p, w, began)
		}
	}
	sameResources(t, existing, resourcesOf(t, root, engine))
	if now := events(t, p, cursor.ID); !slices.Equal(now, earlier) {
		t.Errorf("the upgrade changed the events after the cursor from %v to %v", earlier, now)
	}
	resume(t, p, engine, all)

	ids := events(t, p, cursor.ID)
	told.until(t, "the newest event", func(c uwstest.Change) bool { return c.ID == ids[len(ids)-1] })
	if got := told.ids(); !slices.Equal(got, ids) {
		t.Errorf("after its cursor a subscriber received events %v, want %v", got, ids)
	}
	for _, w := range all {
		if w.role == runs {
			sameService(t, p, w, began)
		}
	}
}

// populate registers the Docker Engine and launches every kind of service on both nodes. On each node it also launches a
// service to stop and one to remove with its data retained.
func populate(t *testing.T, p *uwstest.Process, engine *dockertest.Engine) []*workload {
	t.Helper()
	var out struct {
		RegisterNode struct{ ID string }
		Nodes        []struct{ ID string }
	}
	query := func(q string, variables map[string]any) {
		t.Helper()
		if err := p.Query(t.Context(), q, variables, &out); err != nil {
			t.Fatal(err)
		}
	}
	query(`{ nodes { id } }`, nil)
	query(`mutation($input: RegisterNodeInput!) { registerNode(input: $input) { id } }`, map[string]any{"input": map[string]any{
		"name": "docker", "driver": "DOCKER", "endpoint": engine.Host, "serviceAddress": engine.Address}})
	var all []*workload
	for driver, node := range map[string]string{"process": out.Nodes[0].ID, "docker": out.RegisterNode.ID} {
		for _, e := range stories.Engines {
			roles := []role{runs}
			switch e.Template {
			case "nats":
				roles = append(roles, kept)
			case "redis":
				roles = append(roles, stopped)
			}
			for _, r := range roles {
				all = append(all, &workload{Engine: e, role: r, node: node, name: strings.Join([]string{e.Template, driver, string(r)}, "-")})
			}
		}
	}
	for _, e := range stories.Engines {
		if _, err := engine.ImportEngine(t.Context(), e.Template); err != nil {
			t.Fatal(err)
		}
	}
	for _, w := range all {
		s, err := p.Launch(t.Context(), w.Kind, w.name, map[string]any{"template": w.Template, "nodeId": w.node})
		if err != nil {
			t.Fatal(err)
		}
		w.id = s.ID
	}
	for _, w := range all {
		w.endpoint = stories.Healthy(t, p, w.id, 0).Endpoint
		w.keys = credentials(t, p, w.id)
		if err := w.Client.Write(t.Context(), w.endpoint, w.keys, w.name); err != nil {
			t.Fatalf("writing to %s: %v", w.name, err)
		}
	}
	return all
}

func credentials(t *testing.T, p *uwstest.Process, id string) map[string]string {
	t.Helper()
	keys, err := p.Credentials(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// sameService waits until a service was probed after the given time, and compares it with its state before the upgrade.
func sameService(t *testing.T, p *uwstest.Process, w *workload, after time.Time) {
	t.Helper()
	err := uwstest.Until(t.Context(), w.name+" is probed", func() (bool, error) {
		var out struct {
			Service struct{ LastHealthCheckAt time.Time }
		}
		err := p.Query(t.Context(), `query($id: ID!) { service(id: $id) { lastHealthCheckAt } }`, map[string]any{"id": w.id}, &out)
		return out.Service.LastHealthCheckAt.After(after), err
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := p.Service(t.Context(), w.id)
	if err != nil {
		t.Fatal(err)
	}
	if s == nil || s.Health != "HEALTHY" || s.Restarts != 0 || s.Name != w.name || s.Endpoint != w.endpoint {
		t.Errorf("%s is %+v, want HEALTHY, without a restart, at %s", w.name, s, w.endpoint)
	}
	sameContent(t, p, w, w.id, w.endpoint)
}

// sameContent compares the credentials, and the data that a client reads with them.
func sameContent(t *testing.T, p *uwstest.Process, w *workload, id, endpoint string) {
	t.Helper()
	keys := credentials(t, p, id)
	if !maps.Equal(keys, w.keys) {
		t.Errorf("the credentials of %s changed", w.name)
	}
	if text, err := w.Client.Read(t.Context(), endpoint, keys); err != nil || text != w.name {
		t.Errorf("%s: read %q, %v", w.name, text, err)
	}
}

// resume starts the stopped services and reattaches the retained data.
func resume(t *testing.T, p *uwstest.Process, engine *dockertest.Engine, all []*workload) {
	t.Helper()
	var out struct {
		RetainedData []struct{ ID, Name string }
		Orphans      []struct{ ID string }
	}
	if err := p.Query(t.Context(), `{ retainedData { id name } orphans { id } }`, nil, &out); err != nil {
		t.Fatal(err)
	}
	if len(out.Orphans) > 0 {
		t.Errorf("workloads became orphans: %v", out.Orphans)
	}
	retained := map[string]string{}
	for _, d := range out.RetainedData {
		retained[d.Name] = d.ID
	}
	for _, w := range all {
		var s *uwstest.Service
		switch w.role {
		case stopped:
			if err := p.Do(t.Context(), "startService", w.id); err != nil {
				t.Fatal(err)
			}
			s = stories.Healthy(t, p, w.id, 0)
		case kept:
			volumes := volumesOf(t, engine)
			s = stories.Launch(t, p, w.Kind, w.name, map[string]any{"template": w.Template, "nodeId": w.node, "reattach": retained[w.name]})
			if now := volumesOf(t, engine); !maps.Equal(now, volumes) {
				t.Errorf("attaching the data of %s changed the volumes from %v to %v", w.name, volumes, now)
			}
		default:
			continue
		}
		sameContent(t, p, w, s.ID, s.Endpoint)
	}
}

// resources are the processes, containers, volumes and networks of uws on its nodes, by kind and id.
type resources map[string]string

func resourcesOf(t *testing.T, root string, engine *dockertest.Engine) resources {
	t.Helper()
	found := volumesOf(t, engine)
	docker(t, engine, found, []string{"ps", "-aq", "--no-trunc", "--filter", "label=uws.service"}, []string{"inspect", "--format",
		"container {{.Id}}\t{{.Name}} {{.State.Status}} {{.State.StartedAt}} {{.RestartCount}} {{json .Config.Labels}} {{json .Mounts}}"})
	docker(t, engine, found, []string{"network", "ls", "-q", "--no-trunc", "--filter", "label=uws.installation"},
		[]string{"network", "inspect", "--format", "network {{.Id}}\t{{.Name}} {{json .Labels}}"})

	processes, err := uwstest.EngineProcesses(root)
	if err != nil {
		t.Fatal(err)
	}
	mains := map[string]uwstest.EngineProcess{} // PostgreSQL starts and ends further processes
	for _, e := range processes {
		if main, ok := mains[e.Service]; !ok || e.PID < main.PID {
			mains[e.Service] = e
		}
	}
	for id, e := range mains {
		found["process of "+id] = fmt.Sprintf("pid %d, run %s", e.PID, e.Run)
	}
	return found
}

func volumesOf(t *testing.T, engine *dockertest.Engine) resources {
	t.Helper()
	found := resources{}
	docker(t, engine, found, []string{"volume", "ls", "-q", "--filter", "label=uws.installation"},
		[]string{"volume", "inspect", "--format", "volume {{.Name}}\t{{.CreatedAt}} {{json .Labels}}"})
	return found
}

// docker adds the resources that the command list lists, as the command tell describes them: a line each with key, tab, value.
func docker(t *testing.T, engine *dockertest.Engine, found resources, list, tell []string) {
	t.Helper()
	ids, err := engine.Docker(list...)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := engine.Docker(append(tell, strings.Fields(ids)...)...)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(lines) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "\t")
		found[key] = value
	}
}

func sameResources(t *testing.T, was, is resources) {
	t.Helper()
	for key, value := range was {
		if is[key] != value {
			t.Errorf("%s: %q, was %q", key, is[key], value)
		}
	}
	for key, value := range is {
		if _, ok := was[key]; !ok {
			t.Errorf("%s is new: %q", key, value)
		}
	}
}

// events returns the ids of the events of services after a given one, oldest first.
func events(t *testing.T, p *uwstest.Process, after string) []string {
	t.Helper()
	var out struct {
		Events struct {
			Nodes []struct{ ID, ServiceID string }
		}
	}
	if err := p.Query(t.Context(), `{ events(first: 1000) { nodes { id serviceId } } }`, nil, &out); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, e := range out.Events.Nodes {
		if e.ID == after {
			slices.Reverse(ids)
			return ids
		}
		if e.ServiceID != "" {
			ids = append(ids, e.ID)
		}
	}
	t.Fatalf("there is no event %s", after)
	return nil
}

// follower collects the messages of a subscription.
type follower struct {
	mu   sync.Mutex
	all  []uwstest.Change
	more chan struct{} // closed at the next message
}

// follow subscribes after a cursor until the test ends.
func follow(t *testing.T, p *uwstest.Process, since string) *follower {
	t.Helper()
	f := &follower{more: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = p.Subscribe(ctx, since, func(c uwstest.Change) { // missing messages are found in what it received
			f.mu.Lock()
			defer f.mu.Unlock()
			f.all = append(f.all, c)
			close(f.more)
			f.more = make(chan struct{})
		})
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return f
}

// until waits for a message that satisfies ok, and returns the first one.
func (f *follower) until(t *testing.T, what string, ok func(uwstest.Change) bool) uwstest.Change {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), uwstest.Patience)
	defer cancel()
	for {
		f.mu.Lock()
		all, more := f.all, f.more
		f.mu.Unlock()
		if i := slices.IndexFunc(all, ok); i >= 0 {
			return all[i]
		}
		select {
		case <-more:
		case <-ctx.Done():
			t.Fatalf("a subscriber did not get: %s", what)
		}
	}
}

func (f *follower) ids() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var ids []string
	for _, c := range f.all {
		ids = append(ids, c.ID)
	}
	return ids
}
