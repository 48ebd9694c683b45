package server_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/auth"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
)

// A service tells each caller what it may do with it now. What needs no engine is tried: what is listed is accepted.
func TestAllowedActions(t *testing.T) {
	o, opts, st := controlPlane(t)
	s, err := o.Launch(t.Context(), orchestrator.LaunchInput{Kind: catalog.DB, Name: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	url := serveLocked(t, opts)
	const admin = 2
	var callers []http.Header
	for _, role := range []auth.Role{auth.Viewer, auth.Operator, auth.Admin} {
		callers = append(callers, http.Header{"Authorization": {"Bearer " + tokenOf(t, opts.Access, role)}})
	}
	ask := func(who int, operation string) string {
		return rawPost(t, url, callers[who], operation, nil)
	}
	for _, tt := range []struct {
		name            string
		change          func(*ent.ServiceUpdateOne)
		operator, admin string // what the latter may do in addition
	}{
		{"just launched", func(*ent.ServiceUpdateOne) {}, "STOP REVEAL_CREDENTIALS REMOVE", "DELETE_DATA"},
		{"works", func(up *ent.ServiceUpdateOne) {
			up.SetNodeID("n").SetPhase(lifecycle.Running).SetHealth(lifecycle.HealthHealthy)
		}, "STOP RESTART CHECK REVEAL_CREDENTIALS ROTATE_CREDENTIALS REMOVE", "SEPARATE_ADMIN DELETE_DATA"},
		{"rotating", func(up *ent.ServiceUpdateOne) { up.SetPendingCredentials([]byte("sealed")) },
			"STOP RESTART CHECK REVEAL_CREDENTIALS REMOVE", "DELETE_DATA"},
		{"failed", func(up *ent.ServiceUpdateOne) {
			up.ClearPendingCredentials().SetPhase(lifecycle.Failed).SetHealth(lifecycle.HealthUnhealthy)
		}, "START STOP RESTART REVEAL_CREDENTIALS REMOVE", "DELETE_DATA"},
		{"stopped", func(up *ent.ServiceUpdateOne) {
			up.SetDesiredState(lifecycle.WantStopped).SetPhase(lifecycle.Stopped).SetHealth(lifecycle.HealthUnknown)
		}, "START REVEAL_CREDENTIALS REMOVE", "DELETE_DATA"},
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
		for who, want := range []string{"", tt.operator, tt.operator + " " + tt.admin} {
			body := ask(who, `{ service(id: "`+s.ID+`") { allowedActions } }`)
			_, list, _ := strings.Cut(body, "[")
			list, _, _ = strings.Cut(list, "]")
			got := map[string]bool{}
			for _, action := range strings.FieldsFunc(list, func(r rune) bool { return r == '"' || r == ',' }) {
				got[action] = true
			}
			for _, action := range strings.Fields(want) {
				if !got[action] {
					t.Errorf("%s: caller %d may not %s: %s", tt.name, who, action, body)
				}
				delete(got, action)
			}
			if len(got) > 0 {
				t.Errorf("%s: caller %d may also %v", tt.name, who, got)
			}
			if may := strings.Contains(want, "ROTATE"); who == admin && tt.name != "works" && strings.Contains(ask(who, `mutation { rotateCredentials(id: "`+s.ID+`") { id } }`), "CONFLICT") == may {
				t.Errorf("%s: whether credentials can be changed is not %t", tt.name, may)
			}
		}
	}
}
