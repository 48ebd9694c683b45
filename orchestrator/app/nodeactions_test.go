package app_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/unicorn-web-services/uws/orchestrator"
)

// nodeActions returns what can be done with a node.
func (w *world) nodeActions(id string) string {
	w.t.Helper()
	n, err := w.Node(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return strings.Trim(fmt.Sprint(w.NodeActions(n)), "[]")
}

// told returns the actions of a node in the newest message about it since a cursor, and the newest cursor.
func (w *world) told(id, since string) (actions, cursor string) {
	w.t.Helper()
	_, err := w.WatchChanges(w.t.Context(), orchestrator.Span{Since: since}, func(c *orchestrator.Changes) error {
		for _, n := range c.Nodes {
			if n.ID == id {
				actions = strings.Trim(fmt.Sprint(w.NodeActions(n)), "[]")
			}
		}
		cursor = c.Cursor
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return actions, cursor
}

// A node can be removed while nothing is there, and forgotten while it does not answer. Watches get each change of that, also
// when it comes from retained data, or from a service that waits for its data's node.
func TestNodeActions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := cluster(t, "a", "b")
		cursor := ""
		_, cursor = w.told("a", cursor)
		check := func(state, want string, changed bool) {
			t.Helper()
			if got := w.nodeActions("a"); got != want {
				t.Errorf("%s: allowed %s, want %s", state, got, want)
			}
			var got string
			if got, cursor = w.told("a", cursor); changed && got != want {
				t.Errorf("%s: a watch has %q, want %s", state, got, want)
			}
		}
		check("empty", "UPDATE DRAIN REMOVE FORGET", false)
		s := w.healthy(w.mustLaunch(orchestrator.LaunchInput{Name: "kept", NodeID: "a"}).ID)
		check("with a service", "UPDATE DRAIN", true)
		if _, err := w.Remove(t.Context(), s.ID, false); err != nil {
			t.Fatal(err)
		}
		w.gone(s.ID)
		check("with retained data", "UPDATE DRAIN", true)
		wantCode(t, w.RemoveNode(t.Context(), "a", false), orchestrator.Conflict, "the kept data of 1")
		wantCode(t, w.RemoveNode(t.Context(), "a", true), orchestrator.Conflict, "the kept data of 1")

		w.machine.others["a"].set(func() { w.machine.others["a"].away = errors.New("no route to host") })
		w.eventually("the node is lost", func() bool { n, err := w.Node(t.Context(), "a"); return err == nil && !n.Healthy })
		check("lost, with retained data", "UPDATE DRAIN FORGET", true)
		attached := w.mustLaunch(orchestrator.LaunchInput{Name: "kept", Reattach: s.Volume})
		w.waits(attached.ID, "its data cannot move, and node a is not healthy")
		check("lost, with a service that waits for it", "UPDATE DRAIN FORGET", false)
		w.machine.others["a"].set(func() { w.machine.others["a"].away = nil })
		w.healthy(attached.ID)
		check("back, with a service", "UPDATE DRAIN", true)

		if _, err := w.Remove(t.Context(), attached.ID, true); err != nil {
			t.Fatal(err)
		}
		w.gone(attached.ID)
		check("empty again", "UPDATE DRAIN REMOVE FORGET", true)
		if _, err := w.UpdateNode(t.Context(), "a", orchestrator.NodeUpdate{Draining: new(true)}); err != nil {
			t.Fatal(err)
		}
		check("draining", "UPDATE UNDRAIN REMOVE FORGET", true)
		kept := w.healthy(w.mustLaunch(orchestrator.LaunchInput{Name: "other", NodeID: "b"}).ID)
		if _, err := w.Remove(t.Context(), kept.ID, false); err != nil {
			t.Fatal(err)
		}
		w.gone(kept.ID)
		if got := w.nodeActions("b"); got != "UPDATE DRAIN" {
			t.Errorf("before the deletion of its retained data: allowed %s", got)
		}
		_, cursor = w.told("b", cursor)
		w.deleteRetained(kept.Volume)
		w.eventually("the data is deleted", func() bool { return len(w.retained()) == 0 })
		got := w.nodeActions("b")
		if told, _ := w.told("b", cursor); got != "UPDATE DRAIN REMOVE FORGET" || told != got {
			t.Errorf("after the deletion of its retained data: allowed %s, a watch has %q", got, told)
		}
		for _, id := range []string{"a", "b"} {
			if err := w.RemoveNode(t.Context(), id, false); err != nil {
				t.Errorf("removal is offered, and refused: %v", err)
			}
		}
	})
}
