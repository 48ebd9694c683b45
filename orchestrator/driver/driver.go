// Package driver is the contract between the control plane and the machines it drives.
//
// A driver turns a [Spec] into one running instance of an engine on its node and reports what it
// sees as [Observed]. It never judges health, never retries by itself and keeps no desired state:
// deciding is the control plane's work.
package driver

import (
	"context"
	"net/netip"
	"time"
)

// Label names that every workload of ours carries, as container labels or as environment of a process.
const (
	LabelInstallation = "uws.installation"
	LabelService      = "uws.service"
	LabelSpecHash     = "uws.spec-hash"
	LabelGeneration   = "uws.generation"
	LabelName         = "uws.name" // the service's, for people
)

// Driver runs instances on one node.
//
// All methods are idempotent, safe for concurrent use by different services, and return soon after
// ctx ends. Calls for one service are made one at a time by the control plane, except Inspect, which may run
// beside any other. Errors are classified by [ClassOf]. What only some drivers can do is in interfaces of their own,
// found by a type assertion: [AutoRestarter], [LogReader], [UsageReader], [NodeUsageReader], [Sizer], [Exporter], [Freezer],
// [Releaser].
type Driver interface {
	// Ping returns a description of the node, or an error if the node cannot run workloads now.
	Ping(ctx context.Context) (Info, error)

	// Layout tells where an instance of service with the data of volume will find its files, so that
	// templates can name them. It is pure and does no I/O.
	Layout(service, volume string) Layout

	// Prepare fetches what the spec needs (the engine or the image) unless it is here already, and
	// reports progress at least every second while it works. progress may be nil.
	// Errors: [Invalid] when the engine cannot be had by retrying (unknown, not allowed, wrong
	// checksum), [Transient] for network or disk trouble.
	Prepare(ctx context.Context, spec Spec, progress func(Progress)) error

	// Create makes everything an instance needs but does not start it: data (see [Init]), configuration, the
	// container. When one with the same spec and generation exists it does nothing; one with another spec or generation
	// that is not running is replaced; a running one is left alone.
	// Errors: [DataMissing] when spec.DataMustExist and the volume is not there, or what is there is not it, see
	// [Data.Recognise]. It never creates data then.
	Create(ctx context.Context, spec Spec) error

	// Start starts the created instance. One that runs already is left alone, one that was frozen or paused through the
	// engine goes on, and one that the engine is about to start again is left to it.
	// Errors: [NotCreated], [PortInUse], [DataMissing]; [Error.Unstartable] if only a new instance can be started.
	Start(ctx context.Context, service string) error

	// Stop asks the instance to stop with its stop signal, kills it after grace (0 kills at once), kills
	// what is left of its process group, and returns when nothing of it runs. A paused or stopped
	// (SIGSTOP) instance is killed at once. Stop is a no-op if the instance does not exist or run. Afterwards the
	// engine does not start it again by itself, until the next Start.
	Stop(ctx context.Context, service string, grace time.Duration) error

	// Remove kills the instance if it runs and removes everything of it but its data and, where the
	// driver has them, its log files. Remove is a no-op if the instance does not exist.
	Remove(ctx context.Context, service string) error

	// MarkData writes the mark file of the volume that the service's instance has, see [MarkText], or replaces it.
	// Errors: [NotCreated].
	MarkData(ctx context.Context, service, note string) error

	// ReadMark returns the mark file of a volume, empty if it has none, see [MarkText].
	// Errors: [DataMissing] if there is no such volume.
	ReadMark(ctx context.Context, volume string) (string, error)

	// RemoveData deletes a volume. It is a no-op if there is none.
	// Errors: [Conflict] while an instance that uses it runs; [DataMissing] if what is there is not the volume, see
	// [Data.Recognise], or was created at another time than data.CreatedAt: it is left alone. It also removes what an import of
	// the volume left, see [Exporter].
	RemoveData(ctx context.Context, data Data) error

	// HasData reports whether the volume exists and is recognised, see [Data.Recognise].
	HasData(ctx context.Context, data Data) (bool, error)

	// Inspect tells what is there now. A service that does not exist is Observed{} without an error.
	Inspect(ctx context.Context, service string) (Observed, error)

	// List inspects every workload that has the label of this installation, also those that the caller does not know.
	List(ctx context.Context) ([]Observed, error)

	// Volumes lists every volume of this installation, those unknown to the caller too. It does not look into them.
	Volumes(ctx context.Context) ([]Volume, error)

	// Watch sends a hint, the service's id, soon after one of its instances changed (started, exited).
	// Hints may be lost, doubled or late; they are not the truth, Inspect is. The channel is closed
	// when ctx ends. Any number may watch.
	Watch(ctx context.Context) <-chan string

	// Close releases what the driver holds. Instances keep running.
	Close() error
}

// AutoRestarter is a driver whose engine starts an instance that ended again by itself.
type AutoRestarter interface {
	// SetAutoRestart turns that on or off, from now on. An instance begins with it on.
	// Errors: [NotCreated].
	SetAutoRestart(ctx context.Context, service string, on bool) error
}

// Releaser is a driver that leaves something of its own on the node, such as a claim.
type Releaser interface {
	// Release removes that, where no service is left on a node that is no longer driven. A driver that is used again
	// makes it again.
	Release(ctx context.Context) error
}

// Info describes a node.
type Info struct {
	Version     string // of the engine that drives, such as the Docker Engine's or the kernel's
	CPUs        int
	MemoryBytes int64
	DiskFree    int64 // bytes free where data is kept; negative when the node does not tell
	DiskTotal   int64 // bytes in all there
	Labels      map[string]string
	EngineID    string // identity of the engine, the same whatever endpoint it is reached by; empty where it has none
	Limits      bool   // whether it can hold instances to their Spec.Limits
}

// Layout is where an instance finds its files, in its own view of the file system, and how it must listen.
type Layout struct {
	Data    string // absolute folder of the data
	Config  string // absolute folder of Spec.Files
	Address string // IP address to listen on
	// HostPorts is true where the instance itself must listen on the published port, and false where the
	// driver maps the published port to the template's own.
	HostPorts bool
}

// Spec says how to run one service's instance. It holds secrets (Env, Files): never log it.
type Spec struct {
	Service       string // the service's id; names and labels derive from it
	Name          string `json:"-"` // the service's name, for people; may be empty
	Generation    int    `json:"-"` // of the service's spec, kept with the instance; less than 1 counts as 1
	Volume        string // the id of its data, which can outlive the service
	DataMustExist bool   // the volume has held data: it is never created again
	DataMarked    bool   `json:"-"` // see [Data]
	EngineMark    string `json:"-"` // see [Data]

	Engine        string // process driver: the engine's name under engines/
	EngineVersion string
	Image         string // docker driver

	// Docker driver: where the data is mounted (empty: as Layout says), the user in the image to run as (empty: the
	// image's own), and the Linux capabilities to have beyond none, without their CAP_.
	Mount        string   `json:",omitempty"`
	User         string   `json:",omitempty"`
	Capabilities []string `json:",omitempty"`
	Limits       Limits   `json:",omitzero"`

	// Program is, instead of Engine, the file name of a program that is installed on the node by its own means,
	// and Package what to install where it is not. Process driver.
	Program string `json:",omitempty"`
	Package string `json:",omitempty"`

	// Init makes the data of an engine that does not do so itself when it starts; nil: nothing is needed. Process
	// driver: images bring their own.
	Init *Init `json:",omitempty"`

	Args  []string          // never holds secrets
	Env   map[string]string // may hold secrets
	Files map[string]string // configuration by file name (no folders), written readable by the engine alone

	// Folders are made inside the data when the data is made, never later: relative paths.
	Folders []string `json:",omitempty"`

	// Stale are relative paths of lock and pid files inside the data, removed before a start. Process driver.
	Stale []string `json:"-"`

	Ports      []Port
	StopSignal string // a name such as "SIGTERM"; empty means SIGTERM
}

// Limits of one instance; zero is none.
type Limits struct {
	MemoryBytes int64   `json:",omitempty"`
	CPUs        float64 `json:",omitempty"`
	PIDs        int64   `json:",omitempty"` // processes and threads
}

// Init is a command that is run once, when the data is made: as the engine would be run, with Files in place. The
// data appears when the command has succeeded, or not at all, so that its working folder, which it must fill, is not
// yet where [Layout] says.
type Init struct {
	Program string            // file name of a program beside the engine's own; empty: the engine's own
	Args    []string          // never holds secrets
	Env     map[string]string // may hold secrets
	Files   []string          `json:"-"` // names of those of Spec.Files that it alone reads: they are removed when it has ended
}

// Port is one published port of an instance.
type Port struct {
	Name    string
	Number  int    // as clients reach it
	Target  int    // as the engine listens, where the driver maps ports
	Address string // IP address it is published on; empty means loopback
}

// Observed is what a driver sees of one service's instance.
type Observed struct {
	Service string
	Volume  string // that it uses; empty if unknown
	Exists  bool   // created
	Running bool   // a process of it is alive
	Paused  bool   // running, but stopped by a signal or paused: it cannot answer
	Frozen  bool   // paused by [Freezer] or through the engine; Start lets it go on
	// Restarting is true when it ended and the engine is about to start it again by itself; Running is false then.
	Restarting bool
	Instance   string // identity of the newest run: differs after every start, survives a restart of uws
	StartedAt  time.Time
	StoppedAt  time.Time // zero when unknown or running
	// ExitCode is the code of the last run, 128+n when ended by signal n; nil when it runs or nobody saw it end.
	ExitCode  *int
	OOMKilled *bool // nil when unknown
	SpecHash  string
	// Generation is the Spec.Generation that the instance was created from, 1 if it was created before there were
	// generations; 0 if there is no instance.
	Generation int
	// Endpoints are where clients reach the instance, by the name of the port; nil while it does not run, and where the
	// driver cannot see them. They are those of the spec that it was created from. An address is invalid or unspecified if
	// it is that of the node. List may leave them out.
	Endpoints map[string]netip.AddrPort

	AutoRestart AutoRestart
	// Restarts is how often the engine started it again by itself since it was last started on purpose.
	Restarts int
	// Act is what ended the newest run, or the one before it where it runs, other than itself and uws.
	Act Act
	// EngineSince is since when the engine answers without a break, by the clock of uws; zero: the driver has no engine
	// that comes and goes.
	EngineSince time.Time
	// EngineRun differs after a restart of the engine, whether its instances outlived it or not; empty when unknown.
	EngineRun string
	// Before is how the run before Instance ended, where the driver saw that; zero otherwise.
	Before End
	Image  string // digest of the image it was created from; empty where there is none
}

// Volume is what a driver lists of one.
type Volume struct {
	ID        string
	Service   string    // name of the service that it was made for; empty if unknown
	CreatedAt time.Time // in whole seconds, zero if unknown
}

// Act of people or of the engine on an instance.
type Act string

const (
	ActStop   Act = "stop"
	ActKill   Act = "kill"
	ActEngine Act = "engine" // the engine itself was restarted
)

// AutoRestart is true if the engine itself restarts an instance that ends.
type AutoRestart int

const (
	AutoRestartNever AutoRestart = iota // the engine cannot
	AutoRestartOff
	AutoRestartOn
)

// End of a run.
type End struct {
	Seen      bool
	ExitCode  int // 128+n when ended by signal n
	OOMKilled bool
}

// Progress of Prepare.
type Progress struct {
	Step    string  // what is being done, in words: "building versitygw 1.8.0"
	Percent float64 // 0 to 100; negative when unknown
}
