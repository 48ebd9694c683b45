package docker

import (
	"context"
	"strconv"
	"time"

	"github.com/docker/docker/api/types/events"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

const (
	minReconnect = 250 * time.Millisecond
	maxReconnect = 5 * time.Second
	pingTimeout  = 5 * time.Second
)

// seenEnd is how a container's last run ended, according to the engine's events.
type seenEnd struct {
	seen driver.End
	at   time.Time
	oom  time.Time  // of the newest kill for lack of memory
	sent driver.Act // the signal sent through the engine since the start that ends it
	act  driver.Act // what ended the run
}

// Watch implements [driver.Driver].
func (d *Driver) Watch(ctx context.Context) <-chan string { return d.watchers.Watch(ctx) }

// follow reads the engine's events until ctx ends, and reconnects when the stream breaks. It hints at every service after each
// reconnect, because the engine keeps few events and drops slow readers.
func (d *Driver) follow(ctx context.Context) {
	for wait := minReconnect; ctx.Err() == nil; {
		connected := d.followOnce(ctx)
		if connected {
			wait = minReconnect
		}
		again := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-again.C:
		}
		again.Stop()
		wait = min(2*wait, maxReconnect)
	}
}

// followOnce reads the events of one connection until it breaks, and reports whether it was connected.
func (d *Driver) followOnce(ctx context.Context) bool {
	ctx, cancel := context.WithCancel(ctx) // ends the client's goroutines
	defer cancel()
	ping, stopPing := context.WithTimeout(ctx, pingTimeout)
	err := d.check(ping)
	stopPing()
	if err != nil {
		if ctx.Err() == nil {
			d.engineAnswers(ctx, false)
		}
		return false // the node's check reports why
	}
	d.engineAnswers(ctx, true)
	defer d.disconnected()
	want := d.labelled()
	want.Add("type", string(events.ContainerEventType))
	for _, action := range []events.Action{events.ActionStart, events.ActionDie, events.ActionKill, events.ActionOOM, events.ActionPause, events.ActionUnPause, events.ActionDestroy} {
		want.Add("event", string(action))
	}
	messages, failure := d.client.Events(ctx, events.ListOptions{Filters: want})
	d.targets.watch(true)
	defer d.targets.watch(false)
	go d.hintAll(ctx) // after listening began, so that no change is missed
	for {
		select {
		case m := <-messages:
			d.note(m)
		case err := <-failure:
			if ctx.Err() == nil {
				d.log.Debug("the engine's events broke off; listening again", "error", err)
			}
			return true
		}
	}
}

// hintAll hints at every service.
func (d *Driver) hintAll(ctx context.Context) {
	all, err := d.List(ctx)
	if err != nil {
		return // the stream breaks as well, and follow tries again
	}
	for _, o := range all {
		d.watchers.Hint(o.Service)
	}
}

// note records one event.
func (d *Driver) note(m events.Message) {
	id, service := m.Actor.ID, m.Actor.Attributes[driver.LabelService]
	d.mu.Lock()
	end, at := d.ends[id], time.Unix(0, m.TimeNano)
	switch m.Action {
	case events.ActionStart:
		end.sent = ""
	case events.ActionKill:
		end.sent = actOf(m.Actor.Attributes["signal"], end.sent)
	case events.ActionOOM:
		end.oom = at
	case events.ActionDie:
		code, err := strconv.Atoi(m.Actor.Attributes["exitCode"])
		end = seenEnd{seen: driver.End{Seen: err == nil, ExitCode: code, OOMKilled: at.Sub(end.oom) < oomMoment}, at: at, act: end.sent}
		d.runs.ended(id, at)
	}
	if m.Action == events.ActionDestroy {
		delete(d.ends, id)
		d.runs.forget(id)
	} else {
		d.ends[id] = end
	}
	d.mu.Unlock()
	switch m.Action {
	case events.ActionStart, events.ActionDie, events.ActionDestroy:
		d.targets.changed(service)
	}
	if m.Action != events.ActionKill {
		d.watchers.Hint(service)
	}
}

// actOf returns the meaning of a signal that was sent through the engine. A stop that takes too long ends with a kill.
func actOf(signal string, before driver.Act) driver.Act {
	switch signal {
	case "9":
		if before == "" {
			return driver.ActKill
		}
	case "1", "10", "12", "28": // HUP, USR1, USR2 and WINCH do not ask for an end
	default:
		return driver.ActStop
	}
	return before
}

// disconnected records that the events are not being read.
func (d *Driver) disconnected() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.engine.connected = false
}
