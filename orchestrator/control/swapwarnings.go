package control

import (
	"context"
	"fmt"
	"maps"
	"time"

	"entgo.io/ent/dialect/sql"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/ent/backuppolicy"
	"github.com/unicorn-web-services/uws/ent/backuptarget"
	"github.com/unicorn-web-services/uws/ent/event"
	"github.com/unicorn-web-services/uws/ent/restore"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
)

// swapWarnings returns what to know before an exchange, and as of when the data of b is, nil if that is not known.
func (c *Control) swapWarnings(ctx context.Context, x swap) (warnings []string, asOf *time.Time, err error) {
	a, b := x.a, x.b
	asOf, fromA, err := c.dataAsOf(ctx, a, b)
	if err != nil {
		return nil, nil, err
	}
	switch {
	case asOf != nil:
		warnings = append(warnings, fmt.Sprintf("The data of %s is as of %s. What was written to %s after that is not in it.", b.Name, asOf.Format(time.RFC3339), a.Name))
	case fromA:
		warnings = append(warnings, fmt.Sprintf("As of when the data of %s is, is not known any more. What was written to %s after that is not in it.", b.Name, a.Name))
	default:
		warnings = append(warnings, fmt.Sprintf("%s was not restored from a backup of %s: it has data of its own.", b.Name, a.Name))
	}
	if b.DesiredState == lifecycle.WantStopped {
		warnings = append(warnings, fmt.Sprintf("%s is stopped, so that it cannot be checked whether it works.", b.Name))
	}
	if q := b.Quarantine; q != nil {
		warnings = append(warnings, fmt.Sprintf("%s is in quarantine and stays so until endQuarantine: %s.", b.Name, q.HeldBack))
	}
	if !maps.Equal(a.Labels, b.Labels) {
		warnings = append(warnings, "Their labels differ, and stay with the services: policies and filters may choose others afterwards.")
	}
	own, err := c.store.Read.BackupPolicy.Query().Where(backuppolicy.ServiceID(a.ID)).Exist(ctx)
	if err != nil {
		return nil, nil, err
	}
	if own {
		warnings = append(warnings, fmt.Sprintf("The backup policy of %s stays with the stopped service. Give %s one of its own.", a.Name, b.Name))
	}
	targets, err := c.store.Read.BackupTarget.Query().Where(backuptarget.ServiceID(a.ID)).Exist(ctx)
	if targets {
		warnings = append(warnings, fmt.Sprintf("Backup targets are in %s, and cannot be reached while it is stopped.", a.Name))
	}
	return warnings, asOf, err
}

// dataAsOf returns the moment that the data of b is as of, nil if it is not known, and whether it was that of a: b was restored
// from a backup of a, or was stopped when a took its place.
func (c *Control) dataAsOf(ctx context.Context, a, b *ent.Service) (asOf *time.Time, fromA bool, err error) {
	if b.DesiredState == lifecycle.WantStopped {
		e, err := c.store.Read.Event.Query().Where(event.ServiceID(b.ID), event.ReasonCode(lifecycle.CodeStopped)).Order(event.ByID(sql.OrderDesc())).First(ctx)
		switch {
		case err == nil:
			return &e.At, true, nil
		case !ent.IsNotFound(err):
			return nil, false, err
		}
	}
	r, err := c.store.Read.Restore.Query().Where(restore.ServiceID(b.ID), restore.SourceID(a.ID)).Order(restore.ByCreatedAt(sql.OrderDesc())).First(ctx)
	switch {
	case ent.IsNotFound(err):
		return nil, false, nil
	case err != nil:
		return nil, false, err
	case r.At != nil:
		return r.At, true, nil
	}
	made, err := c.store.Read.Backup.Get(ctx, r.BackupID)
	if ent.IsNotFound(err) {
		return nil, true, nil
	}
	if err != nil {
		return nil, true, err
	}
	return made.StartedAt, true, nil
}
