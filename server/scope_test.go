package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/graph/generated"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/app"
	"github.com/unicorn-web-services/uws/orchestrator/auth"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/fleet"
	"github.com/unicorn-web-services/uws/orchestrator/probe"
	"github.com/unicorn-web-services/uws/orchestrator/store"
	"github.com/unicorn-web-services/uws/server"
)

// controlPlane returns a real control plane without nodes: its services wait for one.
func controlPlane(t *testing.T) (*app.App, server.Options, *store.Store) {
	t.Helper()
	st, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	o := appOn(t, st, slog.New(slog.DiscardHandler))
	access, err := auth.Open(t.Context(), auth.Options{Store: st, Rates: many})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := o.Close(); err != nil {
			t.Error(err)
		}
		_ = st.Close()
	})
	opts := options(newFake())
	opts.API, opts.Access = o, access
	return o, opts, st
}

// appOn makes a control plane of a store.
func appOn(t *testing.T, st *store.Store, log *slog.Logger) *app.App {
	t.Helper()
	templates, err := catalog.Load("", catalog.Probes{Check: probe.Check, Writes: probe.Writes})
	if err != nil {
		t.Fatal(err)
	}
	o, err := app.New(t.Context(), app.Options{Store: st, Catalog: templates, Drivers: fleet.Drivers{"PROCESS": {Open: noDriver}, "DOCKER": {Capabilities: fleet.Capabilities{Keys: true}, Open: noDriver}}, Log: log, Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// For a caller limited to kinds, hidden and missing objects give identical responses, in every operation of the schema
// and each of its arguments.
func TestHiddenIsMissing(t *testing.T) {
	schema := generated.NewExecutableSchema(generated.Config{}).Schema()
	o, opts, st := controlPlane(t)
	hidden, err := o.Launch(t.Context(), orchestrator.LaunchInput{Kind: catalog.Bucket, Name: "hidden-service"})
	if err != nil {
		t.Fatal(err)
	}
	kept := "v2nlshte47bkchvuzq4qggvpab"
	err = st.Update(t.Context(), func(ctx context.Context, tx *ent.Tx) error {
		return tx.Volume.Create().SetID(kept).SetFormerService("sgone").SetName("hidden-data").SetKind(catalog.Bucket).SetTemplate(hidden.Definition.Name).SetDefinition(hidden.Definition).
			SetNodeID("").SetCredentials([]byte("sealed")).SetCreatedAt(time.Now()).SetRetainedAt(time.Now()).Exec(ctx)
	})
	if err != nil {
		t.Fatal(err)
	}
	policy := hideBackups(t, o, st, hidden)
	url := serveLocked(t, opts)
	header := http.Header{"Authorization": {"Bearer " + tokenOf(t, opts.Access, auth.Operator, catalog.DB)}}
	s := dialWith(t, url, header)
	s.say(`{"type":"connection_init"}`)
	s.expect("", "connection_ack", "")

	// Pairs of ids with the same length: one that exists and one that does not.
	secrets := [][2]string{{hidden.ID, "s" + strings.Repeat("z", len(hidden.ID)-1)}, {kept, "v" + strings.Repeat("z", len(kept)-1)}, {"hidden-service", "absent-service"}, {"hidden-data", "absent-data"},
		{hiddenBackup, "sz" + hiddenBackup[2:]}, {hiddenRestore, "sz" + hiddenRestore[2:]}, {policy, "s" + strings.Repeat("z", len(policy)-1)}, {"hidden-copy", "absent-copy"}}
	n := 0
	for _, p := range inputPlaces(schema, func(d *ast.Definition) bool { return d.Name == "ID" || d.Name == "String" }) {
		if (p.field == "launchService" || p.field == "restoreBackup") && strings.HasSuffix(p.path, ".name") {
			continue // the exceptions, tested by TestTakenNames and TestLimitedRestores
		}
		for _, pair := range secrets {
			var bodies []string
			for _, word := range pair {
				n++
				query, variables := p.whole(schema), map[string]any{"v": p.with(word)}
				if input, ok := variables["v"].(map[string]any); ok {
					complete(schema, schema.Types[p.variable.Name()], input)
				}
				body := ""
				if p.root == "subscription" {
					body = subscribed(t, s, n, query, variables)
				} else {
					body = rawPost(t, url, header, query, variables)
				}
				bodies = append(bodies, strings.NewReplacer(word, "*", fmt.Sprint("x", n, `"`), `*"`).Replace(body))
			}
			if bodies[0] != bodies[1] {
				t.Errorf("%s.%s %s tells of %s:\n%s\n%s", p.root, p.field, p.path, pair[0], bodies[0], bodies[1])
			}
		}
	}
	for _, query := range []string{`{services{totalCount nodes{id}}}`, `{events{nodes{id}}}`, `{retainedData{id}}`, `{nodes{serviceCount unrecognised}}`,
		`{backups{nodes{id serviceId serviceName}} restores{nodes{id name}} backupPolicies{id serviceId} backupTargets{folder backupCount policyCount storedBytes reason warnings}}`} {
		if body := rawPost(t, url, header, query, nil); strings.Contains(body, "hidden") || strings.Contains(body, hidden.ID) || strings.Contains(body, kept) || strings.Contains(body, policy) || strings.Contains(body, "/backups") || strings.Contains(body, "machine") {
			t.Errorf("%s: %s", query, body)
		}
	}
	if n < 100 {
		t.Errorf("only %d operations were asked", n)
	}
}

// A limited caller does not learn who has a name, unless it may see that service.
func TestTakenNames(t *testing.T) {
	o, opts, _ := controlPlane(t)
	for kind, name := range map[catalog.Kind]string{catalog.Bucket: "hidden", catalog.DB: "own"} {
		if _, err := o.Launch(t.Context(), orchestrator.LaunchInput{Kind: kind, Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	url := serveLocked(t, opts)
	header := http.Header{"Authorization": {"Bearer " + tokenOf(t, opts.Access, auth.Operator, catalog.DB)}}
	for name, want := range map[string]string{"hidden": `the name \"hidden\" is not available; choose another"`, "own": "launched with another input"} {
		body := rawPost(t, url, header, `mutation($n: String!) { launchService(input: {kind: DB, name: $n, limits: {memoryMiB: 777}}) { id } }`, map[string]any{"n": name})
		if !strings.Contains(body, "CONFLICT") || !strings.Contains(body, want) || strings.Contains(body, "BUCKET") {
			t.Errorf("%s: %s", name, body)
		}
	}
}

// The same for ports.
func TestTakenPorts(t *testing.T) {
	o, opts, _ := controlPlane(t)
	taken := []orchestrator.PortInput{{Name: "s3", Number: 20123}}
	if _, err := o.Launch(t.Context(), orchestrator.LaunchInput{Kind: catalog.Bucket, Name: "hidden", Ports: taken}); err != nil {
		t.Fatal(err)
	}
	url := serveLocked(t, opts)
	for want, kinds := range map[string][]catalog.Kind{`20123 is used by service \"hidden\"`: nil, "the port is in use on that node": {catalog.DB}} {
		header := http.Header{"Authorization": {"Bearer " + tokenOf(t, opts.Access, auth.Operator, kinds...)}}
		body := rawPost(t, url, header, `mutation { launchService(input: {kind: DB, name: "own", ports: [{name: "sql", number: 20123}]}) { id } }`, nil)
		if !strings.Contains(body, "CONFLICT") || !strings.Contains(body, `"input.ports[0].number"`) || !strings.Contains(body, want) || kinds != nil && strings.Contains(body, "hidden") {
			t.Errorf("limited to %v: %s", kinds, body)
		}
	}
}

// Changes of hidden services are not sent to a limited caller, and no message contains their ids.
func TestChangesOfHiddenServices(t *testing.T) {
	fake := newFake()
	api := &changesAPI{API: fake, messages: make(chan *orchestrator.Changes)}
	rows := fake.services
	rows[1].Kind = catalog.DB
	opts := options(fake)
	opts.API = api
	opts.Access = newAuth(t, auth.Options{})
	url := serveLocked(t, opts)
	s := dialWith(t, url, http.Header{"Authorization": {"Bearer " + tokenOf(t, opts.Access, auth.Viewer, catalog.DB)}})
	s.say(`{"type":"connection_init"}`)
	s.expect("", "connection_ack", "")
	s.subscribe("1", `subscription{changes{kind services{id} nodes{id serviceCount unrecognised} deletedServices}}`)
	node := func(n int) []orchestrator.Node {
		one := fake.nodes[0]
		one.Services = n
		return []orchestrator.Node{one}
	}
	for _, c := range []*orchestrator.Changes{
		{Snapshot: true, Services: rows, Nodes: node(2), Complete: true, Cursor: "a", Position: 1},
		{Services: rows[:1], Nodes: node(3), Complete: true, Cursor: "b", Position: 2},
		{DeletedServices: []string{"s1"}, Nodes: node(2), Complete: true, Cursor: "c", Position: 3},
		{DeletedServices: []string{"s1", "s2"}, Complete: true, Cursor: "d", Position: 4},
	} {
		api.tell(t, c)
	}
	const count = "42" // the fake's
	s.expect("1", "next", `{"data":{"changes":{"kind":"SNAPSHOT","services":[{"id":"s2"}],"nodes":[{"id":"n1","serviceCount":`+count+`,"unrecognised":[]}],"deletedServices":[]}}}`)
	s.expect("1", "next", `{"data":{"changes":{"kind":"BATCH","services":[],"nodes":[],"deletedServices":["s2"]}}}`)
}

// changesAPI sends given messages to live watches.
type changesAPI struct {
	orchestrator.API
	messages chan *orchestrator.Changes
}

// tell sends a message to a watch. It fails if there is no watch.
func (a *changesAPI) tell(t *testing.T, c *orchestrator.Changes) {
	t.Helper()
	select {
	case a.messages <- c:
	case <-time.After(patience):
		t.Fatal("nobody watches")
	}
}

// Events returns no events of the caller's kinds.
func (a *changesAPI) Events(context.Context, orchestrator.EventFilter, orchestrator.Page) (list orchestrator.List[*orchestrator.Event], err error) {
	return list, nil
}

func (a *changesAPI) WatchChanges(ctx context.Context, span orchestrator.Span, yield func(*orchestrator.Changes) error) (int64, error) {
	if !span.Live {
		return 0, nil
	}
	for {
		select {
		case <-ctx.Done():
			return 0, nil
		case c := <-a.messages:
			if err := yield(c); err != nil {
				return 0, err
			}
		}
	}
}

// whole is text, but selects all fields of the result, one level deep.
func (p inputPlace) whole(schema *ast.Schema) string {
	root := map[string]*ast.Definition{"query": schema.Query, "mutation": schema.Mutation, "subscription": schema.Subscription}[p.root]
	def := schema.Types[root.Fields.ForName(p.field).Type.Name()]
	if !def.IsCompositeType() {
		return p.text(schema)
	}
	var leaves []string
	for _, f := range def.Fields {
		if schema.Types[f.Type.Name()].IsLeafType() {
			leaves = append(leaves, f.Name)
		}
	}
	return strings.Replace(p.text(schema), "{ __typename }", "{ __typename "+strings.Join(leaves, " ")+" }", 1)
}

// complete adds the required fields to an input.
func complete(schema *ast.Schema, def *ast.Definition, input map[string]any) {
	for _, f := range def.Fields {
		inner := schema.Types[f.Type.Name()]
		if _, ok := input[f.Name]; !ok && f.Type.NonNull && f.DefaultValue == nil {
			switch {
			case inner.Name == "ServiceKind":
				input[f.Name] = "DB"
			case inner.Kind == ast.Enum:
				input[f.Name] = inner.EnumValues[0].Name
			case inner.Kind == ast.InputObject:
				input[f.Name] = map[string]any{}
			default:
				input[f.Name] = "fill-in"
			}
		}
		if object, ok := input[f.Name].(map[string]any); ok {
			complete(schema, inner, object)
		}
	}
}

func rawPost(t *testing.T, url string, header http.Header, query string, variables map[string]any) string {
	t.Helper()
	response := request(t, http.MethodPost, url+"/graphql", asJSON(t, map[string]any{"query": query, "variables": variables}), header)
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// subscribed returns the first message of a subscription.
func subscribed(t *testing.T, s *socket, n int, query string, variables map[string]any) string {
	t.Helper()
	id := fmt.Sprint("x", n)
	payload, err := json.Marshal(map[string]any{"query": query, "variables": variables})
	if err != nil {
		t.Fatal(err)
	}
	s.say(`{"id":"` + id + `","type":"subscribe","payload":` + string(payload) + `}`)
	var m message
	for m.ID != id || m.Type == "complete" {
		m = message{}
		if err := s.ReadJSON(&m); err != nil {
			t.Fatalf("%s %v: %v", query, variables, err)
		}
	}
	s.say(`{"id":"` + id + `","type":"complete"}`)
	return m.Type + " " + string(m.Payload)
}

func noDriver(orchestrator.Node, orchestrator.Access) (driver.Driver, error) {
	return nil, fmt.Errorf("there is no node")
}
