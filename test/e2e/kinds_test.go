package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/unicorn-web-services/uws/test/uwstest"
)

// client writes a text to a service, and reads it back, with a stock client that logs in with these credentials.
type client struct {
	write func(ctx context.Context, endpoint string, keys map[string]string, text string) error
	read  func(ctx context.Context, endpoint string, keys map[string]string) (string, error)
}

// Every kind, and a second engine for one of them, goes through a whole life: launched, written to, killed, healed,
// stopped, started, removed with its data kept, attached again, removed with its data. What was written is there each time.
func TestEveryKind(t *testing.T) {
	for _, c := range []struct {
		kind, template string
		client
	}{
		{"BUCKET", "versitygw", client{s3Write, s3Read}},
		{"DB", "postgres", client{postgresWrite, postgresRead}},
		{"NOSQL", "ferretdb", client{mongoWrite, mongoRead}},
		{"NOSQL", "redis", client{redisWrite, redisRead}},
		{"QUEUE", "nats", client{natsWrite, natsRead}},
		{"SECRETS", "setec", client{setecWrite, setecRead}},
	} {
		t.Run(c.template, func(t *testing.T) {
			t.Parallel()
			life(t, serve(t, folder(t)), c.kind, c.template, c.client)
		})
	}
}

// A folder of templates of the user's own adds an engine without a rebuild.
func TestOwnTemplate(t *testing.T) {
	templates := t.TempDir()
	redis, err := os.ReadFile(repoFile(t, "orchestrator", "catalog", "templates", "redis.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	own := bytes.Replace(redis, []byte("name: redis"), []byte("name: my-cache"), 1)
	if err := os.WriteFile(filepath.Join(templates, "mine.yaml"), own, 0o600); err != nil {
		t.Fatal(err)
	}
	p := serve(t, folder(t), "--templates", templates)
	life(t, p, "NOSQL", "my-cache", client{redisWrite, redisRead})
}

func life(t *testing.T, p *uwstest.Process, kind, template string, c client) {
	t.Helper()
	ctx := t.Context()
	input := map[string]any{"template": template}
	s := launch(t, p, kind, "life", input)
	keys, err := p.Credentials(ctx, s.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.write(ctx, s.Endpoint, keys, "meow"); err != nil {
		t.Fatalf("writing: %v", err)
	}
	there := func(when string, s *uwstest.Service) {
		t.Helper()
		text, err := c.read(ctx, s.Endpoint, keys)
		if err != nil || text != "meow" {
			t.Fatalf("%s: read %q, %v", when, text, err)
		}
	}
	there("at first", s)

	kill(t, enginePID(t, s.ID), syscall.SIGKILL)
	there("after a kill", healthy(t, p, s.ID, 1))

	if err := p.Do(ctx, "stopService", s.ID); err != nil {
		t.Fatal(err)
	}
	waitFor(t, p, s.ID, "stopped", func(s *uwstest.Service) bool { return s.Phase == "STOPPED" })
	if pid, err := uwstest.EnginePID(s.ID); pid != 0 || err != nil {
		t.Errorf("process %d runs though it is stopped (%v)", pid, err)
	}
	if err := p.Do(ctx, "startService", s.ID); err != nil {
		t.Fatal(err)
	}
	there("after stop and start", healthy(t, p, s.ID, 1))

	remove(t, p, s.ID, "RETAIN")
	kept := retained(t, p)
	if len(kept) != 1 {
		t.Fatalf("retained data %v, want one", kept)
	}
	input["reattach"] = kept[0]
	again := launch(t, p, kind, "life", input)
	if now, err := p.Credentials(ctx, again.ID); err != nil || fmt.Sprint(now) != fmt.Sprint(keys) {
		t.Errorf("the credentials changed (%v)", err)
	}
	there("after it was attached again", again)

	remove(t, p, again.ID, "DELETE")
	if kept := retained(t, p); len(kept) != 0 {
		t.Errorf("retained data %v, want none", kept)
	}
}

func remove(t *testing.T, p *uwstest.Process, id, data string) {
	t.Helper()
	err := p.Query(t.Context(), `mutation($id: ID!, $data: DataPolicy) { removeService(id: $id, data: $data) { id } }`,
		map[string]any{"id": id, "data": data}, nil)
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, p, id, "gone", func(s *uwstest.Service) bool { return s == nil })
}

func retained(t *testing.T, p *uwstest.Process) []string {
	t.Helper()
	var out struct{ RetainedData []struct{ ID string } }
	if err := p.Query(t.Context(), `{ retainedData { id } }`, nil, &out); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, k := range out.RetainedData {
		ids = append(ids, k.ID)
	}
	return ids
}

func s3Client(endpoint string, keys map[string]string) (*minio.Client, error) {
	return minio.New(strings.TrimPrefix(endpoint, "http://"), &minio.Options{
		Creds: credentials.NewStaticV4(keys["accessKey"], keys["secretKey"], ""), Region: "us-east-1"})
}

func s3Write(ctx context.Context, endpoint string, keys map[string]string, text string) error {
	c, err := s3Client(endpoint, keys)
	if err != nil {
		return err
	}
	if err := c.MakeBucket(ctx, "photos", minio.MakeBucketOptions{}); err != nil {
		return err
	}
	_, err = c.PutObject(ctx, "photos", "cat", strings.NewReader(text), int64(len(text)), minio.PutObjectOptions{})
	return err
}

func s3Read(ctx context.Context, endpoint string, keys map[string]string) (string, error) {
	c, err := s3Client(endpoint, keys)
	if err != nil {
		return "", err
	}
	o, err := c.GetObject(ctx, "photos", "cat", minio.GetObjectOptions{})
	if err != nil {
		return "", err
	}
	defer o.Close()
	text, err := io.ReadAll(o)
	return string(text), err
}

func postgresConnect(ctx context.Context, endpoint string, keys map[string]string) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(endpoint)
	if err != nil {
		return nil, err
	}
	config.User, config.Password, config.Database = keys["user"], keys["password"], keys["database"]
	return pgx.ConnectConfig(ctx, config)
}

func postgresWrite(ctx context.Context, endpoint string, keys map[string]string, text string) error {
	c, err := postgresConnect(ctx, endpoint, keys)
	if err != nil {
		return err
	}
	_, err = c.Exec(ctx, "CREATE TABLE cats (says text)")
	if err == nil {
		_, err = c.Exec(ctx, "INSERT INTO cats VALUES ($1)", text)
	}
	return errors.Join(err, c.Close(ctx))
}

func postgresRead(ctx context.Context, endpoint string, keys map[string]string) (text string, err error) {
	c, err := postgresConnect(ctx, endpoint, keys)
	if err != nil {
		return "", err
	}
	err = c.QueryRow(ctx, "SELECT says FROM cats").Scan(&text)
	return text, errors.Join(err, c.Close(ctx))
}

func mongoDo(ctx context.Context, endpoint string, keys map[string]string, work func(*mongo.Collection) error) error {
	c, err := mongo.Connect(options.Client().ApplyURI(endpoint).SetTimeout(20 * time.Second).
		SetAuth(options.Credential{AuthMechanism: "SCRAM-SHA-256", Username: keys["user"], Password: keys["password"]}))
	if err != nil {
		return err
	}
	return errors.Join(work(c.Database("zoo").Collection("cats")), c.Disconnect(ctx))
}

func mongoWrite(ctx context.Context, endpoint string, keys map[string]string, text string) error {
	return mongoDo(ctx, endpoint, keys, func(cats *mongo.Collection) error {
		_, err := cats.InsertOne(ctx, bson.M{"says": text})
		return err
	})
}

func mongoRead(ctx context.Context, endpoint string, keys map[string]string) (string, error) {
	var cat struct{ Says string }
	err := mongoDo(ctx, endpoint, keys, func(cats *mongo.Collection) error {
		return cats.FindOne(ctx, bson.M{}).Decode(&cat)
	})
	return cat.Says, err
}

func redisClient(endpoint string, keys map[string]string) (*redis.Client, error) {
	o, err := redis.ParseURL(endpoint)
	if err != nil {
		return nil, err
	}
	o.Password = keys["password"]
	return redis.NewClient(o), nil
}

func redisWrite(ctx context.Context, endpoint string, keys map[string]string, text string) error {
	c, err := redisClient(endpoint, keys)
	if err != nil {
		return err
	}
	return errors.Join(c.Set(ctx, "cat", text, 0).Err(), c.Close())
}

func redisRead(ctx context.Context, endpoint string, keys map[string]string) (string, error) {
	c, err := redisClient(endpoint, keys)
	if err != nil {
		return "", err
	}
	text, err := c.Get(ctx, "cat").Result()
	return text, errors.Join(err, c.Close())
}

func natsConnect(endpoint string, keys map[string]string) (*nats.Conn, jetstream.JetStream, error) {
	nc, err := nats.Connect(endpoint, nats.UserInfo(keys["user"], keys["password"]), nats.Timeout(10*time.Second))
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(nc)
	return nc, js, err
}

func natsWrite(ctx context.Context, endpoint string, keys map[string]string, text string) error {
	nc, js, err := natsConnect(endpoint, keys)
	if err != nil {
		return err
	}
	defer nc.Close()
	if _, err = js.CreateStream(ctx, jetstream.StreamConfig{Name: "cats", Subjects: []string{"cats"}}); err != nil {
		return err
	}
	_, err = js.Publish(ctx, "cats", []byte(text))
	return err
}

func natsRead(ctx context.Context, endpoint string, keys map[string]string) (string, error) {
	nc, js, err := natsConnect(endpoint, keys)
	if err != nil {
		return "", err
	}
	defer nc.Close()
	stream, err := js.Stream(ctx, "cats")
	if err != nil {
		return "", err
	}
	m, err := stream.GetLastMsgForSubject(ctx, "cats")
	if err != nil {
		return "", err
	}
	return string(m.Data), nil
}

// setecCall calls setec's own HTTP API, as its documentation has it.
func setecCall(ctx context.Context, endpoint, method string, keys map[string]string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint+"/api/"+method, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+keys["token"])
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Sec-X-Tailscale-No-Browsers", "setec")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("%s: %s", resp.Status, text)
	}
	return json.NewDecoder(resp.Body).Decode(out)
}

func setecWrite(ctx context.Context, endpoint string, keys map[string]string, text string) error {
	var version uint32
	return setecCall(ctx, endpoint, "put", keys, map[string]any{"Name": "cats/says", "Value": []byte(text)}, &version)
}

func setecRead(ctx context.Context, endpoint string, keys map[string]string) (string, error) {
	var secret struct{ Value []byte }
	err := setecCall(ctx, endpoint, "get", keys, map[string]any{"Name": "cats/says"}, &secret)
	return string(secret.Value), err
}

// The stock clients of the kinds, for tests that use one service.
var clients = map[string]client{
	"BUCKET":  {s3Write, s3Read},
	"DB":      {postgresWrite, postgresRead},
	"NOSQL":   {mongoWrite, mongoRead},
	"QUEUE":   {natsWrite, natsRead},
	"SECRETS": {setecWrite, setecRead},
}

func write(t *testing.T, p *uwstest.Process, s *uwstest.Service, text string) {
	t.Helper()
	keys, err := p.Credentials(t.Context(), s.ID)
	if err == nil {
		err = clients[s.Kind].write(t.Context(), s.Endpoint, keys, text)
	}
	if err != nil {
		t.Fatalf("writing to %s: %v", s.Name, err)
	}
}

func wantText(t *testing.T, p *uwstest.Process, s *uwstest.Service, text string) {
	t.Helper()
	keys, err := p.Credentials(t.Context(), s.ID)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := clients[s.Kind].read(t.Context(), s.Endpoint, keys); err != nil || got != text {
		t.Fatalf("read %q from %s, %v; want %q", got, s.Name, err, text)
	}
}

// A database that answers but refuses us is suspect and says why; it is not restarted, however long that lasts.
func TestRefusalIsNoFailure(t *testing.T) {
	p := serve(t, folder(t))
	s := launch(t, p, "DB", "accounts", map[string]any{
		"healthCheck": map[string]any{"intervalSeconds": 1, "timeoutSeconds": 1, "failureThreshold": 1}})
	keys, err := p.Credentials(t.Context(), s.ID)
	if err != nil {
		t.Fatal(err)
	}
	c, err := postgresConnect(t.Context(), s.Endpoint, keys)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.WithoutCancel(t.Context()))
	pid := enginePID(t, s.ID)
	if _, err := c.Exec(t.Context(), "ALTER USER uws PASSWORD 'another'"); err != nil {
		t.Fatal(err)
	}
	suspect := waitFor(t, p, s.ID, "suspect", func(s *uwstest.Service) bool { return s.Health == "SUSPECT" })
	want(t, suspect.Reason, "refuses us", "password")
	for range 3 { // three more checks, each of which would be one too many
		var out struct{ CheckServiceHealth struct{ Verdict string } }
		err := p.Query(t.Context(), `mutation($id: ID!) { checkServiceHealth(id: $id) { verdict } }`, map[string]any{"id": s.ID}, &out)
		if err != nil || out.CheckServiceHealth.Verdict != "ALIVE" {
			t.Fatalf("verdict %q, %v; want ALIVE", out.CheckServiceHealth.Verdict, err)
		}
	}
	if now := enginePID(t, s.ID); now != pid {
		t.Errorf("it was restarted: process %d, was %d", now, pid)
	}
	if _, err := c.Exec(t.Context(), "ALTER USER uws PASSWORD '"+keys["password"]+"'"); err != nil {
		t.Fatal(err)
	}
	if s := healthy(t, p, s.ID, 0); s.Restarts != 0 {
		t.Errorf("%d restarts", s.Restarts)
	}
}
