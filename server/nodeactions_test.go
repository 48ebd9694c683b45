package server_test

import (
	"net/http"
	"testing"

	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/auth"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
)

// What can be done with a node is listed for those who may do it: ADMINs, when it is queried and in `changes`.
func TestNodeActionsByRole(t *testing.T) {
	access := newAuth(t, auth.Options{})
	for _, tt := range []struct {
		secret, want string
	}{
		{tokenOf(t, access, auth.Admin), "DRAIN"},
		{tokenOf(t, access, auth.Operator), ""},
		{tokenOf(t, access, auth.Operator, catalog.DB), ""},
		{tokenOf(t, access, auth.Viewer), ""},
	} {
		fake := newFake()
		api := &changesAPI{API: fake, messages: make(chan *orchestrator.Changes)} // of one watch
		opts := options(fake)
		opts.API, opts.Access = api, access
		url := serveLocked(t, opts)
		header := http.Header{"Authorization": {"Bearer " + tt.secret}}
		allow(t, "query", rawPost(t, url, header, `{ node(id: "n1") { allowedActions } }`, nil), tt.want)
		feed := dialWith(t, url, header)
		feed.say(`{"type":"connection_init"}`)
		feed.expect("", "connection_ack", "")
		feed.subscribe("1", `subscription { changes { nodes { allowedActions } } }`)
		api.tell(t, &orchestrator.Changes{Nodes: fake.nodes[:1], Complete: true, Position: 1})
		allow(t, "changes", string(feed.expect("1", "next", "").Payload), tt.want)
	}
}
