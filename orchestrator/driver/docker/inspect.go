package docker

import (
	"context"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// labelled selects containers of this installation's that bear further labels too.
func (d *Driver) labelled(more ...string) filters.Args {
	f := filters.NewArgs(filters.Arg("label", driver.LabelInstallation+"="+d.installation))
	for _, l := range more {
		f.Add("label", l)
	}
	return f
}

// Inspect implements [driver.Driver].
func (d *Driver) Inspect(ctx context.Context, service string) (driver.Observed, error) {
	c, err := d.find(ctx, service)
	if missing(err) {
		return driver.Observed{}, nil
	}
	if err != nil {
		return driver.Observed{}, err
	}
	o := observe(c)
	if o.Running {
		d.mu.Lock()
		if end, ok := d.ends[c.ID]; ok && end.seen.Seen && end.at.Before(o.StartedAt) {
			o.Before = end.seen
		}
		d.mu.Unlock()
	}
	return o, nil
}

// observe is what a container's state means to us. The engine calls one running that it is about to restart.
func observe(c container.InspectResponse) driver.Observed {
	s := c.State
	o := driver.Observed{
		Service: c.Config.Labels[driver.LabelService], Exists: true,
		Running: s.Running && !s.Restarting, Restarting: s.Restarting, Paused: s.Paused, Frozen: s.Paused,
		StartedAt: parseTime(s.StartedAt), SpecHash: c.Config.Labels[driver.LabelSpecHash], Image: c.Config.Labels[labelImage],
		AutoRestart: driver.AutoRestartOff, Restarts: c.RestartCount,
	}
	if restartsItself(c) {
		o.AutoRestart = driver.AutoRestartOn
	}
	if o.StartedAt.IsZero() { // it never ran
		return o
	}
	o.Instance = short(c.ID) + "@" + s.StartedAt
	if !o.Running {
		code, oom := s.ExitCode, s.OOMKilled
		o.StoppedAt, o.ExitCode, o.OOMKilled = parseTime(s.FinishedAt), &code, &oom
	}
	return o
}

// parseTime reads a time of the engine's, which has the year 1 for never.
func parseTime(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || t.Year() <= 1 {
		return time.Time{}
	}
	return t
}

// List implements [driver.Driver].
func (d *Driver) List(ctx context.Context) ([]driver.Observed, error) {
	if err := d.agree(ctx); err != nil {
		return nil, err
	}
	found, err := d.client.ContainerList(ctx, container.ListOptions{All: true, Filters: d.labelled()})
	if err != nil {
		return nil, failed(err, "listing the containers")
	}
	all := make([]driver.Observed, 0, len(found))
	for _, c := range found {
		service := c.Labels[driver.LabelService]
		if len(c.Names) == 0 || c.Names[0] != "/"+d.containerOf(service) { // one that is being built
			continue
		}
		all = append(all, driver.Observed{
			Service: service, Exists: true,
			Running:    c.State == container.StateRunning || c.State == container.StatePaused,
			Restarting: c.State == container.StateRestarting,
			Paused:     c.State == container.StatePaused, Frozen: c.State == container.StatePaused,
			SpecHash: c.Labels[driver.LabelSpecHash], Image: c.Labels[labelImage],
		})
	}
	return all, nil
}
