package docker

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/unicorn-web-services/uws/test/dockertest"
	"github.com/unicorn-web-services/uws/test/stories"
	"github.com/unicorn-web-services/uws/test/uwstest"
)

// cluster is a uws with three engines, each in its own network namespace.
type cluster struct {
	*testing.T
	p       *uwstest.Process
	dir     string
	engines map[string]*dockertest.Engine // by the name of its node
	ids     map[string]string             // of nodes
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{T: t, dir: folder(t), engines: map[string]*dockertest.Engine{}, ids: map[string]string{}}
	for _, name := range []string{"one", "two", "three"} {
		e, err := dockertest.StartApart()
		if err == nil {
			err = e.ImportPuppet()
		}
		if err != nil {
			t.Fatal(err)
		}
		c.engines[name] = e
		t.Cleanup(func() {
			if err := e.Stop(); err != nil {
				t.Error(err)
			}
		})
	}
	c.serve()
	for name, e := range c.engines {
		var out struct{ RegisterNode struct{ ID string } }
		c.query(`mutation($input: RegisterNodeInput!) { registerNode(input: $input) { id } }`, map[string]any{"input": map[string]any{
			"name": name, "driver": "DOCKER", "endpoint": e.TCP, "serviceAddress": e.Address,
			"labels": []map[string]string{{"name": "zone", "value": map[bool]string{true: "far", false: "near"}[name == "three"]}},
		}}, &out)
		c.ids[name] = out.RegisterNode.ID
	}
	return c
}

func (c *cluster) serve() {
	c.Helper()
	p, err := uwstest.StartWith(c.Context(), []string{"UWS_LOCAL_NODE=none"}, uwstest.Binary, c.dir,
		"--templates", templates(c.T), "--allow-unencrypted-docker-tcp")
	if err != nil {
		c.Fatal(err)
	}
	c.p = p
	c.Cleanup(func() {
		if err := p.Stop(); err != nil {
			c.Error(err)
		}
		if c.Failed() {
			c.Logf("uws printed:\n%s", p.Output)
		}
	})
}

func (c *cluster) query(query string, variables map[string]any, out any) {
	c.Helper()
	if err := c.p.Query(c.Context(), query, variables, out); err != nil {
		c.Fatal(err)
	}
}

// nodeOf returns the name of the node that a service is on.
func (c *cluster) nodeOf(id string) string {
	c.Helper()
	var out struct {
		Service struct{ Node *struct{ Name string } }
	}
	c.query(`query($id: ID!) { service(id: $id) { node { name } } }`, map[string]any{"id": id}, &out)
	if out.Service.Node == nil {
		return ""
	}
	return out.Service.Node.Name
}

func (c *cluster) update(name string, input map[string]any) {
	c.Helper()
	c.query(`mutation($id: ID!, $input: UpdateNodeInput!) { updateNode(id: $id, input: $input) { id } }`,
		map[string]any{"id": c.ids[name], "input": input}, nil)
}

func (c *cluster) untilHealthy(name string, want bool) {
	c.Helper()
	err := uwstest.Until(c.Context(), fmt.Sprintf("node %s is healthy: %v", name, want), func() (bool, error) {
		var out struct{ Node struct{ Healthy bool } }
		err := c.p.Query(c.Context(), `query($id: ID!) { node(id: $id) { healthy } }`, map[string]any{"id": c.ids[name]}, &out)
		return err == nil && out.Node.Healthy == want, err
	})
	if err != nil {
		c.Fatal(err)
	}
}

// Services are spread over the nodes, with the reason in the launch event. A draining node gets none, label requirements are
// met, and a service that fits nowhere waits with a reason.
func TestPlacement(t *testing.T) {
	c := newCluster(t)
	where := map[string]int{}
	for i := range 3 {
		s := puppet(t, c.p, fmt.Sprint("spread-", i), nil)
		where[c.nodeOf(s.ID)]++
		told(t, c.p, s.ID, "placed on node "+c.nodeOf(s.ID), "QUEUE services")
		// Clients and probes reach it at the node's address.
		if !strings.Contains(s.Endpoint, "10.213.") {
			t.Errorf("its endpoint is %s", s.Endpoint)
		}
	}
	if len(where) != 3 {
		t.Errorf("three services are on %v", where)
	}

	c.update("one", map[string]any{"draining": true})
	for i := range 2 {
		s := puppet(t, c.p, fmt.Sprint("drained-", i), nil)
		if node := c.nodeOf(s.ID); node == "one" {
			t.Error("a draining node got a service")
		}
	}
	far := puppet(t, c.p, "far", map[string]any{"nodeLabels": []map[string]string{{"name": "zone", "value": "far"}}})
	if node := c.nodeOf(far.ID); node != "three" {
		t.Errorf("the label is on node three, the service on %s", node)
	}
	named := puppet(t, c.p, "named", map[string]any{"nodeId": c.ids["two"]})
	if node := c.nodeOf(named.ID); node != "two" {
		t.Errorf("node two was named, the service is on %s", node)
	}
	big, err := c.p.Launch(t.Context(), "QUEUE", "big", map[string]any{"template": "puppet", "limits": map[string]any{"memoryMiB": 1048576}})
	if err != nil {
		t.Fatal(err)
	}
	stories.WaitFor(t, c.p, big.ID, "it waits with a reason for each node", func(s *uwstest.Service) bool {
		return s.Phase == "PENDING" && strings.Contains(s.Reason, "node one") && strings.Contains(s.Reason, "node two has no room")
	})
	err = c.p.Query(t.Context(), `mutation($id: ID!) { removeNode(id: $id) { id } }`, map[string]any{"id": c.ids["two"]}, nil)
	if bad, ok := errors.AsType[*uwstest.GraphQLError](err); !ok || bad.Code != "CONFLICT" {
		t.Errorf("removing a node with services: %v", err)
	}
}

// While a node is cut off its services are UNKNOWN, and nothing is started elsewhere. When it is back they are inspected before
// anything is done, and removals that were requested meanwhile are completed.
func TestPartition(t *testing.T) {
	c := newCluster(t)
	cut := puppet(t, c.p, "cut", map[string]any{"nodeId": c.ids["one"]})
	doomed := puppet(t, c.p, "doomed", map[string]any{"nodeId": c.ids["one"]})
	other := puppet(t, c.p, "other", map[string]any{"nodeId": c.ids["two"]})
	pid, err := c.engines["one"].EnginePID(cut.ID)
	if err != nil || pid == 0 {
		t.Fatalf("no process (%v)", err)
	}
	if err := c.engines["one"].Cut(); err != nil {
		t.Fatal(err)
	}
	c.untilHealthy("one", false)
	lost := stories.WaitFor(t, c.p, cut.ID, "unknown", func(s *uwstest.Service) bool { return s.Health == "UNKNOWN" })
	if !strings.Contains(lost.Reason, "node one is unreachable") {
		t.Errorf("the reason is %q", lost.Reason)
	}
	err = c.p.Query(t.Context(), `mutation($id: ID!) { removeService(id: $id) { id } }`, map[string]any{"id": doomed.ID}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.engines["one"].Mend(); err != nil {
		t.Fatal(err)
	}
	c.untilHealthy("one", true)
	after := stories.Healthy(t, c.p, cut.ID, 0)
	now, err := c.engines["one"].EnginePID(cut.ID)
	if after.Restarts != lost.Restarts || now != pid || err != nil {
		t.Errorf("%d restarts, %d before; process %d, was %d (%v)", after.Restarts, lost.Restarts, now, pid, err)
	}
	stories.WaitFor(t, c.p, doomed.ID, "gone", func(s *uwstest.Service) bool { return s == nil })
	if id, err := c.engines["one"].Container(doomed.ID); id != "" || err != nil {
		t.Errorf("its container is still there: %s (%v)", id, err)
	}
	if s := stories.Healthy(t, c.p, other.ID, 0); s.Restarts != 0 {
		t.Errorf("the service on another node was restarted %d times", s.Restarts)
	}
}

// A node that does not come back can be forgotten, with its services.
func TestNodeForgotten(t *testing.T) {
	c := newCluster(t)
	s := puppet(t, c.p, "abandoned", map[string]any{"nodeId": c.ids["one"]})
	if err := c.engines["one"].Cut(); err != nil {
		t.Fatal(err)
	}
	c.query(`mutation($id: ID!) { removeNode(id: $id, forget: true) { id } }`, map[string]any{"id": c.ids["one"]}, nil)
	stories.WaitFor(t, c.p, s.ID, "gone", func(s *uwstest.Service) bool { return s == nil })
	if err := c.engines["one"].Mend(); err != nil {
		t.Fatal(err)
	}
	if pid, err := c.engines["one"].EnginePID(s.ID); pid == 0 || err != nil {
		t.Errorf("the process of the forgotten service was killed (%v)", err)
	}
	// If the same engine is registered again, the service is found there unchanged.
	id := container(t, c.engines["one"], s.ID)
	started := docker(t, c.engines["one"], "inspect", "--format", "{{.State.StartedAt}}", id)
	c.query(`mutation($input: RegisterNodeInput!) { registerNode(input: $input) { id } }`, map[string]any{"input": map[string]any{
		"name": "again", "driver": "DOCKER", "endpoint": c.engines["one"].TCP, "serviceAddress": c.engines["one"].Address}}, nil)
	c.query(`mutation { adoptOrphan(id: "abandoned") { id } }`, nil, nil)
	back := stories.Healthy(t, c.p, s.ID, 0)
	if now := docker(t, c.engines["one"], "inspect", "--format", "{{.State.StartedAt}}", id); now != started || back.Endpoint != s.Endpoint {
		t.Errorf("the container started at %s, before: %s; the endpoint is %s, before: %s", now, started, back.Endpoint, s.Endpoint)
	}
}
