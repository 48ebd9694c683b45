package probe

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
)

// Postgres logs in as uws's own role, adminUser, to the database of that name, and checks that a connection is left for
// users. If the credentials have no such role, it logs in as the user and runs SELECT 1. An error in PostgreSQL's
// protocol is Alive, with its text. Everything else is Dead. The probe implements the protocol itself: pgx leaves a
// goroutine behind when a context ends, and reads the environment.
//
// A server without the database of adminUser is Alive and NotSetUp.
func Postgres(ctx context.Context, t Target) Result {
	c, failed := dial(ctx, t)
	if c == nil {
		return failed
	}
	defer c.close()
	who := pgProbeLogin(t)
	s := &pgSession{conn: c, target: t, who: who}
	err := s.run()
	var refused pgRefusal
	var strange notPostgres
	switch {
	case err == nil && s.readOnly != "":
		return alive(t, "logged in, but it is read-only: %s is on", s.readOnly)
	case err == nil && who.admin:
		return s.withStats(ok(t, "logged in; users can connect"))
	case err == nil:
		return s.withStats(ok(t, "logged in and ran SELECT 1"))
	case errors.As(err, &refused):
		r := refused.alive(t)
		if r.NotSetUp = who.admin && refused.code == pgNoDatabase; r.NotSetUp {
			r.Detail = tidy(t, "is not set up yet: it "+r.Detail)
		}
		return r
	case errors.As(err, &strange):
		return dead(t, "answered something that is not PostgreSQL: %s", quote(t, []byte(strange)))
	}
	return readFailed(ctx, t, err, c.got, c.limit)
}

// pgRole is a role and the database to connect to.
type pgRole struct {
	user, password, database string
	admin                    bool
}

// pgProbeLogin returns the role that uws itself uses.
func pgProbeLogin(t Target) pgRole {
	c := t.Credentials
	if admin := c["adminUser"]; admin != "" && admin != c["user"] {
		return pgRole{admin, c["adminPassword"], admin, true}
	}
	return pgRole{c["user"], c["password"], c["database"], false}
}

// pgNoDatabase is the SQLSTATE of a login to a database that does not exist.
const pgNoDatabase = "3D000"

// pgRefusal is an error that the server answered.
type pgRefusal struct {
	refusal
	code string
}

type notPostgres string // what was received instead

func (e notPostgres) Error() string { return string(e) }

// Types of messages that a server sends, and of its authentication requests.
const (
	pgAuth, pgError, pgReady, pgRow, pgSetting = 'R', 'E', 'Z', 'D', 'S'

	pgLoggedIn, pgSASL, pgSASLContinue, pgSASLFinal = 0, 10, 11, 12

	pgServerTypes = "RESZDKNTCA" // all types that can follow what we send, including notices
)

// pgSession is one login on one connection.
type pgSession struct {
	*conn
	target   Target
	who      pgRole
	readOnly string // the setting that makes the server read-only; empty if it is writable
}

func (s *pgSession) run() error {
	if err := s.begin(); err != nil {
		return err
	}
	query := "SELECT 1"
	if s.who.admin {
		query = pgConnectionsLeft
	}
	row, err := s.ask(query)
	switch {
	case err != nil:
		return err
	case s.who.admin && row == "0":
		return pgRefusal{refusal: refusal{words: "its connections are used up"}}
	case row != "1":
		return notPostgres(row)
	}
	_, err = s.expect(pgReady)
	return err
}

// withStats completes a result with stats if they are asked for.
func (s *pgSession) withStats(r Result) Result {
	if s.target.Stats {
		s.hurry()
		r.Stats = s.stats()
	}
	s.send('X', nil)
	return r
}

// stats returns what the server reports of itself, as far as it does not take too long: the size of very many tables does.
func (s *pgSession) stats() []Stat {
	row, err := s.ask(fmt.Sprintf("SET statement_timeout = %d; %s", statsPatience.Milliseconds(), pgConnections))
	if err != nil {
		return nil
	}
	var used, most float64
	if n, err := fmt.Sscan(row, &used, &most); n != 2 || err != nil {
		return nil
	}
	all := []Stat{{connectionsUsed, StatCount, used}, {connectionsMax, StatCount, most}}
	if _, err := s.expect(pgReady); err != nil {
		return all
	}
	row, err = s.ask(pgSize)
	if size, wrong := strconv.ParseFloat(row, 64); err == nil && wrong == nil {
		all = append(all, Stat{databaseBytes, StatBytes, size})
	}
	return all
}

const (
	// pgConnections returns the connections of clients without ours, and how many clients can have. A role without privileges
	// does not see of what type those of others are.
	pgConnections = `SELECT concat_ws(' ',
 (SELECT count(*) FROM pg_catalog.pg_stat_activity
  WHERE coalesce(backend_type, 'client backend') = 'client backend' AND usesysid IS NOT NULL AND pid <> pg_catalog.pg_backend_pid()),
 current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int - coalesce(current_setting('reserved_connections', true)::int, 0))`
	// pgSize returns the size of all databases that the role may connect to.
	pgSize = `SELECT sum(pg_catalog.pg_database_size(oid)) FROM pg_catalog.pg_database WHERE pg_catalog.has_database_privilege(oid, 'CONNECT')`
)

// pgConnectionsLeft returns 1 while a user can connect. uws's own role is not subject to that limit, and is itself
// counted.
const pgConnectionsLeft = `SELECT (count(*) <= current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
 - coalesce(current_setting('reserved_connections', true)::int, 0))::int FROM pg_stat_activity WHERE backend_type = 'client backend'`

// ask runs a query and returns its result: one row with one column that is not NULL.
func (s *pgSession) ask(query string) (string, error) {
	s.send('Q', append([]byte(query), 0))
	row, err := s.expect(pgRow)
	if err != nil {
		return "", err
	}
	if len(row) < 6 || binary.BigEndian.Uint16(row) != 1 || int(binary.BigEndian.Uint32(row[2:])) != len(row)-6 {
		return "", notPostgres(row)
	}
	return string(row[6:]), nil
}

// do runs statements that return no rows, in one transaction if possible.
func (s *pgSession) do(statements string) error {
	s.send('Q', append([]byte(statements), 0))
	_, err := s.expect(pgReady)
	return err
}

// begin logs in. It returns when queries can be sent.
func (s *pgSession) begin() error {
	startup := binary.BigEndian.AppendUint32(nil, 3<<16) // version of the protocol
	for _, text := range []string{
		"user", s.who.user, "database", s.who.database,
		"application_name", "uws-probe", "client_encoding", "UTF8",
	} {
		startup = append(append(startup, text...), 0)
	}
	s.send(0, append(startup, 0))
	if err := s.login(); err != nil {
		return err
	}
	_, err := s.expect(pgReady)
	return err
}

// login proves that we have the password. It also accepts a server that does not ask for one.
func (s *pgSession) login() error {
	scram, err := newScramLogin("", s.who.password) // the user is the one in the startup message
	if err != nil {
		return errNotText
	}
	asked := false
	for {
		body, err := s.expect(pgAuth)
		if err != nil {
			return err
		}
		if len(body) < 4 {
			return notPostgres(body)
		}
		kind, said := binary.BigEndian.Uint32(body), string(body[4:])
		switch {
		case kind == pgLoggedIn && asked && !scram.proven():
			return notPostgres("a login without a proof")
		case kind == pgLoggedIn:
			return nil
		case kind == pgSASL && slices.Contains(splitZero(said), "SCRAM-SHA-256"):
			asked, said = true, ""
		case kind == pgSASLContinue, kind == pgSASLFinal:
		default:
			return pgRefusal{refusal: refusal{words: fmt.Sprintf("it asks for a login of kind %d, which this probe does not speak", kind)}}
		}
		answer, err := scram.step(said)
		if err != nil {
			return s.scramFailed(err)
		}
		switch kind {
		case pgSASL:
			first := append([]byte("SCRAM-SHA-256\x00"), 0, 0, 0, 0)
			binary.BigEndian.PutUint32(first[len(first)-4:], uint32(len(answer))) //nolint:gosec // fits
			s.send('p', append(first, answer...))
		case pgSASLContinue:
			s.send('p', []byte(answer))
		}
	}
}

func (s *pgSession) scramFailed(err error) error {
	if work, ok := errors.AsType[tooMuchWork](err); ok {
		return pgRefusal{refusal: refusal{words: "its login wants " + work.Error()}}
	}
	return notPostgres(err.Error())
}

// send sends a message; kind is 0 for the first one, which has no type. Errors are ignored: a server that refuses us
// may close the connection early, and its reason must still be read. If the server is gone, the next read fails.
func (s *pgSession) send(kind byte, body []byte) {
	var message []byte
	if kind != 0 {
		message = append(message, kind)
	}
	message = binary.BigEndian.AppendUint32(message, uint32(len(body)+4)) //nolint:gosec // fits
	_, _ = s.raw.Write(append(message, body...))
}

// expect reads up to a message of the given type and returns its body.
func (s *pgSession) expect(want byte) ([]byte, error) {
	for {
		kind, body, err := s.message()
		switch {
		case err != nil:
			return nil, err
		case kind == want:
			return body, nil
		case kind == pgError:
			return nil, pgErrorOf(s.target, body)
		case kind == pgSetting:
			s.setting(splitZero(string(body)))
		case kind == pgReady:
			return nil, notPostgres("no answer to what was asked")
		}
	}
}

// setting records the parameters that make the server read-only. Servers report them without being asked.
func (s *pgSession) setting(pair []string) {
	if len(pair) >= 2 && (pair[0] == "in_hot_standby" || pair[0] == "default_transaction_read_only") && pair[1] == "on" {
		s.readOnly = pair[0]
	}
}

// message reads one message. If its beginning cannot be PostgreSQL, it fails without waiting for the rest.
func (s *pgSession) message() (kind byte, body []byte, err error) {
	first, err := s.in.Peek(1)
	if err != nil {
		return 0, nil, err
	}
	if !bytes.Contains([]byte(pgServerTypes), first) {
		return 0, nil, s.strange()
	}
	head, err := s.in.Peek(5)
	if err != nil {
		return 0, nil, err
	}
	kind = head[0]
	size := binary.BigEndian.Uint32(head[1:])
	switch {
	case string(head) == "Ecoul": // "Ecould not fork…": short of memory or processes, the server answers in the protocol of version 2
		text, err := s.in.ReadString(0)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, nil, err
		}
		return 0, nil, pgRefusal{refusal: refusal{words: "answers with an error: " + quote(s.target, []byte(text[1:]))}}
	case size < 4 || size > 1<<30: // most likely text
		return 0, nil, s.strange()
	case size > maxAnswer:
		return 0, nil, errTooLong
	}
	if _, err := s.in.Discard(5); err != nil {
		return 0, nil, err
	}
	body = make([]byte, size-4)
	_, err = io.ReadFull(s.in, body)
	return kind, body, err
}

// strange returns the error for an answer that is not PostgreSQL's.
func (s *pgSession) strange() error {
	start, _ := s.in.Peek(s.in.Buffered())
	return notPostgres(start)
}

// splitZero splits zero-terminated strings and leaves out an empty last one.
func splitZero(text string) []string {
	var all []string
	for part := range bytes.SplitSeq([]byte(text), []byte{0}) {
		if len(part) > 0 {
			all = append(all, string(part))
		}
	}
	return all
}

// pgErrorOf parses an error message. Each field begins with a byte for its type.
func pgErrorOf(t Target, body []byte) pgRefusal {
	var code, message string
	for _, field := range splitZero(string(body)) {
		switch field[0] {
		case 'C':
			code = field[1:]
		case 'M':
			message = field[1:]
		}
	}
	said := fmt.Sprintf("%s (%s)", quote(t, []byte(message)), printable(clip(code, 10)))
	words, credentials := "answers with an error: ", false
	switch code {
	case "28P01", "28000":
		words, credentials = "refuses our user or password: ", true
	case "53300":
		words = "its connections are used up: "
	case "57P03":
		words = "is starting, recovering or stopping: "
	case "57P01", "57P02":
		words = "is stopping: "
	case pgNoDatabase:
		words = "does not have our database: "
	}
	return pgRefusal{refusal{words + said, credentials}, code}
}

// writePostgres creates a temporary table. No other session sees it, and the server drops it at the end of the
// transaction. Its rows are too short for TOAST and for compression, so the table takes new pages from the file system
// as it grows. All names are qualified, so a search_path or temp_tablespaces set by the database's owner has no effect.
func writePostgres(ctx context.Context, t Target) Result {
	c, failed := dial(ctx, t)
	if c == nil {
		return failed
	}
	defer c.close()
	s := &pgSession{conn: c, target: t, who: pgProbeLogin(t)}
	err := s.begin()
	if err == nil && s.readOnly != "" {
		return notAsked(t, "it is read-only: %s is on", s.readOnly)
	}
	if err == nil {
		err = s.do(`CREATE TEMPORARY TABLE uws_write_check ON COMMIT DROP TABLESPACE pg_default AS
			SELECT pg_catalog.random() FROM pg_catalog.generate_series(1, 2500)`) // 36 bytes each, 12 pages in total
	}
	var refused pgRefusal
	var strange notPostgres
	switch {
	case err == nil:
		return wrote(t)
	case errors.As(err, &refused) && refused.code == "42501": // insufficient_privilege
		return notAsked(t, "%s", refused.Error())
	case errors.As(err, &refused):
		return refusedWrite(t, refused.code == "53100", refused.Error())
	case errors.As(err, &strange):
		return dead(t, "answered something that is not PostgreSQL: %s", quote(t, []byte(strange)))
	}
	return readFailed(ctx, t, err, c.got, c.limit)
}
