package control

import (
	"bytes"
	"context"
	"fmt"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/internal/fault"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

// Relocation describes a service whose data was copied to another node.
type Relocation struct {
	Service *ent.Service // as it was when its data was copied
	NodeID  string       // where the copy is
	Volume  string       // id of the copy
	Ports   map[string]int
}

// Relocate makes a copy of a service's data on another node its data: the service is there from now on, and what it had becomes
// retained data. Nothing may run for the service any more. also is called in the same transaction. The error is Conflict if
// the service was changed since its data was copied.
func (c *Control) Relocate(ctx context.Context, in Relocation, also func(context.Context, *ent.Tx, *ent.Service) error) error {
	keys, err := c.vault.Open(in.Service)
	if err != nil {
		return err
	}
	sealed, err := c.vault.Seal(keys.Old, in.Volume)
	if err != nil {
		return err
	}
	fault.Point("move-removed")
	return c.store.Update(ctx, func(ctx context.Context, tx *ent.Tx) error {
		was, err := tx.Service.Get(ctx, in.Service.ID)
		if err != nil {
			return err
		}
		if was.Volume != in.Service.Volume || was.NodeID != in.Service.NodeID || was.DesiredState != in.Service.DesiredState || was.RestartGeneration != in.Service.RestartGeneration ||
			!bytes.Equal(was.Credentials, in.Service.Credentials) || len(was.PendingCredentials) > 0 {
			return orchestrator.Errorf(orchestrator.Conflict, "id", "service %s was changed while it was moved; try again", was.Name)
		}
		now := store.Now()
		if err := store.Retain(tx, now, was).SetName(RetainedName(was)).Exec(ctx); err != nil {
			return err
		}
		phase := lifecycle.Pending
		if was.DesiredState == lifecycle.WantStopped {
			phase = lifecycle.Stopped
		}
		s, err := tx.Service.UpdateOne(was).SetNodeID(in.NodeID).SetVolume(in.Volume).SetCredentials(sealed).SetPorts(in.Ports).
			SetDataMarked(false).SetRecordStale(false).SetImage("").SetEnded("").SetObservedGeneration(0).SetEngineRestarts(0).
			SetPhase(phase).SetHealth(lifecycle.HealthUnknown).ClearReasonParams().ClearHealthySince().ClearNextRestartAt().SetUpdatedAt(now).
			SetReasonCode(lifecycle.CodeMoved).SetReason(fmt.Sprintf("moved from node %s to node %s", c.fleet.NameOf(was.NodeID), c.fleet.NameOf(in.NodeID))).Save(ctx)
		if err != nil {
			return err
		}
		if err := store.Own(ctx, tx, nil, s); err != nil {
			return err
		}
		if err := also(ctx, tx, s); err != nil {
			return err
		}
		return c.fleet.ChangeEvent(tx, now, was, s).Exec(ctx)
	})
}

// RetainedName returns the name of the data that a service leaves behind when it moves. Its own name stays with it.
func RetainedName(s *ent.Service) string {
	const most = 40 // bytes of the service's, so that all of it is a DNS label
	return s.Name[:min(len(s.Name), most)] + "-before-" + s.Volume[max(0, len(s.Volume)-10):]
}
