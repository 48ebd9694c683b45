// Package nodes tests with the real binary how nodes are found and registered, with real Docker Engines, TLS and sshd.
package nodes

import (
	"bytes"
	"context"
	"crypto/x509"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/test/dockertest"
	"github.com/unicorn-web-services/uws/test/uwstest"
)

func TestMain(m *testing.M) {
	os.Exit(dockertest.Inside(func() int { return uwstest.Main(m, uwstest.UWS) }))
}

func engine(t *testing.T, flags ...string) *dockertest.Engine {
	t.Helper()
	e, err := dockertest.Start(flags...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Stop() })
	return e
}

// keys are what a tcp endpoint needs.
type keys struct{ ca, certificate, key string }

func (k keys) input() map[string]any {
	return map[string]any{"ca": k.ca, "certificate": k.certificate, "key": k.key}
}

// folder writes the keys in the layout of the docker command.
func (k keys) folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"ca.pem": k.ca, "cert.pem": k.certificate, "key.pem": k.key} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// secure starts an engine that listens on a port with TLS, and returns keys for it.
func secure(t *testing.T) (endpoint string, ca *dockertest.Authority, ours keys) {
	t.Helper()
	ca = dockertest.NewAuthority(t, "ca")
	shows, mine := ca.Issue(nil, "127.0.0.1"), ca.Issue(nil)
	dir := keys{ca.PEM, shows.Certificate, shows.Key}.folder(t)
	address := "tcp://127.0.0.1:" + dockertest.FreePort(t)
	engine(t, "-H", address, "--tlsverify", "--tlscacert", dir+"/ca.pem", "--tlscert", dir+"/cert.pem", "--tlskey", dir+"/key.pem")
	return address, ca, keys{ca.PEM, mine.Certificate, mine.Key}
}

type node struct {
	ID, Name, Driver, Endpoint, ServiceAddress, Reason string
	Version                                            string
	Healthy, Draining                                  bool
	CPUs                                               int `json:"cpus"`
	Labels, EngineLabels                               []label
	Unrecognised                                       []string
}

type label struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

const nodeFields = ` { id name driver endpoint serviceAddress reason version healthy draining cpus labels { name value } engineLabels { name value } unrecognised }`

func nodesOf(t *testing.T, p *uwstest.Process) []node {
	t.Helper()
	var out struct{ Nodes []node }
	if err := p.Query(t.Context(), "{ nodes"+nodeFields+" }", nil, &out); err != nil {
		t.Fatal(err)
	}
	return out.Nodes
}

func start(t *testing.T, env []string, dir string, args ...string) *uwstest.Process {
	t.Helper()
	home := t.TempDir()
	p, err := uwstest.StartWith(t.Context(), append([]string{"UWS_LOCAL_NODE=auto", "DOCKER_HOST=", "HOME=" + home}, env...), uwstest.Binary, dir, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Kill() })
	return p
}

func stop(t *testing.T, p *uwstest.Process) {
	t.Helper()
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
}

// refused runs uws serve, which must fail to start, and returns its output.
func refused(t *testing.T, env []string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), uwstest.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, uwstest.Binary, append([]string{"serve", "--listen", "127.0.0.1:0", "--data-dir", t.TempDir(), "--log-level", "error"}, args...)...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 1 || strings.Count(string(out), "\n") != 1 {
		t.Errorf("got %v, %s", err, out)
	}
	return string(out)
}

// healthyNode waits until the only node is healthy: its first check may have timed out.
func healthyNode(t *testing.T, p *uwstest.Process) node {
	t.Helper()
	var all []node
	err := uwstest.Until(t.Context(), "the node is healthy", func() (bool, error) {
		all = nodesOf(t, p)
		return len(all) == 1 && all[0].Healthy, nil
	})
	if err != nil {
		t.Fatalf("%v: %+v", err, all)
	}
	return all[0]
}

func TestFirstNode(t *testing.T) {
	near := engine(t, "--label", "rack=4")
	endpoint, _, ours := secure(t)
	plain := "tcp://127.0.0.1:" + dockertest.FreePort(t)
	engine(t, "-H", plain, "--tls=false")
	secured := []string{"DOCKER_HOST=" + endpoint, "DOCKER_TLS_VERIFY=1", "DOCKER_CERT_PATH=" + ours.folder(t)}
	gone := "unix:///nowhere/docker.sock"
	for _, tt := range []struct {
		name     string
		env      []string
		args     []string
		driver   string // empty: no node
		endpoint string
		says     string
	}{
		{"no engine", nil, nil, "PROCESS", "process", "services run as processes"},
		{"engine", []string{"DOCKER_HOST=" + near.Host}, nil, "DOCKER", near.Host, "found_by=DOCKER_HOST"},
		{"engine that is gone", []string{"DOCKER_HOST=" + gone}, nil, "PROCESS", "process", "there is no socket /nowhere/docker.sock"},
		{"processes asked for", []string{"DOCKER_HOST=" + near.Host, "UWS_LOCAL_NODE=process"}, nil, "PROCESS", "process", ""},
		{"none", []string{"DOCKER_HOST=" + near.Host}, []string{"--local-node", "none"}, "", "", ""},
		{"engine asked for", []string{"DOCKER_HOST=" + near.Host}, []string{"--local-node", "docker"}, "DOCKER", near.Host, ""},
		{"with TLS", secured, nil, "DOCKER", endpoint, ""},
		{"plain", []string{"DOCKER_HOST=" + plain}, nil, "PROCESS", "process", "--allow-unencrypted-docker-tcp"},
		{"plain, allowed", []string{"DOCKER_HOST=" + plain}, []string{"--allow-unencrypted-docker-tcp"}, "DOCKER", plain, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := start(t, tt.env, uwstest.Folder(t), tt.args...)
			nodes := nodesOf(t, p)
			if tt.driver == "" {
				if len(nodes) != 0 {
					t.Errorf("got %+v", nodes)
				}
				return
			}
			if len(nodes) != 1 {
				t.Fatalf("got %+v", nodes)
			}
			if n := healthyNode(t, p); n.Name != "local" || n.Driver != tt.driver || n.Endpoint != tt.endpoint || n.ServiceAddress != "127.0.0.1" || !n.Healthy || n.CPUs < 1 || n.Version == "" {
				t.Errorf("got %+v", n)
			}
			stop(t, p)
			if !strings.Contains(p.Output.String(), tt.says) {
				t.Errorf("the output does not contain %q:\n%s", tt.says, p.Output)
			}
		})
	}
	for _, tt := range []struct {
		env  []string
		want string
	}{
		{[]string{"DOCKER_HOST=" + gone}, "--local-node docker: the engine that DOCKER_HOST names cannot be used: there is no socket"},
		{[]string{"DOCKER_HOST=", "HOME="}, "the engine that the default socket names"},
		{[]string{"DOCKER_HOST=ssh://me@h"}, "uws cannot use the keys of the ssh command"},
		{[]string{"DOCKER_HOST=", "DOCKER_CONTEXT=gone"}, "the docker context gone"},
		{[]string{"DOCKER_HOST=http://h"}, "no way to reach a Docker Engine"},
		{[]string{"DOCKER_HOST=tcp://u:secret@h:1"}, "must not hold a user"},
	} {
		if got := refused(t, tt.env, "--local-node", "docker"); !strings.Contains(got, tt.want) {
			t.Errorf("%v: got %q, want %q", tt.env, got, tt.want)
		}
	}

	// The node keeps its driver, endpoint and labels, whatever is found later. Its keys are sealed in the store.
	dir := uwstest.Folder(t)
	stop(t, start(t, secured, dir))
	notIn(t, dir, "", ours.key)
	p := start(t, []string{"DOCKER_HOST=" + near.Host}, dir)
	if n := healthyNode(t, p); n.Endpoint != endpoint {
		t.Errorf("got %+v", n)
	}
	stop(t, p)
	p = start(t, []string{"DOCKER_HOST=" + near.Host}, uwstest.Folder(t))
	if n := healthyNode(t, p); !has(n.EngineLabels, label{"rack", "4"}) || len(n.Labels) != 0 {
		t.Errorf("got %+v", n)
	}
}

func has(all []label, want label) bool {
	for _, l := range all {
		if l == want {
			return true
		}
	}
	return false
}

// notIn fails if a line of a key is in a file of a data folder or in a text.
func notIn(t *testing.T, dir, text, key string) {
	t.Helper()
	line := strings.Split(key, "\n")[1]
	if strings.Contains(text, line) {
		t.Errorf("the key is in %s", text)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files in %s: %v", dir, err)
	}
	for _, file := range files {
		if b, err := os.ReadFile(file); err == nil && bytes.Contains(b, []byte(line)) {
			t.Errorf("the key is in %s", file)
		}
	}
}

// register registers a node, or returns the error of the API as text.
func register(t *testing.T, p *uwstest.Process, name, endpoint string, more map[string]any) (node, error) {
	t.Helper()
	input := map[string]any{"name": name, "driver": "DOCKER", "endpoint": endpoint, "serviceAddress": "10.1.2.3"}
	for k, v := range more {
		input[k] = v
	}
	var out struct{ RegisterNode node }
	err := p.Query(t.Context(), "mutation($input: RegisterNodeInput!) { registerNode(input: $input)"+nodeFields+" }", map[string]any{"input": input}, &out)
	return out.RegisterNode, err
}

func update(t *testing.T, p *uwstest.Process, id string, input map[string]any) (node, error) {
	t.Helper()
	var out struct{ UpdateNode node }
	err := p.Query(t.Context(), "mutation($id: ID!, $input: UpdateNodeInput!) { updateNode(id: $id, input: $input)"+nodeFields+" }", map[string]any{"id": id, "input": input}, &out)
	return out.UpdateNode, err
}

func TestRegisterNode(t *testing.T) {
	endpoint, ca, ours := secure(t)
	other := dockertest.NewAuthority(t, "another")
	behind := engine(t)
	ssh := dockertest.StartSSH(t)
	sshEndpoint := "ssh://root@" + ssh.Address + strings.TrimPrefix(behind.Host, "unix://")
	dir := uwstest.Folder(t)
	p := start(t, nil, dir, "--local-node", "none", "--log-level", "debug")
	login := func(hostKey any) map[string]any {
		return map[string]any{"ssh": map[string]any{"privateKey": ssh.Login, "hostKey": hostKey}}
	}
	expired := ca.Issue(func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = c.NotBefore.AddDate(-1, 0, 0), c.NotAfter.AddDate(0, -1, 0)
	})
	for _, tt := range []struct {
		name     string
		endpoint string
		more     map[string]any
		want     []string
	}{
		{"no keys", endpoint, nil, []string{"INVALID_INPUT: input.tls: ", "without encryption is refused", "--allow-unencrypted-docker-tcp"}},
		{"another CA", endpoint, map[string]any{"tls": keys{other.PEM, ours.certificate, ours.key}.input()}, []string{"INVALID_INPUT: input.tls.ca: ", "not signed by the CA"}},
		{"expired", endpoint, map[string]any{"tls": keys{ca.PEM, expired.Certificate, expired.Key}.input()}, []string{"INVALID_INPUT: input.tls.certificate: ", "expired on"}},
		{"loopback", endpoint, map[string]any{"tls": ours.input(), "serviceAddress": "127.0.0.1"}, []string{"INVALID_INPUT: input.serviceAddress: "}},
		{"refused", "tcp://127.0.0.1:" + dockertest.FreePort(t), map[string]any{"tls": ours.input()}, []string{"NODE_UNAVAILABLE: input.endpoint: ", "refused the connection"}},
		{"http", "https://h", nil, []string{"INVALID_INPUT: input.endpoint: ", "tcp://host:2376"}},
		{"no URL, with an address of this machine", "banana", map[string]any{"serviceAddress": "127.0.0.1"}, []string{"INVALID_INPUT: input.endpoint: ", "tcp://host:2376"}},
		{"no host key", sshEndpoint, login(nil), []string{"INVALID_INPUT: input.ssh.hostKey: ", ssh.HostKey, "SHA256:"}},
		{"dash", "ssh://root@-oProxyCommand=x", login(nil), []string{"INVALID_INPUT: input.endpoint: "}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := register(t, p, "far", tt.endpoint, tt.more)
			for _, want := range tt.want {
				if err == nil || !strings.Contains(err.Error(), strings.ReplaceAll(want, `"`, `\"`)) && !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %q", err, want)
				}
			}
			if err != nil {
				notIn(t, dir, err.Error(), ours.key)
			}
		})
	}

	far, err := register(t, p, "far", endpoint, map[string]any{"tls": ours.input(), "labels": []label{{"zone", "b"}}})
	if err != nil || !far.Healthy || far.Draining || !has(far.Labels, label{"zone", "b"}) || len(far.Unrecognised) != 0 {
		t.Fatalf("got %+v, %v", far, err)
	}
	shell, err := register(t, p, "shell", sshEndpoint, login(ssh.HostKey))
	if err != nil || !shell.Healthy {
		t.Fatalf("got %+v, %v", shell, err)
	}

	_, err = register(t, p, "twice", behind.Host, nil)
	if err == nil || !strings.Contains(err.Error(), "CONFLICT") || !strings.Contains(err.Error(), "this is the engine of node") {
		t.Errorf("one engine was registered by ssh and by its socket: %v", err)
	}

	// A node is drained, and its keys are replaced.
	if got, err := update(t, p, far.ID, map[string]any{"draining": true, "labels": []label{}}); err != nil || !got.Draining || len(got.Labels) != 0 {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := update(t, p, far.ID, map[string]any{"tls": keys{ca.PEM, expired.Certificate, expired.Key}.input()}); err == nil || !strings.Contains(err.Error(), "input.tls.certificate: ") {
		t.Errorf("got %v", err)
	}
	renewed := ca.Issue(nil)
	if got, err := update(t, p, far.ID, map[string]any{"tls": keys{ca.PEM, renewed.Certificate, renewed.Key}.input()}); err != nil || !got.Healthy || !got.Draining {
		t.Errorf("got %+v, %v", got, err)
	}
	stop(t, p)
	text := p.Output.String()
	for _, key := range []string{ours.key, renewed.Key, expired.Key, ssh.Login} {
		notIn(t, dir, text, key)
	}

	p = start(t, nil, dir)
	err = uwstest.Until(t.Context(), "both nodes are healthy", func() (bool, error) {
		nodes := nodesOf(t, p)
		return len(nodes) == 2 && nodes[0].Healthy && nodes[0].Draining && nodes[1].Healthy, nil
	})
	if err != nil {
		t.Error(err)
	}
	ssh.Down()
	err = uwstest.Until(t.Context(), "the node is lost, with the reason", func() (bool, error) {
		shell := nodesOf(t, p)[1]
		return !shell.Healthy && strings.Contains(shell.Reason, "refused the connection"), nil
	})
	if err != nil {
		t.Error(err)
	}
	ssh.Up()
	if err := uwstest.Until(t.Context(), "the node is back", func() (bool, error) { return nodesOf(t, p)[1].Healthy, nil }); err != nil {
		t.Error(err)
	}
	began := time.Now()
	stop(t, p)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the stop took %v", took)
	}
}
