package orchestrator

import (
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/probe"
)

// These are what the doors read of the store's rows: neither secrets nor the bookkeeping of the control plane. Values are
// shared between callers and must not be changed.

// Service is a desired workload and its observed state.
type Service struct {
	ID         string
	Name       string
	Kind       catalog.Kind
	Definition catalog.Template  // as resolved at launch
	Labels     map[string]string // its own
	NodeLabels map[string]string // that its node must have
	Volume     string            // id of its data, which can outlive it as [Retained]
	CreatedAt  time.Time

	DesiredState lifecycle.Desired
	Rotating     bool   // new credentials are stored, and are not yet the only ones that the engine accepts
	HeldBack     string // in quarantine: what it is kept from, for people; empty: it is not in quarantine

	NodeID       string         // empty until it is placed
	Ports        map[string]int // published, by the template's name; empty until they are chosen
	Image        string         // digest; empty where there is none
	Instance     string         // the driver's identity of the run that was healthy last; empty before the first one
	Phase        lifecycle.Phase
	Health       lifecycle.Health
	Reason       string
	ReasonCode   *lifecycle.ReasonCode // nil if the reason is older than codes
	ReasonParams *lifecycle.Params     // nil if the reason has none
	LogLine      *string               // of the engine's log: why its newest run failed. For operators
	Restarts     int                   // by uws since the launch

	Generation         int // of its spec
	ObservedGeneration int // of the spec that its instance was created from; 0 if there is none

	Backup       BackupHealth // of its data
	BackupReason string

	NextRestartAt     *time.Time
	LastHealthCheckAt *time.Time // as stored; [ServiceStatus] has a newer one
}

// Node is a registered machine or engine, with what its driver reported last.
type Node struct {
	ID             string
	Name           string
	Driver         catalog.Driver
	Endpoint       string            // of the engine: a URL, or a folder on this machine
	ServiceAddress string            // on which clients reach its services
	Labels         map[string]string // given by the user
	Draining       bool              // no new service is placed on it
	Healthy        bool
	Reason         string // why it is not healthy
	LastSeenAt     *time.Time

	Info     *driver.Info // nil before the first answer
	Services int
	InUse    bool // services or retained data keep it from being removed
	DiskLow  bool
	// Unrecognised are the ids of running workloads that have our label but no service. They are left alone.
	Unrecognised []string
}

// Subject is what an event is about. Its values are those of EventSubject in the SDL.
type Subject string

// The subjects.
const (
	SubjectService      Subject = "SERVICE"
	SubjectNode         Subject = "NODE"
	SubjectInstallation Subject = "INSTALLATION"
)

// Event is one entry of the event log. Fields that do not apply to its subject are zero.
type Event struct {
	ID   int64 // the sequence number, which rises in commit order
	Mark int64 // random: with ID it makes a cursor that no other store has
	At   time.Time

	Subject     Subject
	NodeID      string
	NodeName    string
	NodeHealthy bool // with SubjectNode

	ServiceID      string
	ServiceName    string
	Kind           *catalog.Kind
	Template       string
	DesiredState   *lifecycle.Desired
	PreviousPhase  *lifecycle.Phase // nil for a launch
	Phase          *lifecycle.Phase // nil if the service is gone
	PreviousHealth *lifecycle.Health
	Health         *lifecycle.Health
	Endpoint       string
	Restarts       int

	Reason        string
	ReasonCode    *lifecycle.ReasonCode // nil if the event is older than codes
	ReasonParams  *lifecycle.Params     // nil if the reason has none
	Probe         probe.Verdict         // of the probe that caused it; empty: none did
	ExitCode      *int
	OutOfMemory   *bool
	LogLine       *string // of the engine's log: why the run failed. For operators
	Attempt       int     // failures within the rolling window, this one included
	NextAttemptAt *time.Time
	CauseID       *int64 // the event from which this one follows
}

// EventCursor is the cursor of an event: opaque to clients.
func EventCursor(e *Event) string { return Cursor{Seq: e.ID, Mark: e.Mark}.String() }

// Retained is the data of a removed service. Its id is the volume's.
type Retained struct {
	ID         string
	Name       string // the removed service's, which stays taken
	Kind       catalog.Kind
	Template   string
	Version    string // of the template
	NodeID     string
	Forgotten  bool   // its node was forgotten
	NodeName   string // of the forgotten node
	Deleting   bool
	Obstacle   *string   // why it is not deleted yet; nil if nothing was in the way so far
	CreatedAt  time.Time // of the removed service
	RetainedAt time.Time
}
