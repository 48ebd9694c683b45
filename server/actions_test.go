package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/app"
	"github.com/unicorn-web-services/uws/orchestrator/auth"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

// A service lists the actions that the caller can do now, both in a query and in `changes`. Actions that need no engine
// are tried: those listed are accepted.
func TestAllowedActions(t *testing.T) {
	o, opts, st := controlPlane(t)
	s, err := o.Launch(t.Context(), orchestrator.LaunchInput{Kind: catalog.DB, Name: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	api := &changesAPI{API: o, messages: make(chan *orchestrator.Changes)}
	opts.API = api
	url := serveLocked(t, opts)
	const admin = 2
	var callers []http.Header
	for _, role := range []auth.Role{auth.Viewer, auth.Operator, auth.Admin} {
		callers = append(callers, http.Header{"Authorization": {"Bearer " + tokenOf(t, opts.Access, role)}})
	}
	ask := func(who int, operation string) string {
		return rawPost(t, url, callers[who], operation, nil)
	}
	feed := dialWith(t, url, callers[1])
	feed.say(`{"type":"connection_init"}`)
	feed.expect("", "connection_ack", "")
	feed.subscribe("1", `subscription { changes { services { allowedActions } } }`)
	for i, tt := range []struct {
		name            string
		change          func(*ent.ServiceUpdateOne)
		operator, admin string // what the latter may do in addition
	}{
		{"just launched", func(*ent.ServiceUpdateOne) {}, "STOP REVEAL_CREDENTIALS SET_LABELS REMOVE", "DELETE_DATA"},
		{"works", func(up *ent.ServiceUpdateOne) {
			up.SetNodeID("n").SetPhase(lifecycle.Running).SetHealth(lifecycle.HealthHealthy)
		}, "STOP RESTART CHECK REVEAL_CREDENTIALS ROTATE_CREDENTIALS SET_LABELS REMOVE", "DELETE_DATA"},
		{"works, and its user is the superuser", func(up *ent.ServiceUpdateOne) { up.SetCredentials(sealed(t, st, s.Volume, "user")) },
			"STOP RESTART CHECK REVEAL_CREDENTIALS ROTATE_CREDENTIALS SET_LABELS REMOVE", "SEPARATE_ADMIN DELETE_DATA"},
		{"rotating", func(up *ent.ServiceUpdateOne) { up.SetPendingCredentials([]byte("sealed")) },
			"STOP RESTART CHECK REVEAL_CREDENTIALS SET_LABELS REMOVE", "DELETE_DATA"},
		{"in quarantine", func(up *ent.ServiceUpdateOne) {
			up.ClearPendingCredentials().SetPhase(lifecycle.Running).SetQuarantine(&lifecycle.Quarantine{HeldBack: "jobs"})
		}, "STOP RESTART CHECK REVEAL_CREDENTIALS ROTATE_CREDENTIALS END_QUARANTINE SET_LABELS REMOVE", "SEPARATE_ADMIN DELETE_DATA"},
		{"failed", func(up *ent.ServiceUpdateOne) {
			up.ClearQuarantine().SetPhase(lifecycle.Failed).SetHealth(lifecycle.HealthUnhealthy)
		}, "START STOP RESTART REVEAL_CREDENTIALS SET_LABELS REMOVE", "DELETE_DATA"},
		{"stopped", func(up *ent.ServiceUpdateOne) {
			up.SetDesiredState(lifecycle.WantStopped).SetPhase(lifecycle.Stopped).SetHealth(lifecycle.HealthUnknown)
		}, "START REVEAL_CREDENTIALS SET_LABELS REMOVE", "DELETE_DATA"},
		{"being removed", func(up *ent.ServiceUpdateOne) { up.SetDesiredState(lifecycle.WantRemoved) }, "", ""},
	} {
		err := st.Update(t.Context(), func(ctx context.Context, tx *ent.Tx) error {
			up := tx.Service.UpdateOneID(s.ID)
			tt.change(up)
			return up.Exec(ctx)
		})
		if err != nil {
			t.Fatal(err)
		}
		row, err := o.Service(t.Context(), s.ID)
		if err != nil {
			t.Fatal(err)
		}
		api.tell(t, &orchestrator.Changes{Services: []*orchestrator.Service{row}, Complete: true, Position: int64(i + 1)})
		told := feed.expect("1", "next", "")
		allow(t, tt.name+", in changes", string(told.Payload), tt.operator)
		for who, want := range []string{"", tt.operator, tt.operator + " " + tt.admin} {
			allow(t, fmt.Sprintf("%s, caller %d", tt.name, who), ask(who, `{ service(id: "`+s.ID+`") { allowedActions } }`), want)
			if may := strings.Contains(want, "ROTATE"); who == admin && !strings.HasPrefix(tt.name, "works") && strings.Contains(ask(who, `mutation { rotateCredentials(id: "`+s.ID+`") { id } }`), "CONFLICT") == may {
				t.Errorf("%s: whether credentials can be changed is not %t", tt.name, may)
			}
		}
	}
}

// sealed returns the credentials of a volume with these names.
func sealed(t *testing.T, st *store.Store, volume string, names ...string) []byte {
	t.Helper()
	values := map[string]string{}
	for _, name := range names {
		values[name] = "x"
	}
	text, err := json.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	b, err := st.Seal(text, store.CredentialsContext(volume))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The administrator of a database can be separated only while its user is the superuser: also of a service that was there
// when uws started, and no longer once it was separated.
func TestSeparateAdminIsOfferedWhereItIsPossible(t *testing.T) {
	o, _, st := controlPlane(t)
	s, err := o.Launch(t.Context(), orchestrator.LaunchInput{Kind: catalog.DB, Name: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	change := func(change func(*ent.ServiceUpdateOne)) {
		t.Helper()
		err := st.Update(t.Context(), func(ctx context.Context, tx *ent.Tx) error {
			up := tx.Service.UpdateOneID(s.ID)
			change(up)
			return up.Exec(ctx)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	change(func(up *ent.ServiceUpdateOne) {
		up.SetNodeID("n").SetPhase(lifecycle.Running).SetHealth(lifecycle.HealthHealthy).SetCredentials(sealed(t, st, s.Volume, "user", "password"))
	})
	restarted := appOn(t, st, slog.New(slog.DiscardHandler))
	t.Cleanup(func() { _ = restarted.Close() })
	offered := func(want bool) {
		t.Helper()
		for name, o := range map[string]*app.App{"before the restart": o, "after it": restarted} {
			list, err := o.Services(t.Context(), orchestrator.ServiceFilter{}, orchestrator.Page{First: 1})
			if err != nil {
				t.Fatal(err)
			}
			if got := slices.Contains(o.Actions(list.Items[0]), orchestrator.ActionSeparateAdmin); got != want {
				t.Errorf("%s: offered %t, want %t", name, got, want)
			}
		}
	}
	offered(true)
	change(func(up *ent.ServiceUpdateOne) {
		up.SetCredentials(sealed(t, st, s.Volume, "user", "password", "adminUser", "adminPassword"))
	})
	offered(false)
}

// allow fails unless the only list of actions in an answer contains these, in any order.
func allow(t *testing.T, name, body, want string) {
	t.Helper()
	_, list, _ := strings.Cut(body, `"allowedActions":[`)
	list, _, _ = strings.Cut(list, "]")
	got := strings.FieldsFunc(list, func(r rune) bool { return r == '"' || r == ',' })
	if got, want := slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(strings.Fields(want))); !slices.Equal(got, want) {
		t.Errorf("%s: allowed %v, want %v: %s", name, got, want, body)
	}
}
