package ws

import (
	"io"
	"net"
	"testing"
	"testing/synctest"

	"github.com/unicorn-web-services/uws/server/budget"
)

// stuck is a connection whose writes return only after release, even if it was closed before.
type stuck struct {
	net.Conn
	release chan struct{}
}

func (s stuck) Write([]byte) (int, error) {
	<-s.release
	return 0, net.ErrClosed
}

// end returns only after the goroutine that writes for a slow client has ended. No other one is started.
func TestEndWaitsForWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer there.Close()
		release := make(chan struct{})
		w := newWire(stuck{here, release})
		w.say(opText, []byte("{}"))
		ended := make(chan struct{})
		go func() {
			w.end()
			close(ended)
		}()
		synctest.Wait()
		select {
		case <-ended:
			t.Error("end returned while a goroutine was writing")
		default:
		}
		close(release)
		<-ended
		w.say(opText, []byte("{}"))
		if w.offer(&subscription{}, [][]byte{[]byte("{}")}); w.busy || len(w.queue) > 0 {
			t.Error("a message was taken after the end")
		}
	})
}

func newWire(conn net.Conn) *wire {
	opts := &Options{Memory: budget.NewMemory(budget.Default)}
	opts.SetDefaults()
	w := &wire{}
	w.begin(conn, opts)
	w.opened(func() {})
	return w
}

// BenchmarkOffer sends messages to a client that keeps up.
func BenchmarkOffer(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	server, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	w := newWire(server)
	taken := make(chan struct{})
	go func() {
		defer close(taken)
		_, _ = io.Copy(io.Discard, client)
	}()
	sub, bodies := &subscription{prefix: nextPrefix("1")}, [][]byte{make([]byte, 300)}
	b.ReportAllocs()
	for b.Loop() {
		for !w.offer(sub, bodies) {
			if behind, settled := w.behind(); behind {
				<-settled
			}
		}
	}
	w.end()
	<-taken
}
