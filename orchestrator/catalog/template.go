// Package catalog holds the service templates: one YAML file per engine, embedded, and a folder of the
// user's own beside them. A template says all that is particular to an engine; nothing else in the
// control plane knows one engine from another.
package catalog

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Kind of a service.
type Kind string

const (
	Bucket  Kind = "BUCKET"
	DB      Kind = "DB"
	NoSQL   Kind = "NOSQL"
	Queue   Kind = "QUEUE"
	Secrets Kind = "SECRETS"
)

// ParseKind reads the name of a kind.
func ParseKind(name string) (Kind, error) {
	if k := Kind(name); slices.Contains(Kinds(), k) {
		return k, nil
	}
	return "", fmt.Errorf("%.40q is not a kind; it is one of %s", name, strings.Trim(fmt.Sprint(Kinds()), "[]"))
}

// Kinds in the order in which they are shown.
func Kinds() []Kind { return []Kind{Bucket, DB, NoSQL, Queue, Secrets} }

// Values makes Kind an ent enum.
func (Kind) Values() []string { return []string{"BUCKET", "DB", "NOSQL", "QUEUE", "SECRETS"} }

// Driver is a way to run services, by its name in the API.
type Driver string

const (
	Docker  Driver = "DOCKER"
	Process Driver = "PROCESS"
)

// Drivers in the order in which they are preferred.
func Drivers() []Driver { return []Driver{Docker, Process} }

// Runtime returns how a driver runs the template; nil if it cannot.
func (t Template) Runtime(d Driver) *Runtime {
	switch d {
	case Process:
		return t.Process
	case Docker:
		return t.Docker
	}
	return nil
}

// Template is a reusable definition of a service. A service keeps the one it was launched with, so its
// JSON form is stored and must stay readable by later versions.
//
// Args, Env and Files of a [Runtime], those of its [Init], and Endpoint may hold placeholders: ${data}, ${config},
// ${address} (from the driver's layout), ${host} (for clients; IPv6 in brackets), ${hostname} (the same without
// brackets), ${port.NAME}, ${credential.NAME}, ${service.id} and ${service.name}. $$ is a dollar sign. Args must not name a
// credential, and Endpoint names only host, ports, service and credentials with a fixed value. Connections may name
// what Endpoint may, and every credential.
type Template struct {
	Name        string `yaml:"name" json:"name"` // DNS label, unique in the catalog
	Kind        Kind   `yaml:"kind" json:"kind"`
	Version     string `yaml:"version" json:"version"` // of the engine; data of one major fits another launch of it
	Description string `yaml:"description" json:"description"`
	// Limitations are what the engine cannot do that its users would expect: a sentence each, shown where one chooses. At most 16.
	Limitations []string `yaml:"limitations" json:"limitations,omitempty"`
	// Default is short for the same in each [Runtime].
	Default bool `yaml:"default" json:"default,omitempty"`

	Ports       []Port       `yaml:"ports" json:"ports"` // 1 to 16; the first is the service's endpoint, not internal
	Credentials []Credential `yaml:"credentials" json:"credentials"`
	// Endpoint is the URL clients use, without secrets, such as "http://${host}:${port.s3}".
	Endpoint string `yaml:"endpoint" json:"endpoint"`
	// Connections are shown to those who may see the credentials. At most 16.
	Connections []ConnectionString `yaml:"connections" json:"connections,omitempty"`

	Probe Probe `yaml:"probe" json:"probe"`
	Stop  Stop  `yaml:"stop" json:"stop"`
	// Rotate says how its credentials are changed; nil: they cannot be.
	Rotate *Rotate `yaml:"rotate" json:"rotate,omitempty"`

	Process *Runtime `yaml:"process" json:"process,omitempty"` // how the process driver runs it; nil: it cannot
	Docker  *Runtime `yaml:"docker" json:"docker,omitempty"`
}

// Port that the engine listens on.
type Port struct {
	Name   string `yaml:"name" json:"name"`
	Target int    `yaml:"target" json:"target,omitempty"` // inside a container; may be left out without docker
	// Internal ports are for probes only: always on loopback, never shown to users.
	Internal bool `yaml:"internal" json:"internal,omitempty"`
}

// Credential is generated at launch, or fixed by Value (a user name).
type Credential struct {
	Name   string `yaml:"name" json:"name"`
	Value  string `yaml:"value" json:"value,omitempty"`   // not secret
	Length int    `yaml:"length" json:"length,omitempty"` // random letters and digits, 16 to 128; when Value is empty
	// Internal credentials are for uws alone: they are not revealed, and no connection string holds one.
	Internal bool `yaml:"internal" json:"internal,omitempty"`
	// Fallback names the credential that is used in place of this one for data that was created before the template had it.
	Fallback string `yaml:"fallback" json:"fallback,omitempty"`
}

// ConnectionString is a text that is ready for a client to use: a URL, a command, settings of an environment. The value
// of a credential is percent-encoded where it stands in a URL, that is when "://" comes before it in the same word.
type ConnectionString struct {
	Name  string `yaml:"name" json:"name"`   // such as "url", unique in the template
	Value string `yaml:"value" json:"value"` // plain text of at most 4000 bytes, line breaks allowed
}

// Probe is how the service is checked. Zero durations and counts are filled in by the catalog: 30 s
// interval, 2 s timeout (or the interval, if that is shorter), threshold 6 for DB, NOSQL and SECRETS
// and else 3, grace 300 s for DB and NOSQL and else 60 s.
type Probe struct {
	Type             string            `yaml:"type" json:"type"`
	Port             string            `yaml:"port" json:"port"` // name of the port that is asked
	Options          map[string]string `yaml:"options" json:"options,omitempty"`
	Interval         time.Duration     `yaml:"interval" json:"interval"`                 // 1 s to 1 h
	Timeout          time.Duration     `yaml:"timeout" json:"timeout"`                   // 100 ms to 1 min, at most the interval
	FailureThreshold int               `yaml:"failureThreshold" json:"failureThreshold"` // 1 to 100
	Grace            time.Duration     `yaml:"grace" json:"grace"`                       // 1 s to 1 h
	// Write is how often the probe also writes: a duration of 10 s to 1 h, or none. Empty means every 5 min where probes
	// of this type can, and else none; templates that were stored before there was a write check are empty.
	Write string `yaml:"write" json:"write,omitempty"`
}

// NoWrite is the value of [Probe.Write] for an engine that cannot take a write check.
const NoWrite = "none"

// WriteInterval is how often the probe also writes, if it can; zero for never.
func (p Probe) WriteInterval() time.Duration {
	if p.Write == NoWrite {
		return 0
	}
	if every, err := time.ParseDuration(p.Write); err == nil {
		return every
	}
	return 5 * time.Minute
}

// Stop is how the engine is asked to stop. Zero values: SIGTERM, 10 s (30 s for DB and NOSQL) and a
// hang grace of 2 s (10 s for DB and NOSQL).
type Stop struct {
	Signal    string        `yaml:"signal" json:"signal"`       // SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1 or SIGUSR2
	Grace     time.Duration `yaml:"grace" json:"grace"`         // 100 ms to 10 min; on purpose, before it is killed
	HangGrace time.Duration `yaml:"hangGrace" json:"hangGrace"` // 100 ms to 10 min; when it no longer answers
}

// Rotate is how the credentials of a service are changed. The probe, which logs in with them, tells which the engine
// accepts, so that its type must be one that does.
type Rotate struct {
	How    string   `yaml:"how" json:"how"`       // one of [RotationMethods]
	Change []string `yaml:"change" json:"change"` // names of the generated credentials to replace, at least 1
}

// RotateByRestart is for engines that read their credentials at each start.
const RotateByRestart = "restart"

// RotationMethods returns the ways to change credentials: by a restart, or over the protocol of an engine that keeps the password of
// the credential user itself.
func RotationMethods() []string { return []string{RotateByRestart, "postgres", "mongodb"} }

// Runtime is what one driver needs to run the engine.
type Runtime struct {
	// Default makes this the template that is taken when a launch names only the kind and is for this driver.
	Default bool `yaml:"default" json:"default,omitempty"`

	Engine string `yaml:"engine" json:"engine,omitempty"` // process: a folder under engines/
	Image  string `yaml:"image" json:"image,omitempty"`   // docker
	// Program is, in place of engine, the name of a program that is installed on the machine, and Package what to
	// install where it is not. Process.
	Program string `yaml:"program" json:"program,omitempty"`
	Package string `yaml:"package" json:"package,omitempty"`
	// Init makes the data of an engine that cannot do so itself at its first start. Process.
	Init *Init `yaml:"init" json:"init,omitempty"`

	Args []string `yaml:"args" json:"args,omitempty"`
	// Always are args without placeholders that follow Args, also for services that were launched when the template, of
	// the same major version, had others or none.
	Always []string          `yaml:"always" json:"always,omitempty"`
	Env    map[string]string `yaml:"env" json:"env,omitempty"`
	Files  map[string]string `yaml:"files" json:"files,omitempty"` // by file name, put into ${config}
	// Dirs are folders that must be in ${data} before the engine starts: one name each. The driver makes
	// those that are missing whenever it creates the data, owned by the user the engine runs as.
	Dirs []string `yaml:"dirs" json:"dirs,omitempty"`
	Data string   `yaml:"data" json:"data,omitempty"` // docker: where the volume is mounted
	// Mark is a file or folder in ${data} that a used volume has. It identifies volumes without the mark file of uws.
	Mark string `yaml:"mark" json:"mark,omitempty"`

	// Stale are lock and pid files in ${data} that a crash leaves. They are removed before a start, when no instance runs, also
	// for services that were launched before the template named them. Process.
	Stale []string `yaml:"stale" json:"stale,omitempty"`

	// User is who the engine runs as in the container, a name or uid that the image knows; empty: the image's own.
	// Capabilities are the Linux capabilities that it needs, such as CHOWN; all others are dropped. Docker.
	User         string   `yaml:"user" json:"user,omitempty"`
	Capabilities []string `yaml:"capabilities" json:"capabilities,omitempty"`
	// Limits that a launch may change. Docker.
	Limits Limits `yaml:"limits" json:"limits,omitzero"`
}

// Limits of one service. Zero values are filled in by the catalog where the driver can enforce them: 512 MiB, 1
// processor, 512 processes.
type Limits struct {
	MemoryMiB int     `yaml:"memoryMiB" json:"memoryMiB,omitempty"` // 16 to 1048576
	CPUs      float64 `yaml:"cpus" json:"cpus,omitempty"`           // 0.05 to 1024
	PIDs      int     `yaml:"pids" json:"pids,omitempty"`           // processes and threads, 8 to 1000000
	// Asked is set where a launch asked for limits: the service runs only where it is held to them.
	Asked bool `yaml:"-" json:"asked,omitempty"`
}

// Init is a command that is run once, before the engine's first start, under the user the engine runs as, with the
// runtime's files in place. The data counts as made when it has succeeded. Until then it is elsewhere: ${data} is the
// command's working folder, "." in its Args and Env.
type Init struct {
	Program string            `yaml:"program" json:"program,omitempty"` // file name of one beside the engine's; empty: the engine's
	Args    []string          `yaml:"args" json:"args,omitempty"`
	Env     map[string]string `yaml:"env" json:"env,omitempty"`
	// Files are names of files of the runtime that only this command reads. They are removed when it has ended, also those
	// of services that were launched before the template said so.
	Files []string `yaml:"files" json:"files,omitempty"`
}
