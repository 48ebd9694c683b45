package server_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
)

const changes = `subscription{serviceHealthChanged{serviceId}}`

// changesOf returns operations that do not share executions.
func changesOf(i int) string {
	return fmt.Sprintf(`subscription{serviceHealthChanged{n%d:serviceId}}`, i)
}

func TestHealthMessage(t *testing.T) {
	api := newFake()
	s := connect(t, serve(t, options(api)))
	s.subscribe("x", `subscription{serviceHealthChanged(since:"c7"){cursor id at serviceId name kind nodeName desiredState previousPhase phase
		previousHealth health healthy reason reasonCode reasonParameters{exitCode signal memoryLimitMiB failedChecks failureThreshold failures failedAttempts port} endpoint restarts probe exitCode outOfMemory attempt nextAttemptAt causeId}}`)
	if since := receive(t, api.watching, "the watch"); since != "c7" {
		t.Errorf("since is %q", since)
	}
	e := serviceEvent(8, "s1", catalog.Bucket)
	api.feed <- e
	s.expect("x", "next", compact(t, `{"data":{"serviceHealthChanged":{"cursor":"`+orchestrator.EventCursor(e)+`","id":"8","at":"2026-01-02T02:04:05Z",
		"serviceId":"s1","name":"name-of-s1","kind":"BUCKET","nodeName":"local","desiredState":"RUNNING","previousPhase":"RUNNING","phase":"RESTARTING",
		"previousHealth":"HEALTHY","health":"UNHEALTHY","healthy":false,"reason":"exited","reasonCode":"EXITED","reasonParameters":{"exitCode":137,"signal":9,"memoryLimitMiB":64,"failedChecks":null,"failureThreshold":null,"failures":2,"failedAttempts":null,"port":null},"endpoint":"http://127.0.0.1:20000","restarts":1,"probe":"DEAD",
		"exitCode":137,"outOfMemory":true,"attempt":2,"nextAttemptAt":"2026-01-02T02:04:05Z","causeId":"7"}}}`))

	gone := serviceEvent(9, "s1", catalog.Bucket)
	gone.Phase, gone.Health, gone.Probe, gone.CauseID, gone.Endpoint, gone.NodeName = nil, nil, "", nil, "", ""
	api.feed <- gone
	m := s.expect("x", "next", "")
	for _, want := range []string{`"health":"UNKNOWN"`, `"phase":null`, `"probe":null`, `"causeId":null`, `"endpoint":null`, `"nodeName":null`} {
		if !strings.Contains(string(m.Payload), want) {
			t.Errorf("%s lacks %s", m.Payload, want)
		}
	}
	if calls := api.called(); len(calls) != 1 {
		t.Errorf("a message is built from its row alone, but there were calls %v", calls)
	}
}

func TestHealthFilter(t *testing.T) {
	feed := []*orchestrator.Event{
		{ID: 1, Subject: orchestrator.SubjectNode, NodeID: "n1"},
		serviceEvent(2, "s1", catalog.Bucket), serviceEvent(3, "s2", catalog.Bucket), serviceEvent(4, "s3", catalog.Queue),
	}
	for arguments, want := range map[string][]string{
		`(since:null)`:                     {"s1", "s2", "s3"},
		`(kind:BUCKET)`:                    {"s1", "s2"},
		`(serviceId:"s2")`:                 {"s2"},
		`(kind:QUEUE,serviceId:"s3")`:      {"s3"},
		`(kind:QUEUE,serviceId:"s1")`:      {},
		`(serviceId:"gone",since:"c")`:     {},
		`(kind:null,serviceId:null)`:       {"s1", "s2", "s3"},
		`(kind:BUCKET,serviceId:"s1")`:     {"s1"},
		`(kind:SECRETS,since:"anything!")`: {},
	} {
		t.Run(arguments, func(t *testing.T) {
			api := newFake()
			s := connect(t, serve(t, options(api)))
			s.subscribe("x", `subscription{serviceHealthChanged`+arguments+`{serviceId}}`)
			receive(t, api.watching, "the watch")
			for _, e := range feed {
				api.feed <- e
			}
			close(api.feed)
			for _, id := range want {
				s.expect("x", "next", `{"data":{"serviceHealthChanged":{"serviceId":"`+id+`"}}}`)
			}
			s.expect("x", "complete", "")
		})
	}
}

func TestLaunchProgress(t *testing.T) {
	api := newFake()
	api.progress = []orchestrator.Progress{
		{ServiceID: "s1", StepCode: lifecycle.StepPlacing, Step: "placing", Percent: -1, Phase: lifecycle.Pending, Health: lifecycle.HealthUnknown},
		{ServiceID: "s1", StepCode: lifecycle.StepFetching, Step: "fetching", Percent: 12.5, Phase: lifecycle.Pending, Health: lifecycle.HealthUnknown},
	}
	s := connect(t, serve(t, options(api)))
	s.subscribe("x", `subscription{launchProgress(serviceId:"s1"){serviceId stepCode step percent phase health}}`)
	s.expect("x", "next", `{"data":{"launchProgress":{"serviceId":"s1","stepCode":"PLACING","step":"placing","percent":null,"phase":"PENDING","health":"UNKNOWN"}}}`)
	s.expect("x", "next", `{"data":{"launchProgress":{"serviceId":"s1","stepCode":"FETCHING","step":"fetching","percent":12.5,"phase":"PENDING","health":"UNKNOWN"}}}`)
	s.expect("x", "complete", "")
}

// Every error of a subscription is one error message, which ends the subscription. The connection stays open.
func TestSubscriptionErrors(t *testing.T) {
	tests := []struct {
		name, query, want string
		spoil             func(*fakeAPI)
	}{
		{"syntax", `subscription{`, "INVALID_INPUT", nil},
		{"unknown field", `subscription{nothing}`, "INVALID_INPUT", nil},
		{"too large", exponential(20), "LIMIT_EXCEEDED", nil},
		{"no such service", `subscription{serviceHealthChanged(serviceId:"no"){cursor}}`, "NOT_FOUND", nil},
		{"no such service, progress", `subscription{launchProgress(serviceId:"no"){step}}`, "NOT_FOUND", nil},
		{"no such service, logs", `subscription{serviceLogs(id:"no"){cursor}}`, "NOT_FOUND", nil},
		{"expired", `subscription{serviceHealthChanged(since:"old"){cursor}}`, "CURSOR_EXPIRED", func(f *fakeAPI) {
			f.err = orchestrator.Errorf(orchestrator.CursorExpired, "since", "read services afresh and subscribe without since")
		}},
		{"panic", `subscription{serviceHealthChanged{cursor}}`, "INTERNAL", func(f *fakeAPI) { f.panics = true }},
		{"in the middle", changes, "INTERNAL", func(f *fakeAPI) { f.feedErr = errors.New("secret"); close(f.feed) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			api := newFake()
			if tt.spoil != nil {
				tt.spoil(api)
			}
			s := connect(t, serve(t, options(api)))
			s.subscribe("x", tt.query)
			m := s.expect("x", "error", "")
			if !strings.Contains(string(m.Payload), `"code":"`+tt.want+`"`) || strings.Contains(string(m.Payload), "secret") {
				t.Errorf("got %s, want %s", m.Payload, tt.want)
			}
			s.say(`{"type":"ping"}`)
			s.expect("", "pong", "") // with no complete message before it
		})
	}
}

func TestQueriesOverWebSocket(t *testing.T) {
	s := connect(t, serve(t, options(newFake())))
	s.subscribe("q", `{node(id:"n2"){name}}`)
	s.expect("q", "next", `{"data":{"node":{"name":"far"}}}`)
	s.expect("q", "complete", "")
}

func TestCompleteEndsTheWatch(t *testing.T) {
	api := newFake()
	s := connect(t, serve(t, options(api)))
	for range 3 { // the same id again, at once
		s.subscribe("x", changes)
		receive(t, api.watching, "the watch")
		s.say(`{"id":"x","type":"complete"}`)
		if end := receive(t, api.unwatch, "the watch's end"); end.err != nil {
			t.Errorf("the watch ended with %v", end.err)
		}
	}
	s.say(`{"id":"unknown","type":"complete"}`)
	s.say(`{"type":"ping","payload":{"a":1}}`)
	s.expect("", "pong", `{"a":1}`) // with no message before it
}

func TestDisconnectEndsTheWatch(t *testing.T) {
	api := newFake()
	s := connect(t, serve(t, options(api)))
	s.subscribe("x", changes)
	receive(t, api.watching, "the watch")
	_ = s.Close()
	receive(t, api.unwatch, "the watch's end")
}

func TestProtocolBreaches(t *testing.T) {
	const init = `{"type":"connection_init"}`
	subscribe := `{"id":"x","type":"subscribe","payload":{"query":"` + changes + `"}}`
	tests := []struct {
		name     string
		messages []string
		code     int
	}{
		{"not JSON", []string{"{"}, 4400},
		{"not an object", []string{init, "[]"}, 4400},
		{"unknown type", []string{init, `{"type":"start"}`}, 4400},
		{"init with a list", []string{`{"type":"connection_init","payload":[]}`}, 4400},
		{"subscribe before init", []string{subscribe}, 4401},
		{"second init", []string{init, init}, 4429},
		{"duplicate id", []string{init, subscribe, subscribe}, 4409},
		{"no id", []string{init, `{"type":"subscribe","payload":{"query":"{nodes{id}}"}}`}, 4400},
		{"no query", []string{init, `{"id":"x","type":"subscribe","payload":{}}`}, 4400},
		{"no payload", []string{init, `{"id":"x","type":"subscribe"}`}, 4400},
		{"too long", []string{init, `{"type":"ping","payload":{"x":"` + strings.Repeat("x", 128<<10) + `"}}`}, websocket.CloseMessageTooBig},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := dial(t, serve(t, options(newFake())))
			for _, m := range tt.messages {
				s.say(m)
			}
			s.expectClose(tt.code)
		})
	}
}

func TestPingBeforeInit(t *testing.T) {
	s := dial(t, serve(t, options(newFake())))
	s.say(`{"type":"pong"}`)
	s.say(`{"type":"ping"}`)
	s.expect("", "pong", "")
	s.say(`{"type":"connection_init","payload":{}}`)
	s.expect("", "connection_ack", "")
}

func TestInitTimeout(t *testing.T) {
	opts := options(newFake())
	opts.WebSocket.InitTimeout = 10 * time.Millisecond
	dial(t, serve(t, opts)).expectClose(4408)
}

// A client that neither reads nor answers pings is disconnected.
func TestMissingPong(t *testing.T) {
	api := newFake()
	opts := options(api)
	opts.WebSocket.PingInterval = 500 * time.Millisecond // long enough to answer the first ping on a busy machine
	s := connect(t, serve(t, opts))
	s.subscribe("x", changes)
	receive(t, api.watching, "the watch")
	s.expect("", "ping", "")
	s.say(`{"type":"pong"}`)
	s.expect("", "ping", "")
	receive(t, api.unwatch, "the watch's end")
}

func TestSubscriptionCap(t *testing.T) {
	api := newFake()
	opts := options(api)
	opts.WebSocket.MaxSubscriptions = 2
	s := connect(t, serve(t, opts))
	for i := range 2 {
		s.subscribe(fmt.Sprint(i), changesOf(i))
		receive(t, api.watching, "the watch")
	}
	s.subscribe("2", changes)
	if m := s.expect("2", "error", ""); !strings.Contains(string(m.Payload), `"code":"LIMIT_EXCEEDED"`) {
		t.Errorf("got %s", m.Payload)
	}
	s.say(`{"id":"0","type":"complete"}`)
	receive(t, api.unwatch, "the watch's end")
	s.subscribe("2", changes)
	receive(t, api.watching, "the watch")
}

// A client that stops reading is disconnected when a write takes too long.
func TestStalledClient(t *testing.T) {
	api := newFake()
	opts := options(api)
	opts.WebSocket.WriteTimeout = 50 * time.Millisecond
	s := connect(t, serve(t, opts))
	s.subscribe("x", `subscription{serviceHealthChanged{reason}}`)
	receive(t, api.watching, "the watch")
	deadline := time.After(patience)
	for seq := int64(1); ; seq++ {
		e := serviceEvent(seq, "s1", catalog.Bucket)
		e.Reason = strings.Repeat("x", 1<<20)
		select {
		case api.feed <- e:
		case <-api.unwatch:
			return
		case <-deadline:
			t.Fatal("the connection was not closed")
		}
	}
}

func TestUpgradeIsRefused(t *testing.T) {
	url := serve(t, options(newFake()))
	ws := "ws" + strings.TrimPrefix(url, "http") + "/graphql"
	tests := []struct {
		name      string
		protocols []string
		header    http.Header
		status    int
	}{
		{"no subprotocol", nil, nil, 400},
		{"the old subprotocol", []string{"graphql-ws"}, nil, 400},
		{"a foreign origin", []string{"graphql-transport-ws"}, http.Header{"Origin": {"http://evil.example"}}, 403},
		{"no origin at all", []string{"graphql-transport-ws"}, http.Header{"Origin": {"null"}}, 403},
		{"a foreign page", []string{"graphql-transport-ws"}, http.Header{"Sec-Fetch-Site": {"same-site"}}, 403},
		{"our own page", []string{"graphql-transport-ws"}, http.Header{"Origin": {url}, "Sec-Fetch-Site": {"same-origin"}}, 101},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dialer := websocket.Dialer{Subprotocols: tt.protocols}
			conn, response, err := dialer.Dial(ws, tt.header)
			if err == nil {
				defer conn.Close()
			}
			if response == nil || response.StatusCode != tt.status {
				t.Fatalf("got %v, want status %d", err, tt.status)
			}
		})
	}
}
