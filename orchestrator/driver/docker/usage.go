package docker

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/docker/docker/api/types/container"
	"golang.org/x/sync/errgroup"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/machine"
)

const (
	// usageAtOnce is how many containers the engine is asked about at once.
	usageAtOnce = 8
	// usageTimeout bounds the requests about one container.
	usageTimeout = 5 * time.Second
)

// Usage implements [driver.UsageReader]. It reads the control groups of containers on this machine, which takes no request, and has
// an engine elsewhere measure.
func (d *Driver) Usage(ctx context.Context, services []string) (map[string]driver.Usage, error) {
	all := map[string]driver.Usage{}
	var asked []target
	var unknown []string
	for _, service := range services {
		t, ok := d.targets.of(service)
		if ok && t.here == nil {
			asked = append(asked, t)
			continue
		}
		if ok {
			if use, err := t.here.usage(t.run); err == nil {
				all[service] = use
				continue
			}
		}
		unknown = append(unknown, service) // or that run has ended
	}
	found, problem := d.findRunning(ctx, unknown)
	asked = append(asked, found...)

	results := make([]result, len(asked))
	var requests errgroup.Group
	requests.SetLimit(usageAtOnce)
	for i, t := range asked {
		requests.Go(func() error {
			results[i] = d.ask(ctx, t)
			return nil
		})
	}
	_ = requests.Wait() // they return nil
	for i, r := range results {
		if r.err == nil {
			all[asked[i].service] = r.use
		} else if !errors.Is(r.err, errNotRunning) {
			problem = cmp.Or(problem, r.err)
		}
	}
	if len(all) > 0 {
		problem = nil
	}
	return all, problem
}

// UsageInterval implements [driver.UsageReader].
func (d *Driver) UsageInterval() time.Duration {
	if d.targets.areHere() {
		return 10 * time.Second
	}
	return 30 * time.Second
}

// NodeUsage implements [driver.NodeUsageReader].
func (d *Driver) NodeUsage(ctx context.Context) (*driver.NodeUsage, error) {
	if !d.isHere(ctx) {
		return nil, nil
	}
	use, err := machine.Linux.Usage()
	if err != nil {
		return nil, err
	}
	return &use, nil
}

// findRunning returns the containers of those of the services that run.
func (d *Driver) findRunning(ctx context.Context, services []string) ([]target, error) {
	if len(services) == 0 {
		return nil, nil
	}
	if err := d.agree(ctx); err != nil {
		return nil, err
	}
	listed, err := d.client.ContainerList(ctx, container.ListOptions{Filters: d.labelled()})
	if err != nil {
		return nil, failed(err, "listing the containers that run")
	}
	ids := map[string]string{}
	for _, c := range listed {
		if _, whole := d.wholeName(c); whole {
			ids[c.Labels[driver.LabelService]] = c.ID
		}
	}
	var found []target
	for _, service := range services {
		if id := ids[service]; id != "" {
			found = append(found, target{service: service, container: id})
		}
	}
	return found, nil
}

// result is what a container uses, or why that is not known.
type result struct {
	use driver.Usage
	err error
}

// errNotRunning is the error of a container that does not run, or not any more.
var errNotRunning = errors.New("the container does not run")

// ask measures a container. Unless its run is known, it inspects it first, and remembers what it finds.
func (d *Driver) ask(ctx context.Context, t target) (r result) {
	ctx, cancel := context.WithTimeout(ctx, usageTimeout)
	defer cancel()
	known := t.run != ""
	if !known {
		before := d.targets.now()
		c, err := d.client.ContainerInspect(ctx, t.container)
		switch {
		case err != nil && classOf(err) == driver.NotCreated, err == nil && (!c.State.Running || c.State.Restarting):
			return result{err: errNotRunning}
		case err != nil:
			return result{err: failed(err, "inspecting container %s", d.containerOf(t.service))}
		}
		t.run, t.here = instanceOf(c), d.taskOf(c)
		known = d.targets.learn(t, before)
	}
	if t.here != nil {
		r.use, r.err = t.here.usage(t.run)
		return r
	}
	r.use, r.err = d.stats(ctx, t)
	if r.err == nil && known && !d.targets.has(t) {
		return result{err: errNotRunning} // that run has ended meanwhile
	}
	return r
}
