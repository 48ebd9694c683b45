package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/ent/backup"
	"github.com/unicorn-web-services/uws/ent/restore"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/auth"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

// addBackups stores backups and restores with these ids, two each second, the oldest first.
func addBackups(t *testing.T, st *store.Store, target string, state backup.State, ids ...string) {
	t.Helper()
	err := st.Update(t.Context(), func(ctx context.Context, tx *ent.Tx) error {
		for i, id := range ids {
			when := at.UTC().Add(time.Duration(i/2) * time.Second)
			err := tx.Backup.Create().SetID("b" + id).SetServiceID("s1").SetServiceName("shop").SetKind(catalog.DB).SetTemplate("postgres").SetEngineVersion("18").SetNodeID("n1").
				SetTargetID(target).SetTrigger(backup.TriggerREQUEST).SetState(state).SetReason("done").SetCreatedAt(when).SetStartedAt(when).SetFinishedAt(when).SetSnapshot("x").Exec(ctx)
			if err != nil {
				return err
			}
			err = tx.Restore.Create().SetID("r" + id).SetPurpose(restore.PurposeRESTORE).SetBackupID("b" + id).SetSourceID("s1").SetKind(catalog.DB).SetName("copy-" + id).
				SetNodeID("n1").SetVolume("v" + id).SetState(restore.StateFAILED).SetReason("failed").SetCreatedAt(when).SetFinishedAt(when).Exec(ctx)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// What is wrong is refused with the code and the field of the API, and nothing is stored.
func TestBackupInputs(t *testing.T) {
	o, opts, st := controlPlane(t)
	target := newTarget(t, o)
	service, err := o.Launch(t.Context(), orchestrator.LaunchInput{Kind: catalog.DB, Name: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	addBackups(t, st, target, backup.StateCOMPLETE, "good")
	addBackups(t, st, target, backup.StateFAILED, "bad")
	url := serve(t, opts)
	own := filepath.Join(st.Dir(), "backups")
	taken := t.TempDir()
	if err := os.WriteFile(filepath.Join(taken, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	create := func(rest string) string { return `mutation{createBackupTarget(input:{name:"b",` + rest + `}){id}}` }
	policy := func(rest string) string {
		return `mutation{setBackupPolicy(input:{targetId:"` + target + `",` + rest + `}){id}}`
	}
	restored := func(id, rest string) string {
		return `mutation{restoreBackup(id:"` + id + `",input:{` + rest + `}){id}}`
	}
	for _, tt := range []struct{ query, code, field string }{
		{create(``), "INVALID_INPUT", "input.folder"},
		{create(`folder:"relative"`), "INVALID_INPUT", "input.folder"},
		{create(`folder:"` + own + `"`), "INVALID_INPUT", "input.folder"},
		{create(`folder:"` + filepath.Dir(st.Dir()) + `"`), "INVALID_INPUT", "input.folder"},
		{create(`folder:"` + taken + `"`), "CONFLICT", "input.folder"},
		{create(`folder:"/b",s3:{bucket:"b"}`), "INVALID_INPUT", "input.folder"},
		{create(`folder:"/b",writeMiBPerSecond:-1`), "INVALID_INPUT", "input.writeMiBPerSecond"},
		{create(`folder:"/b",writeMiBPerSecond:100001`), "INVALID_INPUT", "input.writeMiBPerSecond"},
		{create(`s3:{bucket:"b",endpoint:"https://s3",prefix:"a/../b"}`), "INVALID_INPUT", "input.s3.prefix"},
		{create(`s3:{bucket:"b",endpoint:"ftp://s3"}`), "INVALID_INPUT", "input.s3"},
		{create(`s3:{bucket:"b",serviceId:"` + service.ID + `",secretKey:"k"}`), "INVALID_INPUT", "input.s3.serviceId"},
		{create(`s3:{bucket:"b",serviceId:"none"}`), "NOT_FOUND", "input.s3.serviceId"},
		{create(`s3:{bucket:"b",serviceId:"` + service.ID + `"}`), "INVALID_INPUT", "input.s3.serviceId"},
		{`mutation{createBackupTarget(input:{name:"Not a label",folder:"/b"}){id}}`, "INVALID_INPUT", "input.name"},
		{`mutation{createBackupTarget(input:{name:"disk",folder:"` + filepath.Join(t.TempDir(), "b") + `"}){id}}`, "CONFLICT", "input.name"},
		{`mutation{updateBackupTarget(id:"` + target + `",input:{secretKey:"k"}){id}}`, "CONFLICT", "input.secretKey"},
		{`mutation{updateBackupTarget(id:"` + target + `",input:{writeMiBPerSecond:100001}){id}}`, "INVALID_INPUT", "input.writeMiBPerSecond"},
		{`mutation{updateBackupTarget(id:"none",input:{}){id}}`, "NOT_FOUND", "id"},
		{`mutation{testBackupTarget(id:"none"){id}}`, "NOT_FOUND", "id"},
		{`mutation{recoveryKit(id:"none"){recoveryKit}}`, "NOT_FOUND", "id"},
		{`mutation{importBackupTarget(input:{name:"b",recoveryKit:"hello"}){id}}`, "INVALID_INPUT", "input.recoveryKit"},
		{`mutation{importBackupTarget(input:{name:"b",recoveryKit:"target: x\nkey: short\nfolder: /b"}){id}}`, "INVALID_INPUT", "input.recoveryKit"},
		{policy(`schedule:"now"`), "INVALID_INPUT", "input.schedule"},
		{policy(`schedule:"* * * * *"`), "INVALID_INPUT", "input.schedule"},
		{policy(`timeZone:"Mars/Olympus"`), "INVALID_INPUT", "input.timeZone"},
		{policy(`keep:{daily:1001}`), "INVALID_INPUT", "input.keep.daily"},
		{policy(`keep:{last:-1}`), "INVALID_INPUT", "input.keep.last"},
		{policy(`keep:{last:0,daily:0,weekly:0,monthly:0}`), "INVALID_INPUT", "input.keep"},
		{policy(`proveEvery:5`), "INVALID_INPUT", "input.proveEvery"},
		{policy(`proveNodeId:"none"`), "NOT_FOUND", "input.proveNodeId"},
		{policy(`serviceId:"none"`), "NOT_FOUND", "input.serviceId"},
		{policy(`serviceId:"` + service.ID + `",kinds:[DB]`), "INVALID_INPUT", "input.kinds"},
		{policy(`labels:[{name:"",value:"x"}]`), "INVALID_INPUT", "input.labels[0].name"},
		{`mutation{setBackupPolicy(input:{targetId:"none"}){id}}`, "NOT_FOUND", "input.targetId"},
		{`mutation{setBackupPolicy(id:"none",input:{targetId:"` + target + `"}){id}}`, "NOT_FOUND", "id"},
		{`mutation{deleteBackupPolicy(id:"none"){id}}`, "NOT_FOUND", "id"},
		{`mutation{backUpService(id:"` + service.ID + `"){id}}`, "INVALID_INPUT", "targetId"},
		{`mutation{backUpService(id:"` + service.ID + `",targetId:"none"){id}}`, "NOT_FOUND", "targetId"},
		{`mutation{backUpService(id:"` + service.ID + `",targetId:"` + target + `"){id}}`, "CONFLICT", "id"}, // it does not run
		{`mutation{backUpService(id:"none"){id}}`, "NOT_FOUND", "id"},
		{`mutation{cancelBackup(id:"bgood"){id}}`, "CONFLICT", "id"},
		{`mutation{cancelBackup(id:"none"){id}}`, "NOT_FOUND", "id"},
		{`mutation{pinBackup(id:"none"){id}}`, "NOT_FOUND", "id"},
		{`mutation{deleteBackup(id:"none"){id}}`, "NOT_FOUND", "id"},
		{restored("bgood", `name:"Not a label"`), "INVALID_INPUT", "input.name"},
		{restored("bgood", `name:"x",at:"2026-01-01T00:00:00Z"`), "INVALID_INPUT", "input.at"},
		{restored("bgood", `name:"x",nodeId:"none"`), "NOT_FOUND", "input.nodeId"},
		{restored("bbad", `name:"x"`), "CONFLICT", "id"},
		{restored("none", `name:"x"`), "NOT_FOUND", "id"},
		{`mutation{endQuarantine(id:"none"){id}}`, "NOT_FOUND", "id"},
		{`mutation{cancelRestore(id:"rgood"){id}}`, "CONFLICT", "id"},
		{`mutation{cancelRestore(id:"none"){id}}`, "NOT_FOUND", "id"},
	} {
		got := post(t, url, tt.query, nil)
		if got.code() != tt.code || got.Errors[0].Extensions["field"] != tt.field {
			t.Errorf("%s: got %s %+v, want %s about %s", tt.query, got.code(), got.Errors, tt.code, tt.field)
		}
	}
	if got := post(t, url, `{backupTargets{name} backupPolicies{id}}`, nil); string(got.Data) != `{"backupTargets":[{"name":"disk"}],"backupPolicies":[]}` {
		t.Errorf("after all that was refused there are %s", got.Data)
	}
}

// A policy is stored as it was given, and replaced as a whole. What it is for does not change.
func TestBackupPolicyIsStored(t *testing.T) {
	o, opts, _ := controlPlane(t)
	target := newTarget(t, o)
	url := serve(t, opts)
	const fields = `{kinds labels{name value} schedule timeZone keep{last daily weekly monthly} pointInTime proveEvery finalBackup paused serviceCount}`
	for _, service := range []orchestrator.LaunchInput{{Kind: catalog.DB, Name: "shop", Labels: []orchestrator.Label{{Name: "team", Value: "a"}}}, {Kind: catalog.Queue, Name: "orders", Labels: []orchestrator.Label{{Name: "team", Value: "a"}}}} {
		if _, err := o.Launch(t.Context(), service); err != nil {
			t.Fatal(err)
		}
	}
	post(t, url, `{services{totalCount}}`, nil) // which waits until both are known
	scope := `kinds:[DB,SECRETS],labels:[{name:"team",value:"a"}],targetId:"` + target + `"`
	got := post(t, url, `mutation{setBackupPolicy(input:{`+scope+`,schedule:"5 4 * * 1",timeZone:"Europe/Berlin",keep:{last:1,daily:2,weekly:3,monthly:4},proveEvery:7200,finalBackup:false,paused:true}){id}}`, nil)
	var made struct{ SetBackupPolicy struct{ ID string } }
	if err := json.Unmarshal(got.Data, &made); err != nil || got.code() != "OK" {
		t.Fatalf("%s %+v", got.Data, got.Errors)
	}
	want := `{"backupPolicies":[{"kinds":["DB","SECRETS"],"labels":[{"name":"team","value":"a"}],"schedule":"5 4 * * 1","timeZone":"Europe/Berlin","keep":{"last":1,"daily":2,"weekly":3,"monthly":4},"pointInTime":false,"proveEvery":7200,"finalBackup":false,"paused":true,"serviceCount":1}]}`
	if got := post(t, url, `{backupPolicies`+fields+`}`, nil); string(got.Data) != want {
		t.Errorf("it is %s, want %s", got.Data, want)
	}
	id := made.SetBackupPolicy.ID
	if got := post(t, url, `mutation{setBackupPolicy(id:"`+id+`",input:{kinds:[DB],labels:[{name:"team",value:"a"}],targetId:"`+target+`"}){id}}`, nil); got.code() != "CONFLICT" {
		t.Errorf("another scope: %+v", got.Errors)
	}
	want = `{"setBackupPolicy":{"kinds":["DB","SECRETS"],"labels":[{"name":"team","value":"a"}],"schedule":"0 3 * * *","timeZone":"UTC","keep":{"last":3,"daily":7,"weekly":4,"monthly":6},"pointInTime":false,"proveEvery":604800,"finalBackup":true,"paused":false,"serviceCount":1}}`
	if got := post(t, url, `mutation{setBackupPolicy(id:"`+id+`",input:{`+scope+`})`+fields+`}`, nil); string(got.Data) != want {
		t.Errorf("replaced: %s %+v, want %s", got.Data, got.Errors, want)
	}
	if got := post(t, url, `mutation{deleteBackupTarget(id:"`+target+`"){id}}`, nil); got.code() != "CONFLICT" {
		t.Errorf("deleting its target: %+v", got.Errors)
	}
	for _, query := range []string{`mutation{deleteBackupPolicy(id:"` + id + `"){id}}`, `mutation{deleteBackupTarget(id:"` + target + `"){id}}`} {
		if got := post(t, url, query, nil); got.code() != "OK" {
			t.Errorf("%s: %+v", query, got.Errors)
		}
	}
}

// Pages of backups and of restores go on where they were, also when the item of the cursor is gone.
func TestBackupPages(t *testing.T) {
	o, opts, st := controlPlane(t)
	addBackups(t, st, newTarget(t, o), backup.StateCOMPLETE, "e", "b", "d", "a", "c")
	url := serve(t, opts)
	read := func(list string, after *string) (answer, []string, *string) {
		t.Helper()
		got := post(t, url, `query($after: ID) { page: `+list+`(first: 2, after: $after) { edges { node { id } } pageInfo { hasNextPage hasPreviousPage endCursor } } }`, map[string]any{"after": after})
		var data struct {
			Page struct {
				Edges    []struct{ Node struct{ ID string } }
				PageInfo struct {
					HasNextPage, HasPreviousPage bool
					EndCursor                    *string
				}
			}
		}
		_ = json.Unmarshal(got.Data, &data)
		var ids []string
		for _, e := range data.Page.Edges {
			ids = append(ids, e.Node.ID[1:])
		}
		if got.code() == "OK" && (data.Page.PageInfo.HasPreviousPage != (after != nil) || len(ids) < 2 && data.Page.PageInfo.HasNextPage) {
			t.Errorf("%s after %v: %s", list, after, got.Data)
		}
		return got, ids, data.Page.PageInfo.EndCursor
	}
	cursors := map[string]*string{}
	for list, gone := range map[string]func(context.Context, *ent.Tx) error{
		"backups":  func(ctx context.Context, tx *ent.Tx) error { return tx.Backup.DeleteOneID("bd").Exec(ctx) },
		"restores": func(ctx context.Context, tx *ent.Tx) error { return tx.Restore.DeleteOneID("rd").Exec(ctx) },
	} {
		_, first, after := read(list, nil)
		cursors[list] = after
		if !slices.Equal(first, []string{"c", "d"}) {
			t.Errorf("%s begin with %q", list, first)
		}
		if err := st.Update(t.Context(), gone); err != nil {
			t.Fatal(err)
		}
		_, second, after := read(list, after)
		if !slices.Equal(second, []string{"a", "e"}) {
			t.Errorf("%s go on with %q", list, second)
		}
		if _, third, _ := read(list, after); !slices.Equal(third, []string{"b"}) {
			t.Errorf("%s end with %q", list, third)
		}
		if got := post(t, url, `{`+list+`(first:0){nodes{id}}}`, nil); got.code() != "INVALID_INPUT" || got.Errors[0].Extensions["field"] != "first" {
			t.Errorf("%s: a page of 0: %+v", list, got.Errors)
		}
	}
	bogus := "bogus!"
	for list, foreign := range map[string][]*string{"backups": {cursors["restores"], &bogus}, "restores": {cursors["backups"], &bogus}} {
		for _, after := range foreign {
			if got, _, _ := read(list, after); got.code() != "INVALID_INPUT" || got.Errors[0].Extensions["field"] != "after" {
				t.Errorf("%s: a foreign cursor: %s %+v", list, got.Data, got.Errors)
			}
		}
	}
}

// Secrets of targets are neither in the log nor in the audit log, nor in what is answered to a request that is refused.
func TestBackupSecretsAreNotRecorded(t *testing.T) {
	st, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	var log bytes.Buffer // which the handler locks
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	o := appOn(t, st, logger)
	defer o.Close()
	opts := options(newFake())
	opts.API, opts.Log = o, logger
	if opts.Access, err = auth.Open(t.Context(), auth.Options{Store: st, Rates: many, Log: logger}); err != nil {
		t.Fatal(err)
	}
	target := newTarget(t, o)
	url := serve(t, opts)
	kit := post(t, url, `mutation{recoveryKit(id:"`+target+`"){recoveryKit}}`, nil)
	_, key, ok := strings.Cut(string(kit.Data), `\nkey: `)
	if !ok || len(key) < 30 {
		t.Fatalf("the kit has no key: %s", kit.Data)
	}
	key = key[:30]
	var answers strings.Builder
	for _, query := range []string{
		`mutation{createBackupTarget(input:{name:"far",s3:{endpoint:"http://127.0.0.1:1",bucket:"b",accessKey:"a",secretKey:"SENTINEL1"}}){id}}`,
		`mutation{createBackupTarget(input:{name:"far",s3:{endpoint:"http://u:SENTINEL2@127.0.0.1:1",bucket:"b",accessKey:"a",secretKey:"SENTINEL3",ca:"SENTINEL4"}}){id}}`,
		`mutation{createBackupTarget(input:{name:"far",folder:"/b",s3:{bucket:"b",secretKey:"SENTINEL5"}}){id}}`,
		`mutation{updateBackupTarget(id:"` + target + `",input:{accessKey:"a",secretKey:"SENTINEL6"}){id}}`,
		`mutation{importBackupTarget(input:{name:"old",recoveryKit:"target: x\nkey: SENTINEL7",secretKey:"SENTINEL8"}){id}}`,
		`mutation{importBackupTarget(input:{name:"old",recoveryKit:"SENTINEL9"}){id}}`,
		`mutation{importBackupTarget(input:{name:"old",recoveryKit:"target: x\nkey: uws1-SENTINEL0\nendpoint: http://u:SENTINEL@127.0.0.1:1\nbucket: b",secretKey:"SENTINEL"}){id}}`,
		`mutation{importBackupTarget(input:{name:"old",recoveryKit:"target: ` + target + `\nkey: ` + key + `"}){id}}`,
	} {
		got := post(t, url, query, nil)
		if got.code() == "OK" {
			t.Errorf("%s is not refused", query)
		}
		fmt.Fprintln(&answers, got.Errors)
	}
	audit := post(t, url, `{auditLog(first:100){nodes{action target detail result message}}}`, nil)
	for where, text := range map[string]string{"the log": log.String(), "the audit log": string(audit.Data), "an answer": answers.String()} {
		for _, secret := range []string{"SENTINEL", key} {
			if i := strings.Index(text, secret); i >= 0 {
				t.Errorf("%s has the secret %s: %s", where, secret, text[max(0, i-200):min(len(text), i+100)])
			}
		}
	}
	for _, action := range []string{"createBackupTarget", "updateBackupTarget", "importBackupTarget", "recoveryKit"} {
		if !strings.Contains(string(audit.Data), `"`+action+`"`) {
			t.Errorf("the audit log lacks %s: %s", action, audit.Data)
		}
	}
}

// While uws is read-only, each mutation of backups is refused, and what is known is shown.
func TestBackupsReadOnly(t *testing.T) {
	opts := options(newFake())
	opts.Access = newAuth(t, auth.Options{ReadOnly: "it was moved", Rates: many})
	url := serve(t, opts)
	refused := 0
	for name, o := range operations {
		if !strings.Contains(strings.ToLower(name), "back") && !strings.Contains(strings.ToLower(name), "restore") && name != "Mutation.recoveryKit" || strings.HasPrefix(name, "Subscription.") {
			continue
		}
		want := "OK"
		if strings.HasPrefix(name, "Mutation.") {
			want = "UNAVAILABLE"
			refused++
		}
		if got := post(t, url, o.operation, nil); got.code() != want {
			t.Errorf("%s: %s %+v", name, got.Data, got.Errors)
		}
	}
	if refused < 14 {
		t.Errorf("only %d mutations were asked", refused)
	}
}
