package probe

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/unicorn-web-services/uws/internal/fault"
)

// pgMaintenance is a database that every new server has.
const pgMaintenance = "postgres"

// setupPostgres prepares a new server, whose only role is adminUser, a superuser: it creates the user's role and gives it
// its database, and then a database for uws itself, named like adminUser, which no other role may connect to. That
// database gets its name last, so that it exists only once all else is done. Until then the setup can be interrupted
// anywhere and repeated.
func setupPostgres(ctx context.Context, t Target) error {
	c := t.Credentials
	verifier, err := pgVerifier(c["password"])
	if err != nil {
		return err
	}
	user, database, own := c["user"], c["database"], c["adminUser"]
	who := pgRole{own, c["adminPassword"], pgMaintenance, true}
	return pgWork(ctx, t, who, func(s *pgSession) error {
		steps := []struct{ unless, do string }{
			{"pg_roles WHERE rolname = " + pgText(user), "CREATE ROLE " + pgName(user)},
			{"", fmt.Sprintf("ALTER ROLE %s LOGIN NOSUPERUSER CREATEDB CREATEROLE PASSWORD '%s'; %s", pgName(user), verifier, pgSelfGrant(user))},
			{"pg_database WHERE datname = " + pgText(database), "CREATE DATABASE " + pgName(database)},
			{"", fmt.Sprintf("ALTER DATABASE %s OWNER TO %s", pgName(database), pgName(user))},
		}
		for i, step := range steps {
			if err := s.unless(step.unless, step.do); err != nil {
				return err
			}
			fault.Point(fmt.Sprintf("setup-%d", i))
		}
		return s.ownDatabase(own)
	})
}

// ownDatabase creates uws's own database, which gets its name last.
func (s *pgSession) ownDatabase(name string) error {
	unnamed := name + "_new"
	if err := s.unless("pg_database WHERE datname = "+pgText(unnamed), "CREATE DATABASE "+pgName(unnamed)); err != nil {
		return err
	}
	fault.Point("setup-4")
	err := s.do(fmt.Sprintf("REVOKE ALL ON DATABASE %s FROM PUBLIC; ALTER DATABASE %s RENAME TO %s", pgName(unnamed), pgName(unnamed), pgName(name)))
	fault.Point("setup-5")
	return err
}

// pgSelfGrant has the roles that a role creates granted to it, where the server can (16 and newer).
func pgSelfGrant(role string) string {
	return fmt.Sprintf(`DO $$ BEGIN IF current_setting('server_version_num')::int >= 160000 THEN
 EXECUTE format('ALTER ROLE %%I SET createrole_self_grant = ''set, inherit''', %s); END IF; END $$`, pgText(role))
}

// unless runs a statement where there is no row in from, or from is empty.
func (s *pgSession) unless(from, statement string) error {
	if from != "" {
		if found, err := s.value("SELECT count(*) FROM " + from); err != nil || found != "0" {
			return err
		}
	}
	return s.do(statement)
}

// pgWork logs in and works in that session. Its error is a [pgRefusal], a [notPostgres] or a [noAnswer].
func pgWork(ctx context.Context, t Target, who pgRole, work func(*pgSession) error) error {
	c, failed := dial(ctx, t)
	if c == nil {
		return noAnswer{failed}
	}
	defer c.close()
	s := &pgSession{conn: c, target: t, who: who}
	err := s.begin()
	if err == nil {
		err = work(s)
	}
	var refused pgRefusal
	var strange notPostgres
	if err == nil || errors.As(err, &refused) || errors.As(err, &strange) {
		s.send('X', nil)
		return err
	}
	return noAnswer{readFailed(ctx, t, err, c.got, c.limit)}
}

// noAnswer is the result of an attempt that the server did not answer.
type noAnswer struct{ Result }

func (e noAnswer) Error() string { return e.Detail }

// pgName quotes a name, and pgText a text, for a statement.
func pgName(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
func pgText(text string) string { return `'` + strings.ReplaceAll(text, `'`, `''`) + `'` }
