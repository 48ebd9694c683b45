package app_test

import (
	"fmt"
	"maps"
	"testing"
	"testing/synctest"

	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
)

// Labels are given at launch and changed at any time, select services, and touch neither instance nor events.
func TestServiceLabels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		ctx := t.Context()
		label := func(name, value string) orchestrator.Label { return orchestrator.Label{Name: name, Value: value} }
		in := orchestrator.LaunchInput{Kind: catalog.Queue, Name: "q", Labels: []orchestrator.Label{label("team", "shop"), label("tier", "1")}}
		s, err := w.Launch(ctx, in)
		if err != nil {
			t.Fatal(err)
		}
		s = w.healthy(s.ID)
		w.launch("bare")
		synctest.Wait() // its volume is marked: that changes its row too
		in.Labels[0], in.Labels[1] = in.Labels[1], in.Labels[0]
		if again, err := w.Launch(ctx, in); err != nil || again.ID != s.ID {
			t.Errorf("the same launch again: %v, %v", again, err)
		}
		other := in
		other.Labels = []orchestrator.Label{label("team", "search")}
		_, err = w.Launch(ctx, other)
		wantCode(t, err, orchestrator.Conflict, "another input")
		if e, _ := orchestrator.AsError(err); e.Path != "labels" {
			t.Errorf("the conflict is at %q", e.Path)
		}
		starts, events := w.starts(s.ID), len(w.codes(s.ID))

		before := w.row(s.ID).Version
		changed, err := w.SetLabels(ctx, s.ID, []orchestrator.Label{label("team", "search"), label("example.org/cost-centre", "")}, []string{"tier", "unknown"})
		want := map[string]string{"team": "search", "example.org/cost-centre": ""}
		after := w.row(s.ID).Version
		if err != nil || !maps.Equal(changed.Labels, want) || after == before {
			t.Fatalf("changed: %v, %v", changed, err)
		}
		if same, err := w.SetLabels(ctx, s.ID, []orchestrator.Label{label("team", "search")}, nil); err != nil || w.row(s.ID).Version != after {
			t.Errorf("nothing changed, and yet: %v, %v", same, err)
		}
		for _, tt := range []struct {
			selectors []orchestrator.LabelSelector
			want      int
		}{
			{nil, 2},
			{[]orchestrator.LabelSelector{{Name: "team"}}, 1},
			{[]orchestrator.LabelSelector{{Name: "team", Values: []string{"shop", "search"}}}, 1},
			{[]orchestrator.LabelSelector{{Name: "team", Values: []string{"shop"}}}, 0},
			{[]orchestrator.LabelSelector{{Name: "team", Values: []string{}}}, 0},
			{[]orchestrator.LabelSelector{{Name: "example.org/cost-centre", Values: []string{""}}}, 1},
			{[]orchestrator.LabelSelector{{Name: "team"}, {Name: "tier"}}, 0},
		} {
			filter := orchestrator.ServiceFilter{Labels: tt.selectors}
			list, err := w.Services(ctx, filter, orchestrator.Page{First: 10})
			if n, countErr := w.CountServices(ctx, filter); err != nil || countErr != nil || n != tt.want || len(list.Items) != tt.want {
				t.Errorf("%v: %d counted, %d listed, %v, %v; want %d", tt.selectors, n, len(list.Items), err, countErr, tt.want)
			}
		}
		if again, err := w.Launch(ctx, in); err != nil || again.ID != s.ID {
			t.Errorf("the first launch again: %v, %v", again, err)
		}

		var many []orchestrator.Label
		for i := range orchestrator.MaxLabels {
			many = append(many, label(fmt.Sprint("l", i), ""))
		}
		_, err = w.SetLabels(ctx, s.ID, many, nil)
		wantCode(t, err, orchestrator.InvalidInput, "would have 34 labels")
		_, err = w.SetLabels(ctx, s.ID, many[:1], []string{"l0"})
		wantCode(t, err, orchestrator.InvalidInput, "either set or removed")
		_, err = w.SetLabels(ctx, "none", many[:1], nil)
		wantCode(t, err, orchestrator.NotFound, "no service")
		if w.starts(s.ID) != starts || len(w.codes(s.ID)) != events {
			t.Errorf("%d starts more, codes %v", w.starts(s.ID)-starts, w.codes(s.ID))
		}

		w.machine.set(func() { w.machine.removing = func() { <-ctx.Done() } })
		if _, err := w.Remove(ctx, s.ID, false); err != nil {
			t.Fatal(err)
		}
		_, err = w.SetLabels(ctx, s.ID, many[:1], nil)
		wantCode(t, err, orchestrator.Conflict, "being removed")
		w.machine.set(func() { w.machine.removing = nil })
	})
}
