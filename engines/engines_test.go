package engines_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"

	"github.com/unicorn-web-services/uws/engines"
	"github.com/unicorn-web-services/uws/engines/internal/archive"
)

func TestArchiveIsCurrent(t *testing.T) {
	want, err := archive.Pack(".")
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("engines.txtar")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Error("engines.txtar is not what the engine folders hold: run `go generate ./engines`")
	}
}

// A description names the version that its go.mod pins.
func TestVersionsMatchTheirPins(t *testing.T) {
	all, err := engines.All()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 2 {
		t.Fatalf("found %d engines, want at least versitygw and nats", len(all))
	}
	for _, e := range all {
		t.Run(e.ID(), func(t *testing.T) {
			dir := t.TempDir()
			if err := e.WriteModule(dir); err != nil {
				t.Fatal(err)
			}
			data, err := os.ReadFile(filepath.Join(dir, "go.mod"))
			if err != nil {
				t.Fatal(err)
			}
			mod, err := modfile.Parse("go.mod", data, nil)
			if err != nil {
				t.Fatal(err)
			}
			if len(mod.Tool) != 1 || mod.Tool[0].Path != e.Package {
				t.Errorf("go.mod has the tools %v, want only %s", mod.Tool, e.Package)
			}
			for _, r := range mod.Require {
				if strings.HasPrefix(e.Package+"/", r.Mod.Path+"/") && r.Mod.Version == "v"+e.Version {
					return
				}
			}
			t.Errorf("go.mod does not pin %s at v%s", e.Package, e.Version)
		})
	}
}

func TestFind(t *testing.T) {
	if _, ok, err := engines.Find("nats", "2.15.2"); !ok || err != nil {
		t.Errorf("nats 2.15.2: found %v, %v", ok, err)
	}
	if _, ok, err := engines.Find("nats", "0.0.1"); ok || err != nil {
		t.Errorf("nats 0.0.1: found %v, %v", ok, err)
	}
}
