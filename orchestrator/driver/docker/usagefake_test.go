package docker_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/docker"
	"github.com/unicorn-web-services/uws/orchestrator/driver/docker/endpoint"
	"github.com/unicorn-web-services/uws/orchestrator/driver/drivertest"
)

// farEngine is an engine elsewhere that has many containers, and answers as a test says where a real one cannot be made to.
type farEngine struct {
	api        string
	containers int
	hanging    atomic.Pointer[regexp.Regexp] // containers; a request for the use of one lasts until it is cancelled, or let go
	letGo      chan struct{}
	most       atomic.Int64 // requests at once for the use of containers
	now        atomic.Int64
	inspected  atomic.Int64
	sizes      atomic.Int64 // requests for the sizes of volumes
}

func newFarEngine(t *testing.T, f *farEngine) *docker.Driver {
	t.Helper()
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	d, err := docker.New(docker.Options{Installation: "far", Log: slog.New(slog.DiscardHandler),
		Connection: endpoint.Connection{Endpoint: strings.Replace(server.URL, "http", "tcp", 1), AllowPlaintext: true}})
	must(t, err)
	t.Cleanup(func() { must(t, d.Close()) })
	return d
}

func (f *farEngine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Api-Version", f.api)
	path := r.URL.Path
	labels := func(service string) map[string]string {
		return map[string]string{driver.LabelInstallation: "far", driver.LabelService: service}
	}
	answer := func(v any) { _ = json.NewEncoder(w).Encode(v) }
	switch parts := strings.Split(path, "/"); {
	case strings.HasSuffix(path, "/_ping"):
		fmt.Fprint(w, "OK")
	case strings.HasSuffix(path, "/events"):
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	case strings.HasSuffix(path, "/containers/json"):
		var all []map[string]any
		for i := range f.containers {
			all = append(all, map[string]any{"Id": fmt.Sprint("id-", i), "Names": []string{fmt.Sprint("/uws-far-s", i, "-x")}, "State": "running", "Labels": labels(fmt.Sprint("s", i))})
		}
		answer(all)
	case strings.HasSuffix(path, "/stats"):
		f.stats(w, r, parts[len(parts)-2])
	case strings.Contains(path, "/containers/"):
		f.inspected.Add(1)
		id := parts[len(parts)-2]
		answer(map[string]any{"Id": id, "Config": map[string]any{"Labels": labels("s" + strings.TrimPrefix(id, "id-"))},
			"State": map[string]any{"Running": true, "Pid": os.Getpid(), "StartedAt": "2020-01-01T00:00:01Z", "FinishedAt": "0001-01-01T00:00:00Z"}})
	case strings.Contains(path, "/volumes/"):
		answer(map[string]any{"Name": parts[len(parts)-1], "Mountpoint": "/", "Labels": map[string]string{driver.LabelInstallation: "far"}})
	case strings.HasSuffix(path, "/system/df") && r.URL.Query().Get("type") == "volume":
		f.sizes.Add(1)
		answer(map[string]any{"Volumes": []map[string]any{
			{"Name": "uws-far-data", "UsageData": map[string]any{"Size": 12345, "RefCount": 1}},
			{"Name": "uws-far-foreign", "UsageData": map[string]any{"Size": -1, "RefCount": -1}}}})
	default:
		http.Error(w, `{"message": "not in this fake"}`, http.StatusNotFound)
	}
}

func (f *farEngine) stats(w http.ResponseWriter, r *http.Request, id string) {
	now := f.now.Add(1)
	for most := f.most.Load(); now > most && !f.most.CompareAndSwap(most, now); {
		most = f.most.Load()
	}
	if hanging := f.hanging.Load(); hanging != nil && hanging.MatchString(id) {
		select {
		case <-r.Context().Done():
		case <-f.letGo:
		}
	}
	f.now.Add(-1) // before the answer, after which another request may come
	_ = json.NewEncoder(w).Encode(map[string]any{"read": time.Now(), "cpu_stats": map[string]any{"cpu_usage": map[string]any{"total_usage": 1e9}},
		"memory_stats": map[string]any{"usage": 3 << 20, "stats": map[string]any{"inactive_file": 1 << 20}}})
}

// A container that an engine cannot measure costs only its own slot. Runs that are known are not asked for again.
func TestUsageOfHangingContainers(t *testing.T) {
	const n, hanging = 60, 3
	f := &farEngine{api: "1.41", containers: n, letGo: make(chan struct{})}
	d := newFarEngine(t, f)
	var services []string
	for i := range n {
		services = append(services, fmt.Sprint("s", i))
	}
	drivertest.Eventually(t, "all runs are known", func() bool { // once the driver reads the events
		before := f.inspected.Load()
		all, err := d.Usage(t.Context(), services)
		must(t, err)
		if len(all) != n || all["s1"].MemoryBytes != 2<<20 || all["s1"].CPU != time.Second || all["s1"].Run == "" || all["s1"].Descriptors != nil {
			t.Fatalf("%d of %d are measured: %+v", len(all), n, all["s1"])
		}
		return f.inspected.Load() == before
	})
	f.hanging.Store(regexp.MustCompile(`^id-(0|30|59)$`))
	if all, err := d.Usage(t.Context(), services); err != nil || len(all) != n-hanging {
		t.Errorf("where %d hang: %d of %d are measured, %v", hanging, len(all), n, err)
	}
	f.hanging.Store(regexp.MustCompile(`.`))
	if all, err := d.Usage(t.Context(), services[:hanging]); err == nil || len(all) > 0 {
		t.Errorf("where nothing can be measured: %v, %v", all, err)
	}
	drivertest.Eventually(t, "the requests are cancelled", func() bool { return f.now.Load() == 0 })
	f.most.Store(0)
	done := make(chan error)
	go func() {
		_, err := d.Usage(t.Context(), services)
		done <- err
	}()
	drivertest.Eventually(t, "8 are asked for", func() bool { return f.now.Load() == 8 })
	close(f.letGo)
	must(t, <-done)
	if most := f.most.Load(); most != 8 {
		t.Errorf("%d were asked for at once", most)
	}
	if d.UsageInterval() != 30*time.Second {
		t.Errorf("the interval is %v", d.UsageInterval())
	}
}

// The sizes of volumes elsewhere are those that the engine tells, all with one request; an old engine cannot be asked for them.
func TestSizeByEngine(t *testing.T) {
	f := &farEngine{api: "1.44"}
	d := newFarEngine(t, f)
	for range 3 {
		if bytes, err := d.Size(t.Context(), "data"); err != nil || bytes != 12345 {
			t.Errorf("Size says %d, %v", bytes, err)
		}
	}
	if got := f.sizes.Load(); got != 1 {
		t.Errorf("the engine was asked %d times", got)
	}
	if _, err := d.Size(t.Context(), "foreign"); driver.ClassOf(err) != driver.Invalid {
		t.Errorf("of a volume whose size is unknown: %v", err)
	}
	old := &farEngine{api: "1.41"}
	if _, err := newFarEngine(t, old).Size(t.Context(), "data"); driver.ClassOf(err) != driver.Invalid || !strings.Contains(err.Error(), "Docker 23") {
		t.Errorf("an old engine: %v", err)
	}
	if old.sizes.Load() > 0 {
		t.Error("an old engine was asked")
	}
}
