package repo

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// place is a location whose objects can be changed behind the back of the repository.
type place struct {
	Location
	path func(name string) string // of the file with an object
}

func folderPlace(t testing.TB) place {
	f := newFolder(t.TempDir())
	return place{Location{Folder: f.root}, func(name string) string {
		path, err := f.path(name)
		must(t, err)
		return path
	}}
}

func (s *server) place() place {
	return place{s.location(), func(name string) string { return filepath.Join(s.buckets, "backups/uws/one", name) }}
}

// onEach runs a test on a folder and on a real S3 server.
func onEach(t *testing.T, test func(t *testing.T, p place)) {
	t.Run("folder", func(t *testing.T) { test(t, folderPlace(t)) })
	t.Run("s3", func(t *testing.T) { test(t, startS3(t).place()) })
}

// server is a versitygw.
type server struct {
	address string
	buckets string // the folder of its buckets
	process *os.Process
}

const testSecret = "a secret of 32 characters, or so"

func (s *server) location() Location {
	return Location{S3: &S3{Endpoint: "http://" + s.address, Region: "us-east-1", Bucket: "backups", Prefix: "uws/one", AccessKey: "root", SecretKey: testSecret}}
}

func engine(t testing.TB, path string) string {
	t.Helper()
	dir := os.Getenv("UWS_TEST_ENGINES")
	if dir == "" {
		dir, _ = filepath.Abs("../../../build/engines")
	}
	full := filepath.Join(dir, path)
	if _, err := os.Stat(full); err != nil {
		t.Fatalf("%v (make engines builds it)", err)
	}
	return full
}

// startS3 starts a server with a bucket "backups", until the test ends.
func startS3(t testing.TB) *server {
	t.Helper()
	path, dir := engine(t, "versitygw-1.8.0/versitygw"), t.TempDir()
	s := &server{address: freeAddress(t), buckets: filepath.Join(dir, "buckets")}
	must(t, os.Mkdir(filepath.Join(dir, "meta"), 0o700), os.MkdirAll(filepath.Join(s.buckets, "backups"), 0o700))
	var out bytes.Buffer
	cmd := exec.Command(path, "--port", s.address, "--quiet", "posix", "--sidecar", filepath.Join(dir, "meta"), s.buckets)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = []string{"ROOT_ACCESS_KEY=root", "ROOT_SECRET_KEY=" + testSecret}, "/", &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	must(t, cmd.Start())
	s.process = cmd.Process
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("versitygw wrote:\n%s", out.String())
		}
	})
	s.awaitAnswer(t)
	return s
}

func (s *server) awaitAnswer(t testing.TB) {
	t.Helper()
	c, err := minio.New(s.address, &minio.Options{Creds: credentials.NewStaticV4("root", testSecret, ""), Region: "us-east-1", MaxRetries: 1})
	must(t, err)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		if ok, err := c.BucketExists(ctx, "backups"); err == nil && ok {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal("versitygw does not answer")
		case <-tick.C:
		}
	}
}

func freeAddress(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().String()
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func options(t testing.TB, l Location) Options {
	return Options{Location: l, Key: NewKey(), Scratch: t.TempDir(), Timeout: 10 * time.Second}
}

// created returns a new repository, which is closed at the end of the test.
func created(t testing.TB, o Options) *Repository {
	t.Helper()
	must(t, Create(t.Context(), o, "id-of-this"))
	return opened(t, o)
}

func opened(t testing.TB, o Options) *Repository {
	t.Helper()
	r, err := Open(t.Context(), o)
	must(t, err)
	t.Cleanup(func() {
		if err := r.Close(context.Background()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return r
}

// clock is that of this machine, and some more.
type clock struct{ more atomic.Int64 }

func (c *clock) now() time.Time      { return time.Now().Add(time.Duration(c.more.Load())) }
func (c *clock) add(d time.Duration) { c.more.Add(int64(d)) }

// item is an entry of a tar stream.
type item struct {
	h    tar.Header
	data string
}

func folderItem(name string, mode int64) item {
	return item{h: tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: mode, ModTime: someTime, Uid: 7, Gid: 8}}
}

func fileItem(name, data string) item {
	return item{h: tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o640, ModTime: someTime, Uid: 7, Gid: 8}, data: data}
}

var someTime = time.Date(2026, 3, 4, 5, 6, 7, 890_000_000, time.UTC)

// part returns a part of these items.
func part(dir string, items ...item) Part {
	return Part{Dir: dir, Write: func(_ context.Context, w io.Writer) error {
		t := tar.NewWriter(w)
		for _, i := range items {
			h := i.h
			h.Size, h.Format = int64(len(i.data)), tar.FormatPAX
			if err := t.WriteHeader(&h); err != nil {
				return err
			}
			if _, err := io.WriteString(t, i.data); err != nil {
				return err
			}
		}
		return t.Close()
	}}
}

func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return string(b)
}

// describe returns what is in a tar stream, by name.
func describe(t testing.TB, stream io.Reader) map[string]string {
	t.Helper()
	all := map[string]string{}
	for r := tar.NewReader(stream); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		must(t, err)
		data, err := io.ReadAll(r)
		must(t, err)
		text := fmt.Sprintf("%c %o %d:%d %s", h.Typeflag, h.Mode, h.Uid, h.Gid, h.ModTime.UTC().Format(time.RFC3339Nano))
		for _, more := range []string{h.Linkname, fmt.Sprint(h.Devmajor, h.Devminor)} {
			text += " " + more
		}
		for k, v := range h.PAXRecords {
			if strings.HasPrefix(k, xattrPrefix) {
				text += fmt.Sprintf(" %s=%q", k, v)
			}
		}
		if _, twice := all[h.Name]; twice {
			t.Errorf("%s is twice in the archive", h.Name)
		}
		all[h.Name] = text + " " + string(data)
	}
}

func extract(t testing.TB, r *Repository, id, dir string) map[string]string {
	t.Helper()
	var b bytes.Buffer
	must(t, r.Extract(t.Context(), id, dir, &b, nil))
	return describe(t, &b)
}

func saved(t testing.TB, r *Repository, labels map[string]string, parts ...Part) Snapshot {
	t.Helper()
	s, err := r.Save(t.Context(), labels, nil, parts...)
	must(t, err)
	return s
}

func streamOf(t testing.TB, p Part) map[string]string {
	t.Helper()
	var b bytes.Buffer
	must(t, p.Write(t.Context(), &b))
	return describe(t, &b)
}
