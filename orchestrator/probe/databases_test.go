package probe

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// changed is a password that was set without uws.
const changed = "an0therS3cretOfTheirs"

// reachable returns a temporary folder that other users can read.
func reachable(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "uws-probe-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

// unprivileged runs a command as nobody if the test runs as root, which PostgreSQL refuses, and gives it a folder.
func unprivileged(t testing.TB, cmd *exec.Cmd, dir string) {
	t.Helper()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		return
	}
	const nobody = 65534
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, nobody, nobody)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// postgres is an initialised database cluster, and its server if it runs.
type postgres struct {
	t   testing.TB
	tg  Target
	dir string
	cmd *exec.Cmd
}

func newPostgres(t testing.TB) *postgres {
	t.Helper()
	program, dir := engine(t, "postgres-18.4/bin/initdb"), reachable(t)
	p := &postgres{t: t, tg: target(freeAddress(t)), dir: dir + "/data"}
	p.tg.Credentials["database"] = "postgres"
	if err := os.Mkdir(p.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	p.write("../password", secret)
	cmd := exec.Command(program, "-D", p.dir, "-U", "uws", "--pwfile", dir+"/password", "--auth", "scram-sha-256", "--no-sync", "--locale", "C")
	cmd.Env, cmd.Dir = []string{}, "/"
	unprivileged(t, cmd, dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return p
}

func (p *postgres) write(name, text string) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// start runs the server until the test ends. It returns once the server listens.
func (p *postgres) start(settings ...string) *os.Process {
	p.t.Helper()
	host, port, err := net.SplitHostPort(p.tg.Address)
	if err != nil {
		p.t.Fatal(err)
	}
	args := []string{"-D", p.dir, "-c", "listen_addresses=" + host, "-c", "port=" + port, "-c", "unix_socket_directories=", "-c", "shared_buffers=1MB"}
	for _, s := range settings {
		args = append(args, "-c", s)
	}
	p.cmd = exec.Command(engine(p.t, "postgres-18.4/bin/postgres"), args...)
	out := &strings.Builder{}
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.Env, p.cmd.Dir = out, out, []string{}, "/"
	p.cmd.WaitDelay = time.Second // its children keep the output open
	unprivileged(p.t, p.cmd, p.dir)
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGCONT)
		_ = p.cmd.Process.Signal(syscall.SIGQUIT) // the server passes it to its children
		_ = p.cmd.Wait()
		if p.t.Failed() {
			p.t.Logf("postgres wrote:\n%s", out)
		}
	})
	becomeOK(p.t, "tcp", p.tg)
	return p.cmd.Process
}

func (p *postgres) connect(ctx context.Context) (*pgx.Conn, error) {
	return pgx.Connect(ctx, fmt.Sprintf("postgres://uws:%s@%s/postgres?sslmode=disable", p.tg.Credentials["password"], p.tg.Address))
}

func (p *postgres) exec(sql string) {
	p.t.Helper()
	c, err := p.connect(p.t.Context())
	if err == nil {
		_, err = c.Exec(p.t.Context(), sql)
	}
	if err == nil {
		err = c.Close(p.t.Context())
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

func TestRealPostgres(t *testing.T) {
	p := newPostgres(t)
	process := p.start()
	becomeOK(t, "postgres", p.tg)
	expect(t, run(t, "postgres", p.tg, patient), OK, "logged in and ran SELECT 1")
	refused := `refuses our user or password: "password authentication failed for user `
	expect(t, run(t, "postgres", wrong(p.tg, "password"), patient), Alive, refused+`"uws"" (28P01)`)
	expect(t, run(t, "postgres", wrong(p.tg, "user"), patient), Alive, refused+`"wrong"" (28P01)`)
	expect(t, run(t, "postgres", wrong(p.tg, "database"), patient), Alive, `does not have our database: "database "wrong" does not exist" (3D000)`)
	for _, other := range []string{"mongodb", "redis", "nats", "s3"} {
		if r := run(t, other, p.tg, hasty); r.Verdict != Dead {
			t.Errorf("%s: %+v", other, r)
		}
	}
	p.exec("ALTER ROLE uws SET default_transaction_read_only = on")
	expect(t, run(t, "postgres", p.tg, patient), Alive, "logged in, but it is read-only: default_transaction_read_only is on")
	p.exec("BEGIN READ WRITE; ALTER ROLE uws RESET default_transaction_read_only; COMMIT")
	p.exec("ALTER USER uws PASSWORD '" + changed + "'")
	expect(t, run(t, "postgres", p.tg, patient), Alive, refused+`"uws"" (28P01)`)
	p.tg.Credentials["password"] = changed
	stopAndGoOn(t, "postgres", p.tg, process)
	kill(t, "postgres", p.tg, process)
}

// A new server that has only uws's own role is not set up. The probe does not change that.
func TestRealPostgresNotSetUp(t *testing.T) {
	p := newPostgres(t)
	p.start()
	becomeOK(t, "postgres", p.tg)
	fresh := p.tg
	fresh.Credentials = map[string]string{"user": "app", "password": changed, "database": "app", "adminUser": "uws", "adminPassword": secret}
	for range 2 {
		r := run(t, "postgres", fresh, patient)
		expect(t, r, Alive, `is not set up yet: it does not have our database: "database "uws" does not exist" (3D000)`)
		if !r.NotSetUp {
			t.Error("it counts as set up")
		}
	}
	p.exec("CREATE ROLE app") // the probe must not create it
	p.exec("CREATE DATABASE uws")
	if r := run(t, "postgres", fresh, patient); r.Verdict != OK || r.NotSetUp {
		t.Errorf("%+v", r)
	}
	other := p.tg
	other.Credentials = map[string]string{"user": "uws", "password": secret, "database": "shop"}
	if r := run(t, "postgres", other, patient); r.Verdict != Alive || r.NotSetUp {
		t.Errorf("without a role of uws's own: %+v", r)
	}
}

func TestRealPostgresFull(t *testing.T) {
	p := newPostgres(t)
	p.start("max_connections=5", "superuser_reserved_connections=0", "max_wal_senders=0")
	becomeOK(t, "postgres", p.tg)
	for range 6 { // the server may still count the probe's last connection
		if c, err := p.connect(t.Context()); err == nil {
			defer c.Close(t.Context())
		}
	}
	for range 20 {
		expect(t, run(t, "postgres", p.tg, patient), Alive, `its connections are used up: "sorry, too many clients already" (53300)`)
	}
}

// A standby does not accept connections while it recovers, and later not until hot_standby is set. The probe says so.
func TestRealPostgresRecovering(t *testing.T) {
	p := newPostgres(t)
	p.write("standby.signal", "")
	process := p.start("hot_standby=off")
	saying := `is starting, recovering or stopping: "the database system is not accepting connections" (57P03)`
	becomesAlive(t, "postgres", p.tg, saying)
	if err := process.Signal(syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	_ = p.cmd.Wait()
	p.start("hot_standby=on")
	becomesAlive(t, "postgres", p.tg, "logged in, but it is read-only: in_hot_standby is on")
}

func TestRealPostgresStopping(t *testing.T) {
	p := newPostgres(t)
	process := p.start()
	becomeOK(t, "postgres", p.tg)
	c, err := p.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Signal(syscall.SIGTERM); err != nil { // SIGTERM: the server waits until its clients disconnect
		t.Fatal(err)
	}
	becomesAlive(t, "postgres", p.tg, `is starting, recovering or stopping: "the database system is shutting down" (57P03)`)
	_ = c.Close(t.Context())
	becomes(t, "postgres", p.tg, patient, "refused the connection")
}

// becomesAlive probes until the verdict is Alive with the given detail. Once the server listens, the verdict must never
// be Dead.
func becomesAlive(t *testing.T, probe string, tg Target, detail string) {
	t.Helper()
	for start := time.Now(); ; {
		r := run(t, probe, tg, patient)
		if r.Detail == detail {
			expect(t, r, Alive, detail)
			return
		}
		if r.Verdict == Dead || time.Since(start) > patient {
			t.Fatalf("never %q, but %s %s", detail, r.Verdict, r.Detail)
		}
	}
}

func startMongoDB(t testing.TB) (Target, *os.Process) {
	t.Helper()
	path, dir := engine(t, "ferretdb-1.24.0/ferretdb"), t.TempDir()
	tg := target(freeAddress(t))
	p := start(t, []string{
		"FERRETDB_HANDLER=sqlite", "FERRETDB_SQLITE_URL=file:" + dir + "/", "FERRETDB_STATE_DIR=" + dir, "FERRETDB_LISTEN_ADDR=" + tg.Address,
		"FERRETDB_DEBUG_ADDR=-", "FERRETDB_LOG_LEVEL=WARN", "FERRETDB_TELEMETRY=disable", "FERRETDB_TEST_ENABLE_NEW_AUTH=true",
		"FERRETDB_SETUP_DATABASE=admin", "FERRETDB_SETUP_USERNAME=uws", "FERRETDB_SETUP_PASSWORD=" + secret,
	}, path)
	becomeOK(t, "mongodb", tg)
	return tg, p
}

func TestRealMongoDB(t *testing.T) {
	tg, process := startMongoDB(t)
	expect(t, run(t, "mongodb", tg, patient), OK, "logged in, and it answers a ping")
	refused := `refuses our user or password: "Authentication failed." (AuthenticationFailed)`
	expect(t, run(t, "mongodb", wrong(tg, "password"), patient), Alive, refused)
	if r := run(t, "mongodb", wrong(tg, "user"), patient); r.Verdict != Alive {
		t.Errorf("another user: %+v", r)
	}
	other := tg
	other.Options = map[string]string{"authSource": "elsewhere"}
	if r := run(t, "mongodb", other, patient); r.Verdict != Alive {
		t.Errorf("another database: %+v", r)
	}
	if r := run(t, "postgres", tg, hasty); r.Verdict != Dead {
		t.Errorf("%+v", r)
	}
	c, err := mongo.Connect(options.Client().ApplyURI("mongodb://uws:" + secret + "@" + tg.Address + "/"))
	if err != nil {
		t.Fatal(err)
	}
	err = c.Database("admin").RunCommand(t.Context(), bson.D{{Key: "updateUser", Value: "uws"}, {Key: "pwd", Value: changed}}).Err()
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Disconnect(t.Context())
	expect(t, run(t, "mongodb", tg, patient), Alive, refused)
	tg.Credentials["password"] = changed
	stopAndGoOn(t, "mongodb", tg, process)
	kill(t, "mongodb", tg, process)
}

func startSetec(t testing.TB, dir, key string) (Target, *os.Process) {
	t.Helper()
	tg := target(freeAddress(t))
	tg.Credentials["token"] = secret
	p := start(t, []string{"SETEC_TOKEN=" + secret, "SETEC_KEY=" + key}, engine(t, "setec-2026-01/setec"), "--listen", tg.Address, "--data", dir)
	becomeOK(t, "tcp", tg)
	return tg, p
}

func TestRealSetec(t *testing.T) {
	dir := t.TempDir()
	tg, process := startSetec(t, dir, strings.Repeat("k", 43))
	expect(t, run(t, "setec", tg, patient), OK, "read the secret uws/canary")
	expect(t, run(t, "setec", wrong(tg, "token"), patient), Alive, "refuses our token")
	sealed, _ := startSetec(t, dir, strings.Repeat("x", 43))
	expect(t, run(t, "setec", sealed, patient), Alive, "is sealed: its key does not open the secrets")
	stopAndGoOn(t, "setec", tg, process)
	kill(t, "setec", tg, process)
}

func startRedis(t testing.TB, more string) (Target, *os.Process) {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv("UWS_TEST_ENGINES") != "" {
			t.Fatal(err)
		}
		t.Skipf("SKIPPED, THE PROBE redis IS NOT TESTED AGAINST THE REAL ENGINE: %v", err)
	}
	dir, tg := t.TempDir(), target(freeAddress(t))
	delete(tg.Credentials, "user")
	host, port, err := net.SplitHostPort(tg.Address)
	if err != nil {
		t.Fatal(err)
	}
	conf := fmt.Sprintf("bind %s\nport %s\nrequirepass %s\ndir %s\nsave \"\"\n%s\n", host, port, secret, dir, more)
	if err := os.WriteFile(dir+"/redis.conf", []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, nil, path, dir+"/redis.conf")
	becomeOK(t, "redis", tg)
	return tg, p
}

// redisDo logs in and sends commands. The connection stays open until the test ends.
func redisDo(t *testing.T, tg Target, commands string) {
	t.Helper()
	c, err := net.Dial("tcp", tg.Address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if _, err := fmt.Fprintf(c, "AUTH %s\r\n%s", tg.Credentials["password"], commands); err != nil {
		t.Fatal(err)
	}
	_, _ = c.Read(make([]byte, 100))
}

func TestRealRedis(t *testing.T) {
	tg, process := startRedis(t, "")
	expect(t, run(t, "redis", tg, patient), OK, "logged in, and it answers a ping")
	refused := `refuses our user or password: "WRONGPASS invalid username-password pair or user is disabled."`
	expect(t, run(t, "redis", wrong(tg, "password"), patient), Alive, refused)
	expect(t, run(t, "redis", wrong(tg, "user"), patient), Alive, refused)
	if r := run(t, "postgres", tg, hasty); r.Verdict != Dead {
		t.Errorf("%+v", r)
	}
	redisDo(t, tg, "CONFIG SET requirepass "+changed+"\r\n")
	becomesAlive(t, "redis", tg, refused)
	tg.Credentials["password"] = changed
	stopAndGoOn(t, "redis", tg, process)
	kill(t, "redis", tg, process)
}

func TestRealRedisFull(t *testing.T) {
	tg, _ := startRedis(t, "maxclients 2")
	for range 3 {
		redisDo(t, tg, "PING\r\n")
	}
	for range 20 {
		expect(t, run(t, "redis", tg, patient), Alive, `its connections are used up: "ERR max number of clients reached"`)
	}
}

func BenchmarkLogins(b *testing.B) {
	p := newPostgres(b)
	p.start()
	becomeOK(b, "postgres", p.tg)
	mongodb, _ := startMongoDB(b)
	setec, _ := startSetec(b, b.TempDir(), strings.Repeat("k", 43))
	redis, _ := startRedis(b, "")
	for _, bb := range []struct {
		probe string
		tg    Target
	}{{"postgres", p.tg}, {"mongodb", mongodb}, {"setec", setec}, {"redis", redis}} {
		b.Run(bb.probe, func(b *testing.B) {
			f, _ := Lookup(bb.probe)
			b.ReportAllocs()
			for b.Loop() {
				if r := Run(b.Context(), f, bb.tg, patient, time.Now); r.Verdict != OK {
					b.Fatalf("%+v", r)
				}
			}
		})
	}
}
