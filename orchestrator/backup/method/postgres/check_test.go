package postgres

import (
	"os"
	"strings"
	"syscall"
	"testing"
)

// TestCheckFindsDamage damages restored copies in every way that a check looks for.
func TestCheckFindsDamage(t *testing.T) {
	s := launch(t)
	s.exec("postgres", `CREATE TABLE words (id int PRIMARY KEY, word text);
		INSERT INTO words SELECT i, md5(i::text) FROM generate_series(1, 20000) i; CREATE TABLE plain AS SELECT i FROM generate_series(1, 1000) i`)
	s.exec("postgres", `CREATE DATABASE other`)
	s.exec("postgres", `ANALYZE`)
	archive, saved := s.save()
	flip := func(table string) func(*server) {
		path := s.text("postgres", `SELECT pg_relation_filepath('`+table+`')`)
		return func(copied *server) {
			copied.kill(syscall.SIGTERM)
			data, err := os.ReadFile(copied.dir + "/" + path)
			if err != nil {
				t.Fatal(err)
			}
			data[5*8192+4000] ^= 8
			if err := os.WriteFile(copied.dir+"/"+path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			copied.start()
		}
	}
	sql := func(database, text string) func(*server) {
		return func(copied *server) { copied.exec(database, text) }
	}
	for name, tt := range map[string]struct {
		damage func(*server)
		want   []string
	}{
		"nothing":               {func(*server) {}, nil},
		"a bit of a table":      {flip("words"), []string{"reading all pages: ", "database postgres: public.words: invalid page in block 5"}},
		"a bit of an index":     {flip("words_pkey"), []string{"reading all pages: ", "database postgres: public.words_pkey: invalid page in block 5"}},
		"a table is missing":    {sql("postgres", `DROP TABLE plain`), []string{"database postgres: table public.plain is missing"}},
		"a table is empty":      {sql("postgres", `TRUNCATE plain`), []string{"database postgres: table public.plain is empty, and had about 1000 rows"}},
		"no canary":             {sql("uws_admin", `DELETE FROM uws_canary`), []string{"the row that was written at "}},
		"no table of canaries":  {sql("uws_admin", `DROP TABLE uws_canary`), []string{"canary: relation \"public.uws_canary\" does not exist"}},
		"a database is missing": {sql("postgres", `DROP DATABASE other`), []string{"database other is missing"}},
		"an index lacks a row": {sql("postgres", `UPDATE pg_index SET indisready = false WHERE indexrelid = 'words_pkey'::regclass;
			INSERT INTO words VALUES (-1, 'unindexed'); UPDATE pg_index SET indisready = true WHERE indexrelid = 'words_pkey'::regclass`),
			[]string{`database postgres: public.words_pkey: heap tuple `}},
	} {
		t.Run(name, func(t *testing.T) {
			copied := restore(t, prepare(t, archive, Restore{}))
			copied.start("-c", "allow_system_table_mods=on")
			tt.damage(copied)
			report := checked(t, copied, saved)
			for _, want := range tt.want {
				if !strings.Contains("\n"+strings.Join(report.Failures, "\n"), "\n"+want) {
					t.Errorf("%q, want %q", report.Failures, want)
				}
			}
			if (len(report.Failures) == 0) != (len(tt.want) == 0) {
				t.Errorf("%q", report.Failures)
			}
		})
	}
}
