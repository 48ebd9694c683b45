package client

import (
	"context"

	"github.com/unicorn-web-services/uws/cmd/uws/client/api"
)

type moveCommand struct {
	serviceFlags `embed:""`
	Node         string `arg:"" help:"Name or id of the node to move it to."`
	Target       string `placeholder:"NAME" help:"Backup target that its data goes through. Default: that of its policy."`
	Confirm      bool   `help:"Do it. Without it the command says what would be done."`
	waitFlags    `embed:""`
}

// Help implements [kong.HelpProvider].
func (moveCommand) Help() string {
	return "The service is stopped while its data is copied. Its former data is retained.\n\nExample: uws move shop two --confirm --wait"
}

func (c moveCommand) Run(ctx context.Context, out *Terminal) error {
	s, row, err := c.found(ctx)
	if err != nil {
		return err
	}
	node, err := s.node(ctx, c.Node)
	if err != nil {
		return err
	}
	var target *string
	if c.Target != "" {
		t, err := s.target(ctx, c.Target)
		if err != nil {
			return err
		}
		target = &t.Id
	}
	got, err := api.MoveService(ctx, s.api(), row.Id, *node, target, c.Confirm)
	if err != nil {
		return explain(err)
	}
	for _, step := range got.MoveService.Steps {
		out.Printf("%s\n", step)
	}
	for _, warning := range got.MoveService.Warnings {
		out.Printf("Warning: %s\n", warning)
	}
	if got.MoveService.Restore == nil {
		out.Printf("Nothing was changed: --confirm does it.\n")
		return nil
	}
	return c.follow(ctx, out, s, s.restoring(got.MoveService.Restore.RestoreRow, "move", "complete: it is on node "+c.Node))
}
