package uwstest

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Programs that tests start.
const (
	UWS    = "uws"        // with the race detector
	Faulty = "uws-faults" // kills itself at the step that UWS_FAULT names
	Puppet = "puppet"     // of package drivertest
)

// builtVariable names the folder in which the Makefile has built all programs, so that packages do not each build their own.
const builtVariable = "UWS_TEST_PROGRAMS"

// Binary is the path of the uws that Main built.
var Binary string

// Main builds a program, runs the tests of a package and returns the exit code for its TestMain.
func Main(m *testing.M, program string) int {
	dir, err := os.MkdirTemp("", "uws-binary-")
	if err == nil {
		defer os.RemoveAll(dir)
		Binary = Path(dir, program)
		err = Build(dir, program)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	// By default each process sleeps for a second at its end, for reports of the race detector that are under way.
	if os.Getenv("GORACE") == "" {
		_ = os.Setenv("GORACE", "atexit_sleep_ms=50")
	}
	return m.Run()
}

// Path returns the path of a program that Build built.
func Path(dir, program string) string {
	return filepath.Join(cmp.Or(os.Getenv(builtVariable), dir), program)
}

// Build builds a program into a folder, unless the Makefile has built it.
func Build(dir, program string) error {
	if os.Getenv(builtVariable) != "" {
		_, err := os.Stat(Path(dir, program))
		return err
	}
	repo, err := Repo()
	if err != nil {
		return err
	}
	args, cgo := []string{"-race", "-gcflags=modernc.org/sqlite/lib=-race=false"}, "1"
	target := "./cmd/uws"
	switch program {
	case Faulty:
		args = append(args, "-tags", "faults")
	case Puppet:
		args, cgo, target = nil, "0", "./orchestrator/driver/drivertest/puppet" // static, because its image has nothing else
	}
	cmd := exec.Command("go", append(append([]string{"build", "-o", Path(dir, program)}, args...), target)...)
	cmd.Dir, cmd.Env = repo, append(os.Environ(), "CGO_ENABLED="+cgo)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w: %s", program, err, out)
	}
	return nil
}

// EnginesFolder returns the folder of the engines that were fetched for tests.
func EnginesFolder(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("UWS_TEST_ENGINES"); dir != "" {
		return dir
	}
	repo, err := Repo()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(repo, "build", "engines")
}

// Folder returns a new folder that the unprivileged users of engines can reach. When the test ends the engines in it are killed
// and it is removed.
func Folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "uws-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(KillEngines(dir), os.RemoveAll(dir)); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}
