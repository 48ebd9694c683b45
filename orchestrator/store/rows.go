package store

import (
	"context"
	"slices"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/ent/service"
	"github.com/unicorn-web-services/uws/ent/volume"
)

// ServiceColumns returns the columns of a service's row except the given ones.
func ServiceColumns(without ...string) []string {
	return slices.DeleteFunc(slices.Clone(service.Columns), func(c string) bool { return slices.Contains(without, c) })
}

// Now returns the time for rows: UTC, without a monotonic reading, which cannot be stored.
func Now() time.Time { return time.Now().UTC().Round(0) }

// Own makes a service the owner of its volume: of v, which is retained, as it was read, or of a new one if v is nil. What v
// had of its former service is the new owner's from now on. The error is ent's not-found if v was changed since it was read.
func Own(ctx context.Context, tx *ent.Tx, v *ent.Volume, s *ent.Service) error {
	if v == nil {
		create := tx.Volume.Create().SetID(s.Volume).SetKind(s.Kind).SetTemplate(s.Template)
		describe(create.Mutation(), s)
		return create.Exec(ctx)
	}
	up := tx.Volume.UpdateOne(v).Where(volume.Version(v.Version), volume.ServiceIDIsNil()).
		SetFormerService("").SetDataMarked(false).SetRecordStale(false).ClearPorts().ClearQuarantine().ClearCredentials().ClearPendingCredentials().
		ClearRetainedAt().SetDesiredState("").SetForgotten(false).SetNodeName("").SetEngineID("").SetDeleting(false).ClearObstacle()
	describe(up.Mutation(), s)
	return up.Exec(ctx)
}

// describe sets what the row of a volume says of the service that uses it. A service that is not placed leaves the data
// where it is.
func describe(m *ent.VolumeMutation, s *ent.Service) {
	m.SetServiceID(s.ID)
	m.SetName(s.Name)
	m.SetDefinition(s.Definition)
	m.SetCreatedAt(s.CreatedAt)
	if s.NodeID != "" {
		m.SetNodeID(s.NodeID)
	}
}

// Retain begins the update by which the volume of a service that is about to be deleted becomes retained data. It takes over
// what only the service's row had.
func Retain(tx *ent.Tx, at time.Time, s *ent.Service) *ent.VolumeUpdateOne {
	up := tx.Volume.UpdateOneID(s.Volume).Where(volume.ServiceID(s.ID)).ClearServiceID().SetFormerService(s.ID).SetRetainedAt(at).
		SetCredentials(s.Credentials).SetPendingCredentials(s.PendingCredentials).SetDataMarked(s.DataMarked).SetRecordStale(s.RecordStale).SetPorts(s.Ports)
	if s.Quarantine != nil {
		up.SetQuarantine(s.Quarantine)
	}
	return up
}

// DeleteVolume begins the deletion of the row of a volume whose service is about to be deleted with its data.
func DeleteVolume(tx *ent.Tx, s *ent.Service) *ent.VolumeDeleteOne {
	return tx.Volume.DeleteOneID(s.Volume).Where(volume.ServiceID(s.ID))
}
