package store

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
)

// A committed update raises versions and passes its changes to the followers. A failed one does neither.
func TestUpdate(t *testing.T) {
	s, err := Open(t.Context(), Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	var seen []Commit
	s.Follow(func(_ context.Context, c Commit) { seen = append(seen, c) })
	update := func(fn func(ctx context.Context, tx *ent.Tx) error) error {
		seen = nil
		return s.Update(t.Context(), fn)
	}
	now := time.Now().UTC()
	err = update(func(ctx context.Context, tx *ent.Tx) error {
		create := func(id string) *ent.ServiceCreate {
			return tx.Service.Create().SetID(id).SetName(id).SetKind(catalog.Queue).SetTemplate("nats").SetInputHash("").SetVolume(id).
				SetCredentials([]byte{1}).SetDefinition(catalog.Template{}).SetDesiredState(lifecycle.WantRunning).SetPhase(lifecycle.Pending).
				SetHealth(lifecycle.HealthUnknown).SetReason("").SetCreatedAt(now).SetUpdatedAt(now)
		}
		return errors.Join(create("a").Exec(ctx), create("b").Exec(ctx))
	})
	if err != nil || len(seen) != 1 || len(seen[0].Services) != 2 || seen[0].Events {
		t.Fatalf("%v, %+v", err, seen)
	}
	before := seen[0].Services[0]

	err = update(func(ctx context.Context, tx *ent.Tx) error {
		return errors.Join(tx.Service.UpdateOneID("a").SetReason("one").Exec(ctx), tx.Service.UpdateOneID("a").SetReason("two").Exec(ctx),
			tx.Service.DeleteOneID("b").Exec(ctx))
	})
	if err != nil || len(seen) != 1 || len(seen[0].Services) != 1 || !slices.Equal(seen[0].DeletedServices, []string{"b"}) {
		t.Fatalf("%v, %+v", err, seen)
	}
	a := seen[0].Services[0]
	if a.Reason != "two" || a.Version != before.Version+2 || !a.UpdatedAt.After(before.UpdatedAt) {
		t.Errorf("got %+v, before %+v", a, before)
	}

	if err := s.Write.Service.UpdateOneID("a").SetReason("outside").Exec(t.Context()); !errors.Is(err, errOutside) {
		t.Errorf("a change outside of Update: %v", err)
	}

	wrong := errors.New("wrong")
	err = update(func(ctx context.Context, tx *ent.Tx) error {
		return errors.Join(tx.Service.UpdateOneID("a").SetReason("three").Exec(ctx), wrong)
	})
	if now := s.Read.Service.GetX(t.Context(), "a"); !errors.Is(err, wrong) || len(seen) != 0 || now.Reason != "two" || now.Version != a.Version {
		t.Errorf("a failed update: %v, %+v, %+v", err, seen, now)
	}
	err = update(func(ctx context.Context, tx *ent.Tx) error { return tx.Service.Update().SetReason("all").Exec(ctx) })
	if !errors.Is(err, errBulk) || len(seen) != 0 {
		t.Errorf("a bulk update: %v, %+v", err, seen)
	}
	err = update(func(ctx context.Context, tx *ent.Tx) error {
		return tx.Service.Update().SetLastHealthCheckAt(now).Exec(ctx)
	})
	if now := s.Read.Service.GetX(t.Context(), "a"); err != nil || len(seen) != 0 || now.Version != a.Version || now.LastHealthCheckAt == nil {
		t.Errorf("the times of checks: %v, %+v, %+v", err, seen, now)
	}
}
