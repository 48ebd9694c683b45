package docker_test

import (
	"archive/tar"
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/docker"
	"github.com/unicorn-web-services/uws/orchestrator/driver/docker/endpoint"
	"github.com/unicorn-web-services/uws/orchestrator/driver/drivertest"
	"github.com/unicorn-web-services/uws/test/dockertest"
)

// archiveOf is an archive of one file.
func archiveOf(t *testing.T, name string, size int) io.Reader {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, Size: int64(size)})
	_, writeErr := w.Write(bytes.Repeat([]byte{'x'}, size))
	must(t, errors.Join(err, writeErr, w.Close()))
	return &b
}

// An import that fills the disk leaves nothing, and may be tried again.
func TestImportOnFullDisk(t *testing.T) {
	root := t.TempDir()
	e, err := dockertest.Start("--iptables=false", "--data-root", root)
	must(t, err)
	must(t, e.ImportPuppet())
	volumes := filepath.Join(root, "volumes") // mounted over after the start: the engine bind-mounts its root, which would hide it
	must(t, syscall.Mount("tmpfs", volumes, "tmpfs", 0, "size=16m,mode=701"))
	t.Cleanup(func() {
		must(t, e.Stop())
		if err := syscall.Unmount(volumes, syscall.MNT_DETACH); err != nil && !errors.Is(err, syscall.EINVAL) { // the engine may have unmounted it when it ended
			t.Error(err)
		}
	})
	m := machineOn(t, e)
	d := m.Open("first")
	spec := driver.Spec{Service: "s", Volume: "v", Image: dockertest.PuppetImage}
	err = d.(driver.Exporter).Import(t.Context(), spec, archiveOf(t, "a", 32<<20))
	if err == nil || driver.ClassOf(err) != driver.Transient || !strings.Contains(err.Error(), "no space left on device") {
		t.Errorf("got %v", err)
	}
	if all, err := d.Volumes(t.Context()); err != nil || len(all) > 0 {
		t.Errorf("left: %v, %v", all, err)
	}
	if left := m.docker("ps", "-aq") + m.docker("volume", "ls", "-q"); left != "" {
		t.Errorf("the engine has %s", left)
	}
	must(t, d.(driver.Exporter).Import(t.Context(), spec, archiveOf(t, "a", 8<<20)))
	if left := m.docker("ps", "-aq"); left != "" {
		t.Errorf("the engine has the containers %s", left)
	}
}

// What is no file, folder or link is left out of an archive.
func TestExportOfAnything(t *testing.T) {
	m := newMachine(t)
	d := m.Open("first")
	spec := driver.Spec{Service: "s", Volume: "v", Image: dockertest.PuppetImage}
	must(t, d.(driver.Exporter).Import(t.Context(), spec, archiveOf(t, "file", 1)))
	at := func(name string) string {
		return filepath.Join(m.docker("volume", "inspect", "--format", "{{.Mountpoint}}", m.container("first", "v")), name)
	}
	must(t, errors.Join(unix.Mkfifo(at("pipe"), 0o600), unix.Mknod(at("device"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))),
		unix.Mknod(at("socket"), unix.S_IFSOCK|0o666, 0), unix.Symlink("/etc/passwd", at("passwd"))))
	var b bytes.Buffer
	must(t, d.(driver.Exporter).Export(t.Context(), spec, &b))
	var names []string
	for r := tar.NewReader(&b); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		names = append(names, h.Name)
	}
	if got := strings.Join(names, " "); got != "./ file passwd" {
		t.Errorf("the archive has %s", got)
	}
}

// A container that a crash left while uws looked into a volume is not in the way of its removal.
func TestRemoveDataAfterCrash(t *testing.T) {
	m := newMachine(t)
	d := m.Open("first")
	must(t, d.(driver.Exporter).Import(t.Context(), driver.Spec{Service: "s", Volume: "v", Image: dockertest.PuppetImage}, archiveOf(t, "file", 1)))
	name := m.container("first", "v")
	m.docker("create", "--label", driver.LabelInstallation+"="+m.installation("first"), "--mount", "type=volume,src="+name+",dst=/data", "--name", name+".look-crashed", dockertest.PuppetImage)
	must(t, d.RemoveData(t.Context(), driver.Data{Volume: "v"}))
	if has, err := d.HasData(t.Context(), driver.Data{Volume: "v"}); has || err != nil {
		t.Errorf("HasData says %v, %v", has, err)
	}
}

// The user that an image defines by name owns the files, and one that it does not define is refused.
func TestImportForNamedUser(t *testing.T) {
	m := newMachine(t)
	d := m.Open("first")
	ref, err := m.engine.ImportEngine(t.Context(), "postgres")
	must(t, err)
	for user, want := range map[string]int{"postgres": 999, "postgres:postgres": 999, "root": 0, "999:999": 999, "1234": 1234, "": 0} {
		spec := driver.Spec{Service: "s", Volume: "v", Image: ref, User: user}
		must(t, d.(driver.Exporter).Import(t.Context(), spec, archiveOf(t, "file", 1)))
		var b bytes.Buffer
		must(t, d.(driver.Exporter).Export(t.Context(), spec, &b))
		for r, n := tar.NewReader(&b), 0; n < 2; n++ {
			h, err := r.Next()
			if must(t, err); h.Uid != want || h.Gid != want {
				t.Errorf("user %q: %s is of %d:%d, want %d", user, h.Name, h.Uid, h.Gid, want)
			}
		}
		must(t, d.RemoveData(t.Context(), driver.Data{Volume: "v"}))
	}
	for _, user := range []string{"nobody-known", "postgres:nobody-known"} {
		spec := driver.Spec{Service: "s", Volume: "v", Image: ref, User: user}
		if err := d.(driver.Exporter).Import(t.Context(), spec, archiveOf(t, "file", 1)); driver.ClassOf(err) != driver.Invalid || err == nil {
			t.Errorf("user %q: %v", user, err)
		}
		if has, err := d.HasData(t.Context(), driver.Data{Volume: "v"}); has || err != nil {
			t.Errorf("HasData says %v, %v", has, err)
		}
	}
}

func BenchmarkTransfer(b *testing.B) {
	e, err := dockertest.Shared()
	if err != nil {
		b.Fatal(err)
	}
	d, err := docker.New(docker.Options{Connection: endpoint.Connection{Endpoint: e.Host}, Installation: strings.ToLower(rand.Text()), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	drivertest.BenchmarkTransfer(b, d, driver.Spec{Service: "s", Volume: "v", Image: dockertest.PuppetImage})
}
