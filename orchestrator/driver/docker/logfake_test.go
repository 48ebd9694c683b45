package docker_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/docker"
	"github.com/unicorn-web-services/uws/orchestrator/driver/docker/endpoint"
)

// fakeEngine answers what the driver asks about one container, whose log it sends as a test says. It filters as a real engine
// does: an old one leaves out each message before since, a newer one those before the first that is not.
type fakeEngine struct {
	t       *testing.T
	old     bool
	running bool
	driver  string

	mu       sync.Mutex
	id       string
	messages []message
	raw      []byte // is sent after the messages
	cut      bool   // the connection is cut after that
	sent     func() // is called once after that
}

// message is one of the engine's.
type message struct {
	at     time.Time
	stream byte
	text   string
}

func newFakeEngine(t *testing.T) (*fakeEngine, *docker.Driver) {
	t.Helper()
	f := &fakeEngine{t: t, id: strings.Repeat("a", 64), driver: "json-file"}
	socket := filepath.Join(t.TempDir(), "docker.sock")
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", socket)
	must(t, err)
	server := httptest.NewUnstartedServer(f)
	must(t, server.Listener.Close())
	server.Listener = l
	server.Start()
	t.Cleanup(server.Close)
	d, err := docker.New(docker.Options{Connection: endpoint.Connection{Endpoint: "unix://" + socket},
		Installation: "fake", Log: slog.New(slog.DiscardHandler)})
	must(t, err)
	t.Cleanup(func() { must(t, d.Close()) })
	return f, d
}

func (f *fakeEngine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Api-Version", "1.41")
	switch path := r.URL.Path; {
	case strings.HasSuffix(path, "/_ping"):
		fmt.Fprint(w, "OK")
	case strings.HasSuffix(path, "/events"):
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	case strings.HasSuffix(path, "/containers/json"):
		fmt.Fprint(w, "[]")
	case strings.HasSuffix(path, "/logs"):
		f.logs(w, r)
	case strings.Contains(path, "/containers/"):
		f.inspect(w)
	default:
		http.Error(w, `{"message": "not in this fake"}`, http.StatusNotFound)
	}
}

func (f *fakeEngine) inspect(w http.ResponseWriter) {
	f.mu.Lock()
	defer f.mu.Unlock()
	status := map[bool]string{true: "running", false: "exited"}[f.running]
	finished := map[bool]string{true: "0001-01-01T00:00:00Z", false: "2030-01-01T00:00:00Z"}[f.running]
	_ = json.NewEncoder(w).Encode(map[string]any{
		"Id": f.id, "Name": "/fake", "Created": "2020-01-01T00:00:00Z",
		"State":      map[string]any{"Status": status, "Running": f.running, "StartedAt": "2020-01-01T00:00:01Z", "FinishedAt": finished},
		"HostConfig": map[string]any{"LogConfig": map[string]any{"Type": f.driver}},
		"Config":     map[string]any{"Labels": map[string]string{driver.LabelInstallation: "fake", driver.LabelService: "s"}},
	})
}

func (f *fakeEngine) logs(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	messages, raw, cut := f.messages, f.raw, f.cut
	f.mu.Unlock()
	if f.driver == "none" {
		http.Error(w, `{"message": "configured logging driver does not support reading"}`, http.StatusNotImplemented)
		return
	}
	var sec, nsec int64
	_, _ = fmt.Sscanf(r.URL.Query().Get("since"), "%d.%d", &sec, &nsec)
	since := time.Unix(sec, nsec)
	for _, m := range messages {
		if m.at.Before(since) && !m.at.IsZero() {
			continue
		}
		if !f.old {
			since = time.Time{}
		}
		_, _ = w.Write(m.frame())
	}
	_, _ = w.Write(raw)
	_ = http.NewResponseController(w).Flush()
	f.mu.Lock()
	if f.sent != nil {
		f.sent()
		f.sent = nil
	}
	f.mu.Unlock()
	if cut {
		panic(http.ErrAbortHandler)
	}
}

func (m message) frame() []byte {
	text := m.text
	if !m.at.IsZero() {
		text = m.at.UTC().Format("2006-01-02T15:04:05.000000000Z07:00") + " " + text
	}
	return frame(m.stream, len(text), text)
}

// frame returns one that says that it has some length.
func frame(stream byte, length int, text string) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{stream, 0, 0, 0}, uint32(length)), text...)
}

// log sets the messages of the log.
func (f *fakeEngine) log(messages ...message) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.messages = messages
}

// at is a time by the engine's clock.
func at(seconds float64) time.Time {
	return time.Unix(1_700_000_000, 0).Add(time.Duration(seconds * float64(time.Second))).UTC()
}

func out(seconds float64, text string) message  { return message{at(seconds), 1, text} }
func errs(seconds float64, text string) message { return message{at(seconds), 2, text} }

// read follows the log of a container that has ended, to its end, and returns the lines and the position after each batch.
func read(t *testing.T, d *docker.Driver, after string) (lines []string, positions []string, err error) {
	t.Helper()
	err = d.FollowLogs(t.Context(), "s", after, func(b driver.LogBatch) error {
		lines, positions = append(lines, texts(b.Lines)...), append(positions, b.Position)
		size := 0
		for _, l := range b.Lines {
			size += len(l.Text)
		}
		if size > 256<<10 || len(b.Lines) == 0 {
			t.Errorf("a batch of %d lines, %d bytes", len(b.Lines), size)
		}
		return nil
	})
	return lines, positions, err
}
