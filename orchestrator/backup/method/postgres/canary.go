package postgres

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/jackc/pglogrepl"

	"github.com/unicorn-web-services/uws/orchestrator/backup/method"
)

// Canary is a row in uws's own database. A backup that ends after LSN has it.
type Canary struct {
	ID  string    `json:"id"`
	At  time.Time `json:"at"` // by the server's clock
	LSN string    `json:"lsn"`
}

// lsn returns where the row is in the log for certain.
func (c *Canary) lsn() pglogrepl.LSN {
	lsn, err := pglogrepl.ParseLSN(c.LSN)
	if err != nil {
		return ^pglogrepl.LSN(0)
	}
	return lsn
}

// timeFormat is for times in results, which are in UTC.
const timeFormat = "2006-01-02T15:04:05.999999Z"

func timeColumn(expression string) string {
	return `to_char(` + expression + ` AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`
}

// Canary writes a row to the table uws_canary of uws's own database, which no user can read. It returns nil for a server
// whose superuser is its user: nothing there is uws's own.
func (m Method) Canary(ctx context.Context, in method.Instance) (*Canary, error) {
	if !hasAdmin(in) {
		return nil, nil
	}
	_, _, database := login(in)
	s, err := m.connect(ctx, in, database, map[string]string{"lock_timeout": "10s", "statement_timeout": "30s", "synchronous_commit": "local"})
	if err != nil {
		return nil, fmt.Errorf("canary: %w", err)
	}
	defer s.close()
	id := rand.Text()
	row, err := s.row(ctx, 1, `CREATE TABLE IF NOT EXISTS public.uws_canary (id text PRIMARY KEY, at timestamptz NOT NULL DEFAULT clock_timestamp());
		DELETE FROM public.uws_canary WHERE at < clock_timestamp() - interval '1 day';
		INSERT INTO public.uws_canary (id) VALUES (`+quoteText(id)+`) RETURNING `+timeColumn("at"))
	if err != nil {
		return nil, fmt.Errorf("writing a canary: %w", err)
	}
	at, err := time.Parse(timeFormat, row[0])
	if err != nil {
		return nil, fmt.Errorf("writing a canary: %w", err)
	}
	if row, err = s.row(ctx, 1, `SELECT pg_catalog.pg_current_wal_insert_lsn()`); err != nil { // after the commit
		return nil, fmt.Errorf("writing a canary: %w", err)
	}
	return &Canary{ID: id, At: at, LSN: row[0]}, nil
}
