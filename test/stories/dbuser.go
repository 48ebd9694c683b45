package stories

import (
	"errors"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/unicorn-web-services/uws/test/uwstest"
)

// DatabaseUser tests what the user of a new PostgreSQL service can and cannot do, and that the service stays healthy when that
// user changes their password. The service must be healthy.
func DatabaseUser(t *testing.T, p *uwstest.Process, s *uwstest.Service) {
	t.Helper()
	ctx := t.Context()
	keys, err := p.Credentials(ctx, s.ID)
	if err != nil {
		t.Fatal(err)
	}
	if names := []string{"adminUser", "adminPassword"}; slices.ContainsFunc(names, func(n string) bool { return keys[n] != "" }) {
		t.Error("the administrator's credentials are revealed")
	}
	c, err := PostgresConnect(ctx, s.Endpoint, keys)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx)
	var owner string
	var super bool
	err = c.QueryRow(ctx, `SELECT pg_get_userbyid(datdba), (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
		FROM pg_database WHERE datname = current_database()`).Scan(&owner, &super)
	if err != nil || owner != keys["user"] || super {
		t.Errorf("the database is owned by %q, superuser %t, %v; want %q, false", owner, super, err, keys["user"])
	}
	for _, allowed := range []string{
		"CREATE EXTENSION pgcrypto", "CREATE SCHEMA app", "CREATE TABLE app.cats (says text)", "CREATE DATABASE other",
		"CREATE ROLE reader LOGIN", "GRANT CREATE, USAGE ON SCHEMA app TO reader", "GRANT SELECT ON app.cats TO reader", "ALTER TABLE app.cats OWNER TO reader", "SELECT * FROM app.cats",
		"ALTER ROLE uws PASSWORD 'chosen by the user'",
	} {
		if _, err := c.Exec(ctx, allowed); err != nil {
			t.Errorf("%s: %v", allowed, err)
		}
	}
	for _, refused := range []string{
		"COPY (SELECT 1) TO PROGRAM 'id'", "CREATE TABLE out (line text); COPY out FROM PROGRAM 'id'", "SELECT pg_read_file('/etc/passwd')",
		"ALTER ROLE uws SUPERUSER", "GRANT uws_admin TO uws", "SET ROLE uws_admin", "ALTER ROLE uws_admin PASSWORD 'x'",
		"DROP DATABASE uws_admin", "ALTER SYSTEM SET work_mem = '1GB'", "CREATE ROLE other SUPERUSER",
	} {
		_, err := c.Exec(ctx, refused)
		if pg, ok := errors.AsType[*pgconn.PgError](err); !ok || pg.Code != "42501" && pg.Code != "0A000" { // of ALTER SYSTEM, which is off
			t.Errorf("%s: %v; want a refusal", refused, err)
		}
	}
	var out struct {
		CheckServiceHealth struct {
			Verdict string
			Service struct{ Health string }
		}
	}
	err = p.Query(ctx, `mutation($id: ID!) { checkServiceHealth(id: $id) { verdict service { health } } }`, map[string]any{"id": s.ID}, &out)
	if got := out.CheckServiceHealth; err != nil || got.Verdict != "OK" || got.Service.Health != "HEALTHY" {
		t.Errorf("after the user changed the password: %+v, %v", got, err)
	}
}
