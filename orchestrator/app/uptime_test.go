package app_test

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/app"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
)

// seldom lets hours pass quickly.
func seldom(o *app.Options) { o.NodeInterval, o.Resync = 10*time.Second, time.Minute }

// uptime returns the uptime of a service, whose parts must be without gaps and add up to it.
func (w *world) uptime(id string, within orchestrator.UptimeRange) orchestrator.Uptime {
	w.t.Helper()
	u, err := w.Uptime(w.t.Context(), &orchestrator.Service{ID: id}, within)
	if err != nil {
		w.t.Fatal(err)
	}
	var all orchestrator.UptimeSums
	at := u.From
	for _, b := range u.Buckets {
		if !b.From.Equal(at) || !b.To.After(b.From) && !b.From.Equal(u.To) {
			w.t.Errorf("a bucket from %s to %s follows %s", b.From, b.To, at)
		}
		if sum := b.Healthy + b.Down + b.Planned + b.Unknown; sum > b.To.Sub(b.From)+50*time.Millisecond {
			w.t.Errorf("the bucket from %s to %s has %s", b.From, b.To, sum)
		}
		all.Healthy += b.Healthy
		all.Down += b.Down
		all.Planned += b.Planned
		all.Unknown += b.Unknown
		at = b.To
	}
	if !at.Equal(u.To) || all != u.UptimeSums {
		w.t.Errorf("the buckets end at %s with %+v; want %s, %+v", at, all, u.To, u.UptimeSums)
	}
	return u
}

// wantUptime compares sums, which are stored with a precision of 50 ms a day.
func wantUptime(t *testing.T, got, want orchestrator.UptimeSums) {
	t.Helper()
	near := func(a, b time.Duration) bool { return (a - b).Abs() <= 50*time.Millisecond }
	if !near(got.Healthy, want.Healthy) || !near(got.Down, want.Down) || !near(got.Planned, want.Planned) || !near(got.Unknown, want.Unknown) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// lasted returns the time from the newest event of a service with a reason until it was healthy again, or until now.
func (w *world) lasted(id string, code lifecycle.ReasonCode) time.Duration {
	w.t.Helper()
	page, err := w.Events(w.t.Context(), orchestrator.EventFilter{ServiceID: id}, orchestrator.Page{First: 500})
	if err != nil {
		w.t.Fatal(err)
	}
	until := time.Now()
	for _, e := range page.Items { // newest first
		if e.ReasonCode != nil && *e.ReasonCode == code {
			return until.Sub(e.At)
		}
		if *e.Health == lifecycle.HealthHealthy {
			until = e.At
		}
	}
	w.t.Fatalf("there is no event with the code %s", code)
	return 0
}

// Each state counts for exactly as long as it lasted, over the ends of hours and days and restarts of uws; time in which uws did
// not run is unknown.
func TestUptime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, seldom)
		w.stop()
		<-time.After(23*time.Hour + 50*time.Minute) // midnight follows
		w.start()
		launched := w.launch("a").ID
		if u := w.uptime(launched, orchestrator.UptimeDay); u.UptimeSums != (orchestrator.UptimeSums{}) || u.Share() != nil || len(u.Buckets) != 24 {
			t.Errorf("before it was healthy: %+v, %d buckets", u.UptimeSums, len(u.Buckets))
		}
		s := w.healthy(launched)
		first := w.lasted(s.ID, lifecycle.CodeHealthy)
		began := time.Now().Add(-first)
		<-time.After(15 * time.Minute)
		want := orchestrator.UptimeSums{Healthy: time.Since(began)}
		wantUptime(t, w.uptime(s.ID, orchestrator.UptimeDay).UptimeSums, want)
		week := w.uptime(s.ID, orchestrator.UptimeMonth)
		if today, before := week.Buckets[29], week.Buckets[28]; (today.Healthy+before.Healthy-want.Healthy).Abs() > time.Second || today.Healthy < 5*time.Minute-time.Second || before.Unknown != 0 {
			t.Errorf("midnight divides it into %+v and %+v", before, today)
		}

		w.machine.crash(s.ID, 1)
		w.eventually("it runs again", func() bool { return w.get(s.ID).Restarts == 1 })
		w.healthy(s.ID)
		want = orchestrator.UptimeSums{Down: w.lasted(s.ID, lifecycle.CodeExited)}
		if want.Down <= 0 || want.Down > 10*time.Second {
			t.Fatalf("it was down for %s", want.Down)
		}
		if _, err := w.Stop(t.Context(), s.ID); err != nil {
			t.Fatal(err)
		}
		<-time.After(20 * time.Minute)
		want.Planned = w.lasted(s.ID, lifecycle.CodeStopRequested)
		if _, err := w.Start(t.Context(), s.ID); err != nil {
			t.Fatal(err)
		}
		w.healthy(s.ID)
		want.Down += w.lasted(s.ID, lifecycle.CodeStartRequested)
		away := time.Now()
		w.away(driver.Errorf(driver.Unreachable, "no route to host"))
		w.eventually("the node is down", func() bool { return w.get(s.ID).Health == lifecycle.HealthUnknown })
		lost := time.Now()
		<-time.After(7 * time.Minute)
		w.away(nil)
		w.healthy(s.ID)
		want.Unknown = time.Since(lost)
		if lost.Sub(away) > 2*time.Minute {
			t.Fatalf("its loss was noticed after %s", lost.Sub(away))
		}
		check := func() {
			t.Helper()
			want.Healthy = time.Since(began) - want.Down - want.Planned - want.Unknown
			for _, within := range []orchestrator.UptimeRange{orchestrator.UptimeDay, orchestrator.UptimeWeek, orchestrator.UptimeMonth, orchestrator.UptimeYear} {
				wantUptime(t, w.uptime(s.ID, within).UptimeSums, want)
			}
		}
		check()

		stopped := time.Now()
		w.stop()
		<-time.After(2 * time.Hour) // nothing runs meanwhile
		w.start()
		want.Unknown += time.Since(stopped)
		w.healthy(s.ID)
		<-time.After(time.Minute)
		check()
		if share := w.uptime(s.ID, orchestrator.UptimeDay).Share(); share == nil || *share < 0.5 || *share >= 1 {
			t.Errorf("it was healthy for %v of the time", share)
		}
		_, err := w.Uptime(t.Context(), s, "DECADE")
		wantCode(t, err, orchestrator.InvalidInput, "range")
	})
}

// A user's restart is an outage like any other.
func TestUptimeOfARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.healthy(w.launch("a").ID)
		<-time.After(time.Minute)
		if _, err := w.Restart(t.Context(), s.ID); err != nil {
			t.Fatal(err)
		}
		w.eventually("restarted", func() bool {
			row := w.row(s.ID)
			return row.HandledGeneration == row.RestartGeneration && row.Health == lifecycle.HealthHealthy
		})
		down := w.lasted(s.ID, lifecycle.CodeRestartRequested)
		if got := w.uptime(s.ID, orchestrator.UptimeDay); got.Down != down || down == 0 || got.Planned != 0 {
			t.Errorf("%+v, want %s down", got.UptimeSums, down)
		}
	})
}

// What events tell of a service is its uptime where there is no file of it: in an installation of an older uws, or after damage.
func TestUptimeFromEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, seldom)
		runs, stops := w.healthy(w.launch("runs").ID), w.healthy(w.launch("stops").ID)
		ids := []string{runs.ID, stops.ID}
		w.machine.set(func() {
			w.machine.startErr = func(spec driver.Spec) error {
				if slices.Contains(ids, spec.Service) {
					return nil
				}
				return errors.New("no")
			}
		})
		never := w.launch("never")
		dir := filepath.Join(w.dir, "data", "uptime")
		<-time.After(10 * time.Minute)
		if _, err := w.Stop(t.Context(), stops.ID); err != nil {
			t.Fatal(err)
		}
		w.machine.crash(runs.ID, 1)
		w.eventually("it runs again", func() bool { return w.get(runs.ID).Restarts == 1 })
		w.healthy(runs.ID)
		<-time.After(10 * time.Minute)
		var before []orchestrator.UptimeSums
		for _, id := range ids {
			before = append(before, w.uptime(id, orchestrator.UptimeMonth).UptimeSums)
		}
		w.stop()
		for name, spoil := range map[string]func(path string) error{
			"without a file":      os.Remove,
			"with a damaged file": func(path string) error { return os.WriteFile(path, []byte("What is this?"), 0o600) },
		} {
			for _, id := range ids {
				if err := spoil(filepath.Join(dir, id)); err != nil {
					t.Fatal(name, err)
				}
			}
			w.start()
			w.eventually("the past is known", func() bool { return w.uptime(runs.ID, orchestrator.UptimeMonth).Healthy > 15*time.Minute })
			w.stop()
			for i, id := range ids {
				got := w.uptime(id, orchestrator.UptimeMonth).UptimeSums
				if (got.Healthy-before[i].Healthy).Abs() > 15*time.Second || (got.Down-before[i].Down).Abs() > 50*time.Millisecond || (got.Planned-before[i].Planned).Abs() > 15*time.Second {
					t.Errorf("%s: %+v, want %+v", name, got, before[i])
				}
			}
		}
		if got := w.uptime(never.ID, orchestrator.UptimeMonth).UptimeSums; got.Healthy != 0 && got.Down != 0 {
			t.Errorf("a service that was never healthy has %+v", got)
		}
	})
}

// The files of services that are gone are deleted.
func TestUptimeOfTheGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.healthy(w.launch("a").ID)
		<-time.After(2 * time.Minute)
		path := filepath.Join(w.dir, "data", "uptime", s.ID)
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
		if _, err := w.Remove(t.Context(), s.ID, true); err != nil {
			t.Fatal(err)
		}
		w.gone(s.ID)
		gone := func() bool {
			_, err := os.Stat(path)
			return errors.Is(err, fs.ErrNotExist)
		}
		w.eventually("its uptime is deleted", gone)
		w.stop()
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		w.start()
		w.eventually("it is deleted at the next start", gone)
	})
}

// A read-only installation shows what was recorded, and records nothing.
func TestUptimeReadOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.healthy(w.launch("a").ID)
		<-time.After(10 * time.Minute)
		w.stop()
		before := w.uptime(s.ID, orchestrator.UptimeDay).UptimeSums
		<-time.After(10 * time.Minute)
		w.options = append(w.options, func(o *app.Options) { o.ReadOnly = "a copy" })
		w.run()
		<-time.After(10 * time.Minute)
		before.Unknown += 20 * time.Minute
		wantUptime(t, w.uptime(s.ID, orchestrator.UptimeDay).UptimeSums, before)
	})
}

// While files cannot be written, nothing is lost, and the log says so once.
func TestUptimeCannotBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		w := newWorld(t, func(o *app.Options) { o.Log = slog.New(slog.NewTextHandler(&out, nil)) })
		dir := filepath.Join(w.dir, "data", "uptime")
		if err := os.WriteFile(dir, nil, 0o600); err != nil { // no folder can be made there
			t.Fatal(err)
		}
		s := w.healthy(w.launch("a").ID)
		<-time.After(5 * time.Minute)
		if err := os.Remove(dir); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Minute)
		if _, err := os.Stat(filepath.Join(dir, s.ID)); err != nil {
			t.Error(err)
		}
		wantUptime(t, w.uptime(s.ID, orchestrator.UptimeDay).UptimeSums, orchestrator.UptimeSums{Healthy: 6 * time.Minute})
		w.stop()
		for _, text := range []string{"writing uptimes failed; retrying", "uptimes are written again"} {
			if n := strings.Count(out.String(), text); n != 1 {
				t.Errorf("%q is in the log %d times", text, n)
			}
		}
	})
}
