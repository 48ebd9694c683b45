package app_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	entnode "github.com/unicorn-web-services/uws/ent/node"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
)

// raise raises the generation of a service's spec, as a change of the spec does.
func (w *world) raise(id string) {
	w.t.Helper()
	err := w.st.Update(w.t.Context(), func(ctx context.Context, tx *ent.Tx) error {
		return tx.Service.UpdateOneID(id).AddSpecGeneration(1).Exec(ctx)
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// marked waits until the volume of a service has its mark, and returns it.
func (w *world) marked(s *orchestrator.Service) (mark string) {
	w.t.Helper()
	w.eventually("its volume is marked", func() bool {
		w.machine.set(func() { mark = w.machine.marks[s.Volume] })
		return mark != ""
	})
	return mark
}

// An instance of another generation of the spec is replaced by one of the present generation, with its data, once.
func TestSpecChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.healthy(w.launch("q1").ID)
		mark := w.marked(s)
		if s = w.get(s.ID); s.Generation != 1 || s.ObservedGeneration != 1 {
			t.Fatalf("launched with generation %d, observed %d; want 1", s.Generation, s.ObservedGeneration)
		}
		for generation := 2; generation <= 3; generation++ {
			before := len(w.story(s.ID))
			w.raise(s.ID)
			w.eventually("replaced", func() bool {
				s = w.get(s.ID)
				return s.ObservedGeneration == generation && s.Health == lifecycle.HealthHealthy
			})
			if got := strings.Join(w.story(s.ID)[before:], " "); got != "RESTARTING/UNKNOWN STARTING/STARTING RUNNING/HEALTHY" {
				t.Errorf("the story is %s", got)
			}
			w.restart() // which replaces nothing
			w.healthy(s.ID)
			w.machine.set(func() {
				i := w.machine.instances[s.ID]
				if i == nil || i.spec.Generation != generation || !i.spec.DataMustExist || !i.running || w.machine.starts[s.ID] != generation {
					t.Errorf("the instance is %+v after %d starts, want generation %d", i, w.machine.starts[s.ID], generation)
				}
				if !w.machine.volumes[s.Volume] || w.machine.marks[s.Volume] != mark {
					t.Errorf("its volume has the mark %q, want %q", w.machine.marks[s.Volume], mark)
				}
			})
		}
		if s = w.get(s.ID); s.Restarts != 0 || len(w.row(s.ID).Failures) > 0 {
			t.Errorf("a replacement counts as a failure: %d restarts, %v", s.Restarts, w.row(s.ID).Failures)
		}
	})
}

// While a service is stopped its instance stays as it is. It is replaced when the service is started.
func TestSpecChangedWhileStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.healthy(w.launch("q1").ID)
		if _, err := w.Stop(t.Context(), s.ID); err != nil {
			t.Fatal(err)
		}
		w.waitFor(s.ID, lifecycle.Stopped, lifecycle.HealthUnknown)
		w.raise(s.ID)
		w.restart()
		if s = w.waitFor(s.ID, lifecycle.Stopped, lifecycle.HealthUnknown); s.Generation != 2 || s.ObservedGeneration != 1 {
			t.Errorf("generation %d, observed %d; want 2 and 1", s.Generation, s.ObservedGeneration)
		}
		if _, err := w.Start(t.Context(), s.ID); err != nil {
			t.Fatal(err)
		}
		if s = w.healthy(s.ID); s.ObservedGeneration != 2 {
			t.Errorf("observed generation %d, want 2", s.ObservedGeneration)
		}
	})
}

// An instance that its engine cannot start is removed and created again, with its data.
func TestUnstartable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.healthy(w.launch("q1").ID)
		mark := w.marked(s)
		removed := 0
		w.machine.set(func() {
			w.machine.removing = func() { removed++ }
			w.machine.startErr = func(driver.Spec) error {
				if removed == 0 {
					return &driver.Error{Class: driver.Conflict, Unstartable: true, Err: errors.New("its task exists already")}
				}
				return nil
			}
		})
		w.machine.crash(s.ID, 1)
		w.eventually("healed", func() bool { s = w.get(s.ID); return s.Restarts == 1 && s.Health == lifecycle.HealthHealthy })
		if removed != 1 {
			t.Errorf("removed %d times, want 1", removed)
		}
		w.machine.set(func() {
			if w.machine.marks[s.Volume] != mark {
				t.Errorf("its volume has the mark %q, want %q", w.machine.marks[s.Volume], mark)
			}
		})
		if story := w.story(s.ID); !slices.Contains(story, "STARTING/UNHEALTHY") {
			t.Errorf("the story does not say that it could not be started: %v", story)
		}
	})
}

// A service that was launched from an earlier form of its template gets the args and files that every instance has now.
func TestEveryInstanceGetsTheFilesOfToday(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.edit(func(ctx context.Context, tx *ent.Tx) error {
			return tx.Node.Create().SetID("docker").SetName("docker").SetDriver(entnode.DriverDOCKER).SetEndpoint("fake").
				SetServiceAddress("127.0.0.1").SetCreatedAt(time.Now().UTC()).Exec(ctx)
		})
		s, err := w.Launch(t.Context(), orchestrator.LaunchInput{Kind: catalog.DB, Name: "shop", NodeID: "docker"})
		if err != nil {
			t.Fatal(err)
		}
		made := func(generation int) (spec driver.Spec) {
			t.Helper()
			w.eventually("created", func() (ok bool) {
				w.machine.set(func() {
					if i := w.machine.instances[s.ID]; i != nil && i.spec.Generation == generation {
						spec, ok = i.spec, true
					}
				})
				return ok
			})
			return spec
		}
		want := made(1)
		w.stop()
		db := w.openDB()
		_, err = db.ExecContext(t.Context(), `UPDATE services SET spec_generation = 2,
			definition = json_remove(definition, '$.docker.files', '$.docker.always', '$.docker.alwaysFiles')`)
		if err = errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
		w.start()
		got := made(2)
		if got.Files["pg_hba.conf"] == "" || !maps.Equal(got.Files, want.Files) || !slices.Equal(got.Args, want.Args) {
			t.Errorf("%q %q, want %q %q", got.Args, got.Files, want.Args, want.Files)
		}
	})
}
