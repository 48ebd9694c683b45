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
// one that does not costs nobody but itself. All methods are safe for concurrent use, and none waits but Close.
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
	over     bool      // a close frame is queued or was written, or the connection is lost: nothing is added
	settling chan struct{}

	out     []byte // what try writes
	written int
	try     func(fd uintptr) bool
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

// opened says that the handshake is done: from now on everything is written in order, by the wire.
func (w *wire) opened() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open = true
}

// isOpen says whether there is a client yet.
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

// say takes one frame whatever the state of the client: those are few, answers to its own messages.
func (w *wire) say(op byte, body []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return
	}
	w.over = op == opClose
	w.queue = append(w.queue, message{body: body, op: op})
	w.size += len(body)
	w.pump()
}

// alive puts off the time at which a silent client is given up.
func (w *wire) alive(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.over {
		_ = w.SetReadDeadline(time.Now().Add(d))
	}
}

// behind says whether the client has not taken all that was written, and gives a channel that is closed when it has.
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
		return
	}
	buf := buffers.Get().(*[]byte)
	for len(w.queue) > 0 {
		*buf = w.fill((*buf)[:0])
		if n := w.tryWrite(*buf); n < len(*buf) {
			w.begun = begunEnd(*buf, 0, n) - n
			w.rest = append([]byte(nil), (*buf)[n:]...)
			w.busy = true
			go w.flush()
			break
		}
	}
	recycle(buf)
}

func recycle(buf *[]byte) {
	if cap(*buf) <= keptSize {
		buffers.Put(buf)
	}
}

// fill moves messages from the queue to b, until that is enough for one write. w.mu is held.
func (w *wire) fill(b []byte) []byte {
	i := 0
	for ; i < len(w.queue) && len(b) < writeSize; i++ {
		m := &w.queue[i]
		w.size -= len(m.body)
		switch {
		case m.sub == nil:
			b = append(appendHeader(b, m.op, len(m.body)), m.body...)
		case !m.sub.muted.Load(): // its client has not completed it meanwhile
			b = appendHeader(b, m.op, len(m.sub.prefix)+len(m.body)+1)
			b = append(append(append(b, m.sub.prefix...), m.body...), '}')
		}
		*m = message{}
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
	buf := buffers.Get().(*[]byte)
	defer recycle(buf)
	for {
		w.mu.Lock()
		begun := w.begun
		*buf = w.fill(append((*buf)[:0], w.rest...))
		w.rest, w.begun = nil, 0
		if len(*buf) == 0 {
			_ = w.Conn.SetWriteDeadline(time.Time{})
			w.settled()
			w.mu.Unlock()
			return
		}
		w.mu.Unlock()
		_ = w.Conn.SetWriteDeadline(time.Now().Add(w.opts.WriteTimeout))
		if n, err := w.Conn.Write(*buf); err != nil {
			w.fail(*buf, begun, n, err)
			return
		}
	}
}

// settled says that flush has ended. w.mu is held.
func (w *wire) settled() {
	w.busy = false
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
	w.over, w.queue, w.size = true, nil, 0
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
