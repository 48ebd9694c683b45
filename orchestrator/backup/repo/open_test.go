package repo

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	kopia "github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/blob/filesystem"
)

func TestKeyText(t *testing.T) {
	k := NewKey()
	text := k.Text()
	for _, same := range []string{text, strings.ToLower(text), strings.ReplaceAll(text, "-", " "), " " + strings.ReplaceAll(text, "-", "") + "\n"} {
		if got, err := ParseKey(same); err != nil || got != k {
			t.Errorf("%q: %v", same, err)
		}
	}
	typo := []byte(text)
	for i := range typo {
		if typo[i] == '-' {
			continue
		}
		was := typo[i]
		typo[i] = 'A' + (was-'A'+1)%26
		if _, err := ParseKey(string(typo)); !errors.Is(err, ErrKeyText) {
			t.Errorf("%s: %v", typo, err)
		}
		typo[i] = was
	}
	for _, bad := range []string{"", text[:len(text)-1], text + "A", "hello"} {
		if _, err := ParseKey(bad); !errors.Is(err, ErrKeyText) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// What is at a location is told apart, by Inspect, Create and Open.
func TestInspect(t *testing.T) {
	onEach(t, func(t *testing.T, at place) {
		o := options(t, at.Location)
		expect := func(state State, name string) Found {
			t.Helper()
			found, err := Inspect(t.Context(), at.Location)
			must(t, err)
			if found.State != state || found.Name != name {
				t.Errorf("%+v, want %s %q", found, state, name)
			}
			return found
		}
		write := func(names ...string) {
			for _, n := range names {
				path := filepath.Join(filepath.Dir(at.path(markerName)), n)
				must(t, os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte("x"), 0o600))
			}
		}
		clean := func(keep ...string) { cleanBut(t, filepath.Dir(at.path(markerName)), keep...) }
		expect(Empty, "")
		must(t, Test(t.Context(), at.Location))
		expect(Empty, "")
		if _, err := Open(t.Context(), o); !errors.Is(err, ErrNone) {
			t.Errorf("%v", err)
		}
		write("config", "keys/1", "snapshots/1", "data/1", "index/1", "locks/1")
		expect(Foreign, "a restic repository")
		if err := Create(t.Context(), o, "id"); err == nil || err.Error() != "there is a restic repository: choose an empty place, such as a new folder or prefix" {
			t.Errorf("%v", err)
		}
		if _, err := Open(t.Context(), o); !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), "restic") {
			t.Errorf("%v", err)
		}
		clean()
		write("config", "README", "data/0", "hints.1")
		expect(Foreign, "a borg repository")
		clean()
		write("letter.txt")
		expect(Foreign, "something else (letter.txt)")
		clean()
		must(t, Create(t.Context(), o, "the id"))
		if found := expect(Ours, ""); found.ID != "the id" || time.Since(found.Created).Abs() > time.Minute {
			t.Errorf("%+v", found)
		}
		if err := Create(t.Context(), o, "id"); err == nil || !strings.Contains(err.Error(), "the id") {
			t.Errorf("%v", err)
		}
		other := o
		other.Key = NewKey()
		if _, err := Open(t.Context(), other); !errors.Is(err, ErrWrongKey) {
			t.Errorf("%v", err)
		}
		must(t, os.Remove(at.path(markerName)))
		expect(Foreign, "a kopia repository that uws did not make")
		if _, err := Open(t.Context(), other); !errors.Is(err, ErrForeign) {
			t.Errorf("%v", err)
		}
		opened(t, o) // the key proves whose it is
		clean()
		must(t, Create(t.Context(), o, "the id"), opened(t, o).Put(t.Context(), "wal/1", nil), os.Remove(at.path("kopia.repository")))
		expect(Foreign, leftovers)
		clean("uws")
		expect(Foreign, leftovers)
	})
}

// Create can be called again when it died in the middle.
func TestCreateInterrupted(t *testing.T) {
	onEach(t, func(t *testing.T, at place) {
		o := options(t, at.Location)
		must(t, Create(t.Context(), o, "id"))
		cleanBut(t, filepath.Dir(at.path(markerName)), markerName, filepath.Base(at.path("kopia.blobcfg")))
		saved(t, created(t, o), nil, part("", fileItem("f", "x")))
	})
}

// cleanBut removes what is in a folder, but some.
func cleanBut(t *testing.T, dir string, keep ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		if !slices.Contains(keep, e.Name()) {
			must(t, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
}

func TestForeignKopia(t *testing.T) {
	dir := t.TempDir()
	st, err := filesystem.New(t.Context(), &filesystem.Options{Path: dir}, true)
	must(t, err)
	must(t, kopia.Initialize(t.Context(), st, nil, "password"))
	found, err := Inspect(t.Context(), Location{Folder: dir})
	must(t, err)
	if found.State != Foreign || found.Name != "a kopia repository that uws did not make" {
		t.Errorf("%+v", found)
	}
}

func TestLocationErrors(t *testing.T) {
	s := startS3(t)
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})
	with := func(change func(s *S3)) Location {
		l := s.location()
		change(l.S3)
		return l
	}
	for _, c := range []struct {
		name string
		at   Location
		want Problem
		text string
	}{
		{"no bucket", with(func(s *S3) { s.Bucket = "none" }), Missing, "create it, or correct the name"},
		{"secret key", with(func(s *S3) { s.SecretKey = "wrong" }), Denied, "SignatureDoesNotMatch"},
		{"access key", with(func(s *S3) { s.AccessKey = "wrong" }), Denied, "refuses the access key"},
		{"refused", with(func(s *S3) { s.Endpoint = "http://" + freeAddress(t) }), Unreachable, "connection refused"},
		{"no TLS", with(func(x *S3) { x.Endpoint = "https://" + s.address }), Untrusted, "does not speak TLS"},
		{"unknown CA", with(func(x *S3) { x.Endpoint = secure.URL }), Untrusted, "add its certificate as CA"},
		{"not S3", with(func(x *S3) { x.Endpoint, x.CA = secure.URL, ca }), Missing, ""},
		{"no folder", Location{Folder: filepath.Join(t.TempDir(), "none")}, Missing, "create it, or mount the disk"},
		{"read-only", Location{Folder: mounted(t, "ro,size=1m")}, ReadOnly, "mount it writable"},
		{"full", Location{Folder: filled(t)}, Full, "make room"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := Test(t.Context(), c.at)
			l, ok := errors.AsType[*LocationError](err)
			if !ok || l.Problem != c.want || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%v, want %s %q", err, c.want, c.text)
			}
			if ok && strings.Contains(err.Error(), testSecret) {
				t.Errorf("the secret key is in the error")
			}
		})
	}
	for want, l := range map[string]Location{
		"either": {}, "absolute": {Folder: "backups"}, "endpoint": with(func(s *S3) { s.Endpoint = "host:9000" }),
		"bucket": with(func(s *S3) { s.Bucket = "" }), "prefix": with(func(s *S3) { s.Prefix = "a/../b" }), "CA": with(func(s *S3) { s.CA = []byte("x") }),
	} {
		if err := Test(t.Context(), l); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// mounted returns a folder with a tmpfs of its own.
func mounted(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", options, "tmpfs", dir).CombinedOutput(); err != nil {
		t.Fatalf("mount, which needs root: %v %s", err, out)
	}
	t.Cleanup(func() { must(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	return dir
}

func filled(t *testing.T) string {
	dir := mounted(t, "size=1m")
	must(t, os.WriteFile(filepath.Join(dir, "lost+found"), make([]byte, 1<<20), 0o600))
	return dir
}

// A disk that gets full fails a save with the reason. The repository is sound, and saves again when there is room.
func TestDiskFull(t *testing.T) {
	r := created(t, options(t, Location{Folder: mounted(t, "size=40m")}))
	before := saved(t, r, nil, part("data", fileItem("f", random(5<<20))))
	_, err := r.Save(t.Context(), nil, nil, part("data", fileItem("f", random(60<<20))))
	if l, ok := errors.AsType[*LocationError](err); !ok || l.Problem != Full {
		t.Errorf("%v", err)
	}
	must(t, r.Verify(t.Context(), before.ID, nil))
	must(t, syscall.Mount("tmpfs", r.o.Location.Folder, "tmpfs", syscall.MS_REMOUNT, "size=200m"))
	after := saved(t, r, nil, part("data", fileItem("f", random(60<<20))))
	must(t, r.Verify(t.Context(), after.ID, nil))
}

// A disk that is unmounted fails what is done meanwhile with the reason, and nothing is written below its folder. When it is
// mounted again all goes on.
func TestUnmounted(t *testing.T) {
	disk := mounted(t, "size=40m")
	dir := t.TempDir()
	bind := func() { must(t, syscall.Mount(disk, dir, "", syscall.MS_BIND, "")) }
	unbind := func() { must(t, syscall.Unmount(dir, syscall.MNT_DETACH)) }
	bind()
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	o := options(t, Location{Folder: dir})
	r := created(t, o)
	data := part("data", fileItem("f", random(3<<20)))
	before := saved(t, r, nil, data)
	must(t, r.Put(t.Context(), "wal/1", []byte("x")))
	unbind()
	_, saving := r.Save(t.Context(), nil, nil, part("data", fileItem("f", random(3<<20))))
	_, getting := r.Get(t.Context(), "wal/1")
	_, listing := r.Names(t.Context(), "wal/")
	for what, err := range map[string]error{
		"save": saving, "get": getting, "list": listing, "verify": r.Verify(t.Context(), before.ID, nil), "put": r.Put(t.Context(), "wal/2", []byte("x")),
		"extract": r.Extract(t.Context(), before.ID, "", io.Discard, nil),
	} {
		if l, ok := errors.AsType[*LocationError](err); !ok || l.Problem != Missing || !strings.Contains(err.Error(), "mount the disk") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := Open(t.Context(), o); !errors.Is(err, ErrNone) || !strings.Contains(err.Error(), "mount the disk") {
		t.Errorf("opening: %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("below the mount point: %v, %v", left, err)
	}
	bind()
	after := saved(t, r, nil, part("data", fileItem("f", random(3<<20))))
	must(t, r.Verify(t.Context(), before.ID, nil), r.Verify(t.Context(), after.ID, nil))
}

// A copy of a folder is a repository as well, also one that cannot be written.
func TestCopiedReadOnly(t *testing.T) {
	o := options(t, Location{Folder: t.TempDir()})
	r := created(t, o)
	data := part("data", fileItem("f", random(3<<20)))
	s := saved(t, r, nil, data)
	must(t, r.Put(t.Context(), "wal/1", []byte("x")))
	o.Location.Folder = mounted(t, "size=40m")
	must(t, os.CopyFS(o.Location.Folder, os.DirFS(r.o.Location.Folder)))
	must(t, syscall.Mount("tmpfs", o.Location.Folder, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
	found, err := Inspect(t.Context(), o.Location)
	must(t, err)
	if found.State != Ours || found.ID != "id-of-this" {
		t.Errorf("%+v", found)
	}
	c := opened(t, o)
	must(t, c.Verify(t.Context(), s.ID, nil), c.Extract(t.Context(), s.ID, "data", io.Discard, nil))
	if got, err := c.Get(t.Context(), "wal/1"); err != nil || string(got) != "x" {
		t.Errorf("%q %v", got, err)
	}
	_, err = c.Save(t.Context(), nil, nil, data, part("more", fileItem("g", random(1<<20))))
	if l, ok := errors.AsType[*LocationError](err); !ok || l.Problem != ReadOnly {
		t.Errorf("%v", err)
	}
}

// A file system that does not answer, here a FIFO without a writer, is given up after the timeout.
func TestFolderHangs(t *testing.T) {
	o := options(t, Location{Folder: t.TempDir()})
	o.Timeout = 200 * time.Millisecond
	r := created(t, o)
	must(t, r.Put(t.Context(), "wal/1", []byte("x")))
	path := filepath.Join(o.Location.Folder, objectPrefix, "wal/1")
	must(t, os.Remove(path), syscall.Mkfifo(path, 0o600))
	_, err := r.Get(t.Context(), "wal/1")
	if l, ok := errors.AsType[*LocationError](err); !ok || l.Problem != Silent {
		t.Errorf("%v", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|syscall.O_NONBLOCK, 0) // lets the reader go on
	must(t, err, f.Close())
}

// The files that kopia wants hold no secrets.
func TestScratchHasNoSecrets(t *testing.T) {
	s := startS3(t)
	o := options(t, s.location())
	r := created(t, o)
	saved(t, r, nil, part("", fileItem("f", "x")))
	must(t, filepath.WalkDir(o.Scratch, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		for _, secret := range []string{testSecret, o.Key.Text(), string(o.Key[:])} {
			if strings.Contains(string(text), secret) {
				t.Errorf("%s has a secret", path)
			}
		}
		return err
	}))
	must(t, os.RemoveAll(o.Scratch)) // it can be deleted
	if _, err := Open(context.WithoutCancel(t.Context()), o); err != nil {
		t.Error(err)
	}
}
