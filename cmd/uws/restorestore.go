package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/unicorn-web-services/uws/orchestrator/backup"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

type restoreStoreCommand struct {
	Kit           string `required:"" placeholder:"FILE" help:"File with the recovery kit of the target."`
	SecretKeyFile string `placeholder:"FILE" help:"File with the secret key of the target's S3. Default: UWS_S3_SECRET_KEY."`
	DataDir       string `placeholder:"DIR" default:"./data" env:"UWS_DATA_DIR" help:"Data folder to make. One with a store is refused."`
}

// Help implements [kong.HelpProvider].
func (restoreStoreCommand) Help() string {
	return "uws saves its own store in each backup target once a day: services, policies, users, tokens and history. The key, uws.key, is not in it: keep it apart.\n\n" +
		"Example: uws restore-store --kit disk.kit --data-dir /var/lib/uws"
}

// Run fetches the store.
func (c *restoreStoreCommand) Run(ctx context.Context, out *terminal) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	kit, err := os.ReadFile(c.Kit)
	if err != nil {
		return fmt.Errorf("reading the recovery kit: %w", err)
	}
	secret := []byte(os.Getenv("UWS_S3_SECRET_KEY"))
	if c.SecretKeyFile != "" {
		if secret, err = os.ReadFile(c.SecretKeyFile); err != nil {
			return fmt.Errorf("reading the secret key: %w", err)
		}
	}
	dir, err := filepath.Abs(c.DataDir)
	if err != nil {
		return fmt.Errorf("data folder %s: %w", c.DataDir, err)
	}
	at, err := backup.FetchStore(ctx, string(kit), driver.Secret(strings.TrimSpace(string(secret))), dir)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out.stdout, "%s has the store as of %s.\nPut its uws.key there too, or set UWS_KEY: the key is not in the target. Then start it once with\n\n  uws serve --data-dir %s --moved\n\n"+
		"Services whose data is lost are FAILED then; uws backup restore makes them again.\n", filepath.Join(dir, "uws.db"), at.Local().Format("2006-01-02 15:04:05"), dir)
	return err
}
