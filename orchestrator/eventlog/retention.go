package eventlog

import (
	"context"
	"fmt"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/ent/event"
	"github.com/unicorn-web-services/uws/ent/logtail"
)

// Retention says how much of the log to keep. The newest row is always kept.
type Retention struct {
	Age time.Duration // older rows are deleted; zero means no limit
	Max int           // the oldest rows beyond this number are deleted; zero means no limit
}

// Compact deletes the rows that need not be kept and returns their number. It deletes a few hundred rows at a time, so
// that other writes can run in between. A follower that had not read the deleted rows gets ErrNoSuchEvent.
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

// excess returns how many of the oldest rows to delete: those beyond the maximum number, and those before the first one
// that is young enough.
func excess(oldest []*ent.Event, surplus int, age time.Duration, now time.Time) int {
	for i, row := range oldest {
		if i >= surplus && (age <= 0 || now.Sub(row.At) <= age) {
			return i
		}
	}
	return len(oldest)
}

// cut deletes the rows up to seq. It raises the floor first, so that a reader that misses rows returns ErrNoSuchEvent.
func (l *Log) cut(ctx context.Context, write *ent.Client, seq int64) error {
	l.mu.Lock()
	l.floor = max(l.floor, seq)
	l.mu.Unlock()
	if _, err := write.Event.Delete().Where(event.IDLTE(seq)).Exec(ctx); err != nil {
		return fmt.Errorf("deleting old events: %w", err)
	}
	if _, err := write.LogTail.Delete().Where(logtail.IDLTE(seq)).Exec(ctx); err != nil {
		return fmt.Errorf("deleting the logs of old events: %w", err)
	}
	return nil
}

// compacted returns the sequence number of the newest deleted row.
func (l *Log) compacted() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.floor
}
