package docker

import (
	"context"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/go-connections/nat"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// labelled returns a filter for the containers of this installation that also have the labels in more.
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
	d.runs.learn(c)
	o := observe(c)
	d.mu.Lock()
	if end, ok := d.ends[c.ID]; ok && end.seen.Seen {
		switch {
		case !o.Running && !end.at.Before(o.StartedAt): // the engine's flag may be of a child that was killed long before
			o.OOMKilled = &end.seen.OOMKilled
		case o.Running && end.at.Before(o.StartedAt):
			o.Before = end.seen
		}
	}
	d.mu.Unlock()
	if err := d.acted(ctx, c, &o); err != nil {
		return driver.Observed{}, err
	}
	return o, nil
}

// observe converts a container's state. The engine reports a container as running that it is about to restart.
func observe(c container.InspectResponse) driver.Observed {
	s := c.State
	o := driver.Observed{
		Service: c.Config.Labels[driver.LabelService], Volume: c.Config.Labels[labelVolume], Exists: true,
		Running: s.Running && !s.Restarting, Restarting: s.Restarting, Paused: s.Paused, Frozen: s.Paused,
		StartedAt: parseTime(s.StartedAt), SpecHash: c.Config.Labels[driver.LabelSpecHash], Image: c.Config.Labels[labelImage],
		Generation: generationOf(c.Config.Labels), AutoRestart: driver.AutoRestartOff, Restarts: c.RestartCount,
	}
	if restartsItself(c) {
		o.AutoRestart = driver.AutoRestartOn
	}
	if o.StartedAt.IsZero() { // it never ran
		return o
	}
	o.Instance = instanceOf(c)
	if o.Running {
		o.Endpoints = endpointsOf(c)
	} else {
		code, oom := s.ExitCode, s.OOMKilled
		o.StoppedAt, o.ExitCode, o.OOMKilled = parseTime(s.FinishedAt), &code, &oom
	}
	return o
}

// endpointsOf returns where the ports of a running container are published, nil if it was created before [labelPorts].
func endpointsOf(c container.InspectResponse) map[string]netip.AddrPort {
	if c.NetworkSettings == nil {
		return nil
	}
	var all map[string]netip.AddrPort
	for _, field := range strings.Fields(c.Config.Labels[labelPorts]) {
		name, target, _ := strings.Cut(field, "=")
		for _, b := range c.NetworkSettings.Ports[nat.Port(target)] {
			port, err := strconv.ParseUint(b.HostPort, 10, 16)
			if err != nil {
				continue
			}
			if all == nil {
				all = map[string]netip.AddrPort{}
			}
			address, _ := netip.ParseAddr(b.HostIP) // invalid: all addresses
			all[name] = netip.AddrPortFrom(address, uint16(port))
			break // an engine with IPv6 has another one for it
		}
	}
	return all
}

// instanceOf returns the id of the newest run of a container.
func instanceOf(c container.InspectResponse) string { return short(c.ID) + "@" + c.State.StartedAt }

// generationOf returns the generation of the spec that a container with these labels was created from.
func generationOf(labels map[string]string) int {
	return driver.ParseGeneration(labels[driver.LabelGeneration])
}

// parseTime parses a time of the engine. Year 1 means never.
func parseTime(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || t.Year() <= 1 {
		return time.Time{}
	}
	return t
}

// Volumes implements [driver.Driver].
func (d *Driver) Volumes(ctx context.Context) ([]driver.Volume, error) {
	if err := d.agree(ctx); err != nil {
		return nil, err
	}
	found, err := d.client.VolumeList(ctx, volume.ListOptions{Filters: d.labelled()})
	if err != nil {
		return nil, failed(err, "listing the volumes")
	}
	var half map[string]bool
	if slices.ContainsFunc(found.Volumes, func(v *volume.Volume) bool { return imported(v.Labels) }) {
		if half, err = d.unfinishedImports(ctx); err != nil {
			return nil, err
		}
	}
	var all []driver.Volume
	for _, v := range found.Volumes {
		if id := v.Labels[labelVolume]; id != "" && v.Name == d.volumeOf(id) && !half[id] { // or its name is not that of its id
			all = append(all, driver.Volume{ID: id, Service: v.Labels[driver.LabelName], CreatedAt: createdAt(v)})
		}
	}
	return all, nil
}

func createdAt(v *volume.Volume) time.Time { return parseTime(v.CreatedAt).UTC().Truncate(time.Second) }

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
		if _, whole := d.wholeName(c); !whole || service == "" {
			continue
		}
		all = append(all, driver.Observed{
			Service: service, Volume: c.Labels[labelVolume], Exists: true,
			Running:    c.State == container.StateRunning || c.State == container.StatePaused,
			Restarting: c.State == container.StateRestarting,
			Paused:     c.State == container.StatePaused, Frozen: c.State == container.StatePaused,
			SpecHash: c.Labels[driver.LabelSpecHash], Generation: generationOf(c.Labels), Image: c.Labels[labelImage],
		})
	}
	return all, nil
}
