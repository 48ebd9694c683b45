// Command postgres is the entrypoint of our PostgreSQL image. It does what the official image's script does if a user,
// a password and a database are given: it creates the data once, and then executes the server.
//
// Unlike with that script, the data appears only when it is complete.
package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// uid and gid of the user postgres.
const postgres = 999

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "docker-entrypoint:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		args = append([]string{"postgres"}, args...)
	}
	if args[0] == "postgres" {
		data := os.Getenv("PGDATA")
		if !filepath.IsAbs(data) {
			return errors.New("PGDATA must be an absolute path")
		}
		if os.Getuid() == 0 {
			if err := becomePostgres(data); err != nil {
				return fmt.Errorf("becoming the user postgres: %w", err)
			}
		}
		if err := ensureData(ctx, data); err != nil {
			return fmt.Errorf("making the data in %s: %w", data, err)
		}
	}
	program, err := exec.LookPath(args[0])
	if err != nil {
		return err
	}
	return syscall.Exec(program, args, os.Environ())
}

// becomePostgres gives the user postgres the folders it needs and then drops root.
func becomePostgres(data string) error {
	parent := filepath.Dir(data)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	own := []string{parent, "/var/run/postgresql"}
	if _, err := os.Stat(data); err == nil {
		own = append(own, data)
	}
	for _, dir := range own {
		if err := os.Chown(dir, postgres, postgres); err != nil {
			return err
		}
	}
	return errors.Join(syscall.Setgroups(nil), syscall.Setgid(postgres), syscall.Setuid(postgres))
}

// ensureData creates the data if it does not exist.
func ensureData(ctx context.Context, data string) error {
	if v, err := os.Stat(filepath.Join(data, "PG_VERSION")); err == nil && v.Size() > 0 {
		return nil
	}
	if os.Getenv("POSTGRES_PASSWORD") == "" {
		return errors.New("POSTGRES_PASSWORD must be set")
	}
	fresh := data + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(data), 0o755); err != nil {
		return err
	}
	if err := initdb(ctx, fresh); err != nil {
		return err
	}
	if err := os.Remove(data); err != nil && !errors.Is(err, os.ErrNotExist) { // an empty folder
		return err
	}
	return os.Rename(fresh, data)
}

func initdb(ctx context.Context, data string) error {
	user := cmp.Or(os.Getenv("POSTGRES_USER"), "postgres")
	password, err := os.CreateTemp("", "password-")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(password.Name()) }()
	if _, err := password.WriteString(os.Getenv("POSTGRES_PASSWORD") + "\n"); err != nil {
		return err
	}
	if err := password.Close(); err != nil {
		return err
	}
	args := append([]string{"--pgdata", data, "--username", user, "--pwfile", password.Name()},
		strings.Fields(os.Getenv("POSTGRES_INITDB_ARGS"))...)
	if err := do(exec.CommandContext(ctx, "initdb", args...)); err != nil {
		return err
	}
	if database := cmp.Or(os.Getenv("POSTGRES_DB"), user); database != "postgres" {
		create := exec.CommandContext(ctx, "postgres", "--single", "-D", data, "postgres")
		create.Stdin = strings.NewReader(`CREATE DATABASE "` + strings.ReplaceAll(database, `"`, `""`) + "\"\n")
		if err := do(create); err != nil {
			return err
		}
	}
	return errors.Join(
		add(filepath.Join(data, "pg_hba.conf"), "host all all all "+cmp.Or(os.Getenv("POSTGRES_HOST_AUTH_METHOD"), "scram-sha-256")),
		add(filepath.Join(data, "postgresql.conf"), "listen_addresses = '*'"))
}

func do(cmd *exec.Cmd) error {
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", cmd.Args[0], err, said.Bytes())
	}
	return nil
}

func add(file, line string) error {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "\n%s\n", line)
	return errors.Join(err, f.Close())
}
