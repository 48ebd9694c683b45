package credentials

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/xdg-go/scram"

	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/probe"
)

// Error codes of PostgreSQL.
const pgInvalidPassword = "28P01"

// pgLogin is who logs in, and to which database.
type pgLogin struct{ user, password, database string }

func userLogin(t probe.Target) pgLogin {
	c := t.Credentials
	return pgLogin{c["user"], c["password"], c["database"]}
}

// adminLogin is the login of uws's own role.
func adminLogin(t probe.Target, database string) pgLogin {
	return pgLogin{t.Credentials[adminUser], t.Credentials[catalog.AdminPassword], database}
}

// hasAdmin reports whether uws has a role of its own.
func hasAdmin(t probe.Target) bool {
	admin := t.Credentials[adminUser]
	return admin != "" && admin != t.Credentials["user"]
}

// pgSettings overrides what pgconn would take from the environment and from files, as far as it lets us: PGSERVICE is read
// all the same, and ignored. A server may let anyone in, and never gets the password itself.
const pgSettings = "host=engine port=1 user=uws sslmode=disable sslcertmode=disable sslnegotiation=postgres passfile=/dev/null connect_timeout=0 " +
	"target_session_attrs=any min_protocol_version=3.0 max_protocol_version=3.0 channel_binding=disable require_auth=scram-sha-256,none"

// pgSession is one login. Its errors are a [*refusedError] or those of noAnswer.
type pgSession struct {
	conn   *pgconn.PgConn
	target probe.Target
	fresh  []map[string]string // credentials that no error may hold either
}

// pgWork logs in and works in that session. Nothing of it is left when it returns. No error holds one of the fresh
// credentials either.
func pgWork(ctx context.Context, t probe.Target, who pgLogin, work func(*pgSession) error, fresh ...map[string]string) error {
	config, err := pgconn.ParseConfig(pgSettings)
	if err != nil {
		return errors.New("the environment of uws has variables of PostgreSQL (PG…) that are not valid; unset them")
	}
	config.User, config.Password, config.Database = who.user, who.password, who.database
	config.RuntimeParams = map[string]string{"application_name": "uws", "client_encoding": "UTF8"}
	config.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	var raw net.Conn
	config.DialFunc = func(dialing context.Context, _, _ string) (net.Conn, error) {
		if raw != nil { // to cancel a query, which the end of the connection does too
			return nil, net.ErrClosed
		}
		var err error
		raw, err = t.Dial(dialing)
		return raw, err
	}
	s := &pgSession{target: t, fresh: fresh}
	if s.conn, err = pgconn.ConnectConfig(ctx, config); err != nil {
		return s.failed(ctx, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() }) // without it pgconn waits for a server that hangs
	defer func() {
		_ = s.conn.Close(ctx) // nothing depends on it
		<-s.conn.CleanupDone()
		stop()
	}()
	return work(s)
}

// failed says what an error of pgconn means.
func (s *pgSession) failed(ctx context.Context, err error) error {
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok {
		return &refusedError{refused.Code, tidy(fmt.Sprintf("%s (%s)", refused.Message, refused.Code), s.target, s.fresh...)}
	}
	return noAnswer(ctx, err, s.target, s.fresh...)
}

// do runs statements, in one transaction where they may be in one.
func (s *pgSession) do(ctx context.Context, statements string) error {
	_, err := s.value(ctx, statements)
	return err
}

// value runs statements and returns the first column of the last one's first row; empty if it is NULL or there is none.
func (s *pgSession) value(ctx context.Context, statements string) (string, error) {
	results, err := s.conn.Exec(ctx, statements).ReadAll()
	if err != nil {
		return "", s.failed(ctx, err)
	}
	if len(results) == 0 || len(results[len(results)-1].Rows) == 0 {
		return "", nil
	}
	return string(results[len(results)-1].Rows[0][0]), nil
}

// unless runs a statement where there is no row in from, or from is empty.
func (s *pgSession) unless(ctx context.Context, from, statement string) error {
	if from != "" {
		if found, err := s.value(ctx, "SELECT count(*) FROM "+from); err != nil || found != "0" {
			return err
		}
	}
	return s.do(ctx, statement)
}

// changePostgres sends what PostgreSQL keeps of a password in place of the password, which it might log. uws's own
// password changes in the same transaction.
func changePostgres(ctx context.Context, t probe.Target, fresh map[string]string) error {
	who := userLogin(t)
	passwords := map[string]string{who.user: fresh["password"]}
	if hasAdmin(t) {
		who = adminLogin(t, t.Credentials[adminUser])
		passwords[who.user] = fresh[catalog.AdminPassword]
	}
	var statements []string
	for role, password := range passwords {
		verifier, err := pgVerifier(password)
		if err != nil {
			return err
		}
		statements = append(statements, fmt.Sprintf("ALTER ROLE %s PASSWORD '%s'", pgName(role), verifier))
	}
	return pgWork(ctx, t, who, func(s *pgSession) error { return s.do(ctx, strings.Join(statements, "; ")) }, fresh)
}

// pgIterations is PostgreSQL's own number.
const pgIterations = 4096

// pgVerifier returns what PostgreSQL keeps of a password.
func pgVerifier(password string) (string, error) {
	client, err := scram.SHA256.NewClient("", password, "")
	if err != nil {
		return "", errors.New("the new password is not text")
	}
	salt := make([]byte, 16)
	_, _ = rand.Read(salt) // never fails
	stored, err := client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: string(salt), Iters: pgIterations})
	if err != nil {
		return "", errors.New("the new password cannot be hashed")
	}
	in64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", pgIterations, in64(salt), in64(stored.StoredKey), in64(stored.ServerKey)), nil
}

// pgName quotes a name, and pgText a text, for a statement.
func pgName(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
func pgText(text string) string { return `'` + strings.ReplaceAll(text, `'`, `''`) + `'` }
