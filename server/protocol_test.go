package server_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/gorilla/websocket"
)

// rawSocket is a WebSocket on which the test reads and writes every byte.
type rawSocket struct {
	t *testing.T
	net.Conn
	in *bufio.Reader
}

func rawDial(t *testing.T, url string) *rawSocket {
	t.Helper()
	host := strings.TrimPrefix(url, "http://")
	conn, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	fmt.Fprintf(conn, "GET /graphql HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n", host)
	in := bufio.NewReader(conn)
	response, err := http.ReadResponse(in, nil)
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("no upgrade: %v %v", response, err)
	}
	return &rawSocket{t, conn, in}
}

// rawFrame returns one frame of a client, masked with zeros.
func rawFrame(first byte, payload string) []byte {
	b := []byte{first, 0x80 | byte(len(payload)), 0, 0, 0, 0}
	return append(b, payload...)
}

// next reads one frame.
func (s *rawSocket) next() (first byte, payload string) {
	s.t.Helper()
	head := make([]byte, 2)
	if _, err := io.ReadFull(s.in, head); err != nil {
		s.t.Fatalf("waiting for a frame: %v", err)
	}
	size := int(head[1])
	if size == 126 {
		more := make([]byte, 2)
		_, _ = io.ReadFull(s.in, more)
		size = int(binary.BigEndian.Uint16(more))
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(s.in, body); err != nil {
		s.t.Fatalf("waiting for a frame's payload: %v", err)
	}
	return head[0], string(body)
}

// Tests RFC 6455 frame by frame. Each case is what the client writes and what the server must answer: the first byte
// and payload of a frame, or the code of a close frame.
func TestFrames(t *testing.T) {
	const init = `{"type":"connection_init"}`
	code := func(n uint16) string { return string(binary.BigEndian.AppendUint16(nil, n)) }
	tests := map[string]struct {
		write []byte
		want  []string
	}{
		"a message":                       {rawFrame(0x81, init), []string{"\x81" + `{"type":"connection_ack"}`}},
		"a message in two frames":         {append(rawFrame(0x01, init[:9]), rawFrame(0x80, init[9:])...), []string{"\x81" + `{"type":"connection_ack"}`}},
		"a ping between them":             {append(append(rawFrame(0x01, init[:9]), rawFrame(0x89, "hi")...), rawFrame(0x80, init[9:])...), []string{"\x8ahi", "\x81" + `{"type":"connection_ack"}`}},
		"a pong nobody asked for":         {append(rawFrame(0x8a, ""), rawFrame(0x81, init)...), []string{"\x81" + `{"type":"connection_ack"}`}},
		"close is answered with its code": {rawFrame(0x88, code(4999)), []string{"\x88" + code(4999)}},
		"close without a code":            {rawFrame(0x88, ""), []string{"\x88" + code(1000)}},
		"no mask":                         {[]byte{0x81, 0x02, '{', '}'}, []string{"\x88" + code(1002)}},
		"an unknown opcode":               {rawFrame(0x83, ""), []string{"\x88" + code(1002)}},
		"a reserved bit":                  {rawFrame(0xc1, init), []string{"\x88" + code(1002)}},
		"a continuation of nothing":       {rawFrame(0x80, "x"), []string{"\x88" + code(1002)}},
		"a close code of nobody":          {rawFrame(0x88, code(1005)), []string{"\x88" + code(1002)}},
		"a binary message":                {rawFrame(0x82, init), []string{"\x88" + code(4400)}},
		"not UTF-8":                       {rawFrame(0x81, "\xff"), []string{"\x88" + code(4400)}},
	}
	url := serve(t, options(newFake()))
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := rawDial(t, url)
			if _, err := s.Write(tt.write); err != nil {
				t.Fatal(err)
			}
			for _, want := range tt.want {
				first, payload := s.next()
				if got := string(first) + payload; first == 0x88 && payload[:2] != want[1:] || first != 0x88 && got[len(got)-len(payload):] != want[1:] || first != want[0] {
					t.Fatalf("got %#x %q, want %q", first, payload, want)
				}
			}
		})
	}
}

// More violations of graphql-transport-ws, in addition to TestProtocolBreaches.
func TestMoreBreaches(t *testing.T) {
	const init = `{"type":"connection_init"}`
	url := serve(t, options(newFake()))
	for _, bad := range []string{
		`{"type":"complete"}`, `{"type":"complete","id":7}`, `{"type":7}`, `{}`, `null`, `"ping"`,
		`{"type":"ping","payload":[]}`, `{"type":"pong","payload":"x"}`,
		`{"type":"subscribe","id":"x","payload":{"query":"{nodes{id}}","variables":[]}}`,
		`{"type":"subscribe","id":"x","payload":{"query":7}}`, `{"type":"subscribe","id":7,"payload":{"query":"{nodes{id}}"}}`,
		`{"type":"next","id":"x","payload":{}}`, `{"type":"connection_ack"}`,
	} {
		s := dial(t, url)
		s.say(init)
		s.say(bad)
		s.expectClose(4400)
	}
}

// A connection beyond the maximum is refused over HTTP. When another one has closed, it is accepted.
func TestConnectionCap(t *testing.T) {
	opts := options(newFake())
	opts.WebSocket.MaxConnections = 2
	url := serve(t, opts)
	first, _ := connect(t, url), connect(t, url)
	dialer := websocket.Dialer{Subprotocols: []string{"graphql-transport-ws"}}
	_, response, err := dialer.Dial("ws"+strings.TrimPrefix(url, "http")+"/graphql", nil)
	if err == nil || response.StatusCode != http.StatusServiceUnavailable {
		t.Fatalf("got %v", err)
	}
	if a := read(t, response); a.code() != "LIMIT_EXCEEDED" {
		t.Errorf("got %+v", a)
	}
	if err := first.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""), farAway()); err != nil {
		t.Fatal(err)
	}
	first.expectClose(1000)
	until(t, "there is room again", func() bool {
		ws, _, err := dialer.Dial("ws"+strings.TrimPrefix(url, "http")+"/graphql", nil)
		if err == nil {
			_ = ws.Close()
		}
		return err == nil
	})
}

// Thousands of clients connect and disconnect, with and without a close frame, while events are sent. No memory and no
// goroutine is left.
func TestNothingStays(t *testing.T) {
	const workers, each = 8, 125
	api := newFake()
	url := serve(t, options(api))
	before := runtime.NumGoroutine()
	feeding, stop := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(feeding)
		for seq := int64(1); ; seq++ {
			select {
			case api.feed <- serviceEvent(seq, "s1", "BUCKET"):
			case <-api.watching:
			case <-api.unwatch:
			case <-stop:
				return
			}
		}
	}()
	var all sync.WaitGroup
	for worker := range workers {
		all.Go(func() {
			for i := range each {
				comeAndGo(t, url, worker+i)
			}
		})
	}
	all.Wait()
	close(stop)
	<-feeding
	http.DefaultClient.CloseIdleConnections()
	until(t, "all goroutines have ended", func() bool { return runtime.NumGoroutine() <= before })
}

// comeAndGo is the connection of one client. How it ends depends on n.
func comeAndGo(t *testing.T, url string, n int) {
	dialer := websocket.Dialer{Subprotocols: []string{"graphql-transport-ws"}}
	ws, _, err := dialer.Dial("ws"+strings.TrimPrefix(url, "http")+"/graphql", nil)
	if err != nil {
		t.Error(err)
		return
	}
	defer ws.Close()
	if n%5 == 0 {
		return
	}
	_ = ws.WriteMessage(websocket.TextMessage, []byte(`{"type":"connection_init"}`))
	_ = ws.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, `{"id":"x","type":"subscribe","payload":{"query":%q}}`, changesOf(n%3)))
	switch n % 5 {
	case 1:
		_, _, _ = ws.ReadMessage()
	case 2:
		_ = ws.WriteMessage(websocket.TextMessage, []byte(`{"id":"x","type":"complete"}`))
	case 3:
		_ = ws.WriteMessage(websocket.TextMessage, []byte(`nonsense`))
		for err == nil {
			_, _, err = ws.ReadMessage()
		}
	}
}
