// Package dockertest gives tests private Docker Engines: real daemons in their own namespaces, which are invisible from outside
// and leave nothing behind, however the tests end.
package dockertest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/unicorn-web-services/uws/test/uwstest"
)

// insideVariable is set for the process that runs in the namespaces, to the folder for engines.
const insideVariable = "UWS_DOCKERTEST_DIR"

// Inside runs f in a new network, mount and process namespace with loopback up, and returns its exit code. It runs this program
// again with the same arguments, so it must come first in main or TestMain. There is no connection to the outside, and all
// processes, networks and mounts of f are gone when it ends. prepare is called outside, before f; the folder that it gets is
// Dir in f.
func Inside(f func() int, prepare ...func(dir string) error) int {
	if os.Getenv(insideVariable) != "" {
		if err := enter(); err != nil {
			fmt.Fprintln(os.Stderr, "dockertest:", err)
			return 1
		}
		return f()
	}
	code, err := again(prepare)
	if err != nil {
		fmt.Fprintln(os.Stderr, "dockertest:", err)
		return 1
	}
	return code
}

// Main runs the tests of a package with [Inside].
func Main(m *testing.M) int { return Inside(m.Run) }

// Dir returns the folder for files of this run.
func Dir() string { return os.Getenv(insideVariable) }

// again runs this program in new namespaces, under an init process that reaps orphaned processes of daemons.
func again(prepare []func(string) error) (code int, err error) {
	if os.Getuid() != 0 {
		return 0, errors.New("NOT TESTED: a private Docker Engine needs root")
	}
	for _, tool := range []string{"dockerd", "docker-init", "ip"} {
		if _, err := exec.LookPath(tool); err != nil {
			return 0, fmt.Errorf("NOT TESTED: %w; `make test` installs what tests need (tools/docker-engine)", err)
		}
	}
	dir, err := os.MkdirTemp("", "uws-dockertest-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	err = uwstest.Build(dir, uwstest.Puppet)
	for _, p := range prepare {
		err = errors.Join(err, p(dir))
	}
	if err != nil {
		return 0, err
	}
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	cmd := exec.Command("docker-init", append([]string{"--", self}, os.Args[1:]...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), insideVariable+"="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL,
	}
	err = cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return max(exit.ExitCode(), 1), nil
	}
	return 0, err
}

// enter sets up the new namespaces.
func enter() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	// So that names of network namespaces and other files of daemons there are private.
	if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("mounting /run: %w", err)
	}
	return ip("link", "set", "lo", "up")
}

func ip(args ...string) error {
	out, err := exec.CommandContext(context.Background(), "ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %v: %w: %s", args, err, out)
	}
	return nil
}

// folder creates the folder of a new engine.
func folder(name string) (string, error) {
	dir := filepath.Join(Dir(), name)
	return dir, os.Mkdir(dir, 0o755)
}
