package docker

import (
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/test/dockertest"
	"github.com/unicorn-web-services/uws/test/stories"
	"github.com/unicorn-web-services/uws/test/uwstest"
)

// pair is a uws with engines as processes on one node, and a Docker Engine as another.
type pair struct {
	*testing.T
	p     *uwstest.Process
	dir   string
	nodes [2]string // the process node, and the Docker node
}

func newPair(t *testing.T, binary string, templates ...string) *pair {
	t.Helper()
	e := engine(t)
	withImages(t, e, templates...)
	w := &pair{T: t, dir: filepath.Join(uwstest.Folder(t), "data")}
	w.serve(binary, "")
	var local struct{ Nodes []struct{ ID string } }
	w.query(`{ nodes { id } }`, nil, &local)
	var far struct{ RegisterNode struct{ ID string } }
	w.query(`mutation($e: String!) { registerNode(input: {name: "far", driver: DOCKER, endpoint: $e, serviceAddress: "127.0.0.1"}) { id } }`, map[string]any{"e": e.Host}, &far)
	w.nodes = [2]string{local.Nodes[0].ID, far.RegisterNode.ID}
	t.Cleanup(func() {
		if err := w.p.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("uws printed:\n%s", w.p.Output)
		}
	})
	return w
}

// serve starts uws. It kills itself at the step fault, unless fault is empty.
func (w *pair) serve(binary, fault string) {
	w.Helper()
	var err error
	w.p, err = uwstest.StartWith(w.Context(), []string{"UWS_LOCAL_NODE=process", "UWS_FAULT=" + fault}, binary, w.dir,
		"--images", dockertest.Images(w.T), "--engines", uwstest.EnginesFolder(w.T))
	if err != nil {
		w.Fatal(err)
	}
}

func (w *pair) query(query string, variables map[string]any, out any) {
	w.Helper()
	if err := w.p.Query(w.Context(), query, variables, out); err != nil {
		w.Fatal(err)
	}
}

// A service of each kind moves between a node with processes and one with containers.
func TestMove(t *testing.T) {
	var names []string
	for _, e := range stories.Engines {
		names = append(names, e.Template)
	}
	w := newPair(t, uwstest.Binary, names...)
	for _, e := range stories.Engines {
		t.Run(e.Template, func(t *testing.T) {
			t.Parallel()
			stories.ThereAndBack(t, w.p, e, w.nodes, t.TempDir())
		})
	}
}

// A client that writes meanwhile loses nothing that was acknowledged.
func TestMoveUnderLoad(t *testing.T) {
	w := newPair(t, uwstest.Binary, "postgres")
	stories.MoveUnderLoad(t, w.p, w.nodes, t.TempDir())
}

// If uws is killed at any step of a move, the service is where it was and nothing is left on the other node, or it is there, with all of
// its data.
func TestCrashInMoves(t *testing.T) {
	faulty := uwstest.Path(dockertest.Dir(), uwstest.Faulty)
	for _, step := range []string{"move-prepared", "backup-stop", "move-saved", "restore-copy", "move-copied", "move-checked", "move-removed", "move-switched"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			w := newPair(t, faulty, "setec")
			s := stories.Launch(t, w.p, "SECRETS", "vault", map[string]any{"template": "setec", "nodeId": w.nodes[0]})
			keys, err := w.p.Credentials(t.Context(), s.ID)
			if err != nil {
				t.Fatal(err)
			}
			if err := stories.Setec.Write(t.Context(), s.Endpoint, keys, "meow"); err != nil {
				t.Fatal(err)
			}
			target, _ := stories.Target(t, w.p, "disk", filepath.Join(t.TempDir(), "target"))
			if err := w.p.Stop(); err != nil {
				t.Fatal(err)
			}
			w.serve(faulty, step)
			stories.Healthy(t, w.p, s.ID, 0)
			_, _, _ = stories.Moving(t.Context(), w.p, s.ID, w.nodes[1], target, true) // the answer may be lost
			w.crash(faulty)
			node := w.nodes[0]
			if step == "move-switched" {
				node = w.nodes[1]
			}
			w.over(node == w.nodes[1])
			now := stories.Healthy(t, w.p, s.ID, 0)
			if text, err := stories.Setec.Read(t.Context(), now.Endpoint, keys); err != nil || text != "meow" || stories.NodeOf(t, w.p, s.ID) != node {
				t.Errorf("it has %q (%v) on node %s, want node %s", text, err, stories.NodeOf(t, w.p, s.ID), node)
			}
			var left struct{ Orphans []struct{ ID string } }
			w.query(`{ orphans { id } }`, nil, &left)
			want := map[bool]int{true: 1}[node == w.nodes[1]]
			if kept := stories.Retained(t, w.p); len(left.Orphans) > 0 || len(kept) != want {
				t.Errorf("left are the orphans %v, and the data %v", left.Orphans, kept)
			}
			stories.MoveService(t, w.p, s.ID, map[bool]string{true: w.nodes[0], false: w.nodes[1]}[node == w.nodes[1]], target) // again
			stories.Remove(t, w.p, s.ID, "DELETE")
		})
	}
}

// crash waits until uws has killed itself, and starts it again.
func (w *pair) crash(binary string) {
	w.Helper()
	select {
	case <-w.p.Exited():
	case <-time.After(uwstest.Patience):
		w.Fatal("the step was never reached")
	}
	if w.p.Cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		w.Fatalf("uws ended with %s, but did not kill itself:\n%s", w.p.Cmd.ProcessState, w.p.Output)
	}
	w.serve(binary, "")
}

// over waits until the move has ended.
func (w *pair) over(complete bool) {
	w.Helper()
	var all struct {
		Restores struct{ Nodes []stories.Move }
	}
	w.query(`{ restores { nodes { id } } }`, nil, &all)
	if len(all.Restores.Nodes) != 1 {
		w.Fatalf("the moves are %+v", all)
	}
	if m := stories.Moved(w.T, w.p, all.Restores.Nodes[0].ID); (m.State == "COMPLETE") != complete {
		w.Errorf("the move is %+v", m)
	}
}
