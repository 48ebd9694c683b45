package endpoint

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/events"
	"golang.org/x/crypto/ssh"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/test/dockertest"
)

func newLogin(t *testing.T) *SSH {
	private, public := dockertest.SSHKey(t)
	return &SSH{PrivateKey: driver.Secret(private), HostKey: public}
}

func lockedKey(t *testing.T) driver.Secret {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKeyWithPassphrase(key, "", []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	return driver.Secret(pem.EncodeToMemory(block))
}

// through reaches an engine's socket through an ssh server.
func through(s *dockertest.SSHServer, engine string) Connection {
	return Connection{
		Endpoint: "ssh://root@" + s.Address + strings.TrimPrefix(engine, "unix://"),
		SSH:      &SSH{PrivateKey: driver.Secret(s.Login), HostKey: s.HostKey},
	}
}

// eventually waits for a condition, for as long as a loaded machine may need.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("not within 30 s: %s", what)
		case <-tick.C:
		}
	}
}

func TestSSH(t *testing.T) {
	engine := start(t)
	server := dockertest.StartSSH(t)
	c := through(server, engine.Host)
	use(t, c)
	eventually(t, "the connection is closed with its client", func() bool { return len(server.Sessions()) == 0 })

	with := func(edit func(*Connection, *SSH)) Connection {
		changed, keys := c, *c.SSH
		edit(&changed, &keys)
		changed.SSH = &keys
		return changed
	}
	stranger, rsaLine := newLogin(t), rsaKey(t)
	fingerprint := ssh.FingerprintSHA256(publicKey(t, server.HostKey))
	for _, tt := range []struct {
		name  string
		c     Connection
		class driver.Class
		field string
		want  []string
	}{
		{"no host key", with(func(_ *Connection, s *SSH) { s.HostKey = "" }), driver.Invalid, "ssh.hostKey", []string{"is missing", server.HostKey, fingerprint, "ssh-keygen -lf"}},
		{"another host key", with(func(_ *Connection, s *SSH) { s.HostKey = stranger.HostKey }), driver.Unreachable, "ssh.hostKey", []string{"another key than the one that was given", server.HostKey, fingerprint}},
		{"another type of host key", with(func(_ *Connection, s *SSH) { s.HostKey = rsaLine }), driver.Unreachable, "ssh.hostKey", []string{"no host key of the type that was given (rsa-sha2-512"}},
		{"not our key", with(func(_ *Connection, s *SSH) { s.PrivateKey = stranger.PrivateKey }), driver.Unreachable, "ssh.privateKey", []string{"refuses the login of root", "~root/.ssh/authorized_keys"}},
		{"not a user", with(func(c *Connection, _ *SSH) { c.Endpoint = strings.Replace(c.Endpoint, "root@", "nobody@", 1) }), driver.Unreachable, "ssh.privateKey", []string{"refuses the login of nobody"}},
		{"no socket", with(func(c *Connection, _ *SSH) { c.Endpoint += "x" }), driver.Unreachable, "endpoint", []string{"docker.sockx there", "usermod -aG docker root"}},
	} {
		t.Run(tt.name, func(t *testing.T) { wantError(t, check(t, tt.c), tt.class, tt.field, tt.want...) })
	}
	t.Run("keyscan", func(t *testing.T) { // what ssh-keyscan prints will do as it is
		if err := check(t, with(func(_ *Connection, s *SSH) {
			s.HostKey = "# 127.0.0.1:22 SSH-2.0\n[127.0.0.1]:22 " + rsaLine + "\n[127.0.0.1]:22 " + server.HostKey + "\n"
		})); err != nil {
			t.Error(err)
		}
	})
	eventually(t, "all connections are closed", func() bool { return len(server.Sessions()) == 0 })
}

// rsaKey makes a public key of another type than the others.
func rsaKey(t *testing.T) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	line, err := ssh.NewPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(line)))
}

func publicKey(t *testing.T, line string) ssh.PublicKey {
	t.Helper()
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestSSHForwardingRefused(t *testing.T) {
	engine := start(t)
	server := dockertest.StartSSH(t, "AllowStreamLocalForwarding no")
	wantError(t, check(t, through(server, engine.Host)), driver.Unreachable, "endpoint", "AllowStreamLocalForwarding")
}

// One connection serves all streams, and is replaced when it broke or its peer is dead.
func TestSSHConnectionIsShared(t *testing.T) {
	t.Parallel()
	engine := start(t)
	server := dockertest.StartSSH(t)
	cli, err := through(server, engine.Host).Dial()
	if err != nil {
		t.Fatal(err)
	}
	defer cli.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	if err := Check(ctx, cli); err != nil {
		t.Fatal(err)
	}
	_, failed := cli.Events(ctx, events.ListOptions{})
	for range 5 {
		if err := Check(ctx, cli); err != nil {
			t.Fatal(err)
		}
	}
	sessions := server.Sessions()
	if len(sessions) != 1 {
		t.Errorf("connections: %v", sessions)
	}
	server.Down()
	if err := <-failed; err == nil {
		t.Error("the stream of events did not end with its connection")
	} else {
		wantError(t, Explain(err), driver.Unreachable, "endpoint", "broke")
	}
	err = Check(ctx, cli)
	wantError(t, err, driver.Unreachable, "endpoint", "refused the connection")
	server.Up()
	if err := Check(ctx, cli); err != nil {
		t.Error(err)
	}

	// A peer that is there but does not answer: its streams end after a while.
	_, failed = cli.Events(ctx, events.ListOptions{})
	if err := Check(ctx, cli); err != nil {
		t.Error(err)
	}
	began := time.Now()
	for _, pid := range server.Sessions() {
		script(t, fmt.Sprintf("kill -STOP %d $(pgrep -P %d)", pid, pid))
	}
	if err := <-failed; err == nil || ctx.Err() != nil {
		t.Errorf("a dead peer was not noticed: %v", err)
	}
	if took := time.Since(began); took > keepAliveInterval+keepAliveTimeout+5*time.Second {
		t.Errorf("it was noticed after %v", took)
	}
	if err := Check(ctx, cli); err != nil {
		t.Error(err)
	}
}
