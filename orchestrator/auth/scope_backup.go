package auth

import (
	"context"
	"io"
	"slices"

	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

func (s scoped) BackupStatus(row *orchestrator.Service) orchestrator.BackupStatus {
	return s.api.BackupStatus(row)
}

func (s scoped) BackupTargets(ctx context.Context) ([]orchestrator.BackupTarget, error) {
	if err := Require(ctx, Viewer); err != nil {
		return nil, err
	}
	all, err := s.api.BackupTargets(ctx)
	if err != nil || len(From(ctx).Kinds) == 0 {
		return all, err
	}
	limited := make([]orchestrator.BackupTarget, len(all))
	for i, t := range all {
		limited[i] = limitedTarget(t)
	}
	return limited, nil
}

// limitedTarget is what a caller who is limited to kinds sees of a target: that it is there, and not where or what is in it.
func limitedTarget(t orchestrator.BackupTarget) orchestrator.BackupTarget {
	return orchestrator.BackupTarget{ID: t.ID, Name: t.Name, CreatedAt: t.CreatedAt, Reachable: t.Reachable, CheckedAt: t.CheckedAt, KitTakenAt: t.KitTakenAt}
}

func (s scoped) BackupPolicies(ctx context.Context) ([]orchestrator.BackupPolicy, error) {
	if err := Require(ctx, Viewer); err != nil {
		return nil, err
	}
	all, err := s.api.BackupPolicies(ctx)
	return slices.DeleteFunc(all, func(p orchestrator.BackupPolicy) bool {
		return p.ServiceID != "" && s.visible(ctx, p.ServiceID) != nil
	}), err
}

func (s scoped) Backups(ctx context.Context, f orchestrator.BackupFilter, page orchestrator.Page) (list orchestrator.List[*orchestrator.Backup], err error) {
	if err := Require(ctx, Viewer); err != nil {
		return list, err
	}
	var some bool
	if f.Kinds, some = within(ctx, f.Kinds); !some {
		return list, nil
	}
	return s.api.Backups(ctx, f, page)
}

func (s scoped) Restores(ctx context.Context, kinds []catalog.Kind, page orchestrator.Page) (list orchestrator.List[*orchestrator.Restore], err error) {
	if err := Require(ctx, Viewer); err != nil {
		return list, err
	}
	var some bool
	if kinds, some = within(ctx, kinds); !some {
		return list, nil
	}
	return s.api.Restores(ctx, kinds, page)
}

func (s scoped) Backup(ctx context.Context, id string) (*orchestrator.Backup, error) {
	if err := Require(ctx, Viewer); err != nil {
		return nil, err
	}
	b, err := s.api.Backup(ctx, id)
	if hides(ctx, err, func(p *Principal) bool { return p.Sees(b.Kind) }) {
		return nil, notFound("id", "backup", id)
	}
	return b, err
}

func (s scoped) BackupObjects(ctx context.Context, id, prefix string, page orchestrator.Page) (orchestrator.List[*orchestrator.BackupObject], error) {
	return onBackup(ctx, s, id, func(ctx context.Context, id string) (orchestrator.List[*orchestrator.BackupObject], error) {
		return s.api.BackupObjects(ctx, id, prefix, page)
	})
}

func (s scoped) OpenBackupObject(ctx context.Context, id, bucket, key string) (o *orchestrator.BackupObject, content io.ReadCloser, err error) {
	o, err = onBackup(ctx, s, id, func(ctx context.Context, id string) (*orchestrator.BackupObject, error) {
		o, content, err = s.api.OpenBackupObject(ctx, id, bucket, key)
		return o, err
	})
	return o, content, err
}

func (s scoped) Restore(ctx context.Context, id string) (*orchestrator.Restore, error) {
	if err := Require(ctx, Viewer); err != nil {
		return nil, err
	}
	r, err := s.api.Restore(ctx, id)
	if hides(ctx, err, func(p *Principal) bool { return p.Sees(r.Kind) }) {
		return nil, notFound("id", "restore", id)
	}
	return r, err
}

func (s scoped) WatchBackup(ctx context.Context, id string, span orchestrator.Span, yield func(orchestrator.BackupProgress) error) (int64, error) {
	_, err := s.Backup(ctx, id)
	if orchestrator.CodeOf(err) == orchestrator.NotFound {
		_, err = s.Restore(ctx, id)
	}
	if err != nil {
		return 0, err
	}
	return s.api.WatchBackup(ctx, id, span, yield)
}

// onBackup calls do, an action that needs the role OPERATOR, if the caller may see the backup.
func onBackup[T any](ctx context.Context, s scoped, id string, do func(context.Context, string) (T, error)) (out T, err error) {
	if err := Require(ctx, Operator); err != nil {
		return out, err
	}
	if _, err := s.Backup(ctx, id); err != nil {
		return out, err
	}
	return do(ctx, id)
}

func (s scoped) BackUp(ctx context.Context, serviceID, targetID string) (*orchestrator.Backup, error) {
	return onVisible(ctx, s, serviceID, func(ctx context.Context, id string) (*orchestrator.Backup, error) {
		return s.api.BackUp(ctx, id, targetID)
	})
}

func (s scoped) CancelBackup(ctx context.Context, id string) (*orchestrator.Backup, error) {
	return onBackup(ctx, s, id, s.api.CancelBackup)
}

func (s scoped) PinBackup(ctx context.Context, id string, pinned bool) (*orchestrator.Backup, error) {
	return onBackup(ctx, s, id, func(ctx context.Context, id string) (*orchestrator.Backup, error) {
		return s.api.PinBackup(ctx, id, pinned)
	})
}

func (s scoped) DeleteBackup(ctx context.Context, id string) (*orchestrator.Backup, error) {
	if err := Require(ctx, Admin); err != nil {
		return nil, err
	}
	return onBackup(ctx, s, id, s.api.DeleteBackup)
}

func (s scoped) RestoreBackup(ctx context.Context, id string, in orchestrator.RestoreInput) (*orchestrator.Restore, error) {
	return onBackup(ctx, s, id, func(ctx context.Context, id string) (*orchestrator.Restore, error) {
		r, err := s.api.RestoreBackup(ctx, id, in)
		if len(From(ctx).Kinds) > 0 && orchestrator.CodeOf(err) == orchestrator.Conflict {
			err = s.taken(ctx, orchestrator.LaunchInput{Name: in.Name}, err)
		}
		return r, err
	})
}

func (s scoped) EndQuarantine(ctx context.Context, id string) (*orchestrator.Service, error) {
	return onVisible(ctx, s, id, s.api.EndQuarantine)
}

func (s scoped) ProveBackup(ctx context.Context, id string) (*orchestrator.Restore, error) {
	return onBackup(ctx, s, id, s.api.ProveBackup)
}

func (s scoped) Move(ctx context.Context, id string, in orchestrator.MoveInput) (orchestrator.Move, error) {
	return onVisible(ctx, s, id, func(ctx context.Context, id string) (orchestrator.Move, error) {
		return s.api.Move(ctx, id, in)
	})
}

func (s scoped) CancelRestore(ctx context.Context, id string) (*orchestrator.Restore, error) {
	if err := Require(ctx, Operator); err != nil {
		return nil, err
	}
	if _, err := s.Restore(ctx, id); err != nil {
		return nil, err
	}
	return s.api.CancelRestore(ctx, id)
}

func (s scoped) CreateBackupTarget(ctx context.Context, in orchestrator.BackupTargetInput) (t orchestrator.BackupTarget, err error) {
	if err := Require(ctx, Admin); err != nil {
		return t, err
	}
	return s.api.CreateBackupTarget(ctx, in)
}

func (s scoped) UpdateBackupTarget(ctx context.Context, id string, in orchestrator.BackupTargetUpdate) (t orchestrator.BackupTarget, err error) {
	if err := Require(ctx, Admin); err != nil {
		return t, err
	}
	return s.api.UpdateBackupTarget(ctx, id, in)
}

func (s scoped) DeleteBackupTarget(ctx context.Context, id string) error {
	if err := Require(ctx, Admin); err != nil {
		return err
	}
	return s.api.DeleteBackupTarget(ctx, id)
}

func (s scoped) TestBackupTarget(ctx context.Context, id string) (t orchestrator.BackupTarget, err error) {
	if err := Require(ctx, Operator); err != nil {
		return t, err
	}
	t, err = s.api.TestBackupTarget(ctx, id)
	if len(From(ctx).Kinds) > 0 {
		t = limitedTarget(t)
	}
	return t, err
}

func (s scoped) RecoveryKit(ctx context.Context, id string) (string, error) {
	if err := Require(ctx, Admin); err != nil {
		return "", err
	}
	return s.api.RecoveryKit(ctx, id)
}

func (s scoped) ImportBackupTarget(ctx context.Context, name, kit string, secretKey driver.Secret) (t orchestrator.BackupTarget, err error) {
	if err := Require(ctx, Admin); err != nil {
		return t, err
	}
	return s.api.ImportBackupTarget(ctx, name, kit, secretKey)
}

func (s scoped) SetBackupPolicy(ctx context.Context, id string, in orchestrator.BackupPolicyInput) (p orchestrator.BackupPolicy, err error) {
	if err := Require(ctx, Operator); err != nil {
		return p, err
	}
	if id != "" {
		if err := s.mayChangePolicy(ctx, id); err != nil {
			return p, err
		}
	}
	if err := s.mayHavePolicy(ctx, in.ServiceID, in.Kinds); err != nil {
		return p, err
	}
	return s.api.SetBackupPolicy(ctx, id, in)
}

func (s scoped) DeleteBackupPolicy(ctx context.Context, id string) error {
	if err := Require(ctx, Operator); err != nil {
		return err
	}
	if err := s.mayChangePolicy(ctx, id); err != nil {
		return err
	}
	return s.api.DeleteBackupPolicy(ctx, id)
}

// mayChangePolicy returns NotFound for a policy that the caller does not see, and Forbidden for a default that is for
// services which the caller does not see.
func (s scoped) mayChangePolicy(ctx context.Context, id string) error {
	all, err := s.BackupPolicies(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(p orchestrator.BackupPolicy) bool { return p.ID == id })
	if i < 0 {
		return notFound("id", "policy", id)
	}
	return s.mayHavePolicy(ctx, all[i].ServiceID, all[i].Kinds)
}

// mayHavePolicy refuses a policy for services that the caller does not see.
func (s scoped) mayHavePolicy(ctx context.Context, serviceID string, kinds []catalog.Kind) error {
	p := From(ctx)
	switch {
	case len(p.Kinds) == 0:
		return nil
	case serviceID != "":
		if err := s.visible(ctx, serviceID); err != nil {
			return notFound("serviceId", "service", serviceID)
		}
		return nil
	case len(kinds) == 0, slices.ContainsFunc(kinds, func(k catalog.Kind) bool { return !p.Sees(k) }):
		return orchestrator.Errorf(orchestrator.Forbidden, "kinds", "%q is limited to %s", p.Name, p.Kinds)
	}
	return nil
}
