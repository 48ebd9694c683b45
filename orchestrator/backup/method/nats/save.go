package nats

import (
	"archive/tar"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/unicorn-web-services/uws/orchestrator/backup/method"
)

// Names in an archive: a file that says what it is, and for each stream a folder with its state and then its snapshot.
const (
	indexFile    = "jetstream.json"
	streamFolder = "streams/"
	stateFile    = "state.json"
	snapshotFile = "snapshot"
)

// index is the first file of an archive.
type index struct {
	Format  int    `json:"format"` // 1
	Server  string `json:"server"` // its version
	Streams int    `json:"streams"`
}

// Details are the [method.Saved.Details].
type Details struct {
	Server string `json:"server"` // its version
	// Aside has what a load in quarantine leaves out, by stream.
	Aside map[string]Aside `json:"aside,omitempty"`
}

// Aside is what makes a stream take messages from others.
type Aside struct {
	Sources json.RawMessage `json:"sources,omitempty"`
	Mirror  json.RawMessage `json:"mirror,omitempty"`
}

// Save writes a snapshot of each stream of the account, with its consumers. Each snapshot is of one moment, and the
// moments of streams differ: a message that was published to one stream because of one in another may be missing.
// Key-value and object stores are streams.
func (m Method) Save(ctx context.Context, from method.Instance, w io.Writer, progress func(int64)) (method.Saved, error) {
	s, err := m.connect(ctx, from)
	if err != nil {
		return method.Saved{}, err
	}
	defer s.close()
	names, err := s.streams(ctx)
	if err != nil {
		return method.Saved{}, fmt.Errorf("listing streams: %w", err)
	}
	out := tar.NewWriter(w)
	text, err := json.Marshal(index{1, s.conn.ConnectedServerVersion(), len(names)})
	if err == nil {
		err = method.WriteFile(out, indexFile, text)
	}
	if err != nil {
		return method.Saved{}, err
	}
	saved := saving{method: m, session: s, out: out, progress: progress, details: Details{s.conn.ConnectedServerVersion(), map[string]Aside{}}}
	for i, name := range names {
		err := saved.stream(ctx, fmt.Sprintf("%s%06d/", streamFolder, i), name)
		if isCode(err, errStreamNotFound) { // deleted meanwhile
			continue
		}
		if err != nil {
			return method.Saved{}, fmt.Errorf("stream %s: %w", name, err)
		}
	}
	if err := out.Close(); err != nil {
		return method.Saved{}, err
	}
	text, err = json.Marshal(saved.details)
	return method.Saved{Contents: saved.contents, Details: text}, err
}

// Size returns the bytes of all streams.
func (m Method) Size(ctx context.Context, from method.Instance) (int64, error) {
	s, err := m.connect(ctx, from)
	if err != nil {
		return 0, err
	}
	defer s.close()
	var account struct{ Memory, Storage int64 }
	err = s.call(ctx, "INFO", nil, &account)
	return account.Memory + account.Storage, err
}

// saving is one save.
type saving struct {
	method   Method
	session  *session
	out      *tar.Writer
	read     int64
	progress func(int64)
	contents method.Contents
	details  Details
}

func (s *saving) count(n int) {
	if s.read += int64(n); s.progress != nil {
		s.progress(s.read)
	}
}

// stream writes one stream to a folder of the archive.
func (s *saving) stream(ctx context.Context, folder, name string) error {
	spool, err := s.method.spool()
	if err != nil {
		return err
	}
	defer spool.Close()
	st, err := s.session.snapshot(ctx, name, spool, s.count)
	if err != nil {
		return err
	}
	if err := s.describe(&st, spool); err != nil {
		return err
	}
	text, err := json.Marshal(st)
	if err == nil {
		err = method.WriteFile(s.out, folder+stateFile, text)
	}
	if err != nil {
		return err
	}
	header := &tar.Header{Name: folder + snapshotFile, Mode: 0o600, Size: st.Bytes, Typeflag: tar.TypeReg, Format: tar.FormatPAX}
	if err := s.out.WriteHeader(header); err != nil {
		return err
	}
	if _, err := spool.Seek(0, io.SeekStart); err != nil {
		return err
	}
	_, err = io.Copy(s.out, spool)
	return err
}

// describe completes the state from the snapshot, which must be whole, and adds it to the contents.
func (s *saving) describe(st *state, spool *os.File) error {
	if _, err := spool.Seek(0, io.SeekStart); err != nil {
		return err
	}
	var err error
	if st.Group, st.Bytes, st.SHA256, err = inspect(spool); err != nil {
		return fmt.Errorf("the server's snapshot is not whole: %w", err)
	}
	var c config
	if err := json.Unmarshal(st.Config, &c); err != nil {
		return fmt.Errorf("the configuration: %w", err)
	}
	if c.Name != st.Name {
		return fmt.Errorf("the server answered with the configuration of %.100q", c.Name)
	}
	st.Group.Name = st.Name
	st.Group.Changes = c.MaxAge > 0 || c.AllowMsgTTL || c.AllowMsgSchedules || c.Sources != nil || c.Mirror != nil
	if c.Sources != nil || c.Mirror != nil {
		s.details.Aside[st.Name] = Aside{c.Sources, c.Mirror}
	}
	s.contents.Groups = append(s.contents.Groups, st.Group)
	return nil
}
