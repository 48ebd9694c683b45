// Package docker tests the real binary with private Docker Engines, one or several: also what people and the engines
// themselves do to containers.
package docker

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/unicorn-web-services/uws/test/dockertest"
	"github.com/unicorn-web-services/uws/test/stories"
	"github.com/unicorn-web-services/uws/test/uwstest"
)

// official reports whether the kinds are to be run with the images that their templates name, on the engine of DOCKER_HOST,
// which must reach their registry.
var official = os.Getenv("UWS_TEST_OFFICIAL_IMAGES") != ""

func TestMain(m *testing.M) {
	if official {
		os.Exit(uwstest.Main(m, uwstest.UWS))
	}
	run := func() int {
		uwstest.Binary = uwstest.Path(dockertest.Dir(), uwstest.UWS)
		return m.Run()
	}
	os.Exit(dockertest.Inside(run, func(dir string) error {
		return errors.Join(uwstest.Build(dir, uwstest.UWS), uwstest.Build(dir, uwstest.Faulty))
	}))
}

// engine is the one that most tests share.
func engine(t *testing.T) *dockertest.Engine {
	t.Helper()
	e, err := dockertest.Shared()
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// withImages loads the images of these templates into an engine.
func withImages(t *testing.T, e *dockertest.Engine, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := e.ImportEngine(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
}

// puppets are two templates: of a puppet, and of one that exits as soon as it starts.
const puppets = `
name: puppet
kind: QUEUE
version: 1.0
description: A puppet that follows orders.
ports: [{name: main, target: 4000}, {name: control, target: 4001}]
endpoint: tcp://${host}:${port.main}
probe: {type: tcp, port: main, interval: 1s, timeout: 1s, failureThreshold: 3}
docker:
  image: ` + dockertest.PuppetImage + `
  data: /data
  args: ["count=${data}", "obey=${address}:${port.control}", "listen=${address}:${port.main}"]
  env: {DRIVERTEST_PUPPET: "1"}
  limits: {memoryMiB: 64, cpus: 1, pids: 64}
`

func templates(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	broken := strings.NewReplacer("name: puppet", "name: broken", `"count=${data}"`, "exit=7").Replace(puppets)
	for name, text := range map[string]string{"puppet.yaml": puppets, "broken.yaml": broken} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// serve starts uws with an engine as its first node. When the test ends uws is stopped, and its containers and volumes are
// removed.
func serve(t *testing.T, e *dockertest.Engine, dir string, args ...string) *uwstest.Process {
	t.Helper()
	return serveAt(t, e.Host, dir, args...)
}

// serveAt is serve with the engine at a DOCKER_HOST.
func serveAt(t *testing.T, host, dir string, args ...string) *uwstest.Process {
	t.Helper()
	args = append([]string{"--templates", templates(t)}, args...)
	return serveBinary(t, uwstest.Binary, host, dir, nil, args...)
}

// serveBinary is serveAt with a binary, additional environment variables, and only the embedded templates.
func serveBinary(t *testing.T, binary, host, dir string, env []string, args ...string) *uwstest.Process {
	t.Helper()
	args = append([]string{"--images", dockertest.Images(t)}, args...)
	env = append([]string{"DOCKER_HOST=" + host, "UWS_LOCAL_NODE=docker"}, env...)
	return uwstest.Serve(t, env, binary, dir, args...)
}

func folder(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "data")
}

// puppet launches a puppet, and removes it with its data when the test ends.
func puppet(t *testing.T, p *uwstest.Process, name string, more map[string]any) *uwstest.Service {
	t.Helper()
	input := map[string]any{"template": "puppet"}
	for k, v := range more {
		input[k] = v
	}
	return stories.Launch(t, p, "QUEUE", name, input)
}

func docker(t *testing.T, e *dockertest.Engine, args ...string) string {
	t.Helper()
	out, err := e.Docker(args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// container returns the id of a service's container, which must exist.
func container(t *testing.T, e *dockertest.Engine, service string) string {
	t.Helper()
	id, err := e.Container(service)
	if err != nil || id == "" {
		t.Fatalf("service %s has no container (%v)", service, err)
	}
	return id
}

// order sends an order to a puppet.
func order(t *testing.T, e *dockertest.Engine, service, text string) {
	t.Helper()
	address := docker(t, e, "port", container(t, e, service), "4001/tcp")
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := fmt.Fprintln(c, text); err != nil {
		t.Fatal(err)
	}
	// It closes the connection when it has followed the order, or exited.
	_, _ = c.Read(make([]byte, 1))
}

// event of a service.
type event struct {
	Phase, Health, Reason string
	ExitCode              *int
	OutOfMemory           *bool
}

// events returns the events of a service, oldest first.
func events(t *testing.T, p *uwstest.Process, id string) []event {
	t.Helper()
	var out struct{ Events struct{ Nodes []event } }
	err := p.Query(t.Context(), `query($id: ID!) { events(filter: {serviceId: $id}, first: 500) { nodes { phase health reason exitCode outOfMemory } } }`,
		map[string]any{"id": id}, &out)
	if err != nil {
		t.Fatal(err)
	}
	all := out.Events.Nodes
	for i, j := 0, len(all)-1; i < j; i, j = i+1, j-1 {
		all[i], all[j] = all[j], all[i]
	}
	return all
}

// told waits for an event of a service whose reason contains all parts.
func told(t *testing.T, p *uwstest.Process, id string, parts ...string) event {
	t.Helper()
	var found event
	err := uwstest.Until(t.Context(), "an event says "+strings.Join(parts, " and "), func() (bool, error) {
		for _, e := range events(t, p, id) {
			all := true
			for _, part := range parts {
				all = all && strings.Contains(e.Reason, part)
			}
			if all {
				found = e
				return true, nil
			}
		}
		return false, nil
	})
	if err != nil {
		t.Fatalf("%v; the events are %+v", err, events(t, p, id))
	}
	return found
}
