package programs

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/unicorn-web-services/uws/engines"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// build builds one engine from its pins with the local Go.
type build struct {
	goTool string
	engine engines.Engine
	report func(driver.Progress)
}

func findGo() (string, error) { return exec.LookPath("go") }

// run builds the engine into the file out.
func (b build) run(ctx context.Context, out string) (err error) {
	module, err := os.MkdirTemp(filepath.Dir(filepath.Dir(out)), "module-")
	if err != nil {
		return err
	}
	if err := b.engine.WriteModule(module); err != nil {
		return err
	}
	name := b.engine.Name + " " + b.engine.Version
	b.report(driver.Progress{Step: "downloading the source of " + name, Percent: -1})
	packages := 0
	read := func(line string) {
		if what, ok := strings.CutPrefix(line, "go: downloading "); ok {
			b.report(driver.Progress{Step: "downloading the source of " + name + ": " + what, Percent: -1})
			return
		}
		packages++
	}
	mod := "-mod=readonly"
	if len(b.engine.Vendored) > 0 {
		mod = "-mod=vendor"
		if err := b.vendor(ctx, module, read); err != nil {
			return err
		}
		packages = 0
	}
	if err := b.goRun(ctx, module, read, "list", mod, "-deps", b.engine.Package); err != nil {
		return err
	}
	// Compiling is nearly all of the work. `go build -v` prints each package that it compiles, but not those in Go's cache, so
	// the build can end before 99 %.
	done := 0
	step := func() {
		b.report(driver.Progress{Step: "building " + name, Percent: min(99, 100*float64(done)/float64(max(1, packages)))})
	}
	step()
	return b.goRun(ctx, module, func(string) { done++; step() },
		"build", mod, "-v", "-trimpath", "-buildvcs=false", "-ldflags", strings.TrimSpace("-s -w "+b.engine.LDFlags), "-o", out, b.engine.Package)
}

// vendor copies the dependencies, checked against go.sum, into the module, and adds the engine's own files.
func (b build) vendor(ctx context.Context, module string, line func(string)) error {
	if err := b.goRun(ctx, module, line, "mod", "vendor"); err != nil {
		return err
	}
	for name, text := range b.engine.Vendored {
		if err := os.WriteFile(filepath.Join(module, "vendor", name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// goRun runs the go command and passes each line that it prints to line.
func (b build) goRun(ctx context.Context, dir string, line func(string), args ...string) error {
	cmd := exec.CommandContext(ctx, b.goTool, args...)
	cmd.Dir = dir
	cmd.Env = append(withoutOwn(os.Environ()), "CGO_ENABLED=0", "GOWORK=off", "GO111MODULE=on", "GOFLAGS=")
	said, err := runTool(ctx, cmd, line)
	if err != nil {
		return toolError("go "+args[0], permanent, said, err)
	}
	return nil
}

// runTool runs a command of [exec.CommandContext] and passes each line that it prints to line. said is the end of its output.
// The error is that of ctx if ctx has ended.
func runTool(ctx context.Context, cmd *exec.Cmd, line func(string)) (said string, err error) {
	// A group of its own, so that the go command's children, the compilers, end with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // not reaped yet: the pid is its own
	cmd.WaitDelay = 5 * time.Second
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	var tail bytes.Buffer // the end of the output, for the error
	read := make(chan struct{})
	go func() {
		defer close(read)
		for in := bufio.NewScanner(r); in.Scan(); {
			if tail.Len() > 4<<10 {
				tail.Reset()
			}
			tail.WriteString(in.Text() + "\n")
			line(in.Text())
		}
		_, _ = io.Copy(io.Discard, r) // after a line that is too long to scan, so that the writer is not blocked
	}()
	err = cmd.Run()
	_ = w.Close() // never fails
	<-read
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	return strings.TrimSpace(tail.String()), err
}

// permanent are the messages of the go command for errors that another try does not change.
var permanent = []string{
	"checksum mismatch", "SECURITY ERROR", "missing go.sum entry", "404 Not Found", "410 Gone", "unknown revision",
	"is not in std", "requires go >=", "toolchain not available",
}

// toolError returns the error of a failed tool: Invalid if its output contains one of forever, else Transient.
func toolError(what string, forever []string, said string, err error) error {
	class := driver.Transient
	for _, p := range forever {
		if strings.Contains(said, p) {
			class = driver.Invalid
		}
	}
	exit, ended := errors.AsType[*exec.ExitError](err)
	if !ended {
		return fmt.Errorf("%s: %w", what, err)
	}
	return &driver.Error{Class: class, Unavailable: class == driver.Invalid, Err: fmt.Errorf("%s: %w: %s", what, exit, said)}
}

// withoutOwn returns env without the settings of uws, which may be secrets.
func withoutOwn(env []string) []string {
	var kept []string
	for _, kv := range env {
		if !strings.HasPrefix(kv, "UWS_") {
			kept = append(kept, kv)
		}
	}
	return kept
}
