package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// fixture is a spool with a live run.
type fixture struct {
	testing.TB
	dir         string
	s           *Spool
	out, errOut *os.File
}

func newFixture(t testing.TB, opt Options) *fixture {
	t.Helper()
	f := &fixture{TB: t, dir: t.TempDir()}
	if opt.Limit == 0 {
		opt.Limit = 10 << 20
	}
	f.s = New(f.dir, opt)
	f.begin("one")
	return f
}

func (f *fixture) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

// begin starts a run, whose id is its mark.
func (f *fixture) begin(mark string) {
	f.Helper()
	var err error
	f.out, f.errOut, err = f.s.Begin(mark)
	f.must(err)
	f.Cleanup(func() { _ = errors.Join(f.out.Close(), f.errOut.Close()) })
	f.s.Name(mark, mark)
}

func (f *fixture) write(to *os.File, text string) {
	f.Helper()
	_, err := to.WriteString(text)
	f.must(err)
}

// read returns what lies after a position, and the next position.
func (f *fixture) read(after string) (texts []string, position string, skipped int64) {
	f.Helper()
	p, _ := parsePosition(after)
	var l lines
	f.must(f.s.acquire())
	defer f.s.release()
	_, err := f.s.drain(context.Background(), &p, &l, func(b driver.LogBatch) error {
		for _, line := range b.Lines {
			texts = append(texts, strings.Clone(line.Text))
		}
		skipped += b.Skipped
		return nil
	})
	f.must(err)
	return texts, p.String(), skipped
}

func (f *fixture) want(after string, texts ...string) (position string) {
	f.Helper()
	got, position, skipped := f.read(after)
	if !slices.Equal(got, texts) || skipped != 0 {
		f.Errorf("after %q: %.300q and %d bytes skipped, want %.300q", after, got, skipped, texts)
	}
	return position
}

func TestPosition(t *testing.T) {
	p := position{{at: 1}, {at: 2, mode: cut}, {at: 1 << 50, mode: skipped}, {}}
	if got, ok := parsePosition(p.String()); !ok || got != p {
		t.Errorf("%s is parsed as %v", p, got)
	}
	f := newFixture(t, Options{})
	f.write(f.out, "a\nb\n")
	for _, text := range []string{"", "x", "1:", "1:0,0,0", "1:0,0,0,0,0", "1:0,0,-5,0", "1:0,0,c,0", "2:0,0,0,0", "1:0,0,99999999,0", "1:0,0,999999999999999999999999,0", p.String()} {
		if got := f.want(text, "a", "b"); got != f.want(got) {
			t.Errorf("%q is not the end", got)
		}
	}
}

// A run ends its last line, and its lines come before those of the next one, whatever file they are in.
func TestRuns(t *testing.T) {
	f := newFixture(t, Options{})
	for run := range 3 {
		mark := fmt.Sprint("run ", run)
		f.s.End()
		f.begin(mark)
		for i := range 3000 {
			f.write(f.errOut, fmt.Sprintf("%s %0100d\n", mark, i))
		}
		f.write(f.out, mark+" out")
	}
	f.s.End()
	got, position, _ := f.read("")
	last := -1
	for _, text := range got {
		run := int(text[4] - '0')
		if run < last {
			t.Fatalf("%.20q comes after run %d", text, last)
		}
		last = run
	}
	if len(got) != 9003 {
		t.Errorf("there are %d lines", len(got))
	}
	f.want(position)
}

// The lines of a run wait until its id is known.
func TestUnnamed(t *testing.T) {
	f := newFixture(t, Options{})
	f.write(f.out, "first\n")
	f.s.End()
	var err error
	f.out, f.errOut, err = f.s.Begin("two")
	f.must(err)
	f.write(f.out, "second\n")
	position := f.want("", "first")
	f.s.Name("two", "id")
	f.want(position, "second")
}

// The text of a line, and not more, is in memory.
func TestLongLines(t *testing.T) {
	f := newFixture(t, Options{Limit: 1 << 30})
	part := bytes.Repeat([]byte("x"), 1e6)
	var before, after runtime.MemStats
	for range 100 {
		_, err := f.out.Write(part)
		f.must(err)
	}
	f.write(f.out, "\nnext\n")
	for _, n := range []int{driver.MaxLogLine - 1, driver.MaxLogLine, driver.MaxLogLine + 1} {
		f.write(f.out, string(part[:n])+"\n")
	}
	runtime.ReadMemStats(&before)
	var l lines
	p := oldest()
	most := uint64(0)
	var lengths []int
	_, err := f.s.drain(t.Context(), &p, &l, func(b driver.LogBatch) error {
		for _, line := range b.Lines {
			lengths = append(lengths, len(line.Text))
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		most = max(most, after.HeapAlloc)
		return nil
	})
	f.must(err)
	if want := []int{driver.MaxLogLine, 4, driver.MaxLogLine - 1, driver.MaxLogLine, driver.MaxLogLine}; !slices.Equal(lengths, want) {
		t.Errorf("the lines have %d bytes, want %d", lengths, want)
	}
	if most > before.HeapAlloc+4*chunk {
		t.Errorf("%d bytes were in use, %d before", most, before.HeapAlloc)
	}
	tail, err := f.s.Tail(5)
	if f.must(err); len(tail) != 5 || len(tail[0].Text) != driver.MaxLogLine || tail[1].Text != "next" {
		t.Errorf("the newest are %d lines", len(tail))
	}
}

// A line that grows beyond what a driver passes on is cut once, and its end is dropped, also by who comes back meanwhile.
func TestCutLine(t *testing.T) {
	f := newFixture(t, Options{})
	f.write(f.out, strings.Repeat("x", driver.MaxLogLine))
	position := f.want("")
	f.write(f.out, "y")
	position = f.want(position, strings.Repeat("x", driver.MaxLogLine))
	f.write(f.out, strings.Repeat("y", 3*chunk))
	position = f.want(position)
	f.write(f.out, "\nnext\n"+strings.Repeat("z", driver.MaxLogLine+1))
	position = f.want(position, "next", strings.Repeat("z", driver.MaxLogLine))
	f.s.End()
	f.begin("two")
	f.write(f.out, "after\n")
	f.want(position, "after")
}

// Each stream has its newest lines in a short tail if it is not known which were written first, and only the newest otherwise.
func TestTailOfTwoStreams(t *testing.T) {
	f := newFixture(t, Options{})
	for i := range 100 {
		f.write(f.out, fmt.Sprintf("out %d\n", i))
	}
	f.write(f.errOut, "fatal 1\nfatal 2\n")
	tail := func(n int) (texts []string) {
		all, err := f.s.Tail(n)
		f.must(err)
		for _, l := range all {
			texts = append(texts, l.Text)
		}
		return texts
	}
	for n, want := range map[int]string{1: "fatal 2", 4: "out 98 out 99 fatal 1 fatal 2", 6: "out 96 out 97 out 98 out 99 fatal 1 fatal 2"} {
		if got := strings.Join(tail(n), " "); got != want {
			t.Errorf("the newest %d are %q, want %q", n, got, want)
		}
	}
	for i := range 5 { // looked at in between, so that the order is known
		f.write(f.out, fmt.Sprintf("later %d\n", i))
		tail(1)
	}
	if got := strings.Join(tail(4), " "); got != "later 1 later 2 later 3 later 4" {
		t.Errorf("the newest are %q", got)
	}
	if got := len(tail(1000)); got != 107 {
		t.Errorf("there are %d lines", got)
	}
}

// More runs than are kept, and those whose lines are gone, are forgotten.
func TestSidecarIsBounded(t *testing.T) {
	f := newFixture(t, Options{})
	for i := range 3 * maxRuns {
		f.write(f.out, "line\n")
		f.s.End()
		f.must(errors.Join(f.out.Close(), f.errOut.Close()))
		f.begin(fmt.Sprint("run-", i))
	}
	if info, err := os.Stat(f.s.sidecarPath()); err != nil || info.Size() > 200*maxRuns || len(f.s.runs) != maxRuns {
		t.Errorf("%d runs in %v, %v", len(f.s.runs), info, err)
	}
	got, position, _ := f.read("")
	if len(got) != 3*maxRuns {
		t.Errorf("there are %d lines", len(got))
	}
	f.write(f.out, strings.Repeat("x\n", 1<<19))
	_, position, _ = f.read(position)
	f.must(f.s.Release(position))
	f.s.End()
	f.begin("newest")
	if len(f.s.runs) > 3 {
		t.Errorf("%d runs are kept, whose lines are gone", len(f.s.runs))
	}
}
