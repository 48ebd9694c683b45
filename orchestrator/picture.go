package orchestrator

import (
	"slices"
	"strings"
	"time"

	"github.com/unicorn-web-services/uws/ent"
)

// look is what one look at the store found.
type look struct {
	events   []*ent.Event
	asked    map[string]bool       // services that were looked for
	services map[string]*pictureOf // those that are there
	nodes    []*ent.Node           // all; nil: not looked at
	engines  map[string]string     // by a node's id
}

// take brings the picture up to a look.
func (b *board) take(seen look) {
	b.mu.Lock()
	defer b.mu.Unlock()
	rev, told := b.rev+1, map[string]time.Time{}
	changed, loose := false, b.loose
	for _, e := range seen.events {
		told[e.ServiceID] = e.At
		b.at, loose, changed = cursor{seq: e.ID, mark: e.Mark}, false, true
	}
	for id := range seen.asked {
		was, is := b.services[id], seen.services[id]
		switch {
		case is == nil && was == nil:
		case is == nil:
			b.remove(was, rev)
			changed = true
		case was == nil || was.row.Version != is.row.Version || was.progress != is.progress:
			sameRow := was != nil && was.row.Version == is.row.Version
			loose = loose || !sameRow && !told[id].Equal(is.row.UpdatedAt)
			b.put(was, is, rev)
			changed = true
		}
	}
	if seen.nodes != nil && b.takeNodes(seen, rev) {
		changed, loose = true, loose || len(seen.events) == 0
	}
	if !changed {
		return
	}
	b.rev, b.loose = rev, loose
	close(b.more)
	b.more = make(chan struct{})
}

// put shows a service as it is now.
func (b *board) put(was, is *pictureOf, rev int64) {
	is.rev = rev
	b.services[is.row.ID] = is
	if was == nil {
		i, _ := slices.BinarySearchFunc(b.order, is, byCreation)
		b.order = slices.Insert(b.order, i, is)
		b.count(is.row.NodeID, rev)
		return
	}
	i, _ := slices.BinarySearchFunc(b.order, was, byCreation)
	b.order[i] = is
	if was.row.NodeID != is.row.NodeID {
		b.count(was.row.NodeID, rev)
		b.count(is.row.NodeID, rev)
	}
}

func (b *board) remove(was *pictureOf, rev int64) {
	i, _ := slices.BinarySearchFunc(b.order, was, byCreation)
	b.order = slices.Delete(b.order, i, i+1)
	delete(b.services, was.row.ID)
	b.count(was.row.NodeID, rev)
	b.bury(tombstone{rev: rev, id: was.row.ID})
}

func byCreation(a, b *pictureOf) int {
	if c := a.row.CreatedAt.Compare(b.row.CreatedAt); c != 0 {
		return c
	}
	return strings.Compare(a.row.ID, b.row.ID)
}

// count notes that another number of services is on a node.
func (b *board) count(nodeID string, rev int64) {
	if n := b.nodes[nodeID]; n != nil {
		n.rev = rev
	}
}

// takeNodes compares all nodes, and says whether one changed.
func (b *board) takeNodes(seen look, rev int64) (changed bool) {
	there := map[string]bool{}
	for _, row := range seen.nodes {
		there[row.ID] = true
		was, engine := b.nodes[row.ID], seen.engines[row.ID]
		if was == nil || was.row.Version != row.Version || was.engine != engine {
			b.nodes[row.ID] = &nodeMark{row: row, engine: engine, rev: rev}
			changed = true
		}
	}
	for id := range b.nodes {
		if !there[id] {
			delete(b.nodes, id)
			b.bury(tombstone{rev: rev, id: id, isNode: true})
			changed = true
		}
	}
	return changed
}

func (b *board) bury(t tombstone) {
	b.gone = append(b.gone, t)
	if extra := len(b.gone) - maxGone; extra > 0 {
		b.forgot = b.gone[extra-1].rev
		b.gone = slices.Clone(b.gone[extra:])
	}
}

// delta is what changed, each object once.
type delta struct {
	snapshot, reset bool
	services        []*ent.Service
	nodes           []*ent.Node
	deletedServices []string
	deletedNodes    []string
	cursor          string
	rev             int64
}

// now is how far the picture has come, and a channel that is closed when it has come further.
func (b *board) now() (rev int64, more <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.rev, b.more
}

// since is what is newer than a revision, and everything when that is negative or too long ago.
func (b *board) since(rev int64) *delta {
	b.mu.Lock()
	defer b.mu.Unlock()
	if rev < b.forgot {
		rev = -1
	}
	return b.pick(rev, nil)
}

// pick is what is newer than rev, and the services that also chooses; with rev negative it is a snapshot. With also
// set, all nodes are in it. b.mu is held.
func (b *board) pick(rev int64, also func(*pictureOf) bool) *delta {
	d := &delta{snapshot: rev < 0, rev: b.rev, cursor: b.cursor()}
	for _, s := range b.order {
		if s.rev > rev || also != nil && also(s) {
			d.services = append(d.services, s.row)
		}
	}
	for _, n := range b.nodes {
		if n.rev > rev || also != nil {
			d.nodes = append(d.nodes, n.row)
		}
	}
	slices.SortFunc(d.nodes, func(a, b *ent.Node) int { return strings.Compare(a.Name, b.Name) })
	for _, t := range b.gone {
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

func (b *board) cursor() string {
	c := b.at
	c.picture = &pictured{epoch: b.epoch, rev: b.rev}
	if b.loose {
		c.picture.loose = 1
	}
	return c.String()
}
