// Package eventlog is the event log: rows in the store, in commit order.
//
// One goroutine, the tailer, reads the log and keeps its newest rows in memory. Commits wake it. A follower has no
// queue of its own. It reads at its own pace, from memory or, if it is further behind, from the store. So a slow
// follower costs no memory, does not block a publisher and does not miss rows. Compact deletes rows that are too old or
// too many. A follower that had not read them gets [ErrNoSuchEvent].
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
	batch    = 500         // rows per query
	safetyAt = time.Second // interval at which the tailer reads even if no commit woke it
)

// ErrNoSuchEvent means that a cursor matches no row.
var ErrNoSuchEvent = errors.New("event log: no such event")

// Mirror follows the tailer. Its methods are called by one goroutine at a time.
type Mirror interface {
	// Begin is called before the store is read: the reading has everything that was committed before.
	Begin()
	// Apply is called with the new rows before followers see them. There may be none, after a nudge. In tx the store is as it
	// was when the last of them was its newest: what is read there belongs to that row. After an error the same rows are passed
	// to the next call.
	Apply(ctx context.Context, tx *ent.Tx, rows []*ent.Event) error
}

// Log is the event log. It is safe for concurrent use.
type Log struct {
	read   *ent.Client
	log    *slog.Logger
	nudge  chan struct{}
	mirror Mirror

	committed atomic.Int64 // number of calls of Committed
	turn      sync.Mutex   // held while the log is read
	seen      int64        // value of committed when the last read began; guarded by turn

	mu     sync.Mutex
	recent []*ent.Event  // oldest first
	last   int64         // sequence number of the newest row read
	floor  int64         // sequence number of the newest deleted row
	more   chan struct{} // closed when recent grows
}

// Open returns a Log that starts at the newest row. Rows are read with read, which must see everything committed
// before.
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

// SetMirror has m follow the tailer. It is called before Run.
func (l *Log) SetMirror(m Mirror) { l.mirror = m }

// Append begins a row in the caller's transaction. The caller completes and saves it, commits, and then calls
// Committed.
func Append(tx *ent.Tx, at time.Time) *ent.EventCreate {
	return tx.Event.Create().SetAt(at.UTC()).SetMark(int64(rand.Uint64())) //nolint:gosec // distinguishes rows, is not secret
}

// Committed wakes the tailer. It never blocks.
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

// tail reads new rows and reports whether there may be more.
func (l *Log) tail(ctx context.Context) bool {
	l.turn.Lock()
	defer l.turn.Unlock()
	n, err := l.advance(ctx)
	if err != nil && ctx.Err() == nil {
		l.log.Error("reading the event log failed; retrying", "error", err)
	}
	return n > 0 && err == nil
}

// Sync returns once followers and the mirror have everything committed before the last call of Committed. If the tailer
// has not read that yet, Sync reads it, and returns the error if that fails.
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

// advance reads the new rows in one transaction, and returns their number. l.turn must be held.
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

// readNew returns the new rows, after it has passed them to the mirror.
func (l *Log) readNew(ctx context.Context) (rows []*ent.Event, err error) {
	if l.mirror != nil {
		l.mirror.Begin()
	}
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
	return rows, l.mirror.Apply(ctx, tx, rows)
}

func after(ctx context.Context, events *ent.EventClient, seq int64) ([]*ent.Event, error) {
	return events.Query().Where(event.IDGT(seq)).Order(ent.Asc(event.FieldID)).Limit(batch).All(ctx)
}

// Last returns the sequence number of the newest row that followers can see.
func (l *Log) Last() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

// Find returns the row with the given sequence number and mark, or ErrNoSuchEvent if it is not in the log.
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

// Follow calls yield for every row after seq, in order, and then for new rows as they are committed. It returns nil
// when ctx ends, the error if yield or the store fails, and ErrNoSuchEvent if rows after seq were deleted. All
// followers get the same pointer, so yield must not change a row.
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

// Replay is like Follow, but returns when it has reached the newest row. It returns the sequence number of the last row
// it passed to yield.
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

// state returns the rows in memory, the number of the newest row, and a channel that is closed when more rows arrive.
func (l *Log) state() (recent []*ent.Event, last int64, more <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.recent, l.last, l.more
}

// next returns some of the rows after seq, from memory if it reaches back far enough.
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
	if seq < l.compacted() { // checked after reading, because rows may have been deleted meanwhile
		return nil, ErrNoSuchEvent
	}
	for len(rows) > 0 && rows[len(rows)-1].ID > last { // the mirror has not got these yet
		rows = rows[:len(rows)-1]
	}
	return rows, nil
}
