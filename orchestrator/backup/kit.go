package backup

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/unicorn-web-services/uws/ent"
	entbackup "github.com/unicorn-web-services/uws/ent/backup"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/backup/repo"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

// RecoveryKit implements [orchestrator.BackupTargetVerbs].
func (b *Backups) RecoveryKit(ctx context.Context, id string) (string, error) {
	t, err := b.lookup("id", id)
	if err != nil {
		return "", err
	}
	t.mu.Lock()
	row := t.row
	t.mu.Unlock()
	s, err := b.unsealSecrets(row)
	if err != nil {
		return "", err
	}
	if _, err := b.changeTarget(ctx, t, func(up *ent.BackupTargetUpdateOne) { up.SetKitTakenAt(store.Now()) }); err != nil {
		return "", err
	}
	return kitText(row, s), nil
}

// kitText returns the recovery kit of a target: text for people, and lines that parseKit reads.
func kitText(row *ent.BackupTarget, s secrets) string {
	var w strings.Builder
	fmt.Fprintf(&w, `# Recovery kit of the backup target %q
#
# With this text, and with nothing else of the installation that made them, the backups in this target can be
# restored. Keep it away from the machines that it is to save: printed, or in a password manager. It is a secret.
#
# To restore: install uws, sign in, and take the target over:
#
#   uws backup import-target NAME --kit FILE
#
# To restore the installation itself, with its key (uws.key, which is not in the target), before uws is started:
#
#   uws restore-store --kit FILE
#
# If the backups are in another place now, change the lines below. Without uws, the program kopia (0.22 or later)
# reads the target: docs/backups.md has the commands. The password is the key below.

`, row.Name)
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&w, "%s: %s\n", name, value)
		}
	}
	line("target", row.ID)
	line("folder", row.Folder)
	endpoint, accessKey := row.Endpoint, row.AccessKey
	if row.ServiceID != "" {
		w.WriteString("# The bucket is that of a service of the installation. Put the address under which it can be reached here, and its access key.\n")
		endpoint, accessKey = cmp.Or(endpoint, "http://ADDRESS:PORT"), cmp.Or(accessKey, "ACCESS-KEY")
	}
	line("endpoint", endpoint)
	line("region", row.Region)
	line("bucket", row.Bucket)
	line("prefix", row.Prefix)
	line("accessKey", accessKey)
	if row.Folder == "" {
		w.WriteString("# The secret key of the S3 is not in here: it is asked for.\n")
	}
	line("key", s.Key)
	if s.CA != "" {
		w.WriteString(s.CA)
	}
	return w.String()
}

// parseKit reads a recovery kit. Lines that it does not know are left out.
func parseKit(text string) (row *ent.BackupTarget, s secrets, err error) {
	row = &ent.BackupTarget{}
	fields := map[string]*string{
		"target": &row.ID, "folder": &row.Folder, "endpoint": &row.Endpoint, "region": &row.Region, "bucket": &row.Bucket, "prefix": &row.Prefix,
		"accessKey": &row.AccessKey, "key": &s.Key,
	}
	if i := strings.Index(text, "-----BEGIN CERTIFICATE-----"); i >= 0 {
		text, s.CA = text[:i], text[i:]
	}
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		name, value, ok := strings.Cut(strings.TrimSpace(lines.Text()), ":")
		if to := fields[name]; ok && to != nil {
			*to = strings.TrimSpace(value)
		}
	}
	if row.ID == "" || s.Key == "" {
		return nil, s, orchestrator.Errorf(orchestrator.InvalidInput, "recoveryKit", "this is no recovery kit: the lines \"target: …\" and \"key: …\" are missing. Give the whole text that `recoveryKit` returned")
	}
	return row, s, nil
}

// ImportBackupTarget implements [orchestrator.BackupTargetVerbs].
func (b *Backups) ImportBackupTarget(ctx context.Context, name, kit string, secretKey driver.Secret) (orchestrator.BackupTarget, error) {
	row, s, err := parseKit(kit)
	if err != nil {
		return orchestrator.BackupTarget{}, err
	}
	row.Name, s.SecretKey = name, secretKey
	now := store.Now()
	row.KitTakenAt = &now
	if err := orchestrator.CheckName(name); err != nil {
		return orchestrator.BackupTarget{}, err
	}
	key, err := repo.ParseKey(s.Key)
	if err != nil {
		return orchestrator.BackupTarget{}, orchestrator.Errorf(orchestrator.InvalidInput, "recoveryKit", "key: %v", err)
	}
	b.mu.Lock()
	known := b.targets[row.ID]
	b.mu.Unlock()
	if known != nil {
		return orchestrator.BackupTarget{}, orchestrator.Errorf(orchestrator.Conflict, "recoveryKit", "this target is here already, as %q", known.row.Name)
	}
	at, err := b.location(ctx, row, s)
	if err == nil {
		err = at.Validate()
	}
	if err != nil {
		return orchestrator.BackupTarget{}, orchestrator.Errorf(orchestrator.InvalidInput, "recoveryKit", "%v", err)
	}
	opening, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	r, err := repo.Open(opening, b.repoOptions(row.ID, at, key, 0))
	if err != nil {
		return orchestrator.BackupTarget{}, orchestrator.Errorf(orchestrator.InvalidInput, "recoveryKit", "%v", err)
	}
	found, err := b.readBackups(ctx, r, row.ID, nil)
	if err = errors.Join(err, r.Close(ctx)); err != nil {
		return orchestrator.BackupTarget{}, err
	}
	view, err := b.storeTarget(ctx, row, s)
	if err != nil {
		return view, err
	}
	return b.importBackups(ctx, view.ID, found)
}

// readBackups reads what the manifests in a repository say, but for backups that are known. Of a backup that was taken twice, since
// uws died before it recorded the first, the second counts.
func (b *Backups) readBackups(ctx context.Context, r *repo.Repository, target string, known map[string]bool) ([]*ent.Backup, error) {
	snaps, err := r.Snapshots(ctx, nil)
	if err != nil {
		return nil, err
	}
	newest := map[string]string{}
	for _, snap := range snaps {
		newest[snap.Labels[labelBackup]] = snap.ID
	}
	var found []*ent.Backup
	for _, snap := range snaps {
		id := snap.Labels[labelBackup]
		if id == "" || known[id] || newest[id] != snap.ID { // a store of uws has no id
			continue
		}
		m, err := readManifest(ctx, r, snap.ID)
		if err != nil {
			b.log.Warn("a backup cannot be taken over", "target", target, "snapshot", snap.ID, "error", err)
			continue
		}
		contents, err := contentsOf(m.Saved.Contents)
		if err != nil {
			return nil, err
		}
		finished := snap.At
		found = append(found, &ent.Backup{
			ID: m.ID, ServiceID: m.ServiceID, ServiceName: m.Name, Kind: m.Definition.Kind, Template: m.Definition.Name, EngineVersion: m.Definition.Version,
			NodeID: m.NodeID, TargetID: target, Trigger: entbackup.Trigger(m.Trigger), CreatedAt: m.Started, StartedAt: &m.Started, FinishedAt: &finished,
			Snapshot: snap.ID, Bytes: snap.Bytes, Files: snap.Files, Contents: contents,
		})
	}
	return found, nil
}

// rediscover takes over backups in a target that the store does not know, as that may be a copy that is older than they are.
func (b *Backups) rediscover(ctx context.Context, r *repo.Repository, target string) error {
	ids, err := b.Store.Read.Backup.Query().Where(entbackup.TargetID(target)).IDs(ctx)
	if err != nil {
		return err
	}
	known := make(map[string]bool, len(ids))
	for _, id := range ids {
		known[id] = true
	}
	found, err := b.readBackups(ctx, r, target, known)
	if err == nil && len(found) > 0 {
		_, err = b.importBackups(ctx, target, found)
	}
	return err
}

// importBackups stores the backups of a target that was taken over.
func (b *Backups) importBackups(ctx context.Context, target string, found []*ent.Backup) (orchestrator.BackupTarget, error) {
	var rows []*ent.Backup
	err := b.Store.Update(ctx, func(ctx context.Context, tx *ent.Tx) error {
		rows = rows[:0]
		for _, f := range found {
			if there, err := tx.Backup.Query().Where(entbackup.ID(f.ID)).Exist(ctx); err != nil || there {
				if err != nil {
					return err
				}
				continue // taken meanwhile
			}
			row, err := tx.Backup.Create().SetID(f.ID).SetServiceID(f.ServiceID).SetServiceName(f.ServiceName).SetKind(f.Kind).SetTemplate(f.Template).
				SetEngineVersion(f.EngineVersion).SetNodeID(f.NodeID).SetTargetID(target).SetTrigger(f.Trigger).SetState(entbackup.StateCOMPLETE).
				SetReason("taken over").SetCreatedAt(f.CreatedAt).SetStartedAt(*f.StartedAt).SetFinishedAt(*f.FinishedAt).
				SetSnapshot(f.Snapshot).SetBytes(f.Bytes).SetFiles(f.Files).SetContents(f.Contents).Save(ctx)
			if err != nil {
				return fmt.Errorf("backup %s of %s: %w", f.ID, f.ServiceName, err)
			}
			rows = append(rows, row)
		}
		return nil
	})
	if err != nil {
		return orchestrator.BackupTarget{}, err
	}
	b.mu.Lock()
	for _, row := range rows {
		b.note(row)
		b.recordOf(row.ServiceID).settle(store.Now())
	}
	b.mu.Unlock()
	b.log.Info("backup target taken over", "target", target, "backups", len(rows))
	return b.view(target)
}
