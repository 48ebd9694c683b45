package logs

import (
	"context"
	"encoding/json"
	"fmt"

	"entgo.io/ent/dialect/sql"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/ent/logtail"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/logs/journal"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

const (
	// TailLines is the number of lines that are kept with an event.
	TailLines = 50
	// keptTails is the number of a service's events that keep the end of a log: the newest.
	keptTails = 20
	tailText  = 4 << 10 // bytes of a line in a tail
)

// Tail returns the newest of the lines that a driver read, redacted, as they are kept with an event.
func Tail(lines []driver.LogLine, redactor Redactor) []orchestrator.LogLine {
	lines = lines[max(0, len(lines)-TailLines):]
	tail := make([]orchestrator.LogLine, len(lines))
	for i, line := range lines {
		r := newRecord(line, redactor)
		r.Text = journal.Printable(r.Text, tailText)
		tail[i] = Line(&r)
	}
	return tail
}

// SaveTail stores the end of a log with an event, in the transaction of the event.
func SaveTail(ctx context.Context, tx *ent.Tx, s *store.Store, e *ent.Event, tail []orchestrator.LogLine) error {
	if len(tail) == 0 {
		return nil
	}
	plain, err := json.Marshal(tail)
	if err != nil {
		return err
	}
	sealed, err := s.Seal(plain, store.LogTailContext(e.ServiceID))
	if err != nil {
		return err
	}
	if err := tx.LogTail.Create().SetID(e.ID).SetServiceID(e.ServiceID).SetLines(sealed).Exec(ctx); err != nil {
		return err
	}
	old, err := tx.LogTail.Query().Where(logtail.ServiceID(e.ServiceID)).Order(logtail.ByID(sql.OrderDesc())).Offset(keptTails).Limit(keptTails).IDs(ctx)
	if err != nil || len(old) == 0 {
		return err
	}
	_, err = tx.LogTail.Delete().Where(logtail.IDIn(old...)).Exec(ctx)
	return err
}

// LogTail implements [orchestrator.LogReader].
func (l *Logs) LogTail(ctx context.Context, e *orchestrator.Event) ([]orchestrator.LogLine, error) {
	row, err := l.opts.Store.Read.LogTail.Get(ctx, e.ID)
	if ent.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	plain, err := l.opts.Store.Unseal(row.Lines, store.LogTailContext(row.ServiceID))
	if err != nil {
		return nil, fmt.Errorf("the log of event %d: %w", e.ID, err)
	}
	var lines []orchestrator.LogLine
	if err := json.Unmarshal(plain, &lines); err != nil {
		return nil, fmt.Errorf("the log of event %d: %w", e.ID, err)
	}
	return lines, nil
}
