package main

import (
	"context"
	"fmt"
	"os"

	"github.com/unicorn-web-services/uws/orchestrator/store"
)

type keyCommand struct {
	Rotate keyRotateCommand `cmd:"" help:"Create a new key and seal everything with it. Stop uws serve first; services keep running."`
}

type keyRotateCommand struct {
	dataFlag `embed:""`
}

// Run replaces the key.
func (c *keyRotateCommand) Run(ctx context.Context, out *terminal) error {
	dir, err := c.find()
	if err != nil {
		return err
	}
	n, err := store.RotateKey(ctx, store.Options{Dir: dir, Key: os.Getenv(keyVariable)})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out.stdout, "The store has a new key, and %d values are sealed with it. The old key can no longer open the store.\n"+
		"Keep it with the backups that were made before: they need it. Make a new backup, of uws.key too.\n", n)
	return err
}
