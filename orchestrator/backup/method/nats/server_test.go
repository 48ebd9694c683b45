package nats

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/unicorn-web-services/uws/orchestrator/backup/method"
)

const secret = "s3cretOfTheTest"

func program(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("UWS_TEST_ENGINES")
	if dir == "" {
		dir, _ = filepath.Abs("../../../../build/engines")
	}
	path := filepath.Join(dir, "nats-2.15.2/nats-server")
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v (make engines builds it)", err)
	}
	return path
}

// server is a NATS server that runs until the test ends.
type server struct {
	t   testing.TB
	at  method.Instance
	cmd *exec.Cmd
	js  jetstream.JetStream
}

func launch(t testing.TB) *server {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address, dir := l.Addr().String(), t.TempDir()
	_ = l.Close()
	conf := fmt.Sprintf("listen: %q\nauthorization { user: uws, password: %q }\njetstream { store_dir: %q, max_memory_store: 256MB, max_file_store: 1TB }\n", address, secret, dir)
	if err := os.WriteFile(dir+"/nats.conf", []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, at: method.Instance{Address: address, Credentials: map[string]string{"user": "uws", "password": secret}}}
	s.cmd = exec.Command(program(t), "--config", dir+"/nats.conf")
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
			t.Logf("nats-server wrote:\n%.3000s", out.String())
		}
	})
	conn, err := nats.Connect("nats://"+address, nats.UserInfo("uws", secret), nats.RetryOnFailedConnect(true), nats.MaxReconnects(500), nats.ReconnectWait(10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	if s.js, err = jetstream.New(conn); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		_, err := s.js.AccountInfo(ctx)
		if err == nil {
			return s
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}

func (s *server) stream(c jetstream.StreamConfig) jetstream.Stream {
	s.t.Helper()
	stream, err := s.js.CreateStream(s.t.Context(), c)
	if err != nil {
		s.t.Fatal(err)
	}
	return stream
}

func (s *server) publish(subject string, n int) {
	s.t.Helper()
	for i := range n {
		if _, err := s.js.PublishAsync(subject, fmt.Appendf(nil, "message %d", i)); err != nil {
			s.t.Fatal(err)
		}
	}
	select {
	case <-s.js.PublishAsyncComplete():
	case <-time.After(time.Minute):
		s.t.Fatal("publishing took too long")
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

func (s *server) names() []string {
	s.t.Helper()
	var all []string
	list := s.js.StreamNames(s.t.Context())
	for name := range list.Name() {
		all = append(all, name)
	}
	if list.Err() != nil {
		s.t.Fatal(list.Err())
	}
	return all
}

func checked(t *testing.T, s *server, saved method.Saved, failures ...string) {
	t.Helper()
	report, err := Method{}.Check(t.Context(), s.at, saved)
	if err != nil || !reflect.DeepEqual(report.Failures, failures) {
		t.Errorf("%+v, %v, want %q", report, err, failures)
	}
}
