package app_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/app"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

// log returns the texts of a service's whole log, read in pages of n.
func (w *world) log(id string, n int) []string {
	w.t.Helper()
	var all []string
	for q := (orchestrator.LogQuery{First: n}); ; {
		page, err := w.Logs(w.t.Context(), id, q)
		if err != nil {
			w.t.Fatal(err)
		}
		var texts []string
		for _, line := range page.Lines {
			texts = append(texts, line.Text)
		}
		all = append(texts, all...)
		if !page.More {
			return all
		}
		q.Before = page.Lines[0].Cursor
	}
}

// logged waits until the log of a service has these lines.
func (w *world) logged(id string, want ...string) {
	w.t.Helper()
	var got []string
	w.eventually("the log is complete", func() bool {
		got = w.log(id, 1000)
		return len(got) >= len(want)
	})
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		w.t.Fatalf("the log is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func numbered(from, to int) (all []string) {
	for i := from; i < to; i++ {
		all = append(all, fmt.Sprint("line ", i))
	}
	return all
}

// What instances write is there once and in order: over restarts of theirs and of uws, while the node does not answer, and after
// the instance is gone.
func TestLogsAreCollected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.healthy(w.launch("talk").ID)
		w.machine.print(s.ID, numbered(0, 25)...)
		w.logged(s.ID, numbered(0, 25)...)
		for _, n := range []int{1, 7, 100} {
			if got := w.log(s.ID, n); len(got) != 25 {
				t.Errorf("in pages of %d there are %d lines", n, len(got))
			}
		}
		w.machine.crash(s.ID, 1)
		w.machine.print(s.ID, numbered(25, 30)...)
		w.eventually("it runs again", func() bool { return w.get(s.ID).Restarts == 1 })
		w.healthy(s.ID)
		w.machine.print(s.ID, numbered(30, 35)...)
		w.logged(s.ID, numbered(0, 35)...)

		w.stop()
		w.machine.print(s.ID, numbered(35, 60)...)
		w.start()
		w.logged(s.ID, numbered(0, 60)...)
		w.machine.set(func() {
			if got := w.machine.freed[s.ID]; got != "60" {
				t.Errorf("the node was allowed to delete up to %q", got)
			}
		})

		w.away(driver.Errorf(driver.Unreachable, "no route to host"))
		w.machine.print(s.ID, numbered(60, 62)...)
		const note = "node local does not answer: what the service writes meanwhile follows when it is back"
		w.logged(s.ID, append(numbered(0, 60), note)...)
		w.away(nil)
		w.logged(s.ID, append(append(numbered(0, 60), note), numbered(60, 62)...)...)

		const counted = "# HELP uws_log_lines_total Lines of services' output that were collected.\n# TYPE uws_log_lines_total counter\nuws_log_lines_total 27\n"
		if err := testutil.GatherAndCompare(w.reg, strings.NewReader(counted), "uws_log_lines_total"); err != nil {
			t.Errorf("the second process counts: %v", err)
		}
		dir := filepath.Join(w.dir, "data", "logs", s.ID)
		if _, err := os.Stat(dir); err != nil {
			t.Error(err)
		}
		if _, err := w.Remove(t.Context(), s.ID, true); err != nil {
			t.Fatal(err)
		}
		w.gone(s.ID)
		w.eventually("its log is deleted", func() bool {
			_, err := os.Stat(dir)
			return errors.Is(err, os.ErrNotExist)
		})
		if _, err := w.Logs(t.Context(), s.ID, orchestrator.LogQuery{First: 1}); orchestrator.CodeOf(err) != orchestrator.NotFound {
			t.Errorf("the log of a removed service: %v", err)
		}
	})
}

// A service that was removed while its log could not be deleted leaves none behind.
func TestLogsOfTheGoneAreSwept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.healthy(w.launch("talk").ID)
		w.machine.print(s.ID, "a")
		w.logged(s.ID, "a")
		w.stop()
		left := mkdir(t, w.dir, "data", "logs", "gone")
		w.start()
		w.eventually("it is deleted", func() bool {
			_, err := os.Stat(left)
			return errors.Is(err, os.ErrNotExist)
		})
		w.logged(s.ID, "a")
	})
}

// Credentials never get into a log: neither those in use, nor, from the moment they exist, those that replace them.
func TestLogsAreRedacted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.healthy(w.launch("talk").ID)
		var password string
		w.machine.set(func() { password = w.machine.instances[s.ID].spec.Env["PASSWORD"] })
		if len(password) != 32 {
			t.Fatalf("the password is %q", password)
		}
		w.machine.print(s.ID,
			"password="+password, "url=tcp://u:"+url.QueryEscape(password)+"@host",
			"Authorization: Basic "+base64.StdEncoding.EncodeToString([]byte("user:"+password)),
			strings.Repeat("x", 40_000)+password, password+strings.Repeat("y", 70_000), strings.Repeat("z", 32<<10-16)+password,
		)
		w.eventually("all is logged", func() bool { return len(w.log(s.ID, 1000)) == 6 })
		for i, line := range w.log(s.ID, 1000) {
			for n := 5; n <= len(password); n++ {
				if strings.Contains(line, password[:n]) {
					t.Fatalf("line %d shows %d characters of the password", i, n)
				}
			}
		}
		if got := w.log(s.ID, 1000)[0]; got != "password=***" {
			t.Errorf("got %q", got)
		}
		raw := ""
		files, err := filepath.Glob(filepath.Join(w.dir, "data", "logs", s.ID, "*"))
		if err != nil || len(files) == 0 {
			t.Fatal(files, err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			raw += string(b)
		}
		if strings.Contains(raw, password) {
			t.Error("the files have the password")
		}

		const fresh = "the-one-that-replaces-it"
		row := w.row(s.ID)
		sealed, err := w.st.Seal([]byte(`{"password":"`+fresh+`"}`), store.CredentialsContext(row.Volume))
		if err != nil {
			t.Fatal(err)
		}
		replace := func(ctx context.Context, tx *ent.Tx) error {
			return tx.Service.UpdateOneID(s.ID).SetCredentials(sealed).Exec(ctx)
		}
		if err := w.st.Update(t.Context(), replace); err != nil {
			t.Fatal(err)
		}
		w.machine.print(s.ID, "old "+password+", new "+fresh)
		w.eventually("the line is logged", func() bool { return len(w.log(s.ID, 1000)) == 7 })
		if got := w.log(s.ID, 1000)[6]; got != "old ***, new ***" {
			t.Errorf("after the credentials were replaced: %q", got)
		}
	})
}

// A query selects by run, level, time and text, and pages through what is selected alone.
func TestLogQueries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.healthy(w.launch("talk").ID)
		w.machine.print(s.ID, "[INF] one", "[ERR] two", "\tat line 2", "[DBG] three")
		<-time.After(time.Minute)
		middle := time.Now()
		w.machine.print(s.ID, "[WRN] Four", "no level", "[FTL] five")
		w.logged(s.ID, "[INF] one", "[ERR] two", "\tat line 2", "[DBG] three", "[WRN] Four", "no level", "[FTL] five")
		first, err := w.Logs(t.Context(), s.ID, orchestrator.LogQuery{First: 1})
		if err != nil {
			t.Fatal(err)
		}
		run := *first.Lines[0].Run
		w.machine.crash(s.ID, 1)
		w.eventually("it runs again", func() bool { return w.get(s.ID).Restarts == 1 })
		w.healthy(s.ID)
		w.machine.print(s.ID, "[INF] again")
		w.eventually("the new run is logged", func() bool { return len(w.log(s.ID, 100)) == 8 })
		for _, tt := range []struct {
			query orchestrator.LogQuery
			want  string
		}{
			{orchestrator.LogQuery{Level: orchestrator.LogWarning}, "[ERR] two|\tat line 2|[WRN] Four|[FTL] five"},
			{orchestrator.LogQuery{Level: orchestrator.LogFatal}, "[FTL] five"},
			{orchestrator.LogQuery{Contains: "FO"}, "[WRN] Four"},
			{orchestrator.LogQuery{Since: middle, Level: orchestrator.LogDebug}, "[WRN] Four|[FTL] five|[INF] again"},
			{orchestrator.LogQuery{Run: run, Contains: "["}, "[INF] one|[ERR] two|[DBG] three|[WRN] Four|[FTL] five"},
			{orchestrator.LogQuery{Run: "none"}, ""},
		} {
			var got []string
			for q := tt.query; ; {
				q.First = 2
				page, err := w.Logs(t.Context(), s.ID, q)
				if err != nil {
					t.Fatal(err)
				}
				var texts []string
				for _, line := range page.Lines {
					texts = append(texts, line.Text)
				}
				got = append(texts, got...)
				if !page.More {
					break
				}
				q.Before = page.Lines[0].Cursor
			}
			if strings.Join(got, "|") != tt.want {
				t.Errorf("%+v selects %q, want %q", tt.query, got, tt.want)
			}
		}
		other := w.healthy(w.launch("other").ID)
		for _, before := range []string{"x", first.Lines[0].Cursor + "A", "AAAA"} {
			if _, err := w.Logs(t.Context(), other.ID, orchestrator.LogQuery{First: 1, Before: before}); orchestrator.CodeOf(err) != orchestrator.InvalidInput {
				t.Errorf("before %q: %v", before, err)
			}
		}
		if _, err := w.Logs(t.Context(), other.ID, orchestrator.LogQuery{First: 1, Before: first.Lines[0].Cursor}); orchestrator.CodeOf(err) != orchestrator.InvalidInput {
			t.Errorf("the cursor of another service: %v", err)
		}
	})
}

// logWatch is a watch of a log, whose messages are collected.
type logWatch struct {
	batches []orchestrator.LogBatch
	times   []time.Time
	cursor  string
	ended   chan error
	cancel  context.CancelFunc
}

func (w *world) follow(id string, span orchestrator.Span) *logWatch {
	ctx, cancel := context.WithCancel(w.t.Context())
	f := &logWatch{ended: make(chan error, 1), cancel: cancel}
	go func() {
		_, err := w.WatchLogs(ctx, id, span, func(b *orchestrator.LogBatch) error {
			f.batches, f.times, f.cursor = append(f.batches, *b), append(f.times, time.Now()), b.Cursor
			return nil
		})
		f.ended <- err
	}()
	synctest.Wait()
	return f
}

// lines ends the watch and returns what it got.
func (f *logWatch) lines(t *testing.T) (texts []string, dropped int) {
	t.Helper()
	f.cancel()
	if err := <-f.ended; err != nil {
		t.Error(err)
	}
	for i, b := range f.batches {
		for _, line := range b.Lines {
			texts = append(texts, line.Text)
		}
		dropped += b.Dropped
		if i > 0 && f.times[i].Sub(f.times[i-1]) < 100*time.Millisecond {
			t.Errorf("message %d came %s after the one before it", i, f.times[i].Sub(f.times[i-1]))
		}
	}
	return texts, dropped
}

// A watch gets what is added, from its cursor on, in few messages, and ends with its service.
func TestWatchLogs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.healthy(w.launch("talk").ID)
		w.machine.print(s.ID, numbered(0, 5)...)
		w.logged(s.ID, numbered(0, 5)...)
		page, err := w.Logs(t.Context(), s.ID, orchestrator.LogQuery{First: 2})
		if err != nil {
			t.Fatal(err)
		}
		now := w.follow(s.ID, orchestrator.Span{Live: true})
		end := w.follow(s.ID, orchestrator.Span{Since: page.End, Live: true})
		line := w.follow(s.ID, orchestrator.Span{Since: page.Lines[0].Cursor, Live: true})
		for i := range 100 {
			w.machine.print(s.ID, numbered(5+i, 6+i)...)
			<-time.After(10 * time.Millisecond)
		}
		w.logged(s.ID, numbered(0, 105)...)
		<-time.After(time.Second)
		synctest.Wait()
		cursor := now.cursor
		for name, f := range map[string]*logWatch{"now": now, "the end of a page": end, "a line": line} {
			want := numbered(5, 105)
			if name == "a line" {
				want = numbered(4, 105)
			}
			if got, dropped := f.lines(t); strings.Join(got, "|") != strings.Join(want, "|") || dropped != 0 || len(f.batches) > 15 {
				t.Errorf("from %s: %d lines in %d messages, %d dropped: %.80q", name, len(got), len(f.batches), dropped, got)
			}
		}
		w.restart()
		w.machine.print(s.ID, "after")
		again := w.follow(s.ID, orchestrator.Span{Since: cursor, Live: true})
		removed := w.follow(s.ID, orchestrator.Span{Live: true})
		w.eventually("the line came", func() bool { synctest.Wait(); return len(again.batches) == 1 })
		if got, _ := again.lines(t); len(got) != 1 || got[0] != "after" || again.batches[0].Reset {
			t.Errorf("after a restart of uws it goes on with %q", got)
		}
		if _, err := w.WatchLogs(t.Context(), s.ID, orchestrator.Span{Since: "nonsense"}, nil); orchestrator.CodeOf(err) != orchestrator.InvalidInput {
			t.Errorf("a cursor that is none: %v", err)
		}
		if _, err := w.Remove(t.Context(), s.ID, true); err != nil {
			t.Fatal(err)
		}
		if err := <-removed.ended; err != nil {
			t.Error(err)
		}
		if position, err := w.WatchLogs(t.Context(), "none", orchestrator.Span{Live: true}, nil); orchestrator.CodeOf(err) != orchestrator.NotFound || position != orchestrator.Over {
			t.Errorf("the log of no service: %d, %v", position, err)
		}
	})
}

// An engine that writes more than messages hold costs the watch lines, and it is told how many.
func TestFloodedWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.healthy(w.launch("talk").ID)
		w.machine.print(s.ID, "first")
		w.logged(s.ID, "first")
		page, err := w.Logs(t.Context(), s.ID, orchestrator.LogQuery{First: 1})
		if err != nil {
			t.Fatal(err)
		}
		const lines = 60_000
		long := make([]string, lines)
		for i := range long {
			long[i] = fmt.Sprint(i, " ", strings.Repeat("x", 80))
		}
		w.machine.print(s.ID, long...)
		w.eventually("it is collected", func() bool {
			last, err := w.Logs(t.Context(), s.ID, orchestrator.LogQuery{First: 1})
			return err == nil && strings.HasPrefix(last.Lines[0].Text, fmt.Sprint(lines-1))
		})
		f := w.follow(s.ID, orchestrator.Span{Since: page.End, Live: true})
		<-time.After(10 * time.Second)
		got, dropped := f.lines(t)
		if dropped == 0 || len(got)+dropped != lines {
			t.Errorf("%d lines and %d dropped are not %d", len(got), dropped, lines)
		}
		if !strings.HasPrefix(got[len(got)-1], fmt.Sprint(lines-1)) {
			t.Errorf("the newest line is %.20q", got[len(got)-1])
		}
		for _, b := range f.batches {
			size := 0
			for _, line := range b.Lines {
				size += len(line.Text)
			}
			if size > 65<<10 {
				t.Errorf("a message has %d bytes", size)
			}
		}
	})
}

// tails returns the logs that events of a service have, oldest event first, with those events.
func (w *world) tails(id string) (events []*orchestrator.Event, tails [][]orchestrator.LogLine) {
	w.t.Helper()
	for page := (orchestrator.Page{First: 1000}); ; {
		list, err := w.Events(w.t.Context(), orchestrator.EventFilter{ServiceID: id}, page)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, e := range list.Items {
			tail, err := w.LogTail(w.t.Context(), e)
			if err != nil {
				w.t.Fatal(err)
			}
			if len(tail) > 0 {
				events, tails = append([]*orchestrator.Event{e}, events...), append([][]orchestrator.LogLine{tail}, tails...)
			}
		}
		if !list.More {
			return events, tails
		}
		page.After = list.Cursors[len(list.Cursors)-1]
	}
}

// The event of a crash has the last 50 lines of that run and of no other, without credentials, also of a run that uws adopted.
func TestLogTail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.healthy(w.launch("talk").ID)
		var password string
		w.machine.set(func() { password = w.machine.instances[s.ID].spec.Env["PASSWORD"] })
		w.machine.print(s.ID, numbered(0, 60)...)
		w.machine.print(s.ID, "[ERR] "+password+"\x00", strings.Repeat("x", 10_000))
		w.machine.crash(s.ID, 137)
		w.eventually("it runs again", func() bool { return w.get(s.ID).Restarts == 1 })
		w.healthy(s.ID)
		events, tails := w.tails(s.ID)
		if len(tails) != 1 || len(tails[0]) != 50 || events[0].ExitCode == nil || *events[0].ExitCode != 137 {
			t.Fatalf("after a crash %d events have a log, %v", len(tails), events)
		}
		tail := tails[0]
		if tail[0].Text != "line 12" || tail[48].Text != `[ERR] ***\x00` || *tail[48].Level != orchestrator.LogError || len(tail[49].Text) > 5000 {
			t.Errorf("the log begins with %q and ends with %q and %d bytes", tail[0].Text, tail[48].Text, len(tail[49].Text))
		}
		page, err := w.Logs(t.Context(), s.ID, orchestrator.LogQuery{First: 1, Contains: "line 12"})
		if err != nil || len(page.Lines) != 1 || *page.Lines[0].Run != *tail[0].Run {
			t.Errorf("the run of the event is %s, and that of the log %v, %v", *tail[0].Run, page.Lines, err)
		}

		w.machine.print(s.ID, "FATAL: "+base64.StdEncoding.EncodeToString([]byte("user:"+password)))
		w.machine.crash(s.ID, 1)
		w.eventually("it runs again", func() bool { return w.get(s.ID).Restarts == 2 })
		w.healthy(s.ID)
		events, _ = w.tails(s.ID)
		if line := events[1].LogLine; line == nil {
			t.Error("no line tells why")
		} else if !strings.Contains(*line, "***") || strings.Contains(*line, base64.StdEncoding.EncodeToString([]byte("user:" + password))[12:28]) {
			t.Errorf("the line that tells why is %q", *line)
		}

		w.machine.print(s.ID, "adopted")
		w.restart()
		w.machine.print(s.ID, "and ended")
		w.machine.set(func() { w.machine.end(s.ID, 1); w.machine.hint(s.ID) })
		w.eventually("it runs again", func() bool { return w.get(s.ID).Restarts == 3 })
		if _, tails = w.tails(s.ID); len(tails) != 3 || len(tails[2]) != 2 || tails[2][0].Text != "adopted" || tails[2][1].Text != "and ended" {
			t.Fatalf("the run that was adopted has %v", tails)
		}
		w.healthy(s.ID)
		if _, err := w.Stop(t.Context(), s.ID); err != nil {
			t.Fatal(err)
		}
		w.waitFor(s.ID, lifecycle.Stopped, lifecycle.HealthUnknown)
		if _, tails = w.tails(s.ID); len(tails) != 3 {
			t.Errorf("a stop that was asked for has a log")
		}
		if count, err := w.st.Read.LogTail.Query().Count(t.Context()); err != nil || count != 3 {
			t.Errorf("%d logs are stored, %v", count, err)
		}
		rows, err := w.st.Read.LogTail.Query().All(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range rows {
			if strings.Contains(string(row.Lines), "adopted") || strings.Contains(string(row.Lines), "line 1") {
				t.Error("a stored log is in clear")
			}
		}
	})
}

// Of a service in a crash loop the newest 20 ends keep their log, and logs go with their events.
func TestLogTailsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *app.Options) { o.EventMax, o.Compaction = 3, 10*time.Minute })
		s := w.healthy(w.launch("talk").ID)
		for i := range 25 {
			w.machine.print(s.ID, fmt.Sprint("end ", i))
			w.machine.crash(s.ID, 1)
			w.eventually("its end is recorded", func() bool {
				_, tails := w.tails(s.ID)
				return len(tails) > 0 && tails[len(tails)-1][0].Text == fmt.Sprint("end ", i)
			})
			if _, err := w.Restart(t.Context(), s.ID); err != nil {
				t.Fatal(err)
			}
			w.healthy(s.ID)
		}
		_, tails := w.tails(s.ID)
		if len(tails) != 20 || tails[0][0].Text != "end 5" {
			t.Errorf("%d ends have a log, the oldest %v", len(tails), tails[0])
		}
		<-time.After(11 * time.Minute)
		if count, err := w.st.Read.LogTail.Query().Count(t.Context()); err != nil || count > 3 {
			t.Errorf("of 3 events %d have a log, %v", count, err)
		}
	})
}
