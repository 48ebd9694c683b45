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

// seenEnd is how a container's last run ended, as the engine's events told.
type seenEnd struct {
	seen driver.End
	at   time.Time
	oom  bool // told since the last end
}

// Watch implements [driver.Driver].
func (d *Driver) Watch(ctx context.Context) <-chan string { return d.watchers.Watch(ctx) }

// follow reads the engine's events until ctx ends, and connects anew whenever that breaks. The engine keeps few events
// and drops those who are slow: after each connection everything is hinted at once.
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

// followOnce reads one connection's events to its end, and says whether there was one.
func (d *Driver) followOnce(ctx context.Context) bool {
	ctx, cancel := context.WithCancel(ctx) // the client leaves goroutines behind otherwise
	defer cancel()
	ping, stopPing := context.WithTimeout(ctx, pingTimeout)
	err := checkEngine(ping, d.client)
	stopPing()
	if err != nil {
		return false // the check of the node tells why
	}
	want := d.labelled()
	want.Add("type", string(events.ContainerEventType))
	for _, action := range []events.Action{events.ActionStart, events.ActionDie, events.ActionOOM, events.ActionPause, events.ActionUnPause, events.ActionDestroy} {
		want.Add("event", string(action))
	}
	messages, failure := d.client.Events(ctx, events.ListOptions{Filters: want})
	go d.hintAll(ctx) // listening first, so that nothing falls between
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

// hintAll hints at every workload.
func (d *Driver) hintAll(ctx context.Context) {
	all, err := d.List(ctx)
	if err != nil {
		return // the connection breaks as well, and all is done again
	}
	for _, o := range all {
		d.watchers.Hint(o.Service)
	}
}

// note takes in one event.
func (d *Driver) note(m events.Message) {
	id, service := m.Actor.ID, m.Actor.Attributes[driver.LabelService]
	d.mu.Lock()
	end := d.ends[id]
	switch m.Action {
	case events.ActionOOM:
		end.oom = true
	case events.ActionDie:
		code, err := strconv.Atoi(m.Actor.Attributes["exitCode"])
		end = seenEnd{seen: driver.End{Seen: err == nil, ExitCode: code, OOMKilled: end.oom}, at: time.Unix(0, m.TimeNano)}
	}
	if m.Action == events.ActionDestroy {
		delete(d.ends, id)
	} else {
		d.ends[id] = end
	}
	d.mu.Unlock()
	d.watchers.Hint(service)
}
