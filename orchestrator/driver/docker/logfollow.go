package docker

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/docker/logstream"
)

// openLog is a log that is being read.
type openLog struct {
	name   string        // of the container
	chunks <-chan []byte // valid until the next is received; closed at the end
	err    error         // why it ended, once chunks is closed
	cancel func()
	body   io.Closer
	done   sync.WaitGroup
}

// openLog opens the log of a container.
// Errors: [driver.NotCreated]; [driver.Invalid] if the container has a log that cannot be read.
func (d *Driver) openLog(ctx context.Context, c container.InspectResponse, opts container.LogsOptions) (*openLog, error) {
	opts.ShowStdout, opts.ShowStderr, opts.Timestamps = true, true, true
	ctx, cancel := context.WithCancel(ctx)
	body, err := d.client.ContainerLogs(ctx, c.ID, opts)
	if err != nil {
		cancel()
		switch {
		case errdefs.IsNotImplemented(err):
			return nil, driver.Errorf(driver.Invalid, "container %s has the logging driver %q, whose logs cannot be read; recreate the container to have its log: %w",
				d.nameOf(c), c.HostConfig.LogConfig.Type, err)
		case errdefs.IsConflict(err):
			return nil, driver.Errorf(driver.NotCreated, "container %s is being removed: %w", d.nameOf(c), err)
		}
		return nil, failed(err, "opening the log of container %s", d.nameOf(c))
	}
	chunks := make(chan []byte)
	log := &openLog{name: d.nameOf(c), chunks: chunks, cancel: cancel, body: body}
	log.done.Go(func() {
		defer close(chunks)
		log.err = read(ctx, body, chunks)
	})
	return log, nil
}

// nameOf returns the name of a container for people.
func (d *Driver) nameOf(c container.InspectResponse) string {
	return d.containerOf(c.Config.Labels[driver.LabelService])
}

// read sends what it reads, until the end or an error. Two buffers take turns: when one has been received, the other is free.
func read(ctx context.Context, from io.Reader, to chan<- []byte) error {
	var buffers [2][logChunk]byte
	for turn := 0; ; turn = 1 - turn {
		n, err := from.Read(buffers[turn][:])
		if n > 0 {
			select {
			case to <- buffers[turn][:n]:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if err != nil {
			return err
		}
	}
}

// close ends the reading and waits for its end.
func (l *openLog) close() {
	l.cancel()
	_ = l.body.Close()
	l.done.Wait()
}

// failure returns why the log ended; nil if the engine ended it well.
func (l *openLog) failure(lines *logstream.Lines) error {
	err := l.err
	if errors.Is(err, io.EOF) {
		if !lines.Cut() {
			return nil
		}
		err = io.ErrUnexpectedEOF
	}
	return failed(err, "reading the log of container %s", l.name)
}

// follower passes on the lines of a container until the engine ends the stream.
type follower struct {
	driver    *Driver
	container container.InspectResponse // as it was before the stream was opened, and then as it was after
	at        logstream.Position        // after the lines that were passed on
	yield     func(driver.LogBatch) error

	live  bool // the engine was asked to follow the log
	lines *logstream.Lines
	stuck func(context.Context) (bool, error) // reports whether the log has a message that is newer than all of the stream
}

func (f *follower) follow(ctx context.Context) error {
	if f.at.Newest.After(time.Now()) { // the clock was probably set back since
		f.at.Exact = true
	}
	if f.at.Exact {
		there, err := f.driver.hasAnchor(ctx, f.container, f.at)
		if err != nil {
			return err
		}
		if !there {
			f.at = logstream.Position{Container: f.at.Container}
		}
	}
	f.live = alive(f.container)
	log, err := f.driver.openLog(ctx, f.container, container.LogsOptions{Follow: f.live, Since: f.at.Query()})
	if err != nil {
		return err
	}
	defer log.close()
	now, err := f.driver.client.ContainerInspect(ctx, f.container.ID)
	if err != nil {
		return failed(err, "inspecting container %s", log.name)
	}
	f.container = now
	f.driver.runs.learn(now)
	f.lines = logstream.New(f.at, f.driver.runs.of(now.ID))
	f.lines.Start(f.driver.runs.start(now.ID))
	f.stuck = f.isStuck
	return f.passOn(ctx, log)
}

// passOn passes on the lines of a log: when logMoment has passed since the first of a batch came, or the batch is full, or the
// log ends.
func (f *follower) passOn(ctx context.Context, log *openLog) error {
	moment := time.NewTimer(logMoment)
	defer moment.Stop()
	pending := true // moment runs
	silence := logQuiet
	quiet := time.NewTimer(silence)
	defer quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case chunk, more := <-log.chunks:
			if !more {
				return f.end(ctx, log)
			}
			if err := f.feed(chunk); err != nil {
				return err
			}
			silence = logQuiet
			quiet.Reset(silence)
			if !pending {
				moment.Reset(logMoment)
				pending = true
			}
		case <-moment.C:
			pending = false
			if err := f.flush(); err != nil {
				return err
			}
		case <-quiet.C:
			if err := f.quiet(ctx, silence); err != nil {
				return err
			}
			wait := min(silence, logSilence) / 2
			wait += rand.N(wait) //nolint:gosec // so that the streams of many containers take turns
			quiet.Reset(wait)
			silence += wait
		}
	}
}

// feed takes the next bytes and passes on full batches.
func (f *follower) feed(chunk []byte) error {
	for len(chunk) > 0 {
		used, err := f.lines.Feed(chunk)
		if err != nil {
			if err := f.flush(); err != nil {
				return err
			}
			return failed(err, "reading the log of container %s", f.driver.nameOf(f.container))
		}
		chunk = chunk[used:]
		if f.lines.Full() {
			if err := f.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// flush passes on the batch.
func (f *follower) flush() error {
	f.at = f.lines.Position()
	batch := driver.LogBatch{Lines: f.lines.Batch(), Position: f.at.String()}
	if len(batch.Lines) == 0 {
		return nil
	}
	defer f.lines.Taken()
	return f.yield(batch)
}

// quiet looks at a stream that has been silent for a time.
func (f *follower) quiet(ctx context.Context, silence time.Duration) error {
	f.lines.EndBefore(f.driver.runs.start(f.container.ID)) // the engine has sent all that earlier runs wrote
	if err := f.flush(); err != nil || silence < logStuck {
		return err
	}
	stuck, err := f.stuck(ctx)
	if err == nil && stuck {
		err = errStuck
	}
	return err
}

// isStuck reads the newest message of the log.
func (f *follower) isStuck(ctx context.Context) (bool, error) {
	lines := logstream.New(logstream.Position{}, nobody)
	err := f.driver.readLog(ctx, f.container, container.LogsOptions{Tail: "1"}, lines, func() {})
	return lines.Newest().After(f.lines.Newest()), err
}

// end passes on the rest of a log that has ended. A line that has not ended is left to the next stream if there may be more of it.
func (f *follower) end(ctx context.Context, log *openLog) error {
	failure := log.failure(f.lines)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if failure == nil && !f.live {
		f.lines.End()
	}
	if err := f.flush(); err != nil {
		return err
	}
	return failure
}
