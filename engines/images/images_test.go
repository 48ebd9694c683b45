package images_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/engines/images"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/credentials"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/docker"
	"github.com/unicorn-web-services/uws/orchestrator/driver/docker/endpoint"
	"github.com/unicorn-web-services/uws/orchestrator/probe"
	"github.com/unicorn-web-services/uws/test/dockertest"
)

// official makes the tests use the images that the templates name instead of ours, on the engine of $DOCKER_HOST, which
// must be able to pull them.
var official = os.Getenv("UWS_TEST_OFFICIAL_IMAGES") != ""

func TestMain(m *testing.M) {
	if official {
		os.Exit(m.Run())
	}
	os.Exit(dockertest.Main(m))
}

// enginesDir returns $UWS_TEST_ENGINES, or build/engines.
func enginesDir(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("UWS_TEST_ENGINES")
	if dir == "" {
		dir = filepath.Join("..", "..", "build", "engines")
	}
	if _, err := os.Stat(dir); err != nil {
		t.Fatalf("NOT TESTED: %v; `make engines` makes the engines", err)
	}
	return dir
}

// Each image can replace the one that its template names. With the docker section alone it runs a service that accepts
// the probe's password and no other, stops when asked, and finds its data after a restart.
func TestImagesStandForThoseOfTheTemplates(t *testing.T) {
	if official {
		t.Skip("NOT TESTED: UWS_TEST_OFFICIAL_IMAGES asks for the official images")
	}
	all, err := images.All()
	if err != nil {
		t.Fatal(err)
	}
	templates := load(t)
	engine, err := dockertest.Shared()
	if err != nil {
		t.Fatal(err)
	}
	d := open(t, engine.Host)
	for i, image := range all {
		t.Run(image.Name, func(t *testing.T) {
			importImage(t, engine, image, enginesDir(t))
			template, ok := templates.Lookup(image.Name)
			if !ok || template.Docker == nil {
				t.Fatal("no template runs it on Docker")
			}
			template.Docker.Image = image.Ref
			newService(t, d, template, 21000+100*i).life(t)
		})
	}
}

// TestOfficialImages is the same test for the images that the templates name, except those that only we build.
func TestOfficialImages(t *testing.T) {
	if !official {
		t.Skip("NOT TESTED: official images; `make test-images` tests them where their registry is reached")
	}
	host := os.Getenv("DOCKER_HOST")
	if host == "" {
		host = "unix:///var/run/docker.sock"
	}
	d := open(t, host)
	for i, template := range load(t).All() {
		if template.Docker == nil || strings.HasPrefix(template.Docker.Image, "uws/") {
			continue
		}
		t.Run(template.Name, func(t *testing.T) {
			s := newService(t, d, template, 21000+100*i)
			if err := d.Prepare(t.Context(), s.spec, nil); err != nil {
				t.Fatal(err)
			}
			s.life(t)
		})
	}
}

func load(t *testing.T) *catalog.Catalog {
	t.Helper()
	templates, err := catalog.Load("", catalog.Probes{Check: probe.Check, Writes: probe.Writes})
	if err != nil {
		t.Fatal(err)
	}
	return templates
}

func open(t *testing.T, host string) *docker.Driver {
	t.Helper()
	d, err := docker.New(docker.Options{
		Connection: endpoint.Connection{Endpoint: host}, Installation: "images", Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func importImage(t *testing.T, engine *dockertest.Engine, image images.Image, dir string) {
	t.Helper()
	in, out := io.Pipe()
	go func() { out.CloseWithError(image.Write(t.Context(), out, dir)) }()
	if err := engine.Import(image.Ref, image.Changes(), in); err != nil {
		t.Fatal(err)
	}
}

// service is a service that is run with a template alone.
type service struct {
	template catalog.Template
	drv      *docker.Driver
	spec     driver.Spec
	target   probe.Target
	ask      probe.Func
}

func newService(t *testing.T, d *docker.Driver, template catalog.Template, port int) *service {
	t.Helper()
	keys, err := template.GenerateCredentials()
	if err != nil {
		t.Fatal(err)
	}
	id := strings.ToLower(rand.Text())
	layout := d.Layout(id, id)
	values := catalog.Values{
		Data: template.Docker.Data, Config: layout.Config, Address: layout.Address, Host: "127.0.0.1",
		Ports: map[string]int{}, Credentials: keys, ServiceID: id, ServiceName: template.Name,
	}
	s := &service{template: template, drv: d, target: probe.Target{Credentials: keys, Options: template.Probe.Options}}
	var ports []driver.Port
	for i, p := range template.Ports {
		values.Ports[p.Name] = p.Target
		ports = append(ports, driver.Port{Name: p.Name, Number: port + i, Target: p.Target, Address: "127.0.0.1"})
		if p.Name == template.Probe.Port {
			s.target.Address = "127.0.0.1:" + strconv.Itoa(port+i)
		}
	}
	r, err := template.Docker.Resolve(values)
	if err != nil {
		t.Fatal(err)
	}
	var known bool
	if s.ask, known = probe.Lookup(template.Probe.Type); !known {
		t.Fatalf("no probe %s", template.Probe.Type)
	}
	s.spec = driver.Spec{
		Service: id, Volume: id, Image: r.Image, Mount: r.Data, User: r.User, Capabilities: r.Capabilities,
		Limits: driver.Limits{MemoryBytes: int64(r.Limits.MemoryMiB) << 20, CPUs: r.Limits.CPUs, PIDs: int64(r.Limits.PIDs)},
		Args:   r.Args, Env: r.Env, Files: r.Files, Folders: r.Dirs, Ports: ports, StopSignal: template.Stop.Signal,
	}
	return s
}

func (s *service) life(t *testing.T) {
	ctx := t.Context()
	t.Cleanup(func() {
		ctx := context.Background()
		if err := s.drv.Remove(ctx, s.spec.Service); err != nil {
			t.Error(err)
		}
		if err := s.drv.RemoveData(ctx, driver.Data{Volume: s.spec.Volume}); err != nil {
			t.Error(err)
		}
	})
	s.start(t)
	wrong := s.target
	wrong.Credentials = maps.Clone(wrong.Credentials)
	for _, c := range s.template.Credentials {
		if c.Length > 0 {
			wrong.Credentials[c.Name] = strings.Repeat("x", c.Length)
		}
	}
	if r := s.probe(wrong); r.Verdict != probe.Alive {
		t.Errorf("with other passwords: %s, %s", r.Verdict, r.Detail)
	}
	if err := s.drv.Stop(ctx, s.spec.Service, s.template.Stop.Grace); err != nil {
		t.Fatal(err)
	}
	o, err := s.drv.Inspect(ctx, s.spec.Service)
	if err != nil || o.Running || o.ExitCode == nil || *o.ExitCode == 137 {
		t.Errorf("it did not stop when it was asked to: %+v, %v", o, err)
	}
	// Recreate the container with its data, as an upgrade does. Other passwords in the environment have no effect,
	// because the passwords are in the data.
	if err := s.drv.Remove(ctx, s.spec.Service); err != nil {
		t.Fatal(err)
	}
	s.spec.DataMustExist = true
	s.start(t)
}

// start returns once the probe succeeds.
func (s *service) start(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	if err := s.drv.Create(ctx, s.spec); err != nil {
		t.Fatal(err)
	}
	if err := s.drv.Start(ctx, s.spec.Service); err != nil {
		t.Fatal(err)
	}
	end := time.After(time.Minute)
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		r := s.probe(s.target)
		if r.Verdict == probe.OK {
			return
		}
		if r.NotSetUp {
			if err := credentials.SetUp(ctx, s.template.Probe.Type, s.target); err != nil {
				t.Fatal(err)
			}
		}
		select {
		case <-end:
			t.Fatalf("not within a minute: %s, %s\n%s", r.Verdict, r.Detail, s.logs())
		case <-again.C:
		}
	}
}

func (s *service) probe(target probe.Target) probe.Result {
	return probe.Run(context.Background(), s.ask, target, 2*time.Second, time.Now)
}

func (s *service) logs() string {
	lines, err := s.drv.TailLogs(context.Background(), s.spec.Service, 30)
	if err != nil {
		return fmt.Sprint(err)
	}
	var text strings.Builder
	for _, l := range lines {
		text.WriteString(l.Text + "\n")
	}
	return text.String()
}
