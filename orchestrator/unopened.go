package orchestrator

import (
	"context"
	"io"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// unopened stands in for the driver of a node that could not be opened as its row says, so that the other nodes are
// served and this one can be mended or removed.
type unopened struct{ err error }

var _ driver.Driver = unopened{}

func (u unopened) why() error { return driver.Errorf(driver.Unreachable, "%w", u.err) }

func (u unopened) Ping(context.Context) (driver.Info, error) { return driver.Info{}, u.why() }

func (u unopened) Layout(string, string) driver.Layout { return driver.Layout{} }

func (u unopened) Prepare(context.Context, driver.Spec, func(driver.Progress)) error { return u.why() }

func (u unopened) Create(context.Context, driver.Spec) error { return u.why() }

func (u unopened) Start(context.Context, string) error { return u.why() }

func (u unopened) SetAutoRestart(context.Context, string, bool) error { return u.why() }

func (u unopened) Stop(context.Context, string, time.Duration) error { return u.why() }

func (u unopened) Remove(context.Context, string) error { return u.why() }

func (u unopened) RemoveData(context.Context, string) error { return u.why() }

func (u unopened) HasData(context.Context, string) (bool, error) { return false, u.why() }

func (u unopened) Inspect(context.Context, string) (driver.Observed, error) {
	return driver.Observed{}, u.why()
}

func (u unopened) List(context.Context) ([]driver.Observed, error) { return nil, u.why() }

func (u unopened) Watch(ctx context.Context) <-chan string {
	none := make(chan string)
	context.AfterFunc(ctx, func() { close(none) })
	return none
}

func (u unopened) Logs(context.Context, string, int) (io.ReadCloser, error) { return nil, u.why() }

func (u unopened) Stats(context.Context, string) (driver.Stats, error) {
	return driver.Stats{}, u.why()
}

func (u unopened) Close() error { return nil }
