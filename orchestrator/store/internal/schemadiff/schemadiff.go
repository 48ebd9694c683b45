// Package schemadiff compares ent's schema with the schema that the migrations create.
package schemadiff

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"text/template"

	atlas "ariga.io/atlas/sql/migrate"
	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"
	"entgo.io/ent/dialect/sql/schema"
	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // registers the driver "sqlite"

	"github.com/unicorn-web-services/uws/ent/migrate"
)

const format = `-- +goose Up
{{ range .Changes }}{{ with .Comment }}-- {{ println . }}{{ end }}{{ printf "%s;\n" .Cmd }}{{ end }}`

// SQLite returns the missing migration in goose's format. It is empty if the migrations in files create the schema that
// ent expects. A table that is not in ent's schema is an error: write the migration that drops it by hand.
func SQLite(ctx context.Context, files fs.FS) (_ string, err error) {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1) // each connection would have a separate in-memory database

	provider, err := goose.NewProvider(goose.DialectSQLite3, db, files)
	if err != nil && !errors.Is(err, goose.ErrNoMigrations) {
		return "", fmt.Errorf("read the migrations: %w", err)
	}
	if err == nil {
		if _, err := provider.Up(ctx); err != nil {
			return "", fmt.Errorf("apply the migrations: %w", err)
		}
	}
	if err := unknownTables(ctx, db); err != nil {
		return "", err
	}
	return diff(ctx, db)
}

// diff returns ent's plan to bring db to its schema. It does not write to db.
func diff(ctx context.Context, db *sql.DB) (string, error) {
	formatter, err := atlas.NewTemplateFormatter(
		template.Must(template.New("name").Parse("plan.sql")),
		template.Must(template.New("plan").Parse(format)))
	if err != nil {
		return "", err
	}
	dir := &atlas.MemDir{}
	// Ent does not plan with foreign keys off.
	if _, err := db.ExecContext(ctx, "PRAGMA foreign_keys = 1"); err != nil {
		return "", err
	}
	planner, err := schema.NewMigrate(entsql.OpenDB(dialect.SQLite, db),
		schema.WithDir(dir), schema.WithFormatter(formatter),
		schema.WithDropColumn(true), schema.WithDropIndex(true), schema.WithErrNoPlan(true))
	if err != nil {
		return "", err
	}
	switch err := planner.NamedDiff(ctx, "plan", migrate.Tables...); {
	case errors.Is(err, atlas.ErrNoPlan):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("compare with ent's schema: %w", err)
	}
	plan, err := fs.ReadFile(dir, "plan.sql")
	if err != nil {
		return "", err
	}
	return string(bytes.TrimSpace(plan)) + "\n", nil
}

// unknownTables returns an error if the migrations create tables that are not in ent's schema. Ent's own comparison
// ignores them.
func unknownTables(ctx context.Context, db *sql.DB) (err error) {
	known := []string{"goose_db_version"}
	for _, t := range migrate.Tables {
		known = append(known, t.Name)
	}
	rows, err := db.QueryContext(ctx, `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return err
		}
		if !slices.Contains(known, name) {
			return fmt.Errorf("the migrations make table %s, which ent's schema lacks: write a migration that drops it", name)
		}
	}
	return rows.Err()
}
