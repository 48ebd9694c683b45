package docker

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/unicorn-web-services/uws/test/dockertest"
	"github.com/unicorn-web-services/uws/test/stories"
	"github.com/unicorn-web-services/uws/test/uwstest"
)

// registry is a real registry on loopback.
type registry struct {
	address string
	cmd     *exec.Cmd
	config  string
}

func startRegistry(t *testing.T, more string) *registry {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &registry{address: l.Addr().String()}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	r.config = filepath.Join(t.TempDir(), "registry.yml")
	config := fmt.Sprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: %q}\n%s", t.TempDir(), r.address, more)
	if err := os.WriteFile(r.config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	r.start(t)
	t.Cleanup(func() { r.stop(t) })
	return r
}

func (r *registry) start(t *testing.T) {
	t.Helper()
	r.cmd = exec.Command("docker-registry", "serve", r.config)
	if err := r.cmd.Start(); err != nil {
		t.Fatalf("%v; `make test` installs it (tools/docker-engine)", err)
	}
	err := uwstest.Until(t.Context(), "the registry answers", func() (bool, error) {
		resp, err := http.Get("http://" + r.address + "/v2/")
		if err != nil {
			return false, nil //nolint:nilerr // not yet
		}
		return true, resp.Body.Close()
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (r *registry) stop(t *testing.T) {
	t.Helper()
	_ = r.cmd.Process.Signal(syscall.SIGKILL)
	_ = r.cmd.Wait()
}

// fat pushes an image with the puppet and much data that does not compress.
func (r *registry) fat(t *testing.T, e *dockertest.Engine, name string) (ref string) {
	t.Helper()
	ref = r.address + "/" + name + ":1"
	dir := t.TempDir()
	ballast := make([]byte, 24<<20)
	_, _ = rand.Read(ballast)
	if err := os.WriteFile(filepath.Join(dir, "ballast"), ballast, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM "+dockertest.PuppetImage+"\nCOPY ballast /ballast\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DOCKER_BUILDKIT", "0")
	docker(t, e, "build", "-q", "-t", ref, dir)
	docker(t, e, "push", "-q", ref)
	docker(t, e, "rmi", ref)
	return ref
}

// An image is pulled once, progress is reported, and its digest is recorded.
func TestPull(t *testing.T) {
	e := own(t)
	r := startRegistry(t, "")
	ref := r.fat(t, e, "puppet")
	p := serve(t, e, folder(t), "--images", "puppet="+ref)

	// The registry does not answer, which is a network error: the pull is retried.
	r.stop(t)
	s, err := p.Launch(t.Context(), "QUEUE", "pulled", map[string]any{"template": "puppet"})
	if err != nil {
		t.Fatal(err)
	}
	stories.WaitFor(t, p, s.ID, "the network error is the reason", func(s *uwstest.Service) bool {
		return s.Phase == "PENDING" && strings.Contains(s.Reason, "tried again") && strings.Contains(s.Reason, r.address)
	})
	seen := make(chan float64, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go watchProgress(ctx, p, s.ID, seen)
	r.start(t)
	stories.Healthy(t, p, s.ID, 0)
	cancel()
	steps := map[bool]int{}
	for len(seen) > 0 {
		percent := <-seen
		steps[percent > 0 && percent < 100]++
	}
	if steps[true] == 0 {
		t.Errorf("no progress between 0 and 100 %% was seen, of %d in all", steps[false])
	}
	var out struct{ Service struct{ Image string } }
	if err := p.Query(t.Context(), `query($id: ID!) { service(id: $id) { image } }`, map[string]any{"id": s.ID}, &out); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(out.Service.Image, r.address+"/puppet@sha256:") {
		t.Errorf("the image is %q", out.Service.Image)
	}

	// The engine has the image: the registry is not asked.
	r.stop(t)
	puppet(t, p, "second", nil)
	r.start(t)
}

// watchProgress polls the percentage of a launch until ctx ends.
func watchProgress(ctx context.Context, p *uwstest.Process, id string, seen chan<- float64) {
	for ctx.Err() == nil {
		var out struct {
			Service struct{ Progress *struct{ Percent *float64 } }
		}
		err := p.Query(ctx, `query($id: ID!) { service(id: $id) { progress { percent } } }`, map[string]any{"id": id}, &out)
		if err == nil && out.Service.Progress != nil && out.Service.Progress.Percent != nil {
			select {
			case seen <- *out.Service.Progress.Percent:
			default:
			}
		}
	}
}

// Pulls use the credentials that docker login stored, in the docker command's configuration or with a helper program. After a
// failure, logging in is enough: nothing else has to be repeated.
func TestPullWithCredentials(t *testing.T) {
	e := own(t)
	hash, err := bcrypt.GenerateFromPassword([]byte("meow"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	users := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(users, append([]byte("cat:"), hash...), 0o600); err != nil {
		t.Fatal(err)
	}
	r := startRegistry(t, fmt.Sprintf("auth: {htpasswd: {realm: private, path: %s}}\n", users))
	config := t.TempDir()
	t.Setenv("DOCKER_CONFIG", config)
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(config, "config.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	login := func() {
		write(fmt.Sprintf(`{"auths": {%q: {"auth": %q}}}`, r.address, base64.StdEncoding.EncodeToString([]byte("cat:meow"))))
	}
	login()
	ref := r.fat(t, e, "private")
	write("{}")
	p := serve(t, e, folder(t), "--images", "puppet="+ref)
	s, err := p.Launch(t.Context(), "QUEUE", "private", map[string]any{"template": "puppet"})
	if err != nil {
		t.Fatal(err)
	}
	failed := stories.WaitFor(t, p, s.ID, "failed", func(s *uwstest.Service) bool { return s.Phase == "FAILED" })
	if !strings.Contains(failed.Reason, "docker login") {
		t.Errorf("the reason is %q", failed.Reason)
	}
	login()
	if err := p.Do(t.Context(), "startService", s.ID); err != nil {
		t.Fatal(err)
	}
	stories.Healthy(t, p, s.ID, 0)
	if strings.Contains(p.Output.String(), "meow") {
		t.Error("the password is in the log")
	}
	stories.Remove(t, p, s.ID, "DELETE")
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
	docker(t, e, "rmi", ref)

	helper := "#!/bin/sh\nread -r server\n[ \"$server\" = " + r.address + " ] || exit 1\n" +
		`echo "{\"ServerURL\": \"$server\", \"Username\": \"cat\", \"Secret\": \"meow\"}"` + "\n"
	if err := os.WriteFile(filepath.Join(config, "docker-credential-tests"), []byte(helper), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", config+":"+os.Getenv("PATH"))
	write(fmt.Sprintf(`{"credHelpers": {%q: "tests"}}`, r.address))
	p = serve(t, e, folder(t), "--images", "puppet="+ref)
	puppet(t, p, "helped", nil)
}

// An error that retrying does not mend makes the service FAILED at once, with the reason.
func TestPullRefused(t *testing.T) {
	e := own(t)
	open := startRegistry(t, "")
	closed := startRegistry(t, "auth: {htpasswd: {realm: private, path: /dev/null}}\n")
	for name, c := range map[string]struct{ ref, says string }{
		"not found":   {open.address + "/nothing:1", "does not have it"},
		"not allowed": {closed.address + "/private:1", "does not allow it"},
	} {
		t.Run(name, func(t *testing.T) {
			p := serve(t, e, folder(t), "--images", "puppet="+c.ref)
			s, err := p.Launch(t.Context(), "QUEUE", "refused", map[string]any{"template": "puppet"})
			if err != nil {
				t.Fatal(err)
			}
			failed := stories.WaitFor(t, p, s.ID, "failed", func(s *uwstest.Service) bool { return s.Phase == "FAILED" })
			if !strings.Contains(failed.Reason, c.ref) || !strings.Contains(failed.Reason, c.says) {
				t.Errorf("the reason is %q", failed.Reason)
			}
		})
	}
}
