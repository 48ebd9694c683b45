package engines_test

import (
	"encoding/json"
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

// The version in a description equals the pinned version.
func TestVersionsMatchTheirPins(t *testing.T) {
	all, err := engines.All()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 5 {
		t.Fatalf("found %d engines, want ferretdb, nats, postgres, setec and versitygw", len(all))
	}
	for _, e := range all {
		t.Run(e.ID(), func(t *testing.T) {
			dir := t.TempDir()
			if err := e.WriteModule(dir); err != nil {
				t.Fatal(err)
			}
			switch {
			case e.NPM != nil:
				checkLock(t, e, dir)
			case e.Package == ".":
				checkOwnMain(t, e, dir)
			default:
				checkModule(t, e, dir)
			}
		})
	}
}

func readModule(t *testing.T, dir string) *modfile.File {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	mod, err := modfile.Parse("go.mod", data, nil)
	if err != nil {
		t.Fatal(err)
	}
	return mod
}

func checkModule(t *testing.T, e engines.Engine, dir string) {
	mod := readModule(t, dir)
	if len(mod.Tool) != 1 || mod.Tool[0].Path != e.Package {
		t.Errorf("go.mod has the tools %v, want only %s", mod.Tool, e.Package)
	}
	for _, r := range mod.Require {
		if strings.HasPrefix(e.Package+"/", r.Mod.Path+"/") && r.Mod.Version == "v"+e.Version {
			return
		}
	}
	t.Errorf("go.mod does not pin %s at v%s", e.Package, e.Version)
}

// checkOwnMain checks a main package of ours for a library without releases: the engine's version is the month of the
// commit.
func checkOwnMain(t *testing.T, e engines.Engine, dir string) {
	for _, r := range readModule(t, dir).Require {
		if strings.HasSuffix(r.Mod.Path, "/"+e.Name) && strings.HasPrefix(r.Mod.Version, "v0.0.0-"+strings.ReplaceAll(e.Version, "-", "")) {
			return
		}
	}
	t.Errorf("go.mod does not pin %s as of %s", e.Name, e.Version)
}

// checkLock checks that a lock file contains a checksum and no download URL, because the registry is configured on each
// machine.
func checkLock(t *testing.T, e engines.Engine, dir string) {
	data, err := os.ReadFile(filepath.Join(dir, "package-lock.json"))
	if err != nil {
		t.Fatal(err)
	}
	var lock struct {
		Packages map[string]struct {
			Version, Integrity, Resolved string
			CPU                          []string
		}
	}
	if err := json.Unmarshal(data, &lock); err != nil {
		t.Fatal(err)
	}
	p := lock.Packages["node_modules/"+e.NPM.Package]
	if len(lock.Packages) != 2 || !strings.HasPrefix(p.Version, e.Version+".") || !strings.HasPrefix(p.Integrity, "sha512-") || p.Resolved != "" {
		t.Errorf("package-lock.json has %+v, want only %s %s with a sha512 and without an address", lock.Packages, e.NPM.Package, e.Version)
	}
	if want := map[string]string{"amd64": "x64", "arm64": "arm64"}[e.NPM.Arch]; len(p.CPU) != 1 || p.CPU[0] != want {
		t.Errorf("the package is for %v, and the description says %q", p.CPU, e.NPM.Arch)
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
