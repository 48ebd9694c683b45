package postgres

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pglogrepl"

	"github.com/unicorn-web-services/uws/orchestrator/backup/method"
)

// Log is a part of a server's log that is stored without a gap.
type Log struct {
	SystemIdentifier string `json:"systemIdentifier"`
	Timeline         int    `json:"timeline"`
	SegmentBytes     uint64 `json:"segmentBytes"`
	From             string `json:"from"` // LSN
	To               string `json:"to"`   // LSN up to which it is stored
	// RestorableTo is [State.RestorableTo].
	RestorableTo time.Time `json:"restorableTo"`
}

// Follows reports whether the log goes on where a base backup ends, so that the two can be restored to a point in time.
func (l Log) Follows(base Details) bool {
	from, wrongFrom := pglogrepl.ParseLSN(l.From)
	to, wrongTo := pglogrepl.ParseLSN(l.To)
	end, wrongEnd := pglogrepl.ParseLSN(base.StopLSN)
	return wrongFrom == nil && wrongTo == nil && wrongEnd == nil && l.SystemIdentifier == base.SystemIdentifier && l.Timeline == base.Timeline &&
		from <= end && end <= to
}

// Extend moves the end of the log behind the segments that are stored.
func (l *Log) Extend(stored func(name string) bool) error {
	to, err := pglogrepl.ParseLSN(l.To)
	if err != nil || l.SegmentBytes == 0 {
		return &method.DamagedError{What: "the index of the log has no position", Err: err}
	}
	for number := uint64(to) / l.SegmentBytes; stored(SegmentObject(l.Timeline, segmentName(l.Timeline, number, l.SegmentBytes))); {
		number++
		l.To = pglogrepl.LSN(number * l.SegmentBytes).String()
	}
	return nil
}

// BeginLog creates a physical replication slot, in place of one with the same name, and returns the log that begins at the
// slot. A base backup that is taken afterwards can be restored to a point in time with this log.
func (m Method) BeginLog(ctx context.Context, in method.Instance, slot string) (Log, error) {
	s, err := m.sql(ctx, in)
	if err != nil {
		return Log{}, err
	}
	defer s.close()
	if err := s.dropSlot(ctx, slot); err != nil {
		return Log{}, err
	}
	if err := s.createSlot(ctx, slot); err != nil {
		return Log{}, err
	}
	log, _, err := s.position(ctx, slot)
	return log, err
}

// Continues returns [ErrSlotLost] unless a slot goes on where a log ends: the slot may be gone, or the server's data
// may be other than that which was logged.
func (m Method) Continues(ctx context.Context, in method.Instance, slot string, log Log) error {
	s, err := m.sql(ctx, in)
	if err != nil {
		return err
	}
	defer s.close()
	now, end, err := s.position(ctx, slot)
	if err != nil {
		return err
	}
	from, err := pglogrepl.ParseLSN(now.From)
	if err != nil {
		return err
	}
	to, err := pglogrepl.ParseLSN(log.To)
	switch {
	case err != nil:
		return err
	case now.SystemIdentifier != log.SystemIdentifier || now.Timeline != log.Timeline || end < to:
		return fmt.Errorf("%w: its data was replaced by other data", ErrSlotLost)
	case now.SegmentBytes == 0 || from-from%pglogrepl.LSN(now.SegmentBytes) > to:
		return fmt.Errorf("%w: it begins at %s, and what is stored ends at %s", ErrSlotLost, from, to)
	}
	return nil
}

// position returns the log from a slot on, of which nothing is stored, and where the server's log ends.
func (s *session) position(ctx context.Context, slot string) (log Log, end pglogrepl.LSN, err error) {
	from, err := s.slot(ctx, slot)
	if err != nil {
		return log, 0, err
	}
	row, err := s.row(ctx, 4, `SELECT (SELECT system_identifier FROM pg_catalog.pg_control_system()), (SELECT timeline_id FROM pg_catalog.pg_control_checkpoint()),
		(SELECT setting FROM pg_catalog.pg_settings WHERE name = 'wal_segment_size'), pg_catalog.pg_current_wal_flush_lsn()`)
	if err != nil {
		return log, 0, err
	}
	log = Log{SystemIdentifier: row[0], From: from.String(), To: from.String()}
	if log.Timeline, err = strconv.Atoi(row[1]); err != nil {
		return log, 0, err
	}
	if log.SegmentBytes, err = strconv.ParseUint(row[2], 10, 64); err != nil {
		return log, 0, err
	}
	end, err = pglogrepl.ParseLSN(row[3])
	return log, end, err
}

// Recovering reports whether a server still recovers from its log, and takes no writes.
func (m Method) Recovering(ctx context.Context, in method.Instance) (bool, error) {
	s, err := m.sql(ctx, in)
	if err != nil {
		return false, err
	}
	defer s.close()
	row, err := s.row(ctx, 1, `SELECT pg_catalog.pg_is_in_recovery()`)
	return err == nil && row[0] == "t", err
}
