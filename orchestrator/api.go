package orchestrator

import (
	"context"
	"time"

	"github.com/unicorn-web-services/uws/ent"
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
	NodeLabels []NodeLabel `json:",omitempty"` // that the node must have; in any order
}

// LimitsInput replaces parts of a template's limits; nil fields stay. With any of them the service is placed only where
// services are held to their limits.
type LimitsInput struct {
	MemoryMiB *int
	CPUs      *float64
	PIDs      *int
}

// NodeLabel is one label of a node.
type NodeLabel struct{ Name, Value string }

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
	Labels         []NodeLabel
	Access
}

// NodeUpdate changes a node; nil fields stay.
type NodeUpdate struct {
	ServiceAddress *string
	Labels         []NodeLabel // nil: they stay; else all of them are replaced
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

// Page asks for First items after the one that After names. First is clamped to 1 to 500.
type Page struct {
	First int
	After string // a cursor; empty: from the beginning
}

// List is one page of items.
type List[T any] struct {
	Items   []T
	Cursors []string // of each item
	More    bool
}

// ServiceFilter selects services: all that is set must hold, a list holds when one of its values does.
type ServiceFilter struct {
	Kinds        []catalog.Kind
	Phases       []lifecycle.Phase
	Healths      []lifecycle.Health
	NodeID       string
	NameContains string
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
	Step      string
	Percent   float64 // negative when unknown
	Phase     lifecycle.Phase
	Health    lifecycle.Health
}

// Span says where a watch begins and where it ends. Each watch tells positions: rising numbers that mean the same to
// all watches of its kind until uws ends.
type Span struct {
	Since string // a client's cursor; empty: from now on
	After *int64 // the position to go on after, in place of Since; nil: as Since says
	Live  bool   // it goes on for ever; else it ends when it has caught up with the present
}

// Over is the position of a watch that has come to its end: nothing more will come.
const Over int64 = -1

// Changes is one message of WatchChanges. Several may belong together: all but the last of those have neither a
// cursor nor a position.
type Changes struct {
	Snapshot bool // what was known before is void; else this is added to it
	Reset    bool // a snapshot, because there was no going on after the cursor

	Services        []*ent.Service
	Nodes           []NodeInfo
	DeletedServices []string
	DeletedNodes    []string

	Complete bool // the last of those that belong together
	Cursor   string
	Position int64
}

// NodeInfo is a node with what its driver said last; Info is nil before the first answer.
type NodeInfo struct {
	*ent.Node
	Info     *driver.Info
	Services int
	// Unrecognised are the ids of workloads that bear our label but belong to no service. They are left alone.
	Unrecognised []string
}

// Service is a service as the store holds it, for doors that know nothing of the store.
type Service = ent.Service

// API is what the control plane offers to its doors: GraphQL and the old endpoints. All methods are safe for
// concurrent use. Errors meant for users are *Error; any other is internal.
type API interface {
	Services(ctx context.Context, filter ServiceFilter, page Page) (List[*ent.Service], error)
	CountServices(ctx context.Context, filter ServiceFilter) (int, error)
	// Service answers NotFound when there is none; so do the verbs.
	Service(ctx context.Context, id string) (*ent.Service, error)
	Nodes(ctx context.Context) ([]NodeInfo, error)
	Node(ctx context.Context, id string) (NodeInfo, error)
	Templates() []catalog.Template
	Events(ctx context.Context, filter EventFilter, page Page) (List[*ent.Event], error)
	Retained(ctx context.Context) ([]*ent.Retained, error)

	// Endpoint is the URL for clients of s, empty until its ports are chosen.
	Endpoint(ctx context.Context, s *ent.Service) (string, error)
	// LastCheck is when s was last probed: newer than its row, nil when never.
	LastCheck(s *ent.Service) *time.Time
	// Limits are what s is held to; zero parts are not limited. Before it is placed they are zero unless they will count
	// wherever it is placed.
	Limits(s *ent.Service) catalog.Limits
	// Progress is the step s is at, or nil unless it is PENDING or STARTING.
	Progress(s *ent.Service) *Progress

	Launch(ctx context.Context, in LaunchInput) (*ent.Service, error)
	Remove(ctx context.Context, id string, deleteData bool) (*ent.Service, error) // nil service when it is gone already
	Start(ctx context.Context, id string) (*ent.Service, error)
	Stop(ctx context.Context, id string) (*ent.Service, error)
	Restart(ctx context.Context, id string) (*ent.Service, error)
	Check(ctx context.Context, id string) (*ent.Service, probe.Result, error)
	// Reveal answers with the credentials that the engine accepts now.
	Reveal(ctx context.Context, id string) ([]Credential, error)
	// Rotate has a service's secrets made anew: in the engine first, and then in the store. Conflict while that is under
	// way, while the service does not work, and where its template does not say how it is done.
	Rotate(ctx context.Context, id string) (*ent.Service, error)
	// Connections are ready-made texts for clients, credentials in clear included, in the template's order. There are
	// none until the service's ports are chosen, and none when its template defines none.
	Connections(ctx context.Context, id string) ([]catalog.ConnectionString, error)
	DeleteRetained(ctx context.Context, id string) error
	RegisterNode(ctx context.Context, in NodeInput) (NodeInfo, error)
	// UpdateNode changes a node. New keys are tried before they replace the old ones.
	UpdateNode(ctx context.Context, id string, in NodeUpdate) (NodeInfo, error)
	RemoveNode(ctx context.Context, id string, forget bool) error

	// WatchEvents calls yield for every event that span asks for, in order, without a gap, until ctx ends (nil) or
	// yield or the log fails. A cursor that matches no event is CursorExpired, at once; so is a watch that was
	// overtaken by the deletion of old events. A position is an event's id.
	WatchEvents(ctx context.Context, span Span, yield func(*ent.Event) error) (position int64, err error)
	// WatchChanges calls yield with what changed among services and nodes, each as it is now, until ctx ends (nil) or
	// yield or the store fails. It begins with a snapshot, or with what changed since the cursor.
	WatchChanges(ctx context.Context, span Span, yield func(*Changes) error) (position int64, err error)
	// WatchProgress calls yield with the service's present step and each later one, until it has left PENDING and
	// STARTING or is gone (nil), ctx ends (nil), or yield fails. There is no past: span's cursor means nothing.
	WatchProgress(ctx context.Context, id string, span Span, yield func(p Progress, position int64) error) (position int64, err error)

	// Ready says whether the store answers and the loops turn.
	Ready(ctx context.Context) error
}

// EventCursor is the cursor of an event: opaque to clients.
func EventCursor(e *ent.Event) string { return cursor{seq: e.ID, mark: e.Mark}.String() }
