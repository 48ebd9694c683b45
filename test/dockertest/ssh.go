package dockertest

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// SSHKey creates a key pair: the private key in PEM, and the public key as a line of authorized_keys.
func SSHKey(t testing.TB) (private, public string) {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	line, err := ssh.NewPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(block)), strings.TrimSpace(string(ssh.MarshalAuthorizedKey(line)))
}

// SSHServer is a real sshd on loopback. Root can log in.
type SSHServer struct {
	Address string // host:port
	HostKey string // public key, as a line
	Login   string // private key of root's login

	t      testing.TB
	config string
	cmd    *exec.Cmd
}

// StartSSH starts an sshd with additional configuration lines, which override the default ones. It is stopped when the test
// ends.
func StartSSH(t testing.TB, options ...string) *SSHServer {
	t.Helper()
	if _, err := os.Stat("/usr/sbin/sshd"); err != nil {
		t.Fatalf("NOT TESTED: %v; `make test` installs what tests need (tools/openssh-server)", err)
	}
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	port := FreePort(t)
	private, public := SSHKey(t)
	hostPrivate, hostPublic := SSHKey(t)
	s := &SSHServer{t: t, Address: "127.0.0.1:" + port, HostKey: hostPublic, Login: private}
	s.config = write("config", strings.Join(append(options,
		"ListenAddress 127.0.0.1", "Port "+port, "PidFile none", "StrictModes no", "PermitRootLogin prohibit-password",
		"HostKey "+write("host", hostPrivate), "AuthorizedKeysFile "+write("keys", public+"\n")), "\n")+"\n")
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
		t.Fatal(err)
	}
	s.Up()
	t.Cleanup(s.Down)
	return s
}

// FreePort returns a free port of loopback.
func FreePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// Up starts the server and waits until it listens.
func (s *SSHServer) Up() {
	s.t.Helper()
	s.cmd = exec.CommandContext(context.Background(), "/usr/sbin/sshd", "-D", "-e", "-f", s.config)
	if testing.Verbose() {
		s.cmd.Stderr = os.Stderr
	}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	deadline := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if conn, err := net.Dial("tcp", s.Address); err == nil {
			conn.Close()
			return
		}
		select {
		case <-deadline:
			s.t.Fatalf("sshd does not listen after %v", patience)
		case <-tick.C:
		}
	}
}

// Down ends the server and all its connections.
func (s *SSHServer) Down() {
	for _, pid := range s.Sessions() {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// Sessions returns the processes of the server, one for each connection.
func (s *SSHServer) Sessions() []int {
	out, _ := exec.CommandContext(context.Background(), "pgrep", "-P", fmt.Sprint(s.cmd.Process.Pid)).Output()
	var pids []int
	for line := range strings.Lines(string(out)) {
		var pid int
		if _, err := fmt.Sscan(line, &pid); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}
