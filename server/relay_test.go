package server_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/unicorn-web-services/uws/test/uwstest"
)

// A page has the cursors of its first and last item, as Relay requires. This includes the audit log.
func TestPageInfo(t *testing.T) {
	url := serve(t, options(newFake()))
	post(t, url, `mutation { stopService(id: "s1") { id } }`, nil)
	post(t, url, `mutation { stopService(id: "s2") { id } }`, nil)
	type page struct {
		Edges []struct {
			Cursor string
			Node   struct{ Target string }
		}
		PageInfo struct {
			HasNextPage, HasPreviousPage bool
			StartCursor, EndCursor       *string
		}
	}
	read := func(after string) page {
		t.Helper()
		got := post(t, url, `query($after: ID) { auditLog(first: 1, after: $after, filter: {action: "stopService"}) {
			edges { cursor node { target } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }`, map[string]any{"after": after})
		var data struct{ AuditLog page }
		if err := json.Unmarshal(got.Data, &data); err != nil || len(got.Errors) > 0 || len(data.AuditLog.Edges) != 1 {
			t.Fatalf("got %s %+v", got.Data, got.Errors)
		}
		return data.AuditLog
	}
	first := read("")
	second := read(first.Edges[0].Cursor)
	for i, p := range []page{first, second} {
		at := p.Edges[0].Cursor
		if p.PageInfo.HasPreviousPage != (i == 1) || p.PageInfo.HasNextPage != (i == 0) || *p.PageInfo.StartCursor != at || *p.PageInfo.EndCursor != at {
			t.Errorf("page %d is %+v", i, p)
		}
	}
	if first.Edges[0].Node.Target != "s2" || second.Edges[0].Node.Target != "s1" {
		t.Errorf("got %+v, %+v", first, second)
	}
	empty := post(t, url, `{ auditLog(filter: {action: "none"}) { edges { cursor } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }`, nil)
	if got := string(empty.Data); got != `{"auditLog":{"edges":[],"pageInfo":{"hasNextPage":false,"hasPreviousPage":false,"startCursor":null,"endCursor":null}}}` {
		t.Errorf("an empty page is %s", got)
	}
}

// The client in the README resumes from its newest cursor after its connection was lost.
func TestReadmeClientResumes(t *testing.T) {
	repo, err := uwstest.Repo()
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile(repo + "/README.md")
	if err != nil {
		t.Fatal(err)
	}
	snippet := regexp.MustCompile("(?s)```js\n(.*?)```").FindSubmatch(readme)
	if snippet == nil {
		t.Fatal("README.md has no client")
	}
	since := make(chan string, 2)
	upgrader := websocket.Upgrader{Subprotocols: []string{"graphql-transport-ws"}}
	var connections atomic.Int64
	peer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer ws.Close()
		var m struct {
			ID, Type string
			Payload  struct{ Variables struct{ Since string } }
		}
		say := func(text string) { _ = ws.WriteMessage(websocket.TextMessage, []byte(text)) }
		for m.Type != "subscribe" {
			if ws.ReadJSON(&m) != nil {
				return
			}
			if m.Type == "connection_init" {
				say(`{"type":"connection_ack"}`)
			}
		}
		number := connections.Add(1)
		since <- m.Payload.Variables.Since
		say(fmt.Sprintf(`{"id":%q,"type":"next","payload":{"data":{"serviceHealthChanged":{"cursor":"c%d"}}}}`, m.ID, number))
		if number == 2 {
			say(fmt.Sprintf(`{"id":%q,"type":"complete"}`, m.ID))
			_, _, _ = ws.ReadMessage() // until the client closes
		}
	}))
	defer peer.Close()
	command := exec.CommandContext(t.Context(), "node", "--input-type=module", "-e", string(snippet[1]))
	command.Dir = repo + "/test/graphql-ws"
	command.Env = append(os.Environ(), "UWS_URL=ws"+strings.TrimPrefix(peer.URL, "http"), "UWS_TOKEN=x")
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if a, b := receive(t, since, "the first subscription"), receive(t, since, "the second subscription"); a != "" || b != "c1" {
		t.Errorf("it asked for what came after %q, and after its reconnect %q; it printed %s", a, b, out)
	}
}
