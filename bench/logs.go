package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	"github.com/jackc/pgx/v5"

	"github.com/unicorn-web-services/uws/test/uwstest"
)

const (
	logReaders  = 100
	logRate     = 5000 // lines a second: half of them warnings, each with a line that says where in the code it was raised
	logDuration = 20 * time.Second
	logWarnings = logRate / 2 * int(logDuration/time.Second)
	logTick     = 100 * time.Millisecond // between two writes of the loop, as uws waits between two messages
)

// logs has a database write 5,000 lines a second to its log, which 100 subscribers follow, beside a loop that reads the same file
// and writes what is new to 100 sockets.
func logs(ctx context.Context, b bench) error {
	dir := filepath.Join(b.dir, "data")
	p, err := uwstest.StartWith(ctx, []string{"UWS_LOCAL_NODE=process"}, b.binary, dir, "--engines", b.engines)
	if err != nil {
		return err
	}
	defer stop(p)
	s, err := p.Launch(ctx, "DB", "talk", nil)
	if err != nil {
		return err
	}
	service, err := p.Healthy(ctx, s.ID, 0)
	if err != nil {
		return err
	}
	keys, err := p.Credentials(ctx, s.ID)
	if err != nil {
		return err
	}
	db, err := pgx.Connect(ctx, strings.Replace(service.Endpoint, "postgres://", "postgres://uws:"+url.QueryEscape(keys["password"])+"@", 1)+"?sslmode=disable")
	if err != nil {
		return err
	}
	defer db.Close(ctx)

	var readers sync.WaitGroup
	defer readers.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lines, dropped := make([]atomic.Int64, logReaders), make([]atomic.Int64, logReaders)
	for i := range logReaders {
		ws, err := followLog(ctx, p, s.ID)
		if err != nil {
			return err
		}
		readers.Go(func() { countLines(ctx, ws, &lines[i], &dropped[i]) })
	}
	loop, err := startLoop(ctx, filepath.Join(dir, "process", "services", s.ID, "log", "stderr.log"), &readers)
	if err != nil {
		return err
	}
	defer loop.Wait() //nolint:errcheck // it is killed
	defer cancel()

	before, beforeLoop, err := cpus(p.Cmd.Process.Pid, loop.Process.Pid)
	if err != nil {
		return err
	}
	began := time.Now()
	if _, err := db.Exec(ctx, fmt.Sprintf(`SET client_min_messages = error; 
		DO $$ DECLARE began timestamptz := clock_timestamp(); BEGIN FOR i IN 1..%d LOOP RAISE WARNING 'number %%', i;
		IF i %% 50 = 0 THEN PERFORM pg_sleep_until(began + i * interval '1 second' / %d); END IF; END LOOP; END $$`, logWarnings, logRate/2)); err != nil {
		return err
	}
	err = uwstest.Until(ctx, "all lines came", func() (bool, error) {
		for i := range lines {
			if lines[i].Load()+dropped[i].Load() < int64(logWarnings) {
				return false, nil
			}
		}
		return true, nil
	})
	if err != nil {
		fmt.Printf("the first subscriber got %d lines, %d dropped, of %d\n", lines[0].Load(), dropped[0].Load(), logWarnings)
		return err
	}
	took := time.Since(began)
	after, afterLoop, err := cpus(p.Cmd.Process.Pid, loop.Process.Pid)
	if err != nil {
		return err
	}
	lost := int64(0)
	for i := range dropped {
		lost += dropped[i].Load()
	}
	fmt.Printf("%d lines in %.1f s (%.0f a second) to %d subscribers: uws %.2f s of processor, the loop %.2f s, ratio %.1f (goal: at most 1.5); %d lines dropped (goal: 0)\n",
		2*logWarnings, took.Seconds(), 2*float64(logWarnings)/took.Seconds(), logReaders, (after - before).Seconds(), (afterLoop - beforeLoop).Seconds(), ratio(after-before, afterLoop-beforeLoop), lost)
	return nil
}

func cpus(own, loop int) (a, b time.Duration, err error) {
	a, err1 := cpu(own)
	b, err2 := cpu(loop)
	return a, b, errors.Join(err1, err2)
}

// followLog subscribes to a log.
func followLog(ctx context.Context, p *uwstest.Process, id string) (*websocket.Conn, error) {
	d := websocket.Dialer{Subprotocols: []string{"graphql-transport-ws"}}
	ws, response, err := d.DialContext(ctx, strings.Replace(p.URL, "http", "ws", 1)+"/graphql", http.Header{"Authorization": {"Bearer " + p.Token}})
	if response != nil {
		_ = response.Body.Close()
	}
	if err != nil {
		return nil, err
	}
	if err := ws.WriteMessage(websocket.TextMessage, []byte(`{"type":"connection_init"}`)); err != nil {
		return nil, err
	}
	if _, _, err := ws.ReadMessage(); err != nil {
		return nil, err
	}
	subscribe, err := json.Marshal(map[string]any{"id": "1", "type": "subscribe", "payload": map[string]any{
		"query": `subscription($id: ID!) { serviceLogs(id: $id) { lines { at level text } dropped cursor } }`, "variables": map[string]any{"id": id}}})
	if err != nil {
		return nil, err
	}
	return ws, ws.WriteMessage(websocket.TextMessage, subscribe)
}

// countLines counts the lines that the measurement writes, by what each line has once, without parsing.
func countLines(ctx context.Context, ws *websocket.Conn, lines, dropped *atomic.Int64) {
	defer context.AfterFunc(ctx, func() { _ = ws.Close() })()
	for {
		_, message, err := ws.ReadMessage()
		if err != nil {
			return
		}
		text := string(message)
		lines.Add(int64(strings.Count(text, "WARNING:  number")))
		if _, after, ok := strings.Cut(text, `"dropped":`); ok && !strings.HasPrefix(after, "0,") {
			var n int64
			if _, err := fmt.Sscan(strings.TrimRight(strings.SplitN(after, ",", 2)[0], "}"), &n); err == nil {
				dropped.Add(n)
			}
		}
	}
}

// startLoop starts the loop in a process of its own, with a reader for each of its sockets.
func startLoop(ctx context.Context, path string, readers *sync.WaitGroup) (*exec.Cmd, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer l.Close()
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	loop := exec.CommandContext(ctx, self, "logs-loop", path, l.Addr().String())
	loop.Stderr = os.Stderr
	if err := loop.Start(); err != nil {
		return nil, err
	}
	for range logReaders {
		c, err := l.Accept()
		if err != nil {
			return nil, err
		}
		readers.Go(func() {
			defer context.AfterFunc(ctx, func() { _ = c.Close() })()
			_, _ = io.Copy(io.Discard, c)
		})
	}
	return loop, nil
}

// runLoop writes what is added to a file to 100 sockets, ten times a second, until ctx ends.
func runLoop(ctx context.Context, args []string) error {
	f, err := os.Open(args[0])
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Seek(0, io.SeekEnd); err != nil {
		return err
	}
	var sockets []net.Conn
	for range logReaders {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", args[1])
		if err != nil {
			return err
		}
		sockets = append(sockets, c)
	}
	tick := time.NewTicker(logTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		fresh, err := io.ReadAll(f)
		if err != nil {
			return err
		}
		for _, c := range sockets {
			if _, err := c.Write(fresh); err != nil {
				return err
			}
		}
	}
}
