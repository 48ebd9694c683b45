package nats

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/unicorn-web-services/uws/internal/fault"
	"github.com/unicorn-web-services/uws/internal/fsync"
	"github.com/unicorn-web-services/uws/orchestrator/backup/method"
)

// Release puts back what [Method.Load] left out in quarantine: the sources of streams, and what they mirror. It can be
// repeated, also after the program was killed in the middle. Streams that were deleted meanwhile, that have sources or are
// mirrors are left alone.
//
// JetStream makes no stream a mirror. Such a stream is saved to a file in folder, deleted, and restored from the file as a
// mirror. The file is removed when the server has all of it; before, a repetition needs the same folder.
func (m Method) Release(ctx context.Context, at method.Instance, aside map[string]Aside, folder string) error {
	s, err := m.connect(ctx, at)
	if err != nil {
		return err
	}
	defer s.close()
	m.Quarantine = false
	r := releasing{m, s, at}
	for _, name := range slices.Sorted(maps.Keys(aside)) {
		if mirror := aside[name].Mirror; mirror != nil {
			err = r.setMirror(ctx, name, mirror, filepath.Join(folder, fileOf(name)))
		} else {
			err = s.setSources(ctx, name, aside[name].Sources)
		}
		if err != nil {
			return fmt.Errorf("stream %s: %w", name, err)
		}
	}
	return nil
}

// releasing is one release.
type releasing struct {
	method  Method
	session *session
	at      method.Instance
}

// fileOf returns the name of the file of a stream, whose own name may have any characters.
func fileOf(stream string) string {
	sum := sha256.Sum256([]byte(stream))
	return hex.EncodeToString(sum[:]) + ".tar"
}

// streamInfo is what matters here of a stream.
type streamInfo struct {
	Config map[string]json.RawMessage
	State  struct {
		Last uint64 `json:"last_seq"`
	}
}

// info returns nil if there is no such stream.
func (s *session) info(ctx context.Context, name string) (*streamInfo, error) {
	var info streamInfo
	err := s.call(ctx, "STREAM.INFO."+name, nil, &info)
	if isCode(err, errStreamNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &info, nil
}

// setSources gives a stream sources, unless it has some.
func (s *session) setSources(ctx context.Context, name string, sources json.RawMessage) error {
	info, err := s.info(ctx, name)
	if err != nil || info == nil || info.Config["sources"] != nil {
		return err
	}
	info.Config["sources"] = sources
	return s.call(ctx, "STREAM.UPDATE."+name, info.Config, nil)
}

// setMirror makes a stream a mirror, by way of a file.
func (r releasing) setMirror(ctx context.Context, name string, mirror json.RawMessage, file string) error {
	kept, err := readKept(file)
	if err != nil {
		return err
	}
	info, err := r.session.info(ctx, name)
	switch {
	case err != nil:
		return err
	case info == nil && kept == nil: // deleted meanwhile
		return nil
	case info == nil:
	case info.Config["mirror"] != nil:
		if kept == nil || info.State.Last >= kept.Group.LastSequence {
			return discard(file)
		}
		if err := r.session.call(ctx, "STREAM.DELETE."+name, nil, nil); err != nil { // half of one
			return err
		}
	default:
		if err := r.keep(ctx, name, file); err != nil {
			return err
		}
		fault.Point("mirror-kept")
		if err := r.session.call(ctx, "STREAM.DELETE."+name, nil, nil); err != nil {
			return err
		}
		fault.Point("mirror-deleted")
	}
	if err := r.restoreMirror(ctx, mirror, file); err != nil {
		return err
	}
	fault.Point("mirror-restored")
	return discard(file)
}

// keep saves a stream to a file, which is there as a whole or not at all.
func (r releasing) keep(ctx context.Context, name, file string) (err error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(file+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ignoreClosed(f.Close())) }()
	to := saving{method: r.method, session: r.session, out: tar.NewWriter(f), details: Details{Aside: map[string]Aside{}}}
	if err := to.stream(ctx, "", name); err != nil {
		return err
	}
	if err := errors.Join(to.out.Close(), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), file); err != nil {
		return err
	}
	return fsync.Path(filepath.Dir(file))
}

func ignoreClosed(err error) error {
	if errors.Is(err, fs.ErrClosed) {
		return nil
	}
	return err
}

// discard removes a file, which need not exist.
func discard(file string) error {
	if err := os.Remove(file); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// readKept returns the state of the stream in a file of keep, nil if there is none.
func readKept(file string) (*state, error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, _, err := nextState(method.ReadArchive(f))
	return &st, err
}

// restoreMirror restores a stream from a file of keep as a mirror. If it fails, nothing of the stream stays but the file.
func (r releasing) restoreMirror(ctx context.Context, mirror json.RawMessage, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	in := method.ReadArchive(f)
	st, _, err := nextState(in)
	if err != nil {
		return err
	}
	if st.Config, err = mirrored(st.Config, mirror); err != nil {
		return err
	}
	st.Group.Changes = true // it takes messages at once
	l := &loading{method: r.method, session: r.session, in: in}
	if err := l.stream(ctx, st, snapshotFile); err != nil {
		return errors.Join(err, r.method.remove(ctx, r.at, l.made))
	}
	return nil
}

// mirrored returns a configuration of a stream that mirrors another one.
func mirrored(config, mirror json.RawMessage) (json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(config, &fields); err != nil {
		return nil, err
	}
	delete(fields, "subjects") // the server gave it its own name as one
	fields["mirror"] = mirror
	return json.Marshal(fields)
}
