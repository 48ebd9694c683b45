package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/unicorn-web-services/uws/orchestrator/backup/method"
)

const (
	maxStateFile = 32 << 20
	removeTime   = 30 * time.Second // to remove what a failed load has made
	endPatience  = 10               // times longer than otherwise a server may be silent at the end of a stream
)

// Load restores each stream. A snapshot is read completely before anything of it is sent. If Load fails, it deletes the
// streams that it has made, also one of which the server has kept a part.
func (m Method) Load(ctx context.Context, into method.Instance, r io.Reader, progress func(int64)) error {
	s, err := m.connect(ctx, into)
	if err != nil {
		return err
	}
	defer s.close()
	names, err := s.streams(ctx)
	if err != nil {
		return fmt.Errorf("listing streams: %w", err)
	}
	if len(names) > 0 {
		return &method.NotEmptyError{Holds: fmt.Sprintf("%d streams, such as %s", len(names), names[0])}
	}
	l := &loading{method: m, session: s, in: method.ReadArchive(r), progress: progress}
	if err := l.run(ctx); err != nil {
		return errors.Join(err, m.remove(ctx, into, l.made))
	}
	return nil
}

// remove deletes streams, on a connection of its own and also after ctx has ended.
func (m Method) remove(ctx context.Context, from method.Instance, names []string) error {
	if len(names) == 0 {
		return nil
	}
	removing, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeTime)
	defer cancel()
	s, err := m.connect(removing, from)
	if err != nil {
		return fmt.Errorf("removing what was loaded: %w", err)
	}
	defer s.close()
	for _, name := range names {
		deleted := s.call(removing, "STREAM.DELETE."+name, nil, nil)
		if deleted != nil && !isCode(deleted, errStreamNotFound) {
			err = errors.Join(err, fmt.Errorf("removing what was loaded: stream %s: %w", name, deleted))
		}
	}
	return err
}

// loading is one load.
type loading struct {
	method   Method
	session  *session
	in       *method.Archive
	made     []string
	sent     int64
	progress func(int64)
}

func (l *loading) run(ctx context.Context) error {
	header, err := l.in.Next()
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if err != nil || header.Name != indexFile {
		return &method.DamagedError{What: "it does not begin with " + indexFile}
	}
	var idx index
	text, err := l.in.Text(header, maxStateFile)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &idx); err != nil || idx.Format != 1 {
		return &method.DamagedError{What: fmt.Sprintf("%s has the format %d, and not 1", indexFile, idx.Format), Err: err}
	}
	for {
		st, folder, err := nextState(l.in)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if !strings.HasPrefix(folder, streamFolder) {
			return &method.DamagedError{What: fmt.Sprintf("it has the state of a stream in %.200q", folder)}
		}
		if err := l.stream(ctx, st, folder+snapshotFile); err != nil {
			return fmt.Errorf("stream %s: %w", st.Name, err)
		}
	}
}

// nextState reads the state of the next stream, and the folder that has it. The error is [io.EOF] at the end.
func nextState(in *method.Archive) (st state, folder string, err error) {
	header, err := in.Next()
	if err != nil {
		return st, "", err
	}
	folder, ok := strings.CutSuffix(header.Name, stateFile)
	if !ok {
		return st, "", &method.DamagedError{What: fmt.Sprintf("it has %.200q where the state of a stream is due", header.Name)}
	}
	text, err := in.Text(header, maxStateFile)
	if err != nil {
		return st, "", err
	}
	if err := json.Unmarshal(text, &st); err != nil {
		return st, "", &method.DamagedError{What: header.Name, Err: err}
	}
	return st, folder, nil
}

// stream restores one stream, whose snapshot is the next entry.
func (l *loading) stream(ctx context.Context, st state, entry string) error {
	header, err := l.in.Next()
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if err != nil || header.Name != entry {
		return &method.DamagedError{What: "it has no " + entry}
	}
	spool, err := l.method.spool()
	if err != nil {
		return err
	}
	defer spool.Close()
	if _, err := io.Copy(spool, l.in); err != nil {
		return err
	}
	if err := whole(st, spool); err != nil {
		return err
	}
	if l.method.Quarantine {
		if st.Config, err = alone(st.Config); err != nil {
			return err
		}
	}
	if _, err := spool.Seek(0, io.SeekStart); err != nil {
		return err
	}
	l.made = append(l.made, st.Name)
	return l.session.restore(ctx, st, spool, func(n int) {
		if l.sent += int64(n); l.progress != nil {
			l.progress(l.sent)
		}
	})
}

// whole returns an error unless the spool has the snapshot that the state describes.
func whole(st state, spool *os.File) error {
	if _, err := spool.Seek(0, io.SeekStart); err != nil {
		return err
	}
	_, size, sum, err := inspect(spool)
	if err == nil && (size != st.Bytes || sum != st.SHA256) {
		err = errors.New("it does not have the checksum that was noted when it was saved")
	}
	if err != nil {
		return &method.DamagedError{What: "the snapshot of stream " + st.Name, Err: err}
	}
	return nil
}

// alone returns a configuration of a stream that takes no messages from others.
func alone(config json.RawMessage) (json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(config, &fields); err != nil {
		return nil, &method.DamagedError{What: "the configuration of a stream", Err: err}
	}
	delete(fields, "sources")
	delete(fields, "mirror")
	delete(fields, "mirror_direct")
	return json.Marshal(fields)
}

// restore sends a snapshot.
func (s *session) restore(ctx context.Context, st state, snapshot io.Reader, progress func(int)) error {
	var accepted struct {
		Subject string `json:"deliver_subject"`
	}
	request := map[string]json.RawMessage{"config": st.Config, "state": st.State}
	if err := s.call(ctx, "STREAM.RESTORE."+st.Name, request, &accepted); err != nil {
		return err
	}
	chunk := make([]byte, min(chunkBytes, s.conn.MaxPayload()))
	for {
		n, err := io.ReadFull(snapshot, chunk)
		if n > 0 {
			reply, err := s.request(ctx, accepted.Subject, chunk[:n], s.silence)
			if err == nil && len(reply) > 0 {
				err = decode(reply, nil)
			}
			if err != nil {
				return err
			}
			progress(n)
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	reply, err := s.request(ctx, accepted.Subject, nil, endPatience*s.silence)
	if errors.Is(err, nats.ErrNoResponders) {
		return errors.New("the server gave the restore up")
	}
	if err != nil {
		return err
	}
	var made struct{ State struct{ Messages int64 } }
	if err := decode(reply, &made); err != nil {
		return err
	}
	if made.State.Messages != st.Group.Count && !st.Group.Changes {
		return fmt.Errorf("the server restored %d of %d messages", made.State.Messages, st.Group.Count)
	}
	return nil
}
