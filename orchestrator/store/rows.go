package store

import (
	"slices"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/ent/service"
)

// ServiceColumns returns the columns of a service's row except the given ones.
func ServiceColumns(without ...string) []string {
	return slices.DeleteFunc(slices.Clone(service.Columns), func(c string) bool { return slices.Contains(without, c) })
}

// Now returns the time for rows: UTC, without a monotonic reading, which cannot be stored.
func Now() time.Time { return time.Now().UTC().Round(0) }

// Retain begins the row for the data of a service that is about to be deleted. The caller sets the node and saves the
// row.
func Retain(tx *ent.Tx, at time.Time, s *ent.Service) *ent.RetainedCreate {
	return tx.Retained.Create().SetID(s.Volume).SetName(s.Name).SetKind(s.Kind).SetTemplate(s.Template).SetDefinition(s.Definition).
		SetCredentials(s.Credentials).SetPendingCredentials(s.PendingCredentials).SetServiceID(s.ID).
		SetDataMarked(s.DataMarked).SetPorts(s.Ports).SetCreatedAt(s.CreatedAt).SetRetainedAt(at)
}
