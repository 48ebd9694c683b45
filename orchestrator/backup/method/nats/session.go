// Package nats saves and loads JetStream by the snapshots of its streams.
package nats

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/unicorn-web-services/uws/orchestrator/backup/method"
)

// Method saves NATS JetStream of version 2.15 or newer.
type Method struct {
	// Silence is how long a server may send nothing before it is given up; zero: 1 min.
	Silence time.Duration
	// Folder is where the snapshot of one stream at a time is kept meanwhile, since a server gives up receivers and
	// senders that stop for 5 s. Empty: the system's folder for temporary files.
	Folder string
	// Quarantine has Load leave out what makes streams take messages from others, see [Method.Release].
	Quarantine bool
}

var (
	_ method.Saver   = Method{}
	_ method.Loader  = Method{}
	_ method.Checker = Method{}
	_ method.Sizer   = Method{}
)

func (m Method) silence() time.Duration { return cmp.Or(m.Silence, time.Minute) }

// writeCheck is the stream of uws's own probe.
const writeCheck = "uws-write-check"

// session is one connection. It ends with its context.
type session struct {
	conn    *nats.Conn
	silence time.Duration
	stop    func() bool
}

// APIError is an error that JetStream answered.
type APIError struct {
	Code        int    `json:"code"`
	ErrCode     int    `json:"err_code"`
	Description string `json:"description"`
}

func (e *APIError) Error() string { return fmt.Sprintf("%s (%d)", e.Description, e.ErrCode) }

// errStreamNotFound is a code of JetStream.
const errStreamNotFound = 10059

func (m Method) connect(ctx context.Context, to method.Instance) (*session, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	conn, err := nats.Connect("nats://"+to.Address, nats.Name("uws-backup"), nats.NoReconnect(), nats.Timeout(m.silence()),
		nats.UserInfo(to.Credentials["user"], to.Credentials["password"]))
	if err != nil {
		if errors.Is(err, nats.ErrTimeout) {
			err = fmt.Errorf("%w (%s): %w", method.ErrSilent, m.silence(), err)
		}
		return nil, fmt.Errorf("connecting: %w", err)
	}
	return &session{conn, m.silence(), context.AfterFunc(ctx, conn.Close)}, nil
}

func (s *session) close() {
	s.stop()
	s.conn.Close()
}

// failed returns what an error of the client means.
func (s *session) failed(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, nats.ErrTimeout), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w (%s)", method.ErrSilent, s.silence)
	case errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("the server does not answer requests to JetStream: %w", err)
	}
	return err
}

// request sends a message and waits for the reply for at most patience.
func (s *session) request(ctx context.Context, subject string, body []byte, patience time.Duration) ([]byte, error) {
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	reply, err := s.conn.RequestWithContext(waiting, subject, body)
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	return reply.Data, nil
}

// call sends a request to JetStream and decodes the reply.
func (s *session) call(ctx context.Context, what string, body, into any) error {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return err
		}
	}
	reply, err := s.request(ctx, "$JS.API."+what, text, s.silence)
	if err != nil {
		return err
	}
	return decode(reply, into)
}

// decode decodes a reply of JetStream. Its errors are [APIError] if the reply is one.
func decode(reply []byte, into any) error {
	var failed struct{ Error *APIError }
	if err := json.Unmarshal(reply, &failed); err != nil {
		return fmt.Errorf("JetStream answered %.100q: %w", reply, err)
	}
	if failed.Error != nil {
		return failed.Error
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(reply, into); err != nil {
		return fmt.Errorf("JetStream answered %.100q: %w", reply, err)
	}
	return nil
}

// isCode reports whether an error is JetStream's, with that code.
func isCode(err error, code int) bool {
	said, ok := errors.AsType[*APIError](err)
	return ok && said.ErrCode == code
}

// maxStreams is how many streams a server may have.
const maxStreams = 100_000

// streams returns the names of all streams but that of uws's probe.
func (s *session) streams(ctx context.Context) ([]string, error) {
	var all []string
	for offset := 0; offset < maxStreams; {
		var page struct {
			Total   int
			Streams []string
		}
		if err := s.call(ctx, "STREAM.NAMES", map[string]int{"offset": offset}, &page); err != nil {
			return nil, err
		}
		for _, name := range page.Streams {
			if name != writeCheck {
				all = append(all, name)
			}
		}
		if offset += len(page.Streams); offset >= page.Total || len(page.Streams) == 0 {
			return all, nil
		}
	}
	return nil, fmt.Errorf("the server has more than %d streams", maxStreams)
}
