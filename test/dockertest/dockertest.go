// Package dockertest gives tests real Docker Engines of their own: private daemons in namespaces that nothing
// outside sees and that leave nothing behind, however the tests end.
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

// insideVariable marks the process that runs in the namespaces, and tells the folder for engines.
const insideVariable = "UWS_DOCKERTEST_DIR"

// Inside runs f in a network, a mount and a process namespace of its own, with loopback up, and returns its exit
// code. It does so by running this program again with the same arguments, so it comes first in main or TestMain. Nothing
// reaches the outside from there, and when f ends all processes, networks and mounts that it made are gone. What
// prepare leaves in the folder that it is given, before and outside, f finds in Dir.
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

// Main runs a package's tests inside.
func Main(m *testing.M) int { return Inside(m.Run) }

// Dir is a folder for what belongs to this run.
func Dir() string { return os.Getenv(insideVariable) }

// again runs this program in namespaces of its own, under an init process, which reaps what daemons leave.
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

// enter makes the new namespaces usable.
func enter() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	// Names of network namespaces, and whatever else daemons put there, are ours alone.
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

// folder for an engine that is not there yet.
func folder(name string) (string, error) {
	dir := filepath.Join(Dir(), name)
	return dir, os.Mkdir(dir, 0o755)
}
