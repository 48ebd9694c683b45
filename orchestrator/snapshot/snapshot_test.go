package snapshot

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/ent"
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
	s := New(st, events)
	if err := s.Open(ctx); err != nil {
		t.Fatal(err)
	}
	change := func(change func(context.Context, *ent.Tx) error) {
		t.Helper()
		if err := st.Update(ctx, change); err != nil {
			t.Fatal(err)
		}
	}
	change(func(ctx context.Context, tx *ent.Tx) error {
		return tx.Service.Create().SetID("s1").SetName("one").SetKind(catalog.Queue).SetTemplate("nats").SetDefinition(catalog.Template{Name: "nats"}).
			SetInputHash("").SetVolume("v1").SetCredentials([]byte("sealed")).SetDesiredState(lifecycle.WantRunning).SetPhase(lifecycle.Pending).
			SetHealth(lifecycle.HealthUnknown).SetCreatedAt(time.Now()).SetUpdatedAt(time.Now()).Exec(ctx)
	})

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
