package process_test

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/drivertest"
	"github.com/unicorn-web-services/uws/orchestrator/driver/process"
)

// copyOf copies the state folder of an installation, as an administrator would.
func (m *machine) copyOf(installation, to string) {
	m.Helper()
	if out, err := exec.Command("cp", "-a", m.dir(installation), m.dir(to)).CombinedOutput(); err != nil {
		m.Fatalf("%v: %s", err, out)
	}
}

func mustRun(t *testing.T, d driver.Driver, service, instance string) {
	t.Helper()
	if o, err := d.Inspect(t.Context(), service); err != nil || !o.Running || o.Instance != instance {
		t.Fatalf("%s is %+v, %v; it should still run as %s", service, o, err, instance)
	}
}

// A copy of the state folder adopts nothing, and is refused while the engines of the original run.
func TestCopiedFolderAdoptsNothing(t *testing.T) {
	m := newMachine(t)
	d := m.Open("first")
	spec := m.puppet("copied")
	m.start(d, spec)
	before, err := d.Inspect(t.Context(), "copied")
	if err != nil {
		t.Fatal(err)
	}
	m.copyOf("first", "copy")
	o := m.options("first")
	o.Dir = m.dir("copy")
	copied, err := process.New(o)
	if err == nil {
		err = errors.Join(errors.New("the copy was opened"), copied.Close())
	}
	pid := strconv.Itoa(m.processes("copied")[0])
	if driver.ClassOf(err) != driver.Invalid || !strings.Contains(err.Error(), "kill "+pid) || !strings.Contains(err.Error(), m.dir("first")) {
		t.Errorf("opening the copy: %v", err)
	}
	mustRun(t, d, "copied", before.Instance)

	if err := d.Stop(t.Context(), "copied", 0); err != nil {
		t.Fatal(err)
	}
	if copied, err = process.New(o); err != nil {
		t.Fatalf("once the original has stopped: %v", err)
	}
	if err := copied.Close(); err != nil {
		t.Error(err)
	}
}

// A clone runs beside the original, and what is done to it leaves the original alone.
func TestClonedFolder(t *testing.T) {
	m := newMachine(t)
	d := m.Open("first")
	spec := m.puppet("copied")
	m.start(d, spec)
	before, err := d.Inspect(t.Context(), "copied")
	if err != nil {
		t.Fatal(err)
	}
	m.copyOf("first", "second")
	m.change = func(o *process.Options) {
		if o.Installation == m.installation("second") {
			o.ClonedFrom = m.installation("first")
		}
	}
	clone := m.Open("second")
	if o, err := clone.Inspect(t.Context(), "copied"); err != nil || o.Running {
		t.Fatalf("the clone adopted %+v, %v", o, err)
	}
	if has, err := clone.HasData(t.Context(), driver.Data{Volume: spec.Volume}); err != nil || !has {
		t.Fatalf("the clone's data: %v, %v", has, err)
	}
	m.start(clone, m.puppet("copied"))
	if err := errors.Join(clone.Stop(t.Context(), "copied", 0), clone.Remove(t.Context(), "copied"), clone.RemoveData(t.Context(), driver.Data{Volume: spec.Volume})); err != nil {
		t.Fatal(err)
	}
	mustRun(t, d, "copied", before.Instance)
	if !answers(spec.Ports[0].Number) {
		t.Error("the original does not answer")
	}
	if has, err := d.HasData(t.Context(), driver.Data{Volume: spec.Volume}); err != nil || !has {
		t.Errorf("the original's data: %v, %v", has, err)
	}
}

// A folder that was renamed, or is reached by a symbolic link, is the same folder.
func TestRenamedFolderAdopts(t *testing.T) {
	m := newMachine(t)
	d := m.Open("first")
	m.start(d, m.puppet("renamed"))
	before, err := d.Inspect(t.Context(), "renamed")
	if err == nil {
		err = d.Close()
	}
	if err == nil {
		err = errors.Join(os.Rename(m.dir("first"), m.dir("elsewhere")), os.Symlink(m.dir("elsewhere"), m.dir("first")))
	}
	if err != nil {
		t.Fatal(err)
	}
	d = m.Open("first")
	mustRun(t, d, "renamed", before.Instance)
	if err := d.Stop(t.Context(), "renamed", drivertest.Patience); err != nil {
		t.Fatal(err)
	}
	if left := m.processes("renamed"); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}
