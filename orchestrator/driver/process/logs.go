package process

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/process/spool"
)

// FollowLogs implements [driver.LogReader].
func (d *Driver) FollowLogs(ctx context.Context, id, after string, yield func(driver.LogBatch) error) error {
	return d.withLog(ctx, id, func(l *spool.Spool) error { return l.Follow(ctx, after, yield) })
}

// TailLogs implements [driver.LogReader].
func (d *Driver) TailLogs(ctx context.Context, id string, n int) (lines []driver.LogLine, err error) {
	err = d.withLog(ctx, id, func(l *spool.Spool) error {
		lines, err = l.Tail(n)
		return err
	})
	return lines, err
}

// ReleaseLogs implements [driver.LogReader].
func (d *Driver) ReleaseLogs(ctx context.Context, id, position string) error {
	return d.withLog(ctx, id, func(l *spool.Spool) error { return l.Release(position) })
}

// withLog calls f with the log of a service that has a folder.
func (d *Driver) withLog(ctx context.Context, id string, f func(*spool.Spool) error) error {
	s, free, err := d.use(ctx, id)
	if err != nil {
		return err
	}
	defer free()
	if _, err := os.Stat(d.serviceDir(id)); errors.Is(err, fs.ErrNotExist) {
		return driver.Errorf(driver.NotCreated, "service %s is not created on this node", id)
	}
	if err := f(s.log); !errors.Is(err, spool.ErrClosed) {
		return err
	}
	return errClosed
}

// trimLogs bounds the logs of the services that run, once a second, until Close.
func (d *Driver) trimLogs() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	failing := map[string]string{} // by service
	for {
		select {
		case <-d.done:
			return
		case <-tick.C:
		}
		for _, s := range d.all() {
			text := ""
			if err := s.log.Trim(); err != nil {
				text = err.Error()
			}
			switch was := failing[s.id]; {
			case text == "":
				delete(failing, s.id)
			case text != was:
				failing[s.id] = text
				d.opt.Log.Warn("cannot bound a log", "service", s.id, "error", text)
			}
		}
	}
}
