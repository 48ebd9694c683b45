// Command postgres begins our image of PostgreSQL, and does what the official image's script does for those who give it
// a user, a password and a database: it makes the data once, and becomes the server.
//
// Other than there, the data appears when it is complete, or not at all.
package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// postgres' uid and gid.
const postgres = 999

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "docker-entrypoint:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
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
		if err := ensureData(data); err != nil {
			return fmt.Errorf("making the data in %s: %w", data, err)
		}
	}
	program, err := exec.LookPath(args[0])
	if err != nil {
		return err
	}
	return syscall.Exec(program, args, os.Environ())
}

// becomePostgres gives up root, after giving postgres the folders it needs.
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

// ensureData makes the data, unless it is there.
func ensureData(data string) error {
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
	if err := initdb(fresh); err != nil {
		return err
	}
	if err := os.Remove(data); err != nil && !errors.Is(err, os.ErrNotExist) { // one that is empty
		return err
	}
	return os.Rename(fresh, data)
}

func initdb(data string) error {
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
	if err := do(exec.Command("initdb", args...)); err != nil {
		return err
	}
	if database := cmp.Or(os.Getenv("POSTGRES_DB"), user); database != "postgres" {
		create := exec.Command("postgres", "--single", "-D", data, "postgres")
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
