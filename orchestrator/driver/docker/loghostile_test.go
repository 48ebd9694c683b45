package docker_test

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// Whatever an engine sends, memory is bounded, the complete lines are passed on, and what is wrong is an error.
func TestLogsOfHostileEngine(t *testing.T) {
	good := out(1, "good\n")
	for name, c := range map[string]struct {
		raw   []byte
		cut   bool
		want  []string // after the good one
		class driver.Class
		says  string
	}{
		"nothing":                          {},
		"a frame of 4 GiB that ends early": {raw: frame(1, math.MaxUint32, "2023-11-14T22:13:22.000000000Z half"), class: driver.Unreachable, says: "connection"},
		"a cut within a header":            {raw: []byte{1, 0, 0}, cut: true, class: driver.Unreachable, says: "connection"},
		"a cut within a frame":             {raw: frame(2, 100, "2023-11-14T22:13:22.000000000Z half"), cut: true, class: driver.Unreachable, says: "connection"},
		"a cut between frames":             {cut: true, class: driver.Unreachable, says: "connection"},
		"a cut after a whole line":         {raw: out(2, "whole\n").frame(), cut: true, want: []string{"whole"}, class: driver.Unreachable, says: "connection"},
		"stdin":                            {raw: frame(0, 5, "hello"), class: driver.Transient, says: "something else"},
		"an unknown stream":                {raw: frame(7, 5, "hello"), class: driver.Transient, says: "something else"},
		"no frames":                        {raw: []byte("2023-11-14T22:13:22.000000000Z hello\n"), class: driver.Transient, says: "something else"},
		"an error of the engine":           {raw: frame(3, 28, "Error grabbing logs: \x1b[1mbad"), class: driver.Transient, says: `Error grabbing logs: \x1b[1mbad`},
		"an endless error":                 {raw: frame(3, 1<<20, strings.Repeat("x", 1<<20)), class: driver.Transient, says: "xxx"},
		"an empty frame":                   {raw: slices.Concat(frame(1, 0, ""), out(2, "next\n").frame()), want: []string{"next"}},
		"an empty line":                    {raw: out(2, "\n").frame(), want: []string{""}},
		"several lines in a frame":         {raw: out(2, "one\ntwo\nthree").frame(), want: []string{"one", "two", "three"}},
		"no end":                           {raw: out(2, "at the end").frame(), want: []string{"at the end"}},
		"a timestamp alone":                {raw: frame(1, 30, "2023-11-14T22:13:22.000000000Z"), want: []string{"2023-11-14T22:13:22.000000000Z"}},
		"no timestamps": {raw: slices.Concat(frame(1, 6, "plain\n"), frame(1, 60, strings.Repeat("y", 59)+"\n")),
			want: []string{"plain", strings.Repeat("y", 59)}},
		"timestamps out of range": {raw: slices.Concat(frame(1, 25, "0000-01-01T00:00:00Z odd\n"), frame(1, 25, "9999-01-01T00:00:00Z odd\n")),
			want: []string{"0000-01-01T00:00:00Z odd", "9999-01-01T00:00:00Z odd"}},
		"any bytes": {raw: out(2, "\x00\xff\r\n").frame(), want: []string{"\x00\xff\r"}},
		"a long line": {raw: slices.Concat(out(2, strings.Repeat("z", driver.MaxLogLine+1)+"\n").frame(), out(3, "next\n").frame()),
			want: []string{strings.Repeat("z", driver.MaxLogLine), "next"}},
		"much at once": {raw: muchOf(strings.Repeat("w", 60<<10), 100), want: slices.Repeat([]string{strings.Repeat("w", 60<<10)}, 100)},
		"many lines":   {raw: frame(1, 1<<20, strings.Repeat("\n", 1<<20)), want: make([]string, 1<<20)},
	} {
		t.Run(name, func(t *testing.T) {
			f, d := newFakeEngine(t)
			f.log(good)
			f.raw, f.cut = c.raw, c.cut
			got, positions, err := read(t, d, "")
			if want := append([]string{"good"}, c.want...); !slices.Equal(got, want) {
				t.Errorf("%d lines %.200q, want %d %.200q", len(got), got, len(want), want)
			}
			if c.says == "" && err != nil || c.says != "" && (err == nil || driver.ClassOf(err) != c.class || !strings.Contains(err.Error(), c.says) || len(err.Error()) > 2000) {
				t.Fatalf("error %.2000v of class %v, want class %v", err, driver.ClassOf(err), c.class)
			}
			f.raw, f.cut = nil, false
			if c.want == nil { // nothing is given twice
				if again, _, err := read(t, d, positions[len(positions)-1]); err != nil || len(again) > 0 {
					t.Errorf("again: %q, %v", again, err)
				}
			}
		})
	}
}

// An engine that sends a line without an end for as long as it is read does not fill the memory.
func TestLogsEndlessLine(t *testing.T) {
	f, d := newFakeEngine(t)
	f.raw = slices.Concat(frame(1, 64<<20, strings.Repeat("x", 64<<20)), frame(1, 2, "y\n"))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got, _, err := read(t, d, "")
	runtime.ReadMemStats(&after)
	if err != nil || len(got) != 1 || len(got[0]) != driver.MaxLogLine {
		t.Errorf("%d lines, %v", len(got), err)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 8<<20 {
		t.Errorf("reading 64 MiB took %d MiB", took>>20)
	}
}

// From each position that a reader was given, it gets exactly the lines that follow, of an old and of a new engine.
func TestLogsFromEachPosition(t *testing.T) {
	part := strings.Repeat("p", 16<<10)
	for name, c := range map[string]struct {
		messages []message
		first    int // messages that are there when the log is first read; 0: none
		want     []string
		old      []string // of an old engine, if it cannot be asked for all
	}{
		"plain": {
			messages: []message{out(1, "a\n"), errs(2, "b\n"), out(3, "c\n")},
			want:     []string{"a", "b", "c"}},
		"identical timestamps": {
			messages: []message{out(1, "a\n"), out(2, "b\n"), out(2, "c\n"), errs(2, "c\n"), out(2, "b\n"), out(3, "d\n")},
			want:     []string{"a", "b", "c", "c", "b", "d"}},
		"the engine repeats itself": {
			messages: []message{out(1, "a\n"), out(2, "b\n"), errs(3, "c\n"), out(2, "b\n"), errs(3, "c\n"), out(4, "d\n"), out(4, "d\n"), out(5, "d\n")},
			first:    8,
			want:     []string{"a", "b", "c", "d", "d"}},
		"parts of one line, with another line between": {
			messages: []message{out(1, part), errs(2, "between\n"), out(1, "end\n"), out(3, "next\n")},
			want:     []string{"between", part + "end", "next"}},
		"parts of two lines in turns": {
			messages: []message{out(1, part+"1"), errs(2, part+"2"), out(1, part), errs(2, "end\n"), out(3, "next\n"), errs(4, "x\n")},
			want:     []string{part + "2end", part + "1" + part, "next", "x"}},
		"a line that its program did not end": {
			messages: []message{out(1, "a\n"), out(2, "half"), errs(3, "b\n"), out(4, "c\n"), errs(5, "d\n")},
			want:     []string{"a", "b", "half", "c", "d"}},
		"slightly out of order": {
			messages: []message{out(1, "a\n"), errs(1.2, "b\n"), out(1.1, "c\n"), errs(1.15, "d\n"), out(1.3, "e\n")},
			want:     []string{"a", "b", "c", "d", "e"}},
		"a clock that was set back": {
			messages: []message{out(100, "a\n"), out(101, "b\n"), out(50, "c\n"), errs(51, "d\n"), out(51, "e\n"), out(60, "f\n"), out(102, "g\n")},
			want:     []string{"a", "b", "c", "d", "e", "f", "g"},
			old:      []string{"a", "b", "g"}},
		"a clock that was set back while the log was read": {
			messages: []message{out(100, "a\n"), out(50, "b\n"), out(60, "c\n"), errs(60, "c\n"), out(61, part), errs(40, "d\n"), out(61, "e\n"), out(102, "f\n")},
			first:    2,
			want:     []string{"a", "b", "c", "c", "d", part + "e", "f"}},
		"a clock that was far ahead": {
			messages: []message{out(5e9, "a\n"), errs(5e9+1, "b\n"), out(50, "c\n"), out(51, "d\n"), errs(52, "e\n")},
			want:     []string{"a", "b", "c", "d", "e"}},
		"no timestamps": {
			messages: []message{{stream: 1, text: "a\n"}, {stream: 2, text: "b\n"}, {stream: 1, text: "b\n"}},
			want:     []string{"a", "b", "b"}},
	} {
		for _, old := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, old engine %v", name, old), func(t *testing.T) {
				f, d := newFakeEngine(t)
				f.old = old
				want := c.want
				if old && c.old != nil {
					want = c.old
				}
				position, got := "", []string(nil)
				for n := c.first; n <= len(c.messages); n++ { // the log grows while nobody reads it
					f.log(c.messages[:n]...)
					f.cut = n < len(c.messages)
					lines, positions, err := read(t, d, position)
					if (err != nil) != f.cut {
						t.Fatal(err)
					}
					if got = append(got, lines...); len(positions) > 0 {
						position = positions[len(positions)-1]
					}
				}
				if !slices.Equal(got, want) {
					t.Errorf("got %.100q after %s, want %.100q", got, position, want)
				}
				if whole, _, err := read(t, d, ""); err != nil || !slices.Equal(whole, c.want) {
					t.Errorf("from the start: got %.100q, %v, want %.100q", whole, err, c.want)
				}
			})
		}
	}
}

// The engine has rotated away the message that a position is told from. What it still has comes once, or from the oldest line if
// that cannot be told because the clock was set back.
func TestLogsAnchorRotatedAway(t *testing.T) {
	all := []message{out(100, "a\n"), out(101, "b\n"), out(102, "c\n"), out(103, "d\n")}
	back := []message{out(100, "a\n"), out(50, "b\n"), out(51, "c\n"), out(52, "d\n")}
	for _, old := range []bool{true, false} {
		for name, c := range map[string]struct {
			messages []message
			read     int
			want     []string
		}{
			"plain":    {all, 2, []string{"c", "d"}},
			"set back": {back, 2, []string{"c", "d"}},
		} {
			f, d := newFakeEngine(t)
			f.old = old
			f.log(c.messages[:c.read]...)
			_, positions, err := read(t, d, "")
			must(t, err)
			f.log(c.messages[c.read:]...)
			if got, _, err := read(t, d, positions[len(positions)-1]); err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%s, old engine %v: got %q, %v, want %q", name, old, got, err, c.want)
			}
		}
	}
}

// muchOf returns the frames of n lines.
func muchOf(text string, n int) (all []byte) {
	for i := range n {
		all = append(all, out(2+float64(i), text+"\n").frame()...)
	}
	return all
}

// The position of another container, or what is no position, is the oldest line.
func TestLogsOfAnotherContainer(t *testing.T) {
	f, d := newFakeEngine(t)
	f.log(out(100, "a\n"), out(101, "b\n"))
	_, positions, err := read(t, d, "")
	must(t, err)
	f.id = strings.Repeat("b", 64)
	f.log(out(1, "c\n"), out(2, "d\n"))
	for _, after := range []string{positions[0], "", "nonsense", "1:::::", "1:bbbbbbbbbbbb:-1:5:0", "1:bbbbbbbbbbbb:5:1:0", "1:bbbbbbbbbbbb:1:x:0", "3:bbbbbbbbbbbb:1:5:0"} {
		if got, _, err := read(t, d, after); err != nil || !slices.Equal(got, []string{"c", "d"}) {
			t.Errorf("after %q: %q, %v", after, got, err)
		}
	}
}

// An engine can end the stream of a container that ends before it has sent all. The rest comes with the next stream.
func TestLogsEndedEarly(t *testing.T) {
	f, d := newFakeEngine(t)
	part := strings.Repeat("p", 16<<10)
	f.running = true
	f.log(out(1, "a\n"), out(2, part))
	f.sent = func() {
		f.running = false
		f.messages = []message{out(1, "a\n"), out(2, part), out(2, "end\n"), errs(3, "b\n"), out(4, "c")}
	}
	if got, _, err := read(t, d, ""); err != nil || !slices.Equal(got, []string{"a", part + "end", "b", "c"}) {
		t.Errorf("got %.100q, %v", got, err)
	}
}
