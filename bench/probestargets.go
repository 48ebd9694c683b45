package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	firstTargetPort = 10000 // below the ports that uws gives out and those that the kernel does
	lastTargetPort  = 19999
	targetAnswer    = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n"
)

// targets is a set of HTTP servers, each on a port of its own, in a process of their own. They are what sees
// when a prober is done: the same clock for every prober, and none of its own processor time.
type targets struct {
	hanging int // how many accept and never answer; they are spread among the others
	ports   []int

	mu       sync.Mutex
	answered []bool // in this round
	left     int    // targets that were not asked in this round
	hangLeft int    // hanging targets on which nobody has given up in this round
	healthy  time.Time
	gaveUp   time.Time
	requests int
	changed  *sync.Cond
}

// roundState is what the targets saw of one round.
type roundState struct {
	LastHealthy time.Time // when the last healthy target was asked and answered
	LastGaveUp  time.Time // when the prober gave up on the last hanging one
	Requests    int
}

// serveTargets is the process of the targets: `probes-targets COUNT HANGING`. It prints its control address
// and its ports, and ends with its standard input.
func serveTargets(ctx context.Context, args []string) error {
	count, err1 := strconv.Atoi(args[0])
	hanging, err2 := strconv.Atoi(args[1])
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	t := &targets{hanging: hanging, answered: make([]bool, count)}
	t.changed = sync.NewCond(&t.mu)
	t.reset()
	for port := firstTargetPort; len(t.ports) < count; port++ {
		if port > lastTargetPort {
			return fmt.Errorf("only %d free ports between %d and %d", len(t.ports), firstTargetPort, lastTargetPort)
		}
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue // somebody else's
		}
		i := len(t.ports)
		t.ports = append(t.ports, port)
		go t.serve(l, i)
	}
	control, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/reset", func(http.ResponseWriter, *http.Request) { t.reset() })
	mux.HandleFunc("/wait", func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(t.wait()) })
	mux.HandleFunc("/state", func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(t.state()) })
	go func() { _ = (&http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}).Serve(control) }()
	if err := json.NewEncoder(os.Stdout).Encode(targetList{Control: control.Addr().String(), Ports: t.ports}); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// targetList is what the process of the targets prints first.
type targetList struct {
	Control string
	Ports   []int
}

// hangs reports whether target i is one of those that hang: they come at even distances.
func (t *targets) hangs(i int) bool {
	return t.hanging > 0 && i*t.hanging/len(t.answered) != (i+1)*t.hanging/len(t.answered)
}

func (t *targets) serve(l net.Listener, i int) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			if t.hangs(i) {
				_, _ = io.Copy(io.Discard, c) // until the prober gives up
				t.done(i)
				return
			}
			in := bufio.NewReaderSize(c, 1024)
			for {
				line, err := in.ReadSlice('\n')
				if err != nil {
					return
				}
				if len(bytes.TrimSpace(line)) == 0 {
					break
				}
			}
			if _, err := io.WriteString(c, targetAnswer); err == nil {
				t.done(i)
			}
		}()
	}
}

func (t *targets) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.answered)
	t.left, t.hangLeft, t.requests = len(t.answered)-t.hanging, t.hanging, 0
}

func (t *targets) done(i int) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.requests++
	if t.answered[i] {
		return
	}
	t.answered[i] = true
	if t.hangs(i) {
		t.hangLeft, t.gaveUp = t.hangLeft-1, now
	} else {
		t.left, t.healthy = t.left-1, now
	}
	if t.left == 0 && t.hangLeft == 0 {
		t.changed.Broadcast()
	}
}

// wait returns when every target was asked once, and every hanging one was given up.
func (t *targets) wait() roundState {
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.left > 0 || t.hangLeft > 0 {
		t.changed.Wait()
	}
	return roundState{LastHealthy: t.healthy, LastGaveUp: t.gaveUp, Requests: t.requests}
}

func (t *targets) state() roundState {
	t.mu.Lock()
	defer t.mu.Unlock()
	return roundState{LastHealthy: t.healthy, LastGaveUp: t.gaveUp, Requests: t.requests}
}

// readPorts reads the ports that a prober is given on its standard input, as one line.
func readPorts(in *bufio.Reader) ([]int, error) {
	line, err := in.ReadString('\n')
	if err != nil {
		return nil, err
	}
	var ports []int
	return ports, json.Unmarshal([]byte(strings.TrimSpace(line)), &ports)
}
