// Package upgrade tests that this version of uws adopts what an earlier one left running, with real engines on both drivers.
package upgrade

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/unicorn-web-services/uws/test/dockertest"
	"github.com/unicorn-web-services/uws/test/uwstest"
)

// before is the folder with the sources of the earlier uws, the last one whose control plane was a single package. They are
// stored here because a clone may lack the history. They are the output of `git archive` for commit
// cd05c0d2c12cc3033b2b88816d3743d46f4db362 without tests, test data and dashboard.
const before = "testdata/before.tar.gz"

func TestMain(m *testing.M) {
	os.Exit(dockertest.Inside(m.Run, buildBefore, func(dir string) error {
		return uwstest.Build(dir, uwstest.UWS)
	}))
}

// oldBinary is the path of the binary that buildBefore builds.
func oldBinary(dir string) string { return filepath.Join(dir, "uws-before") }

// buildBefore builds uws from the sources before.
func buildBefore(dir string) error {
	source := filepath.Join(dir, "before")
	err := os.Mkdir(source, 0o755)
	if err == nil {
		err = run("", "tar", "-xzf", before, "-C", source)
	}
	if err == nil {
		// Without the folder's name in the binary, Go's cache serves the next run, whose folder has another name.
		err = run(source, "go", "build", "-trimpath", "-o", oldBinary(dir), "./cmd/uws")
	}
	if err != nil {
		return fmt.Errorf("building the uws to upgrade from: %w", err)
	}
	return nil
}

// run runs a command in a folder. Its error contains the output.
func run(dir string, args ...string) error {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", args[0], err, out)
	}
	return nil
}

// serve starts a uws whose local node runs processes. It is stopped when the test ends.
func serve(t *testing.T, binary, dir string) *uwstest.Process {
	t.Helper()
	return uwstest.Serve(t, nil, binary, dir, "--engines", uwstest.EnginesFolder(t), "--images", dockertest.Images(t))
}
