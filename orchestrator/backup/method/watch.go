package method

import (
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"
)

// Watched is a connection on which a read or a write fails with [ErrSilent] if nothing is received or sent for too long.
type Watched struct {
	net.Conn
	patience atomic.Int64
	wrote    atomic.Int64 // when, in Unix nanoseconds
}

// Watch returns a connection that is silent for at most patience.
func Watch(conn net.Conn, patience time.Duration) *Watched {
	w := &Watched{Conn: conn}
	w.SetPatience(patience)
	return w
}

// SetPatience changes how long the connection may be silent, from the next read or write on.
func (w *Watched) SetPatience(patience time.Duration) { w.patience.Store(int64(patience)) }

func (w *Watched) Read(b []byte) (int, error) {
	for {
		patience := time.Duration(w.patience.Load())
		if err := w.SetReadDeadline(time.Now().Add(patience)); err != nil {
			return 0, err
		}
		n, err := w.Conn.Read(b)
		if n == 0 && isTimeout(err) && time.Since(time.Unix(0, w.wrote.Load())) < patience {
			continue // the other side waits for the rest of what is written meanwhile
		}
		return n, silent(err, patience)
	}
}

func (w *Watched) Write(b []byte) (int, error) {
	patience := time.Duration(w.patience.Load())
	if err := w.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return 0, err
	}
	n, err := w.Conn.Write(b)
	w.wrote.Store(time.Now().UnixNano())
	return n, silent(err, patience)
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}

func silent(err error, patience time.Duration) error {
	if isTimeout(err) {
		return fmt.Errorf("%w (%s)", ErrSilent, patience)
	}
	return err
}
