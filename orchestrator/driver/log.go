package driver

import (
	"context"
	"time"
)

// LogReader is a driver whose nodes keep the output of instances, bounded, so that nothing is lost while nobody reads it.
// Its methods may run beside any other call, one FollowLogs for each service at a time.
type LogReader interface {
	// FollowLogs passes to yield what the instances of a service wrote after a position, in order and each line once,
	// across runs, restarts of uws and of the engine; the empty position is the oldest that the node has. It returns nil
	// when no instance runs and yield has had all of its lines. While yield blocks, the node keeps what is written up to its
	// limit, and then drops the oldest, see [LogBatch.Skipped].
	// Errors: [NotCreated] if there is no instance; those of yield.
	FollowLogs(ctx context.Context, service, after string, yield func(LogBatch) error) error

	// TailLogs returns the newest lines of a service, at most n, oldest first. It does not wait for more.
	// Errors: [NotCreated] if there is no instance.
	TailLogs(ctx context.Context, service string, n int) ([]LogLine, error)

	// ReleaseLogs allows the node to delete what was written up to a position of FollowLogs, except the newest lines, which
	// TailLogs may still be asked for. It is a no-op where the node bounds its logs by itself.
	ReleaseLogs(ctx context.Context, service, position string) error
}

// LogBatch is a number of lines that were read together.
type LogBatch struct {
	Lines []LogLine // valid until yield returns
	// Position after the last line. It stays valid for as long as the service is on the node.
	Position string
	// Skipped is the number of bytes before Lines that the node no longer had; 0 if none or unknown.
	Skipped int64
}

// MaxLogLine is the number of bytes after which a driver cuts a line. The rest, up to the end of the line, is dropped.
const MaxLogLine = 64 << 10

// LogLine is one line of output.
type LogLine struct {
	At     time.Time // when the node received it, by the node's clock; where that is not known, when it was read
	Stream LogStream
	Run    string // [Observed.Instance] of the run that wrote it; empty if unknown
	Text   string // without its line ending; any bytes
}

// LogStream is the stream that a line was written to.
type LogStream string

const (
	Stdout LogStream = "stdout"
	Stderr LogStream = "stderr"
)
