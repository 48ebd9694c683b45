package driver

import (
	"context"
	"time"
)

// UsageReader is a driver that measures what instances use. Its methods may run beside any other call.
type UsageReader interface {
	// Usage returns what the instances of these services use, by service. Those that do not run, end meanwhile or cannot be
	// measured are left out; the error is nil unless nothing could be measured.
	Usage(ctx context.Context, services []string) (map[string]Usage, error)

	// UsageInterval returns how often Usage can be called without taking much of the node's time: every 10 s where it reads files
	// of the kernel, every 30 s where an engine measures. Usage can change it, so it is read after each call.
	UsageInterval() time.Duration
}

// Usage of an instance at one moment. Pointers are nil for what the driver does not measure.
type Usage struct {
	At          time.Time     // by the clock of uws
	Run         string        // [Observed.Instance] of the run that is measured: counters begin with it
	CPU         time.Duration // since the run began
	MemoryBytes int64         // working set: resident, without the file cache that the kernel can drop
	Processes   *int          // with their threads where an engine measures
	Descriptors *int          // open file descriptors of all processes
	Received    *int64        // bytes over the network since the run began
	Sent        *int64        // bytes over the network since the run began
}

// NodeUsageReader is a driver that measures the machine.
type NodeUsageReader interface {
	// NodeUsage returns what all processes of the machine use. It may run beside any other call. It returns nil if the machine
	// cannot be measured from here.
	NodeUsage(ctx context.Context) (*NodeUsage, error)
}

// NodeUsage is what all processes of a machine use at one moment.
type NodeUsage struct {
	At          time.Time
	CPU         time.Duration // of all cores, since the machine was started
	MemoryBytes int64         // without what the kernel can drop
	MemoryTotal int64
}

// Sizer is a driver that can tell how much room a volume takes.
type Sizer interface {
	// Size returns the bytes that a volume takes on its disk. It may read all of its folders: it takes as long as that takes, at
	// most until ctx ends, and is called for one volume of a node at a time.
	// Errors: [DataMissing] if there is no such volume; [Invalid] if the node cannot tell, whatever the volume.
	Size(ctx context.Context, volume string) (int64, error)
}
