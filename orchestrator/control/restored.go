package control

import (
	"context"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/ent/predicate"
	"github.com/unicorn-web-services/uws/ent/restore"
	"github.com/unicorn-web-services/uws/ent/service"
	entvolume "github.com/unicorn-web-services/uws/ent/volume"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/snapshot"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

// Restored describes a service that is made from a backup.
type Restored struct {
	RestoreID   string // whose name it takes
	Name        string
	Definition  catalog.Template
	Labels      map[string]string
	NodeID      string
	Volume      string
	Credentials map[string]string
	Quarantine  *lifecycle.Quarantine // nil: it acts on others at once
	HasData     bool                  // the volume holds the data; else it is created empty
}

// LaunchRestored makes a service of a backup, with its volume. also is called in the same transaction.
func (c *Control) LaunchRestored(ctx context.Context, in Restored, also func(context.Context, *ent.Tx, *ent.Service) error) (*orchestrator.Service, error) {
	sealed, err := c.vault.Seal(in.Credentials, in.Volume)
	if err != nil {
		return nil, err
	}
	var s *ent.Service
	err = c.store.Update(ctx, func(ctx context.Context, tx *ent.Tx) (err error) {
		if err := NameFree(ctx, tx, in.Name, in.RestoreID); err != nil {
			return err
		}
		now := store.Now()
		create := tx.Service.Create().SetID(orchestrator.NewID()).SetName(in.Name).SetKind(in.Definition.Kind).SetTemplate(in.Definition.Name).
			SetDefinition(in.Definition).SetInputHash("").SetRequestedNode(in.NodeID).SetLabels(in.Labels).
			SetVolume(in.Volume).SetCredentials(sealed).SetEverHealthy(in.HasData).
			SetDesiredState(lifecycle.WantRunning).SetPhase(lifecycle.Pending).SetHealth(lifecycle.HealthUnknown).
			SetReason("made from a backup").SetReasonCode(lifecycle.CodeRestoreBegun).SetCreatedAt(now).SetUpdatedAt(now)
		if in.Quarantine != nil {
			create.SetQuarantine(in.Quarantine)
		}
		if s, err = create.Save(ctx); err != nil {
			return err
		}
		if err := store.Own(ctx, tx, nil, s); err != nil {
			return err
		}
		if err := also(ctx, tx, s); err != nil {
			return err
		}
		return c.fleet.ServiceEvent(tx, now, s).Exec(ctx)
	})
	if err != nil {
		return nil, err
	}
	c.log.Info("service made from a backup", "service", s.Name, "id", s.ID, "kind", s.Kind)
	return snapshot.ServiceOf(s), nil
}

// NameFree returns Conflict if a service, retained data or a restore other than the given one has a name.
func NameFree(ctx context.Context, tx *ent.Tx, name, restoreID string) error {
	used, err := tx.Service.Query().Where(service.Name(name)).Exist(ctx)
	if err != nil {
		return err
	}
	if used {
		return orchestrator.Errorf(orchestrator.Conflict, "name", "a service named %q exists already; choose another name", name)
	}
	kept, err := tx.Volume.Query().Where(entvolume.Name(name)).Exist(ctx)
	if err != nil {
		return err
	}
	if kept {
		return orchestrator.Errorf(orchestrator.Conflict, "name", "%q has data that was kept when it was removed; choose another name, or delete that data", name)
	}
	return notRestoring(ctx, tx, name, restoreID)
}

// notRestoring returns Conflict while a restore other than the given one makes a service with a name.
func notRestoring(ctx context.Context, tx *ent.Tx, name, restoreID string) error {
	taken, err := tx.Restore.Query().Where(restore.Name(name), restore.IDNEQ(restoreID), restore.FinishedAtIsNil(), restore.PurposeEQ(restore.PurposeRESTORE)).Exist(ctx)
	if err == nil && taken {
		err = orchestrator.Errorf(orchestrator.Conflict, "name", "a service named %q is being made from a backup; choose another name, or cancel that restore", name)
	}
	return err
}

// MadeOrMoved selects the restores under way that make or move one of these services.
func MadeOrMoved(ids ...string) predicate.Restore {
	return restore.And(restore.FinishedAtIsNil(), restore.Or(
		restore.And(restore.PurposeEQ(restore.PurposeRESTORE), restore.ServiceIDIn(ids...)),
		restore.And(restore.PurposeEQ(restore.PurposeMOVE), restore.SourceIDIn(ids...))))
}
