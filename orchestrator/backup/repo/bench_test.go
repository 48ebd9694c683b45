package repo

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/blake2b"
)

const (
	benchFile  = 128 << 20
	benchFiles = 8
)

// benchData is 1 GB of random data in files, with some pages that are changed.
type benchData struct {
	files   [][]byte
	changed int
}

func newBenchData() *benchData {
	d := &benchData{}
	random := rand.NewChaCha8([32]byte{1})
	for range benchFiles {
		f := make([]byte, benchFile)
		_, _ = random.Read(f)
		d.files = append(d.files, f)
	}
	return d
}

// change writes new pages of 8 kB: one in every hundredth piece of 1 MB.
func (d *benchData) change() {
	for i := 0; i < benchFiles*benchFile>>20; i += 100 {
		page := d.files[i/(benchFile>>20)][i%(benchFile>>20)<<20:][:8192]
		for j := range page {
			page[j] ^= 0x55
		}
		d.changed += len(page)
	}
}

func (d *benchData) part() Part {
	return Part{Write: func(_ context.Context, w io.Writer) error {
		t := tar.NewWriter(w)
		for i, f := range d.files {
			if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprintf("base/%d", i), Size: int64(len(f)), Mode: 0o600}); err != nil {
				return err
			}
			if _, err := t.Write(f); err != nil {
				return err
			}
		}
		return t.Close()
	}}
}

// BenchmarkSave saves 1 GB of random data, which does not compress, and says how much longer that takes than to read the
// stream and hash it; then again with 1 % of its pieces of 1 MB changed.
func BenchmarkSave(b *testing.B) {
	for b.Loop() {
		d := newBenchData()
		hashed := func(w io.Writer) float64 {
			begin := time.Now()
			must(b, d.part().Write(b.Context(), w))
			return time.Since(begin).Seconds()
		}
		blake, _ := blake2b.New256(nil)
		b.ReportMetric(hashed(sha256.New()), "s/sha256")
		b.ReportMetric(hashed(blake), "s/blake2b")
		r := created(b, options(b, Location{Folder: b.TempDir()}))
		begin := time.Now()
		first := saved(b, r, nil, d.part())
		b.ReportMetric(time.Since(begin).Seconds(), "s/save")
		d.change()
		begin = time.Now()
		second := saved(b, r, nil, d.part())
		b.ReportMetric(time.Since(begin).Seconds(), "s/second")
		b.ReportMetric(float64(second.New)/float64(first.New)*100, "%stored-by-second")
		begin = time.Now()
		must(b, r.Verify(b.Context(), second.ID, nil))
		b.ReportMetric(time.Since(begin).Seconds(), "s/verify")
		begin = time.Now()
		must(b, r.Extract(b.Context(), second.ID, "", io.Discard, nil))
		b.ReportMetric(time.Since(begin).Seconds(), "s/extract")
	}
}

// peak returns the largest heap while f runs.
func peak(f func()) uint64 {
	debug.FreeOSMemory()
	var largest uint64
	end := make(chan struct{})
	var sampler sync.WaitGroup
	sampler.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			largest = max(largest, m.HeapInuse)
			select {
			case <-end:
				return
			case <-tick.C:
			}
		}
	})
	f()
	close(end)
	sampler.Wait()
	return largest
}

// BenchmarkSmallFiles saves a tree of small files.
func BenchmarkSmallFiles(b *testing.B) {
	const files = 200_000
	p := Part{Write: func(_ context.Context, w io.Writer) error {
		t := tar.NewWriter(w)
		for i := range files {
			data := fmt.Sprintf("the data of file %d", i)
			if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprintf("%d/%d/%d", i%7, i%1000, i), Size: int64(len(data)), Mode: 0o600}); err != nil {
				return err
			}
			if _, err := io.WriteString(t, data); err != nil {
				return err
			}
		}
		return t.Close()
	}}
	for b.Loop() {
		r := created(b, options(b, Location{Folder: b.TempDir()}))
		begin := time.Now()
		var s Snapshot
		used := peak(func() { s = saved(b, r, nil, p) })
		b.ReportMetric(time.Since(begin).Seconds(), "s/save")
		b.ReportMetric(float64(used)/files, "B/file")
		begin = time.Now()
		must(b, r.Verify(b.Context(), s.ID, nil))
		b.ReportMetric(time.Since(begin).Seconds(), "s/verify")
		begin = time.Now()
		must(b, r.Extract(b.Context(), s.ID, "", io.Discard, nil))
		b.ReportMetric(time.Since(begin).Seconds(), "s/extract")
	}
}

// BenchmarkManySnapshots lists and maintains a repository with as many snapshots as 1,000 services have in a month, or with
// $UWS_BENCH_SNAPSHOTS.
func BenchmarkManySnapshots(b *testing.B) {
	n := 30_000
	if s := os.Getenv("UWS_BENCH_SNAPSHOTS"); s != "" {
		_, err := fmt.Sscan(s, &n)
		must(b, err)
	}
	for b.Loop() {
		o := options(b, Location{Folder: b.TempDir()})
		r := created(b, o)
		begin := time.Now()
		for i := range n {
			saved(b, r, map[string]string{"service": fmt.Sprint(i % 1000), "kind": "DB", "backup": fmt.Sprint("b", i)},
				part("data", fileItem("PG_VERSION", "18"), fileItem("state", fmt.Sprint(i))))
			if i%1000 == 999 {
				_, err := r.Maintain(b.Context(), i%10_000 == 9_999)
				must(b, err)
			}
		}
		b.ReportMetric(time.Since(begin).Seconds(), "s/saves")
		for _, name := range []string{"s/list-after-save", "s/list"} {
			begin = time.Now()
			all, err := r.Snapshots(b.Context(), nil)
			must(b, err)
			b.ReportMetric(time.Since(begin).Seconds(), name)
			if len(all) != n {
				b.Fatalf("%d snapshots", len(all))
			}
		}
		begin = time.Now()
		one, err := r.Snapshots(b.Context(), map[string]string{"service": "7"})
		must(b, err)
		b.ReportMetric(time.Since(begin).Seconds(), "s/list-one-service")
		must(b, r.Delete(b.Context(), one[0].ID))
		begin = time.Now()
		used := peak(func() {
			_, err := r.Maintain(b.Context(), true)
			must(b, err)
		})
		b.ReportMetric(time.Since(begin).Seconds(), "s/maintain")
		b.ReportMetric(float64(used)/(1<<20), "MB/maintain")
	}
}
