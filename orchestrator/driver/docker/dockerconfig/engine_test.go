package dockerconfig

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/docker/endpoint"
	"github.com/unicorn-web-services/uws/test/dockertest"
)

// find returns the engine that a process with this environment uses.
func find(t *testing.T, environment map[string]string) (Engine, error) {
	t.Helper()
	return FindEngine(func(name string) string { return environment[name] })
}

// docker runs the stock command with a home folder.
func docker(t *testing.T, home string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "docker", args...)
	cmd.Env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH")}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("docker %v: %v: %s", args, err, out)
	}
}

func TestFindEngine(t *testing.T) {
	ca := dockertest.NewAuthority(t, "ca")
	pair := ca.Issue(nil)
	ours := endpoint.TLS{CA: ca.PEM, Certificate: pair.Certificate, Key: driver.Secret(pair.Key)}
	keys := dockertest.WriteKeys(t, ca, pair)
	home := t.TempDir()
	docker(t, home, "context", "create", "near", "--docker", "host=unix:///run/near.sock")
	docker(t, home, "context", "create", "far", "--docker",
		"host=tcp://far.example:2376,ca="+keys+"/ca.pem,cert="+keys+"/cert.pem,key="+keys+"/key.pem")
	docker(t, home, "context", "create", "plain", "--docker", "host=tcp://far.example:2375")
	docker(t, home, "context", "use", "near")
	unset := t.TempDir() // a home where docker was never used
	reset := t.TempDir()
	docker(t, reset, "context", "use", "default")
	broken := t.TempDir()
	if err := os.WriteFile(filepath.Join(broken, "config.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}

	for _, tt := range []struct {
		name        string
		environment map[string]string
		endpoint    string
		source      string
		tls         bool
		err         string
	}{
		{"nothing", nil, "unix:///var/run/docker.sock", "the default socket", false, ""},
		{"a home without docker", map[string]string{"HOME": unset}, "unix:///var/run/docker.sock", "the default socket", false, ""},
		{"the default context", map[string]string{"HOME": reset}, "unix:///var/run/docker.sock", "the default socket", false, ""},
		{"current context", map[string]string{"HOME": home}, "unix:///run/near.sock", "the docker context near", false, ""},
		{"DOCKER_CONFIG", map[string]string{"HOME": unset, "DOCKER_CONFIG": home + "/.docker"}, "unix:///run/near.sock", "the docker context near", false, ""},
		{"DOCKER_CONTEXT", map[string]string{"HOME": home, "DOCKER_CONTEXT": "far"}, "tcp://far.example:2376", "the docker context far", true, ""},
		{"DOCKER_CONTEXT, plain", map[string]string{"HOME": home, "DOCKER_CONTEXT": "plain"}, "tcp://far.example:2375", "the docker context plain", false, ""},
		{"DOCKER_CONTEXT, default", map[string]string{"HOME": home, "DOCKER_CONTEXT": "default"}, "unix:///var/run/docker.sock", "the default socket", false, ""},
		{"DOCKER_HOST wins", map[string]string{"HOME": home, "DOCKER_CONTEXT": "far", "DOCKER_HOST": "unix:///x"}, "unix:///x", "DOCKER_HOST", false, ""},
		{"DOCKER_HOST, short", map[string]string{"DOCKER_HOST": "unix://"}, "unix:///var/run/docker.sock", "DOCKER_HOST", false, ""},
		{"DOCKER_HOST, plain", map[string]string{"DOCKER_HOST": "tcp://h"}, "tcp://h:2375", "DOCKER_HOST", false, ""},
		{"DOCKER_HOST with TLS", map[string]string{"DOCKER_HOST": "tcp://h", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": keys}, "tcp://h:2376", "DOCKER_HOST", true, ""},
		{"keys beside the configuration", map[string]string{"DOCKER_HOST": "tcp://h:1", "DOCKER_TLS_VERIFY": "1", "DOCKER_CONFIG": keys}, "tcp://h:1", "DOCKER_HOST", true, ""},
		{"DOCKER_HOST by ssh", map[string]string{"DOCKER_HOST": "ssh://me@h"}, "ssh://me@h", "DOCKER_HOST", false, ""},
		{"keys are missing", map[string]string{"DOCKER_HOST": "tcp://h:1", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": "/no"}, "", "", false, "/no/ca.pem"},
		{"context is missing", map[string]string{"HOME": home, "DOCKER_CONTEXT": "gone"}, "", "", false, "the docker context gone"},
		{"configuration is broken", map[string]string{"DOCKER_CONFIG": broken}, "", "", false, "config.json"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := find(t, tt.environment)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("got %v, want %q", err, tt.err)
				}
				return
			}
			if err != nil || got.Endpoint != tt.endpoint || got.Source != tt.source || (got.TLS != nil) != tt.tls || got.AllowPlaintext {
				t.Errorf("got %+v, %v", got, err)
			}
			if got.TLS != nil && *got.TLS != ours {
				t.Error("the keys differ")
			}
		})
	}
}
