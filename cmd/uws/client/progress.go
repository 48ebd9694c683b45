package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/unicorn-web-services/uws/cmd/uws/client/api"
	"github.com/unicorn-web-services/uws/internal/clean"
)

const (
	// progressInterval is how often progress is printed that is not shown live.
	progressInterval = 10 * time.Second
	// progressWidth is how wide a live line is at most: one that wraps cannot be replaced.
	progressWidth = 79
)

// job is a backup or a restore that is waited for.
type job struct {
	id, name string
	// ended returns what has become of it, and nothing while it is under way. It is an error unless that was asked for.
	ended func(context.Context) (string, error)
}

// follow waits, if asked to, until a job is over, and shows how far it is meanwhile.
func (f waitFlags) follow(ctx context.Context, out *Terminal, s *server, j job) error {
	if !f.Wait {
		out.Printf("The %s has begun. --wait waits until it is over.\n", j.name)
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, f.Timeout, &Error{exitTimeout, fmt.Sprintf("the %s is not over after %s, and goes on; `uws backup cancel %s` ends it", j.name, f.Timeout, j.id)})
	defer cancel()
	shown := progressLine{out: out}
	defer shown.clear()
	for {
		what, err := j.ended(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil && !lost(err) {
			return fmt.Errorf("the %s: %w", j.name, explain(err))
		}
		if what != "" {
			shown.clear()
			out.Printf("The %s is %s.\n", j.name, what)
			return nil
		}
		began := time.Now()
		if err == nil {
			err = s.followProgress(ctx, j.id, shown.show)
		}
		switch {
		case ctx.Err() != nil:
		case err != nil:
			fmt.Fprintf(out.Err, "uws: %v; connecting again\n", err)
			pause(ctx, retryInterval)
		case time.Since(began) < pollInterval: // nothing is under way, and it is not over: the server has just started
			pause(ctx, pollInterval)
		}
	}
}

// lost reports whether the server did not answer: it may be back soon.
func lost(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && (e.Code == 1 || e.Code == exitTimeout)
}

// followProgress calls show with the progress of a job until it is over. Any error is one of the connection.
func (s *server) followProgress(ctx context.Context, id string, show func(api.WatchBackupBackupProgress)) error {
	feed, dial := s.feed()
	ended, err := feed.Start(ctx)
	if err != nil {
		return broken(err)
	}
	messages, _, err := api.WatchBackup(ctx, feed, id)
	// feed.Close panics after the server has completed the subscription. Without the connection feed ends by itself.
	stop := func() error {
		_ = dial.conn.Close()
		for {
			select {
			case _, ok := <-messages:
				if !ok {
					messages = nil
				}
			case err := <-ended:
				return err
			}
		}
	}
	if err != nil {
		_ = stop()
		return broken(err)
	}
	for {
		select {
		case <-ctx.Done():
			_ = stop()
			return nil
		case err := <-ended:
			return errors.Join(broken(err), dial.conn.Close())
		case m, ok := <-messages:
			if !ok {
				messages = nil
				_ = stop()
				return nil
			}
			if len(m.Errors) > 0 {
				_ = stop()
				return m.Errors
			}
			show(m.Data.BackupProgress)
		}
	}
}

// progressLine shows progress: on one line of a terminal, else on a line for each step and every [progressInterval].
type progressLine struct {
	out  *Terminal
	text string // of the step that was shown last
	at   time.Time
}

func (l *progressLine) show(p api.WatchBackupBackupProgress) {
	switch {
	case p.Step == string(api.BackupStateComplete) || p.Step == string(api.BackupStateFailed) || p.Step == string(api.BackupStateCancelled):
		return // follow says so
	case l.out.Interactive:
		fmt.Fprintf(l.out.Out, "\r\x1b[K%s", clean.Clip(clean.Line(progressText(p)), progressWidth))
	case p.Text != l.text || time.Since(l.at) >= progressInterval:
		fmt.Fprintln(l.out.Err, clean.Line(progressText(p)))
		l.at = time.Now()
	}
	l.text = p.Text
}

// clear removes a line that was shown live.
func (l *progressLine) clear() {
	if l.out.Interactive && l.text != "" {
		fmt.Fprint(l.out.Out, "\r\x1b[K")
	}
}

// progressText is a step, and how much of it is done, how fast, and how long it takes from now on.
func progressText(p api.WatchBackupBackupProgress) string {
	text := p.Text
	if p.Bytes > 0 {
		text += ": " + size(&p.Bytes)
		if p.TotalBytes != nil {
			text += " of " + size(p.TotalBytes)
		}
	}
	if p.BytesPerSecond > 0 {
		text += ", " + size(&p.BytesPerSecond) + "/s"
	}
	if p.RemainingSeconds != nil {
		text += ", " + (time.Duration(*p.RemainingSeconds) * time.Second).String() + " left"
	}
	return text
}
