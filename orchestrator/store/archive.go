package store

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/ent/audit"
	"github.com/unicorn-web-services/uws/ent/auditcheckpoint"
	"github.com/unicorn-web-services/uws/internal/clean"
	"github.com/unicorn-web-services/uws/internal/fault"
	"github.com/unicorn-web-services/uws/internal/fsync"
)

const (
	archiveFolder  = "audit"
	archiveVersion = 1
	archiveNew     = ".new" // suffix of an archive that is being written

	archiveLines = 20_000 // maximum lines per archive, so that deleting them blocks other writes for less than a second
	archiveBatch = 500    // lines per query

	archiveLeaves = 16 << 20 // free space in bytes that an archive must leave on the disk
)

// AuditArchiving says which lines of the audit log to archive, and how.
type AuditArchiving struct {
	Before time.Time            // archive the lines that precede the first line at or after this time
	Now    time.Time            // present time
	Line   func(*ent.Audit) any // returns the value that is written as JSON for a line
}

// archiveHeader is the first line of an archive.
type archiveHeader struct {
	Archive      string `json:"archive"`
	Version      int    `json:"version"`
	Installation string `json:"installation"`
	First        int64  `json:"firstId"`
	Last         int64  `json:"lastId"`
	Previous     string `json:"previousCheckpoint"` // hash of the previous checkpoint; empty for the first archive
}

// archiveFooter is the last line of an archive.
type archiveFooter struct {
	Count  int    `json:"archivedLines"`
	SHA256 string `json:"sha256"` // of all lines before this one
}

// prefix is a range of the oldest lines.
type prefix struct {
	first, last int64
	previous    string // hash of the newest checkpoint
}

func (p prefix) name() string { return fmt.Sprintf("%d-%d.jsonl", p.first, p.last) }

// ArchiveAudit moves the oldest lines of the audit log into archives: files in the folder "audit" of the data folder.
// It returns the number of lines moved and the hash of the newest checkpoint. The newest line always stays in the log.
// Lines are deleted once their archive is on disk, in one transaction with a checkpoint. The checkpoint holds the hash
// of the archive and that of the previous checkpoint. After a crash or an error, each line is in the log or in an
// archive, and the next call completes the work.
//
// It is safe for concurrent use. It fails for a store opened with [Options.Shared].
func (s *Store) ArchiveAudit(ctx context.Context, what AuditArchiving) (archived int, chain string, err error) {
	if s.lock == nil {
		return 0, "", errors.New("archive the audit log: only the uws that serves the data folder can do this")
	}
	s.archiving.Lock()
	defer s.archiving.Unlock()
	for {
		p, err := s.auditPrefix(ctx, what.Before)
		n := 0
		if err == nil && p.first > 0 {
			n, err = s.archive(ctx, p, what)
		}
		if err != nil {
			return archived, p.previous, fmt.Errorf("archive the audit log: %w", err)
		}
		if archived += n; n == 0 {
			return archived, p.previous, nil
		}
	}
}

// auditPrefix returns the lines for the next archive. If there are none, first is 0.
func (s *Store) auditPrefix(ctx context.Context, before time.Time) (p prefix, err error) {
	checkpoint, err := s.Read.AuditCheckpoint.Query().Order(ent.Desc(auditcheckpoint.FieldID)).First(ctx)
	switch {
	case err == nil:
		p.previous = checkpoint.Hash
	case !ent.IsNotFound(err):
		return prefix{}, err
	}
	lines := s.Read.Audit.Query
	first, err := lines().Order(ent.Asc(audit.FieldID)).FirstID(ctx)
	if ent.IsNotFound(err) {
		return p, nil
	}
	if err != nil {
		return prefix{}, err
	}
	stays, err := lines().Order(ent.Desc(audit.FieldID)).FirstID(ctx) // the newest line stays
	if err != nil {
		return prefix{}, err
	}
	young, err := lines().Where(audit.AtGTE(before.UTC())).Order(ent.Asc(audit.FieldID)).FirstID(ctx)
	switch {
	case err == nil:
		stays = min(stays, young)
	case !ent.IsNotFound(err):
		return prefix{}, err
	}
	if stays == first {
		return p, nil
	}
	ids, err := lines().Where(audit.IDLT(stays)).Order(ent.Asc(audit.FieldID)).Limit(archiveLines).IDs(ctx)
	if err != nil {
		return prefix{}, err
	}
	p.first, p.last = first, ids[len(ids)-1]
	return s.begun(p)
}

// begun returns the part of p that is in an archive without a checkpoint, which a crash left behind, or p if there is
// no such archive. It deletes incomplete files.
func (s *Store) begun(p prefix) (prefix, error) {
	entries, err := os.ReadDir(s.archives())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return prefix{}, err
	}
	for _, e := range entries {
		if filepath.Ext(e.Name()) == archiveNew {
			if err := os.Remove(filepath.Join(s.archives(), e.Name())); err != nil {
				return prefix{}, err
			}
			continue
		}
		part := prefix{previous: p.previous}
		if n, _ := fmt.Sscanf(e.Name(), "%d-%d.jsonl", &part.first, &part.last); n == 2 && part.name() == e.Name() && part.first == p.first && part.last < p.last && part.last >= part.first {
			p = part
		}
	}
	return p, nil
}

// Dir returns the data folder, as an absolute path.
func (s *Store) Dir() string { return s.dir }

func (s *Store) archives() string { return filepath.Join(s.dir, archiveFolder) }

// archive writes the archive of p and deletes its lines from the log.
func (s *Store) archive(ctx context.Context, p prefix, what AuditArchiving) (count int, err error) {
	count, sum, err := s.writeArchive(ctx, p, what.Line)
	if err != nil {
		return 0, fmt.Errorf("write %s: %w", filepath.Join(s.archives(), p.name()), err)
	}
	fault.Point("audit-archived")
	tx, err := s.Write.Tx(ctx)
	if err != nil {
		return 0, err
	}
	if err := deletePrefix(ctx, tx, p, count, sum, what.Now); err != nil {
		return 0, errors.Join(err, tx.Rollback())
	}
	fault.Point("audit-deleted")
	if err := tx.Commit(); err != nil {
		return 0, err
	}
	fault.Point("audit-committed")
	return count, nil
}

// writeArchive writes the archive of p, and returns its number of lines and its SHA-256. The same lines always give the
// same archive.
func (s *Store) writeArchive(ctx context.Context, p prefix, line func(*ent.Audit) any) (count int, sum string, err error) {
	dir := s.archives()
	switch err := os.Mkdir(dir, 0o700); {
	case err == nil:
		if err := fsync.Path(s.dir); err != nil {
			return 0, "", err
		}
	case !errors.Is(err, fs.ErrExist):
		return 0, "", err
	}
	path := filepath.Join(dir, p.name())
	f, err := os.OpenFile(path+archiveNew, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, "", err
	}
	whole := sha256.New()
	count, err = s.writeLines(ctx, io.MultiWriter(f, whole), p, line)
	sum = hex.EncodeToString(whole.Sum(nil))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return 0, "", errors.Join(err, os.Remove(path+archiveNew))
	}
	fault.Point("audit-written")
	if err := setAside(path, sum); err != nil {
		return 0, "", errors.Join(err, os.Remove(path+archiveNew))
	}
	if err := os.Rename(path+archiveNew, path); err != nil {
		return 0, "", errors.Join(err, os.Remove(path+archiveNew))
	}
	return count, sum, fsync.Path(dir)
}

func (s *Store) writeLines(ctx context.Context, w io.Writer, p prefix, line func(*ent.Audit) any) (count int, err error) {
	buffer, sum := bufio.NewWriter(w), sha256.New()
	lines := json.NewEncoder(clean.JSONWriter{W: io.MultiWriter(buffer, sum)})
	if err := lines.Encode(archiveHeader{"audit log of uws", archiveVersion, s.Installation, p.first, p.last, p.previous}); err != nil {
		return 0, err
	}
	for after := p.first - 1; ; {
		if err := leavesRoom(s.dir); err != nil {
			return 0, err
		}
		rows, err := s.Read.Audit.Query().Where(audit.IDGT(after), audit.IDLTE(p.last)).Order(ent.Asc(audit.FieldID)).Limit(archiveBatch).All(ctx)
		if err != nil {
			return 0, err
		}
		for _, r := range rows {
			if err := lines.Encode(line(r)); err != nil {
				return 0, err
			}
			after = r.ID
			count++
		}
		if err := buffer.Flush(); err != nil {
			return 0, err
		}
		fault.Point("audit-begun")
		if len(rows) < archiveBatch {
			break
		}
	}
	if err := lines.Encode(archiveFooter{count, hex.EncodeToString(sum.Sum(nil))}); err != nil {
		return 0, err
	}
	return count, buffer.Flush()
}

// leavesRoom returns an error if an archive would use up the free space that other writes need.
func leavesRoom(dir string) error {
	var disk unix.Statfs_t
	if err := unix.Statfs(dir, &disk); err != nil {
		return err
	}
	if free := int64(disk.Bavail) * disk.Bsize; free < archiveLeaves { //nolint:gosec // fits
		return fmt.Errorf("only %d MiB of the disk are free, and an archive must leave %d MiB: %w", free>>20, archiveLeaves>>20, unix.ENOSPC)
	}
	return nil
}

// setAside renames a file that has the name of the archive to be written but other content. This happens after a store
// is restored from an older copy: archives of lines that are still in its log exist.
func setAside(path, sum string) error {
	other, err := fileSum(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && other == sum {
		return nil
	}
	if err != nil {
		return err
	}
	return os.Rename(path, path+".other-"+other[:16])
}

func fileSum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	_, err = io.Copy(sum, f)
	return hex.EncodeToString(sum.Sum(nil)), errors.Join(err, f.Close())
}

// deletePrefix creates the checkpoint for p and deletes its lines.
func deletePrefix(ctx context.Context, tx *ent.Tx, p prefix, count int, sum string, now time.Time) error {
	signedIn, err := tx.Audit.Query().Where(audit.IDLTE(p.last), audit.Action("signIn"), audit.Result("OK")).Exist(ctx)
	if err != nil {
		return err
	}
	c := &ent.AuditCheckpoint{
		At: now.UTC().Truncate(time.Second), FirstID: p.first, LastID: p.last, Count: count, File: p.name(), Sha256: sum, SignedIn: signedIn, Previous: p.previous,
	}
	err = tx.AuditCheckpoint.Create().SetAt(c.At).SetFirstID(c.FirstID).SetLastID(c.LastID).SetCount(c.Count).SetFile(c.File).SetSha256(c.Sha256).
		SetSignedIn(c.SignedIn).SetPrevious(c.Previous).SetHash(checkpointHash(c)).Exec(ctx)
	if err != nil {
		return err
	}
	fault.Point("audit-checkpointed")
	n, err := tx.Audit.Delete().Where(audit.IDLTE(p.last)).Exec(ctx)
	if err == nil && n != count {
		err = fmt.Errorf("lines %d to %d are %d in the archive and %d in the log", p.first, p.last, count, n)
	}
	return err
}

// checkpointHash computes the hash of a checkpoint.
func checkpointHash(c *ent.AuditCheckpoint) string {
	h := sha256.New()
	for _, field := range []any{c.At.UTC().Format(time.RFC3339), c.FirstID, c.LastID, c.Count, c.File, c.Sha256, c.SignedIn, c.Previous} {
		fmt.Fprintf(h, "%q\n", fmt.Sprint(field))
	}
	return hex.EncodeToString(h.Sum(nil))
}
