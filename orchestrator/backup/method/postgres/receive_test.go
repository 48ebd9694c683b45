package postgres

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pglogrepl"
)

// objects is what receivers store.
type objects struct {
	mu  sync.Mutex
	all map[string][]byte
}

func (o *objects) store(_ context.Context, name string, data []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all[name] = data
	return nil
}

func (o *objects) fetch(_ context.Context, name string) ([]byte, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if data, ok := o.all[name]; ok {
		return data, nil
	}
	return nil, fs.ErrNotExist
}

func (o *objects) names() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(slices.Sorted(maps.Keys(o.all)), "\n")
}

const slot = "uws_test"

// begin begins a log.
func (s *server) begin(slot string) Log {
	s.t.Helper()
	log, err := (Method{}).BeginLog(s.t.Context(), s.at, slot)
	if err != nil {
		s.t.Fatal(err)
	}
	return log
}

// receive receives the log of a server until that ends, or stop is called.
func (s *server) receive(to *objects, every time.Duration) (states chan State, stop func() error) {
	s.t.Helper()
	states = make(chan State, 1000)
	ended := make(chan error, 1)
	r := Receiver{From: s.at, Slot: slot, Store: to.store, Every: every, Report: func(st State) {
		select {
		case states <- st:
		default:
		}
	}}
	ctx, cancel := context.WithCancel(s.t.Context())
	go func() { ended <- r.Receive(ctx) }()
	return states, sync.OnceValue(func() error { cancel(); return <-ended })
}

// now returns the time of the server's clock.
func (s *server) now() time.Time {
	s.t.Helper()
	at, err := time.Parse(timeFormat, s.text("postgres", `SELECT `+timeColumn("clock_timestamp()")))
	if err != nil {
		s.t.Fatal(err)
	}
	return at
}

// restorable waits until a time can be restored.
func restorable(t *testing.T, states <-chan State, to time.Time) State {
	t.Helper()
	after := time.After(time.Minute)
	for {
		select {
		case st := <-states:
			if !st.RestorableTo.Before(to) {
				return st
			}
		case <-after:
			t.Fatalf("%s cannot be restored after a minute", to)
		}
	}
}

// TestPointInTime restores a table that was dropped, and the last transactions of a server that was idle afterwards.
func TestPointInTime(t *testing.T) {
	s := launch(t, "-c", "max_slot_wal_keep_size=1GB")
	for range 2 {
		s.begin(slot)
	}
	stored := &objects{all: map[string][]byte{}}
	states, stop := s.receive(stored, 20*time.Millisecond)
	archive, saved := s.save()
	var base Details
	if err := json.Unmarshal(saved.Details, &base); err != nil {
		t.Fatal(err)
	}
	s.exec("postgres", `CREATE TABLE accounts AS SELECT i, repeat('x', 1000) AS t FROM generate_series(1, 30000) i`) // more than a segment
	before := s.now()
	s.exec("postgres", `DROP TABLE accounts`)
	s.exec("postgres", `CREATE TABLE later AS SELECT 1 AS a`)
	idle := s.now()
	until := restorable(t, states, idle)                   // nothing is written any more
	if until.Timeline != 1 || until.BehindBytes > 64<<10 { // the server writes by itself
		t.Errorf("%+v", until)
	}
	s.exec("postgres", `CREATE TABLE last AS SELECT 1 AS a`)
	drained := restorable(t, states, s.now()).RestorableTo
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	t.Log(stored.names())
	s.kill(syscall.SIGQUIT)
	for name, tt := range map[string]struct {
		at   time.Time
		want string
	}{
		"before the table was dropped": {before, "accounts"},
		"while it was idle":            {until.RestorableTo, "later"},
		"at the end of the log":        {drained, "last,later"},
	} {
		t.Run(name, func(t *testing.T) {
			var prepared bytes.Buffer
			at := At{Time: tt.at, Base: base, Until: drained, Fetch: stored.fetch}
			if err := PrepareAt(t.Context(), bytes.NewReader(archive), &prepared, Restore{Quarantine: true}, at); err != nil {
				t.Fatal(err)
			}
			copied := restore(t, &prepared)
			copied.start(Quarantine()...)
			copied.promoted()
			if got := copied.text("postgres", `SELECT coalesce(string_agg(relname, ',' ORDER BY relname), '') FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'`); got != tt.want {
				t.Errorf("has %q, want %q", got, tt.want)
			}
			copied.exec("postgres", `CREATE TABLE writable ()`)
			if report := checked(t, copied, saved); len(report.Failures) > 0 {
				t.Errorf("%q", report.Failures)
			}
		})
	}
	for _, wrong := range []time.Time{base.StoppedAt.Add(-time.Second), drained.Add(time.Second)} {
		err := PrepareAt(t.Context(), bytes.NewReader(archive), io.Discard, Restore{}, At{Time: wrong, Base: base, Until: drained, Fetch: stored.fetch})
		if outside, ok := errors.AsType[*WindowError](err); !ok || !outside.From.Equal(base.StoppedAt) || !outside.Until.Equal(drained) {
			t.Error(err)
		}
	}
}

// promoted waits until the server has recovered.
func (s *server) promoted() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	for s.text("postgres", `SELECT pg_is_in_recovery()::text`) == "true" {
		if ctx.Err() != nil {
			s.t.Fatal("the server did not promote itself")
		}
	}
}

// A server that shuts down waits until the end of its log is stored.
func TestShutdown(t *testing.T) {
	s := launch(t, "-c", "max_slot_wal_keep_size=1GB")
	log := s.begin(slot)
	stored := &objects{all: map[string][]byte{}}
	states, stop := s.receive(stored, time.Hour)
	s.exec("postgres", `CREATE TABLE t AS SELECT 1 AS a`)
	log.To = s.text("postgres", `SELECT pg_current_wal_flush_lsn()::text`)
	if err := (Method{}).Continues(t.Context(), s.at, slot, log); err != nil {
		t.Error(err)
	}
	other := log
	other.To = "FF/0"
	if err := (Method{}).Continues(t.Context(), s.at, slot, other); !errors.Is(err, ErrSlotLost) {
		t.Errorf("a log that the server has not written: %v", err)
	}
	other.To = "0/1"
	if err := (Method{}).Continues(t.Context(), s.at, slot, other); !errors.Is(err, ErrSlotLost) {
		t.Errorf("a log with a gap: %v", err)
	}
	for s.text("postgres", `SELECT active::text FROM pg_replication_slots`) != "true" {
		if t.Context().Err() != nil {
			t.Fatal(stop())
		}
	}
	s.kill(syscall.SIGINT)
	var last State
	for len(states) > 0 {
		last = <-states
	}
	flushed, err := pglogrepl.ParseLSN(last.Flushed)
	if end, wrong := pglogrepl.ParseLSN(log.To); err != nil || wrong != nil || flushed <= end { // the checkpoint of its end is there too
		t.Errorf("%+v is stored of a log that has more than %s: %v", last, log.To, stop())
	}
}

// What is behind is not said to be restorable, however far the server has sent its log.
func TestBehind(t *testing.T) {
	s := launch(t, "-c", "max_slot_wal_keep_size=1GB")
	s.begin(slot)
	s.exec("postgres", `CREATE TABLE t AS SELECT repeat('x', 1000) AS a FROM generate_series(1, 60000)`)
	end, err := pglogrepl.ParseLSN(s.text("postgres", `SELECT pg_current_wal_flush_lsn()::text`))
	if err != nil {
		t.Fatal(err)
	}
	written := s.now()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	slow := func(context.Context, string, []byte) error {
		for range 20 { // while the server tells what it has sent
			s.now()
		}
		return nil
	}
	err = Receiver{From: s.at, Slot: slot, Store: slow, Every: 20 * time.Millisecond, Report: func(st State) {
		flushed, err := pglogrepl.ParseLSN(st.Flushed)
		if restorable := !st.RestorableTo.Before(written); err != nil || restorable && flushed < end {
			t.Errorf("%+v at the end %s: %v", st, end, err)
		} else if restorable {
			cancel()
		}
	}}.Receive(ctx)
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestSlotLost(t *testing.T) {
	s := launch(t, "-c", "max_slot_wal_keep_size=16MB", "-c", "max_wal_size=32MB")
	stored := &objects{all: map[string][]byte{}}
	receive := Receiver{From: s.at, Slot: slot, Store: stored.store}.Receive
	if err := receive(t.Context()); !errors.Is(err, ErrSlotLost) {
		t.Errorf("without a slot: %v", err)
	}
	s.begin(slot)
	for range 4 {
		s.exec("postgres", `CREATE TABLE t AS SELECT repeat('x', 1000) AS a FROM generate_series(1, 30000)`)
		s.exec("postgres", `DROP TABLE t`)
		s.exec("postgres", `CHECKPOINT`)
	}
	if err := receive(t.Context()); !errors.Is(err, ErrSlotLost) {
		t.Errorf("a slot that was left alone: %v", err)
	}
	for range 2 {
		s.begin(slot)
		if err := (Method{}).DropSlot(t.Context(), s.at, slot); err != nil {
			t.Error(err)
		}
	}
	s.begin(slot)
	s.begin("uws_other")
	s.exec("postgres", `SELECT pg_create_physical_replication_slot('of_a_user')`)
	if err := (Method{}).DropSlots(t.Context(), s.at, slot); err != nil {
		t.Fatal(err)
	}
	if got := s.text("postgres", `SELECT string_agg(slot_name, ' ' ORDER BY slot_name) FROM pg_replication_slots`); got != "of_a_user "+slot {
		t.Errorf("left are the slots %s", got)
	}
}

// The end of a log that was recorded before uws died is behind the segments that were stored until then.
func TestExtend(t *testing.T) {
	stored := func(name string) bool {
		return name == SegmentObject(1, "000000010000000000000003") || name == SegmentObject(1, "000000010000000000000004") || name == SegmentObject(1, "000000010000000000000006")
	}
	for to, want := range map[string]string{"0/3000010": "0/5000000", "0/4FFFFFF": "0/5000000", "0/5000000": "0/5000000", "0/2000000": "0/2000000"} {
		log := Log{Timeline: 1, SegmentBytes: 16 << 20, To: to}
		if err := log.Extend(stored); err != nil || log.To != want {
			t.Errorf("%s is moved to %s (%v), want %s", to, log.To, err, want)
		}
	}
	if err := (&Log{To: "0/1"}).Extend(stored); err == nil {
		t.Error("a log without a size of segments is accepted")
	}
}

func TestSlotsNeedALimit(t *testing.T) {
	s := launch(t)
	if _, err := (Method{}).BeginLog(t.Context(), s.at, slot); err == nil || !strings.Contains(err.Error(), "Restart the service once") {
		t.Error(err)
	}
	if got := SlotName("S6avi-pf"); got != "uws_s6avi_pf" {
		t.Error(got)
	}
}
