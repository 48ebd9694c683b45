package repo

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// proxy passes connections on to a server, until it is told to hang or to cut them.
type proxy struct {
	address string
	sent    atomic.Int64 // bytes to the server
	limit   atomic.Int64 // of sent, after which fail is called once
	fail    func()

	mu      sync.Mutex
	open    map[net.Conn]bool
	hanging chan struct{} // closed to go on
	refuse  bool
}

func startProxy(t *testing.T, to string) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	p := &proxy{address: l.Addr().String(), open: map[net.Conn]bool{}}
	p.limit.Store(1 << 60)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { p.serve(c, to, &all) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.resume()
		p.cut(true)
		all.Wait()
	})
	return p
}

func (p *proxy) serve(c net.Conn, to string, all *sync.WaitGroup) {
	defer c.Close()
	s, err := (&net.Dialer{}).Dial("tcp", to)
	if err != nil {
		return
	}
	defer s.Close()
	p.mu.Lock()
	if p.refuse {
		p.mu.Unlock()
		return
	}
	p.open[c], p.open[s] = true, true
	p.mu.Unlock()
	all.Go(func() { p.pass(c, s, nil); _ = c.Close() })
	p.pass(s, c, &p.sent)
	p.mu.Lock()
	delete(p.open, c)
	delete(p.open, s)
	p.mu.Unlock()
}

func (p *proxy) pass(to io.Writer, from io.Reader, count *atomic.Int64) {
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if count != nil && count.Add(int64(n)) > p.limit.Load() {
			p.limit.Store(1 << 60)
			p.fail()
		}
		p.mu.Lock()
		hanging := p.hanging
		p.mu.Unlock()
		if hanging != nil {
			<-hanging
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (p *proxy) hang() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hanging = make(chan struct{})
}

func (p *proxy) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hanging != nil {
		close(p.hanging)
	}
	p.hanging, p.refuse = nil, false
}

// cut closes all connections, and new ones if refuse is set.
func (p *proxy) cut(refuse bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = refuse
	for c := range p.open {
		_ = c.Close()
	}
}

// failAfter calls fail once when n more bytes were sent to the server.
func (p *proxy) failAfter(n int64, fail func()) {
	p.fail = fail
	p.limit.Store(p.sent.Load() + n)
}

// A server that hangs or dies in the middle of a save, or of a verification, ends it with an error within the timeout. The
// repository is sound afterwards.
func TestStorageFails(t *testing.T) {
	s := startS3(t)
	p := startProxy(t, s.address)
	l := s.location()
	l.S3.Endpoint = "http://" + p.address
	o := options(t, l)
	o.Timeout = 2 * time.Second
	r := created(t, o)
	before := saved(t, r, nil, part("data", fileItem("f", random(8<<20))))
	const much = 15 * time.Second // more than the timeout, and less than the 19 s of kopia's own storage
	fails := func(name string, want Problem, do func(ctx context.Context) error) {
		t.Helper()
		ctx, cancel := context.WithTimeoutCause(t.Context(), much, errors.New("it took too long"))
		defer cancel()
		err := do(ctx)
		if l, ok := errors.AsType[*LocationError](err); !ok || l.Problem != want {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
		p.resume()
	}
	save := func(ctx context.Context) error {
		_, err := r.Save(ctx, nil, nil, part("data", fileItem("f", random(64<<20))))
		return err
	}
	p.failAfter(30<<20, p.hang)
	fails("hang in a save", Silent, save)
	p.failAfter(30<<20, func() { p.cut(true) })
	fails("death in a save", Unreachable, save)
	p.failAfter(0, p.hang)
	fails("hang in a verification", Silent, func(ctx context.Context) error { return r.Verify(ctx, before.ID, nil) })
	p.failAfter(0, func() { p.cut(true) })
	fails("death in a verification", Unreachable, func(ctx context.Context) error { return r.Verify(ctx, before.ID, nil) })
	p.failAfter(0, p.hang)
	fails("hang of an object", Silent, func(ctx context.Context) error { return r.Put(ctx, "wal/1", []byte("x")) })
	p.failAfter(0, p.hang)
	fails("hang of maintenance", Silent, func(ctx context.Context) error { _, err := r.Maintain(ctx, true); return err })
	p.failAfter(1<<20, func() { p.cut(false) })
	after := saved(t, r, nil, part("data", fileItem("f", random(40<<20)))) // one cut is overcome
	must(t, r.Verify(t.Context(), before.ID, nil), r.Verify(t.Context(), after.ID, nil))
	if all, err := r.Snapshots(t.Context(), nil); err != nil || len(all) != 2 {
		t.Errorf("%v %v", all, err)
	}
}

// A save ends soon after its context, and leaves no snapshot.
func TestSaveCanceled(t *testing.T) {
	onEach(t, func(t *testing.T, at place) {
		r := created(t, options(t, at.Location))
		ctx, cancel := context.WithCancelCause(t.Context())
		reason := errors.New("the reason")
		_, err := r.Save(ctx, nil, func(n int64) {
			if n > 4<<20 {
				cancel(reason)
			}
		}, part("data", fileItem("f", random(64<<20))))
		if !errors.Is(err, reason) {
			t.Errorf("%v", err)
		}
		broken := errors.New("the engine is gone")
		_, err = r.Save(t.Context(), nil, nil, part("whole", fileItem("f", "x")), Part{Dir: "half", Write: func(ctx context.Context, w io.Writer) error {
			_ = part("", fileItem("f", "x")).Write(ctx, w)
			return broken
		}})
		if !errors.Is(err, broken) {
			t.Errorf("%v", err)
		}
		if all, err := r.Snapshots(t.Context(), nil); err != nil || len(all) != 0 {
			t.Errorf("%v %v", all, err)
		}
	})
}

// A save ends when the storage fails for good, and does not read the rest of a large file first.
func TestSaveEndsEarly(t *testing.T) {
	r := created(t, options(t, Location{Folder: t.TempDir()}))
	r.st.store = noPacks{r.st.store}
	const most = 1 << 30
	var read int64
	_, err := r.Save(t.Context(), nil, func(n int64) { read = n }, Part{Write: func(_ context.Context, w io.Writer) error {
		a := tar.NewWriter(w)
		if err := a.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "f", Size: 10 * most}); err != nil {
			return err
		}
		_, err := io.CopyN(a, rand.NewChaCha8([32]byte{}), most)
		return err
	}})
	if l, ok := errors.AsType[*LocationError](err); !ok || l.Problem != Full || read > most/2 {
		t.Errorf("%v after %d bytes", err, read)
	}
}

// noPacks is a store that has no room for packs.
type noPacks struct{ store }

func (s noPacks) put(ctx context.Context, name string, data []byte, via func(io.Reader) io.Reader) error {
	if name[0] == 'p' {
		return &LocationError{Problem: Full, Text: "it is full"}
	}
	return s.store.put(ctx, name, data, via)
}
