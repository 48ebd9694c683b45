package postgres

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pglogrepl"

	"github.com/unicorn-web-services/uws/orchestrator/backup/method"
)

// Details are the [method.Saved.Details] of a base backup.
type Details struct {
	Major            int       `json:"major"`
	Version          string    `json:"version"`
	SystemIdentifier string    `json:"systemIdentifier"`
	Timeline         int       `json:"timeline"`
	StartLSN         string    `json:"startLSN"`
	StopLSN          string    `json:"stopLSN"`
	StartedAt        time.Time `json:"startedAt"` // by the server's clock
	StoppedAt        time.Time `json:"stoppedAt"` // by the server's clock, at StopLSN or later
	SegmentBytes     uint64    `json:"segmentBytes"`
	Canary           *Canary   `json:"canary,omitempty"` // a row that the backup has
}

// TablespacesError is returned for a server with tablespaces.
type TablespacesError struct{ Names []string }

func (e *TablespacesError) Error() string {
	return fmt.Sprintf("the server has tablespaces (%.200s), which are outside its data and cannot be backed up; move what they hold to pg_default and drop them",
		strings.Join(e.Names, ", "))
}

// Save writes a base backup, with the log that makes it consistent as of its end, as entries relative to PGDATA. The
// server verifies the checksums of pages, and Save those of the server's manifest. Tablespaces are refused. Beside a row
// in uws's own database, see [Method.Canary], it writes nothing.
func (m Method) Save(ctx context.Context, from method.Instance, w io.Writer, progress func(int64)) (method.Saved, error) {
	before, details, err := m.survey(ctx, from)
	if err != nil {
		return method.Saved{}, err
	}
	first, err := m.Canary(ctx, from)
	if err != nil {
		return method.Saved{}, err
	}
	stop, last, err := m.baseBackup(ctx, from, w, &details, progress)
	if err != nil {
		return method.Saved{}, fmt.Errorf("base backup: %w", err)
	}
	if details.Canary = first; last != nil && last.lsn() <= stop {
		details.Canary = last
	}
	after, now, err := m.survey(ctx, from)
	if err != nil {
		return method.Saved{}, fmt.Errorf("after the base backup: %w", err)
	}
	details.StoppedAt = now.StartedAt
	text, err := json.Marshal(details)
	return method.Saved{Contents: contents(before, after), Details: text}, err
}

// Size estimates the bytes of a base backup.
func (m Method) Size(ctx context.Context, from method.Instance) (int64, error) {
	s, err := m.sql(ctx, from)
	if err != nil {
		return 0, err
	}
	defer s.close()
	row, err := s.row(ctx, 1, `SELECT sum(pg_catalog.pg_database_size(oid))::bigint FROM pg_catalog.pg_database`)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(row[0], 10, 64)
}

// baseBackup writes the archive. It returns where the backup ends, and a canary that was written while it ran.
func (m Method) baseBackup(ctx context.Context, from method.Instance, w io.Writer, details *Details, progress func(int64)) (pglogrepl.LSN, *Canary, error) {
	s, err := m.connect(ctx, from, "", nil)
	if err != nil {
		return 0, nil, err
	}
	defer s.close()
	system, err := pglogrepl.IdentifySystem(ctx, s.conn)
	if err != nil {
		return 0, nil, refusal(ctx, err)
	}
	st, start, err := s.open(ctx, details.Major, m.silence())
	if err != nil {
		return 0, nil, err
	}
	canary, err := m.Canary(ctx, from)
	if err != nil {
		return 0, nil, err
	}
	c := copier{in: tar.NewReader(st), out: tar.NewWriter(w), progress: progress, files: map[string]file{}, buffer: make([]byte, 256<<10)}
	if err := c.run(); err != nil {
		return 0, nil, err
	}
	if err := st.next(); err != nil {
		return 0, nil, err
	}
	if err := verify(st, c.files); err != nil {
		return 0, nil, err
	}
	stop, err := st.finish()
	if err != nil {
		return 0, nil, err
	}
	details.SystemIdentifier, details.Timeline = system.SystemID, start.timeline
	details.StartLSN, details.StopLSN = start.lsn.String(), stop.lsn.String()
	if err := hasLog(c.log, start, stop, details.SegmentBytes); err != nil {
		return 0, nil, err
	}
	return stop.lsn, canary, c.out.Close()
}

// copier copies the entries of the server's archive, and notes their checksums.
type copier struct {
	in       *tar.Reader
	out      *tar.Writer
	progress func(int64)
	read     int64
	files    map[string]file
	log      map[string]bool // names of segments
	buffer   []byte
}

func (c *copier) run() error {
	c.log = map[string]bool{}
	label := false
	for {
		header, err := c.in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("reading the server's archive: %w", err)
		}
		name := path.Clean(header.Name)
		if !filepath.IsLocal(name) {
			return fmt.Errorf("the server's archive has an entry with the name %.200q", header.Name)
		}
		if err := c.entry(header, name); err != nil {
			return fmt.Errorf("%.200q: %w", name, err)
		}
		label = label || name == labelFile
		if path.Dir(name) == path.Clean(logFolder) {
			c.log[path.Base(name)] = true
		}
	}
	if !label {
		return errors.New("the server's archive has no backup_label")
	}
	return nil
}

func (c *copier) entry(from *tar.Header, name string) error {
	to := &tar.Header{Name: name, Mode: from.Mode & 0o777, ModTime: from.ModTime, Typeflag: from.Typeflag, Format: tar.FormatPAX}
	switch from.Typeflag {
	case tar.TypeDir:
		if name == "." {
			return nil
		}
		to.Name += "/"
		return c.out.WriteHeader(to)
	case tar.TypeReg:
	default:
		return fmt.Errorf("is an entry of type %q, and not a file; tablespaces cannot be backed up", from.Typeflag)
	}
	to.Size = from.Size
	if err := c.out.WriteHeader(to); err != nil {
		return err
	}
	sum := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	for {
		n, err := c.in.Read(c.buffer)
		if _, werr := c.out.Write(c.buffer[:n]); werr != nil {
			return werr
		}
		_, _ = sum.Write(c.buffer[:n]) // never fails
		if c.read += int64(n); n > 0 && c.progress != nil {
			c.progress(c.read)
		}
		if errors.Is(err, io.EOF) {
			c.files[name] = file{from.Size, sum.Sum32()}
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the server's archive: %w", err)
		}
	}
}

// hasLog returns an error unless the segments from start to stop are there.
func hasLog(names map[string]bool, start, stop position, segment uint64) error {
	if stop.timeline != start.timeline || stop.lsn < start.lsn {
		return fmt.Errorf("the backup began at %s on timeline %d and ended at %s on timeline %d", start.lsn, start.timeline, stop.lsn, stop.timeline)
	}
	for at := uint64(start.lsn) / segment; at <= (uint64(stop.lsn)-1)/segment; at++ {
		if name := segmentName(start.timeline, at, segment); !names[name] {
			return fmt.Errorf("the server did not send %s%s, without which the backup is not consistent", logFolder, name)
		}
	}
	return nil
}

// segmentName returns the name of the file that holds a segment of the log.
func segmentName(timeline int, number, segment uint64) string {
	perID := uint64(1<<32) / segment
	return fmt.Sprintf("%08X%08X%08X", timeline, number/perID, number%perID)
}
