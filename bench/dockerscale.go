package main

import (
	"context"
	"fmt"
	"time"

	"github.com/unicorn-web-services/uws/engines/images"
	"github.com/unicorn-web-services/uws/test/dockertest"
	"github.com/unicorn-web-services/uws/test/uwstest"
)

const (
	manyContainers = 300
	launching      = 8                // at a time
	settling       = 10 * time.Minute // the longer a log is silent, the more rarely its stream is looked at
	steadyFor      = 2 * time.Minute
)

// dockerMany runs 300 queues on one engine, and tells what uws and the engine use while nothing happens, with uws and
// without, and how long a new uws takes to adopt them all.
func dockerMany(ctx context.Context, b bench) error {
	e, p, err := onDocker(ctx, b, "nats")
	if err != nil {
		return err
	}
	began := time.Now()
	if err := launchMany(ctx, p); err != nil {
		return err
	}
	fmt.Printf("%d containers launched and healthy in %s\n", manyContainers, time.Since(began).Round(time.Second))

	if err := rest(ctx, settling); err != nil {
		return err
	}
	with, err := uses(ctx, e.Pid(), p.Cmd.Process.Pid)
	if err != nil {
		return err
	}
	rss, err := resident(p.Cmd.Process.Pid)
	if err != nil {
		return err
	}
	if err := p.Stop(); err != nil {
		return err
	}
	without, err := uses(ctx, e.Pid())
	if err != nil {
		return err
	}
	fmt.Printf("steady state over %s: uws %.2f %% of a core (goal: under 3), %.0f MB; dockerd %.2f %% with uws and %.2f %% without: %.2f %% because of us (goal: under 5)\n",
		steadyFor, with[1], float64(rss)/1e6, with[0], without[0], with[0]-without[0])
	return adopt(ctx, b, e)
}

func launchMany(ctx context.Context, p *uwstest.Process) error {
	pending := map[string]bool{}
	for i := range manyContainers {
		s, err := p.Launch(ctx, "QUEUE", fmt.Sprint("many-", i), map[string]any{"limits": map[string]any{"memoryMiB": 64, "cpus": 0.5, "pids": 64}})
		if err != nil {
			return err
		}
		pending[s.ID] = true
		for len(pending) > launching {
			if err := rest(ctx, 50*time.Millisecond); err != nil {
				return err
			}
			for id := range pending {
				s, err := p.Service(ctx, id)
				if err != nil {
					return err
				}
				if s.Health == "HEALTHY" {
					delete(pending, id)
				}
			}
		}
	}
	for id := range pending {
		if _, err := p.Healthy(ctx, id, 0); err != nil {
			return err
		}
	}
	return nil
}

// uses is what share of a core each process uses while nothing happens, in per cent.
func uses(ctx context.Context, pids ...int) ([]float64, error) {
	before := make([]time.Duration, len(pids))
	for i, pid := range pids {
		var err error
		if before[i], err = cpu(pid); err != nil {
			return nil, err
		}
	}
	if err := rest(ctx, steadyFor); err != nil {
		return nil, err
	}
	shares := make([]float64, len(pids))
	for i, pid := range pids {
		after, err := cpu(pid)
		if err != nil {
			return nil, err
		}
		shares[i] = 100 * float64(after-before[i]) / float64(steadyFor)
	}
	return shares, nil
}

// adopt starts uws again, and waits until each of its services was seen healthy by it.
func adopt(ctx context.Context, b bench, e *dockertest.Engine) error {
	all, err := images.All()
	if err != nil {
		return err
	}
	var refs []string
	for _, i := range all {
		refs = append(refs, i.Name+"="+i.Ref)
	}
	began := time.Now()
	p, err := dockerServe(ctx, b, e, refs)
	if err != nil {
		return err
	}
	defer stop(p)
	ready := time.Since(began)
	start := time.Now().Add(-ready).UTC()
	err = uwstest.Until(ctx, "all were checked", func() (bool, error) {
		var out struct {
			Services struct {
				Nodes []struct {
					Health            string
					LastHealthCheckAt *time.Time
				}
			}
		}
		if err := p.Query(ctx, `{ services(first: 500) { nodes { health lastHealthCheckAt } } }`, nil, &out); err != nil {
			return false, err
		}
		for _, s := range out.Services.Nodes {
			if s.Health != "HEALTHY" || s.LastHealthCheckAt == nil || s.LastHealthCheckAt.Before(start) {
				return false, nil
			}
		}
		return len(out.Services.Nodes) == manyContainers, nil
	})
	if err != nil {
		return err
	}
	fmt.Printf("a new uws is ready after %s, and has adopted and checked all %d after %s (goal: under 5 s)\n",
		ready.Round(time.Millisecond), manyContainers, time.Since(began).Round(time.Millisecond))
	return nil
}
