package nats

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/klauspost/compress/s2"
	"github.com/nats-io/nats-server/v2/server/archive"
	"github.com/nats-io/nats.go"

	"github.com/unicorn-web-services/uws/orchestrator/backup/method"
)

// state is the file beside the snapshot of a stream.
type state struct {
	Name   string          `json:"name"`
	Config json.RawMessage `json:"config"`
	State  json.RawMessage `json:"state"` // as the server gave it
	SHA256 string          `json:"sha256"`
	Bytes  int64           `json:"bytes"`
	Group  method.Group    `json:"group"` // what the snapshot holds
}

// config is what matters here of a stream's configuration.
type config struct {
	Name              string          `json:"name"`
	MaxAge            int64           `json:"max_age"`
	AllowMsgTTL       bool            `json:"allow_msg_ttl"`
	AllowMsgSchedules bool            `json:"allow_msg_schedules"`
	Sources           json.RawMessage `json:"sources,omitempty"`
	Mirror            json.RawMessage `json:"mirror,omitempty"`
	Subjects          json.RawMessage `json:"subjects,omitempty"`
}

const (
	chunkBytes  = 256 << 10
	windowBytes = 8 << 20
)

// spool is a temporary file without a name.
func (m Method) spool() (*os.File, error) {
	f, err := os.CreateTemp(m.Folder, "uws-stream-")
	if err != nil {
		return nil, fmt.Errorf("a file for the snapshot of a stream: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// snapshot writes a snapshot of a stream, and returns what the server said of it. The server verifies the checksums of
// all messages.
func (s *session) snapshot(ctx context.Context, name string, w io.Writer, progress func(int)) (state, error) {
	inbox := s.conn.NewInbox()
	sub, err := s.conn.SubscribeSync(inbox)
	if err != nil {
		return state{}, s.failed(ctx, err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := sub.SetPendingLimits(-1, 8*windowBytes); err != nil { // the server waits for answers after one window
		return state{}, err
	}
	var said struct{ Config, State json.RawMessage }
	request := map[string]any{"deliver_subject": inbox, "chunk_size": chunkBytes, "window_size": windowBytes, "jsck": true}
	if err := s.call(ctx, "STREAM.SNAPSHOT."+name, request, &said); err != nil {
		return state{}, err
	}
	for {
		chunk, err := s.next(ctx, sub)
		if err != nil {
			return state{}, err
		}
		if len(chunk.Data) == 0 {
			if status := chunk.Header.Get("Status"); status != "" && status != "204" {
				return state{}, fmt.Errorf("the server ended the snapshot: %s %.300s", status, chunk.Header.Get("Description"))
			}
			return state{Name: name, Config: said.Config, State: said.State}, nil
		}
		if chunk.Reply != "" {
			if err := chunk.Respond(nil); err != nil {
				return state{}, s.failed(ctx, err)
			}
		}
		if _, err := w.Write(chunk.Data); err != nil {
			return state{}, err
		}
		progress(len(chunk.Data))
	}
}

func (s *session) next(ctx context.Context, sub *nats.Subscription) (*nats.Msg, error) {
	waiting, cancel := context.WithTimeout(ctx, s.silence)
	defer cancel()
	message, err := sub.NextMsgWithContext(waiting)
	return message, s.failed(ctx, err)
}

// inspect reads a whole snapshot and returns what it holds, its size and its checksum.
func inspect(r io.Reader) (group method.Group, size int64, sum string, err error) {
	hash := sha256.New()
	counted := &counter{Reader: io.TeeReader(r, hash)}
	group, err = entries(archive.NewReader(s2.NewReader(bufio.NewReaderSize(counted, chunkBytes))))
	if err == nil {
		_, err = io.Copy(io.Discard, counted)
	}
	return group, counted.n, hex.EncodeToString(hash.Sum(nil)), err
}

type counter struct {
	io.Reader
	n int64
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.n += int64(n)
	return n, err
}

const (
	maxSnapshotState = 16 << 20
	consumerFolder   = "consumers/"
)

// entries reads a snapshot: its state, consumers, messages, and an entry without a name as its end.
func entries(in *archive.Reader) (method.Group, error) {
	group := method.Group{Kind: method.Stream}
	first, err := in.Next()
	if err != nil || first.Name != "state.json" || first.PayloadSize > maxSnapshotState {
		return group, fmt.Errorf("it does not begin with its state: %w", errors.Join(err, archive.ErrInvalidArchive))
	}
	var at struct {
		First uint64 `json:"first_seq"`
		Last  uint64 `json:"last_seq"`
		Bytes int64  `json:"bytes"`
	}
	if err := json.NewDecoder(in).Decode(&at); err != nil {
		return group, fmt.Errorf("its state: %w", err)
	}
	group.FirstSequence, group.LastSequence, group.Bytes = at.First, at.Last, at.Bytes
	for {
		entry, err := in.Next()
		if err != nil {
			return group, fmt.Errorf("it has no end: %w", err)
		}
		switch {
		case entry.Sequence > 0:
			group.Count++
		case entry.Name == "":
			_, err := in.Next()
			if !errors.Is(err, io.EOF) {
				return group, fmt.Errorf("it goes on after its end: %w", errors.Join(err, archive.ErrInvalidArchive))
			}
			return group, nil
		case strings.HasPrefix(entry.Name, consumerFolder) && entry.PayloadSize <= maxSnapshotState:
			if err := consumer(in, &group); err != nil {
				return group, fmt.Errorf("%.200s: %w", entry.Name, err)
			}
		default:
			return group, fmt.Errorf("it has an entry %.200q", entry.Name)
		}
	}
}

// consumer adds a consumer, if it is durable.
func consumer(in io.Reader, group *method.Group) error {
	var c struct {
		Config struct {
			Durable string `json:"durable_name"`
		}
		State struct {
			AckFloor struct {
				Stream uint64 `json:"stream_seq"`
			} `json:"ack_floor"`
		}
	}
	if err := json.NewDecoder(in).Decode(&c); err != nil {
		return err
	}
	if c.Config.Durable != "" {
		group.Consumers = append(group.Consumers, method.Consumer{Name: c.Config.Durable, AckFloor: c.State.AckFloor.Stream})
	}
	return nil
}
