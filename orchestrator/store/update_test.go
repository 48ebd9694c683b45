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
	err = update(func(ctx context.Context, tx *ent.Tx) error { return tx.Volume.Update().SetNodeID("n").Exec(ctx) })
	if !errors.Is(err, errBulk) || len(seen) != 0 {
		t.Errorf("a bulk update of volumes: %v, %+v", err, seen)
	}
	err = update(func(ctx context.Context, tx *ent.Tx) error {
		return tx.Service.Update().SetLastHealthCheckAt(now).Exec(ctx)
	})
	if now := s.Read.Service.GetX(t.Context(), "a"); err != nil || len(seen) != 0 || now.Version != a.Version || now.LastHealthCheckAt == nil {
		t.Errorf("the times of checks: %v, %+v, %+v", err, seen, now)
	}
}

// A volume has one owner, and the facts of its former service while it has none. Who read it before another took it does not get it.
func TestVolumeOwner(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	var seen []Commit
	s.Follow(func(_ context.Context, c Commit) { seen = append(seen, c) })
	now := Now()
	first := &ent.Service{ID: "s1", Name: "q", Kind: catalog.Queue, Template: "nats", Volume: "v", NodeID: "n", CreatedAt: now,
		Credentials: []byte("sealed"), Ports: map[string]int{"main": 4222}, DataMarked: true}
	second := &ent.Service{ID: "s2", Name: "q2", Kind: catalog.Queue, Template: "nats", Volume: "v", CreatedAt: now.Add(time.Hour)}
	do := func(fn func(ctx context.Context, tx *ent.Tx) error) *ent.Volume {
		t.Helper()
		seen = nil
		if err := s.Update(t.Context(), fn); err != nil {
			t.Fatal(err)
		}
		if len(seen) != 1 || len(seen[0].Volumes) != 1 {
			t.Fatalf("%+v", seen)
		}
		return seen[0].Volumes[0]
	}
	v := do(func(ctx context.Context, tx *ent.Tx) error { return Own(ctx, tx, nil, first) })
	if *v.ServiceID != "s1" || v.Name != "q" || v.NodeID != "n" || v.RetainedAt != nil || v.Credentials != nil || v.Version != 0 {
		t.Errorf("of a new service: %+v", v)
	}
	if err := s.Update(t.Context(), func(ctx context.Context, tx *ent.Tx) error { return Own(ctx, tx, v, second) }); !ent.IsNotFound(err) {
		t.Errorf("a volume that is in use got another owner: %v", err)
	}
	if err := s.Update(t.Context(), func(ctx context.Context, tx *ent.Tx) error { return Retain(tx, now, second).Exec(ctx) }); !ent.IsNotFound(err) {
		t.Errorf("it was retained by a service that does not use it: %v", err)
	}
	kept := do(func(ctx context.Context, tx *ent.Tx) error { return Retain(tx, now, first).Exec(ctx) })
	if kept.ServiceID != nil || kept.FormerService != "s1" || string(kept.Credentials) != "sealed" || kept.Ports["main"] != 4222 || !kept.DataMarked || !kept.RetainedAt.Equal(now) || kept.Version != 1 {
		t.Errorf("retained: %+v", kept)
	}
	v = do(func(ctx context.Context, tx *ent.Tx) error { return Own(ctx, tx, kept, second) })
	if *v.ServiceID != "s2" || v.FormerService != "" || v.Name != "q2" || v.NodeID != "n" || v.Credentials != nil || v.Ports != nil || v.DataMarked || v.RetainedAt != nil ||
		!v.CreatedAt.Equal(second.CreatedAt) || v.Version != 2 {
		t.Errorf("of its next service: %+v", v)
	}
	do(func(ctx context.Context, tx *ent.Tx) error { return Retain(tx, now, second).Exec(ctx) })
	if err := s.Update(t.Context(), func(ctx context.Context, tx *ent.Tx) error { return Own(ctx, tx, kept, first) }); !ent.IsNotFound(err) {
		t.Errorf("it was taken as it was read before another had it: %v", err)
	}
	err := s.Update(t.Context(), func(ctx context.Context, tx *ent.Tx) error { return tx.Volume.DeleteOneID("v").Exec(ctx) })
	if last := seen[len(seen)-1]; err != nil || !slices.Equal(last.DeletedVolumes, []string{"v"}) {
		t.Errorf("deleted: %v, %+v", err, last)
	}
}
