package reconcile

import (
	"testing"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
)

// Nothing is read, decided or scheduled for a service that another process owns.
func TestOwns(t *testing.T) {
	asked := ""
	r := &Reconciler{queue: newQueue(), opts: Options{Owns: func(id string) bool { asked = id; return false }}}
	c := newController(&ent.Service{ID: "theirs"}, catalog.Template{}, func(orchestrator.Progress) {})
	r.controllers = map[string]*controller{"theirs": c}
	r.reconcile(t.Context(), claim{id: "theirs"}) // it would need a store
	if asked != "theirs" || len(r.queue.items) != 0 {
		t.Errorf("asked about %q; in the queue: %v", asked, r.queue.items)
	}
}
