package snapshot

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/eventlog"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

// A change that is committed while the store is being read, and has no event, is in the next reading.
func TestChangeDuringAReading(t *testing.T) {
	ctx := t.Context()
	st, err := store.Open(ctx, store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	events, err := eventlog.Open(ctx, st.Read, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s := New(st, events, nil)
	if err := s.Open(ctx); err != nil {
		t.Fatal(err)
	}
	change := func(change func(context.Context, *ent.Tx) error) {
		t.Helper()
		if err := st.Update(ctx, change); err != nil {
			t.Fatal(err)
		}
	}
	change(create("s1"))

	m := mirror{s}
	m.Begin()
	reading, err := st.Read.Tx(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer reading.Rollback() //nolint:errcheck // nothing was written
	if n, err := reading.Service.Query().Count(ctx); err != nil || n != 1 {
		t.Fatalf("%d services, %v", n, err)
	}
	change(func(ctx context.Context, tx *ent.Tx) error {
		return tx.Service.UpdateOneID("s1").SetReason("changed").Exec(ctx)
	})
	if err := m.Apply(ctx, reading, nil); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Service(ctx, "s1"); err != nil || got.Reason != "changed" {
		t.Errorf("%+v, %v", got, err)
	}
}

// The filter for warnings selects before a page is cut, and what it asks may lock what it likes.
func TestWarned(t *testing.T) {
	ctx := t.Context()
	st, err := store.Open(ctx, store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	for _, id := range []string{"s1", "s2", "s3", "s4"} {
		if err := st.Update(ctx, create(id)); err != nil {
			t.Fatal(err)
		}
	}
	events, err := eventlog.Open(ctx, st.Read, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	var s *Snapshot
	s = New(st, events, func(row *orchestrator.Service) bool {
		if n, err := s.CountServices(ctx, orchestrator.ServiceFilter{}); err != nil || n != 4 {
			t.Errorf("%d services, %v", n, err)
		}
		return row.ID == "s2" || row.ID == "s4"
	})
	if err := s.Open(ctx); err != nil {
		t.Fatal(err)
	}
	warned := orchestrator.ServiceFilter{Warned: true}
	if n, err := s.CountServices(ctx, warned); err != nil || n != 2 {
		t.Errorf("%d services with warnings, %v", n, err)
	}
	page := orchestrator.Page{First: 1}
	for _, want := range []string{"s2", "s4"} {
		list, err := s.Services(ctx, warned, page)
		if err != nil || len(list.Items) != 1 || list.Items[0].ID != want {
			t.Fatalf("%+v, %v", list, err)
		}
		page.After = list.Cursors[0]
	}
}

// create returns a change that creates a service.
func create(id string) func(context.Context, *ent.Tx) error {
	return func(ctx context.Context, tx *ent.Tx) error {
		return tx.Service.Create().SetID(id).SetName(id).SetKind(catalog.Queue).SetTemplate("nats").SetDefinition(catalog.Template{Name: "nats"}).
			SetInputHash("").SetVolume("v-" + id).SetCredentials([]byte("sealed")).SetDesiredState(lifecycle.WantRunning).SetPhase(lifecycle.Pending).
			SetHealth(lifecycle.HealthUnknown).SetCreatedAt(time.Now()).SetUpdatedAt(time.Now()).Exec(ctx)
	}
}
