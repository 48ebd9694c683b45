package snapshot

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator"
)

// update is what one read of the store found.
type update struct {
	events   []*ent.Event
	asked    map[string]bool          // services that were looked up
	services map[string]*serviceEntry // those that exist
	nodes    []*ent.Node              // all; nil: unchanged
	visible  map[string]string        // of each node's state
	kept     map[string]bool          // nodes that have retained data; nil: unchanged
}

// apply advances the snapshot by one revision if the update changes anything.
func (s *Snapshot) apply(seen update) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rev, told := s.rev+1, map[string]time.Time{}
	changed, loose := false, s.loose
	for _, e := range seen.events {
		told[e.ServiceID] = e.At
		s.at, loose, changed = orchestrator.Cursor{Seq: e.ID, Mark: e.Mark}, false, true
	}
	for id := range seen.asked {
		was, is := s.services[id], seen.services[id]
		switch {
		case is == nil && was == nil:
		case is == nil:
			s.remove(was, rev)
			changed = true
		case was == nil || was.version != is.version || was.progress != is.progress:
			loose = loose || !(was != nil && looksAlike(was, is)) && !told[id].Equal(is.updatedAt)
			s.put(was, is, rev)
			changed = true
		}
	}
	if seen.nodes != nil && s.applyNodes(seen, rev) {
		changed, loose = true, loose || len(seen.events) == 0
	}
	if seen.kept != nil && s.applyKept(seen.kept, rev) {
		changed = true
	}
	if !changed {
		return
	}
	s.rev, s.loose = rev, loose
	close(s.more)
	s.more = make(chan struct{})
}

// looksAlike reports whether users see the same in two states of a service.
func looksAlike(was, is *serviceEntry) bool {
	a, b := was.service, is.service
	same := func(p, q *time.Time) bool { return p == q || p != nil && q != nil && p.Equal(*q) }
	return was.version == is.version || a.DesiredState == b.DesiredState && a.Phase == b.Phase && a.Health == b.Health &&
		a.Reason == b.Reason && a.NodeID == b.NodeID && maps.Equal(a.Ports, b.Ports) && a.Image == b.Image && a.Restarts == b.Restarts &&
		a.Generation == b.Generation && a.ObservedGeneration == b.ObservedGeneration &&
		a.Backup == b.Backup && a.BackupReason == b.BackupReason &&
		same(a.NextRestartAt, b.NextRestartAt) && a.Rotating == b.Rotating && a.HeldBack == b.HeldBack
}

// put replaces or adds a service.
func (s *Snapshot) put(was, is *serviceEntry, rev int64) {
	is.rev = rev
	s.countAwaited(was, is, rev)
	s.services[is.service.ID] = is
	s.counts[placeOf(is.service)]++
	if was == nil {
		i, _ := slices.BinarySearchFunc(s.order, is, byCreation)
		s.order = slices.Insert(s.order, i, is)
		s.recount(is.service.NodeID, rev)
		return
	}
	s.discount(was)
	i, _ := slices.BinarySearchFunc(s.order, was, byCreation)
	s.order[i] = is
	if was.service.NodeID != is.service.NodeID {
		s.recount(was.service.NodeID, rev)
		s.recount(is.service.NodeID, rev)
	}
}

func (s *Snapshot) remove(was *serviceEntry, rev int64) {
	i, _ := slices.BinarySearchFunc(s.order, was, byCreation)
	s.order = slices.Delete(s.order, i, i+1)
	delete(s.services, was.service.ID)
	s.discount(was)
	s.countAwaited(was, nil, rev)
	s.recount(was.service.NodeID, rev)
	s.bury(tombstone{rev: rev, id: was.service.ID})
}

// discount takes a service out of the counts.
func (s *Snapshot) discount(was *serviceEntry) {
	at := placeOf(was.service)
	if s.counts[at]--; s.counts[at] == 0 {
		delete(s.counts, at)
	}
}

func byCreation(a, b *serviceEntry) int {
	if c := a.service.CreatedAt.Compare(b.service.CreatedAt); c != 0 {
		return c
	}
	return strings.Compare(a.service.ID, b.service.ID)
}

// recount gives a node a new revision, because the number of its services changed.
func (s *Snapshot) recount(nodeID string, rev int64) {
	if n := s.nodes[nodeID]; n != nil {
		n.rev = rev
	}
}

// applyNodes compares all nodes, and reports whether one changed.
func (s *Snapshot) applyNodes(seen update, rev int64) (changed bool) {
	exists := map[string]bool{}
	for _, row := range seen.nodes {
		exists[row.ID] = true
		was, visible := s.nodes[row.ID], seen.visible[row.ID]
		if was == nil || was.version != row.Version || was.visible != visible {
			s.nodes[row.ID] = &nodeEntry{node: NodeOf(row), version: row.Version, visible: visible, rev: rev}
			changed = true
		}
	}
	for id := range s.nodes {
		if !exists[id] {
			delete(s.nodes, id)
			s.bury(tombstone{rev: rev, id: id, isNode: true})
			changed = true
		}
	}
	return changed
}

func (s *Snapshot) bury(t tombstone) {
	s.deleted = append(s.deleted, t)
	if extra := len(s.deleted) - maxDeleted; extra > 0 {
		s.dropped = s.deleted[extra-1].rev
		s.deleted = slices.Clone(s.deleted[extra:])
	}
}

// delta is what changed, each object once.
type delta struct {
	snapshot, reset bool
	services        []*orchestrator.Service
	nodes           []orchestrator.Node // without what was observed
	deletedServices []string
	deletedNodes    []string
	cursor          string
	rev             int64
}

// now returns the present revision, and a channel that is closed when there is a newer one.
func (s *Snapshot) now() (rev int64, more <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rev, s.more
}

// since returns what is newer than a revision; everything if rev is negative or too old.
func (s *Snapshot) since(rev int64) *delta {
	s.mu.Lock()
	defer s.mu.Unlock()
	if rev < s.dropped {
		rev = -1
	}
	return s.pick(rev, nil)
}

// pick returns what is newer than rev, and the services that also selects; everything if rev is negative. With also set,
// all nodes are included. s.mu is held.
func (s *Snapshot) pick(rev int64, also func(*serviceEntry) bool) *delta {
	d := &delta{snapshot: rev < 0, rev: s.rev, cursor: s.cursor()}
	for _, entry := range s.order {
		if entry.rev > rev || also != nil && also(entry) {
			d.services = append(d.services, entry.service)
		}
	}
	for _, n := range s.nodes {
		if n.rev > rev || also != nil {
			d.nodes = append(d.nodes, n.node)
		}
	}
	slices.SortFunc(d.nodes, byName)
	for _, t := range s.deleted {
		switch {
		case d.snapshot || t.rev <= rev:
		case t.isNode:
			d.deletedNodes = append(d.deletedNodes, t.id)
		default:
			d.deletedServices = append(d.deletedServices, t.id)
		}
	}
	return d
}

func byName(a, b orchestrator.Node) int { return strings.Compare(a.Name, b.Name) }

func (s *Snapshot) cursor() string {
	c := s.at
	c.Picture = &orchestrator.Pictured{Epoch: s.epoch, Rev: s.rev}
	if s.loose {
		c.Picture.Loose = 1
	}
	return c.String()
}
