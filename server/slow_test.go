package server_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
)

func farAway() time.Time { return time.Now().Add(patience) }

// until waits until ok returns true.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("not within %s: %s", patience, what)
		case <-tick.C:
		}
	}
}

// counter returns the value of a metric without labels.
func counter(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	all, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range all {
		if family.GetName() == name {
			m := family.GetMetric()[0]
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}

// large returns an event with a reason that fills buffers.
func large(seq int64) *orchestrator.Event {
	e := serviceEvent(seq, "s1", catalog.Bucket)
	e.Reason = strings.Repeat("x", 1<<20)
	return e
}

// idOf returns the sequence number of the event in a message.
func idOf(m message) int64 {
	var next struct {
		Data struct {
			ServiceHealthChanged struct {
				ID int64 `json:"id,string"`
			}
		}
	}
	_ = json.Unmarshal(m.Payload, &next) // 0 is never the number of an event
	return next.Data.ServiceHealthChanged.ID
}

const largeQuery = `subscription{serviceHealthChanged{id reason}}`

// stalled connects and subscribes, and then does not read. The buffers in between hold about ten messages.
func stalled(t *testing.T, url, id string) *socket {
	t.Helper()
	s := connect(t, url)
	s.subscribe(id, largeQuery)
	return s
}

// A client that stops reading for a while catches up from the log when it reads again. It gets every message once and
// in order. Other clients do not wait for it.
func TestSlowClientCatchesUp(t *testing.T) {
	api := newFake()
	opts := options(api)
	opts.WebSocket.WriteTimeout, opts.WebSocket.PingInterval = time.Hour, time.Hour
	url := serve(t, opts)
	quick := connect(t, url)
	quick.subscribe("quick", largeQuery)
	watches(t, api, 1)
	slow := stalled(t, url, "slow")
	api.begun(t, 2)
	const n = 16
	for seq := int64(1); seq <= n; seq++ {
		api.feed <- large(seq)
		if m := quick.expect("quick", "next", ""); idOf(m) != seq { // if the slow client could delay others, this would wait
			t.Fatalf("got event %d, want %d", idOf(m), seq)
		}
	}
	until(t, "the slow one has fallen behind", func() bool { return counter(t, opts.Registry, "uws_graphql_subscriptions_behind_total") > 0 })
	_ = slow.SetReadDeadline(farAway())
	first := idOf(slow.expect("slow", "next", "")) // it may have joined after some events
	for seq := first + 1; seq <= n; seq++ {
		if m := slow.expect("slow", "next", ""); idOf(m) != seq {
			t.Fatalf("got event %d, want %d", idOf(m), seq)
		}
	}
	api.feed <- large(n + 1) // in the group again, or catching up
	if m := slow.expect("slow", "next", ""); idOf(m) != n+1 {
		t.Fatalf("got event %d, want %d", idOf(m), n+1)
	}
}

// A client that reads nothing for too long is asked to reconnect, if it reads at all, and disconnected.
func TestTooSlow(t *testing.T) {
	api := newFake()
	opts := options(api)
	opts.WebSocket.WriteTimeout, opts.WebSocket.Linger, opts.WebSocket.PingInterval = 2*time.Second, patience/2, time.Hour
	url := serve(t, opts)
	seq := int64(1)
	tooSlow := func(client string, clients float64) *socket {
		s := stalled(t, url, client)
		api.begun(t, int(clients))
		watches(t, api, 1)
		until(t, "it is too slow", func() bool {
			select {
			case api.feed <- large(seq):
				seq++
			default: // it may have been disconnected: then nobody watches
			}
			return counter(t, opts.Registry, "uws_websocket_too_slow_total") >= clients
		})
		return s
	}
	reads := tooSlow("1", 1)
	_ = reads.SetReadDeadline(farAway())
	reads.expectClose(websocket.CloseServiceRestart)
	tooSlow("2", 2) // and never reads
	until(t, "both are gone", func() bool { return counter(t, opts.Registry, "uws_websocket_connections") == 0 })
}
