package probe

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/xdg-go/scram"
)

// maxAnswer is the maximum number of bytes that are read from a connection.
const maxAnswer = 64 << 10

var errTooLong = errors.New("answer too long")

// conn is the connection of one attempt. It is interrupted when its context ends, and reads at most maxAnswer bytes.
type conn struct {
	raw     net.Conn
	in      *bufio.Reader
	got     int           // bytes read
	failed  error         // the error that ended reading
	limit   time.Duration // timeout of the attempt
	release func() bool
}

// Dial connects to the engine. Probes and package credentials both use it.
func (t Target) Dial(ctx context.Context) (net.Conn, error) {
	dialer := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: false}, KeepAlive: -1}
	return dialer.DialContext(ctx, "tcp", t.Address)
}

// dial connects. The Result is only set if there is no connection.
func dial(ctx context.Context, t Target) (*conn, Result) {
	limit := allowed(ctx)
	raw, err := t.Dial(ctx)
	if err != nil {
		return nil, dialFailed(ctx, t, err, limit)
	}
	c := &conn{raw: raw, limit: limit}
	// Interrupts all reads and writes, now and later. SetDeadline fails only if the connection is closed.
	c.release = context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })
	c.in = bufio.NewReader((*limited)(c))
	return c, Result{}
}

func (c *conn) close() {
	c.release()
	_ = c.raw.Close() // an error changes nothing
}

// limited fills the buffer of a conn.
type limited conn

func (l *limited) Read(p []byte) (int, error) {
	left := maxAnswer - l.got
	if left <= 0 {
		l.failed = errTooLong
		return 0, errTooLong
	}
	n, err := l.raw.Read(p[:min(len(p), left)])
	l.got += n
	l.failed = err
	return n, err
}

// limitKey is the context key of the timeout, which [Run] sets and results mention.
type limitKey struct{}

// allowed returns the timeout of the attempt.
func allowed(ctx context.Context) time.Duration {
	if limit, ok := ctx.Value(limitKey{}).(time.Duration); ok {
		return limit
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		return 0
	}
	return time.Until(deadline).Round(10 * time.Millisecond)
}

// tcpPatience is how long TCP waits for a forwarder to close a connection that it cannot forward.
const tcpPatience = 50 * time.Millisecond

// TCP connects and waits for 50 ms. OK means that the connection was accepted and stayed open. The kernel accepts
// connections also for a hung engine. The forwarder in front of a container always accepts, and then closes the
// connection if nothing listens behind it. TCP is for engines whose protocol has no probe.
func TCP(ctx context.Context, t Target) Result {
	c, failed := dial(ctx, t)
	if c == nil {
		return failed
	}
	defer c.close()
	if err := c.raw.SetReadDeadline(time.Now().Add(tcpPatience)); err != nil {
		return dead(t, "accepted a connection and broke it: %v", err)
	}
	_, err := c.raw.Read(make([]byte, 1))
	switch {
	case ctx.Err() != nil:
		return dialFailed(ctx, t, ctx.Err(), c.limit)
	case err == nil, errors.Is(err, os.ErrDeadlineExceeded):
		return ok(t, "accepted a connection")
	}
	return dead(t, "accepted a connection and ended it at once")
}

// maxIterations is the maximum number of iterations of a password hash that a server may request. Servers request 4,096
// to 15,000. This many take tens of milliseconds.
const maxIterations = 200_000

// errScram means that the server violates the protocol of the login, or does not prove that it has the password.
var errScram = errors.New("its part of the login is wrong")

// tooMuchWork is a number of iterations above maxIterations.
type tooMuchWork int

func (n tooMuchWork) Error() string { return fmt.Sprintf("%d rounds of hashing", int(n)) }

// scramLogin is the client's side of one SCRAM-SHA-256 login.
type scramLogin struct{ talk *scram.ClientConversation }

func newScramLogin(user, password string) (scramLogin, error) {
	client, err := scram.SHA256.NewClient(user, password, "")
	if err != nil {
		return scramLogin{}, err
	}
	return scramLogin{client.NewConversation()}, nil
}

// step returns the answer to a message of the server; the first message is empty.
func (s scramLogin) step(said string) (string, error) {
	for part := range strings.SplitSeq(said, ",") {
		if text, ok := strings.CutPrefix(part, "i="); ok {
			if n, err := strconv.Atoi(text); err != nil {
				return "", errScram
			} else if n > maxIterations {
				return "", tooMuchWork(n)
			}
		}
	}
	answer, err := s.talk.Step(said)
	if err != nil {
		return "", errScram
	}
	return answer, nil
}

// proven reports whether the server has proved that it has the password too.
func (s scramLogin) proven() bool { return s.talk.Valid() }
