package endpoint

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// The streams of a dead peer end after at most the sum of both.
const (
	keepAliveInterval = 10 * time.Second
	keepAliveTimeout  = 10 * time.Second
)

// config returns the settings for the login at to.
// Errors: [driver.Invalid], with the field. They do not quote keys.
func (s SSH) config(to target) (*ssh.ClientConfig, error) {
	if s.PrivateKey == "" {
		return nil, invalid("ssh.privateKey", "is missing: give the private key, in PEM, with which %s logs in at %s", printable(to.user), to.host)
	}
	signer, err := ssh.ParsePrivateKey([]byte(s.PrivateKey))
	if _, locked := errors.AsType[*ssh.PassphraseMissingError](err); locked {
		return nil, invalid("ssh.privateKey", "is protected by a passphrase; give one without, which may be a key for uws alone")
	}
	if err != nil { // its text may quote the key
		return nil, invalid("ssh.privateKey", "must be a private key in PEM: lines from -----BEGIN OPENSSH PRIVATE KEY----- to -----END OPENSSH PRIVATE KEY-----")
	}
	known, err := parseHostKeys(s.HostKey)
	if err != nil {
		return nil, err
	}
	config := &ssh.ClientConfig{
		User: to.user, Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)},
		HostKeyCallback: checkHostKey(to.host, known),
	}
	for _, key := range known { // or a host with keys of several types may show one of another type
		config.HostKeyAlgorithms = append(config.HostKeyAlgorithms, algorithmsOf(key.Type())...)
	}
	return config, nil
}

// parseHostKeys parses lines of a known_hosts or an authorized_keys file. Empty text has no keys and is no error.
func parseHostKeys(text string) ([]ssh.PublicKey, error) {
	var keys []ssh.PublicKey
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
		if err != nil {
			return nil, invalid("ssh.hostKey", `must be lines such as "ssh-ed25519 AAAA…", as ssh-keyscan HOST prints them`)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func algorithmsOf(keyType string) []string {
	if keyType == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	return []string{keyType}
}

func checkHostKey(host string, known []ssh.PublicKey) ssh.HostKeyCallback {
	return func(_ string, _ net.Addr, shown ssh.PublicKey) error {
		line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(shown)))
		if len(known) == 0 {
			return invalid("ssh.hostKey", "is missing. %s shows the key %q with the fingerprint %s: compare that with what ssh-keygen -lf prints for a file /etc/ssh/ssh_host_*.pub there, and give the key if they are equal",
				host, line, ssh.FingerprintSHA256(shown))
		}
		for _, key := range known {
			if bytes.Equal(key.Marshal(), shown.Marshal()) {
				return nil
			}
		}
		return driver.FieldError(driver.Unreachable, "ssh.hostKey", "%s shows another key than the one that was given: %q with the fingerprint %s. Either its keys were replaced, or somebody intercepts the connection",
			host, line, ssh.FingerprintSHA256(shown))
	}
}

// tunnel dials a socket on another host through one ssh connection, which all streams share. The connection is closed with
// the last stream. After it broke, the next stream opens a new one.
type tunnel struct {
	to     target
	config *ssh.ClientConfig
	turn   chan struct{} // holds one token, for using or making the connection

	mu      sync.Mutex
	current *sshConn // nil when there is none
}

// sshConn is one connection of ssh.
type sshConn struct {
	*ssh.Client
	streams int // open or being opened; guarded by tunnel.mu
}

func newTunnel(to target, config *ssh.ClientConfig) *tunnel {
	t := &tunnel{to: to, config: config, turn: make(chan struct{}, 1)}
	t.turn <- struct{}{}
	return t
}

// dial opens a stream. It classifies its errors.
func (t *tunnel) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	for try := 0; ; try++ {
		conn, fresh, err := t.acquire(ctx)
		if err != nil {
			return nil, err
		}
		stream, err := conn.DialContext(ctx, "unix", t.to.socket)
		if err == nil {
			return &sshStream{Conn: stream, done: sync.OnceFunc(func() { t.release(conn) })}, nil
		}
		_, isRefused := errors.AsType[*ssh.OpenChannelError](err)
		switch {
		case isRefused:
			t.release(conn)
			return nil, t.explainRefusal(err)
		case ctx.Err() != nil:
			t.release(conn)
			return nil, Explain(ctx.Err())
		}
		t.drop(conn)
		t.release(conn)
		if fresh || try > 0 {
			return nil, unreachable("endpoint", err, "%s broke the connection", t.to.address)
		}
	}
}

// acquire adds a stream to the connection, which it makes if there is none.
func (t *tunnel) acquire(ctx context.Context) (conn *sshConn, fresh bool, err error) {
	select {
	case <-t.turn:
		defer func() { t.turn <- struct{}{} }()
	case <-ctx.Done():
		return nil, false, Explain(ctx.Err())
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current == nil {
		t.mu.Unlock()
		made, err := t.connect(ctx)
		t.mu.Lock()
		if err != nil {
			return nil, false, err
		}
		t.current, fresh = made, true
	}
	t.current.streams++
	return t.current, fresh, nil
}

// release removes a stream from the connection, and closes the connection after the last one.
func (t *tunnel) release(conn *sshConn) {
	t.mu.Lock()
	conn.streams--
	last := conn.streams == 0
	if last && t.current == conn {
		t.current = nil
	}
	t.mu.Unlock()
	if last {
		_ = conn.Close()
	}
}

// drop makes the next stream open another connection.
func (t *tunnel) drop(conn *sshConn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current == conn {
		t.current = nil
	}
}

// connect logs in. Goroutines watch the connection until it ends.
func (t *tunnel) connect(ctx context.Context) (*sshConn, error) {
	raw, err := dialer{network: "tcp", address: t.to.address}.dial(ctx, "", "")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	cut := context.AfterFunc(ctx, func() { _ = raw.Close() })
	conn, channels, requests, err := ssh.NewClientConn(raw, t.to.address, t.config)
	if !cut() && err == nil { // it was closed meanwhile
		err = ctx.Err()
	}
	if err != nil {
		_ = raw.Close()
		return nil, t.explainLogin(ctx, err)
	}
	made := &sshConn{Client: ssh.NewClient(conn, channels, requests)}
	ended := make(chan struct{})
	go func() {
		_ = made.Wait()
		t.drop(made)
		close(ended)
	}()
	go keepAlive(made.Client, ended)
	return made, nil
}

// keepAlive closes the connection if its peer does not answer. It returns when the connection has ended.
func keepAlive(conn *ssh.Client, ended <-chan struct{}) {
	tick := time.NewTicker(keepAliveInterval)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			return
		case <-tick.C:
		}
		late := time.AfterFunc(keepAliveTimeout, func() { _ = conn.Close() })
		_, _, err := conn.SendRequest("keepalive@openssh.com", true, nil)
		late.Stop()
		if err != nil {
			_ = conn.Close()
			return
		}
	}
}

func (t *tunnel) explainLogin(ctx context.Context, err error) error {
	if classified, ok := errors.AsType[*driver.Error](err); ok { // of checkHostKey
		return classified
	}
	say := func(field, format string, args ...any) error { return unreachable(field, err, format, args...) }
	algorithms, noneInCommon := errors.AsType[*ssh.AlgorithmNegotiationError](err)
	text := err.Error()
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	case ctx.Err() != nil:
		return say("endpoint", "%s accepts connections, but the login by ssh was not done in time", t.to.address)
	case strings.Contains(text, "unable to authenticate"):
		return say("ssh.privateKey", "%s refuses the login of %s with the key that was given: its public key must be in ~%s/.ssh/authorized_keys there", t.to.address, t.to.user, t.to.user)
	case noneInCommon && strings.Contains(text, "host key"):
		return say("ssh.hostKey", "%s has no host key of the type that was given (%s)", t.to.address, strings.Join(t.config.HostKeyAlgorithms, ", "))
	case noneInCommon:
		return driver.FieldError(driver.Unreachable, "endpoint", "uws and %s have no way in common to encrypt: %w", t.to.address, algorithms)
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, net.ErrClosed):
		return say("endpoint", "%s ended the connection during the login by ssh; is it an ssh server?", t.to.address)
	case strings.Contains(text, "overflow reading version string"), strings.Contains(text, "invalid characters in version"):
		return say("endpoint", "what answers at %s does not speak ssh", t.to.address)
	}
	return driver.FieldError(driver.Unreachable, "endpoint", "the login by ssh at %s failed: %w", t.to.address, err)
}

// explainRefusal returns an error with all possible causes, which OpenSSH does not tell apart.
func (t *tunnel) explainRefusal(err error) error {
	return unreachable("endpoint", err, "%s logs in at %s, but gets no connection to the socket %s there: either no engine listens at it, or the user is not allowed to use it (usermod -aG docker %s), "+
		"or sshd does not forward it (AllowStreamLocalForwarding must be yes or local, and the key without restrictions)",
		t.to.user, t.to.host, t.to.socket, t.to.user)
}

// sshStream is one stream. It does not support deadlines, which http does not need.
type sshStream struct {
	net.Conn
	done func()
}

func (s *sshStream) Close() error {
	err := s.Conn.Close()
	s.done()
	if errors.Is(err, io.EOF) { // the other side closed it first
		return nil
	}
	return err
}

// CloseWrite closes the sending half of the stream.
func (s *sshStream) CloseWrite() error {
	half, ok := s.Conn.(interface{ CloseWrite() error })
	if !ok {
		return fmt.Errorf("half of %T cannot be closed", s.Conn)
	}
	return half.CloseWrite()
}
