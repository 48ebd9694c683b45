package logs

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"time"

	"github.com/unicorn-web-services/uws/internal/background"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/logs/journal"
)

const (
	batchInterval = 100 * time.Millisecond // at least, between two messages of one watch
	batchBytes    = 64 << 10               // of texts in a message, about
	pageBytes     = 1 << 20                // of texts in a page, at most
	// maxBehind is the number of bytes that a watch may be behind the end of the log. Beyond it lines are dropped.
	maxBehind = 1 << 20
)

var _ orchestrator.LogReader = (*Logs)(nil)

// Logs implements [orchestrator.LogReader].
func (l *Logs) Logs(ctx context.Context, id string, query orchestrator.LogQuery) (page orchestrator.LogPage, err error) {
	s, err := l.find(ctx, id)
	if err != nil {
		return page, err
	}
	j, err := s.open()
	if err != nil {
		return page, err
	}
	_, before, _ := j.Bounds()
	if query.Before != "" {
		c, ok := parseCursor(id, query.Before)
		if !ok {
			return page, orchestrator.BadCursor("before")
		}
		before = min(before, c.offset)
	}
	records, more, err := j.Before(ctx, before, orchestrator.Page{First: query.First}.Limit(), pageBytes, matcher(query))
	if err != nil {
		return page, err
	}
	page = orchestrator.LogPage{Lines: lines(id, records), More: more, End: cursor{offset: before}.text(id)}
	return page, nil
}

// lines are records as clients see them.
func lines(id string, records []journal.Record) []orchestrator.LogLine {
	all := make([]orchestrator.LogLine, len(records))
	for i := range records {
		all[i] = Line(&records[i])
		all[i].Cursor = cursor{offset: records[i].Offset, line: true}.text(id)
	}
	return all
}

// matcher returns what [journal.Journal.Before] selects records by.
func matcher(q orchestrator.LogQuery) func(*journal.Record) (matches, goOn bool) {
	selects := q.Matcher()
	return func(r *journal.Record) (matches, goOn bool) {
		line := Line(r)
		selected, tooOld := selects(&line)
		return selected, !tooOld
	}
}

// The levels of records and those of lines, from the least severe to the most.
var (
	levelLetters = []journal.Level{journal.Debug, journal.Info, journal.Warn, journal.Error, journal.Fatal}
	levelNames   = orchestrator.LogLevels()
)

// Line is a record as clients see it, without a cursor.
func Line(r *journal.Record) orchestrator.LogLine {
	line := orchestrator.LogLine{At: r.At, Stream: orchestrator.LogStdout, Text: r.Text}
	switch r.Stream {
	case journal.Stderr:
		line.Stream = orchestrator.LogStderr
	case journal.Note:
		line.Stream = orchestrator.LogNote
	}
	if i := slices.Index(levelLetters, r.Level); i >= 0 {
		line.Level = &levelNames[i]
	}
	if r.Run != "" {
		line.Run = &r.Run
	}
	return line
}

// find returns the log of a service.
func (l *Logs) find(ctx context.Context, id string) (*source, error) {
	if _, err := l.opts.Snapshot.Service(ctx, id); err != nil {
		return nil, err
	}
	if s := l.source(id); s != nil {
		return s, nil
	}
	return nil, orchestrator.Errorf(orchestrator.NotFound, "id", "there is no service with id %q", id)
}

// WatchLogs implements [orchestrator.LogReader].
func (l *Logs) WatchLogs(ctx context.Context, id string, span orchestrator.Span, yield func(*orchestrator.LogBatch) error) (int64, error) {
	s, err := l.find(ctx, id)
	if err != nil {
		return orchestrator.Over, err
	}
	j, err := s.open()
	if err != nil {
		return orchestrator.Over, err
	}
	start, end, _ := j.Bounds()
	position, reset := end, false
	switch {
	case span.After != nil:
		position = *span.After
	case span.Since != "":
		c, ok := parseCursor(id, span.Since)
		if !ok {
			return 0, orchestrator.BadCursor("since")
		}
		position, reset = max(min(c.offset, end), start), c.offset < start || c.offset > end
		if c.line && !reset {
			if records, _, err := j.After(position, 1); err != nil {
				return 0, err
			} else if len(records) > 0 {
				position = records[0].End
			}
		}
	}
	var last time.Time
	for {
		_, end, changed := j.Bounds()
		if position >= end {
			if !span.Live {
				return position, nil
			}
			select {
			case <-ctx.Done():
				return position, nil
			case <-s.gone:
				return orchestrator.Over, nil
			case <-changed:
				continue
			}
		}
		if !background.Pause(ctx, time.Until(last.Add(batchInterval))) {
			return position, nil
		}
		last = time.Now()
		batch, err := next(j, id, position)
		if err != nil {
			return position, err
		}
		position = batch.Position
		if len(batch.Lines) == 0 && batch.Dropped == 0 {
			continue
		}
		batch.Reset, reset = reset, false
		if err := yield(batch); err != nil {
			return position, err
		}
	}
}

// next returns the message that follows a position.
func next(j *journal.Journal, id string, position int64) (*orchestrator.LogBatch, error) {
	b := &orchestrator.LogBatch{}
	_, end, _ := j.Bounds()
	if end-position > maxBehind {
		from := j.Boundary(end - batchBytes)
		dropped, err := j.Count(position, from)
		if err != nil {
			return nil, err
		}
		b.Dropped, position = dropped, from
	}
	records, after, err := j.After(position, batchBytes)
	if err != nil {
		return nil, err
	}
	b.Lines, b.Position, b.Cursor = lines(id, records), after, cursor{offset: after}.text(id)
	return b, nil
}

// cursor is a place in the log of one service: a line, or an offset between two.
type cursor struct {
	offset int64 // at which the line begins
	line   bool
}

const cursorSize = 4 + 1 + 8 // bytes: a mark of the service, whether it is a line, the offset

func (c cursor) text(id string) string {
	b := mark(id)
	b = append(b, 0)
	if c.line {
		b[len(b)-1] = 1
	}
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint64(b, uint64(c.offset))) //nolint:gosec // not negative
}

// parseCursor reads a cursor. It returns false if it is none of the service's log.
func parseCursor(id, text string) (c cursor, ok bool) {
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) != cursorSize || string(b[:4]) != string(mark(id)) {
		return c, false
	}
	c = cursor{offset: int64(binary.BigEndian.Uint64(b[5:])), line: b[4] == 1} //nolint:gosec // checked
	return c, c.offset >= 0 && b[4] <= 1
}

func mark(id string) []byte {
	sum := sha256.Sum256([]byte("log of " + id))
	return sum[:4:4]
}
