package orchestrator

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/ent/service"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/probe"
)

// task is what memory holds of one service.
type task struct {
	id         string
	definition catalog.Template // never changes
	touched    func(id string)  // called after each change that users can see; it must not wait

	// Only for the worker that has the service in its hands.
	loaded bool
	state  lifecycle.State
	run    *lifecycle.Run // as seen last; nil when somebody asked for a look, or it failed

	mu       sync.Mutex
	row      *ent.Service // the newest that is known; nil when it must be read
	version  int          // of the newest row that was known
	kind     catalog.Kind
	phase    lifecycle.Phase // as recorded
	health   lifecycle.Health
	instance string         // the run that is probed
	busy     lifecycle.Step // under way
	cancel   context.CancelFunc
	outcome  *lifecycle.Outcome // of the last step, until it was recorded
	checking *checking          // the probe under way
	check    *lifecycle.Check   // the newest result, until it was recorded
	dataGone bool               // a removal took the data too
	// rotateRestarts counts the restarts that the present rotation asked for.
	rotateRestarts int
	keys           keys // once they were needed
	lastCheck      time.Time
	flushed        time.Time // the last check that the store knows of
	spread         float64   // of the probe interval, 0.95 to 1.05, so that services do not go in step
	step           string    // of a launch, in words
	percent        float64   // of that step; negative when unknown
	steps          int64     // how often what users see of the launch has changed
	changed        chan struct{}
}

// checking is one probe under way, which several may wait for.
type checking struct {
	done   chan struct{}
	result probe.Result
}

// note changes the task and wakes those who watch its progress.
func (t *task) note(change func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before := t.launching()
	change()
	if after := t.launching(); after != before {
		t.steps++
		t.touched(t.id)
	}
	close(t.changed)
	t.changed = make(chan struct{})
}

// progressing says whether a service in this phase is being launched.
func progressing(phase lifecycle.Phase) bool {
	return phase == lifecycle.Pending || phase == lifecycle.Starting
}

// progress is the step the task is at, nil unless it is being launched, its number, and a channel that is closed
// when there may be another.
func (t *task) progress() (*Progress, int64, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.launching(); p != (Progress{}) {
		return &p, t.steps, t.changed
	}
	return nil, t.steps, t.changed
}

// launching is the step the task is at, zero unless it is being launched. t.mu is held.
func (t *task) launching() Progress {
	if !progressing(t.phase) {
		return Progress{}
	}
	return Progress{ServiceID: t.id, Step: t.step, Percent: t.percent, Phase: t.phase, Health: t.health}
}

// keep remembers a row that was read or written, unless a newer one is known. Nobody changes it afterwards.
func (t *task) keep(s *ent.Service) {
	s.Definition = t.definition
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.row == nil || t.row.Version <= s.Version {
		t.row = s
	}
	if t.version < s.Version {
		t.version = s.Version
		t.touched(t.id)
	}
}

// known is the newest row that is known, nil when it must be read.
func (t *task) known() *ent.Service {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.row
}

// doubt has the row read anew at the next look.
func (t *task) doubt() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.row = nil
}

// recorded takes note of what the store holds now.
func (t *task) recorded(s *ent.Service) {
	t.keep(s)
	t.note(func() {
		t.kind, t.phase, t.health = s.Kind, s.Phase, s.Health
		if t.busy == lifecycle.NoStep {
			t.step, t.percent = s.Reason, -1
		}
	})
}

func (o *Orchestrator) allTasks() []*task {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := make([]*task, 0, len(o.tasks))
	for _, t := range o.tasks {
		all = append(all, t)
	}
	return all
}

// task finds the memory of a service; nil when nothing is known of it.
func (o *Orchestrator) task(id string) *task {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.tasks[id]
}

// remember makes the memory of a service that the store knows.
func (o *Orchestrator) remember(s *ent.Service) {
	o.mu.Lock()
	t, ok := o.tasks[s.ID]
	if !ok {
		t = &task{id: s.ID, touched: o.touch, definition: o.shared(s.Definition), spread: 0.95 + 0.1*random(), changed: make(chan struct{}), percent: -1}
		o.tasks[s.ID] = t
	}
	o.mu.Unlock()
	t.recorded(s)
}

// forget drops the memory of a service that is gone.
func (o *Orchestrator) forget(t *task) {
	o.mu.Lock()
	delete(o.tasks, t.id)
	o.mu.Unlock()
	o.queue.at(t.id, time.Time{})
	t.note(func() {
		t.phase = ""
		if t.cancel != nil {
			t.cancel()
		}
	})
}

// shared is a template equal to t that other services have too, so that thousands of services hold few templates.
// o.mu is held.
func (o *Orchestrator) shared(t catalog.Template) catalog.Template {
	if same, ok := o.definitions[t.Name]; ok && reflect.DeepEqual(same, t) {
		return same
	}
	o.definitions[t.Name] = t
	return t
}

// loadTasks remembers every service in the store, some at a time.
func (o *Orchestrator) loadTasks(ctx context.Context) error {
	for after := ""; ; {
		some, err := o.store.Read.Service.Query().Where(service.IDGT(after)).Order(service.ByID()).Limit(MaxPage).All(ctx)
		if err != nil {
			return fmt.Errorf("reading the services: %w", err)
		}
		for _, s := range some {
			o.remember(s)
			after = s.ID
		}
		if len(some) < MaxPage {
			return nil
		}
	}
}
