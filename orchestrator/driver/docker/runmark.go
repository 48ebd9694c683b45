package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/system"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// The mark of an engine's run is a container that is never started and is to be removed when it ends (--rm). Every engine
// removes such containers when it starts, whatever its settings. Otherwise only people remove or prune it. A mark that exists
// was therefore made in the present run.
const (
	labelRunMark = "uws.run-mark" // the installation
	labelStarted = "uws.engine-started"
)

func (d *Driver) runMarkName() string { return d.prefix() + "engine-run" }

// startedByMark returns when the engine started, according to the mark, which it makes if it is missing; zero if the mark
// can neither be read nor made.
func (d *Driver) startedByMark(ctx context.Context, info system.Info) time.Time {
	if d.own(ctx) != nil {
		return time.Time{} // another copy of the store holds the claim
	}
	// One call at a time: a container that is being made cannot be inspected yet, although its name is taken.
	if d.marking.Acquire(ctx, 1) != nil {
		return time.Time{}
	}
	defer d.marking.Release(1)
	at, err := d.readRunMark(ctx)
	if errdefs.IsNotFound(err) {
		if at, err = d.tracedStart(ctx, info); err == nil {
			err = d.makeRunMark(ctx, at)
		}
	}
	if err != nil {
		d.log.WarnContext(ctx, "marking the engine's run failed", "error", err)
		return time.Time{}
	}
	return at
}

func (d *Driver) readRunMark(ctx context.Context) (time.Time, error) {
	c, err := d.client.ContainerInspect(ctx, d.runMarkName())
	if err != nil {
		return time.Time{}, err
	}
	if c.Config.Labels[labelRunMark] != d.installation {
		return time.Time{}, driver.Errorf(driver.Conflict, "container %s is not ours", d.runMarkName())
	}
	return parseTime(c.Config.Labels[labelStarted]), nil
}

func (d *Driver) makeRunMark(ctx context.Context, started time.Time) error {
	if err := d.ensureClaimImage(ctx); err != nil {
		return err
	}
	config := &container.Config{Image: claimImage, Cmd: []string{"/never-started"}, Labels: map[string]string{
		labelRunMark: d.installation, labelStarted: started.UTC().Format(time.RFC3339Nano)}}
	_, err := d.client.ContainerCreate(ctx, config, &container.HostConfig{NetworkMode: "none", AutoRemove: true}, nil, nil, d.runMarkName())
	return err
}

// tracedStart returns when an engine without a mark started. The engine keeps its newest 256 events in memory. They contain
// the removal of the last run's mark, or the creation of this run's mark if a person has removed it since. Without either,
// tracedStart returns the engine's present time.
func (d *Driver) tracedStart(ctx context.Context, info system.Info) (time.Time, error) {
	now := parseTime(info.SystemTime)
	if now.IsZero() {
		return now, driver.Errorf(driver.Transient, "the engine tells no time")
	}
	ctx, cancel := context.WithCancel(ctx) // ends the client's goroutines
	defer cancel()
	messages, end := d.client.Events(ctx, events.ListOptions{
		Since: "1", Until: fmt.Sprintf("%d.%09d", now.Unix(), now.Nanosecond()),
		Filters: filters.NewArgs(
			filters.Arg("type", string(events.ContainerEventType)), filters.Arg("label", labelRunMark+"="+d.installation),
			filters.Arg("event", string(events.ActionCreate)), filters.Arg("event", string(events.ActionDestroy))),
	})
	started, made := now, false
	for {
		select {
		case m := <-messages:
			switch {
			case m.Action == events.ActionCreate:
				started, made = parseTime(m.Actor.Attributes[labelStarted]), true
			case !made:
				started = time.Unix(0, m.TimeNano)
			}
		case err := <-end:
			if !errors.Is(err, io.EOF) { // EOF is the end of the stored events
				return time.Time{}, failed(err, "reading the events of %s", d.runMarkName())
			}
			return started, nil
		}
	}
}

// removeRunMark removes the mark, if there is one.
func (d *Driver) removeRunMark(ctx context.Context) error {
	if _, err := d.readRunMark(ctx); err != nil {
		return nil //nolint:nilerr // none of ours
	}
	err := d.client.ContainerRemove(ctx, d.runMarkName(), container.RemoveOptions{Force: true})
	if err != nil && !errdefs.IsNotFound(err) && !errdefs.IsConflict(err) {
		return failed(err, "removing container %s", d.runMarkName())
	}
	return nil
}
