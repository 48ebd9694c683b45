package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// After a reboot the pid in a pid file of a crashed engine can belong to another program of the same user. That happens if uws
// does not run as root and the kernel has no sandbox that hides the other program.
func TestForeignPIDOfOrdinaryUser(t *testing.T) {
	dir := folder(t)
	binary, engines := unprivileged(t, dir)
	args := []string{"--engines", engines, "--engine-sandbox", "off"}
	p := started(t, binary, dir, args...)
	s := launch(t, p, "DB", "rebooted", nil)
	must(t, p.Kill())
	pid := enginePID(t, s.ID)
	path := filepath.Join(workFolder(t, pid), "postmaster.pid")
	text, err := os.ReadFile(path)
	must(t, err)
	kill(t, pid, syscall.SIGKILL)

	foreign := exec.Command("setpriv", "--reuid", ordinary, "--regid", "nogroup", "--clear-groups", "sleep", "1000")
	must(t, foreign.Start())
	t.Cleanup(func() {
		_ = foreign.Process.Kill()
		_ = foreign.Wait()
	})
	_, rest, _ := strings.Cut(string(text), "\n")
	must(t, os.WriteFile(path, fmt.Appendf(nil, "%d\n%s", foreign.Process.Pid, rest), 0o600))

	p = started(t, binary, dir, args...)
	healthy(t, p, s.ID, 0)
	if err := foreign.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the other program was touched: %v", err)
	}
}
