package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"strings"
	"syscall"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// readers is the number of connections for reading. There is one more for writing.
const readers = 4

// pragma is a setting of a connection, and SQLite's answer once it is in effect.
type pragma struct{ name, value, answer string }

// settings are the settings of one connection.
type settings struct {
	pragmas []pragma
	params  url.Values
}

var common = []pragma{
	{"journal_mode", "WAL", "wal"},
	{"busy_timeout", "5000", "5000"}, // milliseconds
	{"foreign_keys", "1", "1"},
	{"synchronous", "NORMAL", "1"},
}

// times makes SQLite store times as text in UTC, which sorts chronologically and which SQLite's own functions can
// parse. The driver's default is local time and includes the monotonic reading.
var times = url.Values{"_time_format": {"sqlite"}, "_timezone": {"UTC"}, "_error_rc": {"1"}}

var (
	// Transactions take the write lock at BEGIN. One that first reads and later writes would get SQLITE_BUSY despite
	// the timeout.
	writerSettings = settings{pragmas: common, params: with(times, "_txlock", "immediate")}
	// A reader's transaction must not take the write lock.
	readerSettings = settings{
		pragmas: append(common[:len(common):len(common)], pragma{"query_only", "1", "1"}),
		params:  with(times, "_txlock", "deferred"),
	}
)

func with(v url.Values, key, value string) url.Values {
	out := maps.Clone(v)
	out.Set(key, value)
	return out
}

// dsn returns the data source name of the database at path.
func (s settings) dsn(path string) string {
	q := maps.Clone(s.params)
	for _, p := range s.pragmas {
		q.Add("_pragma", p.name+"("+p.value+")")
	}
	return (&url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}).String()
}

// openPool opens a pool of at most size connections. The settings of each are checked before it is used.
func openPool(ctx context.Context, path string, s settings, size int) (*sql.DB, error) {
	base, err := sqlite.NewConnector(s.dsn(path))
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(checkedConnector{base, s.pragmas})
	db.SetMaxOpenConns(size)
	db.SetMaxIdleConns(size)
	if err := db.PingContext(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// checkedConnector refuses a connection whose pragmas have other values than requested. SQLite ignores a misspelt
// pragma, and keeps its journal mode if the file system does not support the new one.
type checkedConnector struct {
	driver.Connector
	pragmas []pragma
}

// Connect opens a connection and checks its pragmas.
func (c checkedConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range c.pragmas {
		got, err := ask(ctx, conn, "PRAGMA "+p.name)
		if err == nil && got != p.answer {
			err = fmt.Errorf("SQLite setting %s is %q, must be %q", p.name, got, p.answer)
		}
		if err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	return conn, nil
}

// ask returns the first column of the first row of a query as text. It is empty if there is no row.
func ask(ctx context.Context, conn driver.Conn, query string) (_ string, err error) {
	q, ok := conn.(driver.QueryerContext)
	if !ok {
		return "", fmt.Errorf("%T cannot query", conn)
	}
	rows, err := q.QueryContext(ctx, query, nil)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	row := make([]driver.Value, len(rows.Columns()))
	switch err := rows.Next(row); {
	case errors.Is(err, io.EOF):
		return "", nil
	case err != nil:
		return "", err
	}
	return strings.ToLower(fmt.Sprint(row[0])), nil
}

// DiskFull reports whether err means that the disk or the quota is full.
func DiskFull(err error) bool {
	return sqliteCode(err) == sqlite3.SQLITE_FULL || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// damaged reports whether err means that the file is not an intact database.
func damaged(err error) bool {
	if _, ok := errors.AsType[damageError](err); ok {
		return true
	}
	code := sqliteCode(err)
	return code == sqlite3.SQLITE_CORRUPT || code == sqlite3.SQLITE_NOTADB
}

// sqliteCode returns the primary result code in err's chain, or 0 if there is none.
func sqliteCode(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code() & 0xff
	}
	return 0
}

// explain adds what to do to errors whose text in SQLite is too short.
func explain(err error, dir string) error {
	if DiskFull(err) {
		return fmt.Errorf("the disk of the data folder %s is full; free some space on it and start uws again: %w", dir, err)
	}
	return err
}
