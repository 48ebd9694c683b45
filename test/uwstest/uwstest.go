// Package uwstest runs the real uws binary for end-to-end tests and benchmarks, and uses it as a client would.
package uwstest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Patience is the timeout for anything that a test waits for, on a loaded machine.
const Patience = 2 * time.Minute

// Repo returns the folder of the module. It is found once, because a test may remove `go` from PATH.
var Repo = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	return strings.TrimSpace(string(out)), err
})

// Process is a running uws.
type Process struct {
	URL    string // without a slash at the end
	Token  string // of an ADMIN; queries and subscriptions use it
	Cmd    *exec.Cmd
	Output *Output
	exited chan struct{}
}

// Output collects the output of a process. It is safe for concurrent use.
type Output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

var printed = regexp.MustCompile(`(http://127\.0\.0\.1:\d+)/playground`)

// Start runs `binary serve` on a free port and waits until it is ready.
func Start(ctx context.Context, binary, dataDir string, args ...string) (*Process, error) {
	return StartWith(ctx, nil, binary, dataDir, args...)
}

// StartWith is Start with additional environment variables. Unless these or the arguments say otherwise, services run
// as processes.
func StartWith(ctx context.Context, env []string, binary, dataDir string, args ...string) (*Process, error) {
	return start(ctx, "/readyz", env, binary, dataDir, args...)
}

// StartUnready is Start for a uws that never becomes ready: it waits until uws responds.
func StartUnready(ctx context.Context, binary, dataDir string, args ...string) (*Process, error) {
	return start(ctx, "/healthz", nil, binary, dataDir, args...)
}

func start(ctx context.Context, path string, env []string, binary, dataDir string, args ...string) (*Process, error) {
	p := &Process{Output: &Output{}, exited: make(chan struct{})}
	args = append([]string{"serve", "--listen", "127.0.0.1:0", "--data-dir", dataDir}, args...)
	p.Cmd = exec.Command(binary, args...)
	p.Cmd.Stdout, p.Cmd.Stderr = p.Output, p.Output
	p.Cmd.Env = append(append(os.Environ(), "UWS_LOCAL_NODE=process"), env...) // whether or not this machine has Docker
	if err := p.Cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.Cmd.Wait()
		close(p.exited)
	}()
	err := Until(ctx, "uws is ready", func() (bool, error) {
		select {
		case <-p.exited:
			return false, fmt.Errorf("uws ended with %s:\n%s", p.Cmd.ProcessState, p.Output)
		default:
		}
		m := printed.FindStringSubmatch(p.Output.String())
		if m == nil {
			return false, nil
		}
		p.URL = m[1]
		return p.answers(path), nil
	})
	if err != nil {
		return p, errors.Join(fmt.Errorf("%w; it printed:\n%s", err, p.Output), p.Kill())
	}
	if p.Token, err = adminToken(ctx, p.Cmd.Env, binary, dataDir); err != nil {
		return p, errors.Join(err, p.Kill())
	}
	return p, nil
}

// adminToken returns the token for tests of a data folder, which is stored beside the folder.
func adminToken(ctx context.Context, env []string, binary, dataDir string) (string, error) {
	path := filepath.Clean(dataDir) + ".token"
	if token, err := os.ReadFile(path); err == nil {
		return string(token), nil
	}
	cmd := exec.CommandContext(ctx, binary, "token", "create", "--name", "tests", "--role", "ADMIN", "--data-dir", dataDir, "--quiet")
	cmd.Env = env
	token, err := cmd.Output()
	if err != nil {
		if e, ok := errors.AsType[*exec.ExitError](err); ok {
			err = fmt.Errorf("%w: %s", err, e.Stderr)
		}
		return "", fmt.Errorf("making a token: %w", err)
	}
	token = bytes.TrimSpace(token)
	return string(token), os.WriteFile(path, token, 0o600)
}

// Ready reports whether uws listens and is ready.
func (p *Process) Ready() bool { return p.answers("/readyz") }

func (p *Process) answers(path string) bool {
	resp, err := http.Get(p.URL + path)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// Exited returns a channel that is closed when uws has ended for any reason.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Kill ends uws with SIGKILL, as a crash would.
func (p *Process) Kill() error { return p.end(syscall.SIGKILL) }

// Stop ends uws with SIGTERM and fails when that takes longer than 15 s.
func (p *Process) Stop() error { return p.end(syscall.SIGTERM) }

func (p *Process) end(sig syscall.Signal) error {
	select {
	case <-p.exited:
		return nil // it had ended before
	default:
	}
	if err := p.Cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.exited:
		if sig == syscall.SIGTERM && p.Cmd.ProcessState.ExitCode() != 0 {
			return fmt.Errorf("uws ended with %s after SIGTERM:\n%s", p.Cmd.ProcessState, p.Output)
		}
		return nil
	case <-time.After(15 * time.Second):
		_ = p.Cmd.Process.Kill()
		<-p.exited
		return fmt.Errorf("uws did not end within 15 s of %s:\n%s", sig, p.Output)
	}
}

// GraphQLError is the first error of a response.
type GraphQLError struct {
	Message string
	Code    string
}

func (e *GraphQLError) Error() string { return e.Code + ": " + e.Message }

// Query posts an operation and decodes its data into out, which may be nil.
func (p *Process) Query(ctx context.Context, query string, variables map[string]any, out any) error {
	body, err := json.Marshal(map[string]any{"query": query, "variables": variables})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.URL+"/graphql", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+p.Token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	var answer struct {
		Data   json.RawMessage
		Errors []struct {
			Message    string
			Extensions struct{ Code string }
		}
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return fmt.Errorf("answer %s: %q: %w", resp.Status, raw, err)
	}
	if len(answer.Errors) > 0 {
		return &GraphQLError{Message: answer.Errors[0].Message, Code: answer.Errors[0].Extensions.Code}
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer.Data, out)
}

// Service is a service as tests read it.
type Service struct {
	ID, Name, Kind, Phase, Health, Reason, Endpoint string
	Healthy                                         bool
	Restarts                                        int
}

const fields = `{ id name kind phase health healthy reason endpoint restarts }`

// Launch launches a service. more is added to the input.
func (p *Process) Launch(ctx context.Context, kind, name string, more map[string]any) (Service, error) {
	input := map[string]any{"kind": kind, "name": name}
	for k, v := range more {
		input[k] = v
	}
	var out struct{ LaunchService Service }
	err := p.Query(ctx, `mutation($input: LaunchServiceInput!) { launchService(input: $input) `+fields+` }`,
		map[string]any{"input": input}, &out)
	return out.LaunchService, err
}

// Do calls a mutation that takes an id: startService, stopService, restartService.
func (p *Process) Do(ctx context.Context, mutation, id string) error {
	return p.Query(ctx, `mutation($id: ID!) { `+mutation+`(id: $id) { id } }`, map[string]any{"id": id}, nil)
}

// Service returns a service, or nil if there is none.
func (p *Process) Service(ctx context.Context, id string) (*Service, error) {
	var out struct{ Service *Service }
	err := p.Query(ctx, `query($id: ID!) { service(id: $id) `+fields+` }`, map[string]any{"id": id}, &out)
	return out.Service, err
}

// WaitFor waits until ok returns true for a service. The service is nil if it does not exist.
func (p *Process) WaitFor(ctx context.Context, id, what string, ok func(*Service) bool) (*Service, error) {
	var s *Service
	err := Until(ctx, what, func() (bool, error) {
		var err error
		s, err = p.Service(ctx, id)
		return err == nil && ok(s), err
	})
	if err != nil {
		err = fmt.Errorf("%w; service %+v", err, s)
	}
	return s, err
}

// Healthy waits until a service is healthy after at least so many restarts.
func (p *Process) Healthy(ctx context.Context, id string, restarts int) (*Service, error) {
	return p.WaitFor(ctx, id, "healthy", func(s *Service) bool { return s != nil && s.Health == "HEALTHY" && s.Restarts >= restarts })
}

// Credentials reveals a service's credentials.
func (p *Process) Credentials(ctx context.Context, id string) (map[string]string, error) {
	var out struct {
		RevealCredentials struct {
			Values []struct{ Name, Value string }
		}
	}
	err := p.Query(ctx, `mutation($id: ID!) { revealCredentials(id: $id) { values { name value } } }`, map[string]any{"id": id}, &out)
	values := map[string]string{}
	for _, v := range out.RevealCredentials.Values {
		values[v.Name] = v.Value
	}
	return values, err
}

// Until polls ok until it returns true or an error, ctx ends, or Patience has passed. It starts with an interval of 20
// ms, which grows to 100 ms.
func Until(ctx context.Context, what string, ok func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	wait := 20 * time.Millisecond
	tick := time.NewTimer(wait)
	defer tick.Stop()
	for {
		done, err := ok()
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not within the timeout: %s", what)
		case <-tick.C:
			wait = min(wait*5/4, 100*time.Millisecond)
			tick.Reset(wait)
		}
	}
}

// EnginePID returns the process of a service, or 0 if there is none.
func EnginePID(service string) (int, error) {
	pids, err := withEnviron("UWS_SERVICE=" + service + "\x00")
	if len(pids) == 0 {
		return 0, err
	}
	return pids[0], err
}

// Engines lists the processes whose home is in dir: the main processes of engines, and their children.
func Engines(dir string) ([]int, error) { return withEnviron("HOME=" + dir) }

// KillEngines kills every engine whose files are in dir. It is for cleanup after uws has ended.
func KillEngines(dir string) error {
	for {
		pids, err := Engines(dir)
		if len(pids) == 0 || err != nil {
			return err
		}
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// withEnviron returns the processes whose environment contains a text.
func withEnviron(text string) ([]int, error) {
	paths, err := filepath.Glob("/proc/[0-9]*/environ")
	var pids []int
	for _, path := range paths {
		environ, readErr := os.ReadFile(path)
		if readErr != nil || !bytes.Contains(environ, []byte(text)) {
			continue // gone, or not ours
		}
		pid, convErr := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		pids, err = append(pids, pid), errors.Join(err, convErr)
	}
	return pids, err
}

// Serve starts uws with additional environment variables. It is stopped when the test ends. Its output is printed if
// the test failed.
func Serve(t *testing.T, env []string, binary, dataDir string, args ...string) *Process {
	t.Helper()
	p, err := StartWith(t.Context(), env, binary, dataDir, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("%s printed:\n%s", binary, p.Output)
		}
	})
	return p
}
