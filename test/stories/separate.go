package stories

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/unicorn-web-services/uws/test/uwstest"
)

// Separation is the answer of separateAdmin.
type Separation struct {
	Begun                  bool
	StopsWorking, Blockers []string
}

// SeparateAdmin calls separateAdmin: with confirm the separation begins, without it the answer says what would happen.
func SeparateAdmin(ctx context.Context, p *uwstest.Process, id string, confirm bool) (Separation, error) {
	var out struct{ SeparateAdmin Separation }
	err := p.Query(ctx, `mutation($id: ID!, $confirm: Boolean!) { separateAdmin(id: $id, confirm: $confirm) { begun stopsWorking blockers } }`,
		map[string]any{"id": id, "confirm": confirm}, &out)
	return out.SeparateAdmin, err
}

// FurnishDatabase creates objects of many kinds in two databases as the user of an older service, which is a superuser.
func FurnishDatabase(t *testing.T, s *uwstest.Service, keys map[string]string) {
	t.Helper()
	execAll(t, s, keys, "postgres", "CREATE DATABASE annex", "CREATE ROLE clerk LOGIN", "CREATE EXTENSION hstore", "ALTER ROLE uws SET statement_timeout = '1h'",
		"CREATE SCHEMA shop", "CREATE TABLE shop.orders (id serial PRIMARY KEY, item text)", "INSERT INTO shop.orders (item) VALUES ('lamp')",
		"CREATE VIEW shop.items AS SELECT item FROM shop.orders", "CREATE MATERIALIZED VIEW shop.seen AS SELECT 1 AS one", "CREATE SEQUENCE shop.tickets",
		"CREATE TYPE shop.mood AS ENUM ('good')", "CREATE DOMAIN shop.short AS text CHECK (length(VALUE) < 9)", "CREATE TYPE shop.pair AS (a int, b int)",
		"CREATE TYPE shop.span AS RANGE (subtype = int)", "CREATE FUNCTION shop.two() RETURNS int LANGUAGE sql AS 'SELECT 2'", "CREATE PROCEDURE shop.nothing() LANGUAGE sql AS ''",
		"CREATE AGGREGATE shop.total(int) (sfunc = int4pl, stype = int)", "CREATE OPERATOR shop.@@@ (function = int4pl, leftarg = int, rightarg = int)",
		`CREATE COLLATION shop.plain FROM "C"`, "CREATE TEXT SEARCH CONFIGURATION shop.words (COPY = pg_catalog.english)", "CREATE PUBLICATION news FOR TABLE shop.orders",
		"CREATE STATISTICS shop.hints ON id, item FROM shop.orders", "CREATE TABLE shop.parts (id int) PARTITION BY RANGE (id)",
		"CREATE TABLE shop.part PARTITION OF shop.parts FOR VALUES FROM (0) TO (9)", "SELECT lo_create(0)")
	execAll(t, s, keys, "annex", "CREATE TABLE books (title text)", "INSERT INTO books VALUES ('one')")
}

// WantHandedOver fails unless the user owns everything that FurnishDatabase created.
func WantHandedOver(t *testing.T, s *uwstest.Service, keys map[string]string) {
	t.Helper()
	for _, database := range []string{"postgres", "annex"} {
		c := databaseOf(t, s, keys, database)
		var left string
		err := c.QueryRow(t.Context(), `SELECT coalesce(string_agg(pg_describe_object(d.classid, d.objid, d.objsubid), '; '), '') FROM (
			SELECT 'pg_class'::regclass AS classid, oid AS objid, 0 AS objsubid FROM pg_class WHERE relowner = 10
			UNION ALL SELECT 'pg_type'::regclass, oid, 0 FROM pg_type WHERE typowner = 10 UNION ALL SELECT 'pg_proc'::regclass, oid, 0 FROM pg_proc WHERE proowner = 10
			UNION ALL SELECT 'pg_namespace'::regclass, oid, 0 FROM pg_namespace WHERE nspowner = 10 AND nspname !~ '^pg_' UNION ALL SELECT 'pg_operator'::regclass, oid, 0 FROM pg_operator WHERE oprowner = 10
			UNION ALL SELECT 'pg_collation'::regclass, oid, 0 FROM pg_collation WHERE collowner = 10 UNION ALL SELECT 'pg_ts_config'::regclass, oid, 0 FROM pg_ts_config WHERE cfgowner = 10
			UNION ALL SELECT 'pg_publication'::regclass, oid, 0 FROM pg_publication WHERE pubowner = 10 UNION ALL SELECT 'pg_statistic_ext'::regclass, oid, 0 FROM pg_statistic_ext WHERE stxowner = 10
			UNION ALL SELECT 'pg_largeobject'::regclass, oid, 0 FROM pg_largeobject_metadata WHERE lomowner = 10) d
			WHERE d.objid >= 16384 AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = d.classid AND e.objid = d.objid AND e.deptype = 'e')
			AND pg_describe_object(d.classid, d.objid, d.objsubid) !~ 'hstore|pg_toast'`).Scan(&left)
		if err != nil || left != "" {
			t.Errorf("in %s uws_admin owns %s (%v)", database, left, err)
		}
	}
	execAll(t, s, keys, "postgres", "INSERT INTO shop.orders (item) VALUES ('hat')", "ALTER TABLE shop.orders ADD COLUMN price int", "DROP SCHEMA shop CASCADE",
		"SELECT 1 / (current_setting('statement_timeout') = '1h')::int", "ALTER ROLE clerk PASSWORD 'x'")
	execAll(t, s, keys, "annex", "DROP TABLE books")
}

func databaseOf(t *testing.T, s *uwstest.Service, keys map[string]string, database string) *pgx.Conn {
	t.Helper()
	c, err := PostgresConnect(t.Context(), s.Endpoint, map[string]string{"user": keys["user"], "password": keys["password"], "database": database})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.WithoutCancel(t.Context())) }) // the server may have closed it
	return c
}

func execAll(t *testing.T, s *uwstest.Service, keys map[string]string, database string, statements ...string) {
	t.Helper()
	c := databaseOf(t, s, keys, database)
	for _, sql := range statements {
		if _, err := c.Exec(t.Context(), sql); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
}
