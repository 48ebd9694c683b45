package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/test/uwstest"
)

// message is a message of serviceHealthChanged as the npm client prints it.
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
	lines    chan map[string]any // lines that are not messages
	seen     []message
}

const subscription = `subscription($since: String, $serviceId: ID) {
	serviceHealthChanged(since: $since, serviceId: $serviceId) { cursor serviceId name previousPhase phase health healthy reason exitCode }
}`

// subscribe starts the npm client. It returns once the client is connected. options are added to those of client.mjs.
func subscribe(t *testing.T, p *uwstest.Process, options map[string]any) *subscriber {
	t.Helper()
	arg := map[string]any{"url": "ws" + strings.TrimPrefix(p.URL, "http") + "/graphql", "token": p.Token, "query": subscription, "resume": true}
	for k, v := range options {
		arg[k] = v
	}
	encoded, err := json.Marshal(arg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "node", "client.mjs", string(encoded))
	cmd.Dir, cmd.Stderr = repoFile(t, "test", "graphql-ws"), os.Stderr
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

// line waits for a line that is not a message and has the given field.
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

// until waits for a message, and records those before it.
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
