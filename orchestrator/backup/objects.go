package backup

import (
	"context"
	"errors"
	"io"
	"path"
	"strconv"
	"strings"
	"time"

	entbackup "github.com/unicorn-web-services/uws/ent/backup"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/backup/method"
	"github.com/unicorn-web-services/uws/orchestrator/backup/method/s3"
	"github.com/unicorn-web-services/uws/orchestrator/snapshot"
)

const (
	objectList = "objects" // in cursors
	// browseTimeout is how long it may take to look through all objects of a backup.
	browseTimeout = 10 * time.Minute
)

// BackupObjects implements [orchestrator.BackupReader].
func (b *Backups) BackupObjects(ctx context.Context, id, prefix string, page orchestrator.Page) (list orchestrator.List[*orchestrator.BackupObject], err error) {
	var from int64
	if page.After != "" {
		at, ok := orchestrator.ParseKeyCursor(objectList, page.After)
		if from, err = strconv.ParseInt(at, 10, 64); !ok || err != nil || from < 0 {
			return list, orchestrator.BadCursor("after")
		}
	}
	ctx, cancel := context.WithTimeout(ctx, browseTimeout)
	defer cancel()
	archive, err := b.openArchive(ctx, id)
	if err != nil {
		return list, err
	}
	defer archive.Close()
	var found []*orchestrator.BackupObject
	next := map[*orchestrator.BackupObject]int64{}
	for o, err := range s3.Browse(archive, from) {
		if _, damaged := errors.AsType[*method.DamagedError](err); damaged && from > 0 && len(found) == 0 {
			return list, orchestrator.BadCursor("after")
		}
		if err != nil {
			return list, unreadable(err)
		}
		if !strings.HasPrefix(o.Bucket+"/"+o.Key, prefix) {
			continue
		}
		shown := objectOf(o)
		found, next[shown] = append(found, shown), o.Next
		if len(found) > page.Limit() {
			break
		}
	}
	return orchestrator.PageOf(found, page.Limit(), func(o *orchestrator.BackupObject) string {
		return orchestrator.KeyCursor(objectList, strconv.FormatInt(next[o], 10))
	}), nil
}

// OpenBackupObject implements [orchestrator.BackupReader].
func (b *Backups) OpenBackupObject(ctx context.Context, id, bucket, key string) (*orchestrator.BackupObject, io.ReadCloser, error) {
	archive, err := b.openArchive(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	o, content, err := find(archive, bucket, key)
	if err != nil {
		_ = archive.Close()
		return nil, nil, err
	}
	return objectOf(o), struct {
		io.Reader
		io.Closer
	}{content, archive}, nil
}

// find returns an object of an archive, and its content.
func find(archive io.ReadSeeker, bucket, key string) (s3.Object, io.Reader, error) {
	for o, err := range s3.Browse(archive, 0) {
		if err != nil {
			return o, nil, unreadable(err)
		}
		if o.Bucket != bucket || o.Key != key {
			continue
		}
		content, err := o.Open(archive)
		if err != nil {
			return o, nil, unreadable(err)
		}
		return o, content, nil
	}
	return s3.Object{}, nil, orchestrator.Errorf(orchestrator.NotFound, "key", "the backup has no object %.200q in bucket %.70q; `backupObjects` lists what it has", key, bucket)
}

// openArchive opens the objects of a backup.
func (b *Backups) openArchive(ctx context.Context, id string) (io.ReadSeekCloser, error) {
	x, err := b.Store.Read.Backup.Query().Where(entbackup.ID(id)).Select(listed()...).Only(ctx)
	if err != nil {
		return nil, snapshot.NotFound(err, "backup", id)
	}
	if x.State != entbackup.StateCOMPLETE {
		return nil, orchestrator.Errorf(orchestrator.Conflict, "id", "the backup is %s; only a COMPLETE one has objects", x.State)
	}
	m, err := b.manifestOf(ctx, x)
	if err != nil {
		return nil, err
	}
	if m.How != byObjects {
		return nil, orchestrator.Errorf(orchestrator.Conflict, "id", "the backup holds no objects but files of an engine, as those of other kinds do, and of a bucket that was stopped; restore it to read what is in it")
	}
	r, err := b.open(ctx, x.TargetID)
	if err != nil {
		return nil, unreadable(err)
	}
	f, _, err := r.OpenFile(ctx, x.Snapshot, path.Join(dataDir, archiveFile))
	if err != nil {
		return nil, unreadable(err)
	}
	return f, nil
}

func unreadable(err error) error {
	if _, ok := orchestrator.AsError(err); ok {
		return err
	}
	return orchestrator.Errorf(orchestrator.Unavailable, "id", "the backup cannot be read now: %v", err)
}

func objectOf(o s3.Object) *orchestrator.BackupObject {
	return &orchestrator.BackupObject{Bucket: o.Bucket, Key: o.Key, ContentType: o.ContentType, ETag: o.ETag, ModifiedAt: o.Modified, Bytes: o.Bytes}
}
