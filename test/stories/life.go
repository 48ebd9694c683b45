package stories

import (
	"fmt"
	"syscall"
	"testing"

	"github.com/unicorn-web-services/uws/test/uwstest"
)

// Host gives tests access to the processes of services, bypassing uws.
type Host interface {
	// EnginePID returns the process of a service, or 0 if there is none.
	EnginePID(service string) (int, error)
}

// Engine of a kind, and a client that speaks to it.
type Engine struct {
	Kind, Template string
	Client         Client
}

// Engines are the engines that need no registry. Official are those of the default images on Docker.
var (
	Engines = []Engine{
		{"BUCKET", "versitygw", S3}, {"DB", "postgres", Postgres}, {"NOSQL", "ferretdb", MongoDB},
		{"NOSQL", "redis", Redis}, {"QUEUE", "nats", NATS}, {"SECRETS", "setec", Setec},
	}
	Official = []Engine{
		{"BUCKET", "versitygw", S3}, {"DB", "postgres", Postgres}, {"NOSQL", "mongodb", MongoDB},
		{"NOSQL", "redis", Redis}, {"QUEUE", "nats", NATS}, {"SECRETS", "openbao", OpenBao},
	}
)

// Life takes a service through its whole life cycle: launch, write, kill, recover, stop, start, remove with the data retained,
// reattach, remove with the data. The written data must be there each time.
func Life(t *testing.T, p *uwstest.Process, host Host, kind, template string, c Client) {
	t.Helper()
	ctx := t.Context()
	input := map[string]any{"template": template}
	s := Launch(t, p, kind, "life", input)
	keys, err := p.Credentials(ctx, s.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Write(ctx, s.Endpoint, keys, "meow"); err != nil {
		t.Fatalf("writing: %v", err)
	}
	there := func(when string, s *uwstest.Service) {
		t.Helper()
		text, err := c.Read(ctx, s.Endpoint, keys)
		if err != nil || text != "meow" {
			t.Fatalf("%s: read %q, %v", when, text, err)
		}
	}
	there("at first", s)
	hasLog(t, p, s.ID, keys)
	hasStats(t, p, s.ID, template)
	hasUsage(t, p, s.ID)

	Signal(t, host, s.ID, syscall.SIGKILL)
	there("after a kill", Healthy(t, p, s.ID, 1))
	hasTail(t, p, s.ID)

	if err := p.Do(ctx, "stopService", s.ID); err != nil {
		t.Fatal(err)
	}
	WaitFor(t, p, s.ID, "stopped", func(s *uwstest.Service) bool { return s.Phase == "STOPPED" })
	if pid, err := host.EnginePID(s.ID); pid != 0 || err != nil {
		t.Errorf("process %d runs although the service is stopped (%v)", pid, err)
	}
	if err := p.Do(ctx, "startService", s.ID); err != nil {
		t.Fatal(err)
	}
	there("after stop and start", Healthy(t, p, s.ID, 1))

	Remove(t, p, s.ID, "RETAIN")
	kept := Retained(t, p)
	if len(kept) != 1 {
		t.Fatalf("retained data %v, want one", kept)
	}
	input["reattach"] = kept[0]
	again := Launch(t, p, kind, "life", input)
	if now, err := p.Credentials(ctx, again.ID); err != nil || fmt.Sprint(now) != fmt.Sprint(keys) {
		t.Errorf("the credentials changed (%v)", err)
	}
	there("after it was attached again", again)

	Remove(t, p, again.ID, "DELETE")
	if kept := Retained(t, p); len(kept) != 0 {
		t.Errorf("retained data %v, want none", kept)
	}
}

// Remove removes a service and waits until it no longer exists.
func Remove(t *testing.T, p *uwstest.Process, id, data string) {
	t.Helper()
	err := p.Query(t.Context(), `mutation($id: ID!, $data: DataPolicy) { removeService(id: $id, data: $data) { id } }`,
		map[string]any{"id": id, "data": data}, nil)
	if err != nil {
		t.Fatal(err)
	}
	WaitFor(t, p, id, "gone", func(s *uwstest.Service) bool { return s == nil })
}

// Retained returns the ids of retained data.
func Retained(t *testing.T, p *uwstest.Process) []string {
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

// Launch launches a service and waits until it is healthy.
func Launch(t *testing.T, p *uwstest.Process, kind, name string, more map[string]any) *uwstest.Service {
	t.Helper()
	s, err := p.Launch(t.Context(), kind, name, more)
	if err != nil {
		t.Fatal(err)
	}
	return Healthy(t, p, s.ID, 0)
}

// Healthy waits until a service is healthy after at least the given number of restarts.
func Healthy(t *testing.T, p *uwstest.Process, id string, restarts int) *uwstest.Service {
	t.Helper()
	s, err := p.Healthy(t.Context(), id, restarts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// WaitFor waits until a service satisfies ok. The service is nil if it does not exist.
func WaitFor(t *testing.T, p *uwstest.Process, id, what string, ok func(*uwstest.Service) bool) *uwstest.Service {
	t.Helper()
	s, err := p.WaitFor(t.Context(), id, what, ok)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Signal sends a signal to the process of a service, which must exist.
func Signal(t *testing.T, host Host, service string, sig syscall.Signal) {
	t.Helper()
	pid, err := host.EnginePID(service)
	if err != nil || pid == 0 {
		t.Fatalf("no process runs service %s (%v)", service, err)
	}
	if err := syscall.Kill(pid, sig); err != nil {
		t.Fatal(err)
	}
}
