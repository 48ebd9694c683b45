package repo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/kopia/kopia/repo/blob"
)

// storageType is the name of our storage in the configuration files that kopia wants to read.
const storageType = "uws"

// Kopia opens a repository by the name of a storage type in a file, and has no other way than this table of its own for a
// storage that is not one of its own. The storage itself comes with the context, so that no credentials are in the file.
func init() {
	blob.AddSupportedStorage(storageType, struct{}{}, func(ctx context.Context, _ *struct{}, _ bool) (blob.Storage, error) {
		st, ok := ctx.Value(storageKey{}).(blob.Storage)
		if !ok {
			return nil, errors.New("the context has no storage")
		}
		return st, nil
	})
}

type (
	storageKey struct{}
	brokenKey  struct{}
	tallyKey   struct{}
)

// withStorage returns a context with which kopia opens st.
func withStorage(ctx context.Context, st blob.Storage) context.Context {
	return context.WithValue(ctx, storageKey{}, st)
}

// withBroken returns a context that is canceled when an object cannot be put with it. Kopia would go on, keep the objects in
// memory, and try each of them again with every further one.
func withBroken(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	return context.WithValue(ctx, brokenKey{}, cancel), cancel
}

// tally counts what is freed by calls with a context.
type tally struct {
	sizes map[string]int64 // of what there was before
	freed atomic.Int64
}

func withTally(ctx context.Context, t *tally) context.Context {
	return context.WithValue(ctx, tallyKey{}, t)
}

// replaced counts an object that now has this many bytes.
func replaced(ctx context.Context, name string, bytes int) {
	if t, ok := ctx.Value(tallyKey{}).(*tally); ok {
		t.freed.Add(t.sizes[name] - int64(bytes))
	}
}

// storage is kopia's view of a store.
type storage struct {
	blob.DefaultProviderImplementation
	*guarded
}

func (s *storage) GetBlob(ctx context.Context, id blob.ID, off, n int64, out blob.OutputBuffer) error {
	if off < 0 {
		return blob.ErrInvalidRange
	}
	err := s.get(ctx, string(id), off, n, out, out.Reset)
	if err != nil {
		return notFound(id, err)
	}
	return blobLength(out.Length(), n)
}

// blobLength returns an error if an object is shorter than what was asked for.
func blobLength(got int, n int64) error {
	if n >= 0 && int64(got) != n {
		return fmt.Errorf("%w: %d bytes, expected %d", blob.ErrInvalidRange, got, n)
	}
	return nil
}

// notFound returns kopia's error for what does not exist, or not as far.
func notFound(id blob.ID, err error) error {
	switch {
	case isNotFound(err):
		return fmt.Errorf("object %s: %w", id, blob.ErrBlobNotFound)
	case errors.Is(err, errShort):
		return fmt.Errorf("object %s: %w", id, blob.ErrInvalidRange)
	}
	return err
}

func (s *storage) GetMetadata(ctx context.Context, id blob.ID) (blob.Metadata, error) {
	info, err := s.stat(ctx, string(id))
	if err != nil {
		return blob.Metadata{}, notFound(id, err)
	}
	return blob.Metadata{BlobID: id, Length: info.Size, Timestamp: info.At}, nil
}

func (s *storage) PutBlob(ctx context.Context, id blob.ID, data blob.Bytes, opts blob.PutOptions) error {
	switch {
	case opts.HasRetentionOptions(), opts.DoNotRecreate:
		return blob.ErrUnsupportedPutBlobOption
	case !opts.SetModTime.IsZero():
		return blob.ErrSetTimeUnsupported
	}
	var own bytes.Buffer // kopia uses its buffer again after an error, when a transfer may still read it
	own.Grow(data.Length())
	if _, err := data.WriteTo(&own); err != nil {
		return err
	}
	if err := s.put(ctx, string(id), own.Bytes()); err != nil {
		if cancel, ok := ctx.Value(brokenKey{}).(context.CancelCauseFunc); ok {
			cancel(err)
		}
		return err
	}
	replaced(ctx, string(id), own.Len())
	if opts.GetModTime == nil {
		return nil
	}
	info, err := s.stat(ctx, string(id))
	if err != nil {
		return err
	}
	*opts.GetModTime = info.At
	return nil
}

func (s *storage) DeleteBlob(ctx context.Context, id blob.ID) error {
	err := s.remove(ctx, string(id))
	if err == nil {
		replaced(ctx, string(id), 0)
	}
	return err
}

func (s *storage) ListBlobs(ctx context.Context, prefix blob.ID, f func(blob.Metadata) error) error {
	return s.list(ctx, string(prefix), func(o ObjectInfo) error {
		if ours(o.Name) {
			return nil
		}
		return f(blob.Metadata{BlobID: blob.ID(o.Name), Length: o.Size, Timestamp: o.At})
	})
}

func (s *storage) ConnectionInfo() blob.ConnectionInfo {
	return blob.ConnectionInfo{Type: storageType, Config: &struct{}{}}
}

func (s *storage) DisplayName() string { return s.where() }

// FlushCaches does nothing: there are none.
func (s *storage) FlushCaches(context.Context) error { return nil }

// Close does nothing: the store is closed by its owner, since several views of it can be open.
func (s *storage) Close(context.Context) error { return nil }
