package driver

import (
	"context"
	"io"
)

// OutputReader is a driver that keeps the output of instances. Use [LogReader].
type OutputReader interface {
	// Logs opens the newest tail lines of the instance's output (all when tail < 0). The caller closes it.
	// Errors: [NotCreated].
	Logs(ctx context.Context, service string, tail int) (io.ReadCloser, error)
}
