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
	writeSize = 64 << 10  // bytes gathered into one write, about
	keptSize  = 256 << 10 // a larger buffer is not kept for the next write
)

var buffers = sync.Pool{New: func() any { return new(make([]byte, 0, 4<<10)) }}

// message is what one client is sent: text of its own, or bytes that many share with what is the client's around
// them.
type message struct {
	sub  *subscription // nil: body is the frame's whole content
	body []byte        // never changed
	op   byte
}

// wire is the way out to one client. Whoever has a message writes it at once, without waiting; only what the kernel
// does not take is left to a goroutine that waits. So a client that keeps up costs neither a goroutine nor a buffer, and
// one that does not costs nobody but itself. All methods are safe for concurrent use, and none waits but Close and end.
type wire struct {
	net.Conn                 // for reading, and as gorilla's connection
	raw      syscall.RawConn // nil: there is no writing without waiting
	opts     *Options

	mu       sync.Mutex
	open     bool      // the handshake is done
	queue    []message // in order
	size     int       // bytes of the queue's bodies
	rest     []byte    // was to be written, and the kernel did not take it
	begun    int       // bytes at the beginning of rest that end a frame
	busy     bool      // a goroutine writes rest and then the queue
	flushing sync.WaitGroup
	over     bool // a close frame is queued or was written, or the connection is lost: nothing is added
	settling chan struct{}
	own      int           // frames in the queue that say took
	answered chan struct{} // closed when own is 0 again
	writing  int           // bytes of flush's buffer
	waiting  int           // bytes that subscriptions hold until the client has taken more
	caller   string        // whose held bytes are
	held     int           // of the budget
	ended    bool          // for holding too much
	gone     func()        // is called when the connection is lost

	out     []byte // what try writes
	written int
	try     func(fd uintptr) bool
}

// weigh accounts for what is held because the client is slow. When its caller makes the server hold too much, or all do,
// a wire with more than a small message ends: its client is to connect again, and goes on with its cursor. w.mu is held.
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
		_ = w.Close() // flush fails, and lets go of everything
		w.gone()
	}
}

// belongs names the caller that is accountable from now on.
func (w *wire) belongs(caller string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.opts.Memory.Unsent.Add(w.caller, -w.held)
	w.caller = caller
	w.opts.Memory.Unsent.Add(w.caller, w.held)
}

// begin makes conn the wire's.
func (w *wire) begin(conn net.Conn, opts *Options) {
	w.Conn, w.opts = conn, opts
	if c, ok := conn.(syscall.Conn); ok {
		if raw, err := c.SyscallConn(); err == nil {
			w.raw, w.try = raw, w.tryFD
		}
	}
}

// opened says that the handshake is done: from now on everything is written in order, by the wire. It calls gone when it
// gives the connection up.
func (w *wire) opened(gone func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open, w.gone = true, gone
}

// isOpen reports whether there is a client yet.
func (w *wire) isOpen() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.open
}

// offer takes messages of one subscription, all or none: none when the client is too far behind.
func (w *wire) offer(sub *subscription, bodies [][]byte) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return true // nobody will miss them
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

// say takes one frame whatever the state of the client. Those are answers to its own messages, which are read no
// further meanwhile (see unanswered), and the pings of the server.
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

// unanswered returns a channel that is closed when all frames that say took were handed to the kernel, or the connection
// has ended; nil if that is so now.
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

// nothingOwn says that no frame of say's is in the queue. w.mu is held.
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

// alive puts off the time at which a silent client is given up.
func (w *wire) alive(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.over {
		_ = w.SetReadDeadline(time.Now().Add(d))
	}
}

// behind reports whether the client has not taken all that was written, and gives a channel that is closed when it has.
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

// pump writes the queue as far as the kernel takes it. w.mu is held.
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

// fill moves messages from the queue to b, until that is enough for one write. w.mu is held.
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
		case !m.sub.muted.Load(): // its client has not completed it meanwhile
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

// end closes the connection, drops what is queued, and waits until the goroutine that writes has ended. Nothing is added afterwards.
func (w *wire) end() {
	_ = w.Close()
	w.mu.Lock()
	w.drop()
	w.mu.Unlock()
	w.flushing.Wait()
}

// drop empties the queue, and keeps it empty. w.mu is held.
func (w *wire) drop() {
	w.over, w.queue, w.size = true, nil, 0
	w.nothingOwn()
}

// tryWrite writes without waiting and answers how many bytes the kernel took. w.mu is held.
func (w *wire) tryWrite(b []byte) int {
	if w.raw == nil {
		return 0
	}
	w.out, w.written = b, 0
	_ = w.raw.Write(w.try) // an error shows again in flush, which deals with it
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
	return true // without waiting, whatever came of it
}

// flush writes what the kernel did not take, waiting for it, until all is written or the client has been too slow.
func (w *wire) flush() {
	var buf []byte // not of the pool, whose may be far larger than what the client makes us hold
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

// settled says that flush has ended. w.mu is held.
func (w *wire) settled() {
	w.busy, w.writing = false, 0
	w.weigh()
	if w.settling != nil {
		close(w.settling)
		w.settling = nil
	}
}

// fail ends a connection that did not take b, of which n bytes were written. One that was too slow is told to come
// back, if it takes that within the same time again.
func (w *wire) fail(b []byte, begun, n int, err error) {
	w.mu.Lock()
	wasOver := w.over
	w.drop()
	w.settled()
	w.mu.Unlock()
	if errors.Is(err, os.ErrDeadlineExceeded) && !wasOver {
		w.opts.Metrics.TooSlow()
		last := append([]byte(nil), b[n:begunEnd(b, begun, n)]...)
		goodbye := closeBody(closeServiceRestart, "too slow to take the messages; reconnect, and go on with since")
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

// Write is for gorilla's own frames: the answer to the handshake, and the close frames with which it answers breaches
// of RFC 6455. Each comes in one piece.
func (w *wire) Write(b []byte) (int, error) {
	if !w.isOpen() {
		return w.Conn.Write(b)
	}
	w.say(b[0]&0xf, append([]byte(nil), b[2:]...))
	return len(b), nil
}

// SetWriteDeadline leaves gorilla's deadlines out once the wire has its own.
func (w *wire) SetWriteDeadline(t time.Time) error {
	if w.isOpen() {
		return nil
	}
	return w.Conn.SetWriteDeadline(t)
}
