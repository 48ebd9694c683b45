package s3

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/unicorn-web-services/uws/orchestrator/backup/method"
)

func program(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("UWS_TEST_ENGINES")
	if dir == "" {
		dir, _ = filepath.Abs("../../../../build/engines")
	}
	path := filepath.Join(dir, "versitygw-1.8.0/versitygw")
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v (make engines builds it)", err)
	}
	return path
}

// server is an S3 server that runs until the test ends, and the stock client.
type server struct {
	*minio.Client
	t   testing.TB
	dir string // of the buckets
	at  method.Instance
	cmd *exec.Cmd
}

func launch(t testing.TB) *server {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address, dir := l.Addr().String(), t.TempDir()
	_ = l.Close()
	if err := errors.Join(os.Mkdir(dir+"/meta", 0o700), os.Mkdir(dir+"/buckets", 0o700)); err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, dir: dir + "/buckets", at: method.Instance{Address: address, Credentials: map[string]string{"accessKey": "accessKeyOfTheTest", "secretKey": "s3cretOfTheTest"}}}
	s.cmd = exec.Command(program(t), "--port", address, "--quiet", "posix", "--sidecar", dir+"/meta", dir+"/buckets")
	s.cmd.Env = []string{"ROOT_ACCESS_KEY=accessKeyOfTheTest", "ROOT_SECRET_KEY=s3cretOfTheTest"}
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var out bytes.Buffer
	s.cmd.Stdout, s.cmd.Stderr = &out, &out
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		if t.Failed() {
			t.Logf("versitygw wrote:\n%.2000s", out.String())
		}
	})
	c, err := Method{}.client(s.at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	s.Client = c.Client
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		_, err := s.ListBuckets(ctx)
		if err == nil {
			return s
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}

func (s *server) bucket(name string) {
	s.t.Helper()
	if err := s.MakeBucket(s.t.Context(), name, minio.MakeBucketOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) put(bucket, key string, content []byte, options minio.PutObjectOptions) {
	s.t.Helper()
	if _, err := s.PutObject(s.t.Context(), bucket, key, bytes.NewReader(content), int64(len(content)), options); err != nil {
		s.t.Fatalf("%q: %v", key, err)
	}
}

func (s *server) save() ([]byte, method.Saved) {
	s.t.Helper()
	var out bytes.Buffer
	saved, err := Method{}.Save(s.t.Context(), s.at, &out, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return out.Bytes(), saved
}

func (s *server) buckets() int {
	s.t.Helper()
	all, err := s.ListBuckets(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return len(all)
}
