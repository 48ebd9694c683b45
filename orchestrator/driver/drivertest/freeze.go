package drivertest

import (
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

func (f *fixture) freezer() driver.Freezer { return f.d.(driver.Freezer) }

// wantFrozen checks that an instance is frozen: that it does not answer, and is seen so.
func (f *fixture) wantFrozen(s driver.Spec, before driver.Observed) {
	f.Helper()
	for _, o := range []driver.Observed{f.inspect(s.Service), f.list()[s.Service]} {
		if !o.Frozen || !o.Paused || !o.Running || !o.Exists || o.Restarting || o.Instance != "" && o.Instance != before.Instance {
			f.Errorf("frozen: %+v", o)
		}
	}
	c, err := f.connect(loopback(s.Ports[0].Number))
	f.must(err)
	defer c.Close()
	f.must(c.SetDeadline(time.Now().Add(300 * time.Millisecond)))
	if n, _ := c.Read(make([]byte, 1)); n > 0 {
		f.Error("a frozen instance answers")
	}
}

// wantThawed checks that an instance goes on.
func (f *fixture) wantThawed(s driver.Spec, before driver.Observed) {
	f.Helper()
	f.answers(s)
	if o := f.inspect(s.Service); o.Frozen || o.Paused || !o.Running || o.Instance != before.Instance {
		f.Errorf("thawed: %+v", o)
	}
}

// An instance that was frozen is the same as before when it goes on, whatever happens to uws meanwhile.
func testFreeze(f *fixture) {
	f.wantClass(f.freezer().Freeze(f.ctx, "cold"), driver.NotCreated)
	f.must(f.freezer().Thaw(f.ctx, "cold"))
	s := f.puppet("cold")
	f.create(s)
	f.wantClass(f.freezer().Freeze(f.ctx, "cold"), driver.NotCreated)
	before := f.start(s)
	f.must(f.freezer().Thaw(f.ctx, "cold"))
	f.wantThawed(s, before)
	f.must(f.freezer().Freeze(f.ctx, "cold"))
	f.must(f.freezer().Freeze(f.ctx, "cold"))
	f.wantFrozen(s, before)
	f.must(f.d.Create(f.ctx, s))
	f.must(f.freezer().Thaw(f.ctx, "cold"))
	f.wantThawed(s, before)
	f.must(f.freezer().Freeze(f.ctx, "cold"))
	f.d = f.m.Open("first")
	f.wantFrozen(s, before)
	f.must(f.freezer().Thaw(f.ctx, "cold"))
	f.must(f.freezer().Thaw(f.ctx, "cold"))
	f.wantThawed(s, before)
	f.must(f.freezer().Freeze(f.ctx, "cold"))
	f.must(f.d.Start(f.ctx, "cold"))
	f.wantThawed(s, before)
	f.must(f.d.Stop(f.ctx, "cold", Patience))
	f.wantClass(f.freezer().Freeze(f.ctx, "cold"), driver.NotCreated)
}

// A frozen instance can be exported, stopped, removed, and started again.
func testFrozenEnds(f *fixture) {
	s := f.puppet("iced", "count="+f.d.Layout("iced", "iced-data").Data)
	f.start(s)
	f.must(f.freezer().Freeze(f.ctx, "iced"))
	if got := f.export(s)["starts"].content; got != "started\n" {
		f.Errorf("its volume has %q", got)
	}
	// A grace beyond the test's own time: only killing it at once ends the test.
	f.must(f.d.Stop(f.ctx, "iced", time.Hour))
	if o := f.inspect("iced"); o.Running || o.Frozen || o.Paused {
		f.Errorf("stopped: %+v", o)
	}
	f.must(f.d.Start(f.ctx, "iced"))
	f.answers(s)
	if o := f.inspect("iced"); !o.Running || o.Frozen {
		f.Errorf("started again: %+v", o)
	}
	f.must(f.freezer().Freeze(f.ctx, "iced"))
	f.must(f.d.Remove(f.ctx, "iced"))
	if left := f.m.CommandLines("iced"); len(left) != 0 {
		f.Errorf("Remove left %q", left)
	}
}
