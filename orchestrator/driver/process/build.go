package process

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
	err = b.goRun(ctx, module, func(line string) {
		if what, ok := strings.CutPrefix(line, "go: downloading "); ok {
			b.report(driver.Progress{Step: "downloading the source of " + name + ": " + what, Percent: -1})
			return
		}
		packages++
	}, "list", "-mod=readonly", "-deps", b.engine.Package)
	if err != nil {
		return err
	}
	// Compiling is nearly all of the work, and `go build -v` prints each package that it compiles; those that
	// Go has in its cache are not printed, so that the end can come early.
	done := 0
	step := func() {
		b.report(driver.Progress{Step: "building " + name, Percent: min(99, 100*float64(done)/float64(max(1, packages)))})
	}
	step()
	return b.goRun(ctx, module, func(string) { done++; step() },
		"build", "-mod=readonly", "-v", "-trimpath", "-buildvcs=false", "-ldflags", strings.TrimSpace("-s -w "+b.engine.LDFlags), "-o", out, b.engine.Package)
}

// goRun runs the go command and passes each line it prints.
func (b build) goRun(ctx context.Context, dir string, line func(string), args ...string) error {
	cmd := exec.CommandContext(ctx, b.goTool, args...)
	cmd.Dir = dir
	cmd.Env = append(withoutOwn(os.Environ()), "CGO_ENABLED=0", "GOWORK=off", "GO111MODULE=on", "GOFLAGS=")
	// Compilers are the go command's children: all of its group must end with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // not reaped yet: the pid is its own
	cmd.WaitDelay = 5 * time.Second
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	var tail bytes.Buffer // what it said last, for the error
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
		_, _ = io.Copy(io.Discard, r) // a line too long to scan must not block the writer
	}()
	err := cmd.Run()
	_ = w.Close() // never fails
	<-read
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return goError(args[0], tail.String(), err)
	}
	return nil
}

// permanent are what the go command says when another try would end the same.
var permanent = []string{
	"checksum mismatch", "SECURITY ERROR", "missing go.sum entry", "404 Not Found", "410 Gone", "unknown revision",
	"is not in std", "requires go >=", "toolchain not available",
}

func goError(verb, said string, err error) error {
	class := driver.Transient
	for _, p := range permanent {
		if strings.Contains(said, p) {
			class = driver.Invalid
		}
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return driver.Errorf(class, "go %s: %w: %s", verb, exit, strings.TrimSpace(said))
	}
	return fmt.Errorf("go %s: %w", verb, err)
}

// withoutOwn leaves out our own settings, which may hold secrets.
func withoutOwn(env []string) []string {
	var kept []string
	for _, kv := range env {
		if !strings.HasPrefix(kv, "UWS_") {
			kept = append(kept, kv)
		}
	}
	return kept
}
