package fleet

import (
	"context"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// broken is the driver of a node that could not be opened as its row says, so that the other nodes work and this one can
// be changed or removed.
type broken struct{ err error }

var _ driver.Driver = broken{}

func (b broken) why() error { return driver.Errorf(driver.Unreachable, "%w", b.err) }

func (b broken) Ping(context.Context) (driver.Info, error) {
	return driver.Info{}, driver.Errorf(driver.Refused, "%w", b.err)
}

func (b broken) Layout(string, string) driver.Layout { return driver.Layout{} }

func (b broken) Prepare(context.Context, driver.Spec, func(driver.Progress)) error { return b.why() }

func (b broken) Create(context.Context, driver.Spec) error { return b.why() }

func (b broken) Start(context.Context, string) error { return b.why() }

func (b broken) Stop(context.Context, string, time.Duration) error { return b.why() }

func (b broken) Remove(context.Context, string) error { return b.why() }

func (b broken) MarkData(context.Context, string, string) error { return b.why() }

func (b broken) ReadMark(context.Context, string) (string, error) { return "", b.why() }

func (b broken) RemoveData(context.Context, driver.Data) error { return b.why() }

func (b broken) HasData(context.Context, driver.Data) (bool, error) { return false, b.why() }

func (b broken) Inspect(context.Context, string) (driver.Observed, error) {
	return driver.Observed{}, b.why()
}

func (b broken) List(context.Context) ([]driver.Observed, error) { return nil, b.why() }

func (b broken) Volumes(context.Context) ([]driver.Volume, error) { return nil, b.why() }

func (b broken) Watch(ctx context.Context) <-chan string {
	none := make(chan string)
	context.AfterFunc(ctx, func() { close(none) })
	return none
}

func (b broken) Close() error { return nil }
