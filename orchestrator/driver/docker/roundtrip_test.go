package docker_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path"
	"path/filepath"
	"strconv"
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
	"github.com/unicorn-web-services/uws/orchestrator/driver/process"
	"github.com/unicorn-web-services/uws/orchestrator/probe"
	"github.com/unicorn-web-services/uws/test/uwstest"
)

// travel is a service of an embedded template that moves between the drivers.
type travel struct {
	*machine
	containers, processes driver.Driver
	template              catalog.Template
	credentials           map[string]string
	port                  int
}

func newTravel(t *testing.T, template string) *travel {
	t.Helper()
	c, err := catalog.Load("", catalog.Probes{Check: probe.Check, Writes: probe.Writes})
	must(t, err)
	tpl, ok := c.Lookup(template)
	if !ok {
		t.Fatalf("no template %s", template)
	}
	dir := t.TempDir()
	must(t, errors.Join(os.Chmod(dir, 0o711), os.Chmod(filepath.Dir(dir), 0o711)))
	v := &travel{machine: newMachine(t), template: tpl, port: drivertest.FreePort(t)}
	v.containers = v.Open("first")
	p, err := process.New(process.Options{Dir: dir, Installation: v.installation("p"), Engines: uwstest.EnginesFolder(t), Log: slog.New(slog.DiscardHandler)})
	must(t, err)
	v.processes = p
	t.Cleanup(func() { must(t, errors.Join(p.Remove(context.Background(), "p"), p.Close())) })
	v.credentials, err = tpl.GenerateCredentials()
	must(t, err)
	return v
}

// spec is that of a service on one of the drivers.
func (v *travel) spec(d driver.Driver, service string, exists bool) driver.Spec {
	v.Helper()
	runtime, port := v.template.Process, v.port
	if d == v.containers {
		runtime, port = v.template.Docker, v.template.Ports[0].Target
	}
	layout := d.Layout(service, service)
	if runtime.Data != "" {
		layout.Data = runtime.Data
	}
	r, err := runtime.Resolve(catalog.Values{
		Data: layout.Data, Config: layout.Config, Address: layout.Address, Host: "127.0.0.1",
		Ports: map[string]int{v.template.Ports[0].Name: port}, Credentials: v.credentials, ServiceID: service, ServiceName: "travel",
	})
	must(v.T, err)
	s := driver.Spec{
		Service: service, Volume: service, DataMustExist: exists, Engine: r.Engine, EngineVersion: v.template.Version, Mount: r.Data, User: r.User, Capabilities: r.Capabilities,
		Args: r.Args, Env: r.Env, Files: r.Files, Folders: r.Dirs, Stale: r.Stale, StopSignal: v.template.Stop.Signal,
		Ports: []driver.Port{{Name: "main", Number: v.port, Target: port}},
	}
	if r.Init != nil {
		s.Init = &driver.Init{Program: r.Init.Program, Args: r.Init.Args, Env: r.Init.Env, Files: r.Init.Files}
	}
	if d == v.containers {
		s.Image, err = v.engine.ImportEngine(v.Context(), v.template.Name)
		must(v.T, err)
	}
	return s
}

// start starts a service and waits until it is healthy.
func (v *travel) start(d driver.Driver, s driver.Spec) {
	v.Helper()
	must(v.T, d.Prepare(v.Context(), s, nil))
	must(v.T, d.Create(v.Context(), s))
	must(v.T, d.Start(v.Context(), s.Service))
	f, _ := probe.Lookup(v.template.Probe.Type)
	target := probe.Target{Address: net.JoinHostPort("127.0.0.1", strconv.Itoa(v.port)), Credentials: v.credentials}
	var last probe.Result
	drivertest.Eventually(v.T, "service "+s.Service+" is healthy", func() bool {
		last = probe.Run(v.Context(), f, target, 5*time.Second, time.Now)
		if last.NotSetUp {
			must(v.T, credentials.SetUp(v.Context(), v.template.Probe.Type, target))
		}
		return last.Verdict == probe.OK
	})
}

// move stops a service, and makes the volume of another one of its data, in a folder.
func (v *travel) move(from driver.Driver, s driver.Spec, to driver.Driver, next driver.Spec, prefix string) {
	v.Helper()
	must(v.T, from.Stop(v.Context(), s.Service, drivertest.Patience))
	var archive, moved bytes.Buffer
	must(v.T, from.(driver.Exporter).Export(v.Context(), s, &archive))
	must(v.T, below(prefix, &archive, &moved))
	must(v.T, to.Prepare(v.Context(), next, nil))
	must(v.T, to.(driver.Exporter).Import(v.Context(), next, &moved))
}

// below writes an archive with all that another one has in a folder.
func below(prefix string, from io.Reader, to io.Writer) error {
	r, w := tar.NewReader(from), tar.NewWriter(to)
	for _, folder := range parents(prefix) {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: folder + "/", Mode: 0o700}); err != nil {
			return err
		}
	}
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return w.Close()
		}
		if err != nil {
			return err
		}
		if h.Name == "./" {
			continue
		}
		h.Name = path.Join(prefix, h.Name)
		if h.Typeflag == tar.TypeLink {
			h.Linkname = path.Join(prefix, h.Linkname)
		}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		if _, err := io.Copy(w, r); err != nil {
			return err
		}
	}
}

// parents are a folder and those that it is in, the outermost first.
func parents(folder string) []string {
	if folder == "" || folder == "." {
		return nil
	}
	return append(parents(path.Dir(folder)), folder)
}

// A cluster of PostgreSQL that a process has made runs in a container, whose user the image defines by name. The image has it in
// another folder of the volume, and the container needs rules of its own for its clients.
func TestPostgresFromProcess(t *testing.T) {
	v := newTravel(t, "postgres")
	s := v.spec(v.processes, "p", false)
	v.start(v.processes, s)
	v.sql("CREATE TABLE notes AS SELECT 'Grüße'::text AS note, g FROM generate_series(1, 1000) g")
	next := v.spec(v.containers, "c", true)
	next.EngineMark = v.template.Docker.Mark
	next.Files = map[string]string{"pg_hba.conf": "host all all all scram-sha-256\n"}
	next.Args = append(next.Args, "-c", "hba_file=/etc/uws/pg_hba.conf")
	v.move(v.processes, s, v.containers, next, "18/docker")
	v.start(v.containers, next)
	if got := v.sql("INSERT INTO notes SELECT min(note) || count(*) FROM notes RETURNING note"); got != "Grüße1000" {
		t.Errorf("the container has %q", got)
	}
}

// sql executes a statement, and returns the text of its first row, if it has one.
func (v *travel) sql(statement string) (text string) {
	v.Helper()
	ctx, cancel := context.WithTimeout(v.Context(), drivertest.Patience)
	defer cancel()
	c, err := pgx.Connect(ctx, fmt.Sprintf("postgres://%s:%s@127.0.0.1:%d/%s?sslmode=disable",
		v.credentials["user"], v.credentials["password"], v.port, v.credentials["database"]))
	must(v.T, err)
	defer c.Close(ctx)
	if err := c.QueryRow(ctx, statement).Scan(&text); !errors.Is(err, pgx.ErrNoRows) {
		must(v.T, err)
	}
	return text
}

// A FerretDB goes from a process to a container, and back.
func TestFerretDBBetweenDrivers(t *testing.T) {
	v := newTravel(t, "ferretdb")
	notes := func(do func(ctx context.Context, notes *mongo.Collection)) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), drivertest.Patience)
		defer cancel()
		c, err := mongo.Connect(options.Client().ApplyURI(fmt.Sprintf("mongodb://%s:%s@127.0.0.1:%d/", v.credentials["user"], v.credentials["password"], v.port)))
		must(t, err)
		defer c.Disconnect(ctx) //nolint:errcheck // nothing depends on it
		do(ctx, c.Database("shop").Collection("notes"))
	}
	add := func(ctx context.Context, notes *mongo.Collection) {
		_, err := notes.InsertOne(ctx, bson.M{"text": "Grüße"})
		must(t, err)
	}
	count := func(want int64) func(context.Context, *mongo.Collection) {
		return func(ctx context.Context, notes *mongo.Collection) {
			n, err := notes.CountDocuments(ctx, bson.M{"text": "Grüße"})
			if must(t, err); n != want {
				t.Errorf("there are %d documents, want %d", n, want)
			}
		}
	}
	first := v.spec(v.processes, "p", false)
	v.start(v.processes, first)
	notes(add)
	second := v.spec(v.containers, "c", true)
	v.move(v.processes, first, v.containers, second, "")
	v.start(v.containers, second)
	notes(count(1))
	notes(add)
	must(t, v.processes.Remove(t.Context(), "p"))
	must(t, v.processes.RemoveData(t.Context(), driver.Data{Volume: "p"}))
	third := v.spec(v.processes, "p", true)
	v.move(v.containers, second, v.processes, third, "")
	v.start(v.processes, third)
	notes(count(2))
}
