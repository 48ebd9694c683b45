package credentials

import (
	"context"
	"fmt"

	"github.com/unicorn-web-services/uws/internal/fault"
	"github.com/unicorn-web-services/uws/orchestrator/probe"
)

// pgMaintenance is a database that every new server has.
const pgMaintenance = "postgres"

// setUpPostgres prepares a new server, whose only role is adminUser, a superuser: it creates the user's role and gives it
// its database, and then a database for uws itself, named like adminUser, which no other role may connect to. That
// database gets its name last, so that it exists only once all else is done. Until then the setup can be interrupted
// anywhere and repeated.
func setUpPostgres(ctx context.Context, t probe.Target) error {
	c := t.Credentials
	verifier, err := pgVerifier(c["password"])
	if err != nil {
		return err
	}
	user, database := c["user"], c["database"]
	return pgWork(ctx, t, adminLogin(t, pgMaintenance), func(s *pgSession) error {
		steps := []struct{ unless, do string }{
			{"pg_roles WHERE rolname = " + pgText(user), "CREATE ROLE " + pgName(user)},
			{"", fmt.Sprintf("ALTER ROLE %s LOGIN NOSUPERUSER CREATEDB CREATEROLE PASSWORD '%s'; %s", pgName(user), verifier, pgSelfGrant(user))},
			{"pg_database WHERE datname = " + pgText(database), "CREATE DATABASE " + pgName(database)},
			{"", fmt.Sprintf("ALTER DATABASE %s OWNER TO %s", pgName(database), pgName(user))},
		}
		for i, step := range steps {
			if err := s.unless(ctx, step.unless, step.do); err != nil {
				return err
			}
			fault.Point(fmt.Sprintf("setup-%d", i))
		}
		return s.ownDatabase(ctx, c[adminUser])
	})
}

// ownDatabase creates uws's own database, which gets its name last.
func (s *pgSession) ownDatabase(ctx context.Context, name string) error {
	unnamed := name + "_new"
	if err := s.unless(ctx, "pg_database WHERE datname = "+pgText(unnamed), "CREATE DATABASE "+pgName(unnamed)); err != nil {
		return err
	}
	fault.Point("setup-4")
	err := s.do(ctx, fmt.Sprintf("REVOKE ALL ON DATABASE %s FROM PUBLIC; ALTER DATABASE %s RENAME TO %s", pgName(unnamed), pgName(unnamed), pgName(name)))
	fault.Point("setup-5")
	return err
}

// pgSelfGrant has the roles that a role creates granted to it, where the server can (16 and newer).
func pgSelfGrant(role string) string {
	return fmt.Sprintf(`DO $$ BEGIN IF current_setting('server_version_num')::int >= 160000 THEN
 EXECUTE format('ALTER ROLE %%I SET createrole_self_grant = ''set, inherit''', %s); END IF; END $$`, pgText(role))
}
