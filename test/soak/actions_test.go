package soak

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"syscall"

	"github.com/unicorn-web-services/uws/test/uwstest"
)

// state of a slot, as the goroutine that runs actions has recorded it.
type state int

const (
	absent   state = iota
	running        // wanted so
	stopped        // wanted so
	removing       // until the service is gone
	retained       // removed, and its data was kept
)

// maxHurts is how often an instance is killed or stopped before its service is restarted with restartService, which resets the
// failures: the sixth within ten minutes is a crash loop, whose next attempt is five minutes later.
const maxHurts = 4

// slot is a name with the service and the data that have it.
type slot struct {
	name, kind string
	state      state
	id         string // of the service, or of the retained data; changed with mu held
	hurts      int
	attached   int  // how often the data was reattached
	asked      bool // deletion of the data was requested

	mu      sync.Mutex // guards what writers use
	client  client
	serial  int
	written map[string]string // acknowledged by the engine; must never be lost
}

// action is one random action. It reports whether it did anything.
type action struct {
	name   string
	weight int
	do     func(s *soak) bool
}

func actions() []action {
	return []action{
		{"launch", 8, (*soak).launch},
		{"kill", 8, func(s *soak) bool { return s.hurt(syscall.SIGKILL) }},
		{"hang", 3, func(s *soak) bool { return s.hurt(syscall.SIGSTOP) }},
		{"stop", 3, (*soak).stopService},
		{"start", 6, (*soak).startService},
		{"restart", 3, (*soak).restartService},
		{"remove and keep the data", 3, func(s *soak) bool { return s.remove("RETAIN") }},
		{"remove with the data", 2, func(s *soak) bool { return s.remove("DELETE") }},
		{"delete retained data", 1, (*soak).deleteRetained},
		{"write", 20, (*soak).write},
		{"check by hand", 3, (*soak).checkHealth},
		{"subscribe", 5, (*soak).join},
		{"unsubscribe", 4, (*soak).leave},
	}
}

func restarts() []action {
	return []action{
		{"kill uws", 2, func(s *soak) bool { s.exchange(s.process().Kill, "uws killed"); return true }},
		{"restart uws", 1, func(s *soak) bool { s.exchange(s.process().Stop, "uws stopped"); return true }},
	}
}

// one returns a random slot in one of these states, or nil if there is none.
func (s *soak) one(states ...state) *slot {
	var fit []*slot
	for _, sl := range s.slots {
		for _, st := range states {
			if sl.state == st {
				fit = append(fit, sl)
			}
		}
	}
	if len(fit) == 0 {
		return nil
	}
	return fit[s.rng.IntN(len(fit))]
}

// launch launches a service, new or with retained data.
func (s *soak) launch() bool {
	sl := s.one(absent, retained)
	if sl == nil {
		return false
	}
	s.launchSlot(sl)
	return true
}

func (s *soak) launchSlot(sl *slot) {
	s.t.Helper()
	input := map[string]any{"healthCheck": map[string]any{"intervalSeconds": 1, "timeoutSeconds": 1, "failureThreshold": 3, "graceSeconds": 10}}
	sl.mu.Lock()
	defer sl.mu.Unlock()
	sl.client = nil // the port changes
	if sl.state == retained {
		input["reattach"] = sl.id
		sl.attached++
	} else {
		sl.written, sl.attached = map[string]string{}, 0
	}
	s.must("launching "+sl.name, func(ctx context.Context, p *uwstest.Process) error {
		made, err := p.Launch(ctx, sl.kind, sl.name, input)
		sl.id, sl.state, sl.hurts, sl.asked = made.ID, running, 0, false
		return err
	})
}

// hurt sends a signal to the process that runs a service.
func (s *soak) hurt(signal syscall.Signal) bool {
	sl := s.one(running, stopped, removing)
	if sl == nil {
		return false
	}
	if sl.hurts >= maxHurts {
		return sl.state == running && s.restartSlot(sl)
	}
	pid, err := uwstest.EnginePID(sl.id)
	if err != nil {
		s.t.Fatal(err)
	}
	if pid == 0 || syscall.Kill(pid, signal) != nil {
		return false // it does not run, or has just ended
	}
	sl.hurts++
	return true
}

func (s *soak) stopService() bool {
	sl := s.one(running)
	if sl == nil {
		return false
	}
	s.do(sl, "stopService")
	sl.state = stopped
	return true
}

func (s *soak) startService() bool {
	sl := s.one(stopped)
	if sl == nil {
		return false
	}
	s.do(sl, "startService")
	sl.state, sl.hurts = running, 0
	return true
}

func (s *soak) restartService() bool {
	sl := s.one(running, stopped)
	return sl != nil && s.restartSlot(sl)
}

func (s *soak) restartSlot(sl *slot) bool {
	s.do(sl, "restartService")
	sl.state, sl.hurts = running, 0
	return true
}

func (s *soak) do(sl *slot, mutation string) {
	s.t.Helper()
	s.must(mutation+" of "+sl.name, func(ctx context.Context, p *uwstest.Process) error { return p.Do(ctx, mutation, sl.id) })
}

func (s *soak) remove(data string) bool {
	sl := s.one(running, stopped)
	if sl == nil {
		return false
	}
	s.removeSlot(sl, data)
	return true
}

func (s *soak) removeSlot(sl *slot, data string) {
	s.t.Helper()
	s.must("removing "+sl.name, func(ctx context.Context, p *uwstest.Process) error {
		return p.Query(ctx, `mutation($id: ID!, $data: DataPolicy) { removeService(id: $id, data: $data) { id } }`,
			map[string]any{"id": sl.id, "data": data}, nil)
	})
	sl.state, sl.asked = removing, data == "DELETE"
}

func (s *soak) deleteRetained() bool {
	sl := s.one(retained)
	if sl == nil {
		return false
	}
	s.deleteData(sl)
	return true
}

func (s *soak) deleteData(sl *slot) {
	s.t.Helper()
	s.must("deleting the data of "+sl.name, func(ctx context.Context, p *uwstest.Process) error {
		err := p.Query(ctx, `mutation($id: ID!) { deleteRetainedData(id: $id) { id } }`, map[string]any{"id": sl.id}, nil)
		if err != nil {
			return err
		}
		return uwstest.Until(ctx, "the data is gone", func() (bool, error) {
			var kept struct{ RetainedData []struct{ ID string } }
			err := p.Query(ctx, `{ retainedData { id } }`, nil, &kept)
			return !slices.ContainsFunc(kept.RetainedData, func(k struct{ ID string }) bool { return k.ID == sl.id }), err
		})
	})
	sl.state = absent
}

func (s *soak) checkHealth() bool {
	sl := s.one(running)
	if sl == nil {
		return false
	}
	err := s.call(func(ctx context.Context, p *uwstest.Process) error {
		return p.Query(ctx, `mutation($id: ID!) { checkServiceHealth(id: $id) { verdict } }`, map[string]any{"id": sl.id}, nil)
	})
	if err != nil && !conflict(err) { // it may still wait for a node
		s.t.Errorf("checking %s: %v", sl.name, err)
	}
	return true
}

// look records the services that are gone, and the data that they left.
func (s *soak) look() {
	s.t.Helper()
	for _, sl := range s.slots {
		if sl.state != removing {
			continue
		}
		s.must("looking for "+sl.name, func(ctx context.Context, p *uwstest.Process) error {
			there, err := p.Service(ctx, sl.id)
			if err != nil || there != nil {
				return err
			}
			return s.gone(ctx, p, sl)
		})
	}
}

func (s *soak) gone(ctx context.Context, p *uwstest.Process, sl *slot) error {
	kept, err := retainedData(ctx, p)
	if err != nil {
		return err
	}
	id, has := kept[sl.name]
	sl.mu.Lock()
	defer sl.mu.Unlock()
	written := len(sl.written)
	switch {
	case has && sl.asked:
		return fmt.Errorf("%s was removed with its data, which is still listed", sl.name)
	case !has && !sl.asked && (written > 0 || sl.attached > 0):
		return fmt.Errorf("%s was removed, but its data with %d acknowledged values was not retained", sl.name, written)
	case has:
		sl.state, sl.id = retained, id
	default:
		sl.state = absent
	}
	return nil
}

// retainedData returns the ids of retained data by the name of the service.
func retainedData(ctx context.Context, p *uwstest.Process) (map[string]string, error) {
	var out struct{ RetainedData []struct{ ID, Name string } }
	err := p.Query(ctx, `{ retainedData { id name } }`, nil, &out)
	kept := map[string]string{}
	for _, k := range out.RetainedData {
		kept[k.Name] = k.ID
	}
	return kept, err
}
