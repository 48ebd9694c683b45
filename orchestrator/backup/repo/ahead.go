package repo

import (
	"bytes"
	"context"
	"errors"
	"sync"

	"github.com/kopia/kopia/repo/blob"
)

const (
	windowSize = 1 << 20 // of a pack; files that are saved one after the other are in it together
	windows    = 16
	smallRead  = windowSize / 4
)

// readAhead is a storage that reads packs by the window, of which it keeps the last ones in memory. Without it, each small
// file is a request of its own. Packs never change.
type readAhead struct {
	*storage
	mu     sync.Mutex
	recent []*window // the last one used at the end
}

type window struct {
	pack  blob.ID
	start int64
	once  sync.Once
	data  []byte
	err   error
}

func (r *readAhead) GetBlob(ctx context.Context, id blob.ID, off, n int64, out blob.OutputBuffer) error {
	if n <= 0 || n > smallRead || off < 0 || (id[0] != 'p' && id[0] != 'q') || off/windowSize != (off+n-1)/windowSize {
		return r.storage.GetBlob(ctx, id, off, n, out)
	}
	w := r.window(id, off/windowSize*windowSize)
	w.once.Do(func() {
		var b bytes.Buffer
		w.err = r.get(ctx, string(id), w.start, windowSize, &b, b.Reset)
		w.data = b.Bytes()
	})
	if w.err != nil {
		r.forget(w)
		if ctx.Err() == nil && errors.Is(w.err, context.Canceled) {
			return r.storage.GetBlob(ctx, id, off, n, out) // another one who wanted it has given up
		}
		return notFound(id, w.err)
	}
	out.Reset()
	from := min(off-w.start, int64(len(w.data)))
	to := min(from+n, int64(len(w.data)))
	if _, err := out.Write(w.data[from:to]); err != nil {
		return err
	}
	return blobLength(out.Length(), n)
}

func (r *readAhead) window(pack blob.ID, start int64) *window {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, w := range r.recent {
		if w.pack == pack && w.start == start {
			copy(r.recent[i:], r.recent[i+1:])
			r.recent[len(r.recent)-1] = w
			return w
		}
	}
	w := &window{pack: pack, start: start}
	if len(r.recent) == windows {
		copy(r.recent, r.recent[1:])
		r.recent = r.recent[:windows-1]
	}
	r.recent = append(r.recent, w)
	return w
}

func (r *readAhead) forget(gone *window) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, w := range r.recent {
		if w == gone {
			r.recent = append(r.recent[:i], r.recent[i+1:]...)
			return
		}
	}
}
