package uptime

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/series"
)

func TestStateOf(t *testing.T) {
	const run, stop, remove = lifecycle.WantRunning, lifecycle.WantStopped, lifecycle.WantRemoved
	for _, c := range []struct {
		desired lifecycle.Desired
		phase   lifecycle.Phase
		health  lifecycle.Health
		code    lifecycle.ReasonCode
		want    state
	}{
		{run, lifecycle.Running, lifecycle.HealthHealthy, lifecycle.CodeHealthy, healthy},
		{run, lifecycle.Running, lifecycle.HealthSuspect, lifecycle.CodeProbeFailed, healthy},
		{run, lifecycle.Running, lifecycle.HealthUnknown, lifecycle.CodeNodeLost, unknown},
		{run, lifecycle.Running, lifecycle.HealthUnknown, lifecycle.CodeProbeNotAsked, unknown},
		{run, lifecycle.Restarting, lifecycle.HealthUnknown, lifecycle.CodeNodeRefused, unknown},
		{run, lifecycle.Restarting, lifecycle.HealthUnknown, lifecycle.CodeRestartRequested, down},
		{run, lifecycle.Restarting, lifecycle.HealthUnhealthy, lifecycle.CodeExited, down},
		{run, lifecycle.Starting, lifecycle.HealthStarting, lifecycle.CodeExited, down},
		{run, lifecycle.CrashLoop, lifecycle.HealthUnhealthy, lifecycle.CodeCrashLoop, down},
		{run, lifecycle.Failed, lifecycle.HealthUnhealthy, lifecycle.CodeDataMissing, down},
		{run, lifecycle.Pending, lifecycle.HealthUnknown, lifecycle.CodeWaitingForNode, down},
		{run, lifecycle.Stopped, lifecycle.HealthUnknown, lifecycle.CodeStopped, down}, // a start was requested
		{stop, lifecycle.Running, lifecycle.HealthHealthy, lifecycle.CodeHealthy, planned},
		{stop, lifecycle.Stopped, lifecycle.HealthUnknown, lifecycle.CodeStopped, planned},
		{stop, lifecycle.Stopping, lifecycle.HealthUnknown, lifecycle.CodeNodeLost, planned},
		{remove, lifecycle.Removing, lifecycle.HealthUnknown, lifecycle.CodeRemoveRequested, planned},
	} {
		if got := stateOf(c.desired, c.phase, c.health, c.code); got != c.want {
			t.Errorf("%s, %s, %s, %s: %d, want %d", c.desired, c.phase, c.health, c.code, got, c.want)
		}
	}
}

// begin is shortly before the end of a day.
var begin = time.Date(2026, 3, 1, 23, 59, 0, 0, time.UTC) //nolint:gochecknoglobals // a constant

// newTestRecord is of a service that became healthy at begin.
func newTestRecord(t *testing.T) (r *record, dir string) {
	t.Helper()
	u := &Uptimes{opts: Options{Dir: filepath.Join(t.TempDir(), "uptime")}, tiers: tiers()}
	r = u.newRecord("a")
	r.in(healthy, begin, 0)
	return r, u.opts.Dir
}

func (r *record) in(s state, now time.Time, elapsed time.Duration) {
	r.state = s
	r.count(now, elapsed)
}

func (r *record) want(t *testing.T, now time.Time, want orchestrator.UptimeSums) {
	t.Helper()
	for tier, n := range []int{48, 30} {
		u, err := r.report(tier, n, now)
		if err != nil {
			t.Fatal(err)
		}
		got := u.UptimeSums
		for _, d := range []time.Duration{got.Healthy - want.Healthy, got.Down - want.Down, got.Planned - want.Planned, got.Unknown - want.Unknown} {
			if d.Abs() > rounding {
				t.Errorf("tier %d: got  %+v\nwant %+v", tier, got, want)
				break
			}
		}
	}
}

// Time is counted by what elapsed, whatever the clock says: what it leaps over is unknown, as is what the machine was suspended
// for, and what it repeats counts once.
func TestClock(t *testing.T) {
	r, _ := newTestRecord(t)
	now := begin.Add(2 * time.Minute)
	r.in(healthy, now, 2*time.Minute)
	r.in(down, now.Add(400*time.Millisecond), 400*time.Millisecond)
	r.want(t, now.Add(400*time.Millisecond), orchestrator.UptimeSums{Healthy: 2 * time.Minute, Down: 400 * time.Millisecond})

	now = now.Add(5 * time.Hour) // it was suspended
	r.in(healthy, now, time.Minute)
	leap := 5*time.Hour - time.Minute - 400*time.Millisecond
	r.want(t, now, orchestrator.UptimeSums{Healthy: 3 * time.Minute, Down: 400 * time.Millisecond, Unknown: leap})
	if err := r.flush(now); err != nil {
		t.Fatal(err)
	}

	r.in(healthy, now.Add(59*time.Minute), 59*time.Minute) // the clock is set back by 59 min, and the hour is over again
	r.in(down, now.Add(59*time.Minute), 59*time.Minute)
	u, err := r.report(hours, 2, now.Add(59*time.Minute))
	if err != nil || u.Healthy+u.Down > 61*time.Minute {
		t.Errorf("the same hour twice: %+v, %v", u.UptimeSums, err)
	}
}

// However often it is written, a sum is exact, also over the start of another process.
func TestManyFlushes(t *testing.T) {
	u := &Uptimes{opts: Options{Dir: t.TempDir()}, tiers: tiers()}
	r := u.newRecord("a")
	r.in(healthy, begin, 0)
	now := begin
	var want orchestrator.UptimeSums
	for i := range 40 * 60 {
		now = now.Add(time.Minute)
		r.in(down, now.Add(-time.Minute+400*time.Millisecond), 400*time.Millisecond)
		r.in(healthy, now, time.Minute-400*time.Millisecond)
		want.Down += 400 * time.Millisecond
		want.Healthy += time.Minute - 400*time.Millisecond
		if err := r.flush(now); err != nil {
			t.Fatal(err)
		}
		if i%1000 == 700 {
			r = u.newRecord("a")
			if err := r.load(now); err != nil || r.first.Sub(begin).Abs() > rounding {
				t.Fatalf("it was first healthy at %s, %v", r.first, err)
			}
		}
	}
	r.want(t, now, want)
	if info, err := os.Stat(filepath.Join(u.opts.Dir, "a")); err != nil || info.Size() > series.Size(u.tiers) || info.Size() > 20_000 {
		t.Errorf("the file has %v, %v; want at most %d bytes", info, err, series.Size(u.tiers))
	}
}

// What cannot be written stays, is in reports meanwhile, and is written later.
func TestWritingFails(t *testing.T) {
	r, dir := newTestRecord(t)
	if err := os.WriteFile(dir, nil, 0o600); err != nil { // no folder can be made there
		t.Fatal(err)
	}
	now := begin
	for range 50 {
		now = now.Add(time.Hour)
		r.in(healthy, now, time.Hour)
		if err := r.flush(now); err == nil {
			t.Fatal("it was written into a file")
		}
	}
	if got := r.pending[hours]; len(got) != 51 {
		t.Errorf("%d hours are kept", len(got))
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := r.flush(now); err != nil {
		t.Fatal(err)
	}
	u, err := r.report(days, 30, now)
	if err != nil || (u.Healthy-50*time.Hour).Abs() > rounding || u.Unknown > 0 {
		t.Errorf("%+v, %v", u.UptimeSums, err)
	}
}

// Whatever is in a file, no bucket has more than its length.
func FuzzReport(f *testing.F) {
	f.Add([]byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, junk []byte) {
		r, dir := newTestRecord(t)
		path := filepath.Join(dir, "a")
		now := begin.Add(26 * time.Hour)
		r.in(healthy, now, 26*time.Hour)
		if err := r.flush(now); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		last := data[len(data)-20:] // the newest day
		copy(last[4:], junk)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		u, err := (&Uptimes{opts: Options{Dir: dir}, tiers: tiers()}).newRecord("a").report(days, 30, now)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range u.Buckets {
			if b.Healthy < 0 || b.Down < 0 || b.Planned < 0 || b.Unknown < 0 || b.Healthy+b.Down+b.Planned+b.Unknown > 24*time.Hour {
				t.Errorf("%+v", b)
			}
		}
	})
}

// The past that events tell ends with the newest of them, or, of a service that was healthy, with its last check.
func TestPast(t *testing.T) {
	at := func(minute int) time.Time { return begin.Add(time.Duration(minute) * time.Minute) }
	change := func(minute int, from, to lifecycle.Phase, health lifecycle.Health) *ent.Event {
		unhealthy := lifecycle.HealthUnhealthy
		return &ent.Event{At: at(minute), PreviousPhase: &from, PreviousHealth: &unhealthy, Phase: &to, Health: &health}
	}
	stop := change(20, lifecycle.Running, lifecycle.Stopping, lifecycle.HealthUnknown)
	heal := change(10, lifecycle.Starting, lifecycle.Running, lifecycle.HealthHealthy)
	launched := &ent.Service{CreatedAt: at(0), DesiredState: lifecycle.WantRunning, Phase: lifecycle.Running, Health: lifecycle.HealthHealthy}
	checked, old := *launched, *launched
	checked.LastHealthCheckAt = new(at(25))
	old.CreatedAt, old.HealthySince, old.LastHealthCheckAt = at(-1000), new(at(-900)), new(at(25))
	for name, c := range map[string]struct {
		row    *ent.Service
		events []*ent.Event
		want   []span
	}{
		"no check":          {launched, []*ent.Event{heal}, []span{{down, at(0), at(10)}}},
		"checked":           {&checked, []*ent.Event{heal}, []span{{down, at(0), at(10)}, {healthy, at(10), at(25)}}},
		"stopped":           {&checked, []*ent.Event{heal, stop}, []span{{down, at(0), at(10)}, {healthy, at(10), at(20)}, {planned, at(20), at(30)}}},
		"before the log":    {&old, []*ent.Event{heal}, []span{{down, at(5), at(10)}, {healthy, at(10), at(25)}}},
		"without any event": {&old, nil, []span{{healthy, at(-900), at(25)}}},
		"from the future":   {launched, []*ent.Event{change(40, lifecycle.Starting, lifecycle.Running, lifecycle.HealthHealthy)}, []span{{down, at(0), at(30)}}},
	} {
		logBegan := at(0)
		if c.row == &old {
			logBegan = at(5)
		}
		got := past(c.row, c.events, logBegan, at(30))
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// BenchmarkFlush writes what a minute adds to the records of 5,000 services.
func BenchmarkFlush(b *testing.B) {
	u := &Uptimes{opts: Options{Dir: b.TempDir(), Log: slog.New(slog.DiscardHandler)}, tiers: tiers(), records: map[string]*record{}}
	for i := range 5000 {
		r := u.newRecord(strconv.Itoa(i))
		r.state = healthy
		r.start(time.Now())
		u.records[r.id] = r
	}
	u.flush()
	for b.Loop() {
		for _, r := range u.records {
			r.add(healthy, time.Now(), time.Now().Add(time.Millisecond))
		}
		u.flush()
	}
}
