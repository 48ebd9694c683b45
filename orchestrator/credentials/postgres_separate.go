package credentials

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/unicorn-web-services/uws/internal/fault"
	"github.com/unicorn-web-services/uws/orchestrator/probe"
)

// pgBootstrap is the id of the role that the data was created with: it owns the system's own objects, and can be renamed
// but neither dropped nor made an ordinary user.
const pgBootstrap = 10

// stopsWorking lists what the user of a separated server can no longer do.
func stopsWorking() []string {
	return []string{
		"Sessions that are open are ended once.",
		"COPY from and to programs and files of the server, and functions that read its files.",
		"Extensions and languages that are not trusted cannot be created; those that exist stay, and belong to uws_admin.",
		"ALTER SYSTEM, settings that only superusers may change, event triggers, foreign-data wrappers and subscriptions.",
		"Replication: physical and logical, and base backups.",
		"Row security applies to the user where a table forces it; functions with SECURITY DEFINER run without superuser rights.",
		"Default privileges that the user set are no longer the user's.",
	}
}

// separationBlockers reads what must be undone before [separatePostgres]. t holds the credentials of the user.
func separationBlockers(ctx context.Context, t probe.Target) (blockers []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, planTimeout)
	defer cancel()
	user := userLogin(t)
	err = pgWork(ctx, t, user, func(s *pgSession) error {
		who, err := s.value(ctx, fmt.Sprintf("SELECT rolname FROM pg_roles WHERE oid = %d", pgBootstrap))
		if err != nil {
			return err
		}
		if who != user.user {
			blockers = append(blockers, "the data was not created with the role "+user.user)
		}
		others, err := s.value(ctx, fmt.Sprintf("SELECT coalesce(string_agg(quote_ident(rolname), ', ' ORDER BY rolname), '') FROM pg_roles WHERE rolsuper AND oid <> %d AND rolname <> %s",
			pgBootstrap, pgText(separator(t))))
		if err != nil {
			return err
		}
		if others != "" {
			blockers = append(blockers, "other roles are superusers: "+others+"; ALTER ROLE … NOSUPERUSER first")
		}
		return nil
	})
	return blockers, err
}

// separator is a superuser of the time of the change alone: no role can rename itself.
func separator(t probe.Target) string { return t.Credentials["user"] + "_separate" }

// separatePostgres makes the superuser that the data was created with uws's own, adminUser, and gives the user a role of the
// old name and password that owns all there is. It can be interrupted anywhere and repeated. A [*refusedError] is the
// server's own no.
func separatePostgres(ctx context.Context, t probe.Target) error {
	user := userLogin(t)
	admin := adminLogin(t, user.database)
	err := pgWork(ctx, t, admin, func(*pgSession) error { return nil })
	if refused, ok := errors.AsType[*refusedError](err); ok && refused.code == pgInvalidPassword {
		if err = switchAdmin(ctx, t, user, admin); err == nil {
			fault.Point("separate-switched")
		}
	}
	if err == nil {
		err = handOver(ctx, t, admin)
	}
	return err
}

// switchAdmin renames the superuser and creates the user's role, in one transaction.
func switchAdmin(ctx context.Context, t probe.Target, user, admin pgLogin) error {
	temporary := pgLogin{separator(t), admin.password, user.database}
	verifier, err := pgVerifier(admin.password)
	if err != nil {
		return err
	}
	err = pgWork(ctx, t, user, func(s *pgSession) error {
		if err := s.unless(ctx, "pg_roles WHERE rolname = "+pgText(temporary.user), "CREATE ROLE "+pgName(temporary.user)); err != nil {
			return err
		}
		return s.do(ctx, fmt.Sprintf("ALTER ROLE %s SUPERUSER LOGIN PASSWORD '%s'", pgName(temporary.user), verifier))
	})
	if err != nil {
		return err
	}
	fault.Point("separate-begun")
	replace := strings.NewReplacer("{user}", pgText(user.user), "{admin}", pgText(admin.user), "{verifier}", pgText(verifier),
		"{temporary}", pgText(temporary.user), "{self}", pgSelfGrant(user.user))
	return pgWork(ctx, t, temporary, func(s *pgSession) error { return s.do(ctx, replace.Replace(pgSwitch)) })
}

const pgSwitch = `BEGIN;
DO $$ DECLARE old text; r record; BEGIN
 SELECT rolpassword INTO STRICT old FROM pg_authid WHERE oid = 10 AND rolname = {user};
 EXECUTE format('ALTER ROLE %I RENAME TO %I', {user}, {admin});
 EXECUTE format('ALTER ROLE %I PASSWORD %L', {admin}, {verifier});
 EXECUTE format('CREATE ROLE %I LOGIN CREATEDB CREATEROLE PASSWORD %L', {user}, old);
 INSERT INTO pg_db_role_setting SELECT setdatabase, (SELECT oid FROM pg_authid WHERE rolname = {user}), setconfig FROM pg_db_role_setting WHERE setrole = 10;
 DELETE FROM pg_db_role_setting WHERE setrole = 10;
 FOR r IN SELECT rolname FROM pg_roles WHERE oid >= 16384 AND NOT rolsuper AND NOT rolreplication AND NOT rolbypassrls AND rolname NOT IN ({user}, {temporary}) LOOP
  EXECUTE format('GRANT %I TO %I WITH ADMIN OPTION', r.rolname, {user});
 END LOOP;
END $$;
{self};
COMMIT`

// handOver gives the user what the superuser owns, database by database, and ends with the database of uws's own.
func handOver(ctx context.Context, t probe.Target, admin pgLogin) error {
	var databases []string
	err := pgWork(ctx, t, admin, func(s *pgSession) error {
		if err := s.do(ctx, "DROP ROLE IF EXISTS "+pgName(separator(t))); err != nil {
			return err
		}
		// They would keep the superuser's rights.
		if err := s.do(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usesysid = 10 AND pid <> pg_backend_pid()"); err != nil {
			return err
		}
		list, err := s.value(ctx, fmt.Sprintf("SELECT coalesce(string_agg(datname, '/'), '') FROM pg_database WHERE datallowconn AND NOT datistemplate AND datname NOT IN (%s, %s)",
			pgText(admin.user), pgText(admin.user+"_new")))
		databases = strings.FieldsFunc(list, func(r rune) bool { return r == '/' })
		return err
	})
	for _, name := range databases {
		if err != nil {
			return err
		}
		err = pgWork(ctx, t, adminLogin(t, name), func(s *pgSession) error {
			if err := s.do(ctx, "SET lock_timeout = '10s'"); err != nil {
				return err
			}
			if err := s.do(ctx, strings.ReplaceAll(pgOwners, "{user}", pgText(t.Credentials["user"]))); err != nil {
				return err
			}
			return s.do(ctx, fmt.Sprintf("DO $$ BEGIN IF (SELECT datdba FROM pg_database WHERE datname = current_database()) = 10 THEN EXECUTE format('ALTER DATABASE %%I OWNER TO %%I', current_database(), %s); END IF; END $$",
				pgText(t.Credentials["user"])))
		})
		fault.Point("separate-owned")
	}
	if err != nil {
		return err
	}
	return pgWork(ctx, t, admin, func(s *pgSession) error {
		if found, err := s.value(ctx, "SELECT count(*) FROM pg_database WHERE datname = "+pgText(admin.user)); err != nil || found != "0" {
			return err
		}
		return s.ownDatabase(ctx, admin.user)
	})
}

// pgOwners changes the owner of each object that is not the system's or an extension's, one transaction each. Indexes,
// TOAST tables, array types and sequences of columns follow their tables. Foreign-data wrappers and event triggers can only
// belong to superusers.
const pgOwners = `DO $$ DECLARE r record; BEGIN
 FOR r IN
  SELECT format('SCHEMA %I', nspname) AS what, 'pg_namespace'::regclass AS class, oid FROM pg_namespace WHERE nspowner = 10 AND nspname !~ '^pg_(temp|toast)'
  UNION ALL SELECT format('%s %s', CASE relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE' WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END, oid::regclass),
   'pg_class'::regclass, oid FROM pg_class c WHERE relowner = 10 AND relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND relpersistence <> 't'
   AND NOT (relkind = 'S' AND EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i') AND d.refclassid = 'pg_class'::regclass))
  UNION ALL SELECT format('%s %s', CASE typtype WHEN 'd' THEN 'DOMAIN' ELSE 'TYPE' END, oid::regtype), 'pg_type'::regclass, oid FROM pg_type t WHERE typowner = 10
   AND (typtype IN ('d', 'e', 'r') OR typtype = 'b' AND typcategory <> 'A' OR typtype = 'c' AND EXISTS (SELECT FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind = 'c'))
  UNION ALL SELECT format('ROUTINE %s', oid::regprocedure), 'pg_proc'::regclass, oid FROM pg_proc WHERE proowner = 10
  UNION ALL SELECT format('OPERATOR %s', oid::regoperator), 'pg_operator'::regclass, oid FROM pg_operator WHERE oprowner = 10
  UNION ALL SELECT format('COLLATION %s', oid::regcollation), 'pg_collation'::regclass, oid FROM pg_collation WHERE collowner = 10
  UNION ALL SELECT format('CONVERSION %I.%I', nspname, conname), 'pg_conversion'::regclass, c.oid FROM pg_conversion c JOIN pg_namespace n ON n.oid = connamespace WHERE conowner = 10
  UNION ALL SELECT format('TEXT SEARCH CONFIGURATION %s', oid::regconfig), 'pg_ts_config'::regclass, oid FROM pg_ts_config WHERE cfgowner = 10
  UNION ALL SELECT format('TEXT SEARCH DICTIONARY %s', oid::regdictionary), 'pg_ts_dict'::regclass, oid FROM pg_ts_dict WHERE dictowner = 10
  UNION ALL SELECT format('STATISTICS %I.%I', nspname, stxname), 'pg_statistic_ext'::regclass, s.oid FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = stxnamespace WHERE stxowner = 10
  UNION ALL SELECT format('OPERATOR FAMILY %I.%I USING %I', nspname, opfname, amname), 'pg_opfamily'::regclass, f.oid FROM pg_opfamily f JOIN pg_namespace n ON n.oid = opfnamespace JOIN pg_am a ON a.oid = opfmethod WHERE opfowner = 10
  UNION ALL SELECT format('OPERATOR CLASS %I.%I USING %I', nspname, opcname, amname), 'pg_opclass'::regclass, k.oid FROM pg_opclass k JOIN pg_namespace n ON n.oid = opcnamespace JOIN pg_am a ON a.oid = opcmethod WHERE opcowner = 10
  UNION ALL SELECT format('SERVER %I', srvname), 'pg_foreign_server'::regclass, oid FROM pg_foreign_server WHERE srvowner = 10
  UNION ALL SELECT format('PUBLICATION %I', pubname), 'pg_publication'::regclass, oid FROM pg_publication WHERE pubowner = 10
  UNION ALL SELECT format('LARGE OBJECT %s', oid), 'pg_largeobject'::regclass, oid FROM pg_largeobject_metadata WHERE lomowner = 10
 LOOP
  CONTINUE WHEN r.oid < 16384 OR EXISTS (SELECT FROM pg_depend d WHERE d.classid = r.class AND d.objid = r.oid AND d.deptype = 'e');
  EXECUTE format('ALTER %s OWNER TO %I', r.what, {user});
  COMMIT;
 END LOOP;
END $$`
