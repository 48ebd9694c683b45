// Package orchestrator is the contract between the control plane and its doors (GraphQL, the old endpoints, the command
// line): the types they exchange, the errors meant for users, and the API interface. Package control implements it.
package orchestrator

import (
	"context"
	"slices"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/probe"
)

// LaunchInput says what to launch.
type LaunchInput struct {
	Kind     catalog.Kind
	Name     string
	Template string // empty: the kind's default
	NodeID   string // empty: automatic
	Reattach string // id of retained data; empty: new data
	Check    CheckInput

	// These came later. They are left out of the input's hash where they are empty, so that the hashes in older stores
	// stay what they are.
	Limits     LimitsInput `json:",omitzero"`
	NodeLabels []Label     `json:",omitempty"` // that the node must have; in any order
	Labels     []Label     `json:",omitempty"` // its own; in any order
	Ports      []PortInput `json:",omitempty"` // in any order; those of the template that are left out are chosen
}

// PortInput asks for the number of one of the template's ports.
type PortInput struct {
	Name   string
	Number int
}

// LimitsInput replaces parts of a template's limits; nil fields stay. With any of them the service is placed only where
// services are held to their limits.
type LimitsInput struct {
	MemoryMiB *int
	CPUs      *float64
	PIDs      *int
}

// Label is one label of a service or a node.
type Label struct{ Name, Value string }

// CheckInput replaces parts of a template's probe; nil fields stay.
type CheckInput struct {
	Interval         *time.Duration
	Timeout          *time.Duration
	FailureThreshold *int
	Grace            *time.Duration
}

// NodeInput says what node to register.
type NodeInput struct {
	Name           string
	Driver         string // PROCESS or DOCKER
	Endpoint       string
	ServiceAddress string
	Labels         []Label
	Access
}

// NodeUpdate changes a node; nil fields stay.
type NodeUpdate struct {
	ServiceAddress *string
	Labels         []Label // nil: they stay; else all of them are replaced
	Draining       *bool
	Access
}

// Access is the keys with which uws reaches a node's engine. Both are nil for an engine that is reached without.
type Access struct {
	TLS *TLSKeys // of a tcp:// endpoint
	SSH *SSHKeys // of an ssh:// endpoint
}

// TLSKeys are in PEM: the CA that signed the engine's certificate, and our own certificate with its key.
type TLSKeys struct {
	CA, Certificate string
	Key             driver.Secret
}

// SSHKeys are the private key that uws logs in with, in PEM, and the keys that the host may show, as lines of a
// known_hosts file.
type SSHKeys struct {
	PrivateKey driver.Secret
	HostKey    string
}

// ServiceFilter selects services: all that is set must hold, a list holds when one of its values does.
type ServiceFilter struct {
	Kinds        []catalog.Kind
	Phases       []lifecycle.Phase
	Healths      []lifecycle.Health
	NodeID       string
	NameContains string
	Labels       []LabelSelector // all of them must match
	Warned       bool            // only those with warnings
}

// LabelSelector matches services that have a label with one of some values; nil: with any value.
type LabelSelector struct {
	Name   string
	Values []string
}

// Matches reports whether labels, by name, meet the selector.
func (s LabelSelector) Matches(labels map[string]string) bool {
	value, ok := labels[s.Name]
	return ok && (s.Values == nil || slices.Contains(s.Values, value))
}

// EventFilter selects events: all that is set must hold.
type EventFilter struct {
	ServiceID string
	NodeID    string
	Kinds     []catalog.Kind
}

// Credential in clear, in the template's order.
type Credential struct{ Name, Value string }

// Progress is the step that a launch is at.
type Progress struct {
	ServiceID string
	StepCode  lifecycle.LaunchStep
	Step      string  // the same in words
	Percent   float64 // negative when unknown
	Phase     lifecycle.Phase
	Health    lifecycle.Health
}

// Span says where a watch begins and where it ends. Each watch tells positions: rising numbers that mean the same to
// all watches of its kind until uws ends.
type Span struct {
	Since string // a client's cursor; empty: from now on
	After *int64 // the position to go on after, in place of Since; nil: as Since says
	Live  bool   // it goes on until ctx ends; else it ends when it has caught up with the present
}

// Over is the position of a watch that has come to its end: nothing more will come.
const Over int64 = -1

// Changes is one message of WatchChanges. Several may belong together: all but the last of those have neither a
// cursor nor a position.
type Changes struct {
	Snapshot bool // what was known before is void; else this is added to it
	Reset    bool // a snapshot, because there was no going on after the cursor

	Services        []*Service
	Nodes           []Node
	DeletedServices []string
	DeletedNodes    []string

	Complete bool // it completes the snapshot or batch
	Cursor   string
	Position int64
}

// Orphan is what is left of a service on a node although no service has it: the store was restored from an older copy, or
// the node was forgotten and registered again.
type Orphan struct {
	ID        string // of the service; of the volume where that is all that is left
	Name      *string
	Kind      *catalog.Kind
	Template  *string
	NodeID    string
	DataID    *string   // of its volume
	DataOnly  bool      // a volume without a workload
	CreatedAt time.Time // of the volume, zero if unknown
	Bytes     *int64    // that the volume takes, nil if unknown
	Running   bool
	Problem   *string // why it cannot be adopted
}

// OrphanRemoval says what becomes of an orphan's data.
type OrphanRemoval struct {
	DeleteData bool
	// CreatedAt is when the data to be deleted was created, as it was listed; zero: not given. Data without a workload is not
	// deleted without it.
	CreatedAt time.Time
}

// Separation says what a separation does, and whether it was begun.
type Separation struct {
	Service      *Service
	Begun        bool
	StopsWorking []string // in words
	Blockers     []string // what must be undone first
}

// Swap says what becomes of two services that exchange their names and ports, and whether that was begun.
type Swap struct {
	A, B     *Service // as they are afterwards, if it was begun
	Begun    bool
	Steps    []string   // what is done, in words
	Warnings []string   // what to know before
	DataAsOf *time.Time // what was written to A later is not in B; nil: not known
}

// Installation is one store with its nodes and services.
type Installation struct {
	ID             string  // that labels its workloads
	ReadOnlyReason *string // nil while it is acted on
}

// API is what the control plane offers to its doors: GraphQL and the old endpoints. All methods are safe for
// concurrent use. Errors meant for users are *Error; any other is internal.
type API interface {
	ServiceReader
	ServiceStatus
	ServiceVerbs
	CredentialVerbs
	VolumeVerbs
	OrphanVerbs
	NodeVerbs
	NodeStatus
	EventReader
	LogReader
	UsageReader
	UptimeReader
	EngineStatReader
	BackupReader
	BackupVerbs
	BackupTargetVerbs
	ChangeFeed
	TemplateReader
	Readiness
}

// ServiceReader lists services.
type ServiceReader interface {
	Services(ctx context.Context, filter ServiceFilter, page Page) (List[*Service], error)
	CountServices(ctx context.Context, filter ServiceFilter) (int, error)
	// Service returns NotFound if there is none; so do the verbs.
	Service(ctx context.Context, id string) (*Service, error)
}

// ServiceStatus is what is known of a service beside what is stored. It never blocks.
type ServiceStatus interface {
	// Endpoint returns the URL of s for its clients, empty until its ports are chosen.
	Endpoint(s *Service) string
	// LastCheck returns when s was last probed, nil if never.
	LastCheck(s *Service) *time.Time
	// LastWrite returns the newest write check of s, nil if there was none since uws or s was started.
	LastWrite(s *Service) *probe.Result
	// Limits returns what s is held to; zero parts are not limited. Before it is placed they are zero unless they will
	// count wherever it is placed.
	Limits(s *Service) catalog.Limits
	// Progress returns the launch step of s, nil unless it is PENDING or STARTING.
	Progress(s *Service) *Progress
	// Actions returns what can be done with s in its present state, to callers with any role; none if uws is read-only.
	Actions(s *Service) []ServiceAction
}

// ServiceVerbs change services.
type ServiceVerbs interface {
	Launch(ctx context.Context, in LaunchInput) (*Service, error)
	// Remove returns nil for a service that is gone already.
	Remove(ctx context.Context, id string, deleteData bool) (*Service, error)
	Start(ctx context.Context, id string) (*Service, error)
	Stop(ctx context.Context, id string) (*Service, error)
	Restart(ctx context.Context, id string) (*Service, error)
	// SetLabels changes labels of a service: those of set are added or replaced, and those named in remove are removed. It
	// never touches the instance. InvalidInput if a label is not as [CheckLabels] wants it, or there would be too many.
	SetLabels(ctx context.Context, id string, set []Label, remove []string) (*Service, error)
	// Swap reports what becomes of two services when they exchange their names and ports, and does so with confirm. Clients of a
	// then reach b. Conflict if they cannot be exchanged.
	Swap(ctx context.Context, a, b string, confirm bool) (Swap, error)
	// Check probes a service now.
	Check(ctx context.Context, id string) (*Service, probe.Result, error)
}

// CredentialVerbs reveal and change the credentials of a service.
type CredentialVerbs interface {
	// Reveal returns the credentials that the engine accepts now.
	Reveal(ctx context.Context, id string) ([]Credential, error)
	// Rotate replaces a service's secrets: in the engine first, then in the store. Conflict while that is under way, while
	// the service does not work, and if its template does not define how.
	Rotate(ctx context.Context, id string) (*Service, error)
	// SeparateAdmin reports what becomes of a PostgreSQL service when its user is no longer the superuser that its data was
	// created with, and begins that with confirm unless something is in the way. Conflict if there is nothing to do.
	SeparateAdmin(ctx context.Context, id string, confirm bool) (Separation, error)
	// Connections returns ready-made texts for clients, with credentials in clear, in the template's order. There are none
	// until the service's ports are chosen, and none if its template defines none.
	Connections(ctx context.Context, id string) ([]catalog.ConnectionString, error)
}

// VolumeVerbs list and delete the data of services that were removed.
type VolumeVerbs interface {
	Retained(ctx context.Context) ([]*Retained, error)
	// DeleteRetained requests the deletion of retained data. Repeating it has no further effect.
	DeleteRetained(ctx context.Context, id string) (*Retained, error)
}

// OrphanVerbs deal with what is left on nodes without a service. They take an orphan's id, or its name; NotFound if there is
// none.
type OrphanVerbs interface {
	// Orphans lists the orphans on the nodes that answer, by node and id.
	Orphans(ctx context.Context) ([]Orphan, error)
	// AdoptOrphan makes an orphan a service again, with its id, name, credentials, data and ports. Conflict if it cannot.
	AdoptOrphan(ctx context.Context, id string) (*Service, error)
	StopOrphan(ctx context.Context, id string) (Orphan, error)
	// RemoveOrphan tears an orphan down. Its data becomes retained data, or is deleted. Conflict if neither is possible.
	RemoveOrphan(ctx context.Context, id string, how OrphanRemoval) error
}

// NodeVerbs list and change nodes.
type NodeVerbs interface {
	Nodes(ctx context.Context) ([]Node, error)
	Node(ctx context.Context, id string) (Node, error)
	RegisterNode(ctx context.Context, in NodeInput) (Node, error)
	// UpdateNode changes a node. New keys are tried before they replace the old ones.
	UpdateNode(ctx context.Context, id string, in NodeUpdate) (Node, error)
	RemoveNode(ctx context.Context, id string, forget bool) error
}

// EventReader reads and follows the event log.
type EventReader interface {
	Events(ctx context.Context, filter EventFilter, page Page) (List[*Event], error)
	// WatchEvents calls yield for every event that span asks for, in order, without a gap, until ctx ends (nil) or
	// yield or the log fails. A cursor that matches no event is CursorExpired, at once; so is a watch that was
	// overtaken by the deletion of old events. A position is an event's id.
	WatchEvents(ctx context.Context, span Span, yield func(*Event) error) (position int64, err error)
}

// ChangeFeed follows services and nodes as they are.
type ChangeFeed interface {
	// WatchChanges calls yield with what changed among services and nodes, each as it is now, until ctx ends (nil) or
	// yield or the store fails. It begins with a snapshot, or with what changed since the cursor.
	WatchChanges(ctx context.Context, span Span, yield func(*Changes) error) (position int64, err error)
	// WatchProgress calls yield with the service's present step and each later one, until it has left PENDING and
	// STARTING or is gone (nil), ctx ends (nil), or yield fails. There is no past: span's cursor means nothing.
	WatchProgress(ctx context.Context, id string, span Span, yield func(p Progress, position int64) error) (position int64, err error)
}

// TemplateReader lists what can be launched.
type TemplateReader interface {
	Templates() []catalog.Template
	// PortRange returns the first and the last port that services may have.
	PortRange() (first, last int)
}

// Readiness reports whether the control plane works.
type Readiness interface {
	// Ready returns nil if the store answers and the loops run.
	Ready(ctx context.Context) error
}

// WriteInterval is how often a probe also writes; zero for never.
func WriteInterval(p catalog.Probe) time.Duration {
	if !probe.Writes(p.Type) {
		return 0
	}
	return p.WriteInterval()
}
