package process_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/drivertest"
	"github.com/unicorn-web-services/uws/orchestrator/driver/process"
)

// talker is a service that prints what it is told to.
type talker struct {
	*machine
	d     driver.Driver
	spec  driver.Spec
	port  int
	lines int // that it has printed
}

func newTalker(t *testing.T, change func(*process.Options)) *talker {
	t.Helper()
	m := newMachine(t)
	m.change = change
	port := drivertest.FreePort(t)
	k := &talker{machine: m, port: port}
	k.spec = m.puppet("talker", fmt.Sprint("obey=127.0.0.1:", port))
	k.reopen()
	return k
}

func (k *talker) reopen() { k.d = k.Open("first") }

func (k *talker) must(err error) {
	k.Helper()
	if err != nil {
		k.Fatal(err)
	}
}

func (k *talker) start() {
	k.Helper()
	k.machine.start(k.d, k.spec)
	k.lines = 0
}

func (k *talker) stop() {
	k.Helper()
	k.must(k.d.Stop(k.Context(), "talker", time.Hour))
}

func (k *talker) order(verb string, n int) {
	k.Helper()
	c, err := net.Dial("tcp", fmt.Sprint("127.0.0.1:", k.port))
	k.must(err)
	defer c.Close()
	_, err = fmt.Fprintf(c, "%s %d\n", verb, n)
	k.must(err)
	_, _ = c.Read(make([]byte, 1)) // until it has done so
}

// print has it print lines, and returns them.
func (k *talker) print(n int) (texts []string) {
	k.Helper()
	k.order("print", n)
	for range n {
		k.lines++
		texts = append(texts, fmt.Sprint("line ", k.lines))
	}
	return texts
}

func (k *talker) run() string {
	k.Helper()
	o, err := k.d.Inspect(k.Context(), "talker")
	k.must(err)
	return o.Instance
}

func (k *talker) path(name string) string {
	return filepath.Join(k.dir("first"), "services", "talker", "log", name)
}

// onDisk is the number of bytes that its logs have on the disk.
func (k *talker) onDisk() (bytes int64) {
	k.Helper()
	for _, name := range []string{"stdout.log", "stderr.log"} {
		info, err := os.Stat(k.path(name))
		k.must(err)
		bytes += info.Sys().(*syscall.Stat_t).Blocks * 512
	}
	return bytes
}

var errEnough = errors.New("enough was read")

// follow reads from a position until a line has come, to the end if last is empty.
func (k *talker) follow(position *string, last string) (lines []driver.LogLine, skipped int64) {
	k.Helper()
	err := k.d.(driver.LogReader).FollowLogs(k.Context(), "talker", *position, func(b driver.LogBatch) error {
		lines = append(lines, b.Lines...)
		skipped += b.Skipped
		*position = b.Position
		if last != "" && slices.ContainsFunc(b.Lines, func(l driver.LogLine) bool { return l.Text == last }) {
			return errEnough
		}
		return nil
	})
	if last != "" && !errors.Is(err, errEnough) || last == "" && err != nil {
		k.Fatalf("following until %q: %v", last, err)
	}
	return lines, skipped
}

func (k *talker) want(what string, lines []driver.LogLine, run string, texts ...string) {
	k.Helper()
	var got []string
	for _, l := range lines {
		got = append(got, l.Text)
		if l.Run != run || l.Stream != driver.Stdout {
			k.Errorf("%s: %+v, want run %q", what, l, run)
		}
	}
	if !slices.Equal(got, texts) {
		k.Errorf("%s: %.200q, want %.200q", what, got, texts)
	}
}

// However much an engine writes, its logs are kept within the limit, and who reads too slowly is told what was lost.
func TestLogFlood(t *testing.T) {
	const limit, rounds, megabytes = 4 << 20, 5, 30
	k := newTalker(t, func(o *process.Options) { o.LogBytes = limit })
	k.start()
	began, reads := make(chan bool), make(chan bool)
	var passed, skipped int64
	result := make(chan error, 1)
	go func() {
		first := true
		result <- k.d.(driver.LogReader).FollowLogs(t.Context(), "talker", "", func(b driver.LogBatch) error {
			for _, l := range b.Lines {
				passed += int64(len(l.Text)) + 1
				if l.Text != "listening" && l.Text != "bye" && (len(l.Text) != 99 || !strings.HasPrefix(l.Text, "flood ")) {
					t.Errorf("%q is a part of a line", l.Text)
				}
			}
			if skipped += b.Skipped; first {
				first = false
				close(began)
				<-reads
			}
			return nil
		})
	}()
	<-began
	for range rounds {
		k.order("flood", megabytes)
		drivertest.Eventually(t, "the log is within its limit", func() bool { return k.onDisk() <= limit })
	}
	if kept := k.onDisk(); kept < limit/2 {
		t.Errorf("of %d MB only %d bytes are left", rounds*megabytes, kept)
	}
	close(reads)
	k.stop()
	k.must(<-result)
	info, err := os.Stat(k.path("stdout.log"))
	k.must(err)
	if skipped == 0 || passed+skipped != info.Size() {
		t.Errorf("passed %d and skipped %d of %d bytes", passed, skipped, info.Size())
	}
	if lines, err := k.d.(driver.LogReader).TailLogs(t.Context(), "talker", 50); err != nil || len(lines) != 50 || lines[49].Text != "bye" {
		t.Errorf("the newest are %d lines, %v", len(lines), err)
	}
}

// Several runs share the limit, and none loses lines while they are within it.
func TestLogLimitAcrossRuns(t *testing.T) {
	k := newTalker(t, func(o *process.Options) { o.LogBytes = 1 << 20 })
	k.spec.Args = append([]string{"print=1000"}, k.spec.Args...)
	for range 3 {
		k.start()
		k.stop()
	}
	if got := strings.Count(k.logs(k.d, "talker"), "line 1000\n"); got != 3 {
		t.Errorf("the logs hold %d runs, want all 3", got)
	}
	if lines, err := k.d.(driver.LogReader).TailLogs(t.Context(), "talker", 1500); err != nil || len(lines) != 1500 {
		t.Errorf("a tail over runs has %d lines, %v", len(lines), err)
	}
}

// What was released is freed on the disk.
func TestLogReleased(t *testing.T) {
	k := newTalker(t, nil)
	k.start()
	k.order("flood", 5)
	k.print(60)
	var position string
	k.follow(&position, "line 60")
	k.must(k.d.(driver.LogReader).ReleaseLogs(t.Context(), "talker", position))
	if left := k.onDisk(); left > 200<<10 {
		t.Errorf("%d bytes are left on disk", left)
	}
	tail, err := k.d.(driver.LogReader).TailLogs(t.Context(), "talker", 50)
	if err != nil || len(tail) != 50 || tail[0].Text != "line 11" {
		t.Errorf("the newest lines are %v, %v", tail, err)
	}
	k.reopen()
	again := ""
	k.print(1)
	if lines, skipped := k.follow(&again, "line 61"); len(lines) < 61 || len(lines) > 2000 || skipped != 0 || len(lines[0].Text) < 7 {
		t.Errorf("from the oldest there are %d lines, %d bytes were skipped", len(lines), skipped)
	}
}

// Somebody deletes the logs: what is written to the deleted files is read as long as uws has them open, and the next run has new ones.
func TestLogDeleted(t *testing.T) {
	for what, remove := range map[string]func(*talker) error{
		"file":   func(k *talker) error { return os.Remove(k.path("stdout.log")) },
		"folder": func(k *talker) error { return os.RemoveAll(k.path("")) },
	} {
		t.Run(what, func(t *testing.T) {
			k := newTalker(t, nil)
			k.start()
			first := k.run()
			var position string
			lines, _ := k.follow(&position, "listening")
			k.want("before", lines, first, "listening")
			k.must(remove(k))
			texts := k.print(100)
			lines, skipped := k.follow(&position, "line 100")
			k.want("deleted", lines, first, texts...)
			k.stop()
			lines, _ = k.follow(&position, "")
			k.want("at the end", lines, first) // nobody had it open any more
			k.start()
			texts = append([]string{"listening"}, k.print(100)...)
			lines, more := k.follow(&position, "line 100")
			k.want("the next run", lines, k.run(), texts...)
			if skipped+more != 0 {
				t.Errorf("%d bytes were skipped", skipped+more)
			}
			k.reopen()
			texts = k.print(1)
			lines, _ = k.follow(&position, "line 101")
			k.want("after a restart", lines, k.run(), texts...)
		})
	}
}

// A follower reads what an engine writes to a deleted file to its end.
func TestLogDeletedWhileFollowing(t *testing.T) {
	k := newTalker(t, nil)
	k.start()
	run := k.run()
	began := make(chan bool)
	result := make(chan error, 1)
	var lines []driver.LogLine
	go func() {
		result <- k.d.(driver.LogReader).FollowLogs(t.Context(), "talker", "", func(b driver.LogBatch) error {
			if lines == nil {
				close(began)
			}
			lines = append(lines, b.Lines...)
			return nil
		})
	}()
	<-began
	k.must(os.Remove(k.path("stdout.log")))
	texts := append(append([]string{"listening"}, k.print(1000)...), "bye")
	k.stop()
	k.must(<-result)
	k.want("all", lines, run, texts...)
}

// An instance that an older uws has started writes to the file that such a uws has made.
func TestLogOfOlderVersion(t *testing.T) {
	k := newTalker(t, nil)
	k.start()
	texts := append([]string{"listening"}, k.print(10)...)
	k.must(k.d.Close())
	k.must(os.Rename(k.path("stdout.log"), k.path("engine.log")))
	k.must(os.Remove(k.path("stderr.log")))
	k.must(os.Remove(k.path("runs.json")))
	k.must(os.WriteFile(k.path("engine.log.1"), []byte("rotated 1\nrotated 2\n"), 0o600))
	k.reopen()
	var position string
	lines, _ := k.follow(&position, "line 10")
	k.want("before the adoption", lines, "", append([]string{"rotated 1", "rotated 2"}, texts...)...)
	first := k.run()
	texts = k.print(10)
	lines, _ = k.follow(&position, "line 20")
	k.want("after the adoption", lines, first, texts...)
	k.reopen()
	k.stop()
	lines, _ = k.follow(&position, "")
	k.want("the end", lines, first, "bye")
	k.start()
	lines, _ = k.follow(&position, "listening")
	k.want("the next run", lines, k.run(), "listening")
	tail, err := k.d.(driver.LogReader).TailLogs(t.Context(), "talker", 4)
	k.must(err)
	k.want("the newest", tail[:3], first, "line 19", "line 20", "bye")
	k.order("flood", 1)
	k.print(1)
	k.follow(&position, "line 1")
	k.must(k.d.(driver.LogReader).ReleaseLogs(t.Context(), "talker", position))
	if left, err := filepath.Glob(k.path("engine*")); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

// Without the file that says where runs begin, their lines are those of an unknown run, and positions stay valid.
func TestLogBrokenSidecar(t *testing.T) {
	for _, broken := range []string{"", "{", `{"runs": [{"at": [0, 0, 5, 5]}, {"at": [0, 0, 3, 3]}]}`, `{"base": [0, 0, -7, 0]}`} {
		k := newTalker(t, nil)
		k.start()
		var position string
		k.follow(&position, "listening")
		k.stop()
		k.must(k.d.Close())
		k.must(os.WriteFile(k.path("runs.json"), []byte(broken), 0o600))
		k.reopen()
		lines, _ := k.follow(&position, "")
		k.want(broken, lines, "", "bye")
		k.start()
		lines, _ = k.follow(&position, "listening")
		k.want(broken+", the next run", lines, k.run(), "listening")
	}
}

// What was written while there was no uws has the time of the file.
func TestLogTimes(t *testing.T) {
	k := newTalker(t, nil)
	k.start()
	k.stop()
	k.must(k.d.Close())
	when := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	k.must(os.Chtimes(k.path("stdout.log"), when, when))
	k.reopen()
	var position string
	lines, _ := k.follow(&position, "")
	if len(lines) != 2 || !lines[0].At.Equal(when) || !lines[1].At.Equal(when) {
		t.Errorf("the lines are %+v", lines)
	}
}

// Close and Remove end who follows.
func TestLogFollowerEnds(t *testing.T) {
	for what, end := range map[string]func(*talker) error{
		"Close":  func(k *talker) error { return k.d.Close() },
		"Remove": func(k *talker) error { return k.d.Remove(k.Context(), "talker") },
	} {
		k := newTalker(t, nil)
		k.start()
		began := make(chan bool, 100)
		result := make(chan error, 1)
		go func() {
			result <- k.d.(driver.LogReader).FollowLogs(t.Context(), "talker", "", func(driver.LogBatch) error { began <- true; return nil })
		}()
		<-began
		k.must(end(k))
		if err := <-result; (err == nil) != (what == "Remove") {
			t.Errorf("after %s FollowLogs says %v", what, err)
		}
	}
}
