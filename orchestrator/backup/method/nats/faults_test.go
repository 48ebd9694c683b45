package nats

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/nats-io/nats-server/v2/server/archive"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/unicorn-web-services/uws/orchestrator/backup/method"
)

// rewritten returns an archive whose files were changed.
func rewritten(t *testing.T, from []byte, change func(name string, text []byte) []byte) []byte {
	t.Helper()
	var to bytes.Buffer
	out := tar.NewWriter(&to)
	for in := tar.NewReader(bytes.NewReader(from)); ; {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		text, err2 := io.ReadAll(in)
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		if text = change(header.Name, text); text == nil {
			continue
		}
		if err := method.WriteFile(out, header.Name, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	return to.Bytes()
}

func TestLoadRefusesDamage(t *testing.T) {
	s := launch(t)
	s.stream(jetstream.StreamConfig{Name: "A", Subjects: []string{"a"}})
	s.stream(jetstream.StreamConfig{Name: "B", Subjects: []string{"b"}})
	s.publish("a", 1000)
	s.publish("b", 1000)
	whole, _ := s.save()
	if n := strings.Count(string(whole), `"name":"A"`); n == 0 {
		t.Fatal("the archive does not have the stream A")
	}
	other := launch(t)
	isB := func(name string) bool { return strings.HasPrefix(name, "streams/000001/") }
	for name, damaged := range map[string][]byte{
		"cut":             whole[:len(whole)-3000],
		"without its end": whole[:len(whole)-1024],
		"empty":           nil,
		"nonsense":        bytes.Repeat([]byte("nonsense"), 1000),
		"another format": rewritten(t, whole, func(n string, b []byte) []byte {
			return bytes.Replace(b, []byte(`"format":1`), []byte(`"format":2`), 1)
		}),
		"a flipped bit": rewritten(t, whole, func(n string, b []byte) []byte {
			if isB(n) && strings.HasSuffix(n, snapshotFile) {
				b[len(b)/2] ^= 4
			}
			return b
		}),
		"a snapshot is missing": rewritten(t, whole, func(n string, b []byte) []byte {
			if isB(n) && strings.HasSuffix(n, snapshotFile) {
				return nil
			}
			return b
		}),
	} {
		err := Method{}.Load(t.Context(), other.at, bytes.NewReader(damaged), nil)
		if _, ok := errors.AsType[*method.DamagedError](err); !ok || len(other.names()) > 0 {
			t.Errorf("%s: %v, and leaves %q", name, err, other.names())
		}
	}
}

// TestServerRefusesSnapshot loads a snapshot that is whole, but that the server cannot restore.
func TestServerRefusesSnapshot(t *testing.T) {
	s := launch(t)
	s.stream(jetstream.StreamConfig{Name: "A", Subjects: []string{"a"}})
	s.publish("a", 10)
	whole, _ := s.save()
	var snapshot bytes.Buffer
	packed := s2.NewWriter(&snapshot)
	out := archive.NewWriter(packed)
	entry := func(name string, seq uint64, text string) {
		err := out.WriteHeader(&archive.Header{Name: name, Sequence: seq, PayloadSize: int64(len(text))})
		if _, err2 := out.Write([]byte(text)); err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
	}
	entry("state.json", 0, `{"messages":2,"bytes":100,"first_seq":1,"last_seq":3,"consumer_count":1}`)
	entry("a", 1, "one")
	entry("consumers/x", 0, `{"config":{"durable_name":"x","ack_policy":"explicit","deliver_policy":"all","replay_policy":"instant","filter_subject":"b"},"state":{"ack_floor":{"stream_seq":7}}}`)
	entry("", 0, "")
	if err := errors.Join(out.Close(), packed.Close()); err != nil {
		t.Fatal(err)
	}
	_, size, sum, err := inspect(bytes.NewReader(snapshot.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	bad := rewritten(t, whole, func(name string, text []byte) []byte {
		if strings.HasSuffix(name, snapshotFile) {
			return snapshot.Bytes()
		}
		if strings.HasSuffix(name, stateFile) {
			var st state
			if err := json.Unmarshal(text, &st); err != nil {
				t.Fatal(err)
			}
			st.Bytes, st.SHA256 = size, sum
			text, _ = json.Marshal(st)
		}
		return text
	})
	other := launch(t)
	err = Method{}.Load(t.Context(), other.at, bytes.NewReader(bad), nil)
	if !isCode(err, 10062) || len(other.names()) > 0 {
		t.Errorf("%v, and leaves %q", err, other.names())
	}
}

// hooked calls a function once a number of bytes were written or read.
type hooked struct {
	io.Reader
	left int
	then func() error
}

func (h *hooked) pass(n int) error {
	if h.left -= n; h.left < 0 && h.then != nil {
		then := h.then
		h.then = nil
		return then()
	}
	return nil
}

func (h *hooked) Write(b []byte) (int, error) { return len(b), h.pass(len(b)) }

func (h *hooked) Read(b []byte) (int, error) {
	if err := h.pass(len(b)); err != nil {
		return 0, err
	}
	return h.Reader.Read(b)
}

func TestEnds(t *testing.T) {
	s := launch(t)
	for _, name := range []string{"A", "B", "C"} {
		s.stream(jetstream.StreamConfig{Name: name, Subjects: []string{name}})
		s.publish(name, 20_000)
	}
	whole, _ := s.save()
	full := errors.New("no room")
	half := len(whole) / 2
	hasty := Method{Silence: 500 * time.Millisecond}
	for name, tt := range map[string]struct {
		then func(s *server, cancel func()) error
		want error
	}{
		"the other side fails": {func(*server, func()) error { return full }, full},
		"cancelled":            {func(_ *server, cancel func()) error { cancel(); return nil }, context.Canceled},
		"the server hangs":     {func(s *server, _ func()) error { return s.cmd.Process.Signal(syscall.SIGSTOP) }, method.ErrSilent},
		"the server is killed": {func(s *server, _ func()) error { return s.cmd.Process.Kill() }, nil},
	} {
		t.Run("load: "+name, func(t *testing.T) {
			other := launch(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			err := hasty.Load(ctx, other.at, &hooked{bytes.NewReader(whole), half, func() error { return tt.then(other, cancel) }}, nil)
			if err == nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
			if errors.Is(tt.want, full) || errors.Is(tt.want, context.Canceled) {
				if left := other.names(); len(left) > 0 {
					t.Errorf("left %q", left)
				}
			}
			_ = other.cmd.Process.Signal(syscall.SIGCONT)
		})
		t.Run("save: "+name, func(t *testing.T) {
			other := launch(t)
			if err := (Method{}).Load(t.Context(), other.at, bytes.NewReader(whole), nil); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			_, err := hasty.Save(ctx, other.at, &hooked{nil, half, func() error { return tt.then(other, cancel) }}, nil)
			if err == nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
			_ = other.cmd.Process.Signal(syscall.SIGCONT)
		})
	}
}

// quarantined returns a server with streams that take no messages from others, and what was put aside.
func quarantined(t *testing.T) (*server, method.Saved, map[string]Aside) {
	t.Helper()
	s := launch(t)
	s.stream(jetstream.StreamConfig{Name: "FROM", Subjects: []string{"from"}})
	s.stream(jetstream.StreamConfig{Name: "COPY", Mirror: &jetstream.StreamSource{Name: "FROM"}})
	s.stream(jetstream.StreamConfig{Name: "ALL", Sources: []*jetstream.StreamSource{{Name: "FROM"}}})
	s.publish("from", 10)
	waitFor(t, s, "COPY", 10)
	waitFor(t, s, "ALL", 10)
	from, err := s.js.Stream(t.Context(), "FROM")
	if err == nil {
		err = from.Purge(t.Context()) // the copies alone have the messages
	}
	if err != nil {
		t.Fatal(err)
	}
	archive, saved := s.save()
	var details Details
	if err := json.Unmarshal(saved.Details, &details); err != nil {
		t.Fatal(err)
	}
	other := launch(t)
	if err := (Method{Quarantine: true}).Load(t.Context(), other.at, bytes.NewReader(archive), nil); err != nil {
		t.Fatal(err)
	}
	return other, saved, details.Aside
}

// TestQuarantine loads streams that take no messages from others until they are released. What they hold stays.
func TestQuarantine(t *testing.T) {
	other, saved, aside := quarantined(t)
	checked(t, other, saved)
	for _, name := range []string{"COPY", "ALL"} {
		stream, err := other.js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if info := stream.CachedInfo(); info.Config.Mirror != nil || info.Config.Sources != nil || info.State.Msgs != 10 {
			t.Errorf("%+v", info)
		}
	}
	for range 2 {
		if err := (Method{}).Release(t.Context(), other.at, aside, t.TempDir()); err != nil {
			t.Fatal(err)
		}
	}
	other.publish("from", 1)
	waitFor(t, other, "ALL", 11)
	waitFor(t, other, "COPY", 11)
}

// TestInterruptedRelease repeats a release that ended between any two of its steps: nothing is lost.
func TestInterruptedRelease(t *testing.T) {
	ctx := t.Context()
	deleted := func(r releasing, file string) error {
		return errors.Join(r.keep(ctx, "COPY", file), r.session.call(ctx, "STREAM.DELETE.COPY", nil, nil))
	}
	for name, interrupted := range map[string]func(r releasing, mirror json.RawMessage, file string) error{
		"kept": func(r releasing, _ json.RawMessage, file string) error { return r.keep(ctx, "COPY", file) },
		"half a file": func(r releasing, _ json.RawMessage, file string) error {
			return os.WriteFile(file+".new", []byte("half"), 0o600)
		},
		"deleted": func(r releasing, _ json.RawMessage, file string) error { return deleted(r, file) },
		"half restored": func(r releasing, mirror json.RawMessage, file string) error {
			config := map[string]any{"name": "COPY", "mirror": mirror, "storage": "file"}
			return errors.Join(deleted(r, file), r.session.call(ctx, "STREAM.CREATE.COPY", config, nil))
		},
		"restored": func(r releasing, mirror json.RawMessage, file string) error {
			return errors.Join(deleted(r, file), r.restoreMirror(ctx, mirror, file))
		},
	} {
		t.Run(name, func(t *testing.T) {
			other, saved, aside := quarantined(t)
			folder := t.TempDir()
			s, err := Method{}.connect(ctx, other.at)
			if err != nil {
				t.Fatal(err)
			}
			if err := interrupted(releasing{Method{}, s, other.at}, aside["COPY"].Mirror, filepath.Join(folder, fileOf("COPY"))); err != nil {
				t.Fatal(err)
			}
			s.close()
			if err := (Method{}).Release(ctx, other.at, aside, folder); err != nil {
				t.Fatal(err)
			}
			checked(t, other, saved)
			if left, err := os.ReadDir(folder); err != nil || len(left) > 0 && left[0].Name() != fileOf("COPY")+".new" {
				t.Errorf("left is %v, %v", left, err)
			}
			other.publish("from", 1)
			waitFor(t, other, "COPY", 11)
		})
	}
}

// TestNotAServer is about addresses where something else answers, or nothing does.
func TestNotAServer(t *testing.T) {
	for name, behave := range map[string]func(net.Conn){
		"silent": func(c net.Conn) { _, _ = io.Copy(io.Discard, c) },
		"nonsense": func(c net.Conn) {
			_, _ = io.WriteString(c, strings.Repeat("nonsense\n", 10_000))
			_, _ = io.Copy(io.Discard, c)
		},
		"endless": func(c net.Conn) {
			for _, err := io.WriteString(c, "INFO {"); err == nil; _, err = io.WriteString(c, strings.Repeat(" ", 1<<16)) {
			}
		},
		"closes": func(net.Conn) {},
		"no JetStream": func(c net.Conn) {
			_, _ = io.WriteString(c, "INFO {\"max_payload\":1048576,\"headers\":true}\r\nPONG\r\n")
			_, _ = io.Copy(io.Discard, c)
		},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			var all sync.WaitGroup
			t.Cleanup(func() { _ = l.Close(); all.Wait() })
			all.Go(func() {
				for c, err := l.Accept(); err == nil; c, err = l.Accept() {
					all.Go(func() { behave(c); _ = c.Close() })
				}
			})
			at := method.Instance{Address: l.Addr().String(), Credentials: map[string]string{"user": "u", "password": "p"}}
			if _, err = (Method{Silence: 200 * time.Millisecond}).Save(t.Context(), at, io.Discard, nil); err == nil {
				t.Error("no error")
			}
		})
	}
}
