package eventlog_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator/eventlog"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

func open(t *testing.T) (*store.Store, *eventlog.Log) {
	t.Helper()
	st, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return st, tail(t, st)
}

func tail(t *testing.T, st *store.Store) *eventlog.Log {
	t.Helper()
	log, err := eventlog.Open(t.Context(), st.Read, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		log.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return log
}

// write appends n rows in transactions of 50.
func write(t *testing.T, st *store.Store, log *eventlog.Log, n int) {
	t.Helper()
	for n > 0 {
		tx, err := st.Write.Tx(t.Context())
		if err != nil {
			t.Error(err)
			return
		}
		for range min(n, 50) {
			err = errors.Join(err, eventlog.Append(tx, time.Now()).SetSubject("NODE").SetReason("test").Exec(t.Context()))
		}
		if err := errors.Join(err, tx.Commit()); err != nil {
			t.Error(err)
			return
		}
		n -= min(n, 50)
		log.Committed()
	}
}

var errEnough = errors.New("enough")

// follow reads n rows after seq. It fails on a gap or a row out of order.
func follow(t *testing.T, log *eventlog.Log, seq int64, n int) {
	t.Helper()
	err := log.Follow(t.Context(), seq, func(e *ent.Event) error {
		if e.ID != seq+1 {
			t.Errorf("row %d follows row %d", e.ID, seq)
		}
		seq = e.ID
		if n--; n == 0 {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		t.Errorf("following ended with %v", err)
	}
}

// All followers get every row once and in order while rows are written, whether they start at the beginning, in the
// middle or at the end. This includes the change from reading the store to reading memory.
func TestFollowersMissNothing(t *testing.T) {
	const before, during = 4700, 800
	st, log := open(t)
	write(t, st, log, before)
	for log.Last() < before {
		follow(t, log, log.Last(), 1)
	}
	var readers sync.WaitGroup
	for _, seq := range []int64{0, 1, 603, 604, 605, before - 1, before} {
		readers.Go(func() { follow(t, log, seq, before+during-int(seq)) })
	}
	write(t, st, log, during)
	readers.Wait()
}

func TestFollowEndsWithItsContext(t *testing.T) {
	_, log := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := log.Follow(ctx, 0, func(*ent.Event) error { return nil }); err != nil {
		t.Errorf("%v, want nil", err)
	}
}

// A reopened log starts at the newest row, and finds older rows by their marks.
func TestReopen(t *testing.T) {
	st, log := open(t)
	write(t, st, log, 3)
	again := tail(t, st)
	if again.Last() != 3 {
		t.Errorf("begins at %d, want 3", again.Last())
	}
	row, err := st.Read.Event.Get(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.Find(t.Context(), 2, row.Mark); err != nil {
		t.Errorf("its own row: %v", err)
	}
	if _, err := again.Find(t.Context(), 2, row.Mark+1); !errors.Is(err, eventlog.ErrNoSuchEvent) {
		t.Errorf("a foreign row: %v", err)
	}
	follow(t, again, 0, 3)
}

// What was committed before a mirror's Begin returned is in the reading that follows.
func TestMirrorBeginsBeforeTheReading(t *testing.T) {
	st, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	log, err := eventlog.Open(t.Context(), st.Read, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	m := &recorder{begin: func() { write(t, st, log, 1) }}
	log.SetMirror(m)
	log.Committed()
	for n := 1; n <= 3; n++ {
		if err := log.Sync(t.Context()); err != nil || m.rows != n {
			t.Errorf("reading %d: %d rows, %v", n, m.rows, err)
		}
	}
}

// recorder is a mirror that counts rows.
type recorder struct {
	begin func()
	rows  int
}

func (r *recorder) Begin() { r.begin() }

func (r *recorder) Apply(_ context.Context, _ *ent.Tx, rows []*ent.Event) error {
	r.rows += len(rows)
	return nil
}
