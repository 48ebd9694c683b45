package main

import (
	"context"
	"fmt"
	"io"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/process/programs"
)

type enginesCommand struct {
	Into string `required:"" placeholder:"DIR" help:"Folder for the engines. Pass it to uws serve with --engines."`
}

func (c enginesCommand) Run(ctx context.Context, out *terminal) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal kills the process
	into, err := filepath.Abs(c.Into)
	if err != nil {
		return fmt.Errorf("--into %s: %w", c.Into, err)
	}
	steps := &steps{out: out.stderr}
	if err := programs.FetchAll(ctx, into, steps.report); err != nil {
		return fmt.Errorf("fetching engines: %w", err)
	}
	_, err = fmt.Fprintf(out.stdout, "All engines are in %s\n", into)
	return err
}

// steps prints a line when a step begins and for every 10 %.
type steps struct {
	out io.Writer

	mu   sync.Mutex
	last string
}

func (s *steps) report(engine string, p driver.Progress) {
	line := fmt.Sprintf("%s: %s", engine, p.Step)
	if p.Percent >= 0 {
		line += fmt.Sprintf(", %d %%", int(p.Percent)/10*10)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if line != s.last {
		s.last = line
		fmt.Fprintln(s.out, line)
	}
}
