package drivertest

import (
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

func testDataSurvives(f *fixture) {
	s := f.puppet("old", "count="+f.d.Layout("old", "old-data").Data)
	f.start(s)
	f.must(f.d.Remove(f.ctx, "old"))
	next := f.puppet("new", "count="+f.d.Layout("new", "old-data").Data)
	next.Volume, next.DataMustExist = "old-data", true
	f.start(next)
	f.eventually("the new service sees two starts", func() bool { return lineWith(f.logs("new", -1), "starts:") == "2" })
}

func testDataMissing(f *fixture) {
	s := f.puppet("lost")
	s.DataMustExist = true
	f.must(f.d.Prepare(f.ctx, s, nil))
	f.wantClass(f.d.Create(f.ctx, s), driver.DataMissing)
	if o := f.inspect("lost"); o.Exists {
		f.Errorf("it exists: %+v", o)
	}
	if has, err := f.d.HasData(f.ctx, driver.Data{Volume: s.Volume}); has || err != nil {
		f.Errorf("data was made: %v, %v", has, err)
	}
	f.wantClass(f.d.Start(f.ctx, "lost"), driver.NotCreated)
}

func testDataGoneBeforeStart(f *fixture) {
	s := f.puppet("robbed")
	f.create(s)
	f.must(f.d.RemoveData(f.ctx, driver.Data{Volume: s.Volume}))
	// Where an engine keeps data for as long as it has an instance of it, that is gone too.
	if err := f.d.Start(f.ctx, "robbed"); err == nil || driver.ClassOf(err) != driver.DataMissing && driver.ClassOf(err) != driver.NotCreated {
		f.Fatalf("got error %v, want DataMissing or NotCreated", err)
	}
	s.DataMustExist = true
	f.wantClass(f.d.Create(f.ctx, s), driver.DataMissing)
	if has, err := f.d.HasData(f.ctx, driver.Data{Volume: s.Volume}); has || err != nil {
		f.Errorf("data was made: %v, %v", has, err)
	}
}

// A volume is recognised by its mark file once it has one, and by what its engine creates until then.
func testDataMarked(f *fixture) {
	s := f.puppet("marked")
	s.Folders = []string{"made"}
	f.start(s)
	used := driver.Data{Volume: s.Volume, Used: true, EngineMark: "made"}
	marked := driver.Data{Volume: s.Volume, Used: true, Marked: true}
	f.has(used, true)
	f.has(marked, false)
	f.must(f.d.MarkData(f.ctx, "marked", "a note"))
	f.must(f.d.MarkData(f.ctx, "marked", "a note"))
	f.has(marked, true)
	if o := f.list()["marked"]; o.Volume != s.Volume {
		f.Errorf("List says that it uses volume %q", o.Volume)
	}
	if text, err := f.d.ReadMark(f.ctx, s.Volume); err != nil || driver.Note(s.Volume, text) != "a note" || driver.Note("other", text) != "" {
		f.Errorf("the mark is %q, %v", text, err)
	}
	if info, err := f.d.Ping(f.ctx); err != nil || info.EngineID == "" {
		f.Errorf("the engine has the id %q, %v", info.EngineID, err)
	}
	f.must(f.d.Remove(f.ctx, "marked"))
	f.has(marked, true)
	next := f.puppet("next")
	next.Volume, next.DataMustExist, next.DataMarked = s.Volume, true, true
	f.start(next)
	f.must(f.d.Remove(f.ctx, "next"))
	f.must(f.d.RemoveData(f.ctx, marked))
	f.has(driver.Data{Volume: s.Volume}, false)
	f.must(f.d.RemoveData(f.ctx, marked))
	_, err := f.d.ReadMark(f.ctx, s.Volume)
	f.wantClass(err, driver.DataMissing)
	f.wantClass(f.d.MarkData(f.ctx, "marked", "a note"), driver.NotCreated)
}

// Another volume under the name of one that was used is not started on, and not deleted.
func testImpostor(f *fixture) {
	s := f.puppet("impostor")
	f.create(s)
	f.must(f.d.Remove(f.ctx, "impostor"))
	for _, how := range []struct {
		marked bool
		engine string
	}{{true, ""}, {true, "made"}, {false, "made"}, {false, ""}} {
		s.DataMustExist, s.DataMarked, s.EngineMark = true, how.marked, how.engine
		f.wantClass(f.d.Create(f.ctx, s), driver.DataMissing)
		f.has(s.Data(), false)
		f.wantClass(f.d.RemoveData(f.ctx, s.Data()), driver.DataMissing)
		f.has(driver.Data{Volume: s.Volume}, true)
	}
	if o := f.inspect("impostor"); o.Exists {
		f.Errorf("it exists: %+v", o)
	}
}

func (f *fixture) has(data driver.Data, want bool) {
	f.Helper()
	if has, err := f.d.HasData(f.ctx, data); has != want || err != nil {
		f.Errorf("HasData of %+v is %v, %v, want %v", data, has, err, want)
	}
}

func testRemoveDataInUse(f *fixture) {
	s := f.puppet("busy")
	f.start(s)
	f.wantClass(f.d.RemoveData(f.ctx, driver.Data{Volume: s.Volume}), driver.Conflict)
	f.must(f.d.Stop(f.ctx, "busy", Patience))
	f.must(f.d.RemoveData(f.ctx, driver.Data{Volume: s.Volume}))
}

func testAdoption(f *fixture) {
	s := withEnv(f.puppet("kept", "environment"), map[string]string{"SECRET": "kept-secret"})
	first := f.start(s)
	f.d = f.m.Open("first")
	if o := f.inspect("kept"); o.Instance != first.Instance || !o.Running || !o.Exists || !o.StartedAt.Equal(first.StartedAt) || o.SpecHash != first.SpecHash {
		f.Fatalf("adopted: %+v, was %+v", o, first)
	}
	f.must(f.d.Start(f.ctx, "kept"))
	if o := f.inspect("kept"); o.Instance != first.Instance {
		f.Fatalf("started twice: %+v", o)
	}
	if o, ok := f.list()["kept"]; !ok || !o.Running {
		f.Errorf("List says %+v", o)
	}
	hints := f.d.Watch(f.ctx)
	f.m.Signal("kept", syscall.SIGKILL)
	f.untilStopped(hints, "kept")
	// An adopted instance can be started again as it was.
	f.must(f.d.Start(f.ctx, "kept"))
	f.answers(s)
	f.eventually("the second run has the same environment", func() bool {
		return strings.Count(f.logs("kept", -1), "SECRET=kept-secret") == 2
	})
	f.d = f.m.Open("first")
	f.must(f.d.Stop(f.ctx, "kept", Patience))
	if left := f.m.CommandLines("kept"); len(left) != 0 {
		f.Errorf("Stop of an adopted instance left %q", left)
	}
}

func testExitWhileClosed(f *fixture) {
	s := f.puppet("missed")
	first := f.start(s)
	f.must(f.d.Close())
	f.m.Signal("missed", syscall.SIGKILL)
	f.eventually("it is gone", func() bool { return !f.dial(s.Ports[0].Number) && len(f.m.CommandLines("missed")) == 0 })
	f.d = f.m.Open("first")
	f.eventually("its end is seen", func() bool { return !f.inspect("missed").Running })
	if o := f.inspect("missed"); o.Instance != first.Instance {
		f.Errorf("ended while closed: %+v", o)
	}
	f.create(s)
	f.must(f.d.Start(f.ctx, "missed"))
	f.answers(s)
}

func testStoppedThenReopened(f *fixture) {
	s := f.puppet("asleep")
	f.start(s)
	f.must(f.d.Stop(f.ctx, "asleep", Patience))
	before := f.inspect("asleep")
	f.d = f.m.Open("first")
	o := f.inspect("asleep")
	if o.Running || o.Instance != before.Instance || o.ExitCode == nil || *o.ExitCode != *before.ExitCode {
		f.Errorf("reopened: %+v, was %+v", o, before)
	}
	f.create(s)
	f.must(f.d.Start(f.ctx, "asleep"))
	f.answers(s)
}

func testLogs(f *fixture) {
	f.start(f.puppet("talk", "print=20000"))
	f.eventually("all is written down", func() bool { return f.logs("talk", 1) == "listening\n" })
	all := strings.Split(strings.TrimSpace(f.logs("talk", -1)), "\n")
	if len(all) != 20001 || all[0] != "line 1" || all[20000] != "listening" {
		f.Errorf("it has %d lines, from %q to %q", len(all), all[0], all[len(all)-1])
	}
	for _, tail := range []int{0, 1, 2, 100, 15000} {
		got := f.logs("talk", tail)
		want := ""
		if tail > 0 {
			want = strings.Join(all[len(all)-tail:], "\n") + "\n"
		}
		if got != want {
			f.Errorf("the newest %d lines have %d bytes, want %d", tail, len(got), len(want))
		}
	}
	if got := strings.Count(f.logs("talk", 1<<30), "\n"); got != len(all) {
		f.Errorf("more than all are %d lines", got)
	}
}

// A volume is listed whether something uses it or not, and one that was seen is not another one of its name.
func testVolumes(f *fixture) {
	s := f.puppet("listed")
	f.create(s)
	seen := f.volumes()[s.Volume]
	if seen.ID != s.Volume || seen.CreatedAt.IsZero() {
		f.Fatalf("Volumes has %+v", f.volumes())
	}
	f.must(f.d.Remove(f.ctx, "listed"))
	if again := f.volumes()[s.Volume]; again != seen {
		f.Errorf("%+v without its instance, %+v before", again, seen)
	}
	f.wantClass(f.d.RemoveData(f.ctx, driver.Data{Volume: s.Volume, CreatedAt: seen.CreatedAt.Add(time.Second)}), driver.DataMissing)
	f.has(driver.Data{Volume: s.Volume}, true)
	f.must(f.d.RemoveData(f.ctx, driver.Data{Volume: s.Volume, CreatedAt: seen.CreatedAt}))
	if left := f.volumes(); len(left) != 0 {
		f.Errorf("left: %+v", left)
	}
}

func (f *fixture) volumes() map[string]driver.Volume {
	f.Helper()
	all, err := f.d.Volumes(f.ctx)
	f.must(err)
	byID := map[string]driver.Volume{}
	for _, v := range all {
		byID[v.ID] = v
	}
	return byID
}

func testListIsOwn(f *fixture) {
	own := f.puppet("same")
	f.start(own)
	first := f.d
	f.d = f.m.Open("second")
	if l := f.list(); len(l) != 0 {
		f.Errorf("another installation sees %v", l)
	}
	// Even its service of the same id is another one.
	other := f.puppet("same")
	f.start(other)
	f.must(f.d.Remove(f.ctx, "same"))
	f.d = first
	if !f.inspect("same").Running || !f.dial(own.Ports[0].Number) {
		f.Error("another installation's Remove took our instance")
	}
	for i := range 3 {
		f.create(f.puppet("own-" + strconv.Itoa(i)))
	}
	if v := f.volumes(); len(v) != 4 || v["own-1-data"].ID == "" {
		f.Errorf("Volumes has %v", v)
	}
	if l := f.list(); len(l) != 4 || !l["same"].Running || !l["own-1"].Exists {
		f.Errorf("List has %v", l)
	}
}
