package postgres

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/unicorn-web-services/uws/orchestrator/backup/method"
)

const secret = "s3cretOfTheTest"

// programs returns the folder of PostgreSQL's programs: $UWS_TEST_POSTGRES for another version than that of uws, or in
// $UWS_TEST_ENGINES or build/engines.
func programs(t testing.TB) string {
	t.Helper()
	if dir := os.Getenv("UWS_TEST_POSTGRES"); dir != "" {
		return dir
	}
	dir := os.Getenv("UWS_TEST_ENGINES")
	if dir == "" {
		dir, _ = filepath.Abs("../../../../build/engines")
	}
	dir = filepath.Join(dir, "postgres-18.4/bin")
	if _, err := os.Stat(dir); err != nil {
		t.Fatalf("%v (make engines builds it)", err)
	}
	return dir
}

// server is the data of a PostgreSQL, and its process if it runs.
type server struct {
	t    testing.TB
	dir  string // PGDATA
	at   method.Instance
	cmd  *exec.Cmd
	logs *bytes.Buffer
}

// unprivileged has a command run as nobody if the test runs as root, which PostgreSQL refuses, and gives it a folder.
func unprivileged(t testing.TB, cmd *exec.Cmd, dir string) {
	t.Helper()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		return
	}
	const nobody = 65534
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, nobody, nobody)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// empty returns a server whose PGDATA has nothing in it.
func empty(t testing.TB) *server {
	t.Helper()
	dir, err := os.MkdirTemp("", "uws-method-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := errors.Join(os.Chmod(dir, 0o711), os.Mkdir(dir+"/data", 0o700)); err != nil {
		t.Fatal(err)
	}
	return &server{t: t, dir: dir + "/data", logs: &bytes.Buffer{}, at: method.Instance{Address: freeAddress(t), Credentials: map[string]string{
		"user": "uws", "password": "of the user", "database": "postgres", "adminUser": "uws_admin", "adminPassword": secret,
	}}}
}

// launch returns a new server that runs, set up as uws does.
func launch(t testing.TB, args ...string) *server {
	t.Helper()
	s := empty(t)
	password := filepath.Join(filepath.Dir(s.dir), "password")
	if err := os.WriteFile(password, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(programs(t)+"/initdb", "-D", s.dir, "-U", "uws_admin", "--pwfile", password, "--auth", "scram-sha-256", "--no-sync",
		"--encoding", "UTF8", "--locale", "C", "--data-checksums")
	cmd.Env, cmd.Dir = []string{}, "/"
	unprivileged(t, cmd, filepath.Dir(s.dir))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s.start(args...)
	s.exec("postgres", `CREATE DATABASE uws_admin`)
	return s
}

// start runs the server until the test ends. It returns once the server answers.
func (s *server) start(args ...string) {
	s.t.Helper()
	host, port, err := net.SplitHostPort(s.at.Address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.cmd = exec.Command(programs(s.t)+"/postgres", append([]string{
		"-D", s.dir, "-c", "listen_addresses=" + host, "-c", "port=" + port, "-c", "unix_socket_directories=",
		"-c", "shared_buffers=16MB", "-c", "fsync=off", "-c", "timezone=UTC", "-c", "log_timezone=UTC", "-c", "lc_messages=C",
	}, args...)...)
	s.cmd.Stdout, s.cmd.Stderr, s.cmd.Env, s.cmd.Dir = s.logs, s.logs, []string{}, "/"
	s.cmd.WaitDelay = time.Second // its children keep the output open
	unprivileged(s.t, s.cmd, s.dir)
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		s.kill(syscall.SIGQUIT)
		if s.t.Failed() {
			text := s.logs.String()
			s.t.Logf("postgres wrote:\n%s", text[max(0, len(text)-3000):])
		}
	})
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := s.connect(ctx, "postgres")
		if err == nil {
			_ = c.Close(ctx)
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			s.t.Fatalf("the server never answered: %v\n%s", err, s.logs)
		}
	}
}

// kill ends the server, once.
func (s *server) kill(signal os.Signal) {
	if s.cmd != nil && s.cmd.ProcessState == nil {
		_ = s.cmd.Process.Signal(signal)
		_ = s.cmd.Wait()
	}
}

func (s *server) connect(ctx context.Context, database string) (*pgx.Conn, error) {
	return pgx.Connect(ctx, fmt.Sprintf("postgres://uws_admin:%s@%s/%s?sslmode=disable", secret, s.at.Address, url.PathEscape(database)))
}

func (s *server) exec(database, sql string) {
	s.t.Helper()
	c, err := s.connect(s.t.Context(), database)
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close(s.t.Context())
	if _, err = c.Exec(s.t.Context(), sql); err != nil {
		s.t.Fatalf("%.200s: %v", sql, err)
	}
}

func (s *server) text(database, query string) string {
	s.t.Helper()
	c, err := s.connect(s.t.Context(), database)
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close(s.t.Context())
	var text string
	if err := c.QueryRow(s.t.Context(), query).Scan(&text); err != nil {
		s.t.Fatalf("%.200s: %v", query, err)
	}
	return text
}

// save returns a backup.
func (s *server) save() ([]byte, method.Saved) {
	s.t.Helper()
	var archive bytes.Buffer
	saved, err := Method{}.Save(s.t.Context(), s.at, &archive, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return archive.Bytes(), saved
}

// restore unpacks a prepared archive as the data of a new server, which does not run yet.
func restore(t testing.TB, prepared io.Reader) *server {
	t.Helper()
	s := empty(t)
	unpack(t, prepared, s.dir)
	return s
}

func unpack(t testing.TB, archive io.Reader, dir string) {
	t.Helper()
	for in := tar.NewReader(archive); ; {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(dir, header.Name)
		if header.Typeflag == tar.TypeDir {
			if err := os.MkdirAll(name, header.FileInfo().Mode().Perm()); err != nil {
				t.Fatal(err)
			}
			continue
		}
		f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, header.FileInfo().Mode().Perm())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(f, in); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// prepare returns an archive that is made ready.
func prepare(t testing.TB, archive []byte, how Restore) *bytes.Buffer {
	t.Helper()
	var prepared bytes.Buffer
	if err := Prepare(bytes.NewReader(archive), &prepared, how); err != nil {
		t.Fatal(err)
	}
	return &prepared
}

// names returns the names of an archive's entries.
func names(t testing.TB, archive []byte) string {
	t.Helper()
	var all []string
	for in := tar.NewReader(bytes.NewReader(archive)); ; {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			return strings.Join(all, "\n")
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, header.Name)
	}
}
