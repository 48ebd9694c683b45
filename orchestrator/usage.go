package orchestrator

import (
	"context"
	"time"
)

// MaxServiceSeries is the number of services at most that have metrics of their own: those that were launched first.
const MaxServiceSeries = 1000

// UsageRange is how far back a history of use goes.
type UsageRange string

// The ranges, with the interval that values are kept for.
const (
	UsageHour  UsageRange = "HOUR"  // 10 s
	UsageDay   UsageRange = "DAY"   // 1 min
	UsageWeek  UsageRange = "WEEK"  // 15 min
	UsageMonth UsageRange = "MONTH" // 15 min
)

// UptimeRange is how far back a report of uptime goes.
type UptimeRange string

// The ranges, with the length of their buckets.
const (
	UptimeDay   UptimeRange = "DAY"   // 1 h
	UptimeWeek  UptimeRange = "WEEK"  // 1 h
	UptimeMonth UptimeRange = "MONTH" // 1 day
	UptimeYear  UptimeRange = "YEAR"  // 1 day
)

// Buckets returns the number of buckets of a report; 0 if r is none of the ranges.
func (r UptimeRange) Buckets() int {
	switch r {
	case UptimeDay:
		return 24
	case UptimeWeek:
		return 7 * 24
	case UptimeMonth:
		return 30
	case UptimeYear:
		return 365
	}
	return 0
}

// MaxUsagePoints is the number of points of a history at most.
const MaxUsagePoints = 1000

// MaxUsageServices is the number of services at most whose use can be read or followed together.
const MaxUsageServices = 200

// CheckUsageIDs returns InvalidInput unless these are the ids of 1 to [MaxUsageServices] services.
func CheckUsageIDs(ids []string) error {
	if len(ids) < 1 || len(ids) > MaxUsageServices {
		return Errorf(InvalidInput, "ids", "must be 1 to %d ids, not %d", MaxUsageServices, len(ids))
	}
	return nil
}

// Usage is what the instance of a service uses. Pointers are nil for what its node does not measure.
type Usage struct {
	ServiceID   string
	At          time.Time // of the measurement
	CPU         *float64  // cores, the mean since the measurement before; nil at the first one of a run
	CPULimit    *float64  // cores; nil without a limit
	MemoryBytes int64     // working set: without the file cache that the kernel can drop
	MemoryLimit *int64    // bytes
	DiskBytes   *int64    // of its volume, measured every 5 min at most
	DiskAt      *time.Time
	Received    *float64 // bytes per second
	Sent        *float64 // bytes per second
	Processes   *int
	Descriptors *int // open file descriptors
}

// NodeUsage is what a node uses.
type NodeUsage struct {
	At          time.Time
	CPU         *float64 // cores, of all processes of the machine
	CPUs        *int
	MemoryBytes *int64 // of all processes, without what the kernel can drop
	MemoryTotal *int64
	DiskBytes   *int64 // of the disk that holds the data
	DiskTotal   *int64

	// The sums of the limits of its services: what is promised to them.
	PromisedCPU    float64 // cores
	PromisedMemory int64   // bytes
	// Sums over its services that were measured.
	ServiceCPU    float64
	ServiceMemory int64
}

// UsageHistory is the use of a service or a node over time. Each column has one value for each step: nil where there was no
// measurement. CPU and rates are means, the others the maximum of the step.
type UsageHistory struct {
	ID   string // of the service or the node
	From time.Time
	To   time.Time
	Step time.Duration

	CPU         []*float64 // cores
	MemoryBytes []*float64
	DiskBytes   []*float64
	Received    []*float64 // bytes per second
	Sent        []*float64 // bytes per second
	Connections []*float64 // of clients to the engine
}

// UsageBatch is one message of WatchUsage.
type UsageBatch struct {
	Services []*Usage
	Position int64
}

// EngineStat is one number that an engine reports of itself.
type EngineStat struct {
	Name  string // in lower case with underscores, such as connections_used
	Unit  StatUnit
	Value float64
	At    time.Time
}

// StatUnit is the unit of an [EngineStat].
type StatUnit string

// The units.
const (
	StatCount StatUnit = "COUNT"
	StatBytes StatUnit = "BYTES"
)

// Uptime is the time that a service spent healthy in a range. Time before it was healthy for the first time does not count.
type Uptime struct {
	From, To time.Time
	UptimeSums
	Buckets []UptimeBucket // without gaps, oldest first; the newest ends at To
}

// UptimeSums divide a time. They sum up to less than the time where the service did not exist for all of it.
type UptimeSums struct {
	Healthy time.Duration // HEALTHY or SUSPECT
	Down    time.Duration // it should have run, and was not healthy; starts and restarts on request included
	Planned time.Duration // stopped by a user
	Unknown time.Duration // its node did not answer, or uws did not run
}

// Share is the part of the time healthy, 0 to 1, without planned and unknown time; nil if there was no other.
func (s UptimeSums) Share() *float64 {
	all := s.Healthy + s.Down
	if all <= 0 {
		return nil
	}
	return new(float64(s.Healthy) / float64(all))
}

// UptimeBucket is one part of a range.
type UptimeBucket struct {
	From, To time.Time
	UptimeSums
}

// WarningCode says what a warning is about.
type WarningCode string

// The codes.
const (
	WarnDiskFilling     WarningCode = "DISK_FILLING"     // full in less than 48 h at the present rate
	WarnConnectionsHigh WarningCode = "CONNECTIONS_HIGH" // above 80 % of those that the engine allows
	WarnMemoryHigh      WarningCode = "MEMORY_HIGH"      // above 90 % of the limit for 10 min
)

// Warning is something that will need attention soon. Nothing acts on it.
type Warning struct {
	Code  WarningCode
	Text  string
	Since time.Time
}

// UsageReader reads and follows what services and nodes use. Methods without a context never block.
type UsageReader interface {
	// Usage returns what s uses now, nil if it does not run or is not measured.
	Usage(s *Service) *Usage
	// NodeUsage returns what n uses now, nil if it is not measured.
	NodeUsage(n Node) *NodeUsage
	// UsageHistory returns the use of a service, in at most so many points, 1 to [MaxUsagePoints].
	UsageHistory(ctx context.Context, s *Service, within UsageRange, points int) (UsageHistory, error)
	// NodeUsageHistory does so of a node.
	NodeUsageHistory(ctx context.Context, n Node, within UsageRange, points int) (UsageHistory, error)
	// WatchUsage calls yield with the newest use of these services, at most [MaxUsageServices], and then with each newer one,
	// until ctx ends (nil), all of them are gone (nil), or yield fails. NotFound if there is none with one of the ids. There is no
	// past: span's cursor means nothing.
	WatchUsage(ctx context.Context, ids []string, span Span, yield func(*UsageBatch) error) (position int64, err error)
	// Warnings returns what will need attention of s soon.
	Warnings(s *Service) []Warning
	// NodeWarnings does so of a node.
	NodeWarnings(n Node) []Warning
}

// EngineStatReader reads what engines report of themselves. It never blocks.
type EngineStatReader interface {
	// EngineStats returns the newest numbers that the engine of s reported, in a fixed order; none if it reports none.
	EngineStats(s *Service) []EngineStat
}

// UptimeReader reads how long services were healthy.
type UptimeReader interface {
	// Uptime returns how long s was healthy. InvalidInput if the range is none.
	Uptime(ctx context.Context, s *Service, within UptimeRange) (Uptime, error)
}
