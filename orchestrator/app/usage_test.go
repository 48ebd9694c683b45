package app_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/app"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
)

// calm is a world in which little happens by itself, so that days pass quickly.
func calm(t *testing.T) *world {
	return newWorld(t, func(o *app.Options) { o.NodeInterval, o.Resync = time.Minute, time.Hour })
}

// using launches a service that uses as much as is given.
func (w *world) using(name string, u use) *orchestrator.Service {
	w.t.Helper()
	s := w.healthy(w.mustLaunch(orchestrator.LaunchInput{Name: name, Check: orchestrator.CheckInput{Interval: new(time.Minute)}}).ID)
	w.machine.set(func() { w.machine.uses[s.ID] = u })
	return s
}

func (w *world) history(s *orchestrator.Service, within orchestrator.UsageRange, points int) orchestrator.UsageHistory {
	w.t.Helper()
	h, err := w.UsageHistory(w.t.Context(), s, within, points)
	if err != nil {
		w.t.Fatal(err)
	}
	if n := int(h.To.Sub(h.From) / h.Step); len(h.CPU) != n || len(h.MemoryBytes) != n || n > points || h.ID != s.ID {
		w.t.Errorf("the history of %s has %d values of %s from %s to %s, want at most %d", h.ID, len(h.CPU), h.Step, h.From, h.To, points)
	}
	return h
}

func present(column []*float64) (n int) {
	for _, v := range column {
		if v != nil {
			n++
		}
	}
	return n
}

// all reports whether every value that is present is this one.
func all(column []*float64, want float64) bool {
	return !slices.ContainsFunc(column, func(v *float64) bool { return v != nil && (*v < want*0.999 || *v > want*1.001) })
}

// A running service is measured, a stopped one is not, and no counter of a run is compared with that of another.
func TestUsage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := calm(t)
		s := w.using("q", use{0.5, 64 << 20})
		if got := w.Usage(s); got != nil {
			t.Errorf("before the first measurement: %+v", got)
		}
		<-time.After(10 * time.Second)
		first := w.Usage(s)
		if first == nil || first.CPU != nil || first.Received != nil || first.MemoryBytes != 64<<20 {
			t.Fatalf("after the first measurement: %+v", first)
		}
		<-time.After(10 * time.Second)
		got := w.Usage(s)
		if got == nil || got.CPU == nil || *got.CPU != 0.5 || *got.Received != 1000 || *got.Processes != 3 || got.CPULimit != nil || got.MemoryLimit != nil || got.ServiceID != s.ID {
			t.Fatalf("after the second measurement: %+v", got)
		}
		node, err := w.Node(t.Context(), s.NodeID)
		if err != nil {
			t.Fatal(err)
		}
		if n := w.NodeUsage(node); n == nil || *n.CPU != 1.25 || *n.MemoryBytes != 600<<20 || n.ServiceCPU != 0.5 || n.ServiceMemory != 64<<20 || *n.CPUs != 2 {
			t.Errorf("the node: %+v", n)
		}

		w.machine.set(func() { w.machine.uses[s.ID] = use{100, 64 << 20} }) // so that its counter is soon beyond that of the run before
		w.machine.crash(s.ID, 137)
		w.healthy(s.ID)
		<-time.After(10 * time.Second)
		if got := w.Usage(s); got == nil || got.CPU != nil {
			t.Errorf("at the first measurement of another run: %+v", got)
		}
		if _, err := w.Stop(t.Context(), s.ID); err != nil {
			t.Fatal(err)
		}
		<-time.After(10 * time.Second)
		if got := w.Usage(s); got != nil {
			t.Errorf("after Stop: %+v", got)
		}
		if h := w.history(s, orchestrator.UsageHour, 360); present(h.MemoryBytes) != 3 || present(h.CPU) != 1 || !all(h.CPU, 0.5) || present(h.Connections) != 0 {
			t.Errorf("history: %d values of memory, %d of CPU", present(h.MemoryBytes), present(h.CPU))
		}
		w.restart() // before the minute has ended
		if h := w.history(s, orchestrator.UsageHour, 360); present(h.MemoryBytes) != 3 {
			t.Errorf("after a restart, the history has %d values of memory, want the same 3", present(h.MemoryBytes))
		}
	})
}

// An old value is not shown as the present one while the node does not answer, and a node that hangs delays its own measurements only.
func TestUsageOfNodesThatDoNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := cluster(t, "a", "b")
		onA := w.healthy(w.mustLaunch(orchestrator.LaunchInput{Name: "on-a", NodeID: "a", Limits: orchestrator.LimitsInput{MemoryMiB: new(128), CPUs: new(1.5)}}).ID)
		onB := w.healthy(w.mustLaunch(orchestrator.LaunchInput{Name: "on-b", NodeID: "b"}).ID)
		<-time.After(time.Minute)
		if got := w.Usage(onA); got == nil || *got.CPULimit != 1.5 || *got.MemoryLimit != 128<<20 {
			t.Fatalf("measured: %+v", got)
		}
		a, err := w.Node(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		if n := w.NodeUsage(a); n == nil || n.PromisedMemory != 128<<20 || n.PromisedCPU != 1.5 {
			t.Errorf("promised on the node: %+v", n)
		}
		w.machine.others["a"].set(func() { w.machine.others["a"].hanging = true })
		<-time.After(2 * time.Minute)
		if got := w.Usage(onA); got != nil {
			t.Errorf("what was measured %s ago is shown as the present use", time.Since(got.At))
		}
		if got := w.Usage(onB); got == nil || time.Since(got.At) > 40*time.Second {
			t.Errorf("the other node: %+v", got)
		}
		if n := w.NodeUsage(a); n != nil {
			t.Errorf("the node: %+v", n)
		}
		w.machine.others["a"].set(func() { w.machine.others["a"].hanging = false })
		<-time.After(3 * time.Minute)
		if got := w.Usage(onA); got == nil {
			t.Error("not measured again")
		}
		h := w.history(onA, orchestrator.UsageHour, 360)
		if n := present(h.MemoryBytes); n < 14 || n > 20 {
			t.Errorf("%d of 36 steps have a value: steps between measurements 30 s apart count, those without a measurement do not", n)
		}
	})
}

// The history of the finest steps is rolled up, survives restarts, has gaps where nothing was measured, and ends with the service.
func TestUsageHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := calm(t)
		s := w.using("q", use{0.5, 64 << 20})
		<-time.After(90 * time.Minute)
		w.stop()
		<-time.After(30 * time.Minute)
		w.start()
		s = w.healthy(s.ID)
		<-time.After(time.Hour)
		for within, want := range map[orchestrator.UsageRange]int{
			orchestrator.UsageHour: 360, orchestrator.UsageDay: 75, orchestrator.UsageWeek: 11, orchestrator.UsageMonth: 4,
		} {
			h := w.history(s, within, 1000) // of a day, two minutes are joined; of a month, 45
			if n := present(h.MemoryBytes); n < want-2 || n > want+2 {
				t.Errorf("%s: %d values, want about %d", within, n, want)
			}
			if !all(h.CPU, 0.5) || !all(h.MemoryBytes, 64<<20) || !all(h.Received, 1000) {
				t.Errorf("%s has other values than were measured", within)
			}
		}
		if h := w.history(s, orchestrator.UsageMonth, 1000); h.Step != 45*time.Minute || present(h.CPU) < 4 || present(h.CPU) > 5 {
			t.Errorf("30 days: %d values of %s", present(h.CPU), h.Step)
		}
		if h := w.history(s, orchestrator.UsageHour, 1); len(h.CPU) != 1 || h.Step != time.Hour || present(h.CPU) != 1 {
			t.Errorf("in one point: %d values of %s", len(h.CPU), h.Step)
		}
		node, err := w.Node(t.Context(), s.NodeID)
		if err != nil {
			t.Fatal(err)
		}
		if h, err := w.NodeUsageHistory(t.Context(), node, orchestrator.UsageDay, 1000); err != nil || present(h.CPU) < 70 || !all(h.CPU, 1.25) || h.ID != node.ID {
			t.Errorf("the node has %d values: %v", present(h.CPU), err)
		}
		for _, points := range []int{0, -1, 1001} {
			_, err := w.UsageHistory(t.Context(), s, orchestrator.UsageHour, points)
			wantCode(t, err, orchestrator.InvalidInput, "1 to 1000")
		}

		file := filepath.Join(w.dir, "data", "usage", "services", s.ID)
		if info, err := os.Stat(file); err != nil || info.Size() > 200_000 {
			t.Errorf("the file: %v, %v", info, err)
		}
		if err := os.WriteFile(file, []byte("damaged"), 0o600); err != nil {
			t.Fatal(err)
		}
		if h := w.history(s, orchestrator.UsageDay, 1000); present(h.CPU) > 0 {
			t.Error("a damaged file has values")
		}
		<-time.After(5 * time.Minute)
		if h := w.history(s, orchestrator.UsageDay, 1000); present(h.CPU) < 3 {
			t.Error("a damaged file did not begin again")
		}
		other := w.healthy(w.launch("other").ID)
		if _, err := w.Remove(t.Context(), s.ID, true); err != nil {
			t.Fatal(err)
		}
		w.gone(s.ID)
		<-time.After(2 * time.Minute)
		folder := filepath.Dir(file)
		w.left(folder, other.ID)
		w.stop()
		for _, name := range []string{"of-a-service-that-is-gone", "gone.damaged"} {
			if err := os.WriteFile(filepath.Join(folder, name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		w.start()
		<-time.After(time.Second)
		w.left(folder, other.ID)
	})
}

// left expects these files in a folder.
func (w *world) left(folder string, want ...string) {
	w.t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		w.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if !slices.Equal(names, want) {
		w.t.Errorf("%s has %v, want %v", folder, names, want)
	}
}

// A watch begins with what is known, gets each measurement once, and ends with its services.
func TestWatchUsage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := calm(t)
		a, b := w.using("a", use{0.25, 1 << 20}), w.using("b", use{0.75, 2 << 20})
		watch := func(span orchestrator.Span, ids ...string) (seen func() []string, ended <-chan int64) {
			var mu sync.Mutex
			var got []string
			end := make(chan int64, 1)
			go func() {
				position, err := w.WatchUsage(t.Context(), ids, span, func(batch *orchestrator.UsageBatch) error {
					var names []string
					for _, u := range batch.Services {
						names = append(names, map[string]string{a.ID: "a", b.ID: "b"}[u.ServiceID])
					}
					slices.Sort(names)
					mu.Lock()
					defer mu.Unlock()
					got = append(got, strings.Join(names, "+"))
					return nil
				})
				if err != nil {
					t.Error(err)
				}
				end <- position
			}()
			return func() []string {
				synctest.Wait()
				mu.Lock()
				defer mu.Unlock()
				return slices.Clone(got)
			}, end
		}
		early, earlyEnd := watch(orchestrator.Span{Live: true}, a.ID)
		if got := early(); len(got) > 0 {
			t.Errorf("before the first measurement: %v", got)
		}
		<-time.After(30*time.Second + time.Millisecond)
		if got := early(); !slices.Equal(got, []string{"a", "a", "a"}) {
			t.Errorf("after three measurements: %v", got)
		}
		known, knownEnd := watch(orchestrator.Span{}, b.ID, a.ID, a.ID)
		if got := known(); !slices.Equal(got, []string{"a+b"}) {
			t.Errorf("what is known: %v", got)
		}
		position := <-knownEnd
		caught, _ := watch(orchestrator.Span{After: &position, Live: true}, b.ID, a.ID)
		if got := caught(); len(got) > 0 {
			t.Errorf("after the present position: %v", got)
		}
		if _, err := w.Remove(t.Context(), a.ID, true); err != nil {
			t.Fatal(err)
		}
		w.gone(a.ID)
		<-time.After(20 * time.Second)
		if end := <-earlyEnd; end != orchestrator.Over {
			t.Errorf("the watch of a removed service ended at %d", end)
		}
		if got := caught(); len(got) == 0 || slices.ContainsFunc(got, func(s string) bool { return s != "b" }) {
			t.Errorf("the other service: %v", got)
		}
		for ids, code := range map[string]orchestrator.Code{"": orchestrator.InvalidInput, a.ID: orchestrator.NotFound, strings.Repeat("x ", 201): orchestrator.InvalidInput} {
			_, err := w.WatchUsage(t.Context(), strings.Fields(ids), orchestrator.Span{Live: true}, nil)
			wantCode(t, err, code, "")
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := w.WatchUsage(ctx, []string{b.ID}, orchestrator.Span{Live: true}, func(*orchestrator.UsageBatch) error { return nil }); err != nil && ctx.Err() == nil {
			t.Error(err)
		}
	})
}

func codesOf(warnings []orchestrator.Warning) (codes []orchestrator.WarningCode) {
	for _, w := range warnings {
		codes = append(codes, w.Code)
	}
	return codes
}

// Memory near the limit warns after ten minutes, and no longer than it is.
func TestMemoryWarning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := cluster(t, "a")
		a := w.machine.others["a"]
		s := w.healthy(w.sized("q", 100).ID)
		a.set(func() { a.uses[s.ID] = use{0, 91 << 20} })
		<-time.After(9 * time.Minute)
		if got := w.Warnings(s); len(got) > 0 {
			t.Errorf("after 9 minutes: %+v", got)
		}
		<-time.After(2 * time.Minute)
		got := w.Warnings(s)
		if len(got) != 1 || got[0].Code != orchestrator.WarnMemoryHigh || time.Since(got[0].Since) < 10*time.Minute || !strings.Contains(got[0].Text, "100 MiB") {
			t.Errorf("after 11 minutes: %+v", got)
		}
		if n := metric(t, w.ServiceMetrics(nil), "uws_service_warning"); n != 1 {
			t.Errorf("uws_service_warning is %v", n)
		}
		a.set(func() { a.uses[s.ID] = use{0, 89 << 20} })
		<-time.After(time.Minute)
		if got := w.Warnings(s); len(got) > 0 {
			t.Errorf("below it: %+v", got)
		}
		a.set(func() { a.uses[s.ID] = use{0, 91 << 20} })
		<-time.After(12 * time.Minute)
		if _, err := w.Stop(t.Context(), s.ID); err != nil {
			t.Fatal(err)
		}
		<-time.After(3 * time.Minute)
		if got := w.Warnings(s); len(got) > 0 {
			t.Errorf("while it does not run: %+v", got)
		}
	})
}

// A disk that is full in two days at the present rate is warned of, for the volume that fills it and for the node.
func TestDiskWarning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := calm(t)
		s, quiet := w.using("grows", use{}), w.using("quiet", use{})
		grow := func(perHour int64, hours int) {
			for range hours * 12 {
				w.machine.set(func() {
					w.machine.sizes[s.Volume] += perHour / 12
					w.machine.sizes[quiet.Volume] = 1 << 30
					w.machine.info.DiskTotal, w.machine.info.DiskFree = 100<<30, 40<<30-w.machine.sizes[s.Volume]
				})
				<-time.After(5 * time.Minute)
			}
		}
		node, err := w.Node(t.Context(), s.NodeID)
		if err != nil {
			t.Fatal(err)
		}
		grow(100<<20, 2) // 400 h
		if got := append(w.Warnings(s), w.NodeWarnings(node)...); len(got) > 0 {
			t.Errorf("of slow growth: %+v", got)
		}
		grow(4<<30, 2) // 8 h at that rate, 13 h by the mean of the last hours
		for _, got := range [][]orchestrator.Warning{w.Warnings(s), w.NodeWarnings(node)} {
			if !slices.Equal(codesOf(got), []orchestrator.WarningCode{orchestrator.WarnDiskFilling}) || !strings.Contains(got[0].Text, "full in 1") {
				t.Errorf("of fast growth: %+v", got)
			}
		}
		if got := w.Warnings(quiet); len(got) > 0 {
			t.Errorf("of a volume that does not grow: %+v", got)
		}
		grow(-4<<30, 2)
		if got := append(w.Warnings(s), w.NodeWarnings(node)...); len(got) > 0 {
			t.Errorf("when it shrinks: %+v", got)
		}
		if use := w.Usage(s); use == nil || use.DiskBytes == nil || *use.DiskBytes > 1<<30 || time.Since(*use.DiskAt) > 6*time.Minute {
			t.Errorf("the volume: %+v", use)
		}
	})
}

// metric returns the sum of a metric's series; -1 if there is none.
func metric(t *testing.T, collectors []prometheus.Collector, name string) float64 {
	t.Helper()
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors...)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return sumOf(families, name)
}

func sumOf(families []*dto.MetricFamily, name string) float64 {
	sum := -1.0
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		sum = 0
		for _, m := range f.GetMetric() {
			sum += m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return sum
}

// What is measured is in the metrics, those of services for callers with credentials, unless it is turned off.
func TestUsageMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := calm(t)
		w.machine.set(func() { w.machine.info.DiskTotal, w.machine.info.DiskFree = 10<<30, 4<<30 })
		s := w.using("q", use{0.5, 64 << 20})
		<-time.After(2 * time.Minute)
		for name, want := range map[string]float64{
			"uws_service_cpu_seconds_total": 60, "uws_service_memory_bytes": 64 << 20,
		} {
			if got := metric(t, w.ServiceMetrics(nil), name); got < want*0.9 || got > want*1.1 {
				t.Errorf("%s is %v, want about %v", name, got, want)
			}
			if got := metric(t, w.ServiceMetrics([]catalog.Kind{catalog.DB}), name); got != -1 {
				t.Errorf("a caller of another kind gets %s", name)
			}
		}
		families, err := w.reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]float64{"uws_node_memory_bytes": 600 << 20, "uws_node_memory_total_bytes": 1 << 30, "uws_node_disk_bytes": 6 << 30} {
			if got := sumOf(families, name); got != want {
				t.Errorf("%s is %v, want %v", name, got, want)
			}
		}
		w.options = append(w.options, func(o *app.Options) { o.NoUsageMetrics = true })
		w.restart()
		w.healthy(s.ID)
		<-time.After(time.Minute)
		families, err = w.reg.Gather()
		if err != nil || sumOf(families, "uws_node_memory_bytes") != -1 || metric(t, w.ServiceMetrics(nil), "uws_service_memory_bytes") != -1 {
			t.Errorf("turned off, they are there: %v", err)
		}
	})
}
