package docker

import (
	"context"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// Freeze implements [driver.Freezer]. The engine pauses the container, and keeps it paused after its own restart if the container
// outlives that.
func (d *Driver) Freeze(ctx context.Context, service string) error {
	if err := d.own(ctx); err != nil {
		return err
	}
	c, err := d.find(ctx, service)
	if err != nil {
		return err
	}
	switch {
	case c.State.Paused:
		return nil
	case !c.State.Running || c.State.Restarting:
		return driver.Errorf(driver.NotCreated, "container %s does not run", d.containerOf(service))
	}
	err = d.client.ContainerPause(ctx, c.ID)
	if err == nil {
		return nil
	}
	now, inspectErr := d.findNamed(ctx, c.ID)
	switch {
	case inspectErr == nil && now.State.Paused: // by somebody else
		return nil
	case missing(inspectErr), inspectErr == nil && !now.State.Running:
		return driver.Errorf(driver.NotCreated, "container %s does not run: %w", d.containerOf(service), err)
	}
	return failed(err, "pausing container %s", d.containerOf(service))
}

// Thaw implements [driver.Freezer].
func (d *Driver) Thaw(ctx context.Context, service string) error {
	if err := d.own(ctx); err != nil {
		return err
	}
	c, err := d.find(ctx, service)
	if missing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return d.goOn(ctx, c)
}

// goOn lets a container go on if it is paused.
func (d *Driver) goOn(ctx context.Context, c container.InspectResponse) error {
	if !c.State.Paused {
		return nil
	}
	if err := d.client.ContainerUnpause(ctx, c.ID); err != nil && !errdefs.IsConflict(err) && !errdefs.IsNotFound(err) {
		return failed(err, "letting container %s go on", d.nameOf(c))
	}
	return nil
}
