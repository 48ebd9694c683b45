package postgres

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/backup/method"
)

// checked checks a restored server, and returns what was compared.
func checked(t *testing.T, s *server, saved method.Saved) method.Report {
	t.Helper()
	report, err := Method{}.Check(t.Context(), s.at, saved)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func group(t *testing.T, c method.Contents, name string) method.Group {
	t.Helper()
	for _, g := range c.Groups {
		if g.Kind == method.Database && g.Name == name {
			return g
		}
	}
	t.Fatalf("no database %s in %+v", name, c)
	return method.Group{}
}

// TestSaveAndRestore saves a server with several databases under load, and reads everything back from a copy.
func TestSaveAndRestore(t *testing.T) {
	s := launch(t, "-c", "max_wal_size=512MB")
	s.exec("postgres", `CREATE EXTENSION pg_trgm; CREATE TABLE words (id int PRIMARY KEY, word text);
		INSERT INTO words SELECT i, md5(i::text) FROM generate_series(1, 50000) i;
		CREATE INDEX ON words USING gin (word gin_trgm_ops); CREATE TABLE nothing (); CREATE SEQUENCE numbers START 41;
		SELECT nextval('numbers'); SELECT lo_from_bytea(4711, decode(repeat('ab', 100000), 'hex'));
		CREATE MATERIALIZED VIEW seen AS SELECT * FROM words WHERE id < 10; CREATE UNLOGGED TABLE volatile AS SELECT 1 AS a`)
	s.exec("postgres", `CREATE DATABASE "größe \ 'x'/…"`)
	s.exec(`größe \ 'x'/…`, `CREATE SCHEMA "ä b"; CREATE TABLE "ä b"."tä""ble" (t text); INSERT INTO "ä b"."tä""ble" VALUES ('ü')`)
	s.exec("postgres", `ANALYZE`)

	stop := make(chan struct{})
	done := make(chan int)
	go func() { // acknowledged before the backup's end or not: whole in any case
		c, err := s.connect(t.Context(), "postgres")
		if err != nil {
			t.Error(err)
		}
		n := 0
		for ; ; n++ {
			select {
			case <-stop:
				_ = c.Close(t.Context())
				done <- n
				return
			default:
			}
			if _, err := c.Exec(t.Context(), `UPDATE words SET word = word || '.' WHERE id = 1 + $1 % 50000`, n); err != nil {
				t.Error(err)
			}
		}
	}()
	var archive bytes.Buffer
	var last int64
	saved, err := Method{}.Save(t.Context(), s.at, &archive, func(n int64) { last = n })
	close(stop)
	t.Logf("%d updates, %d bytes", <-done, archive.Len())
	if err != nil {
		t.Fatal(err)
	}
	size, err := Method{}.Size(t.Context(), s.at)
	if err != nil || size < 1<<20 || last < size/2 {
		t.Errorf("progress ended at %d, and the size is %d, %v", last, size, err)
	}
	var details Details
	if err := json.Unmarshal(saved.Details, &details); err != nil {
		t.Fatal(err)
	}
	if details.Timeline != 1 || details.Canary == nil || details.SystemIdentifier == "" || details.StoppedAt.Before(details.StartedAt) {
		t.Errorf("%+v", details)
	}
	main, odd := group(t, saved.Contents, "postgres"), group(t, saved.Contents, `größe \ 'x'/…`)
	if main.LargeObjects != 1 || main.Count != 4 || len(main.Items) != 4 || main.Items[0].Name != "public.words" || !main.Items[0].Filled ||
		main.Items[0].Rows < 49000 || main.Items[0].Bytes < 1<<20 || !strings.Contains(strings.Join(main.Extensions, ","), "pg_trgm") {
		t.Errorf("%+v", main)
	}
	for _, item := range main.Items {
		if (item.Name == "public.nothing" || item.Name == "public.volatile") && item.Filled {
			t.Errorf("%+v", item)
		}
	}
	if odd.Count != 1 || odd.Items[0].Name != `ä b.tä"ble` || odd.Items[0].Rows != 1 {
		t.Errorf("%+v", odd)
	}

	s.kill(syscall.SIGQUIT)
	copied := restore(t, prepare(t, archive.Bytes(), Restore{Quarantine: true}))
	copied.start(Quarantine()...)
	report := checked(t, copied, saved)
	if len(report.Failures) > 0 {
		t.Errorf("%q", report.Failures)
	}
	t.Logf("%+v", report)
	for query, want := range map[string]string{
		`SELECT count(*)::text FROM words`:                                                       "50000",
		`SELECT nextval('numbers')::text`:                                                        "42",
		`SELECT length(lo_get(4711))::text`:                                                      "100000",
		`SELECT count(*)::text FROM seen`:                                                        "9",
		`SELECT count(*)::text FROM pg_extension WHERE extname = 'amcheck'`:                      "0",
		`SELECT count(*)::text FROM words WHERE word ILIKE '%c4ca4238a0b923820dcc509a6f75849b%'`: "1",
	} {
		if got := copied.text("postgres", query); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	if got := copied.text(`größe \ 'x'/…`, `SELECT t FROM "ä b"."tä""ble"`); got != "ü" {
		t.Errorf("%q", got)
	}
}

// TestRestoreIsANewServer looks at what is left of the old one.
func TestRestoreIsANewServer(t *testing.T) {
	s := launch(t, "-c", "wal_level=logical")
	s.exec("postgres", `SELECT pg_create_physical_replication_slot('theirs', true)`)
	s.exec("postgres", `ALTER SYSTEM SET session_preload_libraries = 'auto_explain'`)
	s.exec("postgres", `ALTER SYSTEM SET primary_conninfo = 'host=elsewhere'`)
	s.exec("postgres", `ALTER SYSTEM SET work_mem = '5MB'`)
	s.exec("postgres", `CREATE SUBSCRIPTION follows CONNECTION 'host=127.0.0.1 port=1' PUBLICATION p WITH (connect = false)`)
	archive, _ := s.save()
	folder := prepare(t, archive, Restore{Folder: "18/docker"}).Bytes()
	if all := names(t, folder); !strings.HasPrefix(all, "18/\n18/docker/\n18/docker/backup_label") || !strings.Contains(all, "\n18/docker/PG_VERSION") {
		t.Errorf("%.200s", all)
	}
	copied := restore(t, prepare(t, archive, Restore{Quarantine: true}))
	copied.start(Quarantine()...)
	for query, want := range map[string]string{
		`SELECT count(*)::text FROM pg_replication_slots`: "0",
		`SHOW session_preload_libraries`:                  "",
		`SHOW primary_conninfo`:                           "",
		`SHOW work_mem`:                                   "5MB",
		`SELECT count(*)::text FROM pg_stat_activity WHERE backend_type LIKE 'logical replication%'`: "0",
		`SELECT count(*)::text FROM pg_subscription`:                                                 "1",
		`SELECT pg_is_in_recovery()::text`:                                                           "false",
	} {
		if got := copied.text("postgres", query); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
}

func TestTablespacesAreRefused(t *testing.T) {
	s := launch(t)
	dir := s.dir + "/../space"
	if err := errors.Join(os.Mkdir(dir, 0o700), os.Chown(dir, 65534, 65534)); err != nil {
		t.Fatal(err)
	}
	s.exec("postgres", `CREATE TABLESPACE "fast disk" LOCATION '`+dir+`'`)
	var archive bytes.Buffer
	_, err := Method{}.Save(t.Context(), s.at, &archive, nil)
	refused, ok := errors.AsType[*TablespacesError](err)
	if !ok || refused.Names[0] != "fast disk" || archive.Len() > 0 {
		t.Errorf("%v, and %d bytes were written", err, archive.Len())
	}
}

// TestNotAdmitted is about a server whose pg_hba.conf has no line for replication, as that of Docker's image.
func TestNotAdmitted(t *testing.T) {
	s := launch(t)
	if err := os.WriteFile(s.dir+"/pg_hba.conf", []byte("host all all all scram-sha-256\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.exec("postgres", `SELECT pg_reload_conf()`)
	_, err := Method{}.Save(t.Context(), s.at, io.Discard, nil)
	if _, ok := errors.AsType[*NotAdmittedError](err); !ok || !strings.Contains(err.Error(), "Restart the service once") {
		t.Error(err)
	}
}

// TestWithoutARoleOfUws saves a server whose user is its superuser, as they were once.
func TestWithoutARoleOfUws(t *testing.T) {
	s := launch(t)
	s.exec("postgres", `DROP DATABASE uws_admin`)
	s.at.Credentials = map[string]string{"user": "uws_admin", "password": secret, "database": "postgres"}
	archive, saved := s.save()
	copied := restore(t, prepare(t, archive, Restore{}))
	copied.at.Credentials = s.at.Credentials
	copied.start()
	if report := checked(t, copied, saved); len(report.Failures) > 0 {
		t.Errorf("%q", report.Failures)
	}
}

// limited fails once it has taken a number of bytes, and calls full before.
type limited struct {
	left int
	full func() error
}

func (w *limited) Write(b []byte) (int, error) {
	if w.left -= len(b); w.left < 0 && w.full != nil {
		full := w.full
		w.full = nil
		if err := full(); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

func TestSaveEnds(t *testing.T) {
	s := launch(t)
	s.exec("postgres", `CREATE TABLE big AS SELECT repeat('x', 1000) AS a FROM generate_series(1, 50000)`)
	full := errors.New("no room")
	for name, tt := range map[string]struct {
		at   func(cancel func()) error
		want error
	}{
		"the target is full": {func(func()) error { return full }, full},
		"cancelled":          {func(cancel func()) error { cancel(); return nil }, context.Canceled},
		"the server hangs":   {func(func()) error { return syscall.Kill(-s.cmd.Process.Pid, syscall.SIGSTOP) }, method.ErrSilent},
		"":                   {},
	} {
		if name == "" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			_, err := Method{Silence: 500 * time.Millisecond}.Save(ctx, s.at, &limited{5 << 20, func() error { return tt.at(cancel) }}, nil)
			if !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
			_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGCONT)
		})
	}
	t.Run("the server is killed", func(t *testing.T) {
		_, err := Method{}.Save(t.Context(), s.at, &limited{5 << 20, func() error { return syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL) }}, nil)
		if err == nil {
			t.Error("no error")
		}
	})
}
