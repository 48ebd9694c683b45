package orchestrator

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/ent/event"
	"github.com/unicorn-web-services/uws/ent/service"
)

// maxGone is how many deletions the board remembers. Who missed more of them is told everything anew.
const maxGone = 10_000

// board is a picture in memory of all services and nodes, which the event log's tailer keeps in step with the
// store. Each change gets the next revision, so that whatever is newer than some revision can be told at any
// time, each object once and as it is now: nobody who follows it needs a queue.
type board struct {
	epoch int64 // random: tells this picture from those of other processes

	mu       sync.Mutex
	rev      int64
	at       cursor // the newest event that is in the picture
	loose    bool   // something in it changed after that event and has no event of its own
	services map[string]*pictureOf
	order    []*pictureOf // by creation, then id
	nodes    map[string]*nodeMark
	gone     []tombstone   // in order of rev
	forgot   int64         // revision of the newest deletion that is not remembered
	more     chan struct{} // closed when rev grew

	hints   sync.Mutex // a leaf: taken under any other lock
	touched map[string]bool
}

// pictureOf a service.
type pictureOf struct {
	row      *ent.Service // without credentials and failures
	progress Progress     // zero: it is not being launched
	rev      int64
}

// nodeMark is what is remembered of a node, in order to notice a change.
type nodeMark struct {
	row    *ent.Node
	engine string // what its driver says of itself
	rev    int64
}

type tombstone struct {
	rev    int64
	id     string
	isNode bool
}

func newBoard() *board {
	return &board{
		epoch: rand.Int64(), services: map[string]*pictureOf{}, nodes: map[string]*nodeMark{}, //nolint:gosec // to tell apart, not to keep secret
		more: make(chan struct{}), touched: map[string]bool{},
	}
}

// touch hints that a service changed in a way that users can see. It never waits.
func (o *Orchestrator) touch(id string) {
	o.board.hints.Lock()
	o.board.touched[id] = true
	o.board.hints.Unlock()
	o.events.Committed()
}

// takeHints are the services that were touched since it was called last.
func (b *board) takeHints() map[string]bool {
	b.hints.Lock()
	defer b.hints.Unlock()
	taken := b.touched
	b.touched = map[string]bool{}
	return taken
}

// openBoard makes the first picture.
func (o *Orchestrator) openBoard(ctx context.Context) error {
	tx, err := o.store.Read.Tx(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // nothing was written
	newest, err := tx.Event.Query().Order(ent.Desc(event.FieldID)).Limit(1).All(ctx)
	if err != nil {
		return fmt.Errorf("reading the end of the event log: %w", err)
	}
	o.mu.Lock()
	ids := slices.Collect(maps.Keys(o.tasks))
	o.mu.Unlock()
	for _, id := range ids {
		o.board.touched[id] = true
	}
	for _, e := range newest {
		o.board.at = cursor{seq: e.ID, mark: e.Mark}
	}
	o.events.SetMirror(o.mirror)
	return o.mirror(ctx, tx, nil)
}

// mirror brings the board in step with the store as tx shows it: events are what was appended since the last time.
func (o *Orchestrator) mirror(ctx context.Context, tx *ent.Tx, rows []*ent.Event) (err error) {
	b, hints := o.board, o.board.takeHints()
	defer func() {
		if err != nil { // nothing is lost: they are looked at again
			b.hints.Lock()
			maps.Copy(b.touched, hints)
			b.hints.Unlock()
		}
	}()
	nodesMoved := false
	for _, e := range rows {
		if e.Subject == event.SubjectNODE {
			nodesMoved = true
		} else {
			hints[e.ServiceID] = true
		}
	}
	services, err := o.readServices(ctx, tx, slices.Sorted(maps.Keys(hints)))
	if err != nil {
		return fmt.Errorf("reading services that changed: %w", err)
	}
	var nodes []*ent.Node // nil: as before
	if nodesMoved || o.nodesDiffer() {
		if nodes, err = tx.Node.Query().All(ctx); err != nil {
			return fmt.Errorf("reading the nodes: %w", err)
		}
	}
	b.take(look{events: rows, asked: hints, services: services, nodes: nodes, engines: o.engines()})
	return nil
}

// readServices reads rows as the API shows them, by id. What is not there is left out.
func (o *Orchestrator) readServices(ctx context.Context, tx *ent.Tx, ids []string) (map[string]*pictureOf, error) {
	found := make(map[string]*pictureOf, len(ids))
	for some := range slices.Chunk(ids, MaxPage) {
		rows, err := tx.Service.Query().Where(service.IDIn(some...)).
			Select(allBut(service.FieldDefinition, service.FieldCredentials, service.FieldFailures)...).All(ctx)
		if err != nil {
			return nil, err
		}
		for _, s := range rows {
			found[s.ID] = &pictureOf{row: s}
			if t := o.task(s.ID); t != nil {
				s.Definition = t.definition
				if p, _, _ := t.progress(); p != nil {
					found[s.ID].progress = *p
				}
				continue
			}
			whole, err := tx.Service.Query().Where(service.ID(s.ID)).Select(service.FieldDefinition).Only(ctx) // launched this instant
			if err != nil {
				return nil, err
			}
			s.Definition = whole.Definition
		}
	}
	return found, nil
}

// nodesDiffer says whether memory knows something of a node that the board does not.
func (o *Orchestrator) nodesDiffer() bool {
	all, engines := o.allNodes(), o.engines()
	o.board.mu.Lock()
	defer o.board.mu.Unlock()
	for _, n := range all {
		known := o.board.nodes[n.id]
		if known == nil || known.row.Version < n.current().Version || known.engine != engines[n.id] {
			return true
		}
	}
	return len(all) != len(o.board.nodes)
}

// engines is what each node's driver says of itself, save for what is another with each check.
func (o *Orchestrator) engines() map[string]string {
	all := map[string]string{}
	for _, n := range o.allNodes() {
		n.mu.Lock()
		if n.info != nil {
			all[n.id] = fmt.Sprint(n.info.Version, n.info.CPUs, n.info.MemoryBytes)
		}
		n.mu.Unlock()
	}
	return all
}
