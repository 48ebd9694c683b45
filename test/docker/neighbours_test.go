package docker

import (
	"context"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/unicorn-web-services/uws/test/dockertest"
	"github.com/unicorn-web-services/uws/test/stories"
	"github.com/unicorn-web-services/uws/test/uwstest"
)

// Two installations on one engine leave each other's workloads alone, and those that belong to neither.
func TestNeighbours(t *testing.T) {
	t.Parallel()
	e := own(t)
	docker(t, e, "run", "-d", "--name", "nobodys", "-e", "DRIVERTEST_PUPPET=1", dockertest.PuppetImage, "listen=:4000")
	dir := folder(t)
	one, two := serve(t, e, dir), serve(t, e, folder(t))
	mine, yours := puppet(t, one, "twin", nil), puppet(t, two, "twin", nil)

	// A workload with the label of an installation but without a row.
	installation := docker(t, e, "inspect", "--format", `{{index .Config.Labels "uws.installation"}}`, container(t, e, mine.ID))
	docker(t, e, "run", "-d", "--name", "stray", "--label", "uws.installation="+installation, "--label", "uws.service=stray",
		"-e", "DRIVERTEST_PUPPET=1", dockertest.PuppetImage, "listen=:4000")

	stories.Remove(t, one, mine.ID, "DELETE")
	if err := one.Stop(); err != nil {
		t.Fatal(err)
	}
	one = serve(t, e, dir)
	again := puppet(t, one, "another", nil)
	stories.Remove(t, one, again.ID, "DELETE")

	if s := stories.Healthy(t, two, yours.ID, 0); s.Restarts != 0 || s.Endpoint != yours.Endpoint {
		t.Errorf("the neighbour's service was touched: %+v", s)
	}
	for _, name := range []string{"nobodys", "stray"} {
		if got := docker(t, e, "inspect", "--format", "{{.State.Status}} {{.RestartCount}}", name); got != "running 0" {
			t.Errorf("container %s is %s", name, got)
		}
	}
}

// deaf forwards all requests to an engine except those for events, which never get one.
func deaf(t *testing.T, e *dockertest.Engine) (host string) {
	t.Helper()
	socket := t.TempDir() + "/deaf.sock"
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "docker"})
	proxy.FlushInterval = -1
	proxy.ErrorLog = nil
	proxy.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", strings.TrimPrefix(e.Host, "unix://"))
	}}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/events") {
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			return
		}
		proxy.ServeHTTP(w, r)
	})}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	return "unix://" + socket
}

// If all events of an engine are lost, the resync restores the desired state within a minute.
func TestEventsLost(t *testing.T) {
	t.Parallel()
	e := engine(t)
	p := serveAt(t, deaf(t, e), folder(t))
	// The interval is an hour, so that no probe finds it.
	s := puppet(t, p, "unheard", map[string]any{"healthCheck": map[string]any{"intervalSeconds": 3600, "timeoutSeconds": 1}})
	docker(t, e, "stop", "-t", "5", container(t, e, s.ID))
	told(t, p, s.ID, "stopped from outside uws")
	stories.Healthy(t, p, s.ID, 1)
}

// A service that is launched while the engine's socket is missing waits until it is there.
func TestEngineComesLater(t *testing.T) {
	t.Parallel()
	e, dir := own(t), folder(t)
	p := serve(t, e, dir)
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := e.Stop(); err != nil {
		t.Fatal(err)
	}
	p = serve(t, e, dir)
	s, err := p.Launch(t.Context(), "QUEUE", "patient", map[string]any{"template": "puppet"})
	if err != nil {
		t.Fatal(err)
	}
	waiting := stories.WaitFor(t, p, s.ID, "it waits with the node as the reason", func(s *uwstest.Service) bool {
		return s.Phase == "PENDING" && strings.Contains(s.Reason, "local")
	})
	if waiting.Health != "UNKNOWN" {
		t.Errorf("its health is %s", waiting.Health)
	}
	if err := e.Up(); err != nil {
		t.Fatal(err)
	}
	stories.Healthy(t, p, s.ID, 0)
}
