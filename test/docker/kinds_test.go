package docker

import (
	"cmp"
	"os"
	"strings"
	"testing"

	"github.com/unicorn-web-services/uws/test/dockertest"
	"github.com/unicorn-web-services/uws/test/stories"
	"github.com/unicorn-web-services/uws/test/uwstest"
)

// Every kind goes through its whole life cycle on Docker, with stock clients.
func TestEveryKind(t *testing.T) {
	e := engine(t)
	for _, c := range stories.Engines {
		t.Run(c.Template, func(t *testing.T) {
			t.Parallel()
			withImages(t, e, c.Template)
			stories.Life(t, serve(t, e, folder(t)), e, c.Kind, c.Template, c.Client)
		})
	}
}

// The same with the official image of each default template: `make test-images`.
func TestOfficialImages(t *testing.T) {
	if !official {
		t.Skip("NOT TESTED: official images; `make test-images` tests them where their registry is reached")
	}
	e := &dockertest.Engine{Host: cmp.Or(os.Getenv("DOCKER_HOST"), "unix:///var/run/docker.sock")}
	for _, c := range stories.Official {
		t.Run(c.Template, func(t *testing.T) {
			p, err := uwstest.StartWith(t.Context(), []string{"UWS_LOCAL_NODE=docker"}, uwstest.Binary, folder(t))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := p.Stop(); err != nil {
					t.Error(err)
				}
			})
			stories.Life(t, p, e, c.Kind, c.Template, c.Client)
		})
	}
}

// A container has the privileges that its template names, and no others.
func TestLeastPrivilege(t *testing.T) {
	e := engine(t)
	withImages(t, e, "nats")
	p := serve(t, e, folder(t))
	s := stories.Launch(t, p, "QUEUE", "orders", map[string]any{"limits": map[string]any{"memoryMiB": 256, "cpus": 0.5, "pids": 100}})
	keys, err := p.Credentials(t.Context(), s.ID)
	if err != nil {
		t.Fatal(err)
	}
	id := container(t, e, s.ID)
	for field, want := range map[string]string{
		".HostConfig.CapDrop":                         "[ALL]",
		".HostConfig.CapAdd":                          "[]",
		".HostConfig.SecurityOpt":                     "[no-new-privileges]",
		".HostConfig.Memory":                          "268435456",
		".HostConfig.MemorySwap":                      "268435456",
		".HostConfig.NanoCpus":                        "500000000",
		".HostConfig.PidsLimit":                       "100",
		".HostConfig.RestartPolicy.Name":              "unless-stopped",
		".HostConfig.Init":                            "true",
		".HostConfig.Privileged":                      "false",
		".HostConfig.LogConfig":                       "{json-file map[max-file:3 max-size:10m]}",
		"(index .HostConfig.PortBindings `4222/tcp`)": "[map[HostIp:127.0.0.1 HostPort:" + s.Endpoint[strings.LastIndex(s.Endpoint, ":")+1:] + "]]",
		"len .Mounts":                                 "1",
		"(index .Mounts 0).Type":                      "volume",
		".Config.StopSignal":                          "SIGTERM",
	} {
		if got := docker(t, e, "inspect", "--format", "{{"+field+"}}", id); got != want {
			t.Errorf("%s is %s, want %s", field, got, want)
		}
	}
	seen := docker(t, e, "inspect", "--format", "{{.Config.Labels}} {{.Config.Cmd}} {{.Path}} {{.Args}} {{.Name}}", id) + p.Output.String()
	if strings.Contains(seen, keys["password"]) {
		t.Error("the password is in a label, a command line or the log")
	}
	var out struct {
		Service struct {
			Image  string
			Limits struct {
				MemoryMiB, Pids int
				Cpus            float64
			}
		}
	}
	if err := p.Query(t.Context(), `query($id: ID!) { service(id: $id) { image limits { memoryMiB cpus pids } } }`, map[string]any{"id": s.ID}, &out); err != nil {
		t.Fatal(err)
	}
	if got := out.Service; !strings.HasPrefix(got.Image, "sha256:") || got.Limits.MemoryMiB != 256 || got.Limits.Cpus != 0.5 || got.Limits.Pids != 100 {
		t.Errorf("the API says %+v", got)
	}
	network := docker(t, e, "inspect", "--format", "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}}{{end}}", id)
	if !strings.HasPrefix(network, "uws-") {
		t.Errorf("it is on network %s", network)
	}
}
