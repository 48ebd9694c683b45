package docker

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/docker/logstream"
)

const (
	logChunk = 32 << 10 // bytes that are read at once
	// logMoment is how long lines are collected for one batch.
	logMoment = 10 * time.Millisecond
	// logQuiet is after how long without output a stream is looked at first, and what an earlier run wrote last counts as complete.
	// Each further look is at most as long after the last one as the stream was silent until then, and at most logSilence, so that
	// thousands of quiet streams take next to nothing. If the next run only becomes known after a look, what the earlier one wrote last
	// waits for the next look.
	logQuiet = time.Second
	// logStuck is after how long without output a look asks the engine whether there is none. Engines before version 24 can lose
	// track of a log that they rotate, and all of one that somebody else truncates. A line that a stream lacks, written after it was
	// silent for a time, is found after as long again: at the latest after two minutes if it was silent for less than one, and after
	// logSilence in any case.
	logStuck = time.Minute
	// logSilence is the longest time between two looks.
	logSilence = 30 * time.Minute
	// logAgain is the longest time between two looks at a container that is about to run again.
	logAgain = time.Second
	// tailSize is the most that TailLogs returns, in bytes.
	tailSize = 4 << 20
	// tailWhole is the number of messages from which on the whole log is read.
	tailWhole = 1 << 20
)

// errStuck ends a stream that lacks lines.
var errStuck = errors.New("the engine's log has lines that it did not send")

// FollowLogs implements [driver.LogReader]. An engine ends a stream when the container ends, and may do so before it has sent
// the last lines; the next stream, from the same position, has them. A follower takes at most about 700 KiB of memory.
//
// After the clock of the engine's machine was set back, an engine before version 24 does not send lines that are older than the
// position with which the stream was opened. They come with the next call, if the log still has them then and a line was passed
// on since the clock was set. What the engine rotates away while nobody follows is lost, and so is what it rotates away twice
// while yield blocks; [driver.LogBatch.Skipped] is always 0, because no engine tells.
func (d *Driver) FollowLogs(ctx context.Context, service, after string, yield func(driver.LogBatch) error) error {
	at, _ := logstream.Parse(after)
	for {
		c, err := d.find(ctx, service)
		if err != nil {
			return err
		}
		if at.Container != short(c.ID) { // it was replaced
			at = logstream.Position{Container: short(c.ID)}
		}
		before := at
		f := follower{driver: d, container: c, at: at, yield: yield}
		err = f.follow(ctx)
		at = f.at
		switch {
		case errors.Is(err, errStuck):
			d.log.WarnContext(ctx, "log stream was stuck", "service", service)
		case err != nil:
			return err
		case !alive(c) && sameRun(c, f.container):
			return nil
		case sameRun(c, f.container) && (c.State.Restarting || at == before):
			if err := d.awaitChange(ctx, f.container); err != nil {
				return err
			}
		}
	}
}

// alive reports whether a container runs or is about to.
func alive(c container.InspectResponse) bool { return c.State.Running || c.State.Restarting }

// sameRun reports whether a container neither started nor ended between two observations.
func sameRun(a, b container.InspectResponse) bool {
	return a.ID == b.ID && a.State.Status == b.State.Status && a.State.StartedAt == b.State.StartedAt && a.State.FinishedAt == b.State.FinishedAt
}

// awaitChange returns when a container may have started or ended since an observation.
func (d *Driver) awaitChange(ctx context.Context, since container.InspectResponse) error {
	service := since.Config.Labels[driver.LabelService]
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	hints := d.watchers.Watch(ctx)
	now, err := d.find(ctx, service) // it may have changed before
	if err != nil || !sameRun(since, now) {
		return err
	}
	again := time.NewTimer(logAgain)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-again.C:
			return nil
		case hint, open := <-hints:
			if !open {
				hints = nil // the driver is closed, or ctx has ended
			} else if hint == service {
				return nil
			}
		}
	}
}

// TailLogs implements [driver.LogReader]. It returns fewer lines if they have more than 4 MiB together.
func (d *Driver) TailLogs(ctx context.Context, service string, n int) ([]driver.LogLine, error) {
	c, err := d.find(ctx, service)
	if err != nil || n <= 0 {
		return nil, err
	}
	d.runs.learn(c)
	// The engine counts each part of a long line. One line more shows that the last n are complete.
	for ask := min(n, tailWhole) + 1; ; ask *= 4 {
		opts := container.LogsOptions{}
		if ask < tailWhole {
			opts.Tail = strconv.Itoa(ask)
		}
		var all []driver.LogLine
		seen := 0
		lines := logstream.New(logstream.Position{}, d.runs.of(c.ID))
		err := d.readLog(ctx, c, opts, lines, func() {
			seen += len(lines.Batch())
			all = newest(append(all, lines.Batch()...), n)
		})
		if err != nil || seen > n || opts.Tail == "" || lines.Messages() < ask {
			return all, err
		}
	}
}

// newest returns the newest lines, at most n and at most tailSize bytes.
func newest(all []driver.LogLine, n int) []driver.LogLine {
	first, size := len(all), 0
	for first > 0 && len(all)-first < n && size+len(all[first-1].Text) <= tailSize {
		first--
		size += len(all[first].Text)
	}
	return append([]driver.LogLine(nil), all[first:]...)
}

// ReleaseLogs implements [driver.LogReader]. It is a no-op: the engine bounds its logs.
func (d *Driver) ReleaseLogs(context.Context, string, string) error { return nil }

// hasAnchor reports whether a log still has the message that an exact position is told from.
func (d *Driver) hasAnchor(ctx context.Context, c container.InspectResponse, at logstream.Position) (bool, error) {
	lines := logstream.New(at, nobody)
	err := d.readLog(ctx, c, container.LogsOptions{}, lines, func() {})
	return lines.Anchored(), err
}

// nobody is the run of lines that nobody reads.
func nobody(time.Time) string { return "" }

// readLog feeds lines with what a log has now. It calls flush for each batch.
func (d *Driver) readLog(ctx context.Context, c container.InspectResponse, opts container.LogsOptions, lines *logstream.Lines, flush func()) error {
	log, err := d.openLog(ctx, c, opts)
	if err != nil {
		return err
	}
	defer log.close()
	for chunk := range log.chunks {
		for len(chunk) > 0 {
			used, err := lines.Feed(chunk)
			if err != nil {
				return failed(err, "reading the log of container %s", d.nameOf(c))
			}
			chunk = chunk[used:]
			flush()
			lines.Taken()
		}
	}
	lines.End()
	flush()
	return log.failure(lines)
}
