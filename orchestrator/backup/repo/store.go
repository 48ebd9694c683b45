package repo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/time/rate"
)

// ErrNotFound means that there is no object, snapshot or file of this name.
var ErrNotFound = errors.New("not found")

// errShort means that an object ends before what was asked for.
var errShort = errors.New("it is shorter than what was stored")

func isNotFound(err error) bool { return errors.Is(err, ErrNotFound) }

func isLocationError(err error) bool {
	var l *LocationError
	return errors.As(err, &l)
}

// store is a flat place for objects, at a folder or in a bucket. An object appears whole or not at all, and is durable
// when put returns. Each call is one attempt and ends soon after ctx. Errors: [ErrNotFound], *[LocationError], retryable.
type store interface {
	// get writes n bytes from the offset off to w, or the whole object if n is negative.
	get(ctx context.Context, name string, off, n int64, w io.Writer) error
	// put stores data. It reads data through via, which counts and slows down.
	put(ctx context.Context, name string, data []byte, via func(io.Reader) io.Reader) error
	stat(ctx context.Context, name string) (ObjectInfo, error)
	// remove is a no-op if there is no such object.
	remove(ctx context.Context, name string) error
	// list calls f for each object whose name begins with prefix, in any order.
	list(ctx context.Context, prefix string, f func(ObjectInfo) error) error
	// top returns the names of some files and folders at the top of the location; folders end with a slash.
	top(ctx context.Context) ([]string, error)
	// sweep removes what a process that died while it put an object left behind before a time.
	sweep(ctx context.Context, before time.Time) error
	// attach says that there is a repository. From then on the store tells one that is gone from an object that is not there.
	attach()
	// where names the store in errors.
	where() string
	close()
}

// retryable is an error that a second attempt may not meet.
type retryable struct{ error }

func (e retryable) Unwrap() error { return e.error }

const (
	defaultTimeout = 30 * time.Second
	attempts       = 5
	firstPause     = 200 * time.Millisecond
	copySize       = 64 << 10
)

// guarded is a store whose calls end when nothing was transferred for the timeout, are repeated if that can help, and are
// slowed down to a rate.
type guarded struct {
	store
	timeout     time.Duration
	read, write *rate.Limiter // nil: unlimited
}

func guard(s store, timeout time.Duration, readRate, writeRate int64) *guarded {
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	return &guarded{store: s, timeout: timeout, read: limiter(readRate), write: limiter(writeRate)}
}

// limiter allows bytesPerSecond in pieces of a quarter of a second.
func limiter(bytesPerSecond int64) *rate.Limiter {
	if bytesPerSecond <= 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(bytesPerSecond), int(max(1, min(bytesPerSecond/4, copySize))))
}

// do calls attempt until it succeeds, fails for good, or makes no progress for the timeout.
func (g *guarded) do(ctx context.Context, attempt func(ctx context.Context, progress func()) error) error {
	silent := &LocationError{Problem: Silent, Text: fmt.Sprintf("%s does not answer: nothing was transferred for %s", g.where(), g.timeout)}
	inner, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(g.timeout, func() { cancel(silent) })
	defer watchdog.Stop()
	progress := func() { watchdog.Reset(g.timeout) }
	pause := firstPause
	var last error // of the attempt before
	for i := 1; ; i++ {
		err := attempt(inner, progress)
		switch {
		case err == nil || isNotFound(err) || errors.Is(err, errShort):
			return err
		case inner.Err() != nil && ctx.Err() == nil && last != nil:
			return asLocationError(ctx, g.where(), last) // the reason says more than that time has passed
		case inner.Err() != nil:
			return context.Cause(inner)
		case i == attempts || !errors.As(err, new(retryable)):
			return asLocationError(ctx, g.where(), err)
		}
		select {
		case <-inner.Done():
			return asLocationError(ctx, g.where(), err)
		case <-time.After(pause):
		}
		last = err
		pause *= 2
	}
}

// get calls reset before each attempt to fill w.
func (g *guarded) get(ctx context.Context, name string, off, n int64, w io.Writer, reset func()) error {
	return g.do(ctx, func(ctx context.Context, progress func()) error {
		reset()
		return g.store.get(ctx, name, off, n, &meter{ctx: ctx, w: w, progress: progress, limit: g.read})
	})
}

// put does not keep data, and data must not change before it returns, but may then.
func (g *guarded) put(ctx context.Context, name string, data []byte) error {
	return g.do(ctx, func(ctx context.Context, progress func()) error {
		return g.store.put(ctx, name, data, func(r io.Reader) io.Reader {
			return &meter{ctx: ctx, r: r, progress: progress, limit: g.write}
		})
	})
}

func (g *guarded) stat(ctx context.Context, name string) (info ObjectInfo, err error) {
	err = g.do(ctx, func(ctx context.Context, _ func()) error {
		info, err = g.store.stat(ctx, name)
		return err
	})
	return info, err
}

func (g *guarded) remove(ctx context.Context, name string) error {
	return g.do(ctx, func(ctx context.Context, _ func()) error { return g.store.remove(ctx, name) })
}

// list calls f twice with the same object if it has to list again after an error. f must be idempotent.
func (g *guarded) list(ctx context.Context, prefix string, f func(ObjectInfo) error) error {
	var refused error
	err := g.do(ctx, func(ctx context.Context, progress func()) error {
		err := g.store.list(ctx, prefix, func(o ObjectInfo) error {
			progress()
			refused = f(o)
			return refused
		})
		if refused != nil {
			return nil // that of f, not of the store
		}
		return err
	})
	return errors.Join(refused, err)
}

func (g *guarded) top(ctx context.Context) (names []string, err error) {
	err = g.do(ctx, func(ctx context.Context, _ func()) error {
		names, err = g.store.top(ctx)
		return err
	})
	return names, err
}

// sweep has no deadline but ctx, since it makes no progress that could be seen.
func (g *guarded) sweep(ctx context.Context, before time.Time) error {
	return asLocationError(ctx, g.where(), g.store.sweep(ctx, before))
}

// meter reports progress and keeps to the limit, for a reader or a writer.
type meter struct {
	ctx      context.Context // of one transfer, which is as long as the meter lives
	r        io.Reader
	w        io.Writer
	progress func()
	limit    *rate.Limiter
}

// piece returns how many of n bytes may be transferred at once.
func (m *meter) piece(n int) int {
	if m.limit != nil {
		n = min(n, m.limit.Burst())
	}
	return min(n, copySize)
}

func (m *meter) transferred(n int) error {
	if n <= 0 {
		return nil
	}
	m.progress()
	if m.limit == nil {
		return m.ctx.Err()
	}
	return m.limit.WaitN(m.ctx, n)
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.r.Read(p[:m.piece(len(p))])
	if slow := m.transferred(n); slow != nil {
		return n, slow
	}
	return n, err
}

func (m *meter) Write(p []byte) (total int, err error) {
	for len(p) > 0 && err == nil {
		var n int
		n, err = m.w.Write(p[:m.piece(len(p))])
		total, p = total+n, p[n:]
		if err == nil {
			err = m.transferred(n)
		}
	}
	return total, err
}
