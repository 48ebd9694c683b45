// Package events is the event log: rows in the store, in commit order, and those who follow them.
//
// One tailer reads the log and keeps its newest rows in memory; commits only nudge it. A follower has no
// queue of its own: it reads from memory, or from the store when it is further behind, at its own pace. So
// nobody who is slow costs memory, blocks a publisher or misses a row.
package events

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sort"
	"sync"
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

// Log is the event log. It is safe for concurrent use.
type Log struct {
	read  *ent.Client
	log   *slog.Logger
	nudge chan struct{}

	mu     sync.Mutex
	recent []*ent.Event  // in order
	last   int64         // sequence number of the newest row that was read
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
	l.last = newest.ID
	return l, nil
}

// Append begins a row in a transaction of the caller's, who completes and saves it, commits, and then
// calls Committed.
func Append(tx *ent.Tx, at time.Time) *ent.EventCreate {
	return tx.Event.Create().SetAt(at.UTC()).SetMark(int64(rand.Uint64()))
}

// Committed tells the tailer that there may be more. It never blocks.
func (l *Log) Committed() {
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
		for l.advance(ctx) {
		}
		select {
		case <-ctx.Done():
			return
		case <-l.nudge:
		case <-tick.C:
		}
	}
}

// advance reads one batch and says whether there may be another.
func (l *Log) advance(ctx context.Context) bool {
	rows, err := l.after(ctx, l.Last())
	if err != nil {
		if ctx.Err() == nil {
			l.log.Error("reading the event log failed; it is tried again", "error", err)
		}
		return false
	}
	if len(rows) == 0 {
		return false
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
	return len(rows) == batch
}

func (l *Log) after(ctx context.Context, seq int64) ([]*ent.Event, error) {
	return l.read.Event.Query().Where(event.IDGT(seq)).Order(ent.Asc(event.FieldID)).Limit(batch).All(ctx)
}

// Last is the sequence number of the newest row that followers can see.
func (l *Log) Last() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

// Find checks that a row with this sequence number and mark is in the log; ErrNoSuchEvent when not.
func (l *Log) Find(ctx context.Context, seq, mark int64) error {
	found, err := l.read.Event.Query().Where(event.ID(seq), event.Mark(mark)).Exist(ctx)
	if err != nil {
		return fmt.Errorf("looking for event %d: %w", seq, err)
	}
	if !found {
		return ErrNoSuchEvent
	}
	return nil
}

// Follow calls yield for every row after seq, in order, as they come, until ctx ends (nil), yield fails
// or the store does. A row is the same pointer for all followers: it must not be changed.
func (l *Log) Follow(ctx context.Context, seq int64, yield func(*ent.Event) error) error {
	for {
		rows, more, err := l.next(ctx, seq)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("following the event log: %w", err)
		}
		for _, row := range rows {
			if ctx.Err() != nil {
				return nil
			}
			if err := yield(row); err != nil {
				return err
			}
			seq = row.ID
		}
		if len(rows) > 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-more:
		}
	}
}

// next is what follows seq, from memory where it reaches back far enough, and the channel to wait on
// when there is nothing.
func (l *Log) next(ctx context.Context, seq int64) ([]*ent.Event, <-chan struct{}, error) {
	l.mu.Lock()
	recent, last, more := l.recent, l.last, l.more
	l.mu.Unlock()
	if seq >= last {
		return nil, more, nil
	}
	if len(recent) == 0 || seq < recent[0].ID-1 {
		rows, err := l.after(ctx, seq)
		return rows, more, err
	}
	i := sort.Search(len(recent), func(i int) bool { return recent[i].ID > seq })
	return recent[i:], more, nil
}
