package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/probe"
	"github.com/unicorn-web-services/uws/test/dockertest"
	"github.com/unicorn-web-services/uws/test/uwstest"
)

const (
	postgresTrials = 10
	twinPort       = "19003"
)

// dockerHealPostgres kills the main process of a PostgreSQL in its container, in turn under uws and in the same container
// with restart=always alone. Under uws the time counts until the event that says HEALTHY, in the other until the same
// probe, sent every 5 ms, is OK.
func dockerHealPostgres(ctx context.Context, b bench) error {
	e, p, err := onDocker(ctx, b, "postgres")
	if err != nil {
		return err
	}
	defer stop(p)
	s, err := p.Launch(ctx, "DB", "heal", map[string]any{"template": "postgres"})
	if err != nil {
		return err
	}
	if _, err := p.Healthy(ctx, s.ID, 0); err != nil {
		return err
	}
	container, err := e.Container(s.ID)
	if err != nil {
		return err
	}
	other, err := twin(ctx, e, container)
	if err != nil {
		return fmt.Errorf("the same container: %w", err)
	}
	var own sample
	for range postgresTrials {
		if err := settle(ctx, p, s.ID); err != nil {
			return err
		}
		if err := rest(ctx, calm); err != nil {
			return err
		}
		took, err := crashToHealthy(ctx, e, p, s.ID)
		if err != nil {
			return err
		}
		own = append(own, took)
		if err := other.kill(ctx, e); err != nil {
			return fmt.Errorf("the same container: %w", err)
		}
	}
	fmt.Printf("SIGKILL to healthy,   uws            %s\n", own)
	fmt.Printf("SIGKILL to answering, restart=always %s\n", other.took)
	fmt.Printf("ratio of medians %.2f (goal: at most 1.10)\n", ratio(own.at(0.5), other.took.at(0.5)))
	return nil
}

// crashToHealthy returns how long after the SIGKILL of its main process a service's event says HEALTHY.
func crashToHealthy(ctx context.Context, e *dockertest.Engine, p *uwstest.Process, id string) (time.Duration, error) {
	before, err := p.Service(ctx, id)
	if err != nil {
		return 0, err
	}
	pid, err := e.EnginePID(id)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return 0, err
	}
	if _, err := p.Healthy(ctx, id, before.Restarts+1); err != nil {
		return 0, err
	}
	var out struct {
		Events struct {
			Nodes []struct {
				Health string
				At     time.Time
			}
		}
	}
	err = p.Query(ctx, `query($id: ID!) { events(filter: {serviceId: $id}, first: 1) { nodes { health at } } }`, map[string]any{"id": id}, &out)
	if err != nil {
		return 0, err
	}
	if n := out.Events.Nodes; len(n) != 1 || n[0].Health != "HEALTHY" {
		return 0, fmt.Errorf("the newest event is %+v, and does not say HEALTHY", n)
	}
	return out.Events.Nodes[0].At.Sub(began), nil
}

// twin makes a container like another, with a volume and a port of its own, which the engine restarts always.
func twin(ctx context.Context, e *dockertest.Engine, of string) (*contender, error) {
	body, err := e.Call(http.MethodGet, "/containers/"+of+"/json", nil)
	if err != nil {
		return nil, err
	}
	var c struct {
		Config, HostConfig map[string]any
	}
	if err := json.Unmarshal(body, &c); err != nil {
		return nil, err
	}
	for _, m := range c.HostConfig["Mounts"].([]any) {
		m.(map[string]any)["Source"] = "twin"
	}
	for _, bindings := range c.HostConfig["PortBindings"].(map[string]any) {
		for _, b := range bindings.([]any) {
			b.(map[string]any)["HostPort"] = twinPort
		}
	}
	c.HostConfig["RestartPolicy"] = map[string]any{"Name": "always"}
	delete(c.Config, "Labels")
	delete(c.Config, "Hostname")
	credentials := map[string]string{"database": "postgres"}
	for _, v := range c.Config["Env"].([]any) {
		switch name, value, _ := strings.Cut(v.(string), "="); name {
		case "POSTGRES_USER":
			credentials["user"] = value
		case "POSTGRES_PASSWORD":
			credentials["password"] = value
		}
	}
	c.Config["HostConfig"] = c.HostConfig
	request, err := json.Marshal(c.Config)
	if err != nil {
		return nil, err
	}
	if _, err := e.Call(http.MethodPost, "/containers/create?name=twin", strings.NewReader(string(request))); err != nil {
		return nil, err
	}
	// The files that uws gave it.
	if files, err := e.Call(http.MethodGet, "/containers/"+of+"/archive?path="+url.QueryEscape("/etc/uws"), nil); err == nil {
		if _, err := e.Call(http.MethodPut, "/containers/twin/archive?path="+url.QueryEscape("/etc"), strings.NewReader(string(files))); err != nil {
			return nil, err
		}
	}
	if _, err := e.Docker("start", "twin"); err != nil {
		return nil, err
	}
	ask, _ := probe.Lookup("postgres")
	t := &contender{name: "restart=always", container: "twin", patient: patient{ask: ask, target: probe.Target{Address: "127.0.0.1:" + twinPort, Credentials: credentials}}}
	return t, uwstest.Until(ctx, "the same container answers", func() (bool, error) {
		return probe.Run(ctx, t.ask, t.target, time.Second, time.Now).Verdict == probe.OK, nil
	})
}
