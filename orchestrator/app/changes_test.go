package app_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/app"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
)

var errSeen = errors.New("seen enough")

// watchChanges collects what WatchChanges tells, until enough says so.
func (w *world) watchChanges(since string, enough func(*orchestrator.Changes) bool) []*orchestrator.Changes {
	w.t.Helper()
	var all []*orchestrator.Changes
	ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
	defer cancel()
	_, err := w.WatchChanges(ctx, orchestrator.Span{Since: since, Live: true}, func(c *orchestrator.Changes) error {
		if all = append(all, c); enough(c) {
			return errSeen
		}
		return nil
	})
	if !errors.Is(err, errSeen) {
		w.t.Fatalf("watching ended with %v after %d messages", err, len(all))
	}
	return all
}

func complete(c *orchestrator.Changes) bool { return c.Complete }

// A dashboard's life: everything at first, each change, progress of a launch, the end of a service, a lost node.
func TestChangesKeepUp(t *testing.T) {
	w := newWorld(t)
	d := w.openDoor()
	b, _ := d.begin(t)
	d.agrees("with nothing but a node", b)

	steps := make(chan float64)
	enough := sync.OnceFunc(func() { close(steps) })
	defer enough()
	w.machine.set(func() {
		w.machine.prepare = func(_ context.Context, progress func(driver.Progress)) error {
			for percent := range steps {
				progress(driver.Progress{Step: "building", Percent: percent})
			}
			return nil
		}
	})
	s := w.launch("q")
	for percent := range 3 {
		steps <- float64(percent)
		w.eventually("the step is shown", func() bool {
			return strings.Contains(b.now()[s.ID], fmt.Sprintf(`"step":"building","percent":%d`, percent))
		})
	}
	enough()
	w.healthy(s.ID)
	d.agrees("with a service", b)

	if _, err := w.Stop(t.Context(), s.ID); err != nil {
		t.Fatal(err)
	}
	w.waitFor(s.ID, lifecycle.Stopped, lifecycle.HealthUnknown)
	d.agrees("with a service that is stopped", b)

	w.machine.set(func() { w.machine.away = errors.New("gone") })
	w.eventually("the node is lost", func() bool { n, err := w.Nodes(t.Context()); return err == nil && !n[0].Healthy })
	d.agrees("with a node that is lost", b)
	w.machine.set(func() { w.machine.away = nil })

	if _, err := w.Remove(t.Context(), s.ID, true); err != nil {
		t.Fatal(err)
	}
	w.gone(s.ID)
	d.agrees("with nothing again", b)
	if b.resets != 0 {
		t.Errorf("%d snapshots were resets", b.resets)
	}
}

// A snapshot of many services comes in parts of a sane size, and only the last has a cursor.
func TestSnapshotInParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.machine.set(func() { w.machine.away = errors.New("gone") }) // they stay pending: nothing is probed
		const n = 450
		for i := range n {
			w.launch(fmt.Sprintf("q%d", i))
		}
		w.eventually("all are in the picture", func() bool {
			services := 0
			parts := w.watchChanges("", complete)
			for i, c := range parts {
				services += len(c.Services)
				last := i == len(parts)-1
				if !c.Snapshot || c.Reset || len(c.Services) > 200 || last != c.Complete || last != (c.Cursor != "") {
					t.Errorf("part %d of %d: %+v", i, len(parts), c)
				}
			}
			return services == n && len(parts) == 3 && len(parts[0].Nodes) == 1
		})
	})
}

// A cursor leads to what was missed, and no more, also after a restart; one that is of no use to a snapshot that
// says so.
func TestChangesSince(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		quiet := w.healthy(w.launch("quiet").ID)
		old, gone := w.healthy(w.launch("old").ID), w.healthy(w.launch("gone").ID)
		cursorOf := func() string {
			all := w.watchChanges("", complete)
			return all[len(all)-1].Cursor
		}
		has := func(c *orchestrator.Changes, id string) bool {
			for _, s := range c.Services {
				if s.ID == id {
					return true
				}
			}
			return false
		}
		cursor := cursorOf()
		if _, err := w.Stop(t.Context(), old.ID); err != nil {
			t.Fatal(err)
		}
		w.waitFor(old.ID, lifecycle.Stopped, lifecycle.HealthUnknown)
		if _, err := w.Remove(t.Context(), gone.ID, true); err != nil {
			t.Fatal(err)
		}
		w.gone(gone.ID)
		var c *orchestrator.Changes
		w.eventually("what was missed is told", func() bool {
			c = w.watchChanges(cursor, complete)[0]
			return len(c.DeletedServices) == 1
		})
		if c.Snapshot || !has(c, old.ID) || has(c, quiet.ID) || c.DeletedServices[0] != gone.ID {
			t.Errorf("after a pause: %+v", c)
		}

		w.restart()
		c = w.watchChanges(cursor, complete)[0]
		if c.Snapshot || !has(c, old.ID) || len(c.DeletedServices) != 1 || c.DeletedServices[0] != gone.ID {
			t.Errorf("after a restart: %+v", c)
		}
		first, err := w.Events(t.Context(), orchestrator.EventFilter{}, orchestrator.Page{First: 1})
		if err != nil {
			t.Fatal(err)
		}
		foreign := *first.Items[0]
		foreign.Mark++
		for _, bad := range []string{"x", "AAAA", orchestrator.EventCursor(&foreign)} {
			if c := w.watchChanges(bad, complete)[0]; !c.Snapshot || !c.Reset || !has(c, quiet.ID) {
				t.Errorf("since %q: %+v", bad, c)
			}
		}
		if c := w.watchChanges(orchestrator.EventCursor(first.Items[0]), complete)[0]; c.Snapshot {
			t.Errorf("an event's own cursor: %+v", c)
		}
	})
}

// The first change comes at once, and further ones in batches that are 100 ms apart, each object once.
func TestChangesAreBatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.healthy(w.launch("q").ID)
		began := make(chan struct{})
		var changing sync.WaitGroup
		defer changing.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		changing.Go(func() {
			<-began
			for ; ctx.Err() == nil; breathe(ctx) {
				if _, err := w.Restart(ctx, s.ID); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			}
		})
		var batches []time.Time
		w.watchChanges("", func(c *orchestrator.Changes) bool {
			if c.Snapshot {
				close(began)
				return false
			}
			batches = append(batches, time.Now())
			seen := map[string]bool{}
			for _, s := range c.Services {
				if seen[s.ID] {
					t.Errorf("%s is twice in a batch", s.Name)
				}
				seen[s.ID] = true
			}
			return len(batches) == 5
		})
		for i := 1; i < len(batches); i++ {
			if gap := batches[i].Sub(batches[i-1]); gap < 95*time.Millisecond { // never less, however slow the machine
				t.Errorf("batches %d and %d are %s apart", i-1, i, gap)
			}
		}
	})
}

// Old events go, the newest stays, and who comes back with the cursor of one that went is told.
func TestRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *app.Options) { o.EventMax, o.Compaction = 2, 10*time.Millisecond })
		s := w.launch("q")
		first := w.watchChanges("", func(c *orchestrator.Changes) bool { return c.Complete && len(c.Services) > 0 })
		w.healthy(s.ID)
		// However late the first snapshot came, more events than are kept follow on the one of its cursor.
		if _, err := w.Stop(t.Context(), s.ID); err != nil {
			t.Fatal(err)
		}
		w.waitFor(s.ID, lifecycle.Stopped, lifecycle.HealthUnknown)
		if _, err := w.Start(t.Context(), s.ID); err != nil {
			t.Fatal(err)
		}
		w.healthy(s.ID)
		w.restart()
		w.healthy(s.ID)
		w.eventually("two events are left", func() bool {
			page, err := w.Events(t.Context(), orchestrator.EventFilter{}, orchestrator.Page{First: 500})
			return err == nil && len(page.Items) == 2
		})
		w.eventually("the cursor is too old", func() bool {
			c := w.watchChanges(first[len(first)-1].Cursor, complete)[0]
			return c.Snapshot && c.Reset
		})
		_, err := w.WatchEvents(t.Context(), orchestrator.Span{Since: first[len(first)-1].Cursor}, func(*orchestrator.Event) error { return nil })
		wantCode(t, err, orchestrator.CursorExpired, "since")
	})
}

// What was told and has no event of its own may be missing in a store that is restored from a copy, though the cursor's
// event is there: then WatchChanges sends a snapshot.
func TestChangesOfARestoredStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.healthy(w.launch("q").ID)
		w.machine.set(func() { w.machine.away = errors.New("gone") })
		w.waitFor(s.ID, lifecycle.Running, lifecycle.HealthUnknown)
		data, saved := filepath.Join(w.dir, "data"), mkdir(t, w.dir, "saved")
		w.stop()
		copyStore(t, data, saved)
		w.start()
		if _, err := w.Stop(t.Context(), s.ID); err != nil { // its node is away: nothing moves
			t.Fatal(err)
		}
		told := w.watchChanges("", func(c *orchestrator.Changes) bool {
			return c.Complete && len(c.Services) == 1 && c.Services[0].DesiredState == lifecycle.WantStopped
		})
		w.stop()
		copyStore(t, saved, data)
		w.start()
		if c := w.watchChanges(told[len(told)-1].Cursor, complete)[0]; !c.Snapshot || !c.Reset {
			t.Errorf("what the store never knew is not taken back: %+v", c)
		}
	})
}
