package docker

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/unicorn-web-services/uws/test/dockertest"
	"github.com/unicorn-web-services/uws/test/stories"
	"github.com/unicorn-web-services/uws/test/uwstest"
)

// copyStore copies the store of a stopped uws.
func copyStore(t *testing.T, from, to string) {
	t.Helper()
	if err := os.MkdirAll(to, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{to, from} {
		files, err := filepath.Glob(filepath.Join(dir, "uws.db*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if dir == to {
				err = os.Remove(file)
			} else if data, readErr := os.ReadFile(file); readErr != nil {
				err = readErr
			} else {
				err = os.WriteFile(filepath.Join(to, filepath.Base(file)), data, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

type orphan struct {
	ID, Name, CreatedAt, Problem string
	DataOnly, Running            bool
}

func orphans(t *testing.T, p *uwstest.Process) map[string]orphan {
	t.Helper()
	var out struct{ Orphans []orphan }
	if err := p.Query(t.Context(), `{ orphans { id name createdAt problem dataOnly running } }`, nil, &out); err != nil {
		t.Fatal(err)
	}
	byName := map[string]orphan{}
	for _, o := range out.Orphans {
		byName[o.Name] = o
	}
	if len(byName) != len(out.Orphans) {
		t.Errorf("orphans %+v", out.Orphans)
	}
	return byName
}

// The store is restored from a backup that is older than some launches and removals. Workloads and volumes without a row are
// listed as orphans. One workload is adopted, one stopped, one removed by name; volumes are adopted or deleted.
func TestOrphansOfARestoredStore(t *testing.T) {
	t.Parallel()
	e := own(t)
	dir, old := folder(t), filepath.Join(t.TempDir(), "old")
	p := serve(t, e, dir)
	for _, name := range []string{"first", "second", "third"} {
		puppet(t, p, name, nil)
	}
	stop(t, p)
	copyStore(t, dir, old)
	p = serve(t, e, dir)
	ids := map[string]string{}
	for _, name := range []string{"adopted", "stopped", "removed", "data", "unwanted", "unmarked"} {
		s := puppet(t, p, name, nil)
		ids[name] = s.ID
		err := uwstest.Until(t.Context(), "its volume is marked", func() (bool, error) {
			_, err := os.Stat(filepath.Join(mountpoint(t, e, name), ".uws-volume"))
			return err == nil, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	adopted := container(t, e, ids["adopted"])
	for _, name := range []string{"data", "unwanted", "unmarked"} {
		stories.Remove(t, p, ids[name], "RETAIN")
	}
	if err := os.Remove(filepath.Join(mountpoint(t, e, "unmarked"), ".uws-volume")); err != nil {
		t.Fatal(err)
	}
	stop(t, p)
	copyStore(t, old, dir)
	p = serve(t, e, dir)

	found := orphans(t, p)
	for name, dataOnly := range map[string]bool{"adopted": false, "stopped": false, "removed": false, "data": true, "unwanted": true, "unmarked": true} {
		o := found[name]
		if o.ID == "" || o.DataOnly != dataOnly || o.Running == dataOnly || o.CreatedAt == "" || (o.Problem != "") != (name == "unmarked") {
			t.Errorf("%s: %+v", name, o)
		}
		told(t, p, o.ID, "found without a service")
	}
	if len(found) != 6 {
		t.Errorf("orphans %+v", found)
	}
	metrics := func(workloads, data string) {
		t.Helper()
		err := uwstest.Until(t.Context(), "the orphans are counted", func() (bool, error) {
			answer, err := http.Get(p.URL + "/metrics")
			if err != nil {
				return false, err
			}
			defer answer.Body.Close()
			body, err := io.ReadAll(answer.Body)
			text := string(body)
			return strings.Contains(text, `uws_orphans{node="local",type="workload"} `+workloads+"\n") &&
				strings.Contains(text, `uws_orphans{node="local",type="data"} `+data+"\n"), err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	metrics("3", "3")

	for mutation, name := range map[string]string{"adoptOrphan": "adopted", "stopOrphan": "stopped", "removeOrphan": "removed"} {
		if err := p.Do(t.Context(), mutation, name); err != nil {
			t.Fatal(err)
		}
	}
	stories.Healthy(t, p, ids["adopted"], 0)
	if container(t, e, ids["adopted"]) != adopted {
		t.Error("adopting the orphan replaced its container")
	}
	if o := orphans(t, p)["stopped"]; o.ID == "" || o.Running {
		t.Errorf("stopped: %+v", o)
	}
	if kept := stories.Retained(t, p); len(kept) != 1 {
		t.Errorf("retained %v", kept)
	}
	if err := p.Do(t.Context(), "adoptOrphan", "data"); err != nil {
		t.Fatal(err)
	}
	s := stories.Healthy(t, p, ids["data"], 0)
	if s.Name != "data" {
		t.Errorf("%+v", s)
	}
	remove := func(name, at string) error {
		return p.Query(t.Context(), `mutation($id: ID!, $at: Time) { removeOrphan(id: $id, data: DELETE, createdAt: $at) { id } }`,
			map[string]any{"id": name, "at": at}, nil)
	}
	if err := remove("unmarked", "2001-01-01T00:00:00Z"); err == nil || !strings.Contains(err.Error(), "other data than was listed") {
		t.Errorf("deleting data that was replaced since it was listed: %v", err)
	}
	if err := p.Do(t.Context(), "adoptOrphan", "unmarked"); err == nil || !strings.Contains(err.Error(), "credentials are not known") {
		t.Errorf("adopting an orphan without credentials: %v", err)
	}
	for _, name := range []string{"unwanted", "unmarked"} {
		if err := remove(name, found[name].CreatedAt); err != nil {
			t.Fatal(err)
		}
		err := uwstest.Until(t.Context(), "the volume of "+name+" is gone", func() (bool, error) {
			return docker(t, e, "volume", "ls", "-q", "--filter", "label=uws.name="+name) == "", nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	metrics("1", "0")
}

// mountpoint returns the folder in which an engine keeps the volume of the service with this name.
func mountpoint(t *testing.T, e *dockertest.Engine, name string) string {
	t.Helper()
	volume, err := e.Docker("volume", "ls", "-q", "--filter", "label=uws.name="+name)
	if err != nil {
		t.Fatal(err)
	}
	path, err := e.Docker("volume", "inspect", "--format", "{{.Mountpoint}}", volume)
	if err != nil {
		t.Fatal(err)
	}
	return path
}
