// Command newmigration writes the migration that brings the store to ent's schema:
//
//	go run ./orchestrator/store/internal/newmigration NAME
//
// It runs in the repository's root, after `make generate`.
package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"github.com/unicorn-web-services/uws/orchestrator/store/internal/schemadiff"
)

const folder = "orchestrator/store/migrations/sqlite"

func main() { os.Exit(run()) }

func run() int {
	if err := write(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "newmigration:", err)
		return 1
	}
	return 0
}

func write(ctx context.Context, args []string) error {
	if len(args) != 1 || !regexp.MustCompile(`^[a-z][a-z0-9_]*$`).MatchString(args[0]) {
		return errors.New("give one name of lower-case letters, digits and underscores, such as add_backups")
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	files := os.DirFS(folder)
	plan, err := schemadiff.SQLite(ctx, files)
	if err != nil {
		return err
	}
	if plan == "" {
		fmt.Println("The migrations make what ent's schema says: nothing to do.")
		return nil
	}
	existing, err := fs.Glob(files, "*.sql")
	if err != nil {
		return err
	}
	path := filepath.Join(folder, fmt.Sprintf("%04d_%s.sql", len(existing)+1, args[0]))
	if err := os.WriteFile(path, []byte(plan), 0o644); err != nil {
		return err
	}
	fmt.Printf("Wrote %s: review it, in particular where it recreates a table.\n", path)
	return nil
}
