package process_test

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/credentials"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/drivertest"
	"github.com/unicorn-web-services/uws/orchestrator/probe"
)

// launched is a service of an embedded template on the process driver.
type launched struct {
	*machine
	d           driver.Driver
	template    catalog.Template
	credentials map[string]string
	port        int
	spec        driver.Spec
	address     string
}

func newLaunched(t *testing.T, template string) *launched {
	t.Helper()
	m := newMachine(t)
	c, err := catalog.Load("", catalog.Probes{Check: probe.Check, Writes: probe.Writes})
	if err != nil {
		t.Fatal(err)
	}
	tpl, ok := c.Lookup(template)
	if !ok {
		t.Fatalf("no template %s", template)
	}
	// Tests beside this one must not share uids with it: an installation has its own.
	l := &launched{machine: m, d: m.Open(template), template: tpl, port: drivertest.FreePort(t)}
	l.address = net.JoinHostPort("127.0.0.1", strconv.Itoa(l.port))
	if l.credentials, err = tpl.GenerateCredentials(); err != nil {
		t.Fatal(err)
	}
	l.resolve("one", "data")
	t.Cleanup(func() {
		for _, name := range []string{"stdout.log", "stderr.log"} {
			if text, err := os.ReadFile(filepath.Join(m.dir(template), "services", l.spec.Service, "log", name)); t.Failed() && err == nil {
				t.Logf("%s has printed:\n%s", template, text)
			}
		}
	})
	return l
}

// resolve makes the spec of a service on a volume, as the control plane does.
func (l *launched) resolve(service, volume string) {
	l.Helper()
	layout := l.d.Layout(service, volume)
	r, err := l.template.Process.Resolve(catalog.Values{
		Data: layout.Data, Config: layout.Config, Address: layout.Address, Host: layout.Address,
		Ports: map[string]int{l.template.Ports[0].Name: l.port}, Credentials: l.credentials, ServiceID: service, ServiceName: "orders",
	})
	if err != nil {
		l.Fatal(err)
	}
	l.spec = driver.Spec{
		Service: service, Volume: volume, Engine: r.Engine, EngineVersion: l.template.Version, Program: r.Program, Package: r.Package,
		Args: r.Args, Env: r.Env, Files: r.Files, Folders: r.Dirs, Stale: r.Stale, StopSignal: l.template.Stop.Signal,
		Ports: []driver.Port{{Name: "main", Number: l.port}},
	}
	if r.Init != nil {
		l.spec.Init = &driver.Init{Program: r.Init.Program, Args: r.Init.Args, Env: r.Init.Env, Files: r.Init.Files}
	}
}

func (l *launched) must(err error) {
	l.Helper()
	if err != nil {
		l.Fatal(err)
	}
}

// start creates and starts the service and waits until its probe is OK.
func (l *launched) start() {
	l.Helper()
	began := time.Now()
	l.must(l.d.Prepare(l.Context(), l.spec, nil))
	prepared := time.Now()
	l.must(l.d.Create(l.Context(), l.spec))
	created := time.Now()
	l.must(l.d.Start(l.Context(), l.spec.Service))
	l.healthy()
	uses, err := l.d.(driver.UsageReader).Usage(l.Context(), []string{l.spec.Service})
	use := uses[l.spec.Service]
	l.must(err)
	l.Logf("prepared in %s, created in %s, healthy after %s more, %d MB", prepared.Sub(began).Round(time.Millisecond),
		created.Sub(prepared).Round(time.Millisecond), time.Since(created).Round(time.Millisecond), use.MemoryBytes>>20)
}

func (l *launched) healthy() {
	l.Helper()
	f, _ := probe.Lookup(l.template.Probe.Type)
	var last probe.Result
	defer func() {
		if l.Failed() {
			l.Logf("the probe says %s %s", last.Verdict, last.Detail)
		}
	}()
	drivertest.Eventually(l.T, "the probe is OK", func() bool {
		target := probe.Target{Address: l.address, Credentials: l.credentials}
		last = probe.Run(l.Context(), f, target, 5*time.Second, time.Now)
		if last.NotSetUp {
			l.must(credentials.SetUp(l.Context(), l.template.Probe.Type, target))
		}
		return last.Verdict == probe.OK
	})
}

func (l *launched) inspect() driver.Observed {
	l.Helper()
	o, err := l.d.Inspect(l.Context(), l.spec.Service)
	l.must(err)
	return o
}

// client writes one value and reads it back, with a stock client where there is one in Go.
type client struct {
	write, read func(ctx context.Context, l *launched) error
}

// A service of each template keeps its data over all that can happen to its process, and its secrets off the command
// line.
func TestTemplates(t *testing.T) {
	for name, c := range map[string]client{
		"postgres": {writeSQL, readSQL}, "ferretdb": {writeDocument, readDocument},
		"setec": {writeSecret, readSecret}, "redis": {writeKey, readKey},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLaunched(t, name)
			l.start()
			ctx, cancel := context.WithTimeout(t.Context(), 4*drivertest.Patience)
			defer cancel()
			l.must(c.write(ctx, l))
			l.hidesSecrets()

			l.Signal("one", syscall.SIGKILL)
			drivertest.Eventually(t, "its end is seen", func() bool { return !l.inspect().Running })
			l.must(l.d.Start(ctx, "one"))
			l.healthy()
			l.must(c.read(ctx, l))

			before := l.inspect()
			l.d = l.Open(name)
			if o := l.inspect(); !o.Running || o.Instance != before.Instance || o.SpecHash != l.spec.Hash() {
				t.Errorf("adopted %+v, was %+v", o, before)
			}
			l.must(c.read(ctx, l))

			l.must(l.d.Stop(ctx, "one", drivertest.Patience))
			if o := l.inspect(); len(l.processes("one")) > 0 || o.Running {
				t.Errorf("left %v, %+v", l.processes("one"), o)
			}
			l.must(l.d.Start(ctx, "one")) // adopted, so that it knows its environment still
			l.healthy()
			l.must(l.d.Stop(ctx, "one", drivertest.Patience))
			if o := l.inspect(); o.ExitCode == nil || *o.ExitCode != 0 {
				t.Errorf("stopped with %+v, want exit code 0", o)
			}

			l.must(l.d.Remove(ctx, "one"))
			l.resolve("two", "data")
			l.spec.DataMustExist = true
			l.start()
			l.must(c.read(ctx, l))
		})
	}
}

// A backend that outlives its killed server holds the shared memory, which no other server can start beside.
func TestBackendLeftBehind(t *testing.T) {
	l := newLaunched(t, "postgres")
	l.start()
	c, err := pgx.Connect(l.Context(), fmt.Sprintf("postgres://%s:%s@%s/%s?sslmode=disable",
		l.credentials["user"], l.credentials["password"], l.address, l.credentials["database"]))
	l.must(err)
	defer c.Close(l.Context())
	var backend int
	l.must(c.QueryRow(l.Context(), "SELECT pg_backend_pid()").Scan(&backend))
	l.must(syscall.Kill(backend, syscall.SIGSTOP)) // or it would notice soon
	l.Signal("one", syscall.SIGKILL)
	drivertest.Eventually(t, "its end is seen", func() bool { return !l.inspect().Running })
	l.must(l.d.Start(l.Context(), "one"))
	l.healthy()
	// Who reaps it is not ours to choose.
	if line, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", backend)); err == nil && !containsState(string(line), "Z") {
		t.Errorf("the backend is still there: %s", line)
	}
}

func (l *launched) hidesSecrets() {
	l.Helper()
	for _, line := range l.CommandLines(l.spec.Service) {
		for name, value := range l.credentials {
			if len(value) >= 16 && strings.Contains(line, value) {
				l.Errorf("the credential %s is on a command line", name)
			}
		}
	}
}

func (l *launched) sql(ctx context.Context, do func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, fmt.Sprintf("postgres://%s:%s@%s/%s?sslmode=disable",
		l.credentials["user"], l.credentials["password"], l.address, l.credentials["database"]))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	return do(conn)
}

func writeSQL(ctx context.Context, l *launched) error {
	return l.sql(ctx, func(c *pgx.Conn) error {
		_, err := c.Exec(ctx, "CREATE TABLE notes AS SELECT 'Grüße'::text AS note")
		return err
	})
}

func readSQL(ctx context.Context, l *launched) error {
	return l.sql(ctx, func(c *pgx.Conn) error {
		var note string
		if err := c.QueryRow(ctx, "SELECT note FROM notes ORDER BY lower(note)").Scan(&note); err != nil || note != "Grüße" {
			return fmt.Errorf("read %q, %w", note, err)
		}
		return nil
	})
}

func (l *launched) documents(ctx context.Context, do func(*mongo.Collection) error) error {
	c, err := mongo.Connect(options.Client().ApplyURI(fmt.Sprintf("mongodb://%s:%s@%s/", l.credentials["user"], l.credentials["password"], l.address)))
	if err != nil {
		return err
	}
	defer c.Disconnect(ctx) //nolint:errcheck // nothing depends on it
	return do(c.Database("shop").Collection("notes"))
}

func writeDocument(ctx context.Context, l *launched) error {
	return l.documents(ctx, func(c *mongo.Collection) error {
		_, err := c.InsertOne(ctx, bson.D{{Key: "_id", Value: 1}, {Key: "note", Value: "hello"}})
		return err
	})
}

func readDocument(ctx context.Context, l *launched) error {
	return l.documents(ctx, func(c *mongo.Collection) error {
		var d struct{ Note string }
		if err := c.FindOne(ctx, bson.D{{Key: "_id", Value: 1}}).Decode(&d); err != nil || d.Note != "hello" {
			return fmt.Errorf("read %q, %w", d.Note, err)
		}
		return nil
	})
}

// secret calls the API as the stock client does, which a test beside our setec uses.
func (l *launched) secret(ctx context.Context, method, body, want string) error {
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+l.address+"/api/"+method, strings.NewReader(body))
	if err != nil {
		return err
	}
	q.Header.Set("Content-Type", "application/json")
	q.Header.Set("Sec-X-Tailscale-No-Browsers", "setec")
	q.Header.Set("Authorization", "Bearer "+l.credentials["token"])
	q.Close = true
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	said := make([]byte, 1000)
	n, _ := r.Body.Read(said)
	if got := strings.TrimSpace(string(said[:n])); r.StatusCode != http.StatusOK || got != want {
		return fmt.Errorf("%s: %s, %q instead of %q", method, r.Status, got, want)
	}
	return nil
}

func writeSecret(ctx context.Context, l *launched) error {
	return l.secret(ctx, "put", `{"Name":"team/key","Value":"aGVsbG8="}`, "1")
}

func readSecret(ctx context.Context, l *launched) error {
	return l.secret(ctx, "get", `{"Name":"team/key"}`, `{"Value":"aGVsbG8=","Version":1}`)
}

// redis sends commands after the login and wants their answers.
func (l *launched) redis(ctx context.Context, commands, want string) error {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", l.address)
	if err != nil {
		return err
	}
	defer c.Close()
	if deadline, ok := ctx.Deadline(); ok {
		l.must(c.SetDeadline(deadline))
	}
	fmt.Fprintf(c, "AUTH %s\r\n%s", l.credentials["password"], commands)
	want = "+OK\r\n" + want
	got := make([]byte, len(want))
	for n := 0; n < len(got); {
		more, err := c.Read(got[n:])
		if n += more; err != nil {
			return err
		}
	}
	if string(got) != want {
		return fmt.Errorf("redis answers %q instead of %q", got, want)
	}
	return nil
}

func writeKey(ctx context.Context, l *launched) error {
	// Handed to the kernel before the answer: the end of the process alone loses nothing.
	return l.redis(ctx, "SET note hello\r\n", "+OK\r\n")
}

func readKey(ctx context.Context, l *launched) error {
	return l.redis(ctx, "GET note\r\n", "$5\r\nhello\r\n")
}

// What was half made never counts as data: neither when the init fails, nor when its time is up.
func TestInitIsWholeOrNothing(t *testing.T) {
	m := newMachine(t)
	d := m.Open("first")
	s := m.puppet("made")
	s.Init = &driver.Init{Args: []string{"count=.", "exit=3"}, Env: maps.Clone(s.Env)}
	if err := d.Prepare(t.Context(), s, nil); err != nil {
		t.Fatal(err)
	}
	nothing := func(says string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), says) || driver.ClassOf(err) != driver.Transient {
			t.Errorf("Create says %v, want %q", err, says)
		}
		if has, err := d.HasData(t.Context(), driver.Data{Volume: s.Volume}); has || err != nil {
			t.Errorf("there is data: %v, %v", has, err)
		}
		left, err := os.ReadDir(filepath.Join(m.dir("first"), "volumes"))
		if err != nil || len(left) > 0 {
			t.Errorf("left %v, %v", left, err)
		}
	}
	nothing("exit status 3", d.Create(t.Context(), s))

	ctx, cancel := context.WithCancel(t.Context())
	s.Init.Args = []string{"count=.", "fork=127.0.0.1:" + strconv.Itoa(drivertest.FreePort(t)), "listen=127.0.0.1:" + strconv.Itoa(drivertest.FreePort(t))}
	created := make(chan error)
	go func() { created <- d.Create(ctx, s) }()
	log := filepath.Join(m.dir("first"), "services", "made", "log", "stdout.log")
	drivertest.Eventually(t, "the init hangs", func() bool {
		text, err := os.ReadFile(log)
		return err == nil && strings.Count(string(text), "listening") == 2
	})
	cancel()
	nothing("context canceled", <-created)
	if left := append(m.commandsWith("count=."), m.commandsWith("stubborn")...); len(left) > 0 {
		t.Errorf("the init has left %v", left)
	}

	s.Init.Args = []string{"count=.", "identity", "exit=0"}
	s.Init.Env["SECRET"] = "for the init"
	s.Args = append([]string{"count=" + d.Layout(s.Service, s.Volume).Data}, s.Args...)
	m.start(d, s)
	text, err := os.ReadFile(log)
	if err != nil || !strings.Contains(string(text), "starts: 2") || !strings.Contains(string(text), "NoNewPrivs:\t1") {
		t.Errorf("the log says %s, %v", text, err)
	}
	if os.Geteuid() == 0 && strings.Contains(string(text), "Uid:\t0") {
		t.Error("the init ran as root")
	}
}

// commandsWith are the command lines of puppets that hold a text.
func (m *machine) commandsWith(text string) []string {
	var found []string
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		m.Fatal(err)
	}
	for _, l := range lines {
		data, err := os.ReadFile(l)
		if line := strings.ReplaceAll(string(data), "\x00", " "); err == nil && strings.Contains(line, text) && strings.Contains(line, m.root) {
			found = append(found, line)
		}
	}
	return found
}
