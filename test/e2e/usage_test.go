package e2e

import (
	"context"
	"testing"

	"github.com/unicorn-web-services/uws/test/stories"
	"github.com/unicorn-web-services/uws/test/uwstest"
)

// usageUntil waits until what is known of a service's use is as it should be.
func usageUntil(t *testing.T, p *uwstest.Process, id, what string, ok func(stories.Usage) bool) stories.Usage {
	t.Helper()
	var u stories.Usage
	err := uwstest.Until(t.Context(), what, func() (bool, error) {
		var err error
		u, err = stories.UsageOf(t.Context(), p, id)
		return err == nil && ok(u), err
	})
	if err != nil {
		t.Fatalf("%v: %+v, %+v", err, u, u.Usage)
	}
	return u
}

// A database that computes is seen to, with its memory, its disk, its processes, and its clients, also after uws was killed; what was
// written to its history before stays.
func TestUsageOfADatabase(t *testing.T) {
	dir := folder(t)
	p := serve(t, dir)
	s := launch(t, p, "DB", "busy", nil)
	db, _ := database(t, p, s)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			_, _ = db.Exec(ctx, "SELECT count(*) FROM generate_series(1, 1000000)")
		}
	}()
	defer func() { cancel(); <-ended }()
	busy := func(u stories.Usage) bool {
		return u.Usage != nil && u.Usage.CPU != nil && *u.Usage.CPU > 0.1
	}
	u := usageUntil(t, p, s.ID, "its processor time is measured", func(u stories.Usage) bool { return busy(u) && u.Usage.DiskBytes != nil })
	if u.Usage.MemoryBytes < 10<<20 || *u.Usage.DiskBytes < 10<<20 || *u.Usage.Processes < 4 || *u.Usage.Descriptors < 10 || *u.Usage.CPU > 2 {
		t.Errorf("it uses %.0f bytes of memory, %.0f of disk, %d processes, %d descriptors, %.2f cores", u.Usage.MemoryBytes, *u.Usage.DiskBytes, *u.Usage.Processes, *u.Usage.Descriptors, *u.Usage.CPU)
	}
	if err := p.Stop(); err != nil { // which writes the history
		t.Fatal(err)
	}
	p = serve(t, dir)
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	p = serve(t, dir)
	healthy(t, p, s.ID, 0)
	u = usageUntil(t, p, s.ID, "it is measured again", busy)
	n := 0
	for _, v := range u.UsageHistory.MemoryBytes {
		if v != nil {
			n++
		}
	}
	if n < 2 {
		t.Errorf("its history has %d values", n)
	}
}
