package server_test

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/ent/node"
	"github.com/unicorn-web-services/uws/ent/volume"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/auth"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

// plainLists are the lists that have a connection too, by the names of its field.
var plainLists = map[string]string{
	"nodeConnection": "nodes", "templateConnection": "templates", "retainedDataConnection": "retainedData",
	"orphanConnection": "orphans", "tokenConnection": "tokens", "sessionConnection": "sessions",
	"backupTargetConnection": "backupTargets", "backupPolicyConnection": "backupPolicies",
}

// orphansAPI has these orphans, backup targets and policies.
type orphansAPI struct {
	orchestrator.API
	orphans  []orchestrator.Orphan
	targets  []orchestrator.BackupTarget
	policies []orchestrator.BackupPolicy
}

func (o *orphansAPI) BackupTargets(context.Context) ([]orchestrator.BackupTarget, error) {
	return slices.Clone(o.targets), nil
}

func (o *orphansAPI) BackupPolicies(context.Context) ([]orchestrator.BackupPolicy, error) {
	return slices.Clone(o.policies), nil
}

func (o *orphansAPI) Orphans(context.Context) ([]orchestrator.Orphan, error) {
	return slices.Clone(o.orphans), nil
}

// Templates are some of those that there are.
func (o *orphansAPI) Templates() []catalog.Template { return o.API.Templates()[:5] }

// manyOfEach serves a control plane with five items in each list, three of them of kind DB where they have a kind.
func manyOfEach(t *testing.T) (url string, api *orphansAPI, access *auth.Authenticator, st *store.Store) {
	t.Helper()
	o, opts, st := controlPlane(t)
	api = &orphansAPI{API: o}
	opts.API = api
	template := o.Templates()[0]
	err := st.Update(t.Context(), func(ctx context.Context, tx *ent.Tx) error {
		for i, name := range []string{"e", "b", "d", "a", "c"} {
			kind := catalog.DB
			if i%2 == 1 {
				kind = catalog.Queue
			}
			api.targets = append(api.targets, orchestrator.BackupTarget{ID: "t" + name, Name: "target-" + name, CreatedAt: at})
			api.policies = append(api.policies, orchestrator.BackupPolicy{ID: "p" + name, CreatedAt: at.Add(time.Duration(i/2) * time.Second)})
			api.orphans = append(api.orphans, orchestrator.Orphan{ID: "s" + name, Kind: &kind, NodeID: "n" + string(rune('a'+i/2))})
			if err := tx.Node.Create().SetID("n" + name).SetName("node-" + name).SetDriver(node.DriverPROCESS).SetEndpoint("process").
				SetServiceAddress("127.0.0.1").SetCreatedAt(at).Exec(ctx); err != nil {
				return err
			}
			if err := tx.Volume.Create().SetID("v" + name).SetFormerService("s" + name).SetName("data-" + name).SetKind(kind).SetTemplate(template.Name).
				SetDefinition(template).SetNodeID("").SetCredentials([]byte("sealed")).SetCreatedAt(at).
				SetRetainedAt(at.UTC().Add(time.Duration(i/2) * time.Second)).Exec(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(api.orphans, func(a, b orchestrator.Orphan) int { return strings.Compare(a.NodeID+a.ID, b.NodeID+b.ID) })
	slices.SortFunc(api.targets, func(a, b orchestrator.BackupTarget) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(api.policies, func(a, b orchestrator.BackupPolicy) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), strings.Compare(a.ID, b.ID))
	})
	url = serve(t, opts) // with a token, the first by name
	for i := range 4 {
		secret, _, err := opts.Access.CreateToken(auth.With(t.Context(), auth.CommandLine()), auth.TokenInput{Name: fmt.Sprint("program-", i), Role: auth.Viewer})
		if err != nil {
			t.Fatal(err)
		}
		for range 1 + i/3 {
			if _, _, err := opts.Access.SignIn(t.Context(), secret, "192.0.2.1", "test"); err != nil {
				t.Fatal(err)
			}
		}
	}
	return url, api, opts.Access, st
}

// listPage is a page of any of the lists. Items have an id, or its name.
type listPage struct {
	Nodes []struct{ Key string }
	Edges []struct {
		Cursor string
		Node   struct{ Key string }
	}
	PageInfo struct {
		HasNextPage, HasPreviousPage bool
		StartCursor, EndCursor       *string
	}
	TotalCount int
}

func keyOf(list string) string {
	if list == "templateConnection" {
		return "key: name"
	}
	return "key: id"
}

// plainList returns the keys of a list without pages.
func plainList(t *testing.T, url, list string) (keys []string) {
	t.Helper()
	got := post(t, url, "{ list: "+plainLists[list]+" { "+keyOf(list)+" } }", nil)
	var data struct{ List []struct{ Key string } }
	if err := json.Unmarshal(got.Data, &data); err != nil || len(got.Errors) > 0 {
		t.Fatalf("%s: %s %+v", list, got.Data, got.Errors)
	}
	for _, item := range data.List {
		keys = append(keys, item.Key)
	}
	return keys
}

func pageQuery(list string) string {
	return "query($first: Int, $after: ID) { page: " + list + "(first: $first, after: $after) { totalCount nodes { " + keyOf(list) + " } edges { cursor node { " + keyOf(list) +
		" } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"
}

// readPage returns a page and its keys.
func readPage(t *testing.T, url, list string, first int, after *string) (p listPage, keys []string) {
	t.Helper()
	got := post(t, url, pageQuery(list), map[string]any{"first": first, "after": after})
	data := struct{ Page *listPage }{&p}
	if err := json.Unmarshal(got.Data, &data); err != nil || len(got.Errors) > 0 {
		t.Fatalf("%s: %s %+v", list, got.Data, got.Errors)
	}
	for i, e := range p.Edges {
		if len(p.Nodes) != len(p.Edges) || p.Nodes[i] != e.Node {
			t.Errorf("%s: edges %+v, nodes %+v", list, p.Edges, p.Nodes)
		}
		keys = append(keys, e.Node.Key)
	}
	return p, keys
}

// The pages of each list put together are the plain list, and each page names where it begins and ends.
func TestPagesAreThePlainList(t *testing.T) {
	url, _, _, _ := manyOfEach(t)
	for list := range plainLists {
		want := plainList(t, url, list)
		if len(want) != 5 {
			t.Fatalf("%s has %q", list, want)
		}
		var got []string
		var after *string
		for n := range 3 {
			p, keys := readPage(t, url, list, 2, after)
			got = append(got, keys...)
			if p.PageInfo.HasNextPage != (n < 2) || p.PageInfo.HasPreviousPage != (n > 0) || p.TotalCount != 5 ||
				*p.PageInfo.StartCursor != p.Edges[0].Cursor || *p.PageInfo.EndCursor != p.Edges[len(p.Edges)-1].Cursor {
				t.Errorf("%s: page %d is %+v", list, n, p)
			}
			after = p.PageInfo.EndCursor
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: pages have %q, the plain list %q", list, got, want)
		}
		p, keys := readPage(t, url, list, 2, after)
		if len(keys) > 0 || p.TotalCount != 5 || p.PageInfo.HasNextPage || !p.PageInfo.HasPreviousPage || p.PageInfo.StartCursor != nil || p.PageInfo.EndCursor != nil {
			t.Errorf("%s: after the end comes %+v", list, p)
		}
		if _, keys := readPage(t, url, list, 5000, nil); !slices.Equal(keys, want) { // as 1000
			t.Errorf("%s: one page has %q", list, keys)
		}
	}
}

// Paging goes on at the next item when the one of the cursor was deleted meanwhile.
func TestPagingGoesOnAfterWhatIsGone(t *testing.T) {
	url, api, access, st := manyOfEach(t)
	command := auth.With(t.Context(), auth.CommandLine())
	gone := map[string]func(key string) error{
		"nodeConnection": func(key string) error {
			return st.Update(t.Context(), func(ctx context.Context, tx *ent.Tx) error { return tx.Node.DeleteOneID(key).Exec(ctx) })
		},
		"retainedDataConnection": func(key string) error {
			return st.Update(t.Context(), func(ctx context.Context, tx *ent.Tx) error {
				_, err := tx.Volume.Delete().Where(volume.ID(key)).Exec(ctx)
				return err
			})
		},
		"orphanConnection": func(key string) error {
			api.orphans = slices.DeleteFunc(api.orphans, func(x orchestrator.Orphan) bool { return x.ID == key })
			return nil
		},
		"backupTargetConnection": func(key string) error {
			api.targets = slices.DeleteFunc(api.targets, func(x orchestrator.BackupTarget) bool { return x.ID == key })
			return nil
		},
		"backupPolicyConnection": func(key string) error {
			api.policies = slices.DeleteFunc(api.policies, func(x orchestrator.BackupPolicy) bool { return x.ID == key })
			return nil
		},
		"sessionConnection": func(key string) error { return access.RevokeSession(command, key) },
		"tokenConnection":   func(key string) error { return access.RevokeToken(command, key) },
	}
	for _, list := range []string{"nodeConnection", "retainedDataConnection", "orphanConnection", "sessionConnection", "tokenConnection", "backupTargetConnection", "backupPolicyConnection"} {
		want := plainList(t, url, list)
		p, _ := readPage(t, url, list, 2, nil)
		if err := gone[list](want[1]); err != nil {
			t.Fatal(err)
		}
		p, keys := readPage(t, url, list, 2, p.PageInfo.EndCursor)
		if !slices.Equal(keys, want[2:4]) || p.TotalCount != 4 || !p.PageInfo.HasNextPage {
			t.Errorf("%s of %q: after %s come %q: %+v", list, want, want[1], keys, p)
		}
	}
}

// A cursor of another list, or of none, is refused with what is right.
func TestForeignCursorsAreRefused(t *testing.T) {
	url, _, _, _ := manyOfEach(t)
	foreign := map[string]string{"services": "MjAyNi0wMS0wMVQwMDowMDowMFogczE", "none": "bogus!", "text": base64.RawURLEncoding.EncodeToString([]byte("node"))}
	for list := range plainLists {
		p, _ := readPage(t, url, list, 2, nil)
		foreign[list] = *p.PageInfo.EndCursor
	}
	for list := range plainLists {
		for of, cursor := range foreign {
			got := post(t, url, pageQuery(list), map[string]any{"after": cursor})
			switch {
			case of == list:
				if got.code() != "OK" {
					t.Errorf("%s: its own cursor is refused: %+v", list, got.Errors)
				}
			case got.code() != "INVALID_INPUT" || got.Errors[0].Extensions["field"] != "after" || !strings.Contains(got.Errors[0].Message, "pageInfo.endCursor"):
				t.Errorf("%s: a cursor of %s: %s %+v", list, of, got.Data, got.Errors)
			}
		}
		if got := post(t, url, pageQuery(list), map[string]any{"first": 0}); got.code() != "INVALID_INPUT" || got.Errors[0].Extensions["field"] != "first" {
			t.Errorf("%s: a page of 0: %s %+v", list, got.Data, got.Errors)
		}
	}
}

// Cursors of the audit log are opaque as well, and those of other lists are refused. A bare number, which was the cursor of
// older versions, still works.
func TestAuditCursors(t *testing.T) {
	url, _, _, _ := manyOfEach(t)
	for range 2 {
		post(t, url, `mutation { stopService(id: "s1") { id } }`, nil)
	}
	read := func(first int, after any) (answer, []string, []string) {
		t.Helper()
		got := post(t, url, `query($first: Int, $after: ID) { auditLog(first: $first, after: $after) { edges { cursor node { id } } } }`, map[string]any{"first": first, "after": after})
		var data struct {
			AuditLog struct {
				Edges []struct {
					Cursor string
					Node   struct{ ID string }
				}
			}
		}
		if err := json.Unmarshal(got.Data, &data); err != nil {
			t.Fatalf("%s: %v", got.Data, err)
		}
		var ids, cursors []string
		for _, e := range data.AuditLog.Edges {
			ids, cursors = append(ids, e.Node.ID), append(cursors, e.Cursor)
		}
		return got, ids, cursors
	}
	_, all, cursors := read(1000, nil)
	if len(all) < 3 {
		t.Fatalf("the log has lines %q", all)
	}
	if _, err := strconv.Atoi(cursors[0]); err == nil {
		t.Errorf("the cursor of line %s is the number %s", all[0], cursors[0])
	}
	for _, after := range []string{cursors[0], all[0]} {
		if got, ids, _ := read(2, after); got.code() != "OK" || !slices.Equal(ids, all[1:3]) {
			t.Errorf("after %q: %q, want %q: %+v", after, ids, all[1:3], got.Errors)
		}
	}
	p, _ := readPage(t, url, "tokenConnection", 2, nil)
	foreign := []string{*p.PageInfo.EndCursor, "bogus!", "0", "-1", "12x", base64.RawURLEncoding.EncodeToString([]byte("auditLog:x"))}
	for _, after := range foreign {
		if got, _, _ := read(2, after); got.code() != "INVALID_INPUT" || got.Errors[0].Extensions["field"] != "after" || !strings.Contains(got.Errors[0].Message, "pageInfo.endCursor") {
			t.Errorf("after %q: %s %+v", after, got.Data, got.Errors)
		}
	}
}

// Pages show each caller what the plain list shows, and count no more.
func TestPagesHideWhatTheListHides(t *testing.T) {
	url, _, access, _ := manyOfEach(t)
	limited := http.Header{"Authorization": {"Bearer " + tokenOf(t, access, auth.Viewer, catalog.DB)}}
	for list, plain := range plainLists {
		body := rawPost(t, url, limited, pageQuery(list), nil)
		items := rawPost(t, url, limited, "{ "+plain+" { "+keyOf(list)+" } }", nil)
		if list == "tokenConnection" {
			if !strings.Contains(body, "FORBIDDEN") {
				t.Errorf("%s: %s", list, body)
			}
			continue
		}
		var got struct{ Data struct{ Page listPage } }
		var want struct {
			Data map[string][]struct{ Key string }
		}
		if json.Unmarshal([]byte(body), &got) != nil || json.Unmarshal([]byte(items), &want) != nil {
			t.Fatalf("%s: %s, %s", list, body, items)
		}
		if fmt.Sprint(got.Data.Page.Nodes) != fmt.Sprint(want.Data[plain]) || got.Data.Page.TotalCount != len(want.Data[plain]) {
			t.Errorf("%s: %s, but the plain list is %s", list, body, items)
		}
		if n := len(want.Data[plain]); (plain == "orphans" || plain == "retainedData") && n != 3 || plain == "sessions" && n != 0 {
			t.Errorf("%s: %d items", plain, n)
		}
	}
}
