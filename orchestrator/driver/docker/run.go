package docker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	volumes "github.com/docker/docker/api/types/volume"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// Start implements [driver.Driver].
func (d *Driver) Start(ctx context.Context, service string) error {
	if err := d.own(ctx); err != nil {
		return err
	}
	c, err := d.find(ctx, service)
	if err != nil {
		return err
	}
	if c.State.Paused {
		return d.goOn(ctx, c)
	}
	if c.State.Running || c.State.Restarting {
		return nil
	}
	// If the volume were missing, the engine would mount an empty folder.
	if err := d.volumeThere(ctx, c.Config.Labels[labelVolume]); err != nil {
		return err
	}
	d.runs.starts(c)
	if err := d.client.ContainerStart(ctx, c.ID, container.StartOptions{}); err != nil {
		return d.cannotStart(ctx, c, startError(err, c), portAllocated(err))
	}
	return nil
}

// cannotStart returns the error of a container that its engine did not start, marked as unstartable if a new container may
// start. An engine that was killed can leave state of a container that blocks its start, such as a task, or an allocated port
// on which nothing listens. The data is in the volume, which stays.
func (d *Driver) cannotStart(ctx context.Context, c container.InspectResponse, err error, allocated bool) error {
	switch driver.ClassOf(err) {
	case driver.Transient, driver.Conflict:
	case driver.PortInUse:
		port, proxy := portOf(err), 0
		if !allocated {
			proxy = d.proxyOf(ctx, c, port)
		}
		if !allocated && proxy == 0 { // another program listens on it
			return err
		}
		if other := d.publisherOf(ctx, c); other != "" {
			return &driver.Error{Class: driver.PortInUse, Port: port, Err: fmt.Errorf("%w: container %s", err, other)}
		}
		if proxy != 0 { // left from this container's last run; making the container again would not free the port
			return driver.Errorf(driver.Transient, "port %d is still held by the engine's own docker-proxy, process %d, of the container's last run", port, proxy)
		}
	default:
		return err
	}
	return &driver.Error{Class: driver.ClassOf(err), Port: portOf(err), Unstartable: true, Err: err}
}

// portOf returns the port that an error is about, 0 if it is about none.
func portOf(err error) int {
	if e, ok := errors.AsType[*driver.Error](err); ok {
		return e.Port
	}
	return 0
}

// publisherOf returns another container that publishes a port of c; empty if there is none.
func (d *Driver) publisherOf(ctx context.Context, c container.InspectResponse) string {
	running, err := d.client.ContainerList(ctx, container.ListOptions{})
	if err != nil {
		return ""
	}
	for _, other := range running {
		for _, p := range other.Ports {
			for _, bindings := range c.HostConfig.PortBindings {
				for _, b := range bindings {
					if other.ID != c.ID && p.PublicPort != 0 && strconv.Itoa(int(p.PublicPort)) == b.HostPort {
						return strings.TrimPrefix(strings.Join(other.Names, ","), "/")
					}
				}
			}
		}
	}
	return ""
}

// SetAutoRestart implements [driver.AutoRestarter].
func (d *Driver) SetAutoRestart(ctx context.Context, service string, on bool) error {
	if err := d.own(ctx); err != nil {
		return err
	}
	c, err := d.find(ctx, service)
	if err != nil {
		return err
	}
	policy := container.RestartPolicy{Name: container.RestartPolicyDisabled}
	if on {
		policy.Name = container.RestartPolicyUnlessStopped
	}
	if restartsItself(c) == on {
		return nil
	}
	if _, err := d.client.ContainerUpdate(ctx, c.ID, container.UpdateConfig{RestartPolicy: policy}); err != nil {
		return failed(err, "changing the restart policy of container %s", d.containerOf(service))
	}
	return nil
}

func restartsItself(c container.InspectResponse) bool {
	return !c.HostConfig.RestartPolicy.IsNone()
}

// Stop implements [driver.Driver]. It signals through the engine, which then knows that the end is intended.
func (d *Driver) Stop(ctx context.Context, service string, grace time.Duration) error {
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
	if !c.State.Running && !c.State.Restarting {
		return nil
	}
	ended, failure := d.client.ContainerWait(ctx, c.ID, container.WaitConditionNotRunning) // before the signal, so that the end is not missed
	if grace > 0 && !c.State.Paused && !d.standsStill(ctx, c.ID) {
		if err := d.signal(ctx, c.ID, c.Config.StopSignal); err != nil {
			return err
		}
		killing := time.NewTimer(grace)
		defer killing.Stop()
		select {
		case <-ended:
			return nil
		case err := <-failure:
			return d.waited(err, service)
		case <-killing.C:
		}
	}
	if err := d.signal(ctx, c.ID, "SIGKILL"); err != nil {
		return err
	}
	select {
	case <-ended:
		return nil
	case err := <-failure:
		return d.waited(err, service)
	}
}

// standsStill reports whether all processes that a container's init process started are stopped by a signal, so that they do
// not handle another. It returns false if the engine cannot tell.
func (d *Driver) standsStill(ctx context.Context, id string) bool {
	top, err := d.client.ContainerTop(ctx, id, []string{"-eo", "pid,stat"})
	if err != nil {
		return false
	}
	stat := slices.Index(top.Titles, "STAT")
	working := 0
	for _, p := range top.Processes[min(1, len(top.Processes)):] {
		if stat < 0 || stat >= len(p) || !strings.HasPrefix(p[stat], "T") {
			return false
		}
		working++
	}
	return working > 0
}

func (d *Driver) waited(err error, service string) error {
	if errdefs.IsNotFound(err) { // it was removed meanwhile
		return nil
	}
	return failed(err, "waiting for the end of container %s", d.containerOf(service))
}

// signal sends a signal to the first process of a container. It is a no-op if the container has ended.
func (d *Driver) signal(ctx context.Context, id, signal string) error {
	if signal == "" {
		signal = "SIGTERM"
	}
	err := d.client.ContainerKill(ctx, id, signal)
	if err == nil || errdefs.IsNotFound(err) || errdefs.IsConflict(err) {
		return nil
	}
	return failed(err, "sending %s to a container", signal)
}

// Remove implements [driver.Driver].
func (d *Driver) Remove(ctx context.Context, service string) error {
	if err := d.own(ctx); err != nil {
		return err
	}
	if err := driver.CheckID("service", service); err != nil {
		return err
	}
	c, err := d.find(ctx, service)
	if err == nil {
		err = d.removeContainer(ctx, c.ID)
	}
	if missing(err) {
		err = nil
	}
	if err == nil {
		d.names.Delete(service)
	}
	return errors.Join(err, d.removeContainer(ctx, d.prefix()+service+building))
}

// removeContainer kills and removes a container and returns when it is gone. Its volume stays.
func (d *Driver) removeContainer(ctx context.Context, nameOrID string) error {
	c, err := d.findNamed(ctx, nameOrID)
	if missing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	gone, failure := d.client.ContainerWait(ctx, c.ID, container.WaitConditionRemoved)
	err = d.client.ContainerRemove(ctx, c.ID, container.RemoveOptions{Force: true, RemoveVolumes: true})
	switch {
	case errdefs.IsNotFound(err):
		return nil
	case err != nil && !errdefs.IsConflict(err): // a conflict: it is being removed already
		return failed(err, "removing container %s", nameOrID)
	}
	select {
	case <-gone:
		return nil
	case err := <-failure:
		if errdefs.IsNotFound(err) {
			return nil
		}
		return failed(err, "waiting until container %s is gone", nameOrID)
	}
}

// HasData implements [driver.Driver].
func (d *Driver) HasData(ctx context.Context, data driver.Data) (bool, error) {
	if err := d.agree(ctx); err != nil {
		return false, err
	}
	err := d.volumeThere(ctx, data.Volume)
	if err == nil {
		err = d.lookInto(ctx, data)
	}
	if driver.ClassOf(err) == driver.DataMissing {
		return false, nil
	}
	return err == nil, err
}

// volumeThere checks that there is such a volume.
// Errors: [driver.DataMissing] if there is not.
func (d *Driver) volumeThere(ctx context.Context, volume string) error {
	_, err := d.inspectVolume(ctx, volume)
	return err
}

// inspectVolume returns the engine's description of a volume.
// Errors: [driver.DataMissing] if there is none.
func (d *Driver) inspectVolume(ctx context.Context, volume string) (volumes.Volume, error) {
	if err := driver.CheckID("volume", volume); err != nil {
		return volumes.Volume{}, err
	}
	name := d.volumeOf(volume)
	v, err := d.client.VolumeInspect(ctx, name)
	if errdefs.IsNotFound(err) {
		return v, d.volumeMissing(ctx, volume)
	}
	if err != nil {
		return v, failed(err, "inspecting volume %s", name)
	}
	return v, d.complete(ctx, volume, v.Labels)
}

// volumeMissing returns a [driver.DataMissing] error. In a clone it names the volume of the original.
func (d *Driver) volumeMissing(ctx context.Context, volume string) error {
	name := d.volumeOf(volume)
	if d.clonedFrom != "" {
		original := prefixOf(d.clonedFrom) + volume
		if _, err := d.client.VolumeInspect(ctx, original); err == nil {
			return driver.Errorf(driver.DataMissing, "volume %s is not there: this uws is a clone, and the data stays with the original in volume %s, which a clone never touches; copy that volume to have a copy of the data here", name, original)
		}
	}
	return driver.Errorf(driver.DataMissing, "volume %s is not there", name)
}

// RemoveData implements [driver.Driver]. The engine does not remove a volume that a container has, even if that does not run,
// so RemoveData removes the containers of this installation that have it.
func (d *Driver) RemoveData(ctx context.Context, data driver.Data) error {
	if err := d.agree(ctx); err != nil {
		return err
	}
	if err := d.own(ctx); err != nil {
		return err
	}
	if err := driver.CheckID("volume", data.Volume); err != nil {
		return err
	}
	free, err := d.useVolume(ctx, data.Volume)
	if err != nil {
		return err
	}
	defer free()
	if err := d.removeUnfinished(ctx, data.Volume); err != nil {
		return err
	}
	name := d.volumeOf(data.Volume)
	v, err := d.client.VolumeInspect(ctx, name)
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return failed(err, "inspecting volume %s", name)
	}
	if !d.ours(v.Labels) && !data.Used {
		return driver.Errorf(driver.DataMissing, "volume %s is not ours: it lacks the label %s=%s", name, driver.LabelInstallation, d.installation)
	}
	if err := data.CheckAge("volume "+name, createdAt(&v)); err != nil {
		return err
	}
	having := d.labelled() // also what a crash left, see withVolume
	having.Add("volume", name)
	users, err := d.client.ContainerList(ctx, container.ListOptions{All: true, Filters: having})
	if err != nil {
		return failed(err, "looking who uses volume %s", name)
	}
	if err := d.lookInto(ctx, data); err != nil {
		return err
	}
	for _, c := range users {
		if c.State == container.StateRunning || c.State == container.StateRestarting || c.State == container.StatePaused {
			return driver.Errorf(driver.Conflict, "volume %s is in use by service %s", name, c.Labels[driver.LabelService])
		}
		if err := d.removeContainer(ctx, c.ID); err != nil {
			return err
		}
	}
	if err := d.client.VolumeRemove(ctx, name, false); err != nil && !errdefs.IsNotFound(err) {
		return failed(err, "removing volume %s", name)
	}
	return nil
}
