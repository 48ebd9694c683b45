package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	query      = `subscription{serviceHealthChanged{cursor id name kind phase health reason restarts}}`
	deliveries = 200_000 // of a measurement, about
	burst      = 32      // events at once
	ticksPerS  = 100     // of /proc's clock
)

// result of one measurement.
type result struct {
	rate, cpu, p50, p99, memory, mallocs, burst float64
}

var figures = []func(*result) *float64{
	func(r *result) *float64 { return &r.rate }, func(r *result) *float64 { return &r.cpu },
	func(r *result) *float64 { return &r.p50 }, func(r *result) *float64 { return &r.p99 },
	func(r *result) *float64 { return &r.memory }, func(r *result) *float64 { return &r.mallocs },
	func(r *result) *float64 { return &r.burst },
}

// crowd is all subscribers of one server.
type crowd struct {
	conns []net.Conn
	got   atomic.Int64
	want  atomic.Int64
	all   chan struct{}
	fired atomic.Int64 // nanoseconds

	mu   sync.Mutex
	late []time.Duration
}

func measure(ctx context.Context, kind string, n int) (r result, err error) {
	p, err := startPeer(ctx, kind)
	if err != nil {
		return r, err
	}
	defer p.stop()
	_, _ = p.do("gc")
	before := p.resident()
	c := &crowd{all: make(chan struct{}, 1)}
	defer c.close()
	if err := c.connect(ctx, p.address, n); err != nil {
		return r, err
	}
	for range 3 { // warm up, and make sure that everyone has joined
		if err := c.fire(p, 1); err != nil {
			return r, err
		}
	}
	_, _ = p.do("gc")
	r.memory = float64(p.resident()-before) / float64(n) / 1024

	rounds := min(max(deliveries/n, 5), 100)
	c.late = make([]time.Duration, 0, rounds*n)
	mallocs, cpu, began := p.mallocs(), p.cpu(), time.Now()
	for range rounds {
		if err := c.fire(p, 1); err != nil {
			return r, err
		}
	}
	took, total := time.Since(began), float64(rounds*n)
	r.cpu = (p.cpu() - cpu).Seconds() * 1e6 / total
	r.mallocs = float64(p.mallocs()-mallocs) / total
	r.rate = total / took.Seconds()
	slices.Sort(c.late)
	r.p50 = ms(c.late[len(c.late)/2])
	r.p99 = ms(c.late[len(c.late)*99/100])

	cpu = p.cpu()
	rounds = min(max(deliveries/n/burst, 1), 10)
	for range rounds {
		if err := c.fire(p, burst); err != nil {
			return r, err
		}
	}
	r.burst = (p.cpu() - cpu).Seconds() * 1e6 / float64(rounds*n*burst)
	return r, nil
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// fire has the server send events to all, and returns when all have them.
func (c *crowd) fire(p *peer, events int) error {
	c.want.Add(int64(len(c.conns) * events))
	c.fired.Store(time.Now().UnixNano())
	if _, err := p.do("fire " + strconv.Itoa(events)); err != nil {
		return err
	}
	select {
	case <-c.all:
		return nil
	case <-time.After(2 * time.Minute):
		return fmt.Errorf("%d of %d messages came", c.got.Load(), c.want.Load())
	}
}

// connect has n clients subscribe, each with an id of its own, and read.
func (c *crowd) connect(ctx context.Context, address string, n int) error {
	var wg sync.WaitGroup
	slots := make(chan struct{}, 64)
	var mu sync.Mutex
	var errs []error
	for i := range n {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			conn, in, err := subscribe(ctx, address, fmt.Sprintf("subscription-%d", i))
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, err)
				return
			}
			c.conns = append(c.conns, conn)
			go c.read(in)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (c *crowd) close() {
	for _, conn := range c.conns {
		_ = conn.Close()
	}
}

// subscribe speaks the protocol with as little as possible. The answer to a ping after subscribe says that it was taken.
func subscribe(ctx context.Context, address, id string) (net.Conn, *bufio.Reader, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, nil, err
	}
	fmt.Fprintf(conn, "GET /graphql HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n", address)
	in := bufio.NewReaderSize(conn, 1024)
	response, err := http.ReadResponse(in, nil) //nolint:bodyclose // an upgrade has none
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		return nil, nil, fmt.Errorf("no upgrade: %w", err)
	}
	_, err = conn.Write(masked(`{"type":"connection_init"}`))
	ack, readErr := frame(in)
	if err = errors.Join(err, readErr); err != nil || !strings.Contains(ack, "connection_ack") {
		return nil, nil, fmt.Errorf("no ack but %q: %w", ack, err)
	}
	_, err = conn.Write(append(masked(fmt.Sprintf(`{"id":%q,"type":"subscribe","payload":{"query":%q}}`, id, query)), masked(`{"type":"ping"}`)...))
	pong, readErr := frame(in)
	if err = errors.Join(err, readErr); err != nil || !strings.Contains(pong, "pong") {
		return nil, nil, fmt.Errorf("no pong but %q: %w", pong, err)
	}
	return conn, in, nil
}

// masked is a client's frame, with a mask of zeros.
func masked(text string) []byte {
	b := []byte{0x81}
	if len(text) < 126 {
		b = append(b, 0x80|byte(len(text)))
	} else {
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(len(text)))
	}
	return append(append(b, 0, 0, 0, 0), text...)
}

func frameSize(in *bufio.Reader) (int, error) {
	head, err := in.Peek(4)
	if err != nil {
		head, err = in.Peek(2)
	}
	if err != nil {
		return 0, err
	}
	size := int(head[1])
	if size == 126 {
		size = int(binary.BigEndian.Uint16(head[2:]))
		_, err = in.Discard(4)
		return size, err
	}
	_, err = in.Discard(2)
	return size, err
}

func frame(in *bufio.Reader) (string, error) {
	size, err := frameSize(in)
	if err != nil {
		return "", err
	}
	b := make([]byte, size)
	for i := range b {
		if b[i], err = in.ReadByte(); err != nil {
			return "", err
		}
	}
	return string(b), nil
}

// read counts messages until the connection ends.
func (c *crowd) read(in *bufio.Reader) {
	for {
		size, err := frameSize(in)
		if err == nil {
			_, err = in.Discard(size)
		}
		if err != nil {
			return
		}
		late := time.Duration(time.Now().UnixNano() - c.fired.Load())
		c.mu.Lock()
		c.late = append(c.late, late)
		c.mu.Unlock()
		if c.got.Add(1) == c.want.Load() {
			c.all <- struct{}{}
		}
	}
}

// cpu is what the server has used, user and system.
func (p *peer) cpu() time.Duration {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid)) // zero when it is gone
	_, rest, _ := strings.Cut(string(b), ") ")
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return time.Duration(user+system) * time.Second / ticksPerS
}

// resident is the server's memory in bytes.
func (p *peer) resident() int {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid)) // zero when it is gone
	f := strings.Fields(string(b))
	if len(f) < 2 {
		return 0
	}
	pages, _ := strconv.Atoi(f[1])
	return pages * os.Getpagesize()
}

// mallocs is how often the server allocated; zero where it does not know.
func (p *peer) mallocs() int {
	answer, _ := p.do("mallocs")
	n, _ := strconv.Atoi(answer)
	return n
}

// measureChurn connects and disconnects, and compares what the server holds before and after.
func measureChurn(ctx context.Context, times int) error {
	p, err := startPeer(ctx, "uws")
	if err != nil {
		return err
	}
	defer p.stop()
	round := func(n int) error {
		c := &crowd{all: make(chan struct{}, 1)}
		defer c.close()
		if err := c.connect(ctx, p.address, n); err != nil {
			return err
		}
		return c.fire(p, 1)
	}
	const each = 1000
	if err := round(each); err != nil {
		return err
	}
	var first string
	for done := 0; done <= times; done += each {
		if done > 0 {
			if err := round(each); err != nil {
				return err
			}
		}
		if done == 0 || done+each > times {
			if first, err = p.settled(first); err != nil {
				return err
			}
			fmt.Printf("after %6d connections: %s goroutines, %d MB\n", done, first, p.resident()>>20)
		}
	}
	return nil
}

// settled is how many goroutines the server has when that does not change any more, or is want.
func (p *peer) settled(want string) (string, error) {
	last := ""
	for range 100 {
		_, _ = p.do("gc")
		now, err := p.do("goroutines")
		if err != nil || now == want || want == "" && now == last {
			return now, err
		}
		last = now
		<-time.After(100 * time.Millisecond)
	}
	return last, nil
}
