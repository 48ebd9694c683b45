package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/ent/auditcheckpoint"
)

// maxGaps is the maximum number of gaps in the log that a report lists.
const maxGaps = 20

// AuditArchive is an archive of the audit log.
type AuditArchive struct {
	Path        string
	First, Last int64 // ids of its first and last line
}

// AuditReport is the result of [Store.VerifyAudit].
type AuditReport struct {
	Archives []AuditArchive // oldest first, including missing ones
	Archived int            // number of lines in archives
	Kept     int            // number of lines in the log
	Chain    string         // hash of the newest checkpoint; empty if nothing was archived
	Problems []string       // missing or changed lines and archives, as text for users
	Notes    []string       // oddities that are not problems
}

func (r *AuditReport) problem(format string, args ...any) {
	r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
}

// AuditArchives returns the archives of the audit log, oldest first.
func (s *Store) AuditArchives(ctx context.Context) ([]AuditArchive, error) {
	checkpoints, err := s.Read.AuditCheckpoint.Query().Order(ent.Asc(auditcheckpoint.FieldID)).All(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the archives of the audit log: %w", err)
	}
	return s.archivesOf(checkpoints), nil
}

func (s *Store) archivesOf(checkpoints []*ent.AuditCheckpoint) []AuditArchive {
	all := make([]AuditArchive, len(checkpoints))
	for i, c := range checkpoints {
		all[i] = AuditArchive{filepath.Join(s.archives(), filepath.Base(c.File)), c.FirstID, c.LastID}
	}
	return all
}

// AuditArchived returns the id of the newest archived line, or 0 if none was archived.
func (s *Store) AuditArchived(ctx context.Context) (int64, error) {
	c, err := s.Read.AuditCheckpoint.Query().Order(ent.Desc(auditcheckpoint.FieldID)).First(ctx)
	switch {
	case ent.IsNotFound(err):
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("read the checkpoints of the audit log: %w", err)
	}
	return c.LastID, nil
}

// VerifyAudit checks that every line ever written to the audit log is in the log or in an archive, and that neither
// archives nor checkpoints were changed. It writes nothing.
func (s *Store) VerifyAudit(ctx context.Context) (*AuditReport, error) {
	report, checkpoints, err := s.verifyRows(ctx)
	if err != nil {
		return nil, fmt.Errorf("verify the audit log: %w", err)
	}
	listed := map[string]bool{}
	for i, a := range report.Archives {
		listed[filepath.Base(a.Path)] = true
		if err := report.verifyArchive(a, checkpoints[i]); err != nil {
			return nil, fmt.Errorf("verify the audit log: %w", err)
		}
	}
	entries, err := os.ReadDir(s.archives())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("verify the audit log: %w", err)
	}
	for _, e := range entries {
		if !listed[e.Name()] {
			report.Notes = append(report.Notes, fmt.Sprintf("%s belongs to no checkpoint: archiving is in progress or was interrupted, or the file belongs to another copy of the store", filepath.Join(s.archives(), e.Name())))
		}
	}
	return report, nil
}

// verifyRows checks the checkpoints and the log, in one transaction.
func (s *Store) verifyRows(ctx context.Context) (_ *AuditReport, _ []*ent.AuditCheckpoint, err error) {
	tx, err := s.Read.Tx(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, tx.Rollback()) }()
	checkpoints, err := tx.AuditCheckpoint.Query().Order(ent.Asc(auditcheckpoint.FieldID)).All(ctx)
	if err != nil {
		return nil, nil, err
	}
	r := &AuditReport{Archives: s.archivesOf(checkpoints)}
	last := r.verifyChain(checkpoints)
	if r.Kept, err = tx.Audit.Query().Count(ctx); err != nil {
		return nil, nil, err
	}
	return r, checkpoints, r.verifyLog(ctx, tx, last)
}

// verifyChain checks that each checkpoint follows from the one before, and returns the id of the last archived line.
func (r *AuditReport) verifyChain(checkpoints []*ent.AuditCheckpoint) (last int64) {
	for i, c := range checkpoints {
		switch {
		case c.Hash != checkpointHash(c):
			r.problem("The checkpoint of lines %d to %d was changed.", c.FirstID, c.LastID)
		case c.Previous != r.Chain && i == 0:
			r.problem("The checkpoint of lines %d to %d does not begin the chain: those before it were removed.", c.FirstID, c.LastID)
		case c.Previous != r.Chain:
			r.problem("The checkpoint of lines %d to %d does not follow from the one before it: a checkpoint was removed or changed.", c.FirstID, c.LastID)
		}
		r.missing(last, c.FirstID)
		r.Chain, last = c.Hash, c.LastID
		r.Archived += c.Count
	}
	return last
}

// missing reports a gap between two lines that should be consecutive.
func (r *AuditReport) missing(before, after int64) {
	if after > before+1 {
		r.problem("Lines %d to %d are missing: they are neither in the log nor in an archive.", before+1, after-1)
	}
}

// auditGaps selects the lines whose predecessor is missing. It treats the next id as a line too.
const auditGaps = `SELECT prev, id FROM (
	SELECT id, lag(id, 1, ?) OVER (ORDER BY id) AS prev FROM (
		SELECT id FROM audits UNION ALL SELECT seq + 1 FROM sqlite_sequence WHERE name = 'audits')
	) WHERE id <> prev + 1 ORDER BY id LIMIT ?`

// verifyLog checks that the log contains every line after last and none up to it.
func (r *AuditReport) verifyLog(ctx context.Context, tx *ent.Tx, last int64) (err error) {
	rows, err := tx.QueryContext(ctx, auditGaps, last, maxGaps)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var before, after int64
		if err := rows.Scan(&before, &after); err != nil {
			return err
		}
		if after <= before {
			r.problem("Line %d is in the log, though lines up to %d were archived.", after, before)
		}
		r.missing(before, after)
	}
	return rows.Err()
}

func (r *AuditReport) verifyArchive(a AuditArchive, c *ent.AuditCheckpoint) error {
	sum, err := fileSum(a.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.problem("The archive %s, with lines %d to %d, is missing. Put it back, if it was moved.", a.Path, a.First, a.Last)
		return nil
	case err != nil:
		return err
	case sum != c.Sha256:
		r.problem("The archive %s, with lines %d to %d, was changed since it was written.", a.Path, a.First, a.Last)
	}
	return nil
}
