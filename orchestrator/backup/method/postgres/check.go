package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/unicorn-web-services/uws/orchestrator/backup/method"
)

// checkPatience is how many times longer than otherwise a server may be silent while it reads a whole table.
const checkPatience = 60

// Check reads every page of a restored server, with checksums if the server has them, and checks every table and every
// btree index by amcheck. Tables of the contents must exist, and those that had rows must have some; the canary must be
// there. Where a database does not have the extension amcheck, Check installs it and removes it again. Numbers of rows are
// not compared: those of the contents are estimates.
func (m Method) Check(ctx context.Context, restored method.Instance, expected method.Saved) (method.Report, error) {
	began := time.Now()
	var details Details
	if err := json.Unmarshal(expected.Details, &details); err != nil {
		return method.Report{}, &method.DamagedError{What: "its details are not those of PostgreSQL", Err: err}
	}
	c := &check{Method: m, of: restored, counts: map[string]int64{}}
	err := errors.Join(c.pages(ctx), c.databases(ctx, expected.Contents), c.canary(ctx, details.Canary))
	for _, what := range []string{"bytes read with checksums", "bytes read", "databases", "tables", "indexes", "tables of the list", "tables with rows", "canary"} {
		if n, ok := c.counts[what]; ok {
			c.report.Add(what, n)
		}
	}
	c.report.Duration = time.Since(began)
	return c.report, err
}

// check is one check of a restored server.
type check struct {
	Method
	of     method.Instance
	report method.Report
	counts map[string]int64
}

// pages reads everything as a base backup, for which the server verifies the checksums of pages.
func (c *check) pages(ctx context.Context) error {
	s, err := c.sql(ctx, c.of)
	if err != nil {
		return err
	}
	row, err := s.row(ctx, 2, `SELECT current_setting('data_checksums'), current_setting('server_version_num')::int / 10000`)
	s.close()
	if err != nil {
		return err
	}
	major, err := strconv.Atoi(row[1])
	if err != nil {
		return err
	}
	if s, err = c.connect(ctx, c.of, "", nil); err != nil {
		return err
	}
	defer s.close()
	st, _, err := s.open(ctx, major, c.silence())
	if err != nil {
		return fmt.Errorf("reading all pages: %w", err)
	}
	what := "bytes read"
	if row[0] == "on" {
		what += " with checksums"
	}
	c.counts[what], err = io.Copy(io.Discard, st)
	if err == nil {
		err = st.next()
	}
	if err == nil {
		_, err = st.finish()
	}
	return c.failed("reading all pages", err)
}

// failed records an error of the server as a failure, and returns every other one.
func (c *check) failed(what string, err error) error {
	if err == nil {
		return nil
	}
	if said, ok := errors.AsType[*pgconn.PgError](err); ok && said.Code != "57P01" && said.Code != "57P02" && said.Code != "57014" {
		c.report.Fail(fmt.Sprintf("%s: %s (%s)", what, said.Message, said.Code))
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

func (c *check) databases(ctx context.Context, expected method.Contents) error {
	s, err := c.sql(ctx, c.of)
	if err != nil {
		return err
	}
	names, err := s.rows(ctx, `SELECT datname FROM pg_catalog.pg_database WHERE datallowconn AND datconnlimit <> -2 ORDER BY 1`)
	s.close()
	if err != nil {
		return err
	}
	groups := map[string]method.Group{}
	for _, group := range expected.Groups {
		if group.Kind == method.Database {
			groups[group.Name] = group
		}
	}
	for _, row := range names {
		if err := c.database(ctx, row[0], groups[row[0]]); err != nil {
			return fmt.Errorf("database %s: %w", row[0], err)
		}
		delete(groups, row[0])
		c.counts["databases"]++
	}
	for name := range groups {
		c.report.Fail(fmt.Sprintf("database %s is missing", name))
	}
	return nil
}

// relation is a table or an index.
type relation struct{ oid, name, quoted string }

func (c *check) database(ctx context.Context, name string, expected method.Group) error {
	s, err := c.connect(ctx, c.of, name, map[string]string{"default_transaction_read_only": "off", "search_path": "pg_catalog"})
	if err != nil {
		return err
	}
	defer s.close()
	s.raw.SetPatience(checkPatience * c.silence())
	remove, err := s.amcheck(ctx)
	if err != nil {
		return err
	}
	tables, indexes, err := s.relations(ctx)
	if err != nil {
		return err
	}
	for what, relations := range map[string][]relation{"tables": tables, "indexes": indexes} {
		for _, r := range relations {
			if err := c.relation(ctx, s, name, what, r); err != nil {
				return err
			}
			c.counts[what]++
		}
	}
	if remove {
		if _, err := s.rows(ctx, `DROP EXTENSION amcheck`); err != nil {
			return err
		}
	}
	return c.listed(ctx, s, name, tables, expected)
}

// amcheck makes sure that the database has the extension, and reports whether it is to be removed.
func (s *session) amcheck(ctx context.Context) (remove bool, err error) {
	rows, err := s.rows(ctx, `SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'amcheck'`)
	if err != nil {
		return false, err
	}
	if len(rows) == 0 {
		_, err := s.rows(ctx, `CREATE EXTENSION amcheck SCHEMA pg_catalog`)
		return true, err
	}
	_, err = s.rows(ctx, `ALTER EXTENSION amcheck UPDATE; SET search_path = pg_catalog, `+quoteName(rows[0][0]))
	return false, err
}

// relations returns the tables, and the btree indexes, that can be checked.
func (s *session) relations(ctx context.Context) (tables, indexes []relation, err error) {
	rows, err := s.rows(ctx, `SELECT c.oid, n.nspname || '.' || c.relname, format('%I.%I', n.nspname, c.relname), c.relkind
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_am a ON a.oid = c.relam LEFT JOIN pg_index i ON i.indexrelid = c.oid
		WHERE c.relpersistence <> 't' AND (c.relkind IN ('r', 'm', 't') AND a.amname = 'heap'
			OR c.relkind = 'i' AND a.amname = 'btree' AND i.indisvalid AND i.indisready)`)
	if err != nil {
		return nil, nil, err
	}
	for _, row := range rows {
		if len(row) != 4 {
			return nil, nil, errors.New("the server answered with another number of columns")
		}
		if r := (relation{row[0], row[1], row[2]}); row[3] == "i" {
			indexes = append(indexes, r)
		} else {
			tables = append(tables, r)
		}
	}
	return tables, indexes, nil
}

// relation checks a table or an index.
func (c *check) relation(ctx context.Context, s *session, database, what string, r relation) error {
	query := `SELECT bt_index_check(` + r.oid + `::regclass, true)`
	if what == "tables" {
		query = `SELECT 'block ' || blkno || ': ' || msg FROM verify_heapam(` + r.oid + `::regclass, on_error_stop := true, check_toast := true)`
	}
	found, err := s.rows(ctx, query)
	name := fmt.Sprintf("database %s: %s", database, r.name)
	if isCode(err, "42P01", "42704") { // dropped meanwhile
		return nil
	}
	if err != nil || what != "tables" {
		return c.failed(name, err)
	}
	for _, row := range found {
		c.report.Fail(name + ": " + row[0])
	}
	return nil
}

// listed compares the tables with those of the contents.
func (c *check) listed(ctx context.Context, s *session, database string, tables []relation, expected method.Group) error {
	quoted := map[string]string{}
	for _, r := range tables {
		quoted[r.name] = r.quoted
	}
	for _, item := range expected.Items {
		name, ok := quoted[item.Name]
		c.counts["tables of the list"]++
		if !ok {
			c.report.Fail(fmt.Sprintf("database %s: table %s is missing", database, item.Name))
			continue
		}
		if !item.Filled {
			continue
		}
		c.counts["tables with rows"]++
		rows, err := s.rows(ctx, `SELECT FROM ONLY `+name+` LIMIT 1`)
		if err := c.failed(fmt.Sprintf("database %s: table %s", database, item.Name), err); err != nil {
			return err
		}
		if err == nil && len(rows) == 0 {
			c.report.Fail(fmt.Sprintf("database %s: table %s is empty, and had about %d rows", database, item.Name, item.Rows))
		}
	}
	return nil
}

func (c *check) canary(ctx context.Context, expected *Canary) error {
	if expected == nil {
		return nil
	}
	s, err := c.sql(ctx, c.of)
	if err != nil {
		return err
	}
	defer s.close()
	rows, err := s.rows(ctx, `SELECT FROM public.uws_canary WHERE id = `+quoteText(expected.ID))
	if err := c.failed("canary", err); err != nil {
		return err
	}
	c.counts["canary"] = int64(len(rows))
	if err == nil && len(rows) == 0 {
		c.report.Fail("the row that was written at " + expected.At.Format(time.RFC3339) + ", during the backup, is missing")
	}
	return nil
}
