package postgres

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
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
	Slot string // see [Method.BeginLog]
	// Store keeps a part of the log under a name, in place of what it has under that name. It is called from one goroutine
	// at a time. Segments are compressed by zstd, see [SegmentObject].
	Store func(ctx context.Context, name string, data []byte) error
	// Report is called when State changes, from one goroutine.
	Report func(State)
	// Every is how often a segment that is not full yet is stored; zero: 1 min.
	Every time.Duration
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

// IsPart reports whether an object has the beginning of a segment, which the whole segment replaces under another name.
func IsPart(name string) bool { return strings.HasSuffix(name, partial) }

// Receive receives the log from where the slot is, and stores it: each full segment, and what there is of the last one at
// intervals. The server is allowed to remove what is stored. A server that shuts down waits until
// its log is stored, for at most 5 s. The error is never nil: [ErrSlotLost] if the log has a gap, those of Store, and those
// of the connection, after which Receive can be called again.
func (r Receiver) Receive(ctx context.Context) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	rx, err := r.begin(ctx)
	if err != nil {
		return err
	}
	defer rx.session.close()
	defer rx.sql.close()
	incoming := make(chan incoming, messageQueue)
	read := make(chan struct{})
	go func() { defer close(read); rx.read(ctx, incoming) }()
	defer func() { cancel(); _ = rx.session.raw.Close(); <-read }()
	defer func() { // neither the store nor the session is used after Receive has returned
		if cancel(); rx.storing {
			err = errors.Join(err, <-rx.stored)
		}
		if rx.asking {
			<-rx.answers
		}
	}()
	return rx.run(ctx, incoming)
}

// receiving is one connection of a receiver.
type receiving struct {
	Receiver
	session  *session // of the replication protocol
	sql      *session
	segment  uint64 // bytes of a segment
	timeline int
	packer   *zstd.Encoder

	at      pglogrepl.LSN // up to which everything is received
	flushed pglogrepl.LSN // up to which everything is stored
	end     pglogrepl.LSN // of the server's log, as far as known
	marks   []mark        // that are not stored yet, in order
	restore time.Time     // of the newest mark that is
	buffer  []byte        // the current segment up to at
	queue   []job
	storing bool
	stored  chan error       // with room for one
	asked   <-chan time.Time // when the server, which waits until its log is stored, is left alone; nil: it does not wait
	asking  bool
	answers chan answer // with room for one
}

// job is a part of the log to store.
type job struct {
	name string
	data []byte // before compression
	upTo pglogrepl.LSN
}

// mark is where the log ended at a time of the server's clock, or later: what was committed until then is before it. The
// replication protocol does not tell: a keepalive has the position up to which the server has sent its log, however much
// more there is.
type mark struct {
	at  time.Time
	end pglogrepl.LSN
}

type answer struct {
	mark
	err error
}

type incoming struct {
	data []byte
	err  error
}

// begin connects, and starts at the beginning of the segment in which the slot is.
func (r Receiver) begin(ctx context.Context) (*receiving, error) {
	sql, err := r.sql(ctx, r.From)
	if err != nil {
		return nil, err
	}
	rx := &receiving{Receiver: r, sql: sql, stored: make(chan error, 1), answers: make(chan answer, 1)}
	if err := rx.connect(ctx); err != nil {
		sql.close()
		return nil, err
	}
	return rx, nil
}

// connect opens the session of the replication protocol.
func (r *receiving) connect(ctx context.Context) error {
	details, err := r.sql.details(ctx)
	if err != nil {
		return err
	}
	if r.segment = details.SegmentBytes; r.segment > maxSegment {
		return fmt.Errorf("segments of the server's log have %d bytes, more than %d", r.segment, maxSegment)
	}
	from, err := r.sql.slot(ctx, r.Slot)
	if err != nil {
		return err
	}
	if r.session, err = r.Receiver.connect(ctx, r.From, "", nil); err != nil {
		return err
	}
	if err := r.start(ctx, from); err != nil {
		r.session.close()
		return err
	}
	return nil
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
func (r *receiving) run(ctx context.Context, messages <-chan incoming) error {
	every := cmp.Or(r.Every, time.Minute)
	status, store := time.NewTicker(min(statusEvery, every)), time.NewTicker(every)
	defer status.Stop()
	defer store.Stop()
	r.ask(ctx)
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
		case err = <-r.stored:
			r.storing = false
			if err == nil {
				err = r.done()
			}
		case a := <-r.answers:
			r.asking = false
			if err = a.err; err == nil {
				r.note(a.mark)
			}
		case <-status.C:
			r.ask(ctx)
			err = r.confirm(true) // the answer shows that the server lives
		case <-store.C:
			r.partial()
		case <-r.asked:
			return fmt.Errorf("the server shuts down, and the last %d bytes of its log could not be stored within %s", r.at-r.flushed, drainTime)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			return r.lost(err)
		}
		if r.asked != nil {
			r.partial()
		}
		r.next(ctx)
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
		if alive.ReplyRequested {
			if r.asked == nil && r.flushed < r.at {
				r.asked = time.After(drainTime)
			}
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
			r.queue = append(r.queue, job{r.name(), r.buffer, r.at})
			r.buffer = nil
		}
	}
	r.end = max(r.end, log.ServerWALEnd)
	return nil
}

// ask asks the server where its log ends, unless it is being asked.
func (r *receiving) ask(ctx context.Context) {
	if r.asking {
		return
	}
	r.asking = true
	go func() {
		// The time is taken first: what is committed between the two is in the log, though not in time.
		row, err := r.sql.row(ctx, 2, `SELECT `+timeColumn("pg_catalog.clock_timestamp()")+`, pg_catalog.pg_current_wal_flush_lsn()`)
		var m mark
		if err == nil {
			m.at, err = time.Parse(timeFormat, row[0])
		}
		if err == nil {
			m.end, err = pglogrepl.ParseLSN(row[1])
		}
		r.answers <- answer{m, err}
	}()
}

// note adds a mark.
func (r *receiving) note(m mark) {
	r.end = max(r.end, m.end)
	r.marks = append(r.marks, m)
	r.settle()
	if r.restore.IsZero() && r.at >= m.end {
		r.partial() // so that it is known soon up to when it can be restored
	}
}

// settle takes the marks that are stored.
func (r *receiving) settle() {
	n := 0
	for n < len(r.marks) && r.marks[n].end <= r.flushed {
		if r.restore.Before(r.marks[n].at) {
			r.restore = r.marks[n].at
		}
		n++
	}
	if r.marks = r.marks[n:]; n > 0 {
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
	r.queue = append(r.queue, job{r.name() + partial, bytes.Clone(r.buffer), r.at})
}

// next starts to store the first part in the queue.
func (r *receiving) next(ctx context.Context) {
	if r.storing || len(r.queue) == 0 {
		return
	}
	r.storing = true
	first := r.queue[0]
	go func() { r.stored <- r.Store(ctx, first.name, r.packer.EncodeAll(first.data, nil)) }()
}

// done notes that the first part in the queue is stored.
func (r *receiving) done() error {
	first := r.queue[0]
	if r.queue, r.flushed = r.queue[1:], first.upTo; r.flushed == r.at {
		r.asked = nil
	}
	r.settle()
	r.report()
	return r.confirm(false)
}

func (r *receiving) report() {
	if r.Report != nil {
		r.Report(State{r.timeline, r.flushed.String(), max(0, int64(r.end)-int64(r.flushed)), r.restore}) //nolint:gosec // positions are below 2^63
	}
}

// confirm tells the server what is stored, and may ask for an answer. It writes to the connection itself: what pgconn
// writes through is used by its own goroutines when a connection ends.
func (r *receiving) confirm(reply bool) error {
	data, err := binary.Append(nil, binary.BigEndian, struct {
		Kind                      byte
		Written, Flushed, Applied pglogrepl.LSN
		Microseconds              int64
		Reply                     bool
	}{pglogrepl.StandbyStatusUpdateByteID, r.at, r.flushed, r.flushed, time.Since(epoch()).Microseconds(), reply})
	if err != nil {
		return err
	}
	message, err := (&pgproto3.CopyData{Data: data}).Encode(nil)
	if err == nil {
		_, err = r.session.raw.Write(message)
	}
	return err
}
