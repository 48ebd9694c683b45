package store

import (
	"context"
	"database/sql"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"
)

// watched is a driver that passes every error to space.
type watched struct {
	*entsql.Driver
	space *space
}

// Exec implements [dialect.Driver].
func (w watched) Exec(ctx context.Context, query string, args, v any) error {
	return w.space.saw(w.Driver.Exec(ctx, query, args, v))
}

// Query implements [dialect.Driver].
func (w watched) Query(ctx context.Context, query string, args, v any) error {
	return w.space.query(ctx, w.Driver, query, args, v)
}

// Tx implements [dialect.Driver].
func (w watched) Tx(ctx context.Context) (dialect.Tx, error) { return w.BeginTx(ctx, nil) }

// BeginTx is called by ent for transactions with options.
func (w watched) BeginTx(ctx context.Context, opts *sql.TxOptions) (dialect.Tx, error) {
	tx, err := w.Driver.BeginTx(ctx, opts)
	if err != nil {
		return nil, w.space.saw(err)
	}
	return watchedTx{tx, w.space}, nil
}

type watchedTx struct {
	dialect.Tx
	space *space
}

// Exec implements [dialect.Driver].
func (t watchedTx) Exec(ctx context.Context, query string, args, v any) error {
	return t.space.saw(t.Tx.Exec(ctx, query, args, v))
}

// Query implements [dialect.Driver].
func (t watchedTx) Query(ctx context.Context, query string, args, v any) error {
	return t.space.query(ctx, t.Tx, query, args, v)
}

// Commit implements [dialect.Tx].
func (t watchedTx) Commit() error { return t.space.saw(t.Tx.Commit()) }

// query runs a query and passes the errors of its rows to space too: an INSERT … RETURNING fails only when its rows
// end.
func (s *space) query(ctx context.Context, on dialect.ExecQuerier, query string, args, v any) error {
	err := s.saw(on.Query(ctx, query, args, v))
	if rows, ok := v.(*entsql.Rows); ok && err == nil {
		rows.ColumnScanner = watchedRows{rows.ColumnScanner, s}
	}
	return err
}

type watchedRows struct {
	entsql.ColumnScanner
	space *space
}

// Err implements [entsql.ColumnScanner].
func (r watchedRows) Err() error { return r.space.saw(r.ColumnScanner.Err()) }

// Close implements [entsql.ColumnScanner].
func (r watchedRows) Close() error { return r.space.saw(r.ColumnScanner.Close()) }
