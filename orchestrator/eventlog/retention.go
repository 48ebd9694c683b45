package eventlog

import (
	"context"
	"fmt"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/ent/event"
)

// Retention says how much of the log is kept. The newest row always is.
type Retention struct {
	Age time.Duration // older rows are deleted; zero: none is too old
	Max int           // rows beyond this number are deleted, the oldest first; zero: none is too many
}

// Compact deletes what is not kept any more and answers how many rows that were. It writes through write, a few
// hundred rows at a time, so that others can write in between. Whoever follows and had not come so far is told
// ErrNoSuchEvent.
func (l *Log) Compact(ctx context.Context, write *ent.Client, keep Retention, now time.Time) (deleted int, err error) {
	surplus := 0
	if keep.Max > 0 {
		count, err := l.read.Event.Query().Count(ctx)
		if err != nil {
			return 0, fmt.Errorf("counting the event log: %w", err)
		}
		surplus = count - keep.Max
	}
	for {
		oldest, err := after(ctx, l.read.Event, 0)
		if err != nil {
			return deleted, fmt.Errorf("reading the beginning of the event log: %w", err)
		}
		n := excess(oldest, surplus-deleted, keep.Age, now)
		for n > 0 && oldest[n-1].ID >= l.Last() {
			n--
		}
		if n == 0 {
			return deleted, nil
		}
		if err := l.cut(ctx, write, oldest[n-1].ID); err != nil {
			return deleted, err
		}
		deleted += n
	}
}

// excess is how many of the oldest rows are to go: those beyond the number, and those before the first that is
// young enough.
func excess(oldest []*ent.Event, surplus int, age time.Duration, now time.Time) int {
	for i, row := range oldest {
		if i >= surplus && (age <= 0 || now.Sub(row.At) <= age) {
			return i
		}
	}
	return len(oldest)
}

// cut deletes the rows up to seq. Readers are told first: one that misses rows must find the reason.
func (l *Log) cut(ctx context.Context, write *ent.Client, seq int64) error {
	l.mu.Lock()
	l.floor = max(l.floor, seq)
	l.mu.Unlock()
	if _, err := write.Event.Delete().Where(event.IDLTE(seq)).Exec(ctx); err != nil {
		return fmt.Errorf("deleting old events: %w", err)
	}
	return nil
}

// compacted is the newest row that was deleted.
func (l *Log) compacted() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.floor
}
