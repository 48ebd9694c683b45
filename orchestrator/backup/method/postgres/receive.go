package postgres

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/klauspost/compress/zstd"

	"github.com/unicorn-web-services/uws/orchestrator/backup/method"
)

// State is how far the log of a server is received and stored.
type State struct {
	Timeline    int
	Flushed     string // up to this LSN everything is stored
	BehindBytes int64  // that the server has written beyond
	// RestorableTo is a time of the server's clock: everything that it had written then is stored. Zero: not known yet.
	RestorableTo time.Time
}

// Receiver receives the log of a server.
type Receiver struct {
	Method
	From method.Instance
	Slot string // see [Method.CreateSlot]
	// Store keeps a part of the log under a name, in place of what it has under that name. It is called from one goroutine
	// at a time. Segments are compressed by zstd, see [SegmentObject].
	Store func(ctx context.Context, name string, data []byte) error
	// Report is called when State changes, from one goroutine.
	Report func(State)
	// Every is how often a segment that is not full yet is stored; zero: 1 min.
	Every time.Duration
	// Drain, when it is closed, ends the receiver once everything that the server has written until then is stored, or
	// after 5 s.
	Drain <-chan struct{}
}

const (
	drainTime    = 5 * time.Second
	statusEvery  = 10 * time.Second
	partial      = ".partial"
	maxSegment   = 64 << 20
	maxUnstored  = 2 // segments, at which nothing more is received
	messageQueue = 16
)

// SegmentObject returns the name under which a segment of a timeline is stored.
func SegmentObject(timeline int, segment string) string {
	return fmt.Sprintf("wal/%08X/%s", timeline, segment)
}

// Receive receives the log from where the slot is, and stores it: each full segment, and what there is of the last one at
// intervals. The server is told that it may remove what is stored, and nothing else. It returns nil after Drain, and
// otherwise an error: [ErrSlotLost] if the log has a gap, those of Store, and those of the connection, after which it
// can be called again.
func (r Receiver) Receive(ctx context.Context) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	rx, err := r.begin(ctx)
	if err != nil {
		return err
	}
	defer rx.session.close()
	incoming, stored := make(chan incoming, messageQueue), make(chan error, 1)
	read := make(chan struct{})
	go func() { defer close(read); rx.read(ctx, incoming) }()
	defer func() { cancel(); _ = rx.session.raw.Close(); <-read }()
	defer func() { // the store is not used after Receive has returned
		if cancel(); rx.storing {
			err = errors.Join(err, <-stored)
		}
	}()
	return rx.run(ctx, incoming, stored)
}

// receiving is one connection of a receiver.
type receiving struct {
	Receiver
	session  *session
	segment  uint64 // bytes of a segment
	timeline int
	packer   *zstd.Encoder

	at       pglogrepl.LSN // up to which everything is received
	flushed  pglogrepl.LSN // up to which everything is stored
	end      pglogrepl.LSN // of the server's log, as far as known
	caughtUp time.Time     // everything that was written then is received
	restore  time.Time     // everything that was written then is stored
	buffer   []byte        // the current segment up to at
	queue    []job
	storing  bool
}

// job is a part of the log to store.
type job struct {
	name     string
	data     []byte // before compression
	upTo     pglogrepl.LSN
	caughtUp time.Time
}

type incoming struct {
	data []byte
	err  error
}

// begin connects, and starts at the beginning of the segment in which the slot is.
func (r Receiver) begin(ctx context.Context) (*receiving, error) {
	_, _, database := login(r.From)
	sql, err := r.connect(ctx, r.From, database, nil)
	if err != nil {
		return nil, err
	}
	defer sql.close()
	details, err := sql.details(ctx)
	if err != nil {
		return nil, err
	}
	if details.SegmentBytes > maxSegment {
		return nil, fmt.Errorf("segments of the server's log have %d bytes, more than %d", details.SegmentBytes, maxSegment)
	}
	from, err := sql.slot(ctx, r.Slot)
	if err != nil {
		return nil, err
	}
	s, err := r.connect(ctx, r.From, "", nil)
	if err != nil {
		return nil, err
	}
	rx := &receiving{Receiver: r, session: s, segment: details.SegmentBytes}
	if err := rx.start(ctx, from); err != nil {
		s.close()
		return nil, err
	}
	return rx, nil
}

func (r *receiving) start(ctx context.Context, from pglogrepl.LSN) error {
	system, err := pglogrepl.IdentifySystem(ctx, r.session.conn)
	if err != nil {
		return refusal(ctx, err)
	}
	if r.packer, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1)); err != nil {
		return err
	}
	r.timeline = int(system.Timeline)
	if r.timeline > 1 {
		history, err := pglogrepl.TimelineHistory(ctx, r.session.conn, system.Timeline)
		if err != nil {
			return refusal(ctx, err)
		}
		if err := r.Store(ctx, SegmentObject(r.timeline, fmt.Sprintf("%08X.history", r.timeline)), bytes.Clone(history.Content)); err != nil {
			return err
		}
	}
	r.at = from - from%pglogrepl.LSN(r.segment)
	r.flushed = r.at
	err = pglogrepl.StartReplication(ctx, r.session.conn, r.Slot, r.at, pglogrepl.StartReplicationOptions{Timeline: system.Timeline, Mode: pglogrepl.PhysicalReplication})
	return r.lost(refusal(ctx, err))
}

// lost returns ErrSlotLost for an error of the server that says so.
func (r *receiving) lost(err error) error {
	if isCode(err, "58P01", "55000", "42704") { // the segment is removed; the slot is invalid; there is no slot
		return fmt.Errorf("slot %s: %w: %w", r.Slot, ErrSlotLost, err)
	}
	return err
}

// read passes on what the server sends, until the connection ends.
func (r *receiving) read(ctx context.Context, to chan<- incoming) {
	st := &stream{session: r.session, ctx: ctx}
	for {
		var next incoming
		message, err := st.receive()
		switch m := message.(type) {
		case *pgproto3.CopyData:
			next.data = bytes.Clone(m.Data)
		case nil:
			next.err = err
		case *pgproto3.CopyDone:
			next.err = errors.New("the server ended the log")
		default:
			next.err = unexpected(message)
		}
		select {
		case to <- next:
		case <-ctx.Done():
			return
		}
		if next.err != nil {
			return
		}
	}
}

// run owns the state until the receiver ends.
func (r *receiving) run(ctx context.Context, messages <-chan incoming, stored chan error) error {
	every := cmp.Or(r.Every, time.Minute)
	status, store := time.NewTicker(min(statusEvery, every)), time.NewTicker(every)
	defer status.Stop()
	defer store.Stop()
	drain, given := r.Drain, (<-chan time.Time)(nil)
	draining, last := false, pglogrepl.LSN(0)
	for {
		receive := messages
		if len(r.queue) >= maxUnstored {
			receive = nil
		}
		var err error
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case m := <-receive:
			if err = m.err; err == nil {
				err = r.take(m.data)
			}
		case err = <-stored:
			r.storing = false
			if err == nil {
				err = r.done()
			}
		case <-status.C:
			err = r.confirm(true) // the answer tells where the log ended at a time, also of an idle server
		case <-store.C:
			r.partial()
		case <-drain:
			drain, draining = nil, true
			timer := time.NewTimer(drainTime)
			defer timer.Stop()
			given = timer.C
			last, err = r.written(ctx)
		case <-given:
			return fmt.Errorf("the last %d bytes of the log could not be stored within %s", last-r.flushed, drainTime)
		}
		if err != nil {
			return r.lost(err)
		}
		if draining {
			r.partial()
		}
		r.next(ctx, stored)
		if draining && r.flushed >= last && !r.storing {
			return nil
		}
	}
}

// take adds what the server sent.
func (r *receiving) take(data []byte) error {
	if len(data) == 0 {
		return errors.New("the server sent an empty message")
	}
	if data[0] == pglogrepl.PrimaryKeepaliveMessageByteID {
		alive, err := pglogrepl.ParsePrimaryKeepaliveMessage(data[1:])
		if err != nil {
			return err
		}
		r.heard(alive.ServerWALEnd, alive.ServerTime)
		if alive.ReplyRequested {
			return r.confirm(false)
		}
		return nil
	}
	if data[0] != pglogrepl.XLogDataByteID {
		return fmt.Errorf("the server sent a message of the unknown type %q", data[0])
	}
	log, err := pglogrepl.ParseXLogData(data[1:])
	if err != nil {
		return err
	}
	if log.WALStart != r.at {
		return fmt.Errorf("the server went on at %s, and not at %s", log.WALStart, r.at)
	}
	for rest := log.WALData; len(rest) > 0; {
		n := min(uint64(len(rest)), r.segment-uint64(len(r.buffer)))
		r.buffer = append(r.buffer, rest[:n]...)
		r.at, rest = r.at+pglogrepl.LSN(n), rest[n:]
		if uint64(len(r.buffer)) == r.segment {
			r.queue = append(r.queue, job{r.name(), r.buffer, r.at, r.caughtUp})
			r.buffer = nil
		}
	}
	r.heard(log.ServerWALEnd, log.ServerTime)
	return nil
}

// heard notes where the server's log ended at a time of its clock.
func (r *receiving) heard(end pglogrepl.LSN, at time.Time) {
	if r.end = max(r.end, end); r.at < end {
		return
	}
	if r.caughtUp = at; r.flushed == r.at && at.After(r.restore) {
		r.restore = at
		r.report()
	}
}

// name returns the name of the current segment, whose end has been received.
func (r *receiving) name() string {
	return SegmentObject(r.timeline, segmentName(r.timeline, (uint64(r.at)-1)/r.segment, r.segment))
}

// partial stores the current segment as far as it is, unless that is stored or due already.
func (r *receiving) partial() {
	if len(r.buffer) == 0 || r.storing || len(r.queue) > 0 || r.flushed == r.at {
		return
	}
	r.queue = append(r.queue, job{r.name() + partial, bytes.Clone(r.buffer), r.at, r.caughtUp})
}

// next starts to store the first part in the queue.
func (r *receiving) next(ctx context.Context, stored chan<- error) {
	if r.storing || len(r.queue) == 0 {
		return
	}
	r.storing = true
	first := r.queue[0]
	go func() { stored <- r.Store(ctx, first.name, r.packer.EncodeAll(first.data, nil)) }()
}

// done notes that the first part in the queue is stored.
func (r *receiving) done() error {
	first := r.queue[0]
	r.queue, r.flushed = r.queue[1:], first.upTo
	if first.caughtUp.After(r.restore) {
		r.restore = first.caughtUp
	}
	r.report()
	return r.confirm(false)
}

func (r *receiving) report() {
	if r.Report != nil {
		r.Report(State{r.timeline, r.flushed.String(), max(0, int64(r.end)-int64(r.flushed)), r.restore}) //nolint:gosec // positions are below 2^63
	}
}

// confirm tells the server what is stored, and may ask for an answer.
func (r *receiving) confirm(reply bool) error {
	return pglogrepl.SendStandbyStatusUpdate(context.Background(), r.session.conn, pglogrepl.StandbyStatusUpdate{
		WALWritePosition: r.at, WALFlushPosition: r.flushed, WALApplyPosition: r.flushed, ReplyRequested: reply,
	})
}

// written returns where the server's log ends now.
func (r *receiving) written(ctx context.Context) (pglogrepl.LSN, error) {
	ctx, cancel := context.WithTimeout(ctx, drainTime)
	defer cancel()
	_, _, database := login(r.From)
	s, err := r.connect(ctx, r.From, database, nil)
	if err != nil {
		return 0, err
	}
	defer s.close()
	row, err := s.row(ctx, 1, `SELECT pg_catalog.pg_current_wal_flush_lsn()`)
	if err != nil {
		return 0, err
	}
	return pglogrepl.ParseLSN(row[0])
}
