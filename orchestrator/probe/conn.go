package probe

import (
	"bufio"
	"context"
	"errors"
	"net"
	"os"
	"time"
)

// maxAnswer is how many bytes of an answer are read at most.
const maxAnswer = 64 << 10

var errTooLong = errors.New("answer too long")

// conn is a connection for one attempt: it ends with its context, and reads at most maxAnswer.
type conn struct {
	raw     net.Conn
	in      *bufio.Reader
	got     int           // bytes read
	failed  error         // that ended the reading
	limit   time.Duration // that the attempt had at its start
	release func() bool
}

// Dial connects to the engine. It is the one way to reach it, for probes and for those who change its credentials.
func (t Target) Dial(ctx context.Context) (net.Conn, error) {
	dialer := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: false}, KeepAlive: -1}
	return dialer.DialContext(ctx, "tcp", t.Address)
}

// dial connects. The result is only meaningful without a connection.
func dial(ctx context.Context, t Target) (*conn, Result) {
	limit := allowed(ctx)
	raw, err := t.Dial(ctx)
	if err != nil {
		return nil, dialFailed(ctx, t, err, limit)
	}
	c := &conn{raw: raw, limit: limit}
	// Ends every read and write from then on. It fails only when the connection is closed.
	c.release = context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })
	c.in = bufio.NewReader((*limited)(c))
	return c, Result{}
}

func (c *conn) close() {
	c.release()
	_ = c.raw.Close() // nothing depends on it
}

// limited is what fills the buffer of a conn.
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

// limitKey is where [Run] keeps the timeout, for the words of a result.
type limitKey struct{}

// allowed is how long the attempt may take.
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

// tcpPatience is how long TCP waits for the end of a connection that nobody stands behind.
const tcpPatience = 50 * time.Millisecond

// TCP connects, and waits a moment: OK says that somebody, if only the kernel on behalf of a hung engine, accepted the
// connection and did not end it at once. A forwarder before a container accepts in any case, and ends the connection
// when nobody listens behind it. It is for engines whose protocol has no probe here.
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
