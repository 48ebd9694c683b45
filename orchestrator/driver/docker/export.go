package docker

import (
	"context"
	"io"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/archive"
)

// purposeExport is in the name of the container that a volume is exported through. The next export, import or removal of the volume
// removes one that a crash left.
const purposeExport = "export"

// Export implements [driver.Exporter]. The engine leaves extended attributes out, and fractions of seconds of times. It also fails
// an export from which a file vanishes in the moment in which it is opened.
func (d *Driver) Export(ctx context.Context, spec driver.Spec, w io.Writer) error {
	free, err := d.useVolume(ctx, spec.Volume)
	if err != nil {
		return err
	}
	defer free()
	if err := d.volumeThere(ctx, spec.Volume); err != nil {
		return err
	}
	if err := d.removeContainer(ctx, d.volumeOf(spec.Volume)+"."+purposeExport); err != nil {
		return err
	}
	return d.withContainer(ctx, spec.Volume, purposeExport, func(c content) error {
		if err := spec.Data().Recognise("volume "+d.volumeOf(spec.Volume), c); err != nil {
			return err
		}
		files, _, err := c.client.CopyFromContainer(ctx, c.container, c.root)
		if err != nil {
			return failed(err, "exporting volume %s", d.volumeOf(spec.Volume))
		}
		defer files.Close()
		if err := archive.Rewrite(ctx, files, w); err != nil {
			if ctx.Err() != nil {
				err = ctx.Err()
			}
			return failed(err, "exporting volume %s", d.volumeOf(spec.Volume))
		}
		return nil
	})
}
