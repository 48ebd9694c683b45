// Package snapshot is the in-memory picture of all services and nodes. It answers lists and subscriptions without a query
// per message.
//
// The event log's tailer keeps it in step with the store. Each change has a revision, so that what is newer than some
// revision can be listed at any time, each object once and as it is now: a watcher needs no queue.
package snapshot

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/ent/event"
	"github.com/unicorn-web-services/uws/ent/service"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/eventlog"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

// maxDeleted is how many deletions are remembered. A watcher that missed more of them gets everything again.
const maxDeleted = 10_000

// Snapshot holds every service and node as its newest row has it. It is safe for concurrent use.
type Snapshot struct {
	store     *store.Store
	events    *eventlog.Log
	templates catalog.Interner
	warned    func(*orchestrator.Service) bool
	epoch     int64 // random; differs between processes

	mu       sync.Mutex
	rev      int64
	at       orchestrator.Cursor // the newest event that is included
	loose    bool                // a change after that event has no event of its own
	services map[string]*serviceEntry
	order    []*serviceEntry // by creation, then id
	counts   map[place]int   // of services, by node and kind
	awaited  map[string]int  // services that wait for their data's node, by node
	kept     map[string]bool // nodes that have retained data
	nodes    map[string]*nodeEntry
	deleted  []tombstone   // in order of rev
	dropped  int64         // revision of the newest deletion that is not remembered
	more     chan struct{} // closed when rev grows

	due hints // of the present reading of the store; the tailer's alone

	hinting  sync.Mutex // a leaf: taken under any other lock
	touched  hints
	progress map[string]orchestrator.Progress
	observed map[string]observation
}

// observation is a node's state with what watchers get of it.
type observation struct {
	NodeState
	visible string
}

// NodeState is what was observed of a node. Its row does not have it.
type NodeState struct {
	Info     *driver.Info // of the newest answer; nil before the first one
	LastSeen *time.Time
	DiskLow  bool
	Orphans  []string // ids of running workloads that have this installation's label and no service
	Unusable string   // why the node cannot be used, whatever its row says; empty: as its row says
}

// visible is the part of the state that watchers get: the rest changes with each check.
func (s NodeState) visible() string {
	if s.Info == nil {
		return ""
	}
	return fmt.Sprint(s.Info.Version, s.Info.CPUs, s.Info.MemoryBytes, s.DiskLow)
}

// place is a node and a kind.
type place struct {
	node string // empty: not placed
	kind catalog.Kind
}

func placeOf(s *orchestrator.Service) place { return place{s.NodeID, s.Kind} }

type serviceEntry struct {
	service   *orchestrator.Service
	version   int // of the row
	updatedAt time.Time
	progress  orchestrator.Progress // zero unless it is being launched
	awaits    string                // the node it waits for because its data is there; else empty
	rev       int64
}

type nodeEntry struct {
	node    orchestrator.Node // without what was observed
	version int               // of the row
	visible string            // of its state
	rev     int64
}

type tombstone struct {
	rev    int64
	id     string
	isNode bool
}

// New returns an empty snapshot of st. Open fills it. warned reports whether a service has warnings.
func New(st *store.Store, events *eventlog.Log, warned func(*orchestrator.Service) bool) *Snapshot {
	return &Snapshot{
		store: st, events: events, warned: warned,
		epoch:    rand.Int64(), //nolint:gosec // to tell apart, not to keep secret
		services: map[string]*serviceEntry{}, counts: map[place]int{}, awaited: map[string]int{}, nodes: map[string]*nodeEntry{},
		more: make(chan struct{}), touched: hints{nodes: true, kept: true, services: map[string]bool{}}, due: hints{services: map[string]bool{}}, progress: map[string]orchestrator.Progress{}, observed: map[string]observation{},
	}
}

// committed has what an update of the store changed read again.
func (s *Snapshot) committed(_ context.Context, c store.Commit) {
	s.hinting.Lock()
	for _, row := range c.Services {
		s.touched.services[row.ID] = true
	}
	for _, id := range c.DeletedServices {
		s.touched.services[id] = true
	}
	s.touched.nodes = s.touched.nodes || len(c.Nodes)+len(c.DeletedNodes) > 0
	s.touched.kept = s.touched.kept || len(c.Volumes)+len(c.DeletedVolumes) > 0
	s.hinting.Unlock()
	s.events.Committed()
}

// SetProgress replaces the launch step of a service; zero: it is not being launched. It never blocks.
func (s *Snapshot) SetProgress(id string, p orchestrator.Progress) {
	s.hinting.Lock()
	if p == (orchestrator.Progress{}) {
		delete(s.progress, id)
	} else {
		s.progress[id] = p
	}
	s.touched.services[id] = true
	s.hinting.Unlock()
	s.events.Committed()
}

// SetNode replaces what was observed of a node. It never blocks. Watchers get it with the log's next tick.
func (s *Snapshot) SetNode(id string, state NodeState) {
	s.hinting.Lock()
	defer s.hinting.Unlock()
	s.observed[id] = observation{state, state.visible()}
}

// ForgetNode drops what was observed of a node.
func (s *Snapshot) ForgetNode(id string) {
	s.hinting.Lock()
	defer s.hinting.Unlock()
	delete(s.observed, id)
}

func (s *Snapshot) state(nodeID string) NodeState {
	s.hinting.Lock()
	defer s.hinting.Unlock()
	return s.observed[nodeID].NodeState
}

// hints is what may have changed since the store was read.
type hints struct {
	services map[string]bool
	nodes    bool
	kept     bool // which nodes have retained data
}

// visible returns the part of each node's state that watchers get.
func (s *Snapshot) visible() map[string]string {
	s.hinting.Lock()
	defer s.hinting.Unlock()
	all := make(map[string]string, len(s.observed))
	for id, state := range s.observed {
		all[id] = state.visible
	}
	return all
}

// addProgress completes services with their launch steps. A step that changes afterwards is another hint.
func (s *Snapshot) addProgress(services map[string]*serviceEntry) {
	s.hinting.Lock()
	defer s.hinting.Unlock()
	for id, entry := range services {
		entry.progress = s.progress[id]
	}
}

// Open reads everything for the first time, and follows the store and the event log from there. It is called once, before the
// log runs, and after those follow the store that call SetProgress, so that a row and its progress are seen together.
func (s *Snapshot) Open(ctx context.Context) error {
	s.store.Follow(s.committed)
	tx, err := s.store.Read.Tx(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // nothing was written
	newest, err := tx.Event.Query().Order(ent.Desc(event.FieldID)).Limit(1).All(ctx)
	if err != nil {
		return fmt.Errorf("reading the end of the event log: %w", err)
	}
	ids, err := tx.Service.Query().IDs(ctx)
	if err != nil {
		return fmt.Errorf("reading the services: %w", err)
	}
	for _, id := range ids {
		s.touched.services[id] = true
	}
	for _, e := range newest {
		s.at = orchestrator.Cursor{Seq: e.ID, Mark: e.Mark}
	}
	m := mirror{s}
	s.events.SetMirror(m)
	m.Begin()
	return m.Apply(ctx, tx, nil)
}

// mirror implements [eventlog.Mirror].
type mirror struct{ *Snapshot }

// Begin takes the hints of what the reading that follows will have. Later ones wait for the next reading, as theirs may not
// have it yet.
func (s mirror) Begin() {
	s.hinting.Lock()
	defer s.hinting.Unlock()
	maps.Copy(s.due.services, s.touched.services)
	s.due.nodes, s.due.kept = s.due.nodes || s.touched.nodes, s.due.kept || s.touched.kept
	s.touched = hints{services: map[string]bool{}}
}

// Apply brings the snapshot in step with the store as tx shows it. rows are the events that were appended since the last call.
func (s mirror) Apply(ctx context.Context, tx *ent.Tx, rows []*ent.Event) error {
	for _, e := range rows {
		switch e.Subject {
		case event.SubjectNODE:
			s.due.nodes = true
		case event.SubjectSERVICE:
			s.due.services[e.ServiceID] = true
		}
	}
	services, err := s.readServices(ctx, tx, slices.Sorted(maps.Keys(s.due.services)))
	if err != nil {
		return fmt.Errorf("reading services that changed: %w", err)
	}
	s.addProgress(services)
	visible := s.visible()
	var nodes []*ent.Node // nil: unchanged
	if s.due.nodes || s.nodesVisiblyChanged(visible) {
		if nodes, err = tx.Node.Query().All(ctx); err != nil {
			return fmt.Errorf("reading the nodes: %w", err)
		}
	}
	var kept map[string]bool // nil: unchanged
	if s.due.kept {
		if kept, err = readKept(ctx, tx); err != nil {
			return err
		}
	}
	s.apply(update{events: rows, asked: s.due.services, services: services, nodes: nodes, visible: visible, kept: kept})
	s.due = hints{services: map[string]bool{}}
	return nil
}

// readServices reads services by id. Missing ones are left out. The template is most of a row and
// never changes: it is read once.
func (s *Snapshot) readServices(ctx context.Context, tx *ent.Tx, ids []string) (map[string]*serviceEntry, error) {
	all := make(map[string]*ent.Service, len(ids))
	hidden := []string{service.FieldCredentials, service.FieldFailures}
	read := func(ids, without []string) error {
		for some := range slices.Chunk(ids, orchestrator.MaxPage) {
			rows, err := tx.Service.Query().Where(service.IDIn(some...)).Select(store.ServiceColumns(without...)...).All(ctx)
			if err != nil {
				return err
			}
			for _, row := range rows {
				all[row.ID] = row
			}
		}
		return nil
	}
	s.mu.Lock()
	known := map[string]catalog.Template{}
	var old, fresh []string
	for _, id := range ids {
		if entry := s.services[id]; entry != nil {
			known[id] = entry.service.Definition
			old = append(old, id)
		} else {
			fresh = append(fresh, id)
		}
	}
	s.mu.Unlock()
	if err := read(fresh, hidden); err != nil {
		return nil, err
	}
	for _, row := range all {
		row.Definition = s.templates.Intern(row.Definition)
	}
	if err := read(old, append(hidden, service.FieldDefinition)); err != nil {
		return nil, err
	}
	for _, id := range old {
		if row := all[id]; row != nil {
			row.Definition = known[id]
		}
	}
	found := make(map[string]*serviceEntry, len(all))
	for id, row := range all {
		found[id] = &serviceEntry{service: ServiceOf(row), version: row.Version, updatedAt: row.UpdatedAt, awaits: awaited(row)}
	}
	return found, nil
}

// nodesVisiblyChanged reports whether what is visible of a node's state differs from the snapshot.
func (s *Snapshot) nodesVisiblyChanged(visible map[string]string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, known := range s.nodes {
		if known.visible != visible[id] {
			return true
		}
	}
	return false
}
