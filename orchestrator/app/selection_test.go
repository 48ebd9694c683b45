package app_test

import (
	"fmt"
	"testing"

	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
)

// Lists and counts come from memory. What a verb did before it returned is in them, with no waiting.
func TestListsShowWhatVerbsDid(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	counts := func(when string, filter orchestrator.ServiceFilter, want int) {
		t.Helper()
		list, err := w.Services(ctx, filter, orchestrator.Page{First: 100})
		if err != nil || len(list.Items) != want {
			t.Fatalf("%s: %d services, %v; want %d", when, len(list.Items), err, want)
		}
		if n, err := w.CountServices(ctx, filter); err != nil || n != want {
			t.Fatalf("%s: %d are counted, %v; want %d", when, n, err, want)
		}
	}
	for i := range 30 {
		s := w.launch(fmt.Sprintf("queue-%02d", i))
		counts("launched", orchestrator.ServiceFilter{}, i+1)
		counts("launched, by name", orchestrator.ServiceFilter{NameContains: "QUEUE-" + s.Name[6:]}, 1)
		counts("launched, by kind", orchestrator.ServiceFilter{Kinds: []catalog.Kind{s.Kind}}, i+1)
		counts("launched, by another kind", orchestrator.ServiceFilter{Kinds: []catalog.Kind{catalog.Secrets}}, 0)
	}
	list, err := w.Services(ctx, orchestrator.ServiceFilter{}, orchestrator.Page{First: 1})
	if err != nil {
		t.Fatal(err)
	}
	first := w.healthy(list.Items[0].ID)
	counts("on its node", orchestrator.ServiceFilter{NodeID: first.NodeID, NameContains: first.Name}, 1)
	counts("healthy", orchestrator.ServiceFilter{Healths: []lifecycle.Health{lifecycle.HealthHealthy}, NameContains: first.Name}, 1)
	counts("failed", orchestrator.ServiceFilter{Phases: []lifecycle.Phase{lifecycle.Failed}}, 0)
	if _, err := w.Stop(ctx, first.ID); err != nil {
		t.Fatal(err)
	}
	if list, err = w.Services(ctx, orchestrator.ServiceFilter{}, orchestrator.Page{First: 1}); err != nil || list.Items[0].DesiredState != lifecycle.WantStopped {
		t.Fatalf("stopped: %v, %v", list.Items[0], err)
	}
	if _, err := w.Remove(ctx, first.ID, false); err != nil {
		t.Fatal(err)
	}
	w.gone(first.ID)
	counts("removed", orchestrator.ServiceFilter{}, 29)
	node, err := w.Node(ctx, first.NodeID)
	if err != nil || node.Services != 29 {
		t.Errorf("%d services on the node, %v; want 29", node.Services, err)
	}
}
