package server_test

import (
	"slices"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator"
)

func TestServiceUptime(t *testing.T) {
	api := newFake()
	sums := orchestrator.UptimeSums{Healthy: 90 * time.Second, Down: 9500 * time.Millisecond, Planned: time.Second, Unknown: 400 * time.Millisecond}
	api.uptime = orchestrator.Uptime{From: at, To: at.Add(time.Hour), UptimeSums: sums,
		Buckets: []orchestrator.UptimeBucket{{From: at, To: at.Add(time.Minute)}, {From: at.Add(time.Minute), To: at.Add(time.Hour), UptimeSums: sums}}}
	url := serve(t, options(api))
	const fields = `from to share healthySeconds downSeconds plannedSeconds unknownSeconds`
	got := post(t, url, `{service(id:"s1"){uptime(range:WEEK){`+fields+` buckets{`+fields+`}} month:uptime{share}}}`, nil)
	const all = `"share":0.9045226130653267,"healthySeconds":90,"downSeconds":9.5,"plannedSeconds":1,"unknownSeconds":0.4}`
	const want = `{"service":{"uptime":{"from":"2026-01-02T02:04:05Z","to":"2026-01-02T03:04:05Z","share":0.9045226130653267,"healthySeconds":90,"downSeconds":9.5,"plannedSeconds":1,"unknownSeconds":0.4,"buckets":[` +
		`{"from":"2026-01-02T02:04:05Z","to":"2026-01-02T02:05:05Z","share":null,"healthySeconds":0,"downSeconds":0,"plannedSeconds":0,"unknownSeconds":0},` +
		`{"from":"2026-01-02T02:05:05Z","to":"2026-01-02T03:04:05Z",` + all + `]},"month":{"share":0.9045226130653267}}}`
	if string(got.Data) != want {
		t.Errorf("got  %s %v\nwant %s", got.Data, got.Errors, want)
	}
	if calls, want := api.called(), []string{"Service s1", "Uptime s1 MONTH", "Uptime s1 WEEK"}; !slices.Equal(slices.Sorted(slices.Values(calls)), want) {
		t.Errorf("the calls are %q, want %q", calls, want)
	}
}

func TestEngineStats(t *testing.T) {
	api := newFake()
	api.stats = []orchestrator.EngineStat{{Name: "connections_used", Unit: orchestrator.StatCount, Value: 3, At: at}, {Name: "database_bytes", Unit: orchestrator.StatBytes, Value: 1e12, At: at}}
	got := post(t, serve(t, options(api)), `{service(id:"s1"){engineStats{name unit value at}}}`, nil)
	const want = `{"service":{"engineStats":[{"name":"connections_used","unit":"COUNT","value":3,"at":"2026-01-02T02:04:05Z"},` +
		`{"name":"database_bytes","unit":"BYTES","value":1e+12,"at":"2026-01-02T02:04:05Z"}]}}`
	if string(got.Data) != want {
		t.Errorf("got  %s %v\nwant %s", got.Data, got.Errors, want)
	}
}
