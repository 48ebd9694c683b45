package logs

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"golang.org/x/time/rate"

	"github.com/unicorn-web-services/uws/internal/background"
	"github.com/unicorn-web-services/uws/orchestrator/credentials"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/fleet"
	"github.com/unicorn-web-services/uws/orchestrator/logs/journal"
)

const (
	// idlePause bounds how long a lost hint delays the collection of what an instance wrote.
	idlePause  = time.Minute
	minPause   = time.Second // after an error
	maxPause   = time.Minute
	fullPause  = 2 * time.Second // while the disk is full
	burstBytes = 32 << 20
	// bytesPerSecond bounds the processor time that an engine can cost that floods its log. What it writes beyond that is
	// skipped once its node does not keep it any more.
	bytesPerSecond = 4 << 20
	// keptSecrets is the number of credentials that are redacted at most: those that a rotation replaced may still be printed.
	keptSecrets = 32
)

// collect copies what a service's instances write to its journal until ctx ends.
func (l *Logs) collect(ctx context.Context, s *source) {
	c := &collector{Logs: l, source: s, limit: rate.NewLimiter(bytesPerSecond, burstBytes), levels: map[journal.Stream]journal.Level{}}
	pause := minPause
	for ctx.Err() == nil {
		wait, err := idlePause, c.follow(ctx)
		switch {
		case err == nil, driver.ClassOf(err) == driver.NotCreated:
			pause = minPause
		case ctx.Err() != nil:
			return
		default:
			c.failed(err)
			wait, pause = pause, min(2*pause, maxPause)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// collector is the state of one service's collector.
type collector struct {
	*Logs
	source *source
	limit  *rate.Limiter

	last   time.Time                        // of the newest line
	levels map[journal.Stream]journal.Level // of the newest line of each stream; missing: of none yet
	broken bool                             // noted that the node does not answer

	redactor Redactor
	secrets  []string
	keys     credentials.Keys
	version  int  // of the row that they are from
	opened   bool // whether they are from any
}

// errDown is returned while the node of a service does not answer.
var errDown = errors.New("the node does not answer")

// follow collects until nothing runs and everything is collected. It returns at once if the service is on no node, or its node
// keeps no logs.
func (c *collector) follow(ctx context.Context) error {
	n := c.opts.Fleet.Lookup(c.source.at())
	if n == nil {
		return nil
	}
	if n.Down() {
		return errDown
	}
	reader, ok := n.Driver().(driver.LogReader)
	if !ok {
		return nil
	}
	j, err := c.source.open()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(n.Context(), cancel)() // another driver takes over
	return reader.FollowLogs(ctx, c.source.id, positionAt(j.Source(), n.ID), func(b driver.LogBatch) error {
		return c.take(ctx, n, reader, j, b)
	})
}

// sourceAt names a position at a node in a journal.
func sourceAt(node, position string) string { return node + " " + position }

// positionAt returns the position that a journal has reached at a node; empty if what it has is of another node.
func positionAt(source, node string) string {
	if len(source) > len(node) && source[:len(node)] == node && source[len(node)] == ' ' {
		return source[len(node)+1:]
	}
	return ""
}

// take appends a batch to the journal, and has the node free the space.
func (c *collector) take(ctx context.Context, n *fleet.Node, reader driver.LogReader, j *journal.Journal, b driver.LogBatch) error {
	size := 0
	for _, line := range b.Lines {
		size += len(line.Text) + 1
	}
	if err := c.limit.WaitN(ctx, min(size, burstBytes)); err != nil {
		return err
	}
	if err := c.roomFor(ctx); err != nil {
		return err
	}
	if err := c.refresh(ctx); err != nil {
		return err
	}
	c.broken = false
	records := make([]journal.Record, 0, len(b.Lines)+1)
	if b.Skipped > 0 {
		records = append(records, c.note("%d bytes are missing here: the service wrote them faster than they were collected, or while uws did not run, and its node keeps only the newest", b.Skipped))
		c.metrics.skipped.Add(float64(b.Skipped))
	}
	for _, line := range b.Lines {
		records = append(records, c.record(line))
	}
	if err := j.Append(records, sourceAt(n.ID, b.Position)); err != nil {
		return err
	}
	c.metrics.lines.Add(float64(len(b.Lines)))
	return reader.ReleaseLogs(ctx, c.source.id, b.Position)
}

// roomFor waits while the disk of the data folder is full.
func (c *collector) roomFor(ctx context.Context) error {
	for c.opts.Store.Full() != nil && background.Pause(ctx, fullPause) {
	}
	return ctx.Err()
}

// refresh takes over credentials that changed. Nothing is collected that cannot be redacted.
func (c *collector) refresh(ctx context.Context) error {
	version := c.source.rowVersion()
	if c.opened && version == c.version {
		return nil
	}
	row, err := c.opts.Snapshot.Row(ctx, c.source.id)
	if err != nil {
		return err
	}
	c.opened, c.version = true, version
	if c.keys.Of(row) {
		return nil
	}
	if c.keys, err = c.opts.Vault.Open(row); err != nil {
		c.opened = false
		return fmt.Errorf("opening the credentials, to redact them: %w", err)
	}
	c.secrets = append(secretsOf(c.keys, row.Definition), c.secrets...)
	c.secrets = c.secrets[:min(len(c.secrets), keptSecrets)]
	c.redactor = NewRedactor(c.secrets)
	return nil
}

// record is a line as it is kept.
func (c *collector) record(line driver.LogLine) journal.Record {
	r := newRecord(line, c.redactor)
	if r.Level == journal.NoLevel && continued(line.Text) {
		r.Level = cmp.Or(c.levels[r.Stream], journal.NoLevel)
	}
	c.levels[r.Stream] = r.Level
	r.At = timeOf(line.Text, line.At, c.last)
	c.last = r.At
	return r
}

// newRecord is a line by itself.
func newRecord(line driver.LogLine, redactor Redactor) journal.Record {
	r := journal.Record{At: line.At, Stream: journal.Stdout, Level: levelOf(line.Text), Run: RunID(line.Run), Text: redactor.Redact(line.Text)}
	if line.Stream == driver.Stderr {
		r.Stream = journal.Stderr
	}
	return r
}

// RunID returns the short name of a run, by its [driver.Observed.Instance]; empty if that is.
func RunID(instance string) string {
	if instance == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(instance))
	return hex.EncodeToString(sum[:4])
}

func (c *collector) note(format string, args ...any) journal.Record {
	now := time.Now()
	if now.Before(c.last) {
		now = c.last
	}
	c.last = now
	return journal.Record{At: now, Stream: journal.Note, Level: journal.Warn, Text: fmt.Sprintf(format, args...)}
}

// failed notes, once, in a log that was being written that its node does not answer, and logs other errors.
func (c *collector) failed(err error) {
	if !errors.Is(err, errDown) && driver.ClassOf(err) != driver.Unreachable {
		c.opts.Log.Warn("collecting a log failed; retrying", "id", c.source.id, "error", err)
		return
	}
	if c.broken || c.last.IsZero() {
		return
	}
	c.broken = true
	j, err := c.source.open()
	if err == nil {
		note := c.note("node %s does not answer: what the service writes meanwhile follows when it is back", c.opts.Fleet.NameOf(c.source.at()))
		err = j.Append([]journal.Record{note}, j.Source())
	}
	if err != nil {
		c.opts.Log.Warn("writing to a log failed", "id", c.source.id, "error", err)
	}
}
