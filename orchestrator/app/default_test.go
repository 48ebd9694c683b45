package app_test

import (
	"context"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	entnode "github.com/unicorn-web-services/uws/ent/node"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

// A launch that names only the kind takes the default for a node that there is: the one that it names, or else Docker first.
func TestDefaultDependsOnTheNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		template := func(name, node string) string {
			t.Helper()
			s, err := w.Launch(t.Context(), orchestrator.LaunchInput{Kind: catalog.NoSQL, Name: name, NodeID: node})
			if err != nil {
				t.Fatal(err)
			}
			return s.Definition.Name
		}
		if got := template("process", ""); got != "ferretdb" {
			t.Errorf("with a PROCESS node alone: %s", got)
		}
		nodes, err := w.Nodes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		local := nodes[0].ID

		w.stop()
		st, err := store.Open(t.Context(), store.Options{Dir: filepath.Join(w.dir, "data"), Log: testLog()})
		if err != nil {
			t.Fatal(err)
		}
		err = st.Update(t.Context(), func(ctx context.Context, tx *ent.Tx) error {
			return tx.Node.Create().SetID("docker").SetName("docker").SetDriver(entnode.DriverDOCKER).SetEndpoint("fake").
				SetServiceAddress("127.0.0.1").SetCreatedAt(time.Now().UTC()).Exec(ctx)
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
		w.start()
		for node, want := range map[string]string{"": "mongodb", "docker": "mongodb", local: "ferretdb"} {
			if got := template("on-"+want+node[:min(len(node), 3)], node); got != want {
				t.Errorf("with both nodes, on %q: %s", node, got)
			}
		}
	})
}
