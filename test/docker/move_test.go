package docker

import (
	"path/filepath"
	"slices"
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

// A move that is cancelled before the switch leaves the service where it was, with its data, and nothing on the other node.
func TestMoveCancelled(t *testing.T) {
	w := newPair(t, uwstest.Binary, "postgres")
	s := stories.Launch(t, w.p, "DB", "shop", map[string]any{"nodeId": w.nodes[0]})
	keys, err := w.p.Credentials(t.Context(), s.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := stories.Postgres.Write(t.Context(), s.Endpoint, keys, "meow"); err != nil {
		t.Fatal(err)
	}
	var slow struct{ CreateBackupTarget struct{ ID string } }
	w.query(`mutation($f: String!) { createBackupTarget(input: {name: "slow", folder: $f, writeMiBPerSecond: 1}) { id } }`, map[string]any{"f": filepath.Join(t.TempDir(), "slow")}, &slow)
	m, _, err := stories.Moving(t.Context(), w.p, s.ID, w.nodes[1], slow.CreateBackupTarget.ID, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := stories.Moving(t.Context(), w.p, s.ID, w.nodes[1], slow.CreateBackupTarget.ID, true); err == nil {
		t.Error("it is moved twice at a time")
	}
	err = uwstest.Until(t.Context(), "it is stopped for its last copy", func() (bool, error) {
		_, err := stories.Postgres.Read(t.Context(), s.Endpoint, keys)
		return err != nil, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.p.Do(t.Context(), "cancelRestore", m.ID); err != nil {
		t.Fatal(err)
	}
	if got := stories.Moved(t, w.p, m.ID); got.State != "CANCELLED" {
		t.Errorf("the move is %+v", got)
	}
	err = uwstest.Until(t.Context(), "it works again", func() (bool, error) {
		text, err := stories.Postgres.Read(t.Context(), s.Endpoint, keys)
		return err == nil && text == "meow", nil
	})
	if err != nil || stories.NodeOf(t, w.p, s.ID) != w.nodes[0] {
		t.Errorf("it is on node %s (%v)", stories.NodeOf(t, w.p, s.ID), err)
	}
	var left struct {
		Orphans []struct{ ID string }
		Events  struct{ Nodes []struct{ ReasonCode string } }
	}
	w.query(`query($s: ID!) { orphans { id } events(first: 50, filter: {serviceId: $s}) { nodes { reasonCode } } }`, map[string]any{"s": s.ID}, &left)
	if len(left.Orphans) > 0 || len(stories.Retained(t, w.p)) > 0 || !slices.ContainsFunc(left.Events.Nodes, func(e struct{ ReasonCode string }) bool { return e.ReasonCode == "MOVE_CANCELLED" }) {
		t.Errorf("left are %+v, and the data %v", left, stories.Retained(t, w.p))
	}
	stories.Remove(t, w.p, s.ID, "DELETE")
}
