package server_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/unicorn-web-services/uws/orchestrator/auth"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
)

// subscribeWith is subscribe with variables.
func (s *socket) subscribeWith(id, query, variables string) {
	s.t.Helper()
	s.say(fmt.Sprintf(`{"id":%q,"type":"subscribe","payload":{"query":%q,"variables":%s}}`, id, query, variables))
}

// watches fails unless exactly n watches have begun.
func watches(t *testing.T, api *fakeAPI, n int) {
	t.Helper()
	for range n {
		receive(t, api.watching, "the watch")
	}
	if extra := len(api.watching); extra > 0 {
		t.Errorf("%d watches more than %d", extra, n)
	}
}

// Subscriptions with the same messages share one execution, wherever they begin and whatever aliases they use. It ends
// with the last one.
func TestSharedExecution(t *testing.T) {
	const named = `subscription S($since: String) { serviceHealthChanged(kind: BUCKET, since: $since) { serviceId } }`
	for name, queries := range map[string][][2]string{
		"variable": {{named, `{}`}, {named, `{"since":"x"}`}, {named, `{"since":null}`},
			{`subscription S($since: String) { serviceHealthChanged(since:  $since,kind:BUCKET) { serviceId } }`, `{"since":"y"}`}},
		"literal": {{`subscription { serviceHealthChanged(kind: BUCKET, since: "x") { serviceId } }`, `{}`},
			{`subscription { serviceHealthChanged(kind: BUCKET) { serviceId } }`, `{}`},
			{`subscription($s: String) { serviceHealthChanged(kind: BUCKET, since: $s) { serviceId } }`, `{"s":"x"}`}},
	} {
		t.Run(name, func(t *testing.T) {
			api := newFake()
			opts := options(api)
			url := serve(t, opts)
			var sockets []*socket
			for i, q := range queries {
				s := connect(t, url)
				s.subscribeWith(fmt.Sprint("id", i), q[0], q[1])
				api.begun(t, i+1)
				sockets = append(sockets, s)
			}
			started := 0
			for seq := range int64(3) { // the fake sends an event to one execution only, so all subscribers must share it
				api.feed <- serviceEvent(seq+1, "s1", catalog.Bucket)
			}
			for i, s := range sockets {
				m := message{}
				for m.Type != "next" || m.ID != fmt.Sprint("id", i) {
					if err := s.ReadJSON(&m); err != nil {
						t.Fatal(err)
					}
				}
				s.say(fmt.Sprintf(`{"id":"id%d","type":"complete"}`, i))
			}
			receive(t, api.unwatch, "the watch's end")
			until(t, "nobody is served", func() bool { return counter(t, opts.Registry, "uws_graphql_subscriptions") == 0 })
			for len(api.watching) > 0 {
				<-api.watching
				started++
			}
			if started != 1 {
				t.Errorf("%d executions, want 1", started)
			}
		})
	}
}

// Subscriptions that differ in more than their beginning are not shared, and neither are those of callers with another
// scope.
func TestNotShared(t *testing.T) {
	api := newFake()
	opts := options(api)
	opts.Access = newAuth(t, auth.Options{})
	url := serveLocked(t, opts)
	as := func(role auth.Role, kinds ...catalog.Kind) *socket {
		s := dial(t, url)
		s.say(`{"type":"connection_init","payload":{"Authorization":"Bearer ` + tokenOf(t, opts.Access, role, kinds...) + `"}}`)
		s.expect("", "connection_ack", "")
		return s
	}
	const query = `subscription($kind: ServiceKind, $since: String) { serviceHealthChanged(kind: $kind, since: $since) { serviceId } }`
	all := []*socket{as(auth.Viewer), as(auth.Operator), as(auth.Viewer, catalog.DB, catalog.Queue)}
	for i, s := range all {
		s.subscribeWith("1", query, `{"kind":"DB"}`)
		s.subscribeWith("2", query, `{"kind":"QUEUE"}`)
		s.subscribeWith("3", `subscription($kind: ServiceKind) { serviceHealthChanged(kind: $kind) { name } }`, `{"kind":"DB"}`)
		watches(t, api, 3)
		if i > 0 && len(api.watching) > 0 {
			t.Error("an authority's executions were shared with another's")
		}
	}
	again := as(auth.Viewer, catalog.Queue, catalog.DB)
	again.subscribeWith("1", query, `{"kind":"DB","since":"x"}`)
	api.begun(t, 10)
	watches(t, api, 0)
}

// An error or panic in a shared execution is sent to each subscriber. The next subscriber starts a new execution.
func TestSharedFailure(t *testing.T) {
	api := newFake()
	url := serve(t, options(api))
	var sockets []*socket
	for i := range 3 {
		s := connect(t, url)
		s.subscribe(fmt.Sprint("id", i), changes)
		sockets = append(sockets, s)
	}
	api.begun(t, len(sockets))
	watches(t, api, 1)
	api.feed <- serviceEvent(1, "s1", catalog.Bucket)
	for i, s := range sockets {
		if i == 0 {
			s.expect("id0", "next", "")
		}
	}
	api.feedErr = errors.New("secret")
	close(api.feed)
	for i, s := range sockets {
		m := message{}
		for m.Type != "error" {
			if err := s.ReadJSON(&m); err != nil {
				t.Fatal(err)
			}
		}
		if m.ID != fmt.Sprint("id", i) || !strings.Contains(string(m.Payload), `"code":"INTERNAL"`) || strings.Contains(string(m.Payload), "secret") {
			t.Errorf("%s got %s", m.ID, m.Payload)
		}
	}
	sockets[0].subscribe("id0", changes)
	watches(t, api, 1)
}
