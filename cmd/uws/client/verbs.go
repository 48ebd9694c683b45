package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/unicorn-web-services/uws/cmd/uws/client/api"
)

// pollInterval is how often a service is looked at that is waited for.
const pollInterval = 500 * time.Millisecond

// waitFlags choose whether a command waits for its effect.
type waitFlags struct {
	Wait    bool          `short:"w" help:"Wait until it has happened."`
	Timeout time.Duration `default:"${wait}" help:"How long to wait at most; the exit code is 5 then. Default: ${default}."`
}

// state is what a service is waited for to be.
type state struct {
	name string
	is   func(*api.GetServiceService) bool
}

var errGone = errors.New("the service was removed")

// until waits, if asked to, until a service is in a state, and says what it is doing meanwhile.
func (f waitFlags) until(ctx context.Context, out *Terminal, s *server, row api.Row, want state) error {
	if !f.Wait {
		out.Printf("%s is %s. --wait waits until it is %s.\n", row.Name, strings.ToLower(string(row.Phase)), want.name)
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, f.Timeout, &Error{exitTimeout, fmt.Sprintf("%s is not %s after %s; `uws get %s` says why", row.Name, want.name, f.Timeout, row.Name)})
	defer cancel()
	last := ""
	for {
		got, err := api.GetService(ctx, s.api(), row.Id)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return explain(err)
		case got.Service == nil:
			return errGone
		case want.is(got.Service):
			out.Printf("%s is %s: %s\n", row.Name, want.name, got.Service.Reason)
			return nil
		}
		if doing := doing(got.Service); doing != last {
			last = doing
			fmt.Fprintln(out.Err, doing)
		}
		if v := got.Service; v.Phase == api.ServicePhaseFailed {
			return fmt.Errorf("%s failed: %s", row.Name, v.Reason)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pollInterval):
		}
	}
}

func doing(v *api.GetServiceService) string {
	if p := v.Progress; p != nil && p.Step != "" {
		if p.Percent != nil {
			return fmt.Sprintf("%s, %.0f %%", p.Step, *p.Percent)
		}
		return p.Step
	}
	return fmt.Sprintf("%s, %s: %s", v.Phase, v.Health, v.Reason)
}

func healthy() state {
	return state{"healthy", func(v *api.GetServiceService) bool {
		return v.Phase == api.ServicePhaseRunning && v.Health == api.ServiceHealthHealthy
	}}
}

type launchCommand struct {
	Connection
	Kind      string   `arg:"" help:"BUCKET, DB, NOSQL, QUEUE or SECRETS."`
	Name      string   `arg:"" help:"Its name: a-z, 0-9 and '-', beginning with a letter."`
	Template  string   `placeholder:"NAME" help:"Template. Default: that of the kind."`
	Memory    int      `placeholder:"MIB" help:"Memory limit in MiB."`
	Cpus      float64  `placeholder:"CORES" help:"Processor limit in cores."`
	Label     []string `short:"l" placeholder:"NAME[=VALUE]" help:"Label of the service."`
	waitFlags `embed:""`
}

// Help implements [kong.HelpProvider].
func (launchCommand) Help() string {
	return "Repeating it with the same input has no further effect.\n\nExample: uws launch DB shop --wait"
}

func (c launchCommand) Run(ctx context.Context, out *Terminal) error {
	s, err := c.open()
	if err != nil {
		return err
	}
	in := api.LaunchServiceInput{Kind: api.ServiceKind(strings.ToUpper(c.Kind)), Name: c.Name}
	if c.Template != "" {
		in.Template = &c.Template
	}
	if c.Memory != 0 || c.Cpus != 0 {
		in.Limits = &api.LimitsInput{}
		if c.Memory != 0 {
			in.Limits.MemoryMiB = &c.Memory
		}
		if c.Cpus != 0 {
			in.Limits.Cpus = &c.Cpus
		}
	}
	for _, label := range c.Label {
		name, value, _ := strings.Cut(label, "=")
		in.Labels = append(in.Labels, api.LabelInput{Name: name, Value: value})
	}
	got, err := api.LaunchService(ctx, s.api(), in)
	if err != nil {
		return explain(err)
	}
	return c.until(ctx, out, s, got.LaunchService.Row, healthy())
}

// serviceFlags name the service of a command.
type serviceFlags struct {
	Connection
	Service string `arg:"" help:"Name or id of the service."`
}

// found opens the server and finds the service.
func (f serviceFlags) found(ctx context.Context) (*server, api.Row, error) {
	s, err := f.open()
	if err != nil {
		return nil, api.Row{}, err
	}
	row, err := s.find(ctx, f.Service)
	return s, row, err
}

type startCommand struct {
	serviceFlags `embed:""`
	waitFlags    `embed:""`
}

func (c startCommand) Run(ctx context.Context, out *Terminal) error {
	s, row, err := c.found(ctx)
	if err != nil {
		return err
	}
	got, err := api.StartService(ctx, s.api(), row.Id)
	if err != nil {
		return explain(err)
	}
	return c.until(ctx, out, s, got.StartService.Row, healthy())
}

type stopCommand struct {
	serviceFlags `embed:""`
	waitFlags    `embed:""`
}

func (c stopCommand) Run(ctx context.Context, out *Terminal) error {
	s, row, err := c.found(ctx)
	if err != nil {
		return err
	}
	got, err := api.StopService(ctx, s.api(), row.Id)
	if err != nil {
		return explain(err)
	}
	stopped := state{"stopped", func(v *api.GetServiceService) bool { return v.Phase == api.ServicePhaseStopped }}
	return c.until(ctx, out, s, got.StopService.Row, stopped)
}

type restartCommand struct {
	serviceFlags `embed:""`
	waitFlags    `embed:""`
}

func (c restartCommand) Run(ctx context.Context, out *Terminal) error {
	s, row, err := c.found(ctx)
	if err != nil {
		return err
	}
	got, err := api.RestartService(ctx, s.api(), row.Id)
	if err != nil {
		return explain(err)
	}
	return c.until(ctx, out, s, got.RestartService.Row, healthy())
}

type checkCommand struct {
	serviceFlags `embed:""`
}

func (c checkCommand) Run(ctx context.Context, out *Terminal) error {
	s, row, err := c.found(ctx)
	if err != nil {
		return err
	}
	got, err := api.CheckService(ctx, s.api(), row.Id)
	if err != nil {
		return explain(err)
	}
	out.Printf("%s: %s\n", got.CheckServiceHealth.Verdict, got.CheckServiceHealth.Detail)
	if got.CheckServiceHealth.Verdict != api.ProbeVerdictOk {
		return fmt.Errorf("%s did not pass its check", row.Name)
	}
	return nil
}

type rmCommand struct {
	serviceFlags `embed:""`
	DeleteData   string `placeholder:"NAME" help:"Delete the data too. It must be the name of the service: this cannot be undone."`
	waitFlags    `embed:""`
}

// Help implements [kong.HelpProvider].
func (rmCommand) Help() string {
	return "The data is retained unless --delete-data repeats the name.\n\nExample: uws rm orders --delete-data orders"
}

func (c rmCommand) Run(ctx context.Context, out *Terminal) error {
	s, row, err := c.found(ctx)
	if err != nil {
		return err
	}
	policy, kept := api.DataPolicyRetain, "its data is retained"
	switch c.DeleteData {
	case "":
	case row.Name:
		policy, kept = api.DataPolicyDelete, "its data is deleted"
	default:
		return fmt.Errorf("--delete-data is %q, and the service is %q: repeat its name to delete its data", c.DeleteData, row.Name)
	}
	if _, err := api.RemoveService(ctx, s.api(), row.Id, &policy); err != nil {
		return explain(err)
	}
	if !c.Wait {
		out.Printf("%s is being removed; %s.\n", row.Name, kept)
		return nil
	}
	err = c.until(ctx, out, s, row, state{"removed", func(*api.GetServiceService) bool { return false }})
	if errors.Is(err, errGone) {
		out.Printf("%s is removed; %s.\n", row.Name, kept)
		return nil
	}
	return err
}
