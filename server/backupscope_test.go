package server_test

import (
	"context"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/ent/backup"
	"github.com/unicorn-web-services/uws/ent/restore"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/app"
	"github.com/unicorn-web-services/uws/orchestrator/auth"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

// Ids as they are made: that other text of their form is an id too.
const (
	hiddenBackup  = "sb2nlshte47bkchvuzq4qggvpa"
	hiddenRestore = "sr2nlshte47bkchvuzq4qggvpa"
)

// hideBackups stores a backup of a service, a restore of it and a policy for it. It returns the id of the policy.
func hideBackups(t *testing.T, o *app.App, st *store.Store, s *orchestrator.Service) (policy string) {
	t.Helper()
	target := newTarget(t, o)
	p, err := o.SetBackupPolicy(t.Context(), "", orchestrator.BackupPolicyInput{ServiceID: s.ID, BackupPlan: orchestrator.BackupPlan{
		TargetID: target, Schedule: "0 3 * * *", TimeZone: "UTC", Keep: orchestrator.Keep{Last: 1},
	}})
	if err != nil {
		t.Fatal(err)
	}
	err = st.Update(t.Context(), func(ctx context.Context, tx *ent.Tx) error {
		err := tx.Backup.Create().SetID(hiddenBackup).SetServiceID(s.ID).SetServiceName(s.Name).SetKind(s.Kind).SetTemplate("versitygw").SetEngineVersion("1").SetNodeID("n1").
			SetTargetID(target).SetTrigger(backup.TriggerREQUEST).SetState(backup.StateCOMPLETE).SetReason("done").SetCreatedAt(at).SetStartedAt(at).SetFinishedAt(at).SetSnapshot("x").Exec(ctx)
		if err != nil {
			return err
		}
		return tx.Restore.Create().SetID(hiddenRestore).SetPurpose(restore.PurposeRESTORE).SetBackupID(hiddenBackup).SetSourceID(s.ID).SetKind(s.Kind).SetName("hidden-copy").
			SetNodeID("n1").SetVolume("v1").SetState(restore.StateQUEUED).SetReason("waiting").SetCreatedAt(at).Exec(ctx)
	})
	if err != nil {
		t.Fatal(err)
	}
	return p.ID
}

// newTarget makes a backup target and returns its id.
func newTarget(t *testing.T, o *app.App) string {
	t.Helper()
	target, err := o.CreateBackupTarget(t.Context(), orchestrator.BackupTargetInput{Name: "disk", Folder: filepath.Join(t.TempDir(), "backups")})
	if err != nil {
		t.Fatal(err)
	}
	return target.ID
}

// limitedTo serves an API to an OPERATOR of databases, and returns what asks as one.
func limitedTo(t *testing.T, api orchestrator.API) (url string, header http.Header, ask func(query string) string) {
	t.Helper()
	opts := options(newFake())
	opts.API, opts.Access = api, newAuth(t, auth.Options{})
	url = serveLocked(t, opts)
	header = http.Header{"Authorization": {"Bearer " + tokenOf(t, opts.Access, auth.Operator, catalog.DB)}}
	return url, header, func(query string) string { return strings.TrimSpace(rawPost(t, url, header, query, nil)) }
}

// A caller who is limited to kinds sees the backups of these alone, and of targets that they are there.
func TestLimitedBackups(t *testing.T) {
	api := richBackups()
	api.services[1].Kind = catalog.DB
	url, header, ask := limitedTo(t, api)
	const limited = `,"folder":null,"serviceId":null,"endpoint":null,"bucket":null,"prefix":null,"accessKey":null,"reason":"","storedBytes":null,"backupCount":0,"policyCount":0,"warnings":[],"writeMiBPerSecond":null}`
	const fields = `{id name folder serviceId endpoint bucket prefix accessKey reason storedBytes backupCount policyCount warnings writeMiBPerSecond}`
	for _, tt := range []struct{ query, want string }{
		{`{backupTargets` + fields + `}`, `{"data":{"backupTargets":[{"id":"t1","name":"disk"` + limited + `,{"id":"t2","name":"far"` + limited + `]}}`},
		{`{backupTargetConnection(first:1){nodes` + fields + `}}`, `{"data":{"backupTargetConnection":{"nodes":[{"id":"t1","name":"disk"` + limited + `]}}}`},
		{`mutation{testBackupTarget(id:"t1")` + fields + `}`, `{"data":{"testBackupTarget":{"id":"t1","name":"disk"` + limited + `}}`},
		{`{backupPolicies{id}}`, `{"data":{"backupPolicies":[{"id":"p2"}]}}`},
		{`{backupPolicyConnection{nodes{id} totalCount}}`, `{"data":{"backupPolicyConnection":{"nodes":[{"id":"p2"}],"totalCount":1}}}`},
		{`{backup(id:"b1"){id}}`, `{"data":{"backup":null}}`},
		{`{backup(id:"b2"){id}}`, `{"data":{"backup":{"id":"b2"}}}`},
		{`{restore(id:"r1"){id}}`, `{"data":{"restore":null}}`},
		{`{restore(id:"r2"){id}}`, `{"data":{"restore":{"id":"r2"}}}`},
		{`{backups(filter:{kind:BUCKET}){nodes{id}}}`, `{"data":{"backups":{"nodes":[]}}}`},
	} {
		if got := ask(tt.query); got != tt.want {
			t.Errorf("%s: got\n%s\nwant\n%s", tt.query, got, tt.want)
		}
	}
	api.called()
	ask(`{backups(filter:{kind:[BUCKET,DB]}){nodes{id}} restores{nodes{id}}}`)
	if calls := strings.Join(api.called(), "\n"); !strings.Contains(calls, "Kinds:[DB] States") || !strings.Contains(calls, "Restores [DB]") {
		t.Errorf("what is asked for is %s", calls)
	}
	s := dialWith(t, url, header)
	s.say(`{"type":"connection_init"}`)
	s.expect("", "connection_ack", "")
	if got := subscribed(t, s, 1, `subscription{backupProgress(id:"b1"){step}}`, nil); !strings.Contains(got, "NOT_FOUND") {
		t.Errorf("the progress of a hidden backup: %s", got)
	}
	if got := subscribed(t, s, 2, `subscription{backupProgress(id:"b2"){step text bytes totalBytes bytesPerSecond remainingSeconds}}`, nil); got != `next {"data":{"backupProgress":{"step":"COMPLETE","text":"done","bytes":7,"totalBytes":7,"bytesPerSecond":7,"remainingSeconds":0}}}` {
		t.Errorf("the progress: %s", got)
	}
}

// Nor can such a caller change anything for services of other kinds.
func TestLimitedBackupVerbs(t *testing.T) {
	api := richBackups()
	api.services[1].Kind = catalog.DB
	_, _, ask := limitedTo(t, api)
	for query, want := range map[string]string{
		`mutation{backUpService(id:"s1"){id}}`:                                    "NOT_FOUND",
		`mutation{backUpService(id:"s2"){id}}`:                                    `{"data"`,
		`mutation{moveService(id:"s1",nodeId:"n1"){steps}}`:                       "NOT_FOUND",
		`mutation{moveService(id:"s2",nodeId:"n1"){steps}}`:                       `{"data"`,
		`mutation{swapServices(a:"s1",b:"s2"){begun}}`:                            `"field":"a"`,
		`mutation{swapServices(a:"s2",b:"s1"){begun}}`:                            `"field":"b"`,
		`mutation{cancelBackup(id:"b1"){id}}`:                                     "NOT_FOUND",
		`mutation{pinBackup(id:"b1"){id}}`:                                        "NOT_FOUND",
		`mutation{pinBackup(id:"b2"){id}}`:                                        `{"data"`,
		`mutation{restoreBackup(id:"b1",input:{name:"x"}){id}}`:                   "NOT_FOUND",
		`mutation{endQuarantine(id:"s1"){id}}`:                                    "NOT_FOUND",
		`mutation{endQuarantine(id:"s2"){id}}`:                                    `{"data"`,
		`mutation{cancelRestore(id:"r1"){id}}`:                                    "NOT_FOUND",
		`mutation{deleteBackup(id:"b2"){id}}`:                                     "FORBIDDEN",
		`mutation{setBackupPolicy(input:{targetId:"t1"}){id}}`:                    `"field":"input.kinds"`,
		`mutation{setBackupPolicy(input:{targetId:"t1",kinds:[DB,QUEUE]}){id}}`:   "FORBIDDEN",
		`mutation{setBackupPolicy(input:{targetId:"t1",kinds:[DB]}){id}}`:         `{"data"`,
		`mutation{setBackupPolicy(input:{targetId:"t1",serviceId:"s1"}){id}}`:     `"field":"input.serviceId"`,
		`mutation{setBackupPolicy(input:{targetId:"t1",serviceId:"s2"}){id}}`:     `{"data"`,
		`mutation{setBackupPolicy(id:"p1",input:{targetId:"t1",kinds:[DB]}){id}}`: "NOT_FOUND",
		`mutation{setBackupPolicy(id:"p2",input:{targetId:"t1",kinds:[DB]}){id}}`: "FORBIDDEN",
		`mutation{deleteBackupPolicy(id:"p1"){id}}`:                               "NOT_FOUND",
		`mutation{deleteBackupPolicy(id:"p2"){id}}`:                               "FORBIDDEN",
		`mutation{createBackupTarget(input:{name:"b",folder:"/b"}){id}}`:          "FORBIDDEN",
		`mutation{recoveryKit(id:"t1"){recoveryKit}}`:                             "FORBIDDEN",
		`mutation{importBackupTarget(input:{name:"b",recoveryKit:"k"}){id}}`:      "FORBIDDEN",
		`mutation{deleteBackupTarget(id:"t1"){id}}`:                               "FORBIDDEN",
		`mutation{updateBackupTarget(id:"t1",input:{writeMiBPerSecond:1}){id}}`:   "FORBIDDEN",
	} {
		if got := ask(query); !strings.Contains(got, want) || (want != `{"data"`) == strings.HasPrefix(got, `{"data":{`) {
			t.Errorf("%s: got %s, want %s", query, got, want)
		}
	}
}

// takenAPI refuses the name of each restore.
type takenAPI struct{ *fakeAPI }

func (takenAPI) RestoreBackup(_ context.Context, _ string, in orchestrator.RestoreInput) (*orchestrator.Restore, error) {
	return nil, orchestrator.Errorf(orchestrator.Conflict, "name", "%s is there, or is being made", in.Name)
}

// Services returns all that there are.
func (a takenAPI) Services(context.Context, orchestrator.ServiceFilter, orchestrator.Page) (orchestrator.List[*orchestrator.Service], error) {
	return orchestrator.List[*orchestrator.Service]{Items: a.services}, nil
}

// A limited caller does not learn what has the name of a restore, unless it may see that.
func TestLimitedRestores(t *testing.T) {
	api := richBackups()
	api.services[1].Kind = catalog.DB
	_, _, ask := limitedTo(t, takenAPI{api})
	for name, want := range map[string]string{
		"service-1": "is not available", "service-2": "is there, or is being made", // services
		"old":  "is not available",                                        // retained data
		"copy": "is not available", "moved": "is there, or is being made", // restores
	} {
		if got := ask(`mutation{restoreBackup(id:"b2",input:{name:"` + name + `"}){id}}`); !strings.Contains(got, "CONFLICT") || !strings.Contains(got, `"input.name"`) || !strings.Contains(got, want) {
			t.Errorf("%s: %s", name, got)
		}
	}
}
