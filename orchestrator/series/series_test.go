package series_test

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/series"
)

var tiers = []series.Tier{{Step: 10 * time.Second, Slots: 6, Columns: 2}, {Step: time.Minute, Slots: 4, Columns: 1}} //nolint:gochecknoglobals // a constant

func steps(rows []series.Row) (all []int64) {
	for _, r := range rows {
		all = append(all, r.Step)
	}
	return all
}

func write(t *testing.T, f *series.File, tier int, step ...int64) {
	t.Helper()
	rows := make([]series.Row, len(step))
	for i, n := range step {
		rows[i] = series.Row{Step: n, Values: []float32{float32(n), float32(math.NaN())}}
	}
	if err := f.Write(tier, rows...); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, f *series.File, tier int, first, end int64) []series.Row {
	t.Helper()
	rows, err := f.Read(tier, first, end)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if r.Values[0] != float32(r.Step) {
			t.Errorf("step %d has the values %v", r.Step, r.Values)
		}
	}
	return rows
}

// A ring keeps its newest steps, tiers do not touch each other, gaps stay gaps, and all of that is there after a restart.
func TestRing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "file")
	f := series.NewFile(path, tiers)
	if rows := read(t, f, 0, 0, 100); rows != nil {
		t.Errorf("no file has the rows %v", rows)
	}
	write(t, f, 0, 10, 11, 13, 14) // crosses the end of the ring
	write(t, f, 1, 2, 3)
	f = series.NewFile(path, tiers)
	for _, c := range []struct {
		first, end int64
		want       []int64
	}{
		{0, 100, nil}, {0, 15, []int64{10, 11, 13, 14}}, {11, 14, []int64{11, 13}}, {12, 13, nil}, {14, 14, nil}, {-5, 12, []int64{10, 11}},
	} {
		if got := steps(read(t, f, 0, c.first, c.end)); !slices.Equal(got, c.want) {
			t.Errorf("steps %d to %d: %v, want %v", c.first, c.end, got, c.want)
		}
	}
	if got := steps(read(t, f, 1, 0, 4)); !slices.Equal(got, []int64{2, 3}) {
		t.Errorf("the other tier has the steps %v", got)
	}
	if rows := read(t, f, 0, 10, 11); !math.IsNaN(float64(rows[0].Values[1])) {
		t.Errorf("a missing value is read as %v", rows[0].Values[1])
	}
	write(t, f, 0, 16, 17, 18) // replace 10, 11 and what would be 12
	if got := steps(read(t, f, 0, 10, 19)); !slices.Equal(got, []int64{13, 14, 16, 17, 18}) {
		t.Errorf("after newer ones: %v", got)
	}
	for step := int64(1); step < 1000; step++ {
		write(t, f, 0, step)
		write(t, f, 1, step)
	}
	if info, err := os.Stat(path); err != nil || info.Size() > series.Size(tiers) {
		t.Errorf("the file has %d bytes, want at most %d: %v", info.Size(), series.Size(tiers), err)
	}
}

// A file that is not a series, or was made with other tiers, is neither read nor overwritten until it is put aside.
func TestDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	write(t, series.NewFile(path, tiers[1:]), 0, 1)
	f := series.NewFile(path, tiers)
	if _, err := f.Read(0, 1, 2); !errors.Is(err, series.ErrDamaged) {
		t.Errorf("reading one with other tiers: %v", err)
	}
	if err := f.Write(0, series.Row{Step: 1}); !errors.Is(err, series.ErrDamaged) {
		t.Errorf("writing one with other tiers: %v", err)
	}
	if err := f.Reset(); err != nil {
		t.Fatal(err)
	}
	write(t, f, 0, 1)
	if err := os.Truncate(path, 5); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Read(0, 1, 2); !errors.Is(err, series.ErrDamaged) {
		t.Errorf("reading a cut header: %v", err)
	}
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	if rows := read(t, f, 0, 0, 2); rows != nil {
		t.Errorf("an empty file has the rows %v", rows)
	}
	write(t, f, 0, 1)
	for range 2 {
		if err := f.Remove(); err != nil {
			t.Error(err)
		}
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) > 0 {
		t.Errorf("%v is left: %v", left, err)
	}
}

// Whatever is in a file, reading returns values of the steps that were asked for, in order, and no infinity.
func FuzzRead(f *testing.F) {
	path := filepath.Join(f.TempDir(), "seed")
	if err := series.NewFile(path, tiers).Write(0, series.Row{Step: 3, Values: []float32{1, 2}}); err != nil {
		f.Fatal(err)
	}
	seed, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed, int64(0), int64(6))
	f.Fuzz(func(t *testing.T, data []byte, first, end int64) {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		rows, err := series.NewFile(path, tiers).Read(0, first, end)
		if err != nil && !errors.Is(err, series.ErrDamaged) {
			t.Fatal(err)
		}
		for i, r := range rows {
			if r.Step < first || r.Step >= end || i > 0 && r.Step <= rows[i-1].Step || math.IsInf(float64(r.Values[0]), 0) {
				t.Fatalf("steps %d to %d: %v", first, end, rows)
			}
		}
	})
}
