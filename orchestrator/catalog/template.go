// Package catalog holds the service templates: one embedded YAML file per engine, and those in the user's folder. A
// template contains everything that is specific to an engine. No other part of the control plane depends on a
// particular engine.
package catalog

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Kind is the kind of a service.
type Kind string

const (
	Bucket  Kind = "BUCKET"
	DB      Kind = "DB"
	NoSQL   Kind = "NOSQL"
	Queue   Kind = "QUEUE"
	Secrets Kind = "SECRETS"
)

// ParseKind parses the name of a kind.
func ParseKind(name string) (Kind, error) {
	if k := Kind(name); slices.Contains(Kinds(), k) {
		return k, nil
	}
	return "", fmt.Errorf("%.40q is not a kind; it is one of %s", name, strings.Trim(fmt.Sprint(Kinds()), "[]"))
}

// Kinds returns all kinds, in the order in which they are shown.
func Kinds() []Kind { return []Kind{Bucket, DB, NoSQL, Queue, Secrets} }

// Values makes Kind an ent enum.
func (Kind) Values() []string { return []string{"BUCKET", "DB", "NOSQL", "QUEUE", "SECRETS"} }

// Driver is the name in the API of a way to run services.
type Driver string

const (
	Docker  Driver = "DOCKER"
	Process Driver = "PROCESS"
)

// Drivers returns all drivers, in order of preference.
func Drivers() []Driver { return []Driver{Docker, Process} }

// Runtime returns how a driver runs the template, or nil if it cannot.
func (t Template) Runtime(d Driver) *Runtime {
	switch d {
	case Process:
		return t.Process
	case Docker:
		return t.Docker
	}
	return nil
}

// Template is a reusable definition of a service. A service stores the template that it was launched with, so later
// versions must be able to read the JSON form.
//
// Placeholders are allowed in Endpoint and in Args, Env and Files of a [Runtime] and of its [Init]: ${data}, ${config},
// ${address} (from the driver's layout), ${host} (for clients; an IPv6 address is in brackets), ${hostname} (the same
// without brackets), ${port.NAME}, ${credential.NAME}, ${service.id} and ${service.name}. $$ is a dollar sign. Args
// must not contain a credential. Endpoint may contain only host, ports, service, and credentials with a fixed value.
// Connections may contain these and every credential.
type Template struct {
	Name        string `yaml:"name" json:"name"` // DNS label, unique in the catalog
	Kind        Kind   `yaml:"kind" json:"kind"`
	Version     string `yaml:"version" json:"version"` // of the engine; data can be reattached to the same major version only
	Description string `yaml:"description" json:"description"`
	// Limitations are what users would expect of the engine and it cannot do: one sentence each, shown where a template
	// is chosen. At most 16.
	Limitations []string `yaml:"limitations" json:"limitations,omitempty"`
	// Default marks every [Runtime] of the template as default.
	Default bool `yaml:"default" json:"default,omitempty"`

	Ports       []Port       `yaml:"ports" json:"ports"` // 1 to 16; the first is the service's endpoint and not internal
	Credentials []Credential `yaml:"credentials" json:"credentials"`
	// Endpoint is the URL for clients, without secrets, such as "http://${host}:${port.s3}".
	Endpoint string `yaml:"endpoint" json:"endpoint"`
	// Connections are shown to users who may see the credentials. At most 16.
	Connections []ConnectionString `yaml:"connections" json:"connections,omitempty"`

	Probe Probe `yaml:"probe" json:"probe"`
	Stop  Stop  `yaml:"stop" json:"stop"`
	Logs  Logs  `yaml:"logs" json:"logs,omitzero"`
	// Rotate is how its credentials are changed; nil if they cannot be.
	Rotate *Rotate `yaml:"rotate" json:"rotate,omitempty"`

	Process *Runtime `yaml:"process" json:"process,omitempty"` // how the process driver runs it; nil if it cannot
	Docker  *Runtime `yaml:"docker" json:"docker,omitempty"`
}

// Port is a port that the engine listens on.
type Port struct {
	Name   string `yaml:"name" json:"name"`
	Target int    `yaml:"target" json:"target,omitempty"` // inside a container; optional without docker
	// Internal ports are for probes only: they are always on loopback and never shown to users.
	Internal bool `yaml:"internal" json:"internal,omitempty"`
}

// Credential is generated at launch, or fixed by Value, as a user name is.
type Credential struct {
	Name   string `yaml:"name" json:"name"`
	Value  string `yaml:"value" json:"value,omitempty"`   // fixed value, not secret
	Length int    `yaml:"length" json:"length,omitempty"` // 16 to 128 random letters and digits, if Value is empty
	// Internal credentials are used by uws only: they are never revealed, and no connection string contains one.
	Internal bool `yaml:"internal" json:"internal,omitempty"`
	// Fallback is the credential to use instead for data that was created before the template had this one.
	Fallback string `yaml:"fallback" json:"fallback,omitempty"`
}

// ConnectionString is a text that a client can use as it is: a URL, a command, or environment variables. The value of a
// credential is percent-encoded inside a URL, that is, if "://" precedes it in the same word.
type ConnectionString struct {
	Name  string `yaml:"name" json:"name"`   // such as "url", unique in the template
	Value string `yaml:"value" json:"value"` // plain text of at most 4000 bytes; line breaks are allowed
}

// Probe is how the service is checked. Zero values have these defaults: interval 30 s; timeout 2 s, or the interval if
// that is shorter; failure threshold 6 for DB, NOSQL and SECRETS, else 3; grace 300 s for DB and NOSQL, else 60 s.
type Probe struct {
	Type             string            `yaml:"type" json:"type"`
	Port             string            `yaml:"port" json:"port"` // name of the port to connect to
	Options          map[string]string `yaml:"options" json:"options,omitempty"`
	Interval         time.Duration     `yaml:"interval" json:"interval"`                 // 1 s to 1 h
	Timeout          time.Duration     `yaml:"timeout" json:"timeout"`                   // 100 ms to 1 min, at most the interval
	FailureThreshold int               `yaml:"failureThreshold" json:"failureThreshold"` // 1 to 100
	Grace            time.Duration     `yaml:"grace" json:"grace"`                       // 1 s to 1 h
	// Write is the interval of the write check, 10 s to 1 h, or "none". Empty means 5 min if probes of this type can
	// write, else none. Templates stored before there was a write check are empty.
	Write string `yaml:"write" json:"write,omitempty"`
}

// NoWrite is the value of [Probe.Write] for an engine without a write check.
const NoWrite = "none"

// WriteInterval returns the interval of the write check; zero means never.
func (p Probe) WriteInterval() time.Duration {
	if p.Write == NoWrite {
		return 0
	}
	if every, err := time.ParseDuration(p.Write); err == nil {
		return every
	}
	return 5 * time.Minute
}

// Stop is how the engine is stopped. Zero values have these defaults: signal SIGTERM; grace 10 s (30 s for DB and
// NOSQL); hang grace 2 s (10 s for DB and NOSQL).
type Stop struct {
	Signal    string        `yaml:"signal" json:"signal"`       // SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1 or SIGUSR2
	Grace     time.Duration `yaml:"grace" json:"grace"`         // 100 ms to 10 min; time from an intended stop to SIGKILL
	HangGrace time.Duration `yaml:"hangGrace" json:"hangGrace"` // 100 ms to 10 min; the same for an engine that no longer answers
}

// Logs is what is kept of the output of a service.
type Logs struct {
	MaxMiB int `yaml:"maxMiB" json:"maxMiB,omitempty"` // 1 to 10240; 0: 50
}

// Limit returns MaxMiB, or its default.
func (l Logs) Limit() int { return cmp.Or(l.MaxMiB, 50) }

// Rotate is how the credentials of a service are changed. The probe must log in with them: its result shows which
// credentials the engine accepts.
type Rotate struct {
	How    string   `yaml:"how" json:"how"`       // one of [RotationMethods]
	Change []string `yaml:"change" json:"change"` // names of the generated credentials to replace, at least 1
}

// RotateByRestart is the method for engines that read their credentials at each start.
const RotateByRestart = "restart"

// RotationMethods returns the ways to change credentials: a restart, or the protocol of an engine that stores the
// password of the credential "user" itself.
func RotationMethods() []string { return []string{RotateByRestart, "postgres", "mongodb"} }

// Runtime is how one driver runs the engine.
type Runtime struct {
	// Default makes this template the default of its kind for this driver.
	Default bool `yaml:"default" json:"default,omitempty"`

	Engine string `yaml:"engine" json:"engine,omitempty"` // process: a folder in engines/
	Image  string `yaml:"image" json:"image,omitempty"`   // docker
	// Program names a program that is installed on the machine, instead of Engine. Package is what to install if it is
	// missing. Process only.
	Program string `yaml:"program" json:"program,omitempty"`
	Package string `yaml:"package" json:"package,omitempty"`
	// Init creates the data of an engine that does not do so at its first start. Process only.
	Init *Init `yaml:"init" json:"init,omitempty"`

	Args []string `yaml:"args" json:"args,omitempty"`
	// Always are args that are appended to Args; their only placeholder is ${config}. AlwaysFiles are names in Files. Both
	// also apply to services launched from an earlier form of the template with the same major version, from their next
	// start on, see [Runtime.Every].
	Always      []string          `yaml:"always" json:"always,omitempty"`
	AlwaysFiles []string          `yaml:"alwaysFiles" json:"alwaysFiles,omitempty"`
	Env         map[string]string `yaml:"env" json:"env,omitempty"`
	Files       map[string]string `yaml:"files" json:"files,omitempty"` // by file name, written to ${config}
	// Dirs are folders in ${data} that must exist before the engine starts: one name each, without slashes. The driver
	// creates missing ones whenever it creates the data. They belong to the user that the engine runs as.
	Dirs []string `yaml:"dirs" json:"dirs,omitempty"`
	Data string   `yaml:"data" json:"data,omitempty"` // docker: where the volume is mounted
	// Mark is a file or folder in ${data} of a volume that has been used. It identifies volumes that lack uws's own
	// mark file.
	Mark string `yaml:"mark" json:"mark,omitempty"`

	// Root is the folder in ${data} that holds what the engine keeps at the root of ${data} with other drivers, so that data can
	// be moved between them. Empty means the root.
	Root string `yaml:"root" json:"root,omitempty"`

	// Stale are lock and pid files in ${data} that a crash leaves behind. They are removed before a start, when no
	// instance runs, also for services launched before the template named them. Process only.
	Stale []string `yaml:"stale" json:"stale,omitempty"`

	// User is the user that the engine runs as in the container, a name or uid that the image has; empty means the
	// image's own. Capabilities are the Linux capabilities that the engine needs, such as CHOWN; all others are
	// dropped. Docker only.
	User         string   `yaml:"user" json:"user,omitempty"`
	Capabilities []string `yaml:"capabilities" json:"capabilities,omitempty"`
	// Limits are the default limits. A launch may change them. Docker only.
	Limits Limits `yaml:"limits" json:"limits,omitzero"`
}

// Limits are the resource limits of one service. Where the driver can enforce them, zero values have these defaults:
// 512 MiB, 1 CPU, 512 processes.
type Limits struct {
	MemoryMiB int     `yaml:"memoryMiB" json:"memoryMiB,omitempty"` // 16 to 1048576
	CPUs      float64 `yaml:"cpus" json:"cpus,omitempty"`           // 0.05 to 1024
	PIDs      int     `yaml:"pids" json:"pids,omitempty"`           // processes and threads, 8 to 1000000
	// Asked is set if a launch asked for limits. Such a service runs only where its limits can be enforced.
	Asked bool `yaml:"-" json:"asked,omitempty"`
}

// Init is a command that runs once before the engine's first start, as the engine's user, with the runtime's files in
// place. The data exists once the command has succeeded. Until then it is in a temporary folder, the command's working
// folder; ${data} in Args and Env is then ".".
type Init struct {
	Program string            `yaml:"program" json:"program,omitempty"` // file name of a program in the engine's folder; empty: the engine itself
	Args    []string          `yaml:"args" json:"args,omitempty"`
	Env     map[string]string `yaml:"env" json:"env,omitempty"`
	// Files are names of files of the runtime that only this command reads. They are removed after it exits, also for
	// services launched before the template listed them.
	Files []string `yaml:"files" json:"files,omitempty"`
}
