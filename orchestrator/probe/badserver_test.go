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

// badServer is a hand-written server that does one thing to each connection. It is closed, and all it
// started is waited for, when the test ends.
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

// refusing is an address where nobody listens.
func refusing(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// drain reads what the client sends until it is gone.
func drain(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// silent accepts and never answers.
func silent(c net.Conn) { drain(c) }

// resetting reads the beginning of the request, if the client speaks first, and resets.
func resetting(clientFirst bool) func(net.Conn) {
	return func(c net.Conn) {
		if clientFirst {
			_, _ = c.Read(make([]byte, 16))
		}
		_ = c.(*net.TCPConn).SetLinger(0)
	}
}

// closing ends the connection in good order and says nothing.
func closing(c net.Conn) {
	_ = c.(*net.TCPConn).CloseWrite()
	drain(c)
}

// saying writes a text and then ends the connection in good order, or keeps it open.
func saying(text string, keepOpen bool) func(net.Conn) {
	return func(c net.Conn) {
		_, _ = io.WriteString(c, text)
		if !keepOpen {
			_ = c.(*net.TCPConn).CloseWrite()
		}
		drain(c)
	}
}

// endless writes a beginning and then a filling for as long as somebody reads.
func endless(beginning, filling string) func(net.Conn) {
	return func(c net.Conn) {
		_, err := io.WriteString(c, beginning)
		for err == nil {
			_, err = io.WriteString(c, strings.Repeat(filling, 100))
		}
	}
}

// dripping writes a text and then a byte at a time, for as long as somebody is there.
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

// natsServer speaks just enough NATS to reach the answer that a test wants to give.
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
