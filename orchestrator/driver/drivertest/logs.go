package drivertest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// logReader returns the driver, which must be one.
func (f *fixture) logReader() driver.LogReader {
	f.Helper()
	d, ok := f.d.(driver.LogReader)
	if !ok {
		f.Fatalf("the driver %T is no driver.LogReader", f.d)
	}
	return d
}

// followed is what a follower was passed.
type followed struct {
	lines    []driver.LogLine
	position string
	skipped  int64
}

func (l followed) texts() []string {
	var all []string
	for _, line := range l.lines {
		all = append(all, line.Text)
	}
	return all
}

func (l followed) has(text string) bool { return slices.Contains(l.texts(), text) }

var errEnough = errors.New("enough was read")

// follow reads a log after a position until there is enough, which is asked after each batch, or no instance runs.
func (f *fixture) follow(service, after string, enough func(followed) bool) (followed, error) {
	got := followed{position: after}
	err := f.logReader().FollowLogs(f.ctx, service, after, func(b driver.LogBatch) error {
		for _, l := range b.Lines {
			l.Text = strings.Clone(l.Text)
			got.lines = append(got.lines, l)
		}
		got.position = b.Position
		got.skipped += b.Skipped
		if enough(got) {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return got, err
}

// rest reads a log after a position until no instance runs.
func (f *fixture) rest(service, after string) followed {
	f.Helper()
	got, err := f.follow(service, after, func(followed) bool { return false })
	f.must(err)
	return got
}

// until reads a log after a position until a line has come.
func (f *fixture) until(service, after, text string) followed {
	f.Helper()
	got, err := f.follow(service, after, func(l followed) bool { return l.has(text) })
	f.must(err)
	if !got.has(text) {
		f.Fatalf("the line %q did not come, but %d others", text, len(got.lines))
	}
	return got
}

// obeying adds a port to a puppet on which it takes orders, and returns what gives it one and waits until it is carried out.
func (f *fixture) obeying(s *driver.Spec) (order func(verb string, n int)) {
	order, _ = f.obeyingAt(s)
	return order
}

// obeyingAt is obeying that returns the address for orders too.
func (f *fixture) obeyingAt(s *driver.Spec) (order func(verb string, n int), address string) {
	port, target := FreePort(f.T), 4002
	s.Ports = append(s.Ports, driver.Port{Name: "orders", Number: port, Target: target})
	l := f.d.Layout(s.Service, s.Volume)
	if l.HostPorts {
		target = port
	}
	s.Args = append([]string{"obey=" + net.JoinHostPort(l.Address, fmt.Sprint(target))}, s.Args...)
	return func(verb string, n int) {
		f.Helper()
		c, err := f.connect(loopback(port))
		f.must(err)
		defer c.Close()
		_, err = fmt.Fprintf(c, "%s %d\n", verb, n)
		f.must(err)
		_, _ = c.Read(make([]byte, 1)) // until it is closed
	}, loopback(port)
}

// numbered are lines that a puppet prints.
func numbered(from, to int) []string {
	var all []string
	for i := from; i <= to; i++ {
		all = append(all, fmt.Sprint("line ", i))
	}
	return all
}

func (f *fixture) wantTexts(what string, got, want []string) {
	f.Helper()
	if slices.Equal(got, want) {
		return
	}
	at := 0
	for at < min(len(got), len(want)) && got[at] == want[at] {
		at++
	}
	f.Errorf("%s: %d lines, want %d; from line %d on they are %.60q, want %.60q", what, len(got), len(want), at+1,
		got[at:min(len(got), at+3)], want[at:min(len(want), at+3)])
}

func (f *fixture) wantRun(what string, lines []driver.LogLine, run string) {
	f.Helper()
	for i, l := range lines {
		if l.Run != run {
			f.Fatalf("%s: line %d, %.60q, is of run %q, want %q", what, i+1, l.Text, l.Run, run)
		}
	}
}

func testLogsUnknownService(f *fixture) {
	d := f.logReader()
	f.wantClass(d.FollowLogs(f.ctx, "nobody", "", func(driver.LogBatch) error { return nil }), driver.NotCreated)
	_, err := d.TailLogs(f.ctx, "nobody", 10)
	f.wantClass(err, driver.NotCreated)
}

// Every line comes once and in order, with the run that wrote it, whether it is followed while it is written or afterwards.
func testLogsOfRuns(f *fixture) {
	f.logReader()
	s := f.puppet("runs", "print=3000")
	f.create(s)
	want := append(numbered(1, 3000), "listening", "bye")
	position, began := "", time.Now().Add(-time.Minute)
	var runs []string
	for i := range 3 {
		what := fmt.Sprint("run ", i+1)
		f.must(f.d.Start(f.ctx, "runs"))
		f.answers(s)
		run := f.inspect("runs").Instance
		result := make(chan error, 1)
		var got followed
		go func() {
			var err error
			got, err = f.follow("runs", position, func(followed) bool { return false })
			result <- err
		}()
		f.must(f.d.Stop(f.ctx, "runs", Patience))
		f.must(<-result)
		f.wantTexts(what, got.texts(), want)
		f.wantRun(what, got.lines, run)
		for _, l := range got.lines {
			if l.Stream != driver.Stdout || l.At.Before(began) || l.At.After(time.Now().Add(time.Minute)) {
				f.Fatalf("%s has the line %+v", what, l)
			}
		}
		position, runs = got.position, append(runs, run)
		if again := f.rest("runs", position); len(again.lines) > 0 {
			f.Errorf("after %s there are %d lines more", what, len(again.lines))
		}
	}
	f.d = f.m.Open("first")
	all := f.rest("runs", "")
	f.wantTexts("all", all.texts(), slices.Concat(want, want, want))
	for i, run := range runs {
		if f.ForgetsRuns && i < len(runs)-1 {
			run = ""
		}
		if part := all.lines[min(len(all.lines), i*len(want)):min(len(all.lines), (i+1)*len(want))]; len(part) > 0 {
			f.wantRun(fmt.Sprintf("all, run %d", i+1), part, run)
		}
	}
}

// A position is good after a restart of uws, also for what was written meanwhile.
func testLogsAcrossRestart(f *fixture) {
	f.logReader()
	s := f.puppet("resumed", "print=500")
	order := f.obeying(&s)
	o := f.start(s)
	first := f.until("resumed", "", "listening")
	order("print", 100)
	f.must(f.d.Close())
	order("print", 100)
	f.d = f.m.Open("first")
	second := f.until("resumed", first.position, "line 700")
	order("print", 100)
	f.d = f.m.Open("first")
	f.must(f.d.Stop(f.ctx, "resumed", Patience))
	third := f.rest("resumed", second.position)
	f.wantTexts("the first part", first.texts(), append(numbered(1, 500), "listening"))
	f.wantTexts("the second part", second.texts(), numbered(501, 700))
	f.wantTexts("the third part", third.texts(), append(numbered(701, 800), "bye"))
	f.wantRun("all", slices.Concat(first.lines, second.lines, third.lines), o.Instance)
	if n := first.skipped + second.skipped + third.skipped; n != 0 {
		f.Errorf("%d bytes were skipped", n)
	}
}

// An instance writes all the time while its follower is cancelled and comes back.
func testLogsCancelled(f *fixture) {
	d := f.logReader()
	f.start(f.puppet("chatty", "chatter"))
	byStream := map[driver.LogStream][]string{}
	position := ""
	add := func(b driver.LogBatch) {
		for _, l := range b.Lines {
			if strings.HasPrefix(l.Text, "tick ") {
				byStream[l.Stream] = append(byStream[l.Stream], strings.Clone(l.Text))
			}
		}
		position = b.Position
	}
	for range 20 {
		ctx, cancel := context.WithCancel(f.ctx)
		batches := 1 + rand.IntN(3)
		enough := rand.IntN(2) == 0
		err := d.FollowLogs(ctx, "chatty", position, func(b driver.LogBatch) error {
			if batches--; batches > 0 {
				add(b)
				return nil
			}
			if enough { // what is refused comes again
				return errEnough
			}
			add(b)
			cancel()
			return nil
		})
		cancel()
		if want := map[bool]error{true: errEnough, false: context.Canceled}[enough]; !errors.Is(err, want) {
			f.Fatalf("FollowLogs says %v, want %v", err, want)
		}
	}
	f.must(f.d.Stop(f.ctx, "chatty", Patience))
	f.must(d.FollowLogs(f.ctx, "chatty", position, func(b driver.LogBatch) error { add(b); return nil }))
	var out, errOut []string
	for i := 1; i <= len(byStream[driver.Stdout])+len(byStream[driver.Stderr]); i++ {
		if text := fmt.Sprint("tick ", i); i%3 == 0 {
			errOut = append(errOut, text)
		} else {
			out = append(out, text)
		}
	}
	f.wantTexts("standard output", byStream[driver.Stdout], out)
	f.wantTexts("standard error", byStream[driver.Stderr], errOut)
	if len(errOut) == 0 {
		f.Error("it said nothing")
	}
}

// A line without an end is passed on when the run has ended, and not before.
func testLogsUnfinishedLine(f *fixture) {
	d := f.logReader()
	s := f.puppet("half")
	order := f.obeying(&s)
	f.start(s)
	first := f.until("half", "", "listening")
	order("half", 1)
	if lines, err := d.TailLogs(f.ctx, "half", 1); err != nil || len(lines) != 1 || lines[0].Text != "listening" {
		f.Errorf("the newest line is %q, %v", lines, err)
	}
	order("half", 2)
	result := make(chan error, 1)
	var got followed
	go func() {
		var err error
		got, err = f.follow("half", first.position, func(followed) bool { return false })
		result <- err
	}()
	order("exit", 3)
	f.must(<-result)
	f.wantTexts("at the end", got.texts(), []string{"half 1 half 2 "})
	if o := f.inspect("half"); o.Running {
		f.Errorf("FollowLogs has ended, and the instance is %+v", o)
	}
}

func testLogsOfCrash(f *fixture) {
	d := f.logReader()
	hints := f.d.Watch(f.ctx)
	s := f.puppet("crash", "print=100")
	f.start(s)
	f.must(f.d.Stop(f.ctx, "crash", Patience))
	s.Args = []string{"print=60", "err=fatal\\n", "exit=3"}
	f.create(s)
	f.must(f.d.Start(f.ctx, "crash"))
	var o driver.Observed
	for o = f.untilStopped(hints, "crash"); o.ExitCode == nil || *o.ExitCode != 3; o = f.untilStopped(hints, "crash") {
	}
	all := f.rest("crash", "").lines
	lines, err := d.TailLogs(f.ctx, "crash", 61)
	f.must(err)
	f.wantRun("the end", lines, o.Instance)
	var texts []string
	for _, l := range lines {
		texts = append(texts, l.Text)
	}
	slices.Sort(texts) // the two streams may be in any order
	want := append(numbered(1, 60), "fatal")
	slices.Sort(want)
	f.wantTexts("the end", texts, want)
	for n, want := range map[int]int{0: 0, 50: 50, 1 << 30: len(all)} {
		if lines, err := d.TailLogs(f.ctx, "crash", n); err != nil || len(lines) != want {
			f.Errorf("the newest %d lines are %d, %v, want %d", n, len(lines), err, want)
		}
	}
}

func testLogStreams(f *fixture) {
	d := f.logReader()
	s := f.puppet("streams", "out=out 1\\n", "err=err 1\\nerr 2\\n", "out=out 2\\n")
	f.start(s)
	f.must(f.d.Stop(f.ctx, "streams", Patience))
	tail, err := d.TailLogs(f.ctx, "streams", 100)
	f.must(err)
	for what, lines := range map[string][]driver.LogLine{"followed": f.rest("streams", "").lines, "the newest": tail} {
		byStream := map[driver.LogStream][]string{}
		for _, l := range lines {
			byStream[l.Stream] = append(byStream[l.Stream], l.Text)
		}
		f.wantTexts(what+" of standard output", byStream[driver.Stdout], []string{"out 1", "out 2", "listening", "bye"})
		f.wantTexts(what+" of standard error", byStream[driver.Stderr], []string{"err 1", "err 2"})
	}
	for _, stream := range []string{"out", "err"} { // one that writes to one stream only has all of its lines
		id := "only-" + stream
		s := f.spec(id, "puppet", stream+"="+strings.Repeat("x\\n", 60), "exit=1")
		s.Env[puppetEnv] = "1"
		f.create(s)
		f.must(f.d.Start(f.ctx, id))
		f.eventually(id+" has ended", func() bool { return !f.inspect(id).Running })
		if lines, err := d.TailLogs(f.ctx, id, 50); err != nil || len(lines) != 50 {
			f.Errorf("the newest 50 lines of %s are %d, %v", id, len(lines), err)
		}
	}
}

func testLogsLongLine(f *fixture) {
	d := f.logReader()
	long := strings.Repeat("x", driver.MaxLogLine)
	s := f.puppet("long", "out=before\\n", "long=1000000", fmt.Sprint("long=", driver.MaxLogLine), "out=after\\n")
	f.start(s)
	f.must(f.d.Stop(f.ctx, "long", Patience))
	want := []string{"before", long, long, "after", "listening", "bye"}
	f.wantTexts("followed", f.rest("long", "").texts(), want)
	lines, err := d.TailLogs(f.ctx, "long", 5)
	f.must(err)
	f.wantTexts("the newest", followed{lines: lines}.texts(), want[1:])
}

// Bytes that are no UTF-8 come as they are or, from an engine that keeps its logs as JSON, as U+FFFD.
func testLogsBinary(f *fixture) {
	f.logReader()
	f.start(f.puppet("binary", `out=nul \x00 esc \x1b[31m cr \r end\n`, `out=bad \xff\xfe end\n`, `out=\n`))
	f.must(f.d.Stop(f.ctx, "binary", Patience))
	got := f.rest("binary", "").texts()
	if len(got) > 1 && got[1] == "bad \ufffd\ufffd end" {
		got[1] = "bad \xff\xfe end"
	}
	f.wantTexts("followed", got, []string{"nul \x00 esc \x1b[31m cr \r end", "bad \xff\xfe end", "", "listening", "bye"})
}

// What is released takes nothing from who reads after it, nor the newest lines.
func testLogsReleased(f *fixture) {
	d := f.logReader()
	s := f.puppet("released", "print=100000")
	order := f.obeying(&s)
	f.start(s)
	first := f.until("released", "", "listening")
	f.must(d.ReleaseLogs(f.ctx, "released", first.position))
	f.must(d.ReleaseLogs(f.ctx, "released", "of something else"))
	f.wantTexts("the newest", strings.Split(strings.TrimSpace(f.logs("released", 50)), "\n"), append(numbered(99952, 100000), "listening"))
	order("print", 10)
	f.wantTexts("the next", f.until("released", first.position, "line 100010").texts(), numbered(100001, 100010))
	f.d = f.m.Open("first")
	f.must(f.d.Stop(f.ctx, "released", Patience))
	rest := f.rest("released", first.position)
	f.wantTexts("after a restart", rest.texts(), append(numbered(100001, 100010), "bye"))
	if rest.skipped != 0 {
		f.Errorf("%d bytes were skipped", rest.skipped)
	}
}
