package probe

import (
	"bufio"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// badServer starts a server that runs serve for each connection. When the test ends, it is closed and its goroutines
// are waited for.
func badServer(t testing.TB, serve func(net.Conn)) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	all.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
			all.Go(func() {
				defer c.Close()
				serve(c)
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		mu.Lock()
		for _, c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	return listener.Addr().String()
}

// refusing returns an address that refuses connections.
func refusing(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// drain reads until the client closes the connection.
func drain(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// silent accepts a connection and never answers.
func silent(c net.Conn) { drain(c) }

// resetting reads the beginning of the request, if the client sends first, and then resets the connection.
func resetting(clientFirst bool) func(net.Conn) {
	return func(c net.Conn) {
		if clientFirst {
			_, _ = c.Read(make([]byte, 16))
		}
		_ = c.(*net.TCPConn).SetLinger(0)
	}
}

// closing closes the connection without an answer.
func closing(c net.Conn) {
	_ = c.(*net.TCPConn).CloseWrite()
	drain(c)
}

// saying writes a text and then closes the connection, or keeps it open.
func saying(text string, keepOpen bool) func(net.Conn) {
	return func(c net.Conn) {
		_, _ = io.WriteString(c, text)
		if !keepOpen {
			_ = c.(*net.TCPConn).CloseWrite()
		}
		drain(c)
	}
}

// endless writes a beginning and then a filling until the client closes the connection.
func endless(beginning, filling string) func(net.Conn) {
	return func(c net.Conn) {
		_, err := io.WriteString(c, beginning)
		for err == nil {
			_, err = io.WriteString(c, strings.Repeat(filling, 100))
		}
	}
}

// dripping writes a text and then one byte at a time until the client closes the connection.
func dripping(text string) func(net.Conn) {
	return func(c net.Conn) {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		_, err := io.WriteString(c, text)
		for err == nil {
			<-tick.C
			_, err = io.WriteString(c, "x")
		}
	}
}

// natsServer implements the part of NATS that leads to the answer that a test needs.
func natsServer(afterConnect, toJetStream string) func(net.Conn) {
	return func(c net.Conn) {
		_, _ = io.WriteString(c, "INFO {\"server_id\":\"x\",\"headers\":true}\r\n")
		lines := bufio.NewScanner(c)
		for lines.Scan() {
			var err error
			switch {
			case lines.Text() == "PING":
				_, err = io.WriteString(c, afterConnect)
			case strings.HasPrefix(lines.Text(), "PUB $JS.API.INFO "):
				_, err = io.WriteString(c, toJetStream)
			}
			if errors.Is(err, net.ErrClosed) {
				return
			}
		}
	}
}
