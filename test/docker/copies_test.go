package docker

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/unicorn-web-services/uws/test/dockertest"
	"github.com/unicorn-web-services/uws/test/stories"
	"github.com/unicorn-web-services/uws/test/uwstest"
)

// copyFolder copies a data folder, and the file with the tests' token beside it.
func copyFolder(t *testing.T, from string) string {
	t.Helper()
	to := folder(t)
	for _, suffix := range []string{"", ".token"} {
		if out, err := exec.Command("cp", "-a", from+suffix, to+suffix).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	return to
}

func stop(t *testing.T, p *uwstest.Process) {
	t.Helper()
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
}

// nodeSays waits until the only node has this health and its reason contains all parts.
func nodeSays(t *testing.T, p *uwstest.Process, healthy bool, parts ...string) (id string) {
	t.Helper()
	var out struct {
		Nodes []struct {
			ID      string
			Healthy bool
			Reason  string
		}
	}
	err := uwstest.Until(t.Context(), "the node says "+strings.Join(parts, ", "), func() (bool, error) {
		if err := p.Query(t.Context(), `{ nodes { id healthy reason } }`, nil, &out); err != nil || len(out.Nodes) != 1 {
			return false, err
		}
		for _, part := range parts {
			if !strings.Contains(out.Nodes[0].Reason, part) {
				return false, nil
			}
		}
		return out.Nodes[0].Healthy == healthy, nil
	})
	if err != nil {
		t.Fatalf("%v; the node is %+v", err, out)
	}
	return out.Nodes[0].ID
}

// claim returns the claim of an installation: its container's name, state, epoch and store.
func claim(t *testing.T, e *dockertest.Engine, installation string) string {
	t.Helper()
	return docker(t, e, "ps", "-a", "--filter", "label=uws.claim="+installation, "--format", "{{.Names}} {{.State}} {{.Label \"uws.epoch\"}} {{.Label \"uws.store\"}}")
}

// A store is restored on another machine while the original still runs. With --moved the restored one takes over the engine,
// and the original stops acting. A clone leaves the engine's containers alone.
func TestCopiesOfOneStore(t *testing.T) {
	t.Parallel()
	e := own(t)
	dir := folder(t)
	original := serve(t, e, dir)
	s := puppet(t, original, "claimed", nil)
	var out struct{ Installation struct{ ID string } }
	if err := original.Query(t.Context(), `{ installation { id } }`, nil, &out); err != nil {
		t.Fatal(err)
	}
	id := out.Installation.ID
	first := claim(t, e, id)
	if f := strings.Fields(first); len(f) != 4 || !strings.HasSuffix(f[0], "-claim") || f[1] != "created" || f[2] != "1" {
		t.Fatalf("the claim is %q", first)
	}
	stop(t, original) // so that the copy of the store is consistent
	moved, cloned := copyFolder(t, dir), copyFolder(t, dir)
	original = serve(t, e, dir)
	stories.Healthy(t, original, s.ID, 0)
	running := container(t, e, s.ID)
	started := docker(t, e, "inspect", "--format", "{{.State.StartedAt}}", running)

	clone := serve(t, e, cloned, "--clone")
	stories.WaitFor(t, clone, s.ID, "stopped", func(s *uwstest.Service) bool { return s.Phase == "STOPPED" })
	if err := clone.Do(t.Context(), "startService", s.ID); err != nil {
		t.Fatal(err)
	}
	failed := stories.WaitFor(t, clone, s.ID, "without data", func(s *uwstest.Service) bool { return s.Phase == "FAILED" })
	volume := docker(t, e, "volume", "ls", "-q", "--filter", "label=uws.name=claimed")
	if !strings.Contains(failed.Reason, "this uws is a clone, and the data stays with the original in volume "+volume) {
		t.Errorf("the reason is %q", failed.Reason)
	}
	// The clone does not see the original's containers, and may not touch them.
	if found := orphans(t, clone); len(found) != 0 {
		t.Errorf("the clone has orphans %+v", found)
	}
	// After the volume was copied by hand, it starts with the copy.
	mine := docker(t, e, "volume", "create", strings.Fields(failed.Reason)[3])
	at := func(volume string) string {
		return docker(t, e, "volume", "inspect", "--format", "{{.Mountpoint}}", volume)
	}
	before, err := os.ReadFile(filepath.Join(at(volume), "starts"))
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cp", "-a", at(volume)+"/.", at(mine)).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := clone.Do(t.Context(), "startService", s.ID); err != nil {
		t.Fatal(err)
	}
	stories.Healthy(t, clone, s.ID, 0)
	stories.Remove(t, clone, s.ID, "DELETE")
	stop(t, clone)
	if after, err := os.ReadFile(filepath.Join(at(volume), "starts")); err != nil || string(after) != string(before) {
		t.Errorf("the original's data is %q now, %q before (%v)", after, before, err)
	}
	stories.Healthy(t, original, s.ID, 0)
	if docker(t, e, "inspect", "--format", "{{.State.StartedAt}}", running) != started {
		t.Error("the original was restarted")
	}

	restored := serve(t, e, moved, "--moved")
	stories.Healthy(t, restored, s.ID, 0)
	nodeSays(t, original, false, "another copy of this data folder acts on this engine", "--moved")
	stories.WaitFor(t, original, s.ID, "unknown", func(s *uwstest.Service) bool { return s.Health == "UNKNOWN" })
	if err := original.Do(t.Context(), "stopService", s.ID); err != nil {
		t.Fatal(err)
	}
	if container(t, e, s.ID) != running {
		t.Error("the container is another one")
	}
	// A removal is requested at the store that must not act, and the claim is lost, as after `docker container prune`.
	docker(t, e, "rm", strings.Fields(first)[0])
	if err := original.Query(t.Context(), `mutation($id: ID!) { removeService(id: $id, data: DELETE) { id } }`, map[string]any{"id": s.ID}, nil); err != nil {
		t.Fatal(err)
	}
	err = uwstest.Until(t.Context(), "there is a claim again", func() (bool, error) { return strings.Contains(claim(t, e, id), " 2 "), nil })
	if err != nil {
		t.Fatalf("%v; the claim is %q", err, claim(t, e, id))
	}
	stories.Healthy(t, restored, s.ID, 0)
	if container(t, e, s.ID) != running {
		t.Error("the container is another one")
	}

	// The other way round: the store that was last declared as moved acts.
	stop(t, original)
	original = serve(t, e, dir, "--moved")
	nodeSays(t, restored, false, "another copy")
	nodeSays(t, original, true)

	// Removing the node releases the claim.
	stop(t, restored)
	stories.WaitFor(t, original, s.ID, "gone", func(s *uwstest.Service) bool { return s == nil })
	if err := original.Query(t.Context(), `mutation($id: ID!) { removeNode(id: $id) { id } }`, map[string]any{"id": nodeSays(t, original, true)}, nil); err != nil {
		t.Fatal(err)
	}
	if left := claim(t, e, id); left != "" {
		t.Errorf("the claim was not released: %s", left)
	}
}
