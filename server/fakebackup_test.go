package server_test

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
)

// fakeBackups are those of service s1, which is a BUCKET.
type fakeBackups struct {
	targets  []orchestrator.BackupTarget
	policies []orchestrator.BackupPolicy
	backups  []*orchestrator.Backup
	restores []*orchestrator.Restore
	objects  []*orchestrator.BackupObject
	content  func(context.Context) io.ReadCloser // of each object
	status   orchestrator.BackupStatus
}

func newFakeBackups() fakeBackups {
	plan := orchestrator.BackupPlan{TargetID: "t1", Schedule: "0 3 * * *", TimeZone: "UTC", Keep: orchestrator.Keep{Last: 1}, FinalBackup: true}
	return fakeBackups{
		targets:  []orchestrator.BackupTarget{{ID: "t1", Name: "disk", Folder: "/mnt/disk", CreatedAt: at, Reachable: true, Backups: 1, StoredBytes: new(int64(5)), Warnings: []string{"beware"}}},
		policies: []orchestrator.BackupPolicy{{ID: "p1", ServiceID: "s1", BackupPlan: plan, CreatedAt: at, UpdatedAt: at, Services: 1}},
		backups: []*orchestrator.Backup{{
			ID: "b1", ServiceID: "s1", ServiceName: "service-1", Kind: catalog.Bucket, Template: "versitygw", Version: "1.8.0", NodeID: "n1", TargetID: "t1", PolicyID: "p1",
			Trigger: orchestrator.TriggerSchedule, State: orchestrator.BackupComplete, Reason: "done", ReasonCode: new(lifecycle.CodeBackupComplete), CreatedAt: at, StartedAt: &at, FinishedAt: &at,
			Bytes: 7, StoredBytes: 5, Files: 2, Contents: []byte(`[{"type":"bucket","name":"photos","values":[{"name":"objects","value":3}]}]`),
		}},
		restores: []*orchestrator.Restore{{
			ID: "r1", Purpose: orchestrator.RestoreService, BackupID: "b1", Kind: catalog.Bucket, Name: "copy", NodeID: "n1", State: orchestrator.RestoreCopying, Reason: "copying", CreatedAt: at, Bytes: 7,
		}},
		status: orchestrator.BackupStatus{
			State: orchestrator.BackupOK, Reason: "backed up", PolicyID: "p1", LastAt: &at, NextAt: &at, Backups: 1, SizeBytes: 7, Restorable: &orchestrator.Window{From: at, To: at},
		},
	}
}

func (f *fakeAPI) BackupTargets(context.Context) ([]orchestrator.BackupTarget, error) {
	return slices.Clone(f.backup.targets), f.call("BackupTargets")
}

func (f *fakeAPI) BackupPolicies(context.Context) ([]orchestrator.BackupPolicy, error) {
	return slices.Clone(f.backup.policies), f.call("BackupPolicies")
}

func (f *fakeAPI) Backups(_ context.Context, filter orchestrator.BackupFilter, page orchestrator.Page) (orchestrator.List[*orchestrator.Backup], error) {
	return orchestrator.PageOf(f.backup.backups, page.Limit(), func(b *orchestrator.Backup) string { return "c" + b.ID }), f.call("Backups %+v %+v", filter, page)
}

func (f *fakeAPI) Restores(_ context.Context, kinds []catalog.Kind, page orchestrator.Page) (orchestrator.List[*orchestrator.Restore], error) {
	return orchestrator.PageOf(f.backup.restores, page.Limit(), func(r *orchestrator.Restore) string { return "c" + r.ID }), f.call("Restores %v %+v", kinds, page)
}

func (f *fakeAPI) Backup(_ context.Context, id string) (*orchestrator.Backup, error) {
	for _, b := range f.backup.backups {
		if b.ID == id {
			return b, f.call("Backup %s", id)
		}
	}
	return nil, orchestrator.Errorf(orchestrator.NotFound, "id", "there is no backup with the id %q", id)
}

func (f *fakeAPI) BackupObjects(_ context.Context, id, prefix string, page orchestrator.Page) (orchestrator.List[*orchestrator.BackupObject], error) {
	return orchestrator.PageOf(f.backup.objects, page.Limit(), func(o *orchestrator.BackupObject) string { return "c" + o.Bucket }), f.call("BackupObjects %s %s %+v", id, prefix, page)
}

func (f *fakeAPI) OpenBackupObject(ctx context.Context, id, bucket, key string) (*orchestrator.BackupObject, io.ReadCloser, error) {
	for _, o := range f.backup.objects {
		if o.Bucket == bucket && o.Key == key {
			return o, f.backup.content(ctx), f.call("OpenBackupObject %s %s %q", id, bucket, key)
		}
	}
	return nil, nil, orchestrator.Errorf(orchestrator.NotFound, "key", "there is no such object")
}

func (f *fakeAPI) Restore(_ context.Context, id string) (*orchestrator.Restore, error) {
	for _, r := range f.backup.restores {
		if r.ID == id {
			return r, f.call("Restore %s", id)
		}
	}
	return nil, orchestrator.Errorf(orchestrator.NotFound, "id", "there is no restore with the id %q", id)
}

func (f *fakeAPI) BackupStatus(*orchestrator.Service) orchestrator.BackupStatus {
	return f.backup.status
}

func (f *fakeAPI) WatchBackup(_ context.Context, id string, _ orchestrator.Span, yield func(orchestrator.BackupProgress) error) (int64, error) {
	if err := f.call("WatchBackup %s", id); err != nil {
		return 0, err
	}
	return orchestrator.Over, yield(orchestrator.BackupProgress{ID: id, Step: "COMPLETE", Text: "done", Bytes: 7, Total: new(int64(7)), PerSec: 7, Over: true, Position: orchestrator.Over})
}

func (f *fakeAPI) BackUp(_ context.Context, serviceID, targetID string) (*orchestrator.Backup, error) {
	return f.backup.backups[0], f.call("BackUp %s %s", serviceID, targetID)
}

func (f *fakeAPI) CancelBackup(_ context.Context, id string) (*orchestrator.Backup, error) {
	return f.backup.backups[0], f.call("CancelBackup %s", id)
}

func (f *fakeAPI) PinBackup(_ context.Context, id string, pinned bool) (*orchestrator.Backup, error) {
	return f.backup.backups[0], f.call("PinBackup %s %v", id, pinned)
}

func (f *fakeAPI) DeleteBackup(_ context.Context, id string) (*orchestrator.Backup, error) {
	return f.backup.backups[0], f.call("DeleteBackup %s", id)
}

func (f *fakeAPI) RestoreBackup(_ context.Context, id string, in orchestrator.RestoreInput) (*orchestrator.Restore, error) {
	return f.backup.restores[0], f.call("RestoreBackup %s %s node=%s at=%v rotate=%v quarantine=%v", id, in.Name, in.NodeID, show(in.At), in.Rotate, in.Quarantine)
}

func (f *fakeAPI) EndQuarantine(_ context.Context, id string) (*orchestrator.Service, error) {
	return f.verb(id, "EndQuarantine")
}

func (f *fakeAPI) ProveBackup(_ context.Context, id string) (*orchestrator.Restore, error) {
	return f.backup.restores[0], f.call("ProveBackup %s", id)
}

func (f *fakeAPI) Move(_ context.Context, id string, in orchestrator.MoveInput) (orchestrator.Move, error) {
	out := orchestrator.Move{Service: f.services[0], Warnings: []string{"another port"}}
	if in.Confirm {
		out.Restore = f.backup.restores[0]
	}
	return out, f.call("Move %s %+v", id, in)
}

func (f *fakeAPI) CancelRestore(_ context.Context, id string) (*orchestrator.Restore, error) {
	return f.backup.restores[0], f.call("CancelRestore %s", id)
}

func (f *fakeAPI) CreateBackupTarget(_ context.Context, in orchestrator.BackupTargetInput) (orchestrator.BackupTarget, error) {
	s3 := "-"
	if in.S3 != nil {
		s3 = fmt.Sprintf("%+v secret=%s", *in.S3, string(in.S3.SecretKey))
	}
	return f.backup.targets[0], f.call("CreateBackupTarget %s folder=%s rate=%d s3=%s", in.Name, in.Folder, in.WriteMiBPerSecond, s3)
}

func (f *fakeAPI) UpdateBackupTarget(_ context.Context, id string, in orchestrator.BackupTargetUpdate) (orchestrator.BackupTarget, error) {
	return f.backup.targets[0], f.call("UpdateBackupTarget %s access=%v secret=%v rate=%v", id, show(in.AccessKey), show((*string)(in.SecretKey)), show(in.WriteMiBPerSecond))
}

func (f *fakeAPI) DeleteBackupTarget(_ context.Context, id string) error {
	return f.call("DeleteBackupTarget %s", id)
}

func (f *fakeAPI) TestBackupTarget(_ context.Context, id string) (orchestrator.BackupTarget, error) {
	return f.backup.targets[0], f.call("TestBackupTarget %s", id)
}

func (f *fakeAPI) RecoveryKit(_ context.Context, id string) (string, error) {
	return "the kit", f.call("RecoveryKit %s", id)
}

func (f *fakeAPI) ImportBackupTarget(_ context.Context, name, kit string, key driver.Secret) (orchestrator.BackupTarget, error) {
	return f.backup.targets[0], f.call("ImportBackupTarget %s %s %s", name, kit, string(key))
}

func (f *fakeAPI) SetBackupPolicy(_ context.Context, id string, in orchestrator.BackupPolicyInput) (orchestrator.BackupPolicy, error) {
	return f.backup.policies[0], f.call("SetBackupPolicy %s %+v", id, in)
}

func (f *fakeAPI) DeleteBackupPolicy(_ context.Context, id string) error {
	return f.call("DeleteBackupPolicy %s", id)
}
