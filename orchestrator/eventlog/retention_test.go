package eventlog_test

import (
	"errors"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator/eventlog"
)

func TestCompact(t *testing.T) {
	now := time.Now()
	for name, tt := range map[string]struct {
		keep eventlog.Retention
		at   time.Time
		left int
	}{
		"all young, none too many": {eventlog.Retention{Age: time.Hour, Max: 1200}, now, 1200},
		"too many":                 {eventlog.Retention{Age: time.Hour, Max: 7}, now, 7},
		"too old":                  {eventlog.Retention{Age: time.Hour, Max: 5000}, now.Add(2 * time.Hour), 1},
		"no number":                {eventlog.Retention{Age: time.Hour}, now, 1200},
		"no age":                   {eventlog.Retention{Max: 3}, now.Add(1000 * time.Hour), 3},
		"the clock was set back":   {eventlog.Retention{Age: time.Hour}, now.Add(-1000 * time.Hour), 1200},
	} {
		t.Run(name, func(t *testing.T) {
			st, log := open(t)
			write(t, st, log, 1200)
			follow(t, log, 0, 1200)
			deleted, err := log.Compact(t.Context(), st.Write, tt.keep, tt.at)
			if err != nil || deleted != 1200-tt.left {
				t.Fatalf("deleted %d, %v; want %d", deleted, err, 1200-tt.left)
			}
			rows, err := st.Read.Event.Query().All(t.Context())
			if err != nil || len(rows) != tt.left || rows[len(rows)-1].ID != 1200 {
				t.Errorf("%d rows are left, the last is %d, %v", len(rows), rows[len(rows)-1].ID, err)
			}
		})
	}
}

// A follower whose next row was deleted gets ErrNoSuchEvent, not a later row. A follower that needs none of the deleted
// rows continues.
func TestCompactedUnderAReader(t *testing.T) {
	st, log := open(t)
	write(t, st, log, 900)
	again := tail(t, st) // with no rows in memory
	var last int64
	_, err := again.Replay(t.Context(), 0, func(e *ent.Event) error {
		if e.ID == 300 {
			if _, err := again.Compact(t.Context(), st.Write, eventlog.Retention{Max: 100}, time.Now()); err != nil {
				return err
			}
		}
		last = e.ID
		return nil
	})
	if !errors.Is(err, eventlog.ErrNoSuchEvent) || last != 500 { // the rows that it had read already
		t.Errorf("came to %d, %v", last, err)
	}
	follow(t, again, 800, 100)
	if _, err := tail(t, st).Replay(t.Context(), 799, func(*ent.Event) error { return nil }); !errors.Is(err, eventlog.ErrNoSuchEvent) {
		t.Errorf("a log that was opened later: %v", err)
	}
}
