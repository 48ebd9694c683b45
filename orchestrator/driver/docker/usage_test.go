package docker_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/drivertest"
	"github.com/unicorn-web-services/uws/test/dockertest"
)

// An engine that is reached by the network measures, even if it happens to be on this machine. Archives go through it as well.
func TestByNetwork(t *testing.T) {
	address := fmt.Sprint("tcp://127.0.0.1:", drivertest.FreePort(t))
	e, err := dockertest.Start("-H", address, "--tls=false")
	must(t, err)
	t.Cleanup(func() { must(t, e.Stop()) })
	must(t, e.ImportPuppet())
	h := drivertest.Harness{Elsewhere: true, Network: true, Coarse: true, Machine: func(t *testing.T) drivertest.Machine {
		m := machineOn(t, e)
		m.connection.Endpoint, m.connection.AllowPlaintext = address, true
		return m
	}}
	drivertest.RunUsage(t, h)
	drivertest.RunExport(t, h)
}

// A socket of this machine that leads to an engine elsewhere, whose pids are those of other processes here: nothing of this machine
// is taken for a container.
func TestByForwardedSocket(t *testing.T) {
	h := drivertest.Harness{Elsewhere: true, Network: true, Coarse: true, Machine: func(t *testing.T) drivertest.Machine {
		e, err := dockertest.Shared()
		must(t, err)
		pid := regexp.MustCompile(`"Pid":[1-9][0-9]*`)
		endpoint := forward(t, e.Host, func(w http.ResponseWriter, r *http.Request, on http.Handler) {
			if !strings.HasSuffix(r.URL.Path, "/json") {
				on.ServeHTTP(w, r)
				return
			}
			answer := httptest.NewRecorder()
			on.ServeHTTP(answer, r)
			answer.Header().Del("Content-Length")
			maps.Copy(w.Header(), answer.Header())
			w.WriteHeader(answer.Code)
			_, _ = w.Write(pid.ReplaceAll(answer.Body.Bytes(), fmt.Appendf(nil, `"Pid":%d`, os.Getpid())))
		})
		m := machineOn(t, e)
		m.connection.Endpoint = endpoint
		return m
	}}
	drivertest.RunUsage(t, h)
	drivertest.RunExport(t, h)
}

// A run is not taken for the one before, even if the engine's events do not tell of it, and another process got the pid.
func TestUsageWithoutEvents(t *testing.T) {
	e, err := dockertest.Shared()
	must(t, err)
	endpoint := forward(t, e.Host, func(w http.ResponseWriter, r *http.Request, on http.Handler) {
		if strings.HasSuffix(r.URL.Path, "/events") {
			must(t, http.NewResponseController(w).Flush())
			<-r.Context().Done()
			return
		}
		on.ServeHTTP(w, r)
	})
	m := machineOn(t, e)
	m.connection.Endpoint = endpoint
	d := m.Open("first")
	spec := driver.Spec{Service: "s1", Volume: "v1", Image: dockertest.PuppetImage, Args: []string{"burn=300", "listen=0.0.0.0:4000"},
		Env: map[string]string{"DRIVERTEST_PUPPET": "1"}, Ports: []driver.Port{{Name: "main", Number: drivertest.FreePort(t), Target: 4000}}}
	must(t, d.Create(t.Context(), spec))
	must(t, d.Start(t.Context(), "s1"))
	measured := func(atLeast time.Duration) (use driver.Usage) {
		t.Helper()
		drivertest.Eventually(t, "it is measured", func() bool {
			all, err := d.(driver.UsageReader).Usage(t.Context(), []string{"s1"})
			must(t, err)
			use = all["s1"]
			return use.CPU >= atLeast && use.Run != ""
		})
		return use
	}
	first := measured(300 * time.Millisecond)
	name := m.container("first", "s1")
	pid, err := strconv.Atoi(m.docker("inspect", "--format", "{{.State.Pid}}", name))
	must(t, err)
	m.docker("kill", name)
	if all, err := d.(driver.UsageReader).Usage(t.Context(), []string{"s1"}); err != nil || len(all) > 0 {
		t.Errorf("of a run that has ended: %+v, %v", all, err)
	}
	var other *exec.Cmd
	drivertest.Eventually(t, "another process has the pid", func() bool {
		must(t, os.WriteFile("/proc/sys/kernel/ns_last_pid", []byte(strconv.Itoa(pid-1)), 0o600))
		other = exec.Command("sleep", "1h")
		must(t, other.Start())
		if other.Process.Pid == pid {
			return true
		}
		_ = other.Process.Kill()
		_ = other.Wait()
		return false
	})
	defer func() {
		_ = other.Process.Kill()
		_ = other.Wait()
	}()
	m.docker("start", name)
	o, err := d.Inspect(t.Context(), "s1")
	must(t, err)
	if use := measured(0); use.Run != o.Instance || use.Run == first.Run {
		t.Errorf("%s runs, and %s is measured, after %s", o.Instance, use.Run, first.Run)
	}
}

// forward forwards a socket to an engine, as a test says.
func forward(t *testing.T, host string, handle func(w http.ResponseWriter, r *http.Request, on http.Handler)) string {
	t.Helper()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", strings.TrimPrefix(host, "unix://"))
	}}
	t.Cleanup(transport.CloseIdleConnections)
	on := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = "http", "docker" },
		Transport:     transport,
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0), // of requests that the driver cancels
	}
	socket := filepath.Join(t.TempDir(), "docker.sock")
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", socket)
	must(t, err)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handle(w, r, on) }))
	must(t, server.Listener.Close())
	server.Listener = l
	server.Start()
	t.Cleanup(server.CloseClientConnections)
	return "unix://" + socket
}
