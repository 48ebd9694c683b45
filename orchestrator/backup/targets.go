package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/unicorn-web-services/uws/ent"
	entbackup "github.com/unicorn-web-services/uws/ent/backup"
	"github.com/unicorn-web-services/uws/ent/backuppolicy"
	"github.com/unicorn-web-services/uws/ent/backuptarget"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/backup/repo"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

// maxWriteMiB is the highest limit of writing, in MiB a second.
const maxWriteMiB = 100_000

// BackupTargets implements [orchestrator.BackupReader].
func (b *Backups) BackupTargets(context.Context) ([]orchestrator.BackupTarget, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make([]orchestrator.BackupTarget, 0, len(b.targets))
	for _, t := range b.targets {
		all = append(all, b.describe(t))
	}
	slices.SortFunc(all, func(x, y orchestrator.BackupTarget) int { return cmp.Compare(x.Name, y.Name) })
	return all, nil
}

// describe returns what the API shows of a target. b.mu is held.
func (b *Backups) describe(t *target) orchestrator.BackupTarget {
	t.mu.Lock()
	defer t.mu.Unlock()
	row := t.row
	out := orchestrator.BackupTarget{
		ID: row.ID, Name: row.Name, Folder: row.Folder, ServiceID: row.ServiceID, Endpoint: row.Endpoint, Region: row.Region, Bucket: row.Bucket,
		Prefix: row.Prefix, AccessKey: row.AccessKey, CreatedAt: row.CreatedAt, KitTakenAt: row.KitTakenAt, WriteMiBPerSecond: row.WriteMibPerSecond,
		StoreSavedAt: nonZero(t.storeAt), Reachable: t.problem == "", Reason: t.problem, CheckedAt: nonZero(t.checked), StoredBytes: t.stored,
	}
	for _, r := range b.services {
		for _, c := range r.complete {
			if c.target == row.ID {
				out.Backups++
			}
		}
	}
	for _, p := range b.policies.all {
		if p.TargetID == row.ID {
			out.Policies++
		}
	}
	if t.storeProblem != "" {
		out.Warnings = append(out.Warnings, "The store of uws itself was not saved there: "+t.storeProblem+".")
	}
	if row.KitTakenAt == nil {
		out.Warnings = append(out.Warnings, "Nobody has taken its recovery kit. Without the kit the backups are lost with this installation.")
	}
	switch {
	case row.Folder != "":
		out.Warnings = append(out.Warnings, "It is on the control plane's machine: what destroys this machine destroys the backups too.")
	case row.ServiceID != "":
		out.Warnings = append(out.Warnings, "It is a service of this installation: it is lost with its node.")
	}
	return out
}

func (b *Backups) view(id string) (orchestrator.BackupTarget, error) {
	t, err := b.lookup("id", id)
	if err != nil {
		return orchestrator.BackupTarget{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.describe(t), nil
}

// CreateBackupTarget implements [orchestrator.BackupTargetVerbs].
func (b *Backups) CreateBackupTarget(ctx context.Context, in orchestrator.BackupTargetInput) (orchestrator.BackupTarget, error) {
	row, s, err := b.checkTarget(ctx, in)
	if err != nil {
		return orchestrator.BackupTarget{}, err
	}
	key := repo.NewKey()
	s.Key = key.Text()
	at, err := b.location(ctx, row, s)
	if err != nil {
		return orchestrator.BackupTarget{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, testTimeout)
	defer cancel()
	if err := prepareTarget(ctx, row, at); err != nil {
		return orchestrator.BackupTarget{}, err
	}
	if err := b.createRepository(ctx, row, at, key); err != nil {
		return orchestrator.BackupTarget{}, err
	}
	return b.storeTarget(ctx, row, s)
}

// createRepository tries a location, and makes a repository there.
func (b *Backups) createRepository(ctx context.Context, row *ent.BackupTarget, at repo.Location, key repo.Key) error {
	if err := repo.Test(ctx, at); err != nil {
		return targetError(err, at.S3 != nil)
	}
	err := repo.Create(ctx, b.repoOptions(row.ID, at, key, 0), row.ID)
	if taken, ok := errors.AsType[*repo.NotEmptyError](err); ok {
		return orchestrator.Errorf(orchestrator.Conflict, fieldOf(at.S3 != nil), "%v. Choose an empty place, or take over a repository of uws with importBackupTarget", taken)
	}
	return targetError(err, at.S3 != nil)
}

// prepareTarget makes the folder of a target, and the bucket of a service.
func prepareTarget(ctx context.Context, row *ent.BackupTarget, at repo.Location) error {
	switch {
	case row.Folder != "":
		if err := os.MkdirAll(row.Folder, 0o700); err != nil {
			return orchestrator.Errorf(orchestrator.InvalidInput, "folder", "%v", err)
		}
	case row.ServiceID != "":
		return targetError(makeBucket(ctx, at.S3), true)
	}
	return nil
}

// makeBucket makes a bucket unless it exists.
func makeBucket(ctx context.Context, at *repo.S3) error {
	host := strings.TrimPrefix(at.Endpoint, "http://")
	client, err := minio.New(host, &minio.Options{Creds: credentials.NewStaticV4(at.AccessKey, string(at.SecretKey), ""), Region: at.Region, BucketLookup: minio.BucketLookupPath})
	if err != nil {
		return err
	}
	there, err := client.BucketExists(ctx, at.Bucket)
	if err != nil || there {
		return err
	}
	return client.MakeBucket(ctx, at.Bucket, minio.MakeBucketOptions{Region: at.Region})
}

func fieldOf(s3 bool) string {
	if s3 {
		return "s3"
	}
	return "folder"
}

// targetError blames the place for an error of the repository, unless it is nobody's fault.
func targetError(err error, s3 bool) error {
	if _, ok := orchestrator.AsError(err); err == nil || ok || errors.Is(err, context.Canceled) {
		return err
	}
	return orchestrator.Errorf(orchestrator.InvalidInput, fieldOf(s3), "%v", err)
}

// storeTarget stores a target whose repository is there.
func (b *Backups) storeTarget(ctx context.Context, row *ent.BackupTarget, s secrets) (orchestrator.BackupTarget, error) {
	sealed, err := b.sealSecrets(row.ID, s)
	if err != nil {
		return orchestrator.BackupTarget{}, err
	}
	err = b.Store.Update(ctx, func(ctx context.Context, tx *ent.Tx) (err error) {
		if err := nameFree(ctx, tx, row.Name); err != nil {
			return err
		}
		row, err = tx.BackupTarget.Create().SetID(row.ID).SetName(row.Name).SetFolder(row.Folder).SetServiceID(row.ServiceID).SetEndpoint(row.Endpoint).
			SetRegion(row.Region).SetBucket(row.Bucket).SetPrefix(row.Prefix).SetAccessKey(row.AccessKey).SetSecrets(sealed).
			SetNillableKitTakenAt(row.KitTakenAt).SetWriteMibPerSecond(row.WriteMibPerSecond).SetCreatedAt(store.Now()).Save(ctx)
		return err
	})
	if err != nil {
		return orchestrator.BackupTarget{}, err
	}
	t := newTarget(row)
	t.note(nil)
	b.mu.Lock()
	b.targets[row.ID] = t
	b.mu.Unlock()
	b.log.Info("backup target created", "target", row.Name, "id", row.ID)
	return b.view(row.ID)
}

func nameFree(ctx context.Context, tx *ent.Tx, name string) error {
	taken, err := tx.BackupTarget.Query().Where(backuptarget.Name(name)).Exist(ctx)
	if err == nil && taken {
		err = orchestrator.Errorf(orchestrator.Conflict, "name", "there is a backup target %q already; choose another name", name)
	}
	return err
}

// UpdateBackupTarget implements [orchestrator.BackupTargetVerbs].
func (b *Backups) UpdateBackupTarget(ctx context.Context, id string, in orchestrator.BackupTargetUpdate) (orchestrator.BackupTarget, error) {
	t, err := b.lookup("id", id)
	if err != nil {
		return orchestrator.BackupTarget{}, err
	}
	t.mu.Lock()
	row := *t.row
	t.mu.Unlock()
	s, err := b.unsealSecrets(&row)
	if err != nil {
		return orchestrator.BackupTarget{}, err
	}
	if in.AccessKey != nil || in.SecretKey != nil {
		if row.Folder != "" || row.ServiceID != "" {
			return orchestrator.BackupTarget{}, orchestrator.Errorf(orchestrator.Conflict, "secretKey", "this target has no keys of its own")
		}
		row.AccessKey = cmp.Or(deref(in.AccessKey), row.AccessKey)
		s.SecretKey = cmp.Or(deref(in.SecretKey), s.SecretKey)
	}
	if in.WriteMiBPerSecond != nil {
		if row.WriteMibPerSecond = *in.WriteMiBPerSecond; checkRate(row.WriteMibPerSecond) != nil {
			return orchestrator.BackupTarget{}, checkRate(row.WriteMibPerSecond)
		}
	}
	at, err := b.location(ctx, &row, s)
	if err != nil {
		return orchestrator.BackupTarget{}, err
	}
	trying, cancel := context.WithTimeout(ctx, testTimeout)
	defer cancel()
	if err := repo.Test(trying, at); err != nil {
		return orchestrator.BackupTarget{}, targetError(err, at.S3 != nil)
	}
	sealed, err := b.sealSecrets(id, s)
	if err != nil {
		return orchestrator.BackupTarget{}, err
	}
	return b.changeTarget(ctx, t, func(up *ent.BackupTargetUpdateOne) {
		up.SetAccessKey(row.AccessKey).SetSecrets(sealed).SetWriteMibPerSecond(row.WriteMibPerSecond)
	})
}

// changeTarget changes the row of a target.
func (b *Backups) changeTarget(ctx context.Context, t *target, change func(*ent.BackupTargetUpdateOne)) (orchestrator.BackupTarget, error) {
	err := b.Store.Update(ctx, func(ctx context.Context, tx *ent.Tx) error {
		up := tx.BackupTarget.UpdateOneID(t.id).AddVersion(1)
		change(up)
		row, err := up.Save(ctx)
		if err == nil {
			t.mu.Lock()
			t.row = row
			t.mu.Unlock()
		}
		return err
	})
	if err != nil {
		return orchestrator.BackupTarget{}, err
	}
	return b.view(t.id)
}

// TestBackupTarget implements [orchestrator.BackupTargetVerbs].
func (b *Backups) TestBackupTarget(ctx context.Context, id string) (orchestrator.BackupTarget, error) {
	t, err := b.lookup("id", id)
	if err != nil {
		return orchestrator.BackupTarget{}, err
	}
	t.mu.Lock()
	row := t.row
	t.mu.Unlock()
	testing, cancel := context.WithTimeout(ctx, testTimeout)
	defer cancel()
	opts, err := b.options(testing, row)
	if err == nil {
		err = repo.Test(testing, opts.Location)
	}
	t.note(err)
	if err == nil {
		var r *repo.Repository
		if r, err = b.open(testing, id); err == nil {
			b.measure(testing, t, r)
		}
	}
	if ctx.Err() != nil {
		return orchestrator.BackupTarget{}, ctx.Err()
	}
	return b.view(id)
}

// measureSoon measures a target unless that was done in the last [measureEvery].
func (b *Backups) measureSoon(ctx context.Context, id string) {
	t, err := b.lookup("targetId", id)
	if err != nil {
		return
	}
	t.mu.Lock()
	r, due := t.repo, time.Since(t.measured) > measureEvery
	if due {
		t.measured = time.Now()
	}
	t.mu.Unlock()
	if r != nil && due {
		b.measure(ctx, t, r)
	}
}

// measure notes how many bytes a target holds.
func (b *Backups) measure(ctx context.Context, t *target, r *repo.Repository) {
	n, err := r.Size(ctx)
	if err != nil {
		b.log.Warn("measuring a backup target failed", "target", t.id, "error", err)
		return
	}
	t.mu.Lock()
	t.stored = &n
	t.mu.Unlock()
}

// DeleteBackupTarget implements [orchestrator.BackupTargetVerbs].
func (b *Backups) DeleteBackupTarget(ctx context.Context, id string) error {
	t, err := b.lookup("id", id)
	if err != nil {
		return err
	}
	err = b.Store.Update(ctx, func(ctx context.Context, tx *ent.Tx) error {
		if used, err := tx.BackupPolicy.Query().Where(backuppolicy.TargetID(id)).Exist(ctx); err != nil || used {
			return cmp.Or(err, orchestrator.Errorf(orchestrator.Conflict, "id", "policies use this target; give them another one, or delete them first"))
		}
		busy, err := tx.Backup.Query().Where(entbackup.TargetID(id), entbackup.StateIn(entbackup.StateQUEUED, entbackup.StateRUNNING)).Exist(ctx)
		if err != nil || busy || b.uses(id) {
			return cmp.Or(err, orchestrator.Errorf(orchestrator.Conflict, "id", "a backup or a restore is under way there; cancel it, or wait until it is over"))
		}
		if _, err := tx.Backup.Delete().Where(entbackup.TargetID(id)).Exec(ctx); err != nil {
			return err
		}
		return tx.BackupTarget.DeleteOneID(id).Exec(ctx)
	})
	if err != nil {
		return err
	}
	b.mu.Lock()
	delete(b.targets, id)
	for _, r := range b.services {
		r.complete = slices.DeleteFunc(r.complete, func(c complete) bool { return c.target == id })
	}
	b.mu.Unlock()
	b.lookSoon()
	t.opening.Lock()
	defer t.opening.Unlock()
	if err := t.close(ctx); err != nil {
		b.log.Warn("closing a backup target failed", "target", t.id, "error", err)
	}
	return nil
}

// uses reports whether a job under way or queued uses a target.
func (b *Backups) uses(target string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, j := range b.jobs {
		if j.target == target {
			return true
		}
	}
	return false
}

// maintain deletes what no backup uses from a target, and measures it.
func (b *Backups) maintain(ctx context.Context, t *target) {
	r, err := b.open(ctx, t.id)
	if err != nil {
		b.log.Warn("maintenance of a backup target failed; retrying", "target", t.id, "error", err)
		return
	}
	began := time.Now()
	done, err := r.Maintain(ctx, true)
	if err != nil {
		b.log.Warn("maintenance of a backup target failed; retrying", "target", t.id, "error", err)
		return
	}
	if err := trimWAL(ctx, r, time.Now()); err != nil {
		b.log.Warn("deleting logs that no backup needs failed; the next maintenance does it", "target", t.id, "error", err)
	}
	b.measure(ctx, t, r)
	b.log.Info("backup target maintained", "target", t.id, "freed_bytes", done.Freed, "took", time.Since(began).Round(time.Millisecond))
	if _, err := b.changeTarget(ctx, t, func(up *ent.BackupTargetUpdateOne) { up.SetMaintainedAt(store.Now()) }); err != nil && ctx.Err() == nil {
		b.log.Error("recording a maintenance failed", "target", t.id, "error", fmt.Errorf("backup target %s: %w", t.id, err))
	}
}
