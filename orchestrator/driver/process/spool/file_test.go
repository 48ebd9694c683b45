package spool

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A stream that is flooded takes no room from the other one.
func TestTrimKeepsTheSmallerStream(t *testing.T) {
	f := newFixture(t, Options{Limit: 1 << 20})
	const warnings = 8000
	f.write(f.errOut, strings.Repeat("warning\n", warnings))
	for range 50 {
		f.write(f.out, strings.Repeat(strings.Repeat("x", 99)+"\n", 1000))
		f.must(f.s.Trim())
	}
	got, _, skipped := f.read("")
	kept := 0
	for _, text := range got {
		if text == "warning" {
			kept++
		}
	}
	if kept != warnings || skipped != 0 || len(got)-kept < 8000 || len(got)-kept > 11000 {
		t.Errorf("there are %d lines, among them %d warnings", len(got), kept)
	}
	if n := blocks(t, filepath.Join(f.dir, "stdout.log")); n > 1<<20 {
		t.Errorf("%d bytes are on disk", n)
	}
}

func blocks(t *testing.T, path string) int64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Blocks * 512
}

// Where no holes can be punched, files are rewritten, and positions stay valid, also after a restart.
func TestWithoutHoles(t *testing.T) {
	opt := Options{Limit: 1 << 20, punch: func(int, uint32, int64, int64) error { return unix.EOPNOTSUPP }}
	f := newFixture(t, opt)
	n := 0
	more := func(lines int) (texts []string) {
		for range lines {
			n++
			texts = append(texts, fmt.Sprintf("%099d", n))
		}
		f.write(f.out, strings.Join(texts, "\n")+"\n")
		return texts
	}
	position := f.want("", more(8000)...)
	f.must(f.s.Release(position))
	next := more(3000)
	f.must(f.s.Trim())
	position = f.want(position, next...)
	if info, err := f.out.Stat(); err != nil || info.Size() > 400_000 {
		t.Errorf("the file is %+v, %v", info, err)
	}
	f.s.Close()
	f.s = New(f.dir, opt)
	f.must(f.s.Adopt("one", "one"))
	position = f.want(position, more(1)...)
	more(20000)
	f.must(f.s.Trim())
	got, _, skipped := f.read(position)
	if total := int64(20000 * 100); skipped+int64(len(got))*100 != total || skipped == 0 || got[len(got)-1] != fmt.Sprintf("%099d", n) {
		t.Errorf("%d lines, and %d bytes skipped", len(got), skipped)
	}
	tail, err := f.s.Tail(50)
	if f.must(err); len(tail) != 50 || tail[49].Text != got[len(got)-1] || tail[49].Run != "one" {
		t.Errorf("the newest lines are %v", tail)
	}
}

// The size of a file is bounded too, and positions stay valid, also after a restart.
func TestCollapse(t *testing.T) {
	opt := Options{Limit: 256 << 10, maxSize: 1 << 20}
	f := newFixture(t, opt)
	position := ""
	for i := range 100 {
		text := fmt.Sprintf("%099d", i)
		f.write(f.out, strings.Repeat(text+"\n", 1000))
		got, next, skipped := f.read(position)
		if len(got) != 1000 || got[0] != text || got[999] != text || skipped != 0 {
			t.Fatalf("round %d: %d lines, %d bytes skipped", i, len(got), skipped)
		}
		position = next
		f.must(f.s.Trim())
		if i%30 == 29 {
			f.s.Close()
			f.s = New(f.dir, opt)
			f.must(f.s.Adopt("one", "one"))
		}
	}
	if info, err := f.out.Stat(); err != nil || info.Size() > 2<<20 && !f.s.files[stdout].noCollapse { // as on tmpfs
		t.Errorf("the file has %d bytes, %v", info.Size(), err)
	}
	tail, err := f.s.Tail(50)
	if f.must(err); len(tail) != 50 || tail[0].Text != fmt.Sprintf("%099d", 99) || tail[0].Run != "one" {
		t.Errorf("the newest lines are %v", tail)
	}
}

// Somebody truncates a file that an engine writes to: what comes next is read from the beginning.
func TestTruncated(t *testing.T) {
	f := newFixture(t, Options{})
	f.write(f.out, "a long first line\n")
	position := f.want("", "a long first line")
	f.must(f.out.Truncate(0))
	f.must(f.s.Trim()) // the ticker notices it
	f.write(f.out, "another and even longer first line\n")
	position = f.want(position, "another and even longer first line")
	f.must(f.out.Truncate(0))
	f.write(f.out, "x\n")
	position = f.want(position, "x")
	f.s.End()
	f.begin("two")
	f.write(f.out, "y\n")
	position = f.want(position, "y")
	tail, err := f.s.Tail(2)
	if f.must(err); len(tail) != 2 || tail[0].Run != "one" || tail[1].Run != "two" {
		t.Errorf("the newest lines are %v", tail)
	}
	f.s.Close()
	f.must(f.out.Truncate(0))
	f.s = New(f.dir, f.s.opt)
	f.must(f.s.Adopt("two", "two"))
	f.write(f.out, "z\n")
	f.want(position, "z")
}
