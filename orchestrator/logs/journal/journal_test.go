package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var start = time.Date(2026, 11, 27, 13, 43, 47, 123456789, time.UTC)

func open(t *testing.T, dir string, limit int64) *Journal {
	t.Helper()
	j, err := Open(dir, limit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(j.Close)
	return j
}

// write appends n records in one batch, whose texts are numbered from first on.
func write(t *testing.T, j *Journal, first, n int, text string) {
	t.Helper()
	records := make([]Record, n)
	for i := range records {
		records[i] = Record{At: start.Add(time.Duration(first+i) * time.Millisecond), Stream: Stdout, Level: Info, Run: "1a2b3c4d", Text: fmt.Sprint(first+i, " ", text)}
	}
	if err := j.Append(records, fmt.Sprint("at ", first+n)); err != nil {
		t.Fatal(err)
	}
}

// before reads pages of n from the end to the beginning.
func before(t *testing.T, j *Journal, n int, match func(*Record) (bool, bool)) (all []Record) {
	t.Helper()
	_, at, _ := j.Bounds()
	for {
		page, more, err := j.Before(t.Context(), at, n, 1<<20, match)
		if err != nil {
			t.Fatal(err)
		}
		all = append(page, all...)
		if !more {
			return all
		}
		at = page[0].Offset
	}
}

// after reads all from the beginning, in batches of about size bytes.
func after(t *testing.T, j *Journal, size int) (all []Record) {
	var at int64
	t.Helper()
	for {
		records, next, err := j.After(at, size)
		if err != nil {
			t.Fatal(err)
		}
		if next == at {
			return all
		}
		all, at = append(all, records...), next
	}
}

func texts(records []Record) string {
	var b strings.Builder
	for _, r := range records {
		b.WriteString(r.Text)
		b.WriteByte('\n')
	}
	return b.String()
}

// Both directions read the same, whatever the sizes of pages and batches, also across files.
func TestReading(t *testing.T) {
	j := open(t, t.TempDir(), 4*MinLimit)
	written := 0
	for n := range 40 {
		write(t, j, written, n, strings.Repeat("x", n*7))
		written += n
	}
	var want strings.Builder
	for n, at := 0, 0; n < 40; n++ {
		for range n {
			fmt.Fprintf(&want, "%d %s\n", at, strings.Repeat("x", n*7))
			at++
		}
	}
	for _, n := range []int{1, 7, 100, 1000} {
		if got := texts(before(t, j, n, nil)); got != want.String() {
			t.Errorf("backward, %d a page: %d bytes, want %d", n, len(got), want.Len())
		}
	}
	for _, size := range []int{1, 500, 1 << 20} {
		records := after(t, j, size)
		if got := texts(records); got != want.String() {
			t.Errorf("forward, %d bytes a batch: %d bytes, want %d", size, len(got), want.Len())
		}
		for i, r := range records {
			if i > 0 && r.Offset < records[i-1].End {
				t.Fatalf("record %d is at %d, before %d", i, r.Offset, records[i-1].End)
			}
		}
	}
	even := before(t, j, 10, func(r *Record) (bool, bool) {
		return r.At.UnixMilli()%2 == 0, r.At.After(start.Add(500 * time.Millisecond))
	})
	selected := 0
	for n := range written {
		if at := start.Add(time.Duration(n) * time.Millisecond); at.UnixMilli()%2 == 0 && at.After(start.Add(500*time.Millisecond)) {
			selected++
		}
	}
	if len(even) != selected || selected < 100 {
		t.Errorf("%d are selected, want %d", len(even), selected)
	}
	_, end, _ := j.Bounds()
	n, err := j.Count(0, end)
	if err != nil || n != written {
		t.Errorf("it counts %d, %v; want %d", n, err, written)
	}
	for at := end - 3000; at <= end; at++ { // in the middle of lines too
		from := j.Boundary(at)
		if records, _, err := j.After(at, 1); err != nil || len(records) > 0 && records[0].Offset < from {
			t.Fatalf("from %d it begins at %+v, %v; the boundary is %d", at, records, err, from)
		}
	}
}

// What a record holds comes back, whatever bytes its text has.
func TestText(t *testing.T) {
	j := open(t, t.TempDir(), MinLimit)
	for text, want := range map[string]string{
		"plain\tüß 😀":                     "plain\tüß 😀",
		"\x1b[31mred\x1b[0m \x1b[2Ktext":  "red text",
		"a\x00b\x1bc\x7f":                 `a\x00bc\x7f`,
		"bad \xff\xfe utf8":               "bad �� utf8",
		"line\r":                          "line",
		"a\rb\nc":                         `a\x0db\x0ac`,
		"right\u202eleft \u200b":          `right\u{202e}left \u{200b}`,
		"@ 17":                            "@ 17",
		"":                                "",
		strings.Repeat("y", 3*MaxText):    strings.Repeat("y", MaxText) + cutMark,
		strings.Repeat("\x00", MaxText):   strings.Repeat(`\x00`, MaxText/4) + cutMark,
		"\x1b[" + strings.Repeat("1", 50): strings.Repeat("1", 50),
	} {
		for _, r := range []Record{{At: start, Stream: Stderr, Level: Fatal, Run: "1a2b3c4d"}, {At: start.In(time.FixedZone("", 3600)), Stream: Note, Level: NoLevel, Run: "odd"}} {
			r.Text = text
			if err := j.Append([]Record{r}, "p\nq"); err != nil {
				t.Fatal(err)
			}
			_, end, _ := j.Bounds()
			got, _, err := j.Before(t.Context(), end, 1, 1<<20, nil)
			if err != nil || len(got) != 1 {
				t.Fatalf("%q: %v, %v", text, got, err)
			}
			if got[0].Text != want || !got[0].At.Equal(start) || got[0].Stream != r.Stream || got[0].Level != r.Level || (got[0].Run != r.Run && r.Run != "odd") {
				t.Errorf("%.60q came back as %.60q, %+v", text, got[0].Text, got[0].Level)
			}
		}
	}
	if j.Source() != "pq" {
		t.Errorf("the source is %q", j.Source())
	}
}

// A process that dies in the middle of a batch leaves a part of it: none of it counts. Every cut is tried.
func TestUnfinishedBatch(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, MinLimit)
	write(t, j, 0, 3, "one")
	_, whole, _ := j.Bounds()
	write(t, j, 3, 3, "two")
	j.Close()
	path := filepath.Join(dir, "0000000000000000.log")
	all, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for size := int64(len(all)) - 1; size >= 0; size-- {
		cut := t.TempDir()
		if err := os.WriteFile(filepath.Join(cut, filepath.Base(path)), all[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		again := open(t, cut, MinLimit)
		want, source := "0 one\n1 one\n2 one\n", "at 3"
		if size < whole {
			want, source = "", ""
		}
		if got := texts(before(t, again, 100, nil)); got != want || again.Source() != source {
			t.Fatalf("cut at %d: %q, source %q", size, got, again.Source())
		}
		if info, err := os.Stat(filepath.Join(cut, filepath.Base(path))); err == nil && (source == "" || info.Size() != whole) {
			t.Fatalf("cut at %d: the file has %d bytes left", size, info.Size())
		}
		write(t, again, 3, 1, "three")
		if got := texts(after(t, again, 100)); got != want+"3 three\n" {
			t.Fatalf("cut at %d, after another batch: %q", size, got)
		}
	}
}

// A journal that is opened again goes on where it ended, and its offsets never begin again.
func TestReopened(t *testing.T) {
	dir := t.TempDir()
	var end int64
	for i := range 200 {
		j := open(t, dir, MinLimit)
		if _, at, _ := j.Bounds(); at != end || i > 0 && j.Source() != fmt.Sprint("at ", 10*i) {
			t.Fatalf("opened for the %d. time it ends at %d, %q; want %d", i, at, j.Source(), end)
		}
		write(t, j, 10*i, 10, strings.Repeat("z", 200))
		_, end, _ = j.Bounds()
		j.Close()
	}
}

// The oldest is deleted, and what is left is in order.
func TestLimit(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, MinLimit)
	for i := range 1000 {
		write(t, j, 10*i, 10, strings.Repeat("z", 100))
	}
	var size int64
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	if size > MinLimit || size < MinLimit/4 {
		t.Errorf("it takes %d bytes, limit %d", size, MinLimit)
	}
	kept := before(t, j, 1000, nil)
	for i := range kept {
		if want := fmt.Sprint(10000-len(kept)+i, " "); !strings.HasPrefix(kept[i].Text, want) {
			t.Fatalf("record %d is %.20q, want %s", i, kept[i].Text, want)
		}
	}
	first, _, _ := j.Bounds()
	if records, _, err := j.After(0, 1); err != nil || len(records) != 1 || records[0].Offset != first {
		t.Errorf("from the beginning it begins at %+v, %v; want %d", records, err, first)
	}
}

// Files that somebody else deletes are missed, and nothing more.
func TestDeletedBehindOurBack(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, MinLimit)
	write(t, j, 0, 10, "one")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if got := before(t, j, 100, nil); len(got) != 0 {
		t.Errorf("it still has %v", got)
	}
	_, end, _ := j.Bounds()
	if got, next, err := j.After(0, 1000); len(got) != 0 || next != end || err != nil {
		t.Errorf("it goes on with %v at %d, %v; want nothing at %d", got, next, err, end)
	}
	write(t, j, 10, 1, "two")
	if got := texts(after(t, j, 1000)); got != "10 two\n" {
		t.Errorf("it has %q", got)
	}
}

// A batch that cannot be written is not there, and the next one is.
func TestFailedAppend(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, MinLimit)
	write(t, j, 0, 1, "one")
	_, end, _ := j.Bounds()
	path, aside := j.path(0), filepath.Join(dir, "aside")
	if err := errors.Join(os.Rename(path, aside), os.Mkdir(path, 0o700)); err != nil { // in the way
		t.Fatal(err)
	}
	if err := j.Append([]Record{{At: start, Stream: Stdout, Level: Info, Text: "two"}}, "2"); err == nil {
		t.Fatal("it does not fail")
	}
	if _, now, _ := j.Bounds(); now != end || j.Source() != "at 1" {
		t.Errorf("after it the journal ends at %d, source %q", now, j.Source())
	}
	if err := errors.Join(os.Remove(path), os.Rename(aside, path)); err != nil {
		t.Fatal(err)
	}
	write(t, j, 1, 1, "two")
	if got := texts(after(t, j, 1000)); got != "0 one\n1 two\n" {
		t.Errorf("it has %q", got)
	}
	j.Close()
	if err := j.Append(nil, "3"); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close it fails with %v", err)
	}
}

// Readers beside a writer see whole records in order.
func TestConcurrentReading(t *testing.T) {
	j := open(t, t.TempDir(), MinLimit)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer cancel()
		for i := range 2000 {
			if j.Append([]Record{{At: start, Stream: Stdout, Level: Info, Text: fmt.Sprint(i, strings.Repeat(" z", rand.IntN(100)))}}, "x") != nil {
				return
			}
		}
	}()
	for ctx.Err() == nil {
		_, end, _ := j.Bounds()
		records, _, err := j.Before(t.Context(), end, 20, 1<<20, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 1; i < len(records); i++ {
			var a, b int
			if _, err := fmt.Sscan(records[i-1].Text+"\n"+records[i].Text, &a); err != nil {
				t.Fatal(err)
			}
			if _, err := fmt.Sscan(records[i].Text, &b); err != nil || b != a+1 {
				t.Fatalf("%q follows %q", records[i].Text, records[i-1].Text)
			}
		}
	}
	<-done
}

func FuzzRecord(f *testing.F) {
	f.Add("text", "run45678", byte('o'), byte('I'))
	f.Fuzz(func(t *testing.T, text, run string, stream, level byte) {
		line := appendRecord(nil, &Record{At: start, Stream: Stdout, Level: Info, Run: "1a2b3c4d", Text: text})
		if bytes.Count(line, []byte{'\n'}) != 1 {
			t.Fatalf("%q is more than one line", line)
		}
		r, ok := parseRecord(bytes.TrimSuffix(line, []byte{'\n'}))
		if !ok || !r.At.Equal(start) {
			t.Fatalf("%q does not come back: %+v", line, r)
		}
		if again := appendText(nil, r.Text, MaxText); len(text) < MaxText/8 && string(again) != r.Text {
			t.Fatalf("%q becomes %q", r.Text, again)
		}
		parseRecord([]byte(text))
	})
}

func BenchmarkAppend(b *testing.B) {
	j, err := Open(b.TempDir(), 50<<20)
	if err != nil {
		b.Fatal(err)
	}
	records := make([]Record, 100)
	for i := range records {
		records[i] = Record{At: start, Stream: Stdout, Level: Info, Run: "1a2b3c4d", Text: `2026-11-27 13:43:47.123 UTC [42] LOG:  checkpoint complete: wrote 42 buffers (0.3%); 0 WAL file(s) added`}
	}
	for b.Loop() {
		if err := j.Append(records, "42"); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(100*b.N), "ns/line")
}
