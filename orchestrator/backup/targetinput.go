package backup

import (
	"context"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/backup/repo"
)

var prefixes = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/-]{0,199}$`)

// checkTarget returns InvalidInput for a target that cannot be, and its row.
func (b *Backups) checkTarget(ctx context.Context, in orchestrator.BackupTargetInput) (*ent.BackupTarget, secrets, error) {
	refuse := func(field, format string, args ...any) (*ent.BackupTarget, secrets, error) {
		return nil, secrets{}, orchestrator.Errorf(orchestrator.InvalidInput, field, format, args...)
	}
	row := &ent.BackupTarget{ID: orchestrator.NewID(), Name: in.Name, Folder: in.Folder, WriteMibPerSecond: in.WriteMiBPerSecond}
	if err := orchestrator.CheckName(in.Name); err != nil {
		return nil, secrets{}, err
	}
	if err := checkRate(in.WriteMiBPerSecond); err != nil {
		return nil, secrets{}, err
	}
	switch {
	case (in.Folder == "") == (in.S3 == nil):
		return refuse("folder", "give either a folder or an S3 bucket")
	case in.S3 == nil:
		return row, secrets{}, b.checkFolder(in.Folder)
	}
	s3 := in.S3
	row.ServiceID, row.Endpoint, row.Region, row.Bucket, row.AccessKey = s3.ServiceID, strings.TrimSuffix(s3.Endpoint, "/"), s3.Region, s3.Bucket, s3.AccessKey
	row.Prefix = strings.Trim(s3.Prefix, "/")
	if row.Prefix != "" && (!prefixes.MatchString(row.Prefix) || strings.Contains(row.Prefix, "..")) {
		return refuse("s3.prefix", "%.60q cannot be used; a prefix has letters, digits, dots, dashes, underscores and slashes", row.Prefix)
	}
	if s3.ServiceID != "" {
		if s3.Endpoint+s3.Region+s3.AccessKey+s3.CA != "" || s3.SecretKey != "" {
			return refuse("s3.serviceId", "the address and the keys are the service's own; leave endpoint, region, keys and ca out")
		}
		if _, err := b.Snapshot.Service(ctx, s3.ServiceID); err != nil {
			return nil, secrets{}, orchestrator.Errorf(orchestrator.NotFound, "s3.serviceId", "there is no service with id %q", s3.ServiceID)
		}
		return row, secrets{}, nil
	}
	s := secrets{SecretKey: s3.SecretKey, CA: s3.CA}
	at, err := b.location(ctx, row, s)
	if err == nil {
		err = at.Validate()
	}
	if err != nil {
		return refuse("s3", "%v", err)
	}
	return row, s, nil
}

// checkFolder refuses a folder that is part of the data of uws, or has it.
func (b *Backups) checkFolder(folder string) error {
	if err := (repo.Location{Folder: folder}).Validate(); err != nil {
		return orchestrator.Errorf(orchestrator.InvalidInput, "folder", "%v", err)
	}
	own, err := filepath.Abs(b.Store.Dir())
	if err != nil {
		return err
	}
	inside := func(dir, of string) bool {
		rel, err := filepath.Rel(of, dir)
		return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
	}
	if folder := filepath.Clean(folder); inside(folder, own) || inside(own, folder) {
		return orchestrator.Errorf(orchestrator.InvalidInput, "folder", "%s and the data folder of uws, %s, must not be inside one another; choose another folder, best on another disk", folder, own)
	}
	return nil
}

func checkRate(mib int) error {
	if mib < 0 || mib > maxWriteMiB {
		return orchestrator.Errorf(orchestrator.InvalidInput, "writeMiBPerSecond", "must be 1 to %d, or left out for no limit, not %d", maxWriteMiB, mib)
	}
	return nil
}
