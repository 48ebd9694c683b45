package client

import (
	"context"

	"github.com/unicorn-web-services/uws/cmd/uws/client/api"
)

type swapCommand struct {
	serviceFlags `embed:""`
	With         string `arg:"" help:"Name or id of the service that its clients are to use."`
	Confirm      bool   `help:"Do it. Without it the command says what would be done."`
	waitFlags    `embed:""`
}

// Help implements [kong.HelpProvider].
func (swapCommand) Help() string {
	return "The first service is stopped and keeps its data. Repeating the command undoes it.\n\nExample: uws swap shop shop-restored --confirm --wait"
}

func (c swapCommand) Run(ctx context.Context, out *Terminal) error {
	s, a, err := c.found(ctx)
	if err != nil {
		return err
	}
	b, err := s.find(ctx, c.With)
	if err != nil {
		return err
	}
	got, err := api.SwapServices(ctx, s.api(), a.Id, b.Id, c.Confirm)
	if err != nil {
		return explain(err)
	}
	for _, step := range got.SwapServices.Steps {
		out.Printf("%s\n", step)
	}
	for _, warning := range got.SwapServices.Warnings {
		out.Printf("Warning: %s\n", warning)
	}
	if !got.SwapServices.Begun {
		out.Printf("Nothing was changed: --confirm does it.\n")
		return nil
	}
	return c.until(ctx, out, s, got.SwapServices.B.Row, state{"healthy", func(v *api.GetServiceService) bool {
		return healthy().is(v) && v.ObservedGeneration != nil && *v.ObservedGeneration == v.Generation // it listens on the ports
	}})
}
