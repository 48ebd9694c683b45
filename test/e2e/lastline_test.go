package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/unicorn-web-services/uws/test/uwstest"
)

// A database that cannot start because of its settings has a reason code for that. Operators also see its last log line,
// without secrets.
func TestFatalLine(t *testing.T) {
	ctx, dir := t.Context(), folder(t)
	p := serve(t, dir)
	s := launch(t, p, "DB", "accounts", nil)
	secret := reveal(t, p, s.ID)["password"]
	settings, err := filepath.Glob(filepath.Join(dir, "process", "volumes", "*", "postgresql.auto.conf"))
	if err != nil || len(settings) != 1 {
		t.Fatal(settings, err)
	}
	before, err := os.ReadFile(settings[0])
	if err != nil {
		t.Fatal(err)
	}
	change := func(text string) {
		t.Helper()
		f, err := os.OpenFile(settings[0], os.O_WRONLY|os.O_TRUNC, 0)
		if err == nil {
			_, err = f.WriteString(text)
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	seen := firstChange(t, p, s.ID)
	change("shared_preload_libraries = 'nope-" + secret + "'\n")
	kill(t, enginePID(t, s.ID), syscall.SIGKILL)

	type told struct {
		Reason, ReasonCode string
		LogLine            *string
	}
	ask := func(token string) (service told, event *told) {
		t.Helper()
		as := *p
		as.Token = token
		var out struct {
			Service told
			Events  struct{ Nodes []told }
		}
		if err := as.Query(ctx, `query($id: ID!) { service(id: $id) { reason reasonCode logLine }
			events(filter: {serviceId: $id}) { nodes { reason reasonCode logLine } } }`, map[string]any{"id": s.ID}, &out); err != nil {
			t.Fatal(err)
		}
		for _, e := range out.Events.Nodes {
			if e.ReasonCode == "ENGINE_FATAL" {
				event = &e
			}
		}
		return out.Service, event
	}
	waitFor(t, p, s.ID, "failed to start", func(*uwstest.Service) bool { _, event := ask(p.Token); return event != nil })
	service, event := ask(p.Token)
	for what, line := range map[string]*string{"service": service.LogLine, "event": event.LogLine} {
		if line == nil || !strings.Contains(*line, `could not access file "nope-***"`) {
			t.Errorf("the log line of the %s is %v", what, line)
		}
	}
	want(t, event.Reason, "exited with code 1", "FATAL")
	if strings.Contains(event.Reason, "nope") {
		t.Errorf("the reason, which everybody sees, quotes the log: %s", event.Reason)
	}
	var made struct{ CreateToken struct{ Secret string } }
	if err := p.Query(ctx, `mutation { createToken(input: {name: "viewer", role: VIEWER}) { secret } }`, nil, &made); err != nil {
		t.Fatal(err)
	}
	for token, sees := range map[string]bool{p.Token: true, made.CreateToken.Secret: false} {
		c := changeOf(t, p, token, seen, "ENGINE_FATAL")
		if sees != strings.Contains(c.LogLine, "nope-***") || !sees && c.LogLine != "" {
			t.Errorf("the log line of the message is %q; want one: %t", c.LogLine, sees)
		}
	}
	if service, event := ask(made.CreateToken.Secret); service.LogLine != nil || event == nil || event.LogLine != nil {
		t.Error("a VIEWER gets the log line")
	}

	change(string(before))
	healthy(t, p, s.ID, 1)
	if service, _ := ask(p.Token); service.LogLine != nil {
		t.Errorf("it is healthy, but still has the log line %q", *service.LogLine)
	}
}

// firstChange restarts a service until a subscriber gets a message, and returns its cursor.
func firstChange(t *testing.T, p *uwstest.Process, id string) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	heard, done := make(chan string, 1), make(chan error, 1)
	var listening sync.WaitGroup
	listening.Go(func() {
		done <- p.Subscribe(ctx, "", func(c uwstest.Change) {
			select {
			case heard <- c.Cursor:
			default:
			}
		})
	})
	defer listening.Wait()
	defer cancel()
	for {
		if err := p.Query(ctx, `mutation($id: ID!) { restartService(id: $id) { id } }`, map[string]any{"id": id}, nil); err != nil {
			t.Fatal(err)
		}
		waitFor(t, p, id, "restarted", func(s *uwstest.Service) bool { return s.Phase == "RUNNING" && s.Health == "HEALTHY" })
		select {
		case cursor := <-heard:
			return cursor
		case err := <-done:
			t.Fatal(err)
		default:
		}
	}
}

// changeOf returns the first change after a cursor with this code, as the owner of the token gets it.
func changeOf(t *testing.T, p *uwstest.Process, token, since, code string) (found uwstest.Change) {
	t.Helper()
	as := *p
	as.Token = token
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := as.Subscribe(ctx, since, func(c uwstest.Change) {
		if c.ReasonCode == code && found.ID == "" {
			found = c
			cancel()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
