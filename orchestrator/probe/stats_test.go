package probe

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// stats probes until the engine is OK, and returns what it reports.
func statsOf(t testing.TB, probe string, tg Target) map[string]float64 {
	t.Helper()
	tg.Stats = true
	deadline := time.Now().Add(patient)
	for {
		r := run(t, probe, tg, patient)
		if r.Verdict == OK && len(r.Stats) > 0 || time.Now().After(deadline) { // a loaded machine may take longer than the probe waits
			if r.Verdict != OK {
				t.Fatalf("%s: %+v", probe, r)
			}
			all := map[string]float64{}
			for _, s := range r.Stats {
				if strings.HasSuffix(s.Name, "_bytes") != (s.Unit == StatBytes) {
					t.Errorf("%s is in %s", s.Name, s.Unit)
				}
				all[s.Name] = s.Value
			}
			return all
		}
	}
}

func wantStats(t *testing.T, got map[string]float64, want string) {
	t.Helper()
	if fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

func TestRealPostgresStats(t *testing.T) {
	p := newPostgres(t)
	p.start("max_connections=20", "reserved_connections=2")
	before := statsOf(t, "postgres", p.tg)
	if before["connections_used"] != 0 || before["connections_max"] != 15 || before["database_bytes"] < 1<<20 {
		t.Errorf("%v", before)
	}
	for range 2 {
		c, err := p.connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close(t.Context())
	}
	for _, sql := range []string{
		"CREATE TABLE fat AS SELECT repeat(md5(i::text), 30) FROM generate_series(1, 10000) i",
		"CREATE ROLE shop LOGIN PASSWORD '" + secret + "'", "CREATE DATABASE hidden", "REVOKE CONNECT ON DATABASE hidden FROM PUBLIC",
	} {
		p.exec(sql)
	}
	tg := p.tg
	tg.Credentials = map[string]string{"user": "shop", "password": secret, "database": "postgres"}
	becomeOK(t, "postgres", tg)
	for _, who := range []Target{p.tg, tg} { // an administrator and a user who may not see everything
		got := statsOf(t, "postgres", who)
		if got["connections_used"] < 2 || got["connections_used"] > 3 || got["database_bytes"] < before["database_bytes"]+5e6 {
			t.Errorf("%s: %v after %v", who.Credentials["user"], got, before)
		}
	}
	if r := run(t, "postgres", p.tg, patient); r.Stats != nil {
		t.Errorf("it was not asked for %v", r.Stats)
	}
}

func TestRealNATSStats(t *testing.T) {
	tg, _ := startNATS(t, "jetstream { store_dir: \"DIR\" }")
	becomeOK(t, "nats", tg)
	wantStats(t, statsOf(t, "nats", tg), "map[consumers:0 stream_bytes:0 streams:0]")
	c, failed := dial(t.Context(), tg)
	if c == nil {
		t.Fatal(failed)
	}
	defer c.close()
	s := &natsSession{conn: c, target: tg}
	for _, step := range []error{
		s.login(),
		s.jetStream("$JS.API.STREAM.CREATE.orders", []byte(`{"name":"orders","subjects":["orders"],"storage":"file"}`)),
		s.jetStream("orders", incompressible()),
	} {
		if step != nil {
			t.Fatal(step)
		}
	}
	if got := statsOf(t, "nats", tg); got["streams"] != 1 || got["stream_bytes"] < writeSize || got["stream_bytes"] > 2*writeSize {
		t.Errorf("%v", got)
	}
}

func TestRealRedisStats(t *testing.T) {
	tg, _ := startRedis(t, "maxclients 50")
	redisDo(t, tg, "MSET a 1 b 2\r\nSELECT 3\r\nSET c 3\r\n")
	deadline := time.Now().Add(patient)
	got := statsOf(t, "redis", tg)
	for got["keys"] != 3 && time.Now().Before(deadline) { // redisDo does not wait
		got = statsOf(t, "redis", tg)
	}
	if got["memory_bytes"] < 100_000 {
		t.Errorf("%v", got)
	}
	delete(got, "memory_bytes")
	wantStats(t, got, "map[connections_max:50 connections_used:1 keys:3]")
}

func TestRealMongoDBStats(t *testing.T) {
	tg, _ := startMongoDB(t)
	got := statsOf(t, "mongodb", tg)
	if got["database_bytes"] < 1 {
		t.Errorf("%v", got)
	}
	delete(got, "database_bytes")
	wantStats(t, got, "map[]") // FerretDB does not count its connections
}

func TestRealSetecStats(t *testing.T) {
	tg, _ := startSetec(t, t.TempDir(), strings.Repeat("k", 43))
	wantStats(t, statsOf(t, "setec", tg), "map[secrets:0]")
	if a, failed := setecCall(t.Context(), tg, "put", `{"Name":"shop/key","Value":"AAAA"}`); a == nil || a.status != 200 {
		t.Fatal(a, failed)
	}
	wantStats(t, statsOf(t, "setec", tg), "map[secrets:1]")
}

func TestRealS3HasNoStats(t *testing.T) {
	tg, _ := startS3(t)
	tg.Stats = true
	if r := run(t, "s3", tg, patient); r.Verdict != OK || r.Stats != nil {
		t.Errorf("%+v", r)
	}
}

// An engine that answers the probe is OK, whatever it does when it is asked for stats: they are left out, and cost little time.
func TestStatsOfLiars(t *testing.T) {
	redisInfo := func(text string) string {
		return "+OK\r\n+PONG\r\n" + fmt.Sprintf("$%d\r\n%s\r\n", len(text), text)
	}
	pgRowOf := func(text string) string {
		return pgMessage('D', "\x00\x01"+string([]byte{0, 0, 0, byte(len(text))})+text) + pgMessage('Z', "I")
	}
	pgOne := pgTrusting(pgRowOf("1"))
	account := func(numbers string) string {
		return `{"type":"io.nats.jetstream.api.v1.account_info_response",` + numbers + `}`
	}
	for name, c := range map[string]struct {
		probe string
		serve func(net.Conn)
		want  string
	}{
		"redis, truth":             {"redis", saying(redisInfo("connected_clients:5\r\ndb0:keys=7,expires=0"), true), "map[connections_used:4 keys:7]"},
		"redis, silent":            {"redis", saying("+OK\r\n+PONG\r\n", true), "map[]"},
		"redis, closes":            {"redis", saying("+OK\r\n+PONG\r\n", false), "map[]"},
		"redis, refuses":           {"redis", saying("+OK\r\n+PONG\r\n-NOPERM no\r\n", true), "map[]"},
		"redis, negative":          {"redis", saying(redisInfo("connected_clients:-5\r\nmaxclients:7"), true), "map[connections_max:7 keys:0]"},
		"redis, no number":         {"redis", saying(redisInfo("connected_clients:NaN\r\nmaxclients:Inf\r\nused_memory:many"), true), "map[keys:0]"},
		"redis, 10 MB":             {"redis", endless("+OK\r\n+PONG\r\n$10000000\r\n", "connected_clients:1\r\n"), "map[]"},
		"redis, absurd length":     {"redis", saying("+OK\r\n+PONG\r\n$9223372036854775807\r\n", true), "map[]"},
		"redis, endless line":      {"redis", endless("+OK\r\n+PONG\r\n", "xxxxxxxx"), "map[]"},
		"redis, negative length":   {"redis", saying("+OK\r\n+PONG\r\n$-1\r\n", true), "map[]"},
		"postgres, truth":          {"postgres", saying(pgOne+pgRowOf("1 2")+pgRowOf("3"), true), "map[connections_max:2 connections_used:1 database_bytes:3]"},
		"postgres, silent":         {"postgres", saying(pgOne, true), "map[]"},
		"postgres, refuses":        {"postgres", saying(pgOne+pgFault("42501", "no"), true), "map[]"},
		"postgres, no numbers":     {"postgres", saying(pgOne+pgRowOf("a b c"), true), "map[]"},
		"postgres, NaN":            {"postgres", saying(pgOne+pgRowOf("NaN -2")+pgRowOf("3"), true), "map[database_bytes:3]"},
		"postgres, one is missing": {"postgres", saying(pgOne+pgRowOf("1"), true), "map[]"},
		"postgres, then silent":    {"postgres", saying(pgOne+pgRowOf("1 2"), true), "map[connections_max:2 connections_used:1]"},
		"nats, truth":              {"nats", natsServer("PONG\r\n", jsReply(account(`"streams":2,"storage":3,"memory":4,"consumers":1`))), "map[consumers:1 stream_bytes:7 streams:2]"},
		"nats, negative":           {"nats", natsServer("PONG\r\n", jsReply(account(`"streams":-2,"storage":3`))), "map[consumers:0 stream_bytes:3]"},
	} {
		t.Run(name, func(t *testing.T) {
			tg := target(badServer(t, c.serve))
			tg.Stats = true
			r := run(t, c.probe, tg, patient)
			if r.Verdict != OK || r.Duration > patient/2 {
				t.Errorf("%s after %s: %s", r.Verdict, r.Duration, r.Detail)
			}
			all := map[string]float64{}
			for _, s := range r.Stats {
				all[s.Name] = s.Value
			}
			wantStats(t, all, c.want)
		})
	}
}

// The stats of MongoDB itself, which FerretDB does not have.
func TestMongoDBStats(t *testing.T) {
	var got []Stat
	for _, reply := range []bson.D{
		{{Key: "ok", Value: 1.0}, {Key: "connections", Value: bson.D{{Key: "current", Value: int32(4)}, {Key: "available", Value: int64(16)}}}, {Key: "totalSize", Value: 1e6}},
		{{Key: "ok", Value: 0.0}, {Key: "code", Value: int32(13)}},
		{{Key: "ok", Value: 1.0}, {Key: "connections", Value: "many"}, {Key: "totalSize", Value: int64(-1)}},
	} {
		tg := target(badServer(t, mongoSaying(reply, reply)))
		c, failed := dial(t.Context(), tg)
		if c == nil {
			t.Fatal(failed)
		}
		got = append(got, sane((&mongoSession{conn: c, target: tg}).stats())...)
		c.close()
	}
	if want := "[{connections_used COUNT 3} {connections_max COUNT 20} {database_bytes BYTES 1e+06}]"; fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

// BenchmarkPostgresStats compares a probe without and with stats, of a server that has 10,000 tables.
func BenchmarkPostgresStats(b *testing.B) {
	p := newPostgres(b)
	p.start("max_locks_per_transaction=20000")
	p.exec("DO $$ BEGIN FOR i IN 1..10000 LOOP EXECUTE 'CREATE TABLE t' || i || ' (a int)'; END LOOP; END $$")
	for _, stats := range []bool{false, true} {
		tg := p.tg
		tg.Stats = stats
		b.Run(fmt.Sprintf("stats=%t", stats), func(b *testing.B) {
			for b.Loop() {
				if r := run(b, "postgres", tg, patient); r.Verdict != OK || stats != (len(r.Stats) == 3) {
					b.Fatalf("%+v", r)
				}
			}
		})
	}
}
