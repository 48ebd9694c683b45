package usage

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/series"
)

func nan() float64 { return math.NaN() }

// Processor and network are means, the others maxima, without what is missing.
func TestRollUp(t *testing.T) {
	rows := func(values ...float64) (all []series.Row) {
		for i, v := range values {
			r := series.Row{Step: int64(i + 2), Values: missing()}
			for c := range r.Values {
				r.Values[c] = float32(v)
			}
			all = append(all, r)
		}
		return all
	}
	got := rollUp(rows(1, 4, nan(), 7, nan()), 3) // steps 2; 3, 4, 5; 6
	want := []struct {
		step      int64
		mean, max float64
	}{{0, 1, 1}, {1, 5.5, 7}, {2, nan(), nan()}}
	if len(got) != len(want) {
		t.Fatalf("%d rows: %v", len(got), got)
	}
	same := func(a float32, b float64) bool { return float64(a) == b || math.IsNaN(float64(a)) && math.IsNaN(b) }
	for i, w := range want {
		v := got[i].Values
		if got[i].Step != w.step || !same(v[cpuColumn], w.mean) || !same(v[sentColumn], w.mean) || !same(v[memoryColumn], w.max) || !same(v[connectionsColumn], w.max) {
			t.Errorf("row %d is %+v, want step %d, mean %v, maximum %v", i, got[i], w.step, w.mean, w.max)
		}
	}
}

// Growth is that of the trend: spikes and saws do not count, nor does what was seen for less than an hour.
func TestGrowth(t *testing.T) {
	quarter := tiers()[quarters]
	trend := func(n int, at func(i int) float64) (rows []series.Row) {
		for i := range n {
			r := series.Row{Step: 1000 + int64(i), Values: missing()}
			r.Values[diskColumn] = float32(at(i))
			rows = append(rows, r)
		}
		return rows
	}
	const gib = 1 << 30
	for what, c := range map[string]struct {
		rows     []series.Row
		from, to float64 // GiB an hour
	}{
		"steady":        {trend(24, func(i int) float64 { return gib * float64(i) / 4 }), 0.99, 1.01},
		"shrinking":     {trend(24, func(i int) float64 { return gib * float64(24-i) / 4 }), -1.01, -0.99},
		"constant":      {trend(24, func(int) float64 { return 5 * gib }), 0, 0},
		"half an hour":  {trend(3, func(i int) float64 { return gib * float64(i) }), 0, 0},
		"with gaps":     {trend(24, func(i int) float64 { return map[bool]float64{true: gib * float64(i) / 4, false: nan()}[i%5 == 0] }), 0.99, 1.01},
		"a saw":         {trend(24, func(i int) float64 { return gib * float64(i%4) / 4 }), -0.1, 0.1},
		"nothing known": {trend(24, func(int) float64 { return nan() }), 0, 0},
		"none":          {nil, 0, 0},
	} {
		got := growth(c.rows, quarter, diskColumn) * 3600 / gib
		if got < c.from-1e-9 || got > c.to+1e-9 {
			t.Errorf("%s: %.3f GiB an hour, want %.2f to %.2f", what, got, c.from, c.to)
		}
	}
}

func TestConnectionsWarning(t *testing.T) {
	now := time.Now()
	stats := func(used, most float64, age time.Duration) []orchestrator.EngineStat {
		return []orchestrator.EngineStat{{Name: "connections_max", Value: most, At: now.Add(-age)}, {Name: "connections_used", Value: used, At: now.Add(-age)}}
	}
	for what, c := range map[string]struct {
		stats []orchestrator.EngineStat
		want  string
	}{
		"above":    {stats(81, 100, 0), "81 of the 100 connections"},
		"at it":    {stats(80, 100, 0), ""},
		"old":      {stats(99, 100, 4*time.Minute), ""},
		"no limit": {stats(99, 100, 0)[1:], ""},
		"none":     {nil, ""},
	} {
		var w warnings
		w.give(orchestrator.WarnConnectionsHigh, now, now.Add(time.Minute), "before")
		w.connections(connectionsOf(c.stats, now), now.Add(time.Minute))
		got := w.active(now)
		if c.want == "" && len(got) > 0 || c.want != "" && (len(got) != 1 || !strings.Contains(got[0].Text, c.want)) {
			t.Errorf("%s: %+v, want %q", what, got, c.want)
		}
		if got := w.active(now.Add(time.Hour)); len(got) > 0 {
			t.Errorf("%s: an hour later: %+v", what, got)
		}
	}
}

// A service takes at most 200 kB, however long it is measured, in a thousand files as in one.
func TestSize(t *testing.T) {
	if most := series.Size(tiers()); most > 200_000 {
		t.Fatalf("a file can have %d bytes", most)
	}
	dir := t.TempDir()
	total := int64(0)
	for i := range 1000 {
		f := series.NewFile(filepath.Join(dir, string(rune('a'+i%26))+time.Duration(i).String()), tiers())
		if i%100 != 0 { // of the others the ends
			for tier, tr := range tiers() {
				if err := f.Write(tier, series.Row{Step: int64(tr.Slots) - 1}); err != nil {
					t.Fatal(err)
				}
			}
			continue
		}
		for tier, tr := range tiers() {
			rows := make([]series.Row, tr.Slots+5)
			for n := range rows {
				rows[n].Step = int64(n + 1)
			}
			if err := f.Write(tier, rows...); err != nil {
				t.Fatal(err)
			}
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		total += info.Size()
	}
	if len(entries) != 1000 || total > 1000*200_000 {
		t.Errorf("%d files have %d bytes", len(entries), total)
	}
}

// BenchmarkWrite is what one service takes each minute.
func BenchmarkWrite(b *testing.B) {
	f := series.NewFile(filepath.Join(b.TempDir(), "file"), tiers())
	step := int64(180_000_000)
	for b.Loop() {
		rows := make([]series.Row, 6)
		for i := range rows {
			rows[i] = series.Row{Step: step + int64(i), Values: missing()}
		}
		if err := write(f, rows); err != nil {
			b.Fatal(err)
		}
		step += 6
	}
}

// BenchmarkHistory is what a sparkline takes.
func BenchmarkHistory(b *testing.B) {
	h := history{file: series.NewFile(filepath.Join(b.TempDir(), "file"), tiers())}
	now := time.Now()
	last := tiers()[finest].StepAt(now)
	for step := last - 360; step <= last; step += 6 {
		rows := make([]series.Row, 6)
		for i := range rows {
			rows[i] = series.Row{Step: step + int64(i), Values: values(&orchestrator.Usage{CPU: new(0.5), MemoryBytes: 1 << 20}, connections{})}
		}
		if err := write(h.file, rows); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if _, err := h.read("s", orchestrator.UsageHour, 60, now); err != nil {
			b.Fatal(err)
		}
	}
}
