package app_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/unicorn-web-services/uws/orchestrator/app"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/probe"
)

// reporter is a probe whose engine reports stats, or none, and notes when it is asked.
type reporter struct {
	mu    sync.Mutex
	stats []probe.Stat
	asked []time.Time
}

func (r *reporter) install(o *app.Options) {
	find := o.Probe
	o.Probe = func(probeType string) (probe.Func, bool) {
		f, ok := find(probeType)
		return func(ctx context.Context, t probe.Target) probe.Result {
			result := f(ctx, t)
			if t.Stats && result.Verdict == probe.OK {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.asked = append(r.asked, time.Now())
				result.Stats = r.stats
			}
			return result
		}, ok
	}
}

func (r *reporter) set(stats []probe.Stat) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stats = stats
}

// An engine is asked once a minute for what it reports, at once after a start, and its answers are there while they are new. That it
// has none changes nothing else.
func TestEngineStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := &reporter{stats: []probe.Stat{{Name: "connections_used", Unit: probe.StatCount, Value: 3}, {Name: "database_bytes", Unit: probe.StatBytes, Value: 1e6}}}
		w := newWorld(t, engine.install)
		s := w.healthy(w.launch("a").ID)
		want := func(want string) {
			t.Helper()
			got := ""
			for _, stat := range w.EngineStats(s) {
				if age := time.Since(stat.At); age < 0 || age > 3*time.Minute {
					t.Errorf("%s is %s old", stat.Name, age)
				}
				got += fmt.Sprintf("%s %s %g, ", stat.Name, stat.Unit, stat.Value)
			}
			if got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		const both = "connections_used COUNT 3, database_bytes BYTES 1e+06, "
		want(both)
		<-time.After(10*time.Minute + 5*time.Second)
		if n := len(engine.asked); n != 11 {
			t.Errorf("it was asked %d times in 10 minutes", n)
		}
		for i, at := range engine.asked[1:] {
			if gap := at.Sub(engine.asked[i]); gap < 59*time.Second || gap > 61*time.Second {
				t.Errorf("it was asked after %s", gap)
			}
		}
		const metric = `
			# HELP uws_service_engine_stat A number that the engine of a service reports of itself, such as connections_used.
			# TYPE uws_service_engine_stat gauge
			uws_service_engine_stat{kind="QUEUE",node="local",service="a",stat="connections_used"} 3
			uws_service_engine_stat{kind="QUEUE",node="local",service="a",stat="database_bytes"} 1e+06
		`
		reg := prometheus.NewRegistry()
		reg.MustRegister(w.ServiceMetrics(nil)...)
		if err := testutil.GatherAndCompare(reg, strings.NewReader(metric), "uws_service_engine_stat"); err != nil {
			t.Error(err)
		}

		story := len(w.story(s.ID))
		engine.set(nil)
		<-time.After(2 * time.Minute)
		want(both)
		<-time.After(2 * time.Minute)
		want("")
		if got := w.story(s.ID); len(got) != story || w.get(s.ID).Health != lifecycle.HealthHealthy {
			t.Errorf("what has happened without stats: %v", got[story:])
		}

		engine.set([]probe.Stat{{Name: "streams", Unit: probe.StatCount, Value: 1}})
		if _, err := w.Stop(t.Context(), s.ID); err != nil {
			t.Fatal(err)
		}
		w.waitFor(s.ID, lifecycle.Stopped, lifecycle.HealthUnknown)
		want("")
		if _, err := w.Start(t.Context(), s.ID); err != nil {
			t.Fatal(err)
		}
		w.healthy(s.ID)
		want("streams COUNT 1, ")
		w.machine.set(func() { w.machine.startErr = func(driver.Spec) error { return errors.New("no") } })
		w.machine.crash(s.ID, 1)
		w.eventually("it does not run", func() bool { return w.get(s.ID).Phase != lifecycle.Running })
		want("")
	})
}
