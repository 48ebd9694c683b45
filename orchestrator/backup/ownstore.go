package backup

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator/backup/repo"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

const (
	labelStore = "uws-store" // its value is the installation
	storeDir   = "store"
	storeFile  = "uws.db"
	storeEvery = 24 * time.Hour
	storesKept = 7
)

// storeDue reports whether the store of uws itself is to be saved in a target. After a failure it is tried again an hour later.
// t.mu is held.
func (t *target) storeDue(now time.Time) bool {
	return now.Sub(t.storeAt).Abs() > storeEvery && now.Sub(t.storeTried).Abs() > time.Hour
}

// saveStore saves the store in a target unless that was done today, and deletes the oldest copies.
func (b *Backups) saveStore(ctx context.Context, t *target) {
	at, err := b.copyStore(ctx, t)
	if err != nil && ctx.Err() == nil {
		b.log.Warn("saving the store of uws in a backup target failed; retrying in an hour", "target", t.id, "error", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.storeProblem = ""; err != nil {
		t.storeProblem = err.Error()
		return
	}
	t.storeAt = at
}

// copyStore saves the store unless the newest copy is less than a day old. It returns when the newest copy was begun.
func (b *Backups) copyStore(ctx context.Context, t *target) (time.Time, error) {
	r, err := b.open(ctx, t.id)
	if err != nil {
		return time.Time{}, err
	}
	if err := b.rediscover(ctx, r, t.id); err != nil {
		return time.Time{}, err
	}
	labels := map[string]string{labelStore: b.Store.Installation}
	all, err := r.Snapshots(ctx, labels)
	if err != nil {
		return time.Time{}, err
	}
	if n := len(all); n > 0 && time.Since(all[n-1].At).Abs() < storeEvery {
		return all[n-1].At, nil
	}
	path := filepath.Join(b.Dir, "store-"+t.id+".db")
	if err := os.RemoveAll(path); err != nil {
		return time.Time{}, err
	}
	defer os.RemoveAll(path)
	if err := b.Store.CopyTo(ctx, path); err != nil {
		return time.Time{}, err
	}
	snap, err := r.Save(ctx, labels, nil, repo.Part{Dir: storeDir, Write: func(_ context.Context, w io.Writer) error { return packStore(path, w) }})
	if err != nil {
		return time.Time{}, err
	}
	b.log.Info("the store of uws was saved", "target", t.id, "bytes", snap.Bytes, "new_bytes", snap.New)
	var old []string
	for _, s := range all[:max(0, len(all)+1-storesKept)] {
		old = append(old, s.ID)
	}
	if len(old) > 0 {
		err = r.Delete(ctx, old...)
	}
	return snap.At, err
}

// packStore writes a copy of the store as an archive.
func packStore(path string, w io.Writer) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	out := tar.NewWriter(w)
	err = out.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: storeFile, Mode: 0o600, Size: info.Size(), ModTime: info.ModTime()})
	if err == nil {
		_, err = io.Copy(out, f)
	}
	return errors.Join(err, out.Close())
}

// FetchStore makes a data folder of the newest copy of a store in a target, by the target's recovery kit, and returns when the copy
// was made. The folder must have no store. The key that the store's secrets are sealed with is not in the target.
func FetchStore(ctx context.Context, kit string, secretKey driver.Secret, dir string) (time.Time, error) {
	scratch, err := os.MkdirTemp("", "uws-restore-store-")
	if err != nil {
		return time.Time{}, err
	}
	defer os.RemoveAll(scratch)
	r, err := openKit(ctx, kit, secretKey, scratch)
	if err != nil {
		return time.Time{}, err
	}
	snap, err := newestStore(ctx, r)
	if err == nil {
		err = store.PutBack(dir, func(f *os.File) error {
			return piped(
				func(w io.Writer) error { return r.Extract(ctx, snap.ID, storeDir, w, nil) }, nil,
				func(in io.Reader) error { return unpackStore(in, f) })
		})
	}
	return snap.At, errors.Join(err, r.Close(ctx))
}

// openKit opens the repository that a recovery kit is of.
func openKit(ctx context.Context, kit string, secretKey driver.Secret, scratch string) (*repo.Repository, error) {
	row, s, err := parseKit(kit)
	if err != nil {
		return nil, err
	}
	key, err := repo.ParseKey(s.Key)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	s.SecretKey = secretKey
	at := placeOf(row, s)
	if err := at.Validate(); err != nil {
		return nil, err
	}
	return repo.Open(ctx, repo.Options{Location: at, Key: key, Scratch: scratch, Owner: "uws restore-store"})
}

// placeOf returns where a target is, if that is no bucket of a service.
func placeOf(row *ent.BackupTarget, s secrets) repo.Location {
	if row.Folder != "" {
		return repo.Location{Folder: row.Folder}
	}
	return repo.Location{S3: &repo.S3{
		Endpoint: row.Endpoint, Region: row.Region, Bucket: row.Bucket, Prefix: row.Prefix, AccessKey: row.AccessKey, SecretKey: s.SecretKey, CA: []byte(s.CA),
	}}
}

// newestStore returns the newest copy of a store.
func newestStore(ctx context.Context, r *repo.Repository) (repo.Snapshot, error) {
	all, err := r.Snapshots(ctx, nil)
	if err != nil {
		return repo.Snapshot{}, err
	}
	all = slices.DeleteFunc(all, func(s repo.Snapshot) bool { return s.Labels[labelStore] == "" })
	if len(all) == 0 {
		return repo.Snapshot{}, errors.New("the target has no copy of a store; the services in it can be restored by any uws: `uws backup import-target`")
	}
	return all[len(all)-1], nil
}

// unpackStore writes the copy in an archive to a file.
func unpackStore(r io.Reader, f *os.File) error {
	in := tar.NewReader(r)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return errors.New("the copy of the store is damaged: it has no " + storeFile)
		}
		if err != nil {
			return err
		}
		if filepath.Base(h.Name) != storeFile {
			continue
		}
		_, err = io.CopyN(f, in, h.Size)
		return err
	}
}
