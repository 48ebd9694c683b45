package spool

import (
	"bufio"
	"os"
	"strings"
	"testing"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// BenchmarkFollow measures how fast a backlog is read, beside a bare scanner of the same file.
func BenchmarkFollow(b *testing.B) {
	const count = 200_000
	f := newFixture(b, Options{Limit: 1 << 30})
	f.write(f.out, strings.Repeat(strings.Repeat("x", 119)+"\n", count))
	f.s.End()
	report := func(b *testing.B, n int) {
		b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "lines/s")
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/line")
	}
	b.Run("Follow", func(b *testing.B) {
		b.ReportAllocs()
		n := 0
		for b.Loop() {
			if err := f.s.Follow(b.Context(), "", func(batch driver.LogBatch) error { n += len(batch.Lines); return nil }); err != nil {
				b.Fatal(err)
			}
		}
		report(b, n)
	})
	b.Run("Scanner", func(b *testing.B) {
		b.ReportAllocs()
		n := 0
		for b.Loop() {
			file, err := os.Open(f.out.Name())
			if err != nil {
				b.Fatal(err)
			}
			for s := bufio.NewScanner(file); s.Scan(); n++ {
				_ = s.Text()
			}
			_ = file.Close()
		}
		report(b, n)
	})
}
