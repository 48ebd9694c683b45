package docker

import (
	"testing"
	"time"

	"github.com/docker/docker/api/types/events"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// How a run ended is told by the engine's events that came with it, and by no others.
func TestEndByEvents(t *testing.T) {
	type seen struct {
		action events.Action
		detail string // a signal or an exit code
		after  time.Duration
	}
	for name, c := range map[string]struct {
		events []seen
		oom    bool
		act    driver.Act
	}{
		"a crash":                               {events: []seen{{events.ActionDie, "3", 0}}},
		"out of memory":                         {events: []seen{{events.ActionOOM, "", 0}, {events.ActionDie, "137", time.Second}}, oom: true},
		"a child out of memory, much earlier":   {events: []seen{{events.ActionOOM, "", 0}, {events.ActionDie, "137", time.Hour}}},
		"docker stop":                           {events: []seen{{events.ActionKill, "15", 0}, {events.ActionDie, "0", time.Second}}, act: driver.ActStop},
		"docker stop of one that does not hear": {events: []seen{{events.ActionKill, "15", 0}, {events.ActionKill, "9", 10 * time.Second}, {events.ActionDie, "137", 0}}, act: driver.ActStop},
		"docker kill":                           {events: []seen{{events.ActionKill, "9", 0}, {events.ActionDie, "137", 0}}, act: driver.ActKill},
		"a crash after a signal to read its configuration": {events: []seen{{events.ActionKill, "1", 0}, {events.ActionDie, "1", time.Minute}}},
		"a crash of the run after a stop": {events: []seen{{events.ActionKill, "15", 0}, {events.ActionDie, "0", 0}, {events.ActionStart, "", time.Second},
			{events.ActionDie, "1", time.Minute}}},
	} {
		t.Run(name, func(t *testing.T) {
			d := &Driver{ends: map[string]seenEnd{}}
			at := time.Unix(1_700_000_000, 0)
			for _, e := range c.events {
				at = at.Add(e.after)
				d.note(events.Message{Action: e.action, TimeNano: at.UnixNano(), Actor: events.Actor{ID: "c",
					Attributes: map[string]string{"signal": e.detail, "exitCode": e.detail}}})
			}
			end := d.ends["c"]
			if end.seen.OOMKilled != c.oom || end.act != c.act || !end.at.Equal(at) {
				t.Errorf("out of memory %v, act %q at %v; want %v, %q at %v", end.seen.OOMKilled, end.act, end.at, c.oom, c.act, at)
			}
		})
	}
}
