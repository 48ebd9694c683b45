// Package control is what users ask of the control plane: it validates a request, writes it in one update of the store, and
// leaves the rest to package reconcile.
package control

import (
	"log/slog"

	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/credentials"
	"github.com/unicorn-web-services/uws/orchestrator/eventlog"
	"github.com/unicorn-web-services/uws/orchestrator/fleet"
	"github.com/unicorn-web-services/uws/orchestrator/reconcile"
	"github.com/unicorn-web-services/uws/orchestrator/snapshot"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

// Options of a Control. All but ReadOnly are required.
type Options struct {
	Store      *store.Store
	Catalog    *catalog.Catalog
	Events     *eventlog.Log
	Snapshot   *snapshot.Snapshot
	Fleet      *fleet.Fleet
	Vault      *credentials.Vault
	Reconciler *reconcile.Reconciler
	Ports      reconcile.PortRange
	Log        *slog.Logger
	ReadOnly   bool // nothing is acted on
}

// Control has the verbs. It is safe for concurrent use.
type Control struct {
	store      *store.Store
	catalog    *catalog.Catalog
	events     *eventlog.Log
	snapshot   *snapshot.Snapshot
	fleet      *fleet.Fleet
	vault      *credentials.Vault
	reconciler *reconcile.Reconciler
	ports      reconcile.PortRange
	log        *slog.Logger
	readOnly   bool
}

// New returns a Control.
func New(o Options) *Control {
	return &Control{o.Store, o.Catalog, o.Events, o.Snapshot, o.Fleet, o.Vault, o.Reconciler, o.Ports, o.Log, o.ReadOnly}
}
