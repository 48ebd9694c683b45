package store_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/ent/node"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

// holdEnv names a data folder. With it set, the test binary opens the folder, adds a node, and waits for the end of its
// input.
const holdEnv = "UWS_STORE_TEST_HOLD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(holdEnv); dir != "" {
		if err := holdStore(dir); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func holdStore(dir string) error {
	ctx := context.Background()
	s, err := store.Open(ctx, store.Options{Dir: dir})
	if err != nil {
		return err
	}
	err = s.Update(ctx, func(ctx context.Context, tx *ent.Tx) error {
		return tx.Node.Create().SetID("held").SetName("held").SetDriver(node.DriverPROCESS).
			SetEndpoint("x").SetServiceAddress("127.0.0.1").SetCreatedAt(time.Now()).Exec(ctx)
	})
	if err != nil {
		return err
	}
	fmt.Println("open")
	_, err = io.Copy(io.Discard, os.Stdin)
	return errors.Join(err, s.Close())
}

// holder is a process that has a store open.
type holder struct {
	cmd   *exec.Cmd
	stdin io.Closer
	ended bool
}

// hold starts a process that opens the store in dir. It returns once the store is open.
func hold(t *testing.T, dir string) *holder {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), holdEnv+"="+dir)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	h := &holder{cmd: cmd, stdin: stdin}
	t.Cleanup(h.kill)
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "open\n" {
		t.Fatalf("holder says %q, %v", line, err)
	}
	return h
}

// kill ends the process with SIGKILL. stop lets it close the store first.
func (h *holder) kill() {
	if !h.ended {
		h.ended = true
		_ = h.cmd.Process.Kill()
		_ = h.cmd.Wait() // "signal: killed"
	}
}

func (h *holder) stop(t *testing.T) {
	t.Helper()
	h.ended = true
	if err := errors.Join(h.stdin.Close(), h.cmd.Wait()); err != nil {
		t.Errorf("holder: %v", err)
	}
}

func assertLocked(t *testing.T, dir string, pid int) {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Dir: dir})
	if err == nil {
		closeStore(t, s)
		t.Fatal("a second uws opened the store")
	}
	locked, ok := errors.AsType[*store.LockedError](err)
	if !ok || locked.PID != pid || locked.Dir != dir {
		t.Fatalf("error = %#v, want a LockedError with pid %d and folder %s", err, pid, dir)
	}
	if want := fmt.Sprintf("another uws (pid %d) uses this data folder", pid); !strings.Contains(err.Error(), want) {
		t.Errorf("error %q lacks %q", err, want)
	}
}

func TestSecondProcessIsRefused(t *testing.T) {
	dir := t.TempDir()
	h := hold(t, dir)
	assertLocked(t, dir, h.cmd.Process.Pid)
	h.stop(t)
	open(t, store.Options{Dir: dir}).Read.Node.GetX(t.Context(), "held")
	assertLocked(t, dir, os.Getpid())
}

func TestKilledProcessLetsGo(t *testing.T) {
	dir := t.TempDir()
	h := hold(t, dir)
	h.kill()
	open(t, store.Options{Dir: dir}).Read.Node.GetX(t.Context(), "held")
}

func TestShortCommandsWorkBeside(t *testing.T) {
	dir := t.TempDir()
	h := hold(t, dir)
	s := open(t, store.Options{Dir: dir, Shared: true})
	s.Read.Node.GetX(t.Context(), "held")
	addNode(t, s, "beside")
	closeStore(t, s)
	assertLocked(t, dir, h.cmd.Process.Pid)
	h.stop(t)
}

// A short command may create the store. It does not keep the lock.
func TestShortCommandMakesTheStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := open(t, store.Options{Dir: dir, Shared: true})
	addNode(t, s, "first")
	open(t, store.Options{Dir: dir}).Read.Node.GetX(t.Context(), "first")
}
