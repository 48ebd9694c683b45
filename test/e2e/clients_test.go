package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/unicorn-web-services/uws/test/uwstest"
)

// s3 is a stock S3 client with the service's own keys.
func s3(t *testing.T, p *uwstest.Process, s *uwstest.Service) *minio.Client {
	t.Helper()
	keys, err := p.Credentials(t.Context(), s.ID)
	if err != nil {
		t.Fatal(err)
	}
	c, err := minio.New(strings.TrimPrefix(s.Endpoint, "http://"), &minio.Options{
		Creds: credentials.NewStaticV4(keys["accessKey"], keys["secretKey"], ""), Region: "us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func putObject(t *testing.T, c *minio.Client, text string) {
	t.Helper()
	if err := c.MakeBucket(t.Context(), "photos", minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err := c.PutObject(t.Context(), "photos", "cat", strings.NewReader(text), int64(len(text)), minio.PutObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

func wantObject(t *testing.T, c *minio.Client, text string) {
	t.Helper()
	o, err := c.GetObject(t.Context(), "photos", "cat", minio.GetObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	got, err := io.ReadAll(o)
	if err != nil || string(got) != text {
		t.Fatalf("object %q, %v; want %q", got, err, text)
	}
}

// queue is a stock NATS client with the service's own password.
func queue(t *testing.T, p *uwstest.Process, s *uwstest.Service) jetstream.JetStream {
	t.Helper()
	keys, err := p.Credentials(t.Context(), s.ID)
	if err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(s.Endpoint, nats.UserInfo(keys["user"], keys["password"]), nats.Timeout(10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func publish(t *testing.T, js jetstream.JetStream, text string) {
	t.Helper()
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "orders", Subjects: []string{"orders.>"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "orders.new", []byte(text)); err != nil {
		t.Fatal(err)
	}
}

func wantMessage(t *testing.T, js jetstream.JetStream, text string) {
	t.Helper()
	stream, err := js.Stream(t.Context(), "orders")
	if err != nil {
		t.Fatal(err)
	}
	m, err := stream.GetLastMsgForSubject(t.Context(), "orders.new")
	if err != nil || string(m.Data) != text {
		t.Fatalf("message %v, %v; want %q", m, err, text)
	}
}

// message is what the npm client prints of serviceHealthChanged.
type message struct {
	Cursor, ServiceID, Name, Phase, PreviousPhase, Health, Reason string
	Healthy                                                       bool
	ExitCode                                                      *int
}

func (m message) String() string { return m.Name + " " + m.Phase + "/" + m.Health }

// subscriber is the npm graphql-ws client, subscribed to serviceHealthChanged.
type subscriber struct {
	t        *testing.T
	messages chan message
	lines    chan map[string]any // what is not a message
	seen     []message
}

const subscription = `subscription($since: String, $serviceId: ID) {
	serviceHealthChanged(since: $since, serviceId: $serviceId) { cursor serviceId name previousPhase phase health healthy reason exitCode }
}`

// subscribe starts the npm client and waits until it is connected. options are added to client.mjs's.
func subscribe(t *testing.T, p *uwstest.Process, options map[string]any) *subscriber {
	t.Helper()
	arg := map[string]any{"url": "ws" + strings.TrimPrefix(p.URL, "http") + "/graphql", "query": subscription, "resume": true}
	for k, v := range options {
		arg[k] = v
	}
	encoded, err := json.Marshal(arg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "node", "client.mjs", string(encoded))
	cmd.Dir, cmd.Stderr = filepath.Join(repo, "test", "graphql-ws"), os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &subscriber{t: t, messages: make(chan message, 1000), lines: make(chan map[string]any, 1000)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.read(out)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
		_ = cmd.Wait()
	})
	s.line("connected")
	return s
}

func (s *subscriber) read(out io.Reader) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var line struct {
			Next *struct {
				Data struct{ ServiceHealthChanged message }
			}
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err == nil && line.Next != nil {
			s.messages <- line.Next.Data.ServiceHealthChanged
			continue
		}
		var other map[string]any
		if json.Unmarshal(lines.Bytes(), &other) == nil {
			s.lines <- other
		}
	}
}

// line waits for a line that is not a message and has this field.
func (s *subscriber) line(field string) map[string]any {
	s.t.Helper()
	patience := time.After(uwstest.Patience)
	for {
		select {
		case l := <-s.lines:
			if _, ok := l[field]; ok {
				return l
			}
		case <-patience:
			s.t.Fatalf("the npm client never printed %q", field)
		}
	}
}

// until waits for a message, remembering those before it.
func (s *subscriber) until(what string, ok func(message) bool) message {
	s.t.Helper()
	patience := time.After(uwstest.Patience)
	for {
		select {
		case m := <-s.messages:
			s.seen = append(s.seen, m)
			if ok(m) {
				return m
			}
		case <-patience:
			s.t.Fatalf("no message: %s; seen %v", what, s.seen)
		}
	}
}
