package process

import (
	"context"
	"io"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// Export implements [driver.Exporter].
func (d *Driver) Export(ctx context.Context, spec driver.Spec, w io.Writer) error {
	if err := driver.CheckID("volume", spec.Volume); err != nil {
		return err
	}
	return d.volumes.Export(ctx, spec.Data(), w)
}

// Import implements [driver.Exporter]. It writes to a temporary folder, which the next driver removes after a crash.
func (d *Driver) Import(ctx context.Context, spec driver.Spec, r io.Reader) error {
	if err := driver.CheckID("volume", spec.Volume); err != nil {
		return err
	}
	return d.volumes.Import(ctx, spec.Volume, r)
}
