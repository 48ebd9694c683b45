package docker

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/docker/endpoint"
	"github.com/unicorn-web-services/uws/orchestrator/driver/docker/logstream"
)

// What an earlier run wrote last, without a line's end, is passed on when no more comes, also if the present run writes nothing.
// The present run's unfinished line is not.
func TestLogQuiet(t *testing.T) {
	d := &Driver{}
	c := container.InspectResponse{ContainerJSONBase: &container.ContainerJSONBase{ID: "c",
		State: &container.State{Running: true, StartedAt: "2026-01-01T00:00:09Z", FinishedAt: "2026-01-01T00:00:05Z"}}}
	d.runs.learn(c)
	var got []string
	f := &follower{driver: d, container: c, lines: logstream.New(logstream.Position{}, nobody), yield: func(b driver.LogBatch) error {
		for _, l := range b.Lines {
			got = append(got, l.Text)
		}
		return nil
	}}
	for i, text := range []string{"2026-01-01T00:00:04Z earlier", "2026-01-01T00:00:09Z present"} {
		if err := f.feed([]byte(string([]byte{byte(1 + i), 0, 0, 0, 0, 0, 0, byte(len(text))}) + text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.quiet(t.Context(), logQuiet); err != nil || !slices.Equal(got, []string{"earlier"}) {
		t.Errorf("got %q, %v", got, err)
	}
}

// After a minute without output a stream is stuck if the log has a line that it did not send.
func TestLogStuck(t *testing.T) {
	line := func(second string) string {
		text := "2026-01-01T00:00:0" + second + "Z x\n"
		return string([]byte{1, 0, 0, 0, 0, 0, 0, byte(len(text))}) + text
	}
	newest, asked := line("1"), 0
	socket := filepath.Join(t.TempDir(), "docker.sock")
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/logs") && r.URL.Query().Get("tail") == "1" && r.URL.Query().Get("follow") == "" {
			asked++
			_, _ = w.Write([]byte(newest))
		} else {
			http.Error(w, "{}", http.StatusNotFound)
		}
	})}}
	server.Start()
	defer server.Close()
	d, err := New(Options{Connection: endpoint.Connection{Endpoint: "unix://" + socket}, Installation: "i", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	f := &follower{driver: d, lines: logstream.New(logstream.Position{}, nobody), yield: func(driver.LogBatch) error { return nil },
		container: container.InspectResponse{ContainerJSONBase: &container.ContainerJSONBase{ID: "c"}, Config: &container.Config{}}}
	f.stuck = f.isStuck
	if err := f.feed([]byte(newest)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := f.quiet(t.Context(), logStuck); err != nil {
			t.Errorf("with all lines: %v", err)
		}
	}
	newest = line("2")
	if err := f.quiet(t.Context(), logStuck-logQuiet); err != nil || asked != 2 {
		t.Errorf("too early: %v, asked %d times", err, asked)
	}
	if err := f.quiet(t.Context(), logStuck); !errors.Is(err, errStuck) {
		t.Errorf("got %v", err)
	}
}

// A stream is looked at ever more rarely while it is silent, and as soon as at first after output. That it is stuck is found in as
// long a time as it was silent before.
func TestLogSilence(t *testing.T) {
	for _, since := range []time.Duration{0, 50 * time.Second, 3 * time.Minute, 2 * time.Hour, 20 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			chunks := make(chan []byte)
			var spoke time.Time
			looks := 0
			f := &follower{driver: &Driver{}, lines: logstream.New(logstream.Position{}, nobody), yield: func(driver.LogBatch) error { return nil },
				container: container.InspectResponse{ContainerJSONBase: &container.ContainerJSONBase{ID: "c"}, Config: &container.Config{}}}
			f.stuck = func(context.Context) (bool, error) {
				looks++
				return time.Since(spoke) >= since, nil
			}
			for range 3 { // however long it was silent before
				spoke, looks = time.Now().Add(24*time.Hour), 0
				ended := make(chan error)
				go func() { ended <- f.passOn(t.Context(), &openLog{chunks: chunks}) }()
				<-time.After(24 * time.Hour)
				synctest.Wait()
				if looks < 24*2 || looks > 24*4+12 {
					t.Errorf("in a day of silence it was looked at %d times", looks)
				}
				spoke = time.Now()
				chunks <- nil
				if err := <-ended; !errors.Is(err, errStuck) {
					t.Errorf("got %v", err)
				}
				if took, most := time.Since(spoke)-since, min(max(2*logStuck, since), logSilence); took > most {
					t.Errorf("that it was stuck since %v was found after %v, want at most %v", since, took, most)
				}
			}
		})
	}
}
