package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/unicorn-web-services/uws/orchestrator/backup/method"
)

const (
	minMajor, maxMajor = 14, 18

	maxDatabases = 1000            // that are looked into
	surveyTime   = 2 * time.Minute // for all databases; those that are left are listed by name
)

// survey is what the catalogs of a server say.
type survey struct {
	roles     int64
	databases []database
}

type database struct {
	method.Group
	oids []string // of Items
}

// survey reads the catalogs. Its locks are those of catalogs, and no table is read.
func (m Method) survey(ctx context.Context, of method.Instance) (survey, Details, error) {
	user, _, maintenance := login(of)
	s, err := m.connect(ctx, of, maintenance, catalogLimits())
	if err != nil {
		return survey{}, Details{}, err
	}
	defer s.close()
	details, err := s.details(ctx)
	if err != nil {
		return survey{}, Details{}, err
	}
	spaces, err := s.rows(ctx, `SELECT spcname FROM pg_catalog.pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global')`)
	if err != nil {
		return survey{}, Details{}, err
	}
	if len(spaces) > 0 {
		refused := &TablespacesError{}
		for _, row := range spaces {
			refused.Names = append(refused.Names, row[0])
		}
		return survey{}, Details{}, refused
	}
	var all survey
	roles, err := s.row(ctx, 1, `SELECT count(*) FROM pg_catalog.pg_roles WHERE rolname !~ '^pg_'`)
	if err == nil {
		all.roles, err = strconv.ParseInt(roles[0], 10, 64)
	}
	if err != nil {
		return survey{}, Details{}, err
	}
	own := ""
	if hasAdmin(of) {
		own = user
	}
	names, err := s.rows(ctx, `SELECT datname, pg_catalog.pg_database_size(oid) FROM pg_catalog.pg_database
		WHERE datallowconn AND datconnlimit <> -2 AND NOT datistemplate AND datname <> `+quoteText(own)+` ORDER BY 1`)
	if err != nil {
		return survey{}, Details{}, err
	}
	until := time.Now().Add(surveyTime)
	for i, row := range names {
		db := database{Group: method.Group{Kind: method.Database, Name: row[0], Count: -1}}
		if db.Bytes, err = strconv.ParseInt(row[1], 10, 64); err != nil {
			return survey{}, Details{}, err
		}
		if i < maxDatabases && time.Now().Before(until) {
			if err := m.look(ctx, of, &db); err != nil {
				return survey{}, Details{}, fmt.Errorf("database %s: %w", row[0], err)
			}
		}
		all.databases = append(all.databases, db)
	}
	return all, details, nil
}

func catalogLimits() map[string]string {
	return map[string]string{"statement_timeout": "30s", "lock_timeout": "5s", "search_path": "pg_catalog", "default_transaction_read_only": "on"}
}

// details returns what is known before a backup begins. StartedAt is now.
func (s *session) details(ctx context.Context) (Details, error) {
	row, err := s.row(ctx, 4, `SELECT current_setting('server_version_num'), current_setting('server_version'),
		(SELECT setting FROM pg_catalog.pg_settings WHERE name = 'wal_segment_size'), `+timeColumn("clock_timestamp()"))
	if err != nil {
		return Details{}, err
	}
	number, err := strconv.Atoi(row[0])
	if err != nil {
		return Details{}, err
	}
	d := Details{Major: number / 10000, Version: row[1]}
	if d.Major < minMajor || d.Major > maxMajor {
		return Details{}, fmt.Errorf("the server is PostgreSQL %s; backups are made of %d to %d", row[1], minMajor, maxMajor)
	}
	if d.SegmentBytes, err = strconv.ParseUint(row[2], 10, 64); err != nil || d.SegmentBytes < 1<<20 || d.SegmentBytes > 1<<30 {
		return Details{}, fmt.Errorf("the server says that segments of its log have %.40q bytes", row[2])
	}
	d.StartedAt, err = time.Parse(timeFormat, row[3])
	return d, err
}

// tablesQuery lists the largest tables by what the last vacuum and the statistics say, without opening any of them.
const tablesQuery = `SELECT oid, name, live, estimated, greatest(pages * current_setting('block_size')::bigint, coalesce((pg_stat_file(pg_relation_filepath(oid), true)).size, 0)),
 live > 0 AND persistence = 'p', total
 FROM (SELECT c.oid, n.nspname || '.' || c.relname AS name, c.reltuples::bigint AS estimated, pg_stat_get_live_tuples(c.oid) AS live, c.relpages::bigint AS pages,
  c.relpersistence AS persistence, count(*) OVER () AS total
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't' AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
  ORDER BY greatest(c.relpages, pg_stat_get_live_tuples(c.oid) / 100) DESC, c.oid LIMIT `

// look reads the catalogs of one database. A database that vanishes, or whose catalogs are locked for long, has a Count
// of -1.
func (m Method) look(ctx context.Context, of method.Instance, db *database) error {
	s, err := m.connect(ctx, of, db.Name, catalogLimits())
	if isCode(err, "3D000", "55000") { // dropped meanwhile, or not to be connected to
		return nil
	}
	if err != nil {
		return err
	}
	defer s.close()
	tables, err := s.rows(ctx, tablesQuery+strconv.Itoa(method.MaxItems)+`) AS largest`)
	if isCode(err, "55P03", "57014") { // lock_timeout, statement_timeout
		return nil
	}
	if err != nil {
		return err
	}
	db.Count = 0
	for _, row := range tables {
		if err := db.add(row); err != nil {
			return err
		}
	}
	db.Unlisted = db.Count - int64(len(db.Items))
	extensions, err := s.rows(ctx, `SELECT extname || ' ' || extversion FROM pg_extension ORDER BY 1`)
	if err != nil {
		return err
	}
	for _, row := range extensions {
		db.Extensions = append(db.Extensions, row[0])
	}
	large, err := s.row(ctx, 1, `SELECT count(*) FROM pg_largeobject_metadata`)
	if err == nil {
		db.LargeObjects, err = strconv.ParseInt(large[0], 10, 64)
	}
	return err
}

// add adds one row of tablesQuery.
func (db *database) add(row []string) error {
	if len(row) != 7 {
		return errors.New("the server answered with another number of columns")
	}
	var numbers [4]int64 // live, estimated, bytes, total
	for i, column := range []int{2, 3, 4, 6} {
		var err error
		if numbers[i], err = strconv.ParseInt(row[column], 10, 64); err != nil {
			return err
		}
	}
	item := method.Item{Name: row[1], Rows: numbers[1], Bytes: numbers[2], Filled: row[5] == "t"}
	if numbers[0] > 0 {
		item.Rows = numbers[0]
	}
	db.Items = append(db.Items, item)
	db.oids = append(db.oids, row[0])
	db.Count = numbers[3]
	return nil
}

// contents returns what a backup between the two surveys holds for certain: tables that were there before and after, and
// were not renamed.
func contents(before, after survey) method.Contents {
	type key struct{ database, oid, name string }
	earlier, names := map[key]method.Item{}, map[string]bool{}
	for _, db := range before.databases {
		names[db.Name] = true
		for i, item := range db.Items {
			earlier[key{db.Name, db.oids[i], item.Name}] = item
		}
	}
	all := method.Contents{Groups: []method.Group{{Kind: method.Roles, Count: after.roles}}}
	for _, db := range after.databases {
		if !names[db.Name] {
			continue
		}
		both := db.Group
		both.Items = nil
		for i, item := range db.Items {
			if was, ok := earlier[key{db.Name, db.oids[i], item.Name}]; ok {
				item.Filled = item.Filled && was.Filled
				both.Items = append(both.Items, item)
			}
		}
		both.Unlisted = max(0, both.Count-int64(len(both.Items)))
		all.Groups = append(all.Groups, both)
	}
	return all
}

// isCode reports whether an error is the server's, with one of the codes.
func isCode(err error, codes ...string) bool {
	refused, ok := errors.AsType[*pgconn.PgError](err)
	return ok && slices.Contains(codes, refused.Code)
}
