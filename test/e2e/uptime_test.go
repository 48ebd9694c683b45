package e2e

import (
	"syscall"
	"testing"

	"github.com/unicorn-web-services/uws/test/uwstest"
)

// uptime is how long a service was healthy, in seconds.
type uptime struct {
	HealthySeconds, DownSeconds, UnknownSeconds float64
}

// uptimeOf waits until the uptime of a service is as it should be.
func uptimeOf(t *testing.T, p *uwstest.Process, id, what string, ok func(uptime) bool) (u uptime) {
	t.Helper()
	err := uwstest.Until(t.Context(), what, func() (bool, error) {
		var out struct{ Service struct{ Uptime uptime } }
		err := p.Query(t.Context(), `query($id: ID!) { service(id: $id) { uptime(range: DAY) { healthySeconds downSeconds unknownSeconds } } }`, map[string]any{"id": id}, &out)
		u = out.Service.Uptime
		return err == nil && ok(u), err
	})
	if err != nil {
		t.Fatalf("%v: %+v", err, u)
	}
	return u
}

// An uptime goes on after uws was killed and after it was stopped. What it had not written is unknown, unless nothing was written
// yet: then the events tell.
func TestUptimeOutlivesACrash(t *testing.T) {
	dir := folder(t)
	p := serve(t, dir)
	s := launch(t, p, "QUEUE", "orders", nil)
	kill(t, enginePID(t, s.ID), syscall.SIGKILL)
	restarted(t, p, s.ID, 0)
	before := uptimeOf(t, p, s.ID, "healthy for 1 s and down before", func(u uptime) bool { return u.HealthySeconds >= 1 && u.DownSeconds > 0 })
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	p = serve(t, dir)
	uptimeOf(t, p, s.ID, "the events tell how long it was down", func(u uptime) bool {
		return u.DownSeconds > before.DownSeconds/2 && u.DownSeconds < before.DownSeconds*2
	})
	before = uptimeOf(t, p, s.ID, "it goes on", func(u uptime) bool { return u.HealthySeconds >= before.HealthySeconds+1 })
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		p = serve(t, dir)
		after := uptimeOf(t, p, s.ID, "it is there", func(u uptime) bool { return u.HealthySeconds >= before.HealthySeconds })
		if after.DownSeconds < before.DownSeconds-0.1 || after.UnknownSeconds <= 0 {
			t.Errorf("after %+v came %+v", before, after)
		}
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
	}
}
