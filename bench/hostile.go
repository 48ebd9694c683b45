package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gorilla/websocket"

	"github.com/unicorn-web-services/uws/test/uwstest"
)

const (
	hostileTokens  = 8 // whose holders are hostile
	hostileClients = 1000
	hostileFor     = 60 * time.Second
	hostileGoal    = 64 << 20 // bytes
)

// hostile reads what the memory of uws grows by while clients ask without end and read slowly, if at all: once by
// WebSocket, where half of them never sign in, and once by HTTP, where a quarter does not.
func hostile(ctx context.Context, b bench) error {
	for _, door := range []struct {
		name  string
		flood func(ctx context.Context, url, token string, i int) int64
	}{{"WebSocket", flood}, {"HTTP", floodHTTP}} {
		if err := hostileAt(ctx, b, door.name, door.flood); err != nil {
			return fmt.Errorf("%s: %w", door.name, err)
		}
	}
	return nil
}

func hostileAt(ctx context.Context, b bench, door string, flood func(ctx context.Context, url, token string, i int) int64) error {
	p, err := b.serve(ctx, filepath.Join(b.dir, "data-"+door))
	if err != nil {
		return err
	}
	defer stop(p)
	tokens, err := manyTokens(ctx, p)
	if err != nil {
		return err
	}
	before, err := resident(p.Cmd.Process.Pid)
	if err != nil {
		return err
	}
	attack, stop := context.WithTimeout(ctx, hostileFor)
	defer stop()
	var clients sync.WaitGroup
	var connections, sent atomic.Int64
	for i := range hostileClients {
		clients.Go(func() {
			for attack.Err() == nil {
				connections.Add(1)
				sent.Add(flood(attack, p.URL, tokens[i%len(tokens)], i))
				select { // ended by uws: again, but not at once
				case <-attack.Done():
				case <-time.After(time.Second):
				}
			}
		})
	}
	most := before
	var honest sample
	refused, last := 0, error(nil)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for attack.Err() == nil {
		<-tick.C
		now, err := resident(p.Cmd.Process.Pid)
		if err != nil {
			return err
		}
		most = max(most, now)
		if _, took, err := post(ctx, p.URL+"/graphql", p.Token, fmt.Sprintf(listing, 50)); err == nil { // somebody else, who means well
			honest = append(honest, took)
		} else {
			refused, last = refused+1, err
		}
	}
	clients.Wait()
	ended := time.Now()
	if err := uwstest.Until(ctx, "uws is ready again", func() (bool, error) { return p.Ready(), nil }); err != nil {
		return fmt.Errorf("%w; it printed:\n%s", err, p.Output)
	}
	fmt.Printf("%s, %d hostile clients for %s (%d connections, %d messages): resident memory from %.1f to %.1f MB, +%.1f (goal: +%.1f at most); ready again %s after it\n",
		door, hostileClients, hostileFor, connections.Load(), sent.Load(), float64(before)/1e6, float64(most)/1e6, float64(most-before)/1e6, float64(hostileGoal)/1e6, time.Since(ended).Round(time.Millisecond))
	if len(honest) > 0 {
		fmt.Printf("meanwhile a list of services for somebody else took %s; %d were refused: %v\n", honest, refused, last)
	}
	return nil
}

func manyTokens(ctx context.Context, p *uwstest.Process) ([]string, error) {
	var all []string
	for i := range hostileTokens {
		var out struct{ CreateToken struct{ Secret string } }
		if err := p.Query(ctx, `mutation($n: String!) { createToken(input: {name: $n, role: VIEWER}) { secret } }`,
			map[string]any{"n": fmt.Sprintf("hostile-%d", i)}, &out); err != nil {
			return nil, err
		}
		all = append(all, out.CreateToken.Secret)
	}
	return all, nil
}

// dialSmall connects with little room in the kernel for what is not read.
func dialSmall(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4<<10) })
	}}
	return d.DialContext(ctx, network, address)
}

// floodHTTP is the life of one hostile connection: requests one behind the other, of which some stop in the middle of
// their body, and answers that are read slowly, if at all. It returns how many requests were sent.
func floodHTTP(ctx context.Context, url, token string, i int) int64 {
	host := strings.TrimPrefix(url, "http://")
	c, err := dialSmall(ctx, "tcp", host)
	if err != nil {
		return 0
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	if i%4 < 3 {
		go func() {
			buf := make([]byte, 4<<10)
			for {
				if _, err := c.Read(buf); err != nil {
					return
				}
				time.Sleep(20 * time.Millisecond) //nolint:forbidigo // a slow client
			}
		}()
	}
	authorization := "Authorization: Bearer " + token + "\r\n"
	if i%4 == 1 {
		authorization = ""
	}
	variables := strings.TrimSuffix(strings.Repeat("1,", 60<<10), ",")
	bodies := []string{
		`{"query":"{__schema{types{name description fields{name description}}}}"}`,
		`{"query":"{__schema{types{name fields{name args{name type{name ofType{name}}}type{name ofType{name ofType{name}}}}}}}"}`,
		`{"query":"{services(first:500){nodes{id name reason}} templates{name} nodes{id}}"}`,
		`{"query":"{nonsense` + strings.Repeat("x", 3000) + `}"}`,
		`{"query":"query($v:[ServiceKind!]){services(filter:{kind:$v}){totalCount}}","variables":{"v":[` + variables + `]}}`,
		`{"query":"{nodes{id}}` + strings.Repeat(" ", 120<<10) + `"}`,
	}
	var sent int64
	for ctx.Err() == nil {
		body := bodies[(i/4+int(sent/20))%len(bodies)]
		length, chunked := fmt.Sprintf("Content-Length: %d\r\n", len(body)), sent%7 == 6
		if chunked {
			length = "Transfer-Encoding: chunked\r\n"
			body = fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
		}
		request := "POST /graphql HTTP/1.1\r\nHost: " + host + "\r\nContent-Type: application/json\r\n" + authorization + length + "\r\n" + body
		if i%16 == 15 && sent%20 == 19 { // never comes to its end
			request = request[:len(request)-len(body)/2]
		}
		_ = c.SetWriteDeadline(time.Now().Add(30 * time.Second))
		if _, err := c.Write([]byte(request)); err != nil {
			return sent
		}
		sent++
		if sent%10 == 0 {
			time.Sleep(50 * time.Millisecond) //nolint:forbidigo // a thousand of them leave nothing of two cores otherwise
		}
	}
	return sent
}

// flood is the life of one hostile WebSocket. It returns how many messages were sent.
func flood(ctx context.Context, url, token string, i int) int64 {
	dialer := websocket.Dialer{Subprotocols: []string{"graphql-transport-ws"}, NetDialContext: dialSmall, ReadBufferSize: 512, WriteBufferSize: 4 << 10}
	c, response, err := dialer.DialContext(ctx, "ws"+strings.TrimPrefix(url, "http")+"/graphql", nil)
	if err != nil {
		return 0
	}
	_ = response.Body.Close()
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	if i%2 == 0 {
		init := fmt.Sprintf(`{"type":"connection_init","payload":{"Authorization":"Bearer %s"}}`, token)
		if c.WriteMessage(websocket.TextMessage, []byte(init)) != nil {
			return 0
		}
	}
	if i%4 < 2 { // slowly
		go func() {
			for {
				if _, _, err := c.NextReader(); err != nil {
					return
				}
				time.Sleep(100 * time.Millisecond) //nolint:forbidigo // a slow client
			}
		}()
	}
	texts := []string{
		`{"type":"ping","payload":{"x":"` + strings.Repeat("x", 100) + `"}}`,
		`{"type":"ping","payload":{"x":"` + strings.Repeat("x", 120<<10) + `"}}`,
		`{"id":"%d","type":"subscribe","payload":{"query":"{__schema{types{name description fields{name description}}}}"}}`,
		`{"id":"%d","type":"subscribe","payload":{"query":"subscription{changes{services{id name reason}}}"}}`,
		`{"id":"%d","type":"subscribe","payload":{"query":"{nonsense}"}}`,
	}
	var sent int64
	for ctx.Err() == nil {
		text := texts[(i/4+int(sent/50))%len(texts)]
		if strings.Contains(text, "%d") {
			text = fmt.Sprintf(text, rand.Int64())
		}
		_ = c.SetWriteDeadline(time.Now().Add(10 * time.Second))
		if c.WriteMessage(websocket.TextMessage, []byte(text)) != nil {
			return sent
		}
		sent++
		if sent%10 == 0 {
			time.Sleep(50 * time.Millisecond) //nolint:forbidigo // a thousand of them leave nothing of two cores otherwise
		}
	}
	return sent
}
