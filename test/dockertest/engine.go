package dockertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// patience is the timeout for starting or stopping a daemon.
const patience = 60 * time.Second

// Engine is one private Docker Engine.
type Engine struct {
	Host    string // value for DOCKER_HOST, a unix socket
	Address string // IP address of its published ports
	TCP     string // tcp://Address:port without TLS; empty for an engine in the tests' network namespace

	dir   string
	flags []string
	netw  string // its network namespace; empty: that of the tests
	cmd   *exec.Cmd
	done  chan struct{}

	containerd *exec.Cmd // separate from the daemon; nil: the daemon starts its own

	importing sync.Mutex
}

var engines atomic.Int32

// Start starts an engine in the network namespace of the tests, so that its ports can be published on 127.0.0.1. flags are
// additional flags for dockerd.
func Start(flags ...string) (*Engine, error) { return start("", "127.0.0.1", flags...) }

// StartOnContainerd is Start with a containerd that is a separate service, as in most distributions.
func StartOnContainerd(flags ...string) (*Engine, error) {
	e, err := prepare("", "127.0.0.1", flags...)
	if err != nil {
		return nil, err
	}
	at := func(name string) string { return filepath.Join(e.dir, "containerd-"+name) }
	if err := os.WriteFile(at("config.toml"), []byte("version = 2\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n"), 0o600); err != nil {
		return nil, err
	}
	e.containerd = exec.CommandContext(context.Background(), "containerd", "--config", at("config.toml"), "--address", at("sock"),
		"--root", at("root"), "--state", at("state"), "--log-level", "warn")
	if err := e.containerd.Start(); err != nil {
		return nil, err
	}
	e.flags = append(e.flags, "--containerd", at("sock"))
	return e, e.Up()
}

// BlockTask creates the folder of a container's task, as an interrupted start leaves it, so that the container cannot be started.
// The engine must be one of StartOnContainerd.
func (e *Engine) BlockTask(container string) error {
	return os.MkdirAll(filepath.Join(e.dir, "containerd-state", "io.containerd.runtime.v2.task", "moby", container), 0o711)
}

// StartApart starts an engine in its own network namespace, as on another machine. It is reached by its Address and TCP only;
// Cut interrupts that.
func StartApart() (*Engine, error) {
	n := engines.Add(1)
	netw := fmt.Sprint("engine", n)
	ours, theirs := fmt.Sprint("uws", n), fmt.Sprint("eng", n)
	network := fmt.Sprintf("10.213.%d.", n)
	for _, args := range [][]string{
		{"netns", "add", netw},
		{"link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", netw},
		{"addr", "add", network + "1/24", "dev", ours},
		{"link", "set", ours, "up"},
		{"-n", netw, "addr", "add", network + "2/24", "dev", theirs},
		{"-n", netw, "link", "set", theirs, "up"},
		{"-n", netw, "link", "set", "lo", "up"},
		{"-n", netw, "route", "add", "default", "via", network + "1"},
	} {
		if err := ip(args...); err != nil {
			return nil, err
		}
	}
	return start(netw, network+"2")
}

func start(netw, address string, flags ...string) (*Engine, error) {
	e, err := prepare(netw, address, flags...)
	if err != nil {
		return nil, err
	}
	return e, e.Up()
}

// prepare creates an engine's folder.
func prepare(netw, address string, flags ...string) (*Engine, error) {
	dir, err := folder(fmt.Sprint("engine-", time.Now().UnixNano()))
	if err != nil {
		return nil, err
	}
	e := &Engine{Host: "unix://" + filepath.Join(dir, "docker.sock"), Address: address, dir: dir, flags: flags, netw: netw}
	if netw != "" {
		e.TCP = "tcp://" + net.JoinHostPort(address, "2375")
	}
	return e, nil
}

// errEnded is returned when the daemon ends before it answers.
var errEnded = errors.New("dockerd ended")

// Up starts the daemon and waits until it answers. If it ends before that it is started again, as systemd does: daemons that start
// at the same time can fail because they share a bridge.
func (e *Engine) Up() error {
	err := e.up()
	for range 3 {
		if !errors.Is(err, errEnded) {
			break
		}
		err = e.up()
	}
	return err
}

func (e *Engine) up() error {
	args := []string{"dockerd", "-H", e.Host, "--data-root", filepath.Join(e.dir, "root"), "--exec-root", filepath.Join(e.dir, "exec"),
		"--pidfile", filepath.Join(e.dir, "pid"), "--log-level", "warn",
		"--default-address-pool", "base=10.64.0.0/10,size=22"} // the default pool has about thirty networks, which the engines here share; one has room for 300 containers
	args = append(args, e.flags...)
	if e.netw != "" {
		args = append([]string{"nsenter", "--net=/run/netns/" + e.netw}, append(args, "-H", e.TCP, "--tls=false")...)
	}
	log, err := os.OpenFile(e.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	// A killed daemon leaves its pid file behind, and another process may have that pid now.
	if err := os.Remove(filepath.Join(e.dir, "pid")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	e.cmd = exec.CommandContext(context.Background(), args[0], args[1:]...)
	e.cmd.Stdout, e.cmd.Stderr = log, log
	if err := e.cmd.Start(); err != nil {
		return err
	}
	done := make(chan struct{})
	e.done = done
	cmd := e.cmd
	go func() {
		_ = cmd.Wait()
		close(done)
	}()
	return e.answers()
}

func (e *Engine) answers() error {
	end := time.NewTimer(patience)
	defer end.Stop()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		if body, err := e.Call(http.MethodGet, "/_ping", nil); err == nil && string(body) == "OK" {
			return nil
		}
		select {
		case <-e.done:
			return fmt.Errorf("%w:\n%s", errEnded, e.Log())
		case <-end.C:
			return fmt.Errorf("dockerd does not answer after %v:\n%s", patience, e.Log())
		case <-again.C:
		}
	}
}

func (e *Engine) logFile() string { return filepath.Join(e.dir, "log") }

// Log returns the output of the daemon.
func (e *Engine) Log() string {
	log, err := os.ReadFile(e.logFile())
	if err != nil {
		return err.Error()
	}
	return string(log)
}

// Stop ends the daemon with SIGTERM, as a restart does. It stops containers.
func (e *Engine) Stop() error { return e.end(syscall.SIGTERM) }

// Kill ends the daemon with SIGKILL, as a crash does.
func (e *Engine) Kill() error { return e.end(syscall.SIGKILL) }

func (e *Engine) end(sig syscall.Signal) error {
	pid := e.cmd.Process.Pid
	if err := syscall.Kill(pid, sig); err != nil {
		return err
	}
	select {
	case <-e.done:
		return nil
	case <-time.After(patience):
		return fmt.Errorf("dockerd did not end within %v of %s:\n%s", patience, sig, e.Log())
	}
}

// Root is the folder of the engine's data.
func (e *Engine) Root() string { return filepath.Join(e.dir, "root") }

// Hide mounts an empty folder over the data of a stopped engine, as if its disk were not mounted.
func (e *Engine) Hide() error {
	return unix.Mount("tmpfs", filepath.Join(e.dir, "root"), "tmpfs", 0, "mode=711")
}

// Unhide undoes Hide.
func (e *Engine) Unhide() error { return unix.Unmount(filepath.Join(e.dir, "root"), unix.MNT_DETACH) }

// Cut interrupts the network of an engine of StartApart until Mend.
func (e *Engine) Cut() error {
	return ip("link", "set", strings.Replace(e.netw, "engine", "uws", 1), "down")
}

// Mend undoes Cut.
func (e *Engine) Mend() error {
	return ip("link", "set", strings.Replace(e.netw, "engine", "uws", 1), "up")
}

// Pid returns the daemon's process.
func (e *Engine) Pid() int { return e.cmd.Process.Pid }

// Docker runs the docker command and returns its output.
func (e *Engine) Docker(args ...string) (string, error) {
	cmd := exec.CommandContext(context.Background(), "docker", args...)
	cmd.Env = append(os.Environ(), "DOCKER_HOST="+e.Host)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("docker %s: %w: %s", strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimSpace(stdout.String()), nil
}

// Import creates an image with one layer from a tar, as `docker import` does.
func (e *Engine) Import(ref string, changes []string, tar io.Reader) error {
	query := url.Values{"fromSrc": {"-"}, "repo": {ref}, "changes": changes}
	body, err := e.Call(http.MethodPost, "/images/create?"+query.Encode(), tar)
	if err == nil && bytes.Contains(body, []byte(`"error"`)) {
		err = errors.New(string(body))
	}
	if err != nil {
		return fmt.Errorf("importing %s: %w", ref, err)
	}
	return nil
}

// Call sends a request to the engine's API and returns the body of the response.
func (e *Engine) Call(method, path string, in io.Reader) ([]byte, error) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", strings.TrimPrefix(e.Host, "unix://"))
		}}}
	req, err := http.NewRequestWithContext(context.Background(), method, "http://docker"+path, in)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(path, "/containers/create") {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 300 {
		err = fmt.Errorf("%s: %s", resp.Status, body)
	}
	return body, err
}

// MainPID returns the main process of a running container, which is the child of its init process, or 0 if there is none.
func (e *Engine) MainPID(container string) (int, error) {
	parent, err := e.Docker("inspect", "--format", "{{.State.Pid}}", container)
	if err != nil || parent == "0" {
		return 0, err
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%s/task/%s/children", parent, parent))
	if err != nil {
		return 0, nil // it has just ended
	}
	var pid int
	_, _ = fmt.Sscan(string(children), &pid)
	return pid, nil
}

// Container returns the id of a service's container, running or not, or "" if there is none.
func (e *Engine) Container(service string) (string, error) {
	return e.Docker("ps", "-aq", "--no-trunc", "--filter", "label=uws.service="+service)
}

// EnginePID returns the process of a service, or 0 if there is none.
func (e *Engine) EnginePID(service string) (int, error) {
	id, err := e.Container(service)
	if err != nil || id == "" {
		return 0, err
	}
	return e.MainPID(id)
}
