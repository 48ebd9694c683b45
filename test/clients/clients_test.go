// Package clients runs every connection string of the API and every snippet of the dashboard, in its own language, against
// real engines.
package clients

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/unicorn-web-services/uws/test/stories"
	"github.com/unicorn-web-services/uws/test/uwstest"
)

func TestMain(m *testing.M) { os.Exit(uwstest.Main(m, uwstest.UWS)) }

// text is a connection string or a snippet.
type text struct{ Name, Code string }

// service is a running service with its texts.
type service struct {
	stories.Engine
	endpoint    string
	keys        map[string]string
	connections []text // by name
	snippets    []text // by language
}

func TestEveryText(t *testing.T) { everyText(t, "127.0.0.1") }

// The same on an IPv6 address that is not loopback, in a network namespace that has one.
func TestEveryTextIPv6(t *testing.T) {
	if os.Getenv("UWS_TEST_IN_NAMESPACE") == "" {
		inNamespace(t)
		return
	}
	for _, args := range []string{"link set lo up", "address add fd00:77::1/128 dev lo", "address add 192.0.2.7/32 dev lo"} {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v, %s", args, err, out)
		}
	}
	everyText(t, "fd00:77::1")
}

// inNamespace runs the current test again in its own network namespace.
func inNamespace(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: a network namespace needs root; CI runs this as root")
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.count=1")
	cmd.Env = append(os.Environ(), "UWS_TEST_IN_NAMESPACE=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
		t.Errorf("in a network namespace: %v\n%s", err, out)
	}
}

// everyText runs the texts of all services on an address.
func everyText(t *testing.T, address string) {
	p, err := uwstest.Start(t.Context(), uwstest.Binary, filepath.Join(uwstest.Folder(t), "data"), "--engines", uwstest.EnginesFolder(t), "--allow-unencrypted-services")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	var nodes struct{ Nodes []struct{ ID string } }
	if err := p.Query(t.Context(), `{ nodes { id } }`, nil, &nodes); err != nil || len(nodes.Nodes) != 1 {
		t.Fatalf("%v, %v", nodes, err)
	}
	err = p.Query(t.Context(), `mutation($id: ID!, $a: String!) { updateNode(id: $id, input: {serviceAddress: $a}) { id } }`,
		map[string]any{"id": nodes.Nodes[0].ID, "a": address}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var all []service
	for _, e := range stories.Engines {
		all = append(all, launch(t, p, e))
	}
	t.Run("clients", func(t *testing.T) {
		t.Run("Go", func(t *testing.T) { t.Parallel(); runGo(t, all) })
		for _, s := range all {
			t.Run(s.Template, func(t *testing.T) { t.Parallel(); s.run(t) })
		}
	})
}

func launch(t *testing.T, p *uwstest.Process, e stories.Engine) service {
	t.Helper()
	made := stories.Launch(t, p, e.Kind, e.Template, map[string]any{"template": e.Template})
	s := service{Engine: e, endpoint: made.Endpoint}
	var out struct {
		RevealCredentials struct {
			Values      []struct{ Name, Value string }
			Connections []struct{ Name, Value string }
		}
	}
	err := p.Query(t.Context(), `mutation($id: ID!) { revealCredentials(id: $id) { values { name value } connections { name value } } }`,
		map[string]any{"id": made.ID}, &out)
	if err != nil {
		t.Fatal(err)
	}
	s.keys = map[string]string{}
	for _, v := range out.RevealCredentials.Values {
		s.keys[v.Name] = v.Value
	}
	for _, c := range out.RevealCredentials.Connections {
		s.connections = append(s.connections, text{c.Name, c.Value})
	}
	// Clients must not use buckets as host names: photos.localhost cannot be resolved.
	endpoint := s.endpoint
	if e.Kind == "BUCKET" {
		endpoint = strings.Replace(endpoint, "127.0.0.1", "localhost", 1)
	}
	keys, err := json.Marshal(s.keys)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "snippets.mjs", repo(t, "ui", "src", "features", "services", "snippets.ts"), e.Kind, e.Template, endpoint)
	cmd.Dir, cmd.Stdin, cmd.Stderr = repo(t, "test", "clients", "node"), bytes.NewReader(keys), os.Stderr
	printed, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var snippets []struct{ Language, Code string }
	if err := json.Unmarshal(printed, &snippets); err != nil {
		t.Fatal(err)
	}
	for _, c := range snippets {
		s.snippets = append(s.snippets, text{c.Language, c.Code})
	}
	if len(s.connections) == 0 || len(s.snippets) == 0 {
		t.Errorf("%s has %d connections and %d snippets", e.Template, len(s.connections), len(s.snippets))
	}
	return s
}

func repo(t *testing.T, parts ...string) string {
	t.Helper()
	root, err := uwstest.Repo()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(append([]string{root}, parts...)...)
}

// run runs the texts of a service in order: later ones use what earlier ones created.
func (s service) run(t *testing.T) {
	if s.Template == "nats" { // the snippet that creates it needs a program that is not installed here
		if err := s.Client.Write(t.Context(), s.endpoint, s.keys, "meow"); err != nil {
			t.Fatal(err)
		}
		s.stream(t)
	}
	for _, c := range s.connections {
		t.Run("connection "+c.Name, func(t *testing.T) { s.connection(t, c) })
	}
	for _, c := range s.snippets {
		t.Run(c.Name, func(t *testing.T) { s.snippet(t, c) })
	}
}

func (s service) stream(t *testing.T) {
	t.Helper()
	nc, err := nats.Connect(s.endpoint, nats.UserInfo(s.keys["user"], s.keys["password"]))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if _, err := nc.Request("$JS.API.STREAM.CREATE.orders", []byte(`{"name": "orders", "subjects": ["orders.>"]}`), 10*time.Second); err != nil {
		t.Fatal(err)
	}
}

func (s service) connection(t *testing.T, c text) {
	switch c.Name {
	case "url":
		s.url(t, c.Code)
	case "redis-cli":
		s.shell(t, c.Code+" -e PING") // -e: exit with an error if a command fails
	case "psql", "aws-cli", "put", "get", "mongosh", "nats-cli":
		s.shell(t, c.Code)
	case "env":
		s.shell(t, c.Code+"\ncd "+repo(t, "test", "clients", "node")+"\nnode --input-type=module -e '"+
			`import { ListBucketsCommand, S3Client } from "@aws-sdk/client-s3"; await new S3Client().send(new ListBucketsCommand());'`)
	case "options":
		s.options(t, c.Code)
	case "jdbc": // Java is not installed: the string must have the same parts as the URL
		for _, part := range []string{"jdbc:postgresql://", s.keys["user"], s.keys["password"], "/" + s.keys["database"] + "?"} {
			if !strings.Contains(c.Code, part) {
				t.Errorf("%q is missing in %s", part, c.Code)
			}
		}
	default:
		t.Errorf("this test has no client for connection %s", c.Name)
	}
}

// url runs clients that take a URL.
func (s service) url(t *testing.T, url string) {
	t.Helper()
	switch s.Template {
	case "postgres":
		s.shell(t, "psql '"+url+"'")
		s.python(t, "import psycopg2\npsycopg2.connect('"+url+"')")
	case "ferretdb":
		s.mongo(t, url)
		s.mongo(t, strings.Replace(url, "/?", "/shop?", 1)) // the user does not belong to the database in the path
		s.python(t, "import pymongo\npymongo.MongoClient('"+url+"').shop.orders.insert_one({})")
	case "redis":
		s.python(t, "import redis\nredis.from_url('"+url+"').ping()")
	case "nats":
		s.nats(t, url)
	default:
		t.Errorf("this test has no client for URLs of %s", s.Template)
	}
}

// options runs the Node clients, whose options are JSON.
func (s service) options(t *testing.T, options string) {
	t.Helper()
	switch s.Template {
	case "nats":
		s.node(t, `import { connect } from "@nats-io/transport-node"; const nc = await connect(`+options+`); await nc.flush(); await nc.drain();`)
	case "versitygw":
		s.node(t, `import { ListBucketsCommand, S3Client } from "@aws-sdk/client-s3"; await new S3Client(`+options+`).send(new ListBucketsCommand());`)
	default:
		t.Errorf("this test has no client for options of %s", s.Template)
	}
}

func (s service) snippet(t *testing.T, c text) {
	code := strings.ReplaceAll(c.Code, "photos", "photos-"+strings.ToLower(c.Name)) // one bucket for each snippet
	switch c.Name {
	case "Python":
		if s.Template == "nats" { // Debian has no nats-py
			s.python(t, "compile(r'''"+code+"''', 'snippet', 'exec')")
			return
		}
		s.python(t, code)
	case "Node":
		s.node(t, code)
	case "Go": // all in one program, see runGo
	default:
		t.Errorf("this test has no runner for snippet %s", c.Name)
	}
}

var quoted = regexp.MustCompile(`'([^']+)'`)

// shell runs a command. If its program is not installed, another client gets the URL.
func (s service) shell(t *testing.T, command string) {
	t.Helper()
	switch {
	case strings.HasPrefix(command, "mongosh "):
		s.mongo(t, quoted.FindStringSubmatch(command)[1])
	case strings.HasPrefix(command, "nats "):
		s.nats(t, quoted.FindStringSubmatch(command)[1])
	case strings.Contains(command, "aws s3 --endpoint-url 'http://["): // Debian 12's refuses IPv6 addresses, as README says
		cmd := exec.CommandContext(t.Context(), "bash", "-euc", command)
		cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), debianPath)
		out, err := cmd.CombinedOutput()
		if err == nil || !bytes.Contains(out, []byte("Invalid endpoint")) {
			t.Errorf("aws takes IPv6 addresses now, or fails in another way: %v, %s", err, out)
		}
	default:
		do(t, t.TempDir(), "bash", "-euc", command)
	}
}

func (s service) mongo(t *testing.T, url string) {
	t.Helper()
	ctx := t.Context()
	c, err := mongo.Connect(options.Client().ApplyURI(url).SetTimeout(20 * time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Database("shop").Collection("orders").InsertOne(ctx, bson.M{"item": "lamp"}); err != nil {
		t.Error(err)
	}
	if err := c.Disconnect(ctx); err != nil {
		t.Error(err)
	}
}

func (s service) nats(t *testing.T, url string) {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := nc.Flush(); err != nil {
		t.Error(err)
	}
}

// python is the interpreter of Debian's package, which has the client libraries.
func (s service) python(t *testing.T, code string) {
	t.Helper()
	do(t, t.TempDir(), "/usr/bin/python3", "-c", code)
}

func (s service) node(t *testing.T, code string) {
	t.Helper()
	do(t, repo(t, "test", "clients", "node"), "node", "--input-type=module", "-e", code)
}

// runGo compiles the Go snippets into one program, one function for each, and runs it.
func runGo(t *testing.T, all []service) {
	var program strings.Builder
	program.WriteString(goHead)
	for _, s := range all {
		for _, c := range s.snippets {
			if c.Name != "Go" {
				continue
			}
			code := strings.ReplaceAll(c.Code, "photos", "photos-go")
			fmt.Fprintf(&program, "func %s_(ctx context.Context) error {\n%s\nreturn err\n}\n\n", s.Template, code)
		}
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "main.go")
	if err := os.WriteFile(file, []byte(program.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	do(t, repo(t), "go", "build", "-o", filepath.Join(dir, "clients"), file)
	for _, s := range all {
		if s.Template == "nats" {
			s.stream(t)
		}
		if s.Template == "setec" {
			if err := s.Client.Write(t.Context(), s.endpoint, s.keys, "meow"); err != nil {
				t.Fatal(err)
			}
		}
		do(t, dir, filepath.Join(dir, "clients"), s.Template)
	}
}

const goHead = `package main

import (
	"context"
	"net/http"
	"os"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

func main() {
	all := map[string]func(context.Context) error{"versitygw": versitygw_, "postgres": postgres_, "ferretdb": ferretdb_,
		"redis": redis_, "nats": nats_, "setec": setec_}
	if err := all[os.Args[1]](context.Background()); err != nil {
		panic(err)
	}
}

`

// debianPath is a PATH that finds the programs of Debian's packages before other versions.
const debianPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// do runs a program with its own home folder. It fails unless the program succeeds.
func do(t *testing.T, dir, program string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	if program != "go" {
		cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), debianPath)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s\n%s", program, err, args[len(args)-1], out)
	}
}
