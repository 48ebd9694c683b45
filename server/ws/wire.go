package ws

import (
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	writeSize = 64 << 10  // bytes gathered into one write, approximately
	keptSize  = 256 << 10 // a larger buffer is not kept for the next write
)

var buffers = sync.Pool{New: func() any { return new(make([]byte, 0, 4<<10)) }}

// message is what one client is sent: text of its own, or shared bytes between a prefix and a suffix of its own.
type message struct {
	sub  *subscription // nil: body is the whole content of the frame
	body []byte        // immutable
	op   byte
}

// wire is the outgoing side of a connection. The goroutine that has a message writes it at once, without waiting. Only
// what the kernel does not accept is left to a goroutine that waits. So a fast client needs neither a goroutine nor a
// buffer, and a slow client does not slow down others. All methods are safe for concurrent use. None of them waits,
// except Close and end.
type wire struct {
	net.Conn                 // for reading, and as gorilla's connection
	raw      syscall.RawConn // nil: cannot write without waiting
	opts     *Options

	mu       sync.Mutex
	open     bool      // the handshake is done
	queue    []message // in order
	size     int       // bytes of the queue's bodies
	rest     []byte    // data to write that the kernel did not accept
	begun    int       // bytes at the beginning of rest that complete a frame
	busy     bool      // a goroutine writes rest and then the queue
	flushing sync.WaitGroup
	over     bool // a close frame is queued or written, or the connection is lost: nothing is added
	settling chan struct{}
	own      int           // frames in the queue that say added
	answered chan struct{} // closed when own is 0 again
	writing  int           // bytes of flush's buffer
	waiting  int           // bytes that subscriptions hold until the client takes more
	caller   string        // caller that the held bytes count for
	held     int           // bytes of the budget
	ended    bool          // closed for holding too much
	gone     func()        // called when the connection is lost

	out     []byte // what try writes
	written int
	try     func(fd uintptr) bool
}

// weigh accounts for what is held because the client is slow. If its caller, or all callers together, make the server
// hold too much, a wire that holds more than a small message is closed. Its client can reconnect and resume with its
// cursor. w.mu must be held.
func (w *wire) weigh() {
	now := 0
	if w.busy {
		now = len(w.rest) + w.size + w.writing + w.waiting
	}
	if now == w.held {
		return
	}
	within := w.opts.Memory.Unsent.Add(w.caller, now-w.held)
	w.held = now
	if !within && now > smallMessage && !w.ended {
		w.ended = true
		w.opts.Metrics.TooSlow()
		_ = w.Close() // flush then fails and releases everything
		w.gone()
	}
}

// belongs sets the caller that held bytes count for.
func (w *wire) belongs(caller string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.opts.Memory.Unsent.Add(w.caller, -w.held)
	w.caller = caller
	w.opts.Memory.Unsent.Add(w.caller, w.held)
}

// begin starts to use conn.
func (w *wire) begin(conn net.Conn, opts *Options) {
	w.Conn, w.opts = conn, opts
	if c, ok := conn.(syscall.Conn); ok {
		if raw, err := c.SyscallConn(); err == nil {
			w.raw, w.try = raw, w.tryFD
		}
	}
}

// opened marks the end of the handshake: from now on the wire writes everything in order. It calls gone when it gives
// the connection up.
func (w *wire) opened(gone func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open, w.gone = true, gone
}

// isOpen reports whether the handshake is done.
func (w *wire) isOpen() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.open
}

// offer queues messages of one subscription, all or none. It returns false if the client is too far behind.
func (w *wire) offer(sub *subscription, bodies [][]byte) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return true // the client has gone
	}
	if w.busy && w.size >= w.opts.MaxQueued {
		return false
	}
	for _, body := range bodies {
		w.queue = append(w.queue, message{sub: sub, body: body, op: opText})
		w.size += len(body)
	}
	w.pump()
	return true
}

// say queues one frame even if the client is slow. These are pings, and answers to the client's messages, of which no
// more are read meanwhile (see unanswered).
func (w *wire) say(op byte, body []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return
	}
	w.over = op == opClose
	w.queue = append(w.queue, message{body: body, op: op})
	w.size += len(body)
	w.own++
	w.pump()
}

// unanswered returns a channel that is closed when the kernel has accepted all frames of say, or the connection has
// ended. It returns nil if that is already so.
func (w *wire) unanswered() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.own == 0 {
		return nil
	}
	if w.answered == nil {
		w.answered = make(chan struct{})
	}
	return w.answered
}

// nothingOwn marks that no frame of say is in the queue. w.mu must be held.
func (w *wire) nothingOwn() {
	w.own = 0
	if w.answered != nil {
		close(w.answered)
		w.answered = nil
	}
}

// wait adds to the bytes that are held for the client elsewhere.
func (w *wire) wait(bytes int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting += bytes
	w.weigh()
}

// alive postpones the time at which a silent client is disconnected.
func (w *wire) alive(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.over {
		_ = w.SetReadDeadline(time.Now().Add(d))
	}
}

// behind reports whether the client has not taken all that was written. It also returns a channel that is closed when
// it has.
func (w *wire) behind() (bool, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.busy || w.over {
		return false, nil
	}
	if w.settling == nil {
		w.settling = make(chan struct{})
	}
	return true, w.settling
}

// pump writes as much of the queue as the kernel accepts. w.mu must be held.
func (w *wire) pump() {
	if w.busy {
		w.weigh()
		return
	}
	buf := buffers.Get().(*[]byte)
	for len(w.queue) > 0 {
		*buf = w.fill((*buf)[:0])
		if n := w.tryWrite(*buf); n < len(*buf) {
			w.begun = begunEnd(*buf, 0, n) - n
			w.rest = append([]byte(nil), (*buf)[n:]...)
			w.busy = true
			w.flushing.Go(w.flush)
			break
		}
	}
	recycle(buf)
	w.weigh()
}

func recycle(buf *[]byte) {
	if cap(*buf) <= keptSize {
		buffers.Put(buf)
	}
}

// fill moves messages from the queue to b, up to the size of one write. w.mu must be held.
func (w *wire) fill(b []byte) []byte {
	i := 0
	own := w.own
	for ; i < len(w.queue) && len(b) < writeSize; i++ {
		m := &w.queue[i]
		w.size -= len(m.body)
		switch {
		case m.sub == nil:
			own--
			b = append(appendHeader(b, m.op, len(m.body)), m.body...)
		case !m.sub.muted.Load(): // the client has not completed it meanwhile
			b = appendHeader(b, m.op, len(m.sub.prefix)+len(m.body)+1)
			b = append(append(append(b, m.sub.prefix...), m.body...), '}')
		}
		*m = message{}
	}
	if w.own = own; own == 0 {
		w.nothingOwn()
	}
	if i == len(w.queue) {
		w.queue = w.queue[:0]
	} else {
		w.queue = w.queue[i:]
	}
	if cap(w.queue) > 64 && len(w.queue) == 0 {
		w.queue = nil
	}
	return b
}

// end closes the connection, drops the queue, and waits until the writing goroutine has ended. Nothing is added
// afterwards.
func (w *wire) end() {
	_ = w.Close()
	w.mu.Lock()
	w.drop()
	w.mu.Unlock()
	w.flushing.Wait()
}

// drop empties the queue for good. w.mu must be held.
func (w *wire) drop() {
	w.over, w.queue, w.size = true, nil, 0
	w.nothingOwn()
}

// tryWrite writes without waiting and returns the number of bytes that the kernel accepted. w.mu must be held.
func (w *wire) tryWrite(b []byte) int {
	if w.raw == nil {
		return 0
	}
	w.out, w.written = b, 0
	_ = w.raw.Write(w.try) // flush will get the same error and handles it
	w.out = nil
	return w.written
}

func (w *wire) tryFD(fd uintptr) bool {
	for w.written < len(w.out) {
		n, err := syscall.Write(int(fd), w.out[w.written:])
		if n > 0 {
			w.written += n
		}
		if err != nil && !errors.Is(err, syscall.EINTR) || n == 0 && err == nil {
			break
		}
	}
	return true // do not wait, whatever the result
}

// flush writes what the kernel did not accept, and waits until everything is written or the client has been too slow.
func (w *wire) flush() {
	var buf []byte // not from the pool: its buffers may be much larger than what this client may hold
	for {
		w.mu.Lock()
		begun := w.begun
		buf = w.fill(append(buf[:0], w.rest...))
		w.rest, w.begun, w.writing = nil, 0, cap(buf)
		if len(buf) == 0 {
			_ = w.Conn.SetWriteDeadline(time.Time{})
			w.settled()
			w.mu.Unlock()
			return
		}
		w.weigh()
		w.mu.Unlock()
		_ = w.Conn.SetWriteDeadline(time.Now().Add(w.opts.WriteTimeout))
		if n, err := w.Conn.Write(buf); err != nil {
			w.fail(buf, begun, n, err)
			return
		}
	}
}

// settled marks the end of flush. w.mu must be held.
func (w *wire) settled() {
	w.busy, w.writing = false, 0
	w.weigh()
	if w.settling != nil {
		close(w.settling)
		w.settling = nil
	}
}

// fail ends a connection that did not accept b, of which n bytes were written. A client that was too slow is asked to
// reconnect, with a close frame that it must take within the same time.
func (w *wire) fail(b []byte, begun, n int, err error) {
	w.mu.Lock()
	wasOver := w.over
	w.drop()
	w.settled()
	w.mu.Unlock()
	if errors.Is(err, os.ErrDeadlineExceeded) && !wasOver {
		w.opts.Metrics.TooSlow()
		last := append([]byte(nil), b[n:begunEnd(b, begun, n)]...)
		goodbye := closeBody(closeServiceRestart, "too slow to read the messages; reconnect, and resume with since")
		last = append(appendHeader(last, opClose, len(goodbye)), goodbye...)
		_ = w.Conn.SetWriteDeadline(time.Now().Add(w.opts.WriteTimeout))
		if _, err := w.Conn.Write(last); err == nil {
			_ = w.SetReadDeadline(time.Now().Add(w.opts.Linger))
			return
		}
	}
	_ = w.Close()
	w.gone()
}

// Write is called by gorilla with its own frames: the answer to the handshake, and close frames after violations of RFC
// 6455. Each comes in one piece.
func (w *wire) Write(b []byte) (int, error) {
	if !w.isOpen() {
		return w.Conn.Write(b)
	}
	w.say(b[0]&0xf, append([]byte(nil), b[2:]...))
	return len(b), nil
}

// SetWriteDeadline ignores gorilla's deadlines once the wire has its own.
func (w *wire) SetWriteDeadline(t time.Time) error {
	if w.isOpen() {
		return nil
	}
	return w.Conn.SetWriteDeadline(t)
}
