package repo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	kopiafs "github.com/kopia/kopia/fs"
	kopia "github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/object"
	"github.com/kopia/kopia/snapshot"
	"golang.org/x/sync/errgroup"
)

// Part is a tar stream that is saved below Dir.
type Part struct {
	Dir string // a relative path; empty for the top of the snapshot
	// File saves the stream as it is, in a file of this name, instead of what is in it: its order and all of its records are
	// kept. It is cut where its content says, so that what is inserted does not change the pieces after it.
	File string
	// Write writes the stream. A part is complete if it returns nil.
	Write func(ctx context.Context, w io.Writer) error
}

const (
	dataCompressor     = "s2-default"
	metadataCompressor = "zstd-fastest"

	pieceSize = 1 << 20 // of FIXED-1M
	// streamSplitter cuts a [Part.File].
	streamSplitter = "DYNAMIC-1M-BUZHASH"
	ahead          = 8      // pieces of a file that are stored at once: some wait for the storage
	flushEvery     = 20_000 // files: kopia holds the index of what was not flushed in memory, in a form that is not compact

	sourceDir = "/uws" // kopia groups snapshots by where they come from
	tagPrefix = "tag:" // of labels, as the kopia program writes its tags
)

// session is a save that is running.
type session struct {
	w        kopia.DirectRepositoryWriter
	root     *dir
	links    []link
	extras   *extras
	workers  *errgroup.Group
	buffers  *sync.Pool
	read     int64 // bytes of files read so far
	progress func(int64)
	stats    snapshot.Stats
}

// Save saves the parts, one after the other, as one snapshot: whole or not at all. Progress is called with the number of
// bytes of files read so far; it can be nil. Labels can be searched by [Repository.Snapshots].
//
// Modes, owners, times, symbolic links and extended attributes are kept; hard links become copies, which are stored once.
// Files that are not in the archive twice, and names that stay within it, are the caller's promise; Save fails otherwise.
func (r *Repository) Save(ctx context.Context, labels map[string]string, progress func(bytes int64), parts ...Part) (Snapshot, error) {
	ctx, cancel := withBroken(ctx)
	defer cancel(nil)
	s := &session{root: newDir("backup"), progress: progress, buffers: &sync.Pool{New: func() any { return new([pieceSize]byte) }}}
	if s.progress == nil {
		s.progress = func(int64) {}
	}
	begin := r.o.now()
	r.began(s, begin)
	defer r.ended(s)
	saved, err := r.save(ctx, s, begin, labels, parts)
	if err != nil && ctx.Err() != nil && !errors.Is(err, context.Cause(ctx)) {
		return Snapshot{}, errors.Join(context.Cause(ctx), err)
	}
	return saved, err
}

func (r *Repository) began(s *session, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.saves[s] = at
}

func (r *Repository) ended(s *session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.saves, s)
}

func (r *Repository) save(ctx context.Context, s *session, begin time.Time, labels map[string]string, parts []Part) (saved Snapshot, err error) {
	var stored atomic.Int64
	_, s.w, err = r.direct.NewDirectWriter(ctx, kopia.WriteSessionOptions{Purpose: "save", OnUpload: func(n int64) { stored.Add(n) }})
	if err != nil {
		return Snapshot{}, err
	}
	defer func() { err = errors.Join(err, s.w.Close(context.WithoutCancel(ctx))) }()
	if err := s.readParts(ctx, parts); err != nil {
		return Snapshot{}, err
	}
	if err := s.root.write(ctx, s.w, ""); err != nil {
		return Snapshot{}, err
	}
	if err := s.w.Flush(ctx); err != nil { // so that what is stored newly is known, and in the manifest
		return Snapshot{}, err
	}
	m := &snapshot.Manifest{
		Source:       snapshot.SourceInfo{Host: r.o.owner(), UserName: user, Path: sourceDir},
		StartTime:    kopiafs.UTCTimestampFromTime(begin),
		EndTime:      kopiafs.UTCTimestampFromTime(r.o.now()),
		Stats:        s.stats,
		RootEntry:    &s.root.entry,
		Tags:         tags(labels),
		StorageStats: &snapshot.StorageStats{NewData: snapshot.StorageUsageDetails{PackedContentBytes: stored.Load()}},
	}
	if _, err := snapshot.SaveSnapshot(ctx, s.w, m); err != nil {
		return Snapshot{}, err
	}
	if err := s.w.Flush(ctx); err != nil {
		return Snapshot{}, err
	}
	return toSnapshot(m), nil
}

func tags(labels map[string]string) map[string]string {
	if len(labels) == 0 {
		return nil
	}
	t := make(map[string]string, len(labels))
	for k, v := range labels {
		t[tagPrefix+k] = v
	}
	return t
}

// readParts reads all parts and stores their files.
func (s *session) readParts(ctx context.Context, parts []Part) error {
	s.extras = newExtras(ctx, s.w)
	defer s.extras.close()
	var inner context.Context
	s.workers, inner = errgroup.WithContext(ctx)
	s.workers.SetLimit(runtime.GOMAXPROCS(0))
	var err error
	for _, p := range parts {
		if err = s.readPart(inner, p); err != nil {
			break
		}
	}
	if stored := s.workers.Wait(); stored != nil {
		return stored // the reason why reading ended
	}
	if err != nil {
		return err
	}
	if err := s.resolveLinks(); err != nil {
		return err
	}
	e, err := s.extras.finish()
	if e != nil {
		s.root.files = append(s.root.files, e)
	}
	return err
}

func (s *session) readPart(ctx context.Context, p Part) error {
	at, err := cleanPath(p.Dir)
	if err != nil {
		return fmt.Errorf("part %q: %w", p.Dir, err)
	}
	writing, cancel := context.WithCancel(ctx) // what is read is stored by workers, which go on when this part is read
	r, w := io.Pipe()
	var writer sync.WaitGroup
	defer writer.Wait()
	defer cancel()
	writer.Go(func() { w.CloseWithError(p.Write(writing, w)) })
	end := context.AfterFunc(ctx, func() { r.CloseWithError(context.Cause(ctx)) })
	defer end()
	if p.File != "" {
		err = s.stream(ctx, at, p.File, r)
	} else {
		err = s.readArchive(ctx, at, r)
	}
	if err != nil {
		r.CloseWithError(err)
		return fmt.Errorf("part %q: %w", p.Dir, err)
	}
	return nil
}

// stream stores all of r as one file.
func (s *session) stream(ctx context.Context, at, name string, r io.Reader) error {
	if at != "" && at != "." {
		name = at + "/" + name
	}
	ow := s.w.NewObjectWriter(ctx, object.WriterOptions{Splitter: streamSplitter, Compressor: dataCompressor, MetadataCompressor: metadataCompressor, AsyncWrites: ahead})
	defer ow.Close()
	buf := s.buffers.Get().(*[pieceSize]byte)
	defer s.buffers.Put(buf)
	e := &snapshot.DirEntry{Name: path.Base(name), Type: snapshot.EntryTypeFile, Permissions: 0o600, ModTime: kopiafs.UTCTimestampFromTime(time.Now())}
	for {
		n, err := r.Read(buf[:])
		if _, failed := ow.Write(buf[:n]); failed != nil {
			return failed
		}
		e.FileSize += int64(n)
		s.add(n)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, io.EOF):
			s.stats.TotalFileCount++
			s.stats.TotalFileSize += e.FileSize
			d := s.root.at(path.Dir(name))
			d.files = append(d.files, e)
			e.ObjectID, err = ow.Result()
			return err
		case err != nil:
			return err
		}
	}
}

// file stores the data of a file of e.FileSize bytes: a small one by a worker, a large one with all of them.
func (s *session) file(ctx context.Context, e *snapshot.DirEntry, r io.Reader) error {
	s.stats.TotalFileCount++
	s.stats.TotalFileSize += e.FileSize
	if s.stats.TotalFileCount%flushEvery == 0 {
		if err := s.w.Flush(ctx); err != nil {
			return err
		}
	}
	if e.FileSize > pieceSize {
		id, err := s.large(ctx, r, e.FileSize)
		e.ObjectID = id
		return err
	}
	buf := s.buffers.Get().(*[pieceSize]byte)
	data := buf[:e.FileSize]
	if _, err := io.ReadFull(r, data); err != nil {
		return err
	}
	s.add(len(data))
	s.workers.Go(func() (err error) {
		defer s.buffers.Put(buf)
		e.ObjectID, err = s.small(ctx, data)
		return err
	})
	return ctx.Err()
}

func (s *session) add(n int) {
	s.read += int64(n)
	s.progress(s.read)
}

func (s *session) small(ctx context.Context, data []byte) (object.ID, error) {
	ow := s.w.NewObjectWriter(ctx, object.WriterOptions{Compressor: dataCompressor, MetadataCompressor: metadataCompressor})
	defer ow.Close()
	if _, err := ow.Write(data); err != nil {
		return object.EmptyID, err
	}
	return ow.Result()
}

func (s *session) large(ctx context.Context, r io.Reader, size int64) (object.ID, error) {
	ow := s.w.NewObjectWriter(ctx, object.WriterOptions{
		Compressor: dataCompressor, MetadataCompressor: metadataCompressor, AsyncWrites: ahead,
	})
	defer ow.Close()
	buf := s.buffers.Get().(*[pieceSize]byte)
	defer s.buffers.Put(buf)
	for size > 0 {
		n, err := io.ReadFull(r, buf[:min(size, pieceSize)])
		if err != nil {
			return object.EmptyID, err
		}
		if _, err := ow.Write(buf[:n]); err != nil {
			return object.EmptyID, err
		}
		size -= int64(n)
		s.add(n)
		if ctx.Err() != nil {
			return object.EmptyID, context.Cause(ctx) // the writer returns errors at its end only
		}
	}
	return ow.Result()
}
