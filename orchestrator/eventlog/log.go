// Package eventlog is the event log: rows in the store, in commit order, and those who follow them.
//
// One tailer reads the log and keeps its newest rows in memory; commits only nudge it. A follower has no
// queue of its own: it reads from memory, or from the store when it is further behind, at its own pace. So
// nobody who is slow costs memory, blocks a publisher or misses a row. Rows that are too old, or too many,
// are deleted by Compact; a follower that had not come so far is told so.
package eventlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/ent/event"
)

const (
	keep     = 4096        // newest rows in memory
	batch    = 500         // rows a read of the store
	safetyAt = time.Second // the tailer looks even when nobody nudged it
)

// ErrNoSuchEvent says that a cursor matches no row.
var ErrNoSuchEvent = errors.New("events: no such event")

// Mirror is told of new rows by the tailer, before followers see them; there may be none, after a nudge. In tx
// the store is as it was when the last of them was its newest: what is read there belongs to that row. An error
// has the same rows told again.
type Mirror func(ctx context.Context, tx *ent.Tx, rows []*ent.Event) error

// Log is the event log. It is safe for concurrent use.
type Log struct {
	read   *ent.Client
	log    *slog.Logger
	nudge  chan struct{}
	mirror Mirror

	committed atomic.Int64 // calls of Committed
	turn      sync.Mutex   // held while the log is read
	seen      int64        // committed, when the newest reading began; under turn

	mu     sync.Mutex
	recent []*ent.Event  // in order
	last   int64         // sequence number of the newest row that was read
	floor  int64         // of the newest row that was deleted
	more   chan struct{} // closed when recent grew
}

// Open finds the end of the log. Rows are read through read, which must see what was committed before.
func Open(ctx context.Context, read *ent.Client, log *slog.Logger) (*Log, error) {
	l := &Log{read: read, log: log, nudge: make(chan struct{}, 1), more: make(chan struct{})}
	newest, err := read.Event.Query().Order(ent.Desc(event.FieldID)).First(ctx)
	if ent.IsNotFound(err) {
		return l, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the end of the event log: %w", err)
	}
	oldest, err := read.Event.Query().Order(ent.Asc(event.FieldID)).First(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the beginning of the event log: %w", err)
	}
	l.last, l.floor = newest.ID, oldest.ID-1
	return l, nil
}

// SetMirror has m told of every row; before Run.
func (l *Log) SetMirror(m Mirror) { l.mirror = m }

// Append begins a row in a transaction of the caller's, who completes and saves it, commits, and then
// calls Committed.
func Append(tx *ent.Tx, at time.Time) *ent.EventCreate {
	return tx.Event.Create().SetAt(at.UTC()).SetMark(int64(rand.Uint64())) //nolint:gosec // to tell apart, not to keep secret
}

// Committed tells the tailer that there may be more. It never blocks.
func (l *Log) Committed() {
	l.committed.Add(1)
	select {
	case l.nudge <- struct{}{}:
	default:
	}
}

// Run tails the log until ctx ends.
func (l *Log) Run(ctx context.Context) {
	tick := time.NewTicker(safetyAt)
	defer tick.Stop()
	for {
		for l.tail(ctx) {
		}
		select {
		case <-ctx.Done():
			return
		case <-l.nudge:
		case <-tick.C:
		}
	}
}

// tail reads what is new and reports whether there may be more.
func (l *Log) tail(ctx context.Context) bool {
	l.turn.Lock()
	defer l.turn.Unlock()
	n, err := l.advance(ctx)
	if err != nil && ctx.Err() == nil {
		l.log.Error("reading the event log failed; it is tried again", "error", err)
	}
	return n > 0 && err == nil
}

// Sync returns when followers and the mirror have everything that was committed before the last call of Committed. It reads
// the log itself if the tailer has not done so yet, and returns the error of that reading.
func (l *Log) Sync(ctx context.Context) error {
	want := l.committed.Load()
	l.turn.Lock()
	defer l.turn.Unlock()
	if l.seen >= want {
		return nil
	}
	_, err := l.advance(ctx)
	return err
}

// advance reads what is new, in one transaction, and returns the number of rows. l.turn is held.
func (l *Log) advance(ctx context.Context) (int, error) {
	began := l.committed.Load()
	rows, err := l.readNew(ctx)
	if err != nil {
		return 0, err
	}
	l.seen = began
	if len(rows) == 0 {
		return 0, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.recent = append(l.recent, rows...)
	if extra := len(l.recent) - keep; extra > 0 {
		l.recent = append([]*ent.Event(nil), l.recent[extra:]...)
	}
	l.last = rows[len(rows)-1].ID
	close(l.more)
	l.more = make(chan struct{})
	return len(rows), nil
}

// readNew is all that is new, with the mirror told of it.
func (l *Log) readNew(ctx context.Context) (rows []*ent.Event, err error) {
	tx, err := l.read.Tx(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, tx.Rollback()) }()
	for seq := l.Last(); ; seq = rows[len(rows)-1].ID {
		some, err := after(ctx, tx.Event, seq)
		if err != nil {
			return nil, err
		}
		rows = append(rows, some...)
		if len(some) < batch {
			break
		}
	}
	if l.mirror == nil {
		return rows, nil
	}
	return rows, l.mirror(ctx, tx, rows)
}

func after(ctx context.Context, events *ent.EventClient, seq int64) ([]*ent.Event, error) {
	return events.Query().Where(event.IDGT(seq)).Order(ent.Asc(event.FieldID)).Limit(batch).All(ctx)
}

// Last is the sequence number of the newest row that followers can see.
func (l *Log) Last() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

// Find is the row with this sequence number and mark; ErrNoSuchEvent when it is not in the log.
func (l *Log) Find(ctx context.Context, seq, mark int64) (*ent.Event, error) {
	row, err := l.read.Event.Query().Where(event.ID(seq), event.Mark(mark)).Only(ctx)
	if ent.IsNotFound(err) {
		return nil, ErrNoSuchEvent
	}
	if err != nil {
		return nil, fmt.Errorf("looking for event %d: %w", seq, err)
	}
	return row, nil
}

// Follow calls yield for every row after seq, in order, as they come, until ctx ends (nil), yield fails
// or the store does; ErrNoSuchEvent when rows that should come were deleted. A row is the same pointer for all
// followers: it must not be changed.
func (l *Log) Follow(ctx context.Context, seq int64, yield func(*ent.Event) error) error {
	for {
		var err error
		if seq, err = l.Replay(ctx, seq, yield); err != nil || ctx.Err() != nil {
			return err
		}
		_, last, more := l.state()
		if seq < last {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-more:
		}
	}
}

// Replay is Follow up to the present: it answers with the row up to which it came.
func (l *Log) Replay(ctx context.Context, seq int64, yield func(*ent.Event) error) (int64, error) {
	for ctx.Err() == nil {
		rows, err := l.next(ctx, seq)
		if err != nil && ctx.Err() == nil {
			return seq, fmt.Errorf("following the event log: %w", err)
		}
		if len(rows) == 0 {
			return seq, nil
		}
		for _, row := range rows {
			if ctx.Err() != nil {
				return seq, nil
			}
			if err := yield(row); err != nil {
				return seq, err
			}
			seq = row.ID
		}
	}
	return seq, nil
}

// state is what memory holds, and the channel that is closed when that grows.
func (l *Log) state() (recent []*ent.Event, last int64, more <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.recent, l.last, l.more
}

// next is some of what follows seq, from memory where it reaches back far enough.
func (l *Log) next(ctx context.Context, seq int64) ([]*ent.Event, error) {
	recent, last, _ := l.state()
	if seq >= last {
		return nil, nil
	}
	if len(recent) > 0 && seq >= recent[0].ID-1 {
		i := sort.Search(len(recent), func(i int) bool { return recent[i].ID > seq })
		return recent[i:], nil
	}
	rows, err := after(ctx, l.read.Event, seq)
	if err != nil {
		return nil, err
	}
	if seq < l.compacted() { // looked at after reading: rows may have gone meanwhile
		return nil, ErrNoSuchEvent
	}
	for len(rows) > 0 && rows[len(rows)-1].ID > last { // the mirror does not know these yet
		rows = rows[:len(rows)-1]
	}
	return rows, nil
}
