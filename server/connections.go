package server

import (
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// maxConnections is the largest default of Options.MaxConnections.
const maxConnections = 60_000

// minConnections is the smallest valid Options.MaxConnections.
const minConnections = 16

// possibleConnections returns three quarters of the process's limit of file descriptors.
func possibleConnections() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return maxConnections
	}
	return int(max(min(limit.Cur, math.MaxInt32)/4*3, minConnections))
}

func defaultConnections() int { return min(possibleConnections(), maxConnections) }

// ValidateConnections returns an error unless n is a valid Options.MaxConnections. Zero means the default.
func ValidateConnections(n int) error {
	switch most := possibleConnections(); {
	case n == 0:
		return nil
	case n < minConnections:
		return fmt.Errorf("max-connections must be at least %d, not %d", minConnections, n)
	case n > most:
		return fmt.Errorf("max-connections must be at most %d, not %d: three quarters of the descriptors that uws may open here; raise their limit "+
			"(LimitNOFILE of the systemd unit, or ulimit -n) or choose fewer", most, n)
	}
	return nil
}

// connections is a listener that keeps at most limit connections open, including WebSockets. If one more arrives, the
// address with most connections loses one: the oldest without a request, else its newest. So no address can lock out
// others. It is safe for concurrent use.
type connections struct {
	net.Listener
	limit  int
	closed func() // counts closed connections

	mu   sync.Mutex
	open map[*connection]struct{}
	by   map[netip.Prefix]int
}

// connection is a connection that connections accepted.
type connection struct {
	net.Conn
	of      *connections
	address netip.Prefix
	since   time.Time
	idle    bool // has no request; guarded by of.mu
	once    sync.Once
}

func newConnections(l net.Listener, limit int, closed func()) *connections {
	return &connections{Listener: l, limit: limit, closed: closed, open: map[*connection]struct{}{}, by: map[netip.Prefix]int{}}
}

// Accept implements [net.Listener].
func (s *connections) Accept() (net.Conn, error) {
	for {
		conn, err := s.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &connection{Conn: conn, of: s, address: networkOf(conn.RemoteAddr()), since: time.Now(), idle: true}
		victim := s.add(c)
		if victim != nil {
			s.closed()
			_ = victim.Close()
		}
		if victim != c {
			return c, nil
		}
	}
}

// add registers c and returns the connection to close for it: c itself, another one, or nil.
func (s *connections) add(c *connection) (victim *connection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[c] = struct{}{}
	s.by[c.address]++
	if len(s.open) <= s.limit {
		return nil
	}
	most := c.address
	for address, n := range s.by {
		if n > s.by[most] {
			most = address
		}
	}
	victim = c
	for other := range s.open {
		if other != c && (other.address == most || s.by[most] == 1) && (victim == c || other.before(victim)) {
			victim = other
		}
	}
	if most == c.address && !victim.idle {
		return c
	}
	return victim
}

// before reports whether c is closed before other, a connection of the same address: the oldest without a request, else
// the newest.
func (c *connection) before(other *connection) bool {
	if c.idle != other.idle {
		return c.idle
	}
	return c.since.Before(other.since) == c.idle
}

// note is the [http.Server.ConnState] of the server.
func (s *connections) note(conn net.Conn, state http.ConnState) {
	if over, ok := conn.(*tls.Conn); ok {
		conn = over.NetConn()
	}
	if c, ok := conn.(*connection); ok {
		s.mu.Lock()
		defer s.mu.Unlock()
		c.idle = state == http.StateNew || state == http.StateIdle
	}
}

// Close implements [net.Conn].
func (c *connection) Close() error {
	c.once.Do(func() {
		c.of.mu.Lock()
		defer c.of.mu.Unlock()
		delete(c.of.open, c)
		if c.of.by[c.address]--; c.of.by[c.address] == 0 {
			delete(c.of.by, c.address)
		}
	})
	return c.Conn.Close()
}

// SyscallConn implements [syscall.Conn].
func (c *connection) SyscallConn() (syscall.RawConn, error) {
	if conn, ok := c.Conn.(syscall.Conn); ok {
		return conn.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// networkOf returns what counts as one address: an IPv4 address, an IPv6 /64, which is what one customer gets, or all
// of loopback.
func networkOf(a net.Addr) netip.Prefix {
	at, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Prefix{}
	}
	address := at.Addr().Unmap().WithZone("")
	bits := 32
	switch {
	case address.Is6():
		bits = 64
	case address.IsLoopback():
		bits = 8
	}
	network, _ := address.Prefix(bits)
	return network
}
