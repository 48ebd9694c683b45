// Package postgres saves PostgreSQL 14 to 18 by its replication protocol: base backups, and its log for a restore to a
// point in time. No program of the engine is needed.
package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/unicorn-web-services/uws/orchestrator/backup/method"
)

// Method saves PostgreSQL.
type Method struct {
	// Silence is how long a server may send nothing before it is given up; zero: 1 min. The checkpoint at the beginning of
	// a base backup may take five times as long.
	Silence time.Duration
}

var (
	_ method.Saver   = Method{}
	_ method.Checker = Method{}
	_ method.Sizer   = Method{}
)

func (m Method) silence() time.Duration { return cmp.Or(m.Silence, time.Minute) }

// NotAdmittedError is returned if the server's pg_hba.conf has no line for replication connections.
type NotAdmittedError struct{ Err error }

func (e *NotAdmittedError) Error() string {
	return "the server does not admit replication connections, which backups need: it was started before its settings had them. Restart the service once: " + e.Err.Error()
}

func (e *NotAdmittedError) Unwrap() error { return e.Err }

// settings overrides what pgconn would take from the environment and from files. A server may let anyone in, and never
// gets the password itself.
const settings = "host=engine port=1 user=uws sslmode=disable sslcertmode=disable sslnegotiation=postgres passfile=/dev/null connect_timeout=0 " +
	"target_session_attrs=any min_protocol_version=3.0 max_protocol_version=3.0 channel_binding=disable require_auth=scram-sha-256,none"

const (
	maxMessage = 16 << 20 // bytes of one message
	maxResult  = 64 << 20 // bytes of one result
)

// session is one connection. It ends with its context.
type session struct {
	conn *pgconn.PgConn
	raw  *method.Watched
	stop func() bool
}

// login returns the superuser, and the database that every connection can use.
func login(of method.Instance) (user, password, database string) {
	c := of.Credentials
	if hasAdmin(of) {
		return c["adminUser"], c["adminPassword"], c["adminUser"]
	}
	return c["user"], c["password"], cmp.Or(c["database"], "postgres")
}

// hasAdmin reports whether uws has a role and a database of its own.
func hasAdmin(of method.Instance) bool {
	admin := of.Credentials["adminUser"]
	return admin != "" && admin != of.Credentials["user"]
}

// connect opens a session; database is empty for one that speaks the replication protocol.
func (m Method) connect(ctx context.Context, to method.Instance, database string, params map[string]string) (*session, error) {
	config, err := pgconn.ParseConfig(settings)
	if err != nil {
		return nil, errors.New("the environment of uws has variables of PostgreSQL (PG…) that are not valid; unset them")
	}
	config.User, config.Password, _ = login(to)
	config.Database = database
	config.RuntimeParams = map[string]string{"application_name": "uws-backup", "client_encoding": "UTF8"}
	if database == "" {
		config.RuntimeParams["replication"] = "true"
	}
	for name, value := range params {
		config.RuntimeParams[name] = value
	}
	config.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	s := &session{}
	config.DialFunc = func(dialing context.Context, _, _ string) (net.Conn, error) {
		if s.raw != nil { // to cancel a query, which the end of the connection does too
			return nil, net.ErrClosed
		}
		raw, err := new(net.Dialer).DialContext(dialing, "tcp", to.Address)
		if err == nil {
			s.raw = method.Watch(raw, m.silence())
		}
		return s.raw, err
	}
	connecting, cancel := context.WithTimeoutCause(ctx, m.silence(), method.ErrSilent)
	defer cancel()
	if s.conn, err = pgconn.ConnectConfig(connecting, config); err != nil {
		return nil, refusal(connecting, fmt.Errorf("connecting: %w", err))
	}
	s.conn.Frontend().SetMaxBodyLen(maxMessage)
	s.stop = context.AfterFunc(ctx, func() { _ = s.raw.Close() }) // without it pgconn waits for a server that hangs
	return s, nil
}

// sql opens a session for statements, as the superuser.
func (m Method) sql(ctx context.Context, to method.Instance) (*session, error) {
	_, _, database := login(to)
	return m.connect(ctx, to, database, nil)
}

// refusal adds to an error what its cause is, if that can be told.
func refusal(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok && refused.Code == "28000" && strings.Contains(refused.Message, "replication") {
		return &NotAdmittedError{err}
	}
	return err
}

// close ends the session. A server that does not react is not waited for.
func (s *session) close() {
	s.stop()
	_ = s.raw.Close() // the server rolls back what was open
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	_ = s.conn.Close(ended)
	<-s.conn.CleanupDone()
}

// rows runs statements and returns the rows of the last one; NULL is the empty text.
func (s *session) rows(ctx context.Context, statements string) ([][]string, error) {
	results := s.conn.Exec(ctx, statements)
	var all [][]string
	size := 0
	for results.NextResult() {
		all = nil
		for reader := results.ResultReader(); reader.NextRow(); {
			var row []string
			for _, value := range reader.Values() {
				row = append(row, string(value))
				size += len(value) + 16
			}
			if size > maxResult {
				_ = s.raw.Close()
				_ = results.Close()
				return nil, fmt.Errorf("the server answered with more than %d MiB", maxResult>>20)
			}
			all = append(all, row)
		}
	}
	return all, refusal(ctx, results.Close())
}

// row runs statements whose last one returns exactly one row with the given number of columns.
func (s *session) row(ctx context.Context, columns int, statements string) ([]string, error) {
	rows, err := s.rows(ctx, statements)
	if err == nil && (len(rows) != 1 || len(rows[0]) != columns) {
		err = fmt.Errorf("the server answered with %d rows instead of one with %d columns", len(rows), columns)
	}
	if err != nil {
		return nil, err
	}
	return rows[0], nil
}

// quoteText quotes a text, and quoteName a name, for a statement.
func quoteText(text string) string { return `'` + strings.ReplaceAll(text, `'`, `''`) + `'` }
func quoteName(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
