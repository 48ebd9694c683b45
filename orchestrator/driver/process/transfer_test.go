package process_test

import (
	"archive/tar"
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/drivertest"
	"github.com/unicorn-web-services/uws/orchestrator/driver/process"
)

// archiveOf is an archive of files, by name.
func archiveOf(t *testing.T, files map[string]string) io.Reader {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, content := range files {
		err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, Size: int64(len(content))})
		_, writeErr := io.WriteString(w, content)
		if err := errors.Join(err, writeErr); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &b
}

// exported are the names in the archive of a volume, and the content of all its files.
func exported(t *testing.T, d driver.Driver, volume string) (names []string, content string) {
	t.Helper()
	var b bytes.Buffer
	if err := d.(driver.Exporter).Export(t.Context(), driver.Spec{Volume: volume}, &b); err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(&b); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return names, content
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		names, content = append(names, h.Name), content+string(text)
	}
}

// An import that fills the disk leaves nothing, and may be tried again.
func TestImportOnFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: mounting needs root; CI runs this as root")
	}
	m := newMachine(t)
	volumes := filepath.Join(m.dir("first"), "volumes")
	if err := errors.Join(os.MkdirAll(volumes, 0o711), unix.Mount("tmpfs", volumes, "tmpfs", 0, "size=16m,mode=711")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(volumes, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	d := m.Open("first")
	spec := driver.Spec{Service: "s", Volume: "v"}
	err := d.(driver.Exporter).Import(t.Context(), spec, archiveOf(t, map[string]string{"a": strings.Repeat("x", 1<<20), "b": strings.Repeat("x", 32<<20)}))
	if !errors.Is(err, syscall.ENOSPC) || driver.ClassOf(err) != driver.Transient {
		t.Errorf("got %v", err)
	}
	if left, err := os.ReadDir(volumes); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	if err := d.(driver.Exporter).Import(t.Context(), spec, archiveOf(t, map[string]string{"a": strings.Repeat("x", 8<<20)})); err != nil {
		t.Error(err)
	}
}

// What is no file, folder or link is left out, and nothing waits for a pipe.
func TestExportOfAnything(t *testing.T) {
	m := newMachine(t)
	d := m.Open("first")
	if err := d.(driver.Exporter).Import(t.Context(), driver.Spec{Volume: "v"}, archiveOf(t, map[string]string{"file": "x"})); err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(m.dir("first"), "volumes", "v", name) }
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", at("socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	errs := []error{unix.Mkfifo(at("pipe"), 0o600), os.Symlink("loop", at("loop")), os.Symlink("/etc/passwd", at("passwd")), os.WriteFile(at("unreadable"), nil, 0o400)}
	if os.Geteuid() == 0 {
		errs = append(errs, unix.Mknod(at("device"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5)))) // #nosec G115 -- fits
	}
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	names, content := exported(t, d, "v")
	if got := strings.Join(names, " "); got != "./ file loop passwd unreadable" || content != "x" {
		t.Errorf("the archive has %s with %q", got, content)
	}
}

// An engine that exchanges its files for links while they are exported gets nothing from outside into the archive.
func TestExportFollowsNothing(t *testing.T) {
	m := newMachine(t)
	d := m.Open("first")
	if err := d.(driver.Exporter).Import(t.Context(), driver.Spec{Volume: "v"}, archiveOf(t, map[string]string{"file": "x"})); err != nil {
		t.Fatal(err)
	}
	outside := t.TempDir()
	secret := filepath.Join(outside, "secret")
	if err := os.WriteFile(secret, []byte("SECRET"), 0o644); err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(m.dir("first"), "volumes", "v", name) }
	if err := errors.Join(os.Mkdir(at("folder"), 0o755), os.WriteFile(at("folder/secret"), []byte("own"), 0o644), os.Symlink(outside, at("link to folder")),
		os.Symlink(secret, at("link"))); err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		var err error
		for err == nil {
			select {
			case <-stop:
				stopped <- nil
				return
			default:
			}
			err = errors.Join(unix.Renameat2(unix.AT_FDCWD, at("file"), unix.AT_FDCWD, at("link"), unix.RENAME_EXCHANGE),
				unix.Renameat2(unix.AT_FDCWD, at("folder"), unix.AT_FDCWD, at("link to folder"), unix.RENAME_EXCHANGE))
		}
		stopped <- err
	}()
	whole := 0
	for range 1000 {
		var b bytes.Buffer
		if d.(driver.Exporter).Export(t.Context(), driver.Spec{Volume: "v"}, &b) == nil { // or it was seen that a folder is a link now
			whole++
		}
		if strings.Contains(b.String(), "SECRET") {
			t.Fatal("the archive has what is outside")
		}
	}
	if close(stop); whole == 0 {
		t.Error("no export has succeeded")
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func BenchmarkTransfer(b *testing.B) {
	dir := b.TempDir()
	if err := errors.Join(os.Chmod(dir, 0o711), os.Chmod(filepath.Dir(dir), 0o711)); err != nil { // engines run under other uids
		b.Fatal(err)
	}
	d, err := process.New(process.Options{Dir: dir, Installation: rand.Text(), Sandbox: process.SandboxOff, UIDBase: 1 << 20, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	drivertest.BenchmarkTransfer(b, d, driver.Spec{Service: "s", Volume: "v"})
}
