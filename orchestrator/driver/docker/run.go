package docker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// Start implements [driver.Driver].
func (d *Driver) Start(ctx context.Context, service string) error {
	c, err := d.find(ctx, service)
	if err != nil {
		return err
	}
	if c.State.Paused {
		if err := d.client.ContainerUnpause(ctx, c.ID); err != nil && !errdefs.IsConflict(err) {
			return failed(err, "letting container %s go on", d.containerOf(service))
		}
		return nil
	}
	if c.State.Running || c.State.Restarting {
		return nil
	}
	// Without it the engine would mount a folder of nothing.
	has, err := d.HasData(ctx, c.Config.Labels[labelVolume])
	if err == nil && !has {
		err = errDataMissing(d.volumeOf(c.Config.Labels[labelVolume]))
	}
	if err != nil {
		return err
	}
	if err := d.client.ContainerStart(ctx, c.ID, container.StartOptions{}); err != nil {
		return startError(err, c)
	}
	return nil
}

// SetAutoRestart implements [driver.Driver].
func (d *Driver) SetAutoRestart(ctx context.Context, service string, on bool) error {
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

// Stop implements [driver.Driver]. A signal of the stop's own kind tells the engine too that this end is on purpose.
func (d *Driver) Stop(ctx context.Context, service string, grace time.Duration) error {
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
	ended, failure := d.client.ContainerWait(ctx, c.ID, container.WaitConditionNotRunning) // before the signal, or its end may be missed
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

// standsStill says whether a signal has stopped all that a container's init process started, so that it cannot hear a
// polite one. Where the engine cannot tell, it does not.
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
	if errdefs.IsNotFound(err) { // removed by somebody else
		return nil
	}
	return failed(err, "waiting for the end of container %s", d.containerOf(service))
}

// signal sends one to a container's first process; one that does not run any more is fine.
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
	if err := driver.CheckID("service", service); err != nil {
		return err
	}
	name := d.containerOf(service)
	return errors.Join(d.removeContainer(ctx, name), d.removeContainer(ctx, name+building))
}

// removeContainer kills and removes one container of ours, and returns when it is gone; its volume stays.
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
	case err != nil && !errdefs.IsConflict(err): // a conflict is that it is being removed already
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
func (d *Driver) HasData(ctx context.Context, volume string) (bool, error) {
	if err := driver.CheckID("volume", volume); err != nil {
		return false, err
	}
	_, err := d.client.VolumeInspect(ctx, d.volumeOf(volume))
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, failed(err, "inspecting volume %s", d.volumeOf(volume))
	}
	return true, nil
}

// RemoveData implements [driver.Driver]. The engine keeps a volume as long as a container has it, even one that does
// not run: those of ours are removed with it.
func (d *Driver) RemoveData(ctx context.Context, volume string) error {
	if err := driver.CheckID("volume", volume); err != nil {
		return err
	}
	name := d.volumeOf(volume)
	v, err := d.client.VolumeInspect(ctx, name)
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return failed(err, "inspecting volume %s", name)
	}
	if !d.ours(v.Labels) {
		return driver.Errorf(driver.Conflict, "volume %s is not ours: it lacks the label %s=%s", name, driver.LabelInstallation, d.installation)
	}
	if err := d.agree(ctx); err != nil {
		return err
	}
	users, err := d.client.ContainerList(ctx, container.ListOptions{All: true, Filters: d.labelled(fmt.Sprintf("%s=%s", labelVolume, volume))})
	if err != nil {
		return failed(err, "looking who uses volume %s", name)
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
