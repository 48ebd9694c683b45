package credentials

import (
	"context"
	"errors"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/internal/fault"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/snapshot"
)

// Separating the administrator gives a PostgreSQL service whose user is the superuser the roles of newer ones. It works like
// a rotation: the credentials of uws's own role are stored as pending ones, the engine is changed, and they become the
// stored ones.

// The role of uws in PostgreSQL.
const (
	adminUser           = "adminUser"
	adminName           = "uws_admin"
	adminPasswordLength = 32
)

// separating reports whether the pending credentials are those of a separation.
func separating(k Keys) bool {
	return k.Fresh != nil && k.Fresh[adminUser] == adminName && k.Old[adminUser] != adminName
}

// SeparateAdmin reports what becomes of a PostgreSQL service when its user is no longer the superuser, and begins that with
// confirm unless something is in the way. The error is Conflict if there is nothing to do.
func (v *Vault) SeparateAdmin(ctx context.Context, id string, confirm bool) (orchestrator.Separation, error) {
	s, err := v.Snapshot.Row(ctx, id)
	if err != nil {
		return orchestrator.Separation{}, err
	}
	old, err := v.unseal(s.Credentials, s.Volume)
	if err != nil {
		return orchestrator.Separation{}, err
	}
	switch {
	case s.Definition.Probe.Type != "postgres":
		return orchestrator.Separation{}, orchestrator.Errorf(orchestrator.InvalidInput, "id", "service %s is not a PostgreSQL database", s.Name)
	case old[adminUser] != "":
		return orchestrator.Separation{}, orchestrator.Errorf(orchestrator.Conflict, "id", "the user of service %s is no superuser", s.Name)
	}
	if err := Changeable(snapshot.ServiceOf(s)); err != nil {
		return orchestrator.Separation{}, err
	}
	target, _, err := v.Target(s, old)
	if err != nil {
		return orchestrator.Separation{}, err
	}
	blockers, err := separationBlockers(ctx, target)
	if no, ok := errors.AsType[*refusedError](err); ok {
		return orchestrator.Separation{}, orchestrator.Errorf(orchestrator.Conflict, "id", "the database does not answer what is asked: %s", no.detail)
	}
	if err != nil {
		return orchestrator.Separation{}, orchestrator.Errorf(orchestrator.Conflict, "id", "the database cannot be asked: %v", err)
	}
	out := orchestrator.Separation{Service: snapshot.ServiceOf(s), StopsWorking: stopsWorking(), Blockers: blockers}
	if !confirm || len(blockers) > 0 {
		return out, nil
	}
	old[adminUser] = adminName
	if old[catalog.AdminPassword], err = catalog.RandomText(adminPasswordLength); err != nil {
		return orchestrator.Separation{}, err
	}
	pending, err := v.Seal(old, s.Volume)
	if err != nil {
		return orchestrator.Separation{}, err
	}
	out.Begun = true
	out.Service, err = v.stage(ctx, id, "separation of the administrator requested", func(s *ent.Service) ([]byte, error) { return pending, Changeable(snapshot.ServiceOf(s)) })
	return out, err
}

// separate goes on with a separation from wherever it stopped.
func (v *Vault) separate(ctx context.Context, row *ent.Service, k Keys) error {
	target, _, err := v.Target(row, k.Fresh)
	if err != nil {
		return err
	}
	err = separatePostgres(ctx, target)
	if no, ok := errors.AsType[*refusedError](err); ok {
		return v.end(ctx, row, false, "separation of the administrator given up: "+no.detail)
	}
	if err != nil {
		return err
	}
	fault.Point("separate-done")
	return v.end(ctx, row, true, "credentials separated: the user is no superuser any more, and uws has a role of its own")
}
