package uwstest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Binary is the uws that Main built.
var Binary string

// Main builds uws with the race detector and these further arguments of `go build`, runs the tests of a
// package and returns the exit code for its TestMain.
func Main(m *testing.M, args ...string) int {
	dir, err := os.MkdirTemp("", "uws-binary-")
	if err == nil {
		defer os.RemoveAll(dir)
		Binary = filepath.Join(dir, "uws")
		err = Build(Binary, args...)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "building uws:", err)
		return 1
	}
	// By default each process sleeps for a second at its end, for reports of the race detector that are under way.
	if os.Getenv("GORACE") == "" {
		_ = os.Setenv("GORACE", "atexit_sleep_ms=50")
	}
	return m.Run()
}

// Build builds uws with the race detector, as the Makefile does, and these further arguments of `go build`.
func Build(binary string, args ...string) error {
	repo, err := Repo()
	if err != nil {
		return err
	}
	args = append([]string{"build", "-race", "-gcflags=modernc.org/sqlite/lib=-race=false", "-o", binary}, args...)
	cmd := exec.Command("go", append(args, "./cmd/uws")...)
	cmd.Dir, cmd.Stderr = repo, os.Stderr
	return cmd.Run()
}

// EnginesFolder is where the engines are that were fetched for tests.
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

// Folder is a folder that the unprivileged users of engines can reach. At the end of the test the engines in it
// are killed and it is removed.
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
