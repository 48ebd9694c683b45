package server_test

import (
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
)

const (
	targetFields = `id name folder serviceId endpoint region bucket prefix accessKey createdAt recoveryKitTakenAt reachable reason checkedAt storedBytes storeSavedAt backupCount policyCount warnings writeMiBPerSecond`
	targetOne    = `{"id":"t1","name":"disk","folder":"/mnt/disk","serviceId":null,"endpoint":null,"region":null,"bucket":null,"prefix":null,"accessKey":null,
		"createdAt":"2026-01-02T02:04:05Z","recoveryKitTakenAt":null,"reachable":true,"reason":"","checkedAt":null,"storedBytes":5,"storeSavedAt":null,"backupCount":1,"policyCount":0,"warnings":["beware"],"writeMiBPerSecond":null}`
	targetTwo = `{"id":"t2","name":"far","folder":null,"serviceId":"s2","endpoint":"https://s3","region":"eu","bucket":"b","prefix":"p","accessKey":"a",
		"createdAt":"2026-01-02T02:04:05Z","recoveryKitTakenAt":"2026-01-02T02:04:05Z","reachable":false,"reason":"no answer","checkedAt":"2026-01-02T02:04:05Z","storedBytes":null,"storeSavedAt":"2026-01-02T02:04:05Z","backupCount":2,"policyCount":3,"warnings":[],"writeMiBPerSecond":7}`

	policyFields = `id serviceId kinds labels{name value} targetId schedule timeZone keep{last daily weekly monthly} pointInTime proveEvery proveNodeId finalBackup paused createdAt updatedAt serviceCount`
	policyOne    = `{"id":"p1","serviceId":"s1","kinds":[],"labels":[],"targetId":"t1","schedule":"0 3 * * *","timeZone":"UTC","keep":{"last":1,"daily":0,"weekly":0,"monthly":0},
		"pointInTime":false,"proveEvery":0,"proveNodeId":null,"finalBackup":true,"paused":false,"createdAt":"2026-01-02T02:04:05Z","updatedAt":"2026-01-02T02:04:05Z","serviceCount":1}`
	policyTwo = `{"id":"p2","serviceId":null,"kinds":["DB","QUEUE"],"labels":[{"name":"team","value":"shop"},{"name":"tier","value":""}],"targetId":"t2","schedule":"5 4 * * 1","timeZone":"Europe/Berlin",
		"keep":{"last":1,"daily":2,"weekly":3,"monthly":4},"pointInTime":true,"proveEvery":3600,"proveNodeId":"n2","finalBackup":false,"paused":true,
		"createdAt":"2026-01-02T02:04:05Z","updatedAt":"2026-01-02T03:04:05Z","serviceCount":4}`

	backupFields = `id serviceId serviceName kind template{name version} nodeId targetId policyId trigger state reason reasonCode pinned createdAt startedAt finishedAt pausedSeconds bytes storedBytes files
		contents{type name values{name value estimate} items{type name values{name value estimate} items{name}}} provenAt`
	backupOne = `{"id":"b1","serviceId":"s1","serviceName":"service-1","kind":"BUCKET","template":{"name":"versitygw","version":"1.8.0"},"nodeId":"n1","targetId":"t1","policyId":"p1","trigger":"SCHEDULE","state":"COMPLETE",
		"reason":"done","reasonCode":"BACKUP_COMPLETE","pinned":false,"createdAt":"2026-01-02T02:04:05Z","startedAt":"2026-01-02T02:04:05Z","finishedAt":"2026-01-02T02:04:05Z","pausedSeconds":0,"bytes":7,"storedBytes":5,"files":2,
		"contents":[{"type":"bucket","name":"photos","values":[{"name":"objects","value":3,"estimate":false}],"items":[]}],"provenAt":null}`
	backupTwo = `{"id":"b2","serviceId":"s9","serviceName":"gone","kind":"DB","template":{"name":"postgres","version":"18"},"nodeId":"n2","targetId":"t2","policyId":null,"trigger":"REQUEST","state":"RUNNING",
		"reason":"being taken","reasonCode":null,"pinned":true,"createdAt":"2026-01-02T02:04:05Z","startedAt":null,"finishedAt":null,"pausedSeconds":1.5,"bytes":3e+12,"storedBytes":0,"files":0,
		"contents":[{"type":"database","name":"shop","values":[],"items":[{"type":"table","name":"cats","values":[{"name":"rows","value":9,"estimate":true}],"items":[]}]}],"provenAt":"2026-01-02T02:04:05Z"}`

	restoreFields = `id purpose backupId kind name at nodeId serviceId state reason createdAt finishedAt bytes`
	restoreOne    = `{"id":"r1","purpose":"RESTORE","backupId":"b1","kind":"BUCKET","name":"copy","at":null,"nodeId":"n1","serviceId":null,"state":"COPYING","reason":"copying","createdAt":"2026-01-02T02:04:05Z","finishedAt":null,"bytes":7}`
	restoreTwo    = `{"id":"r2","purpose":"MOVE","backupId":"b2","kind":"DB","name":"moved","at":"2026-01-02T02:04:05Z","nodeId":"n2","serviceId":"s7","state":"COMPLETE","reason":"done","createdAt":"2026-01-02T02:04:05Z","finishedAt":"2026-01-02T02:04:05Z","bytes":3e+12}`
)

// richBackups adds rows to a fake in which each field is set that the others leave empty, and the other way around.
func richBackups() *fakeAPI {
	api := newFake()
	b := &api.backup
	b.targets = append(b.targets, orchestrator.BackupTarget{
		ID: "t2", Name: "far", ServiceID: "s2", Endpoint: "https://s3", Region: "eu", Bucket: "b", Prefix: "p", AccessKey: "a", CreatedAt: at, KitTakenAt: &at, Reason: "no answer",
		CheckedAt: &at, StoreSavedAt: &at, Backups: 2, Policies: 3, WriteMiBPerSecond: 7,
	})
	b.policies = append(b.policies, orchestrator.BackupPolicy{
		ID: "p2", Kinds: []catalog.Kind{catalog.DB, catalog.Queue}, Labels: map[string]string{"tier": "", "team": "shop"}, CreatedAt: at, UpdatedAt: at.Add(time.Hour), Services: 4,
		BackupPlan: orchestrator.BackupPlan{
			TargetID: "t2", Schedule: "5 4 * * 1", TimeZone: "Europe/Berlin", Keep: orchestrator.Keep{Last: 1, Daily: 2, Weekly: 3, Monthly: 4}, PointInTime: true,
			ProveEvery: time.Hour, ProveNodeID: "n2", Paused: true,
		},
	})
	b.backups = append(b.backups, &orchestrator.Backup{
		ID: "b2", ServiceID: "s9", ServiceName: "gone", Kind: catalog.DB, Template: "postgres", Version: "18", NodeID: "n2", TargetID: "t2", Trigger: orchestrator.TriggerRequest,
		State: orchestrator.BackupRunning, Reason: "being taken", Pinned: true, CreatedAt: at, Paused: 1500 * time.Millisecond, Bytes: 3e12, ProvenAt: &at,
		Contents: []byte(`[{"type":"database","name":"shop","items":[{"type":"table","name":"cats","values":[{"name":"rows","value":9,"estimate":true}]}]}]`),
	})
	b.restores = append(b.restores, &orchestrator.Restore{
		ID: "r2", Purpose: orchestrator.RestoreMove, BackupID: "b2", Kind: catalog.DB, Name: "moved", At: &at, NodeID: "n2", ServiceID: "s7", State: orchestrator.RestoreComplete, Reason: "done",
		CreatedAt: at, FinishedAt: &at, Bytes: 3e12,
	})
	return api
}

// Tests every query of backups: its result and its calls of the control plane.
func TestBackupQueries(t *testing.T) {
	resolve(t, richBackups(), []resolution{
		{"backupTargets", `{backupTargets{` + targetFields + `}}`, `{"backupTargets":[` + targetOne + `,` + targetTwo + `]}`, []string{"BackupTargets"}},
		{
			"backupTargetConnection", `{backupTargetConnection(first:1){nodes{name} edges{node{` + targetFields + `}} totalCount}}`,
			`{"backupTargetConnection":{"nodes":[{"name":"disk"}],"edges":[{"node":` + targetOne + `}],"totalCount":2}}`, []string{"BackupTargets"},
		},
		{"backupPolicies", `{backupPolicies{` + policyFields + `}}`, `{"backupPolicies":[` + policyOne + `,` + policyTwo + `]}`, []string{"BackupPolicies"}},
		{
			"backupPolicyConnection", `{backupPolicyConnection{nodes{` + policyFields + `} totalCount}}`,
			`{"backupPolicyConnection":{"nodes":[` + policyOne + `,` + policyTwo + `],"totalCount":2}}`, []string{"BackupPolicies"},
		},
		{
			"backups", `{backups(first:1,after:"c0",filter:{serviceId:"s1",targetId:"t1",kind:[BUCKET,DB],state:[COMPLETE,FAILED]}){nodes{id} edges{cursor node{` + backupFields + `}} pageInfo{hasNextPage hasPreviousPage startCursor endCursor}}}`,
			`{"backups":{"nodes":[{"id":"b1"}],"edges":[{"cursor":"cb1","node":` + backupOne + `}],"pageInfo":{"hasNextPage":true,"hasPreviousPage":true,"startCursor":"cb1","endCursor":"cb1"}}}`,
			[]string{"Backups {ServiceID:s1 TargetID:t1 Kinds:[BUCKET DB] States:[COMPLETE FAILED]} {First:1 After:c0}"},
		},
		{
			"backups, defaults", `{backups(filter:null,first:null,after:null){nodes{` + backupFields + `}}}`, `{"backups":{"nodes":[` + backupOne + `,` + backupTwo + `]}}`,
			[]string{"Backups {ServiceID: TargetID: Kinds:[] States:[]} {First:50 After:}"},
		},
		{
			"backups, too many", `{backups(first:1001){pageInfo{hasNextPage hasPreviousPage}}}`, `{"backups":{"pageInfo":{"hasNextPage":false,"hasPreviousPage":false}}}`,
			[]string{"Backups {ServiceID: TargetID: Kinds:[] States:[]} {First:1000 After:}"},
		},
		{"backup", `{backup(id:"b2"){` + backupFields + `}}`, `{"backup":` + backupTwo + `}`, []string{"Backup b2"}},
		{"backup, none", `{backup(id:"none"){id}}`, `{"backup":null}`, nil},
		{
			"restores", `{restores(first:1,after:"c0"){nodes{id} edges{cursor node{` + restoreFields + `}} pageInfo{hasNextPage hasPreviousPage startCursor endCursor}}}`,
			`{"restores":{"nodes":[{"id":"r1"}],"edges":[{"cursor":"cr1","node":` + restoreOne + `}],"pageInfo":{"hasNextPage":true,"hasPreviousPage":true,"startCursor":"cr1","endCursor":"cr1"}}}`,
			[]string{"Restores [] {First:1 After:c0}"},
		},
		{"restores, defaults", `{restores{nodes{` + restoreFields + `}}}`, `{"restores":{"nodes":[` + restoreOne + `,` + restoreTwo + `]}}`, []string{"Restores [] {First:50 After:}"}},
		{"restore", `{restore(id:"r2"){` + restoreFields + `}}`, `{"restore":` + restoreTwo + `}`, []string{"Restore r2"}},
		{"restore, none", `{restore(id:"none"){id}}`, `{"restore":null}`, nil},
	})
}

// Tests every mutation of backups: no argument is lost.
func TestBackupMutations(t *testing.T) {
	resolve(t, richBackups(), []resolution{
		{
			"createBackupTarget, folder", `mutation{createBackupTarget(input:{name:"disk",folder:"/mnt/disk",writeMiBPerSecond:9}){` + targetFields + `}}`, `{"createBackupTarget":` + targetOne + `}`,
			[]string{"CreateBackupTarget disk folder=/mnt/disk rate=9 s3=-"},
		},
		{
			"createBackupTarget, service", `mutation{createBackupTarget(input:{name:"own",s3:{serviceId:"s1",bucket:"b"}}){id}}`, `{"createBackupTarget":{"id":"t1"}}`,
			[]string{"CreateBackupTarget own folder= rate=0 s3={ServiceID:s1 Endpoint: Region: Bucket:b Prefix: AccessKey: SecretKey: CA:} secret="},
		},
		{
			"createBackupTarget, all", `mutation{createBackupTarget(input:{name:"far",s3:{endpoint:"https://s3",region:"eu",bucket:"b",prefix:"p",accessKey:"a",secretKey:"k",ca:"PEM"}}){id}}`, `{"createBackupTarget":{"id":"t1"}}`,
			[]string{"CreateBackupTarget far folder= rate=0 s3={ServiceID: Endpoint:https://s3 Region:eu Bucket:b Prefix:p AccessKey:a SecretKey:(hidden) CA:PEM} secret=k"},
		},
		{"updateBackupTarget, nothing", `mutation{updateBackupTarget(id:"t1",input:{}){` + targetFields + `}}`, `{"updateBackupTarget":` + targetOne + `}`, []string{"UpdateBackupTarget t1 access=- secret=- rate=-"}},
		{
			"updateBackupTarget, all", `mutation{updateBackupTarget(id:"t1",input:{accessKey:"a",secretKey:"k",writeMiBPerSecond:0}){id}}`, `{"updateBackupTarget":{"id":"t1"}}`,
			[]string{"UpdateBackupTarget t1 access=a secret=k rate=0"},
		},
		{"testBackupTarget", `mutation{testBackupTarget(id:"t1"){` + targetFields + `}}`, `{"testBackupTarget":` + targetOne + `}`, []string{"TestBackupTarget t1"}},
		{"deleteBackupTarget", `mutation{deleteBackupTarget(id:"t1"){id}}`, `{"deleteBackupTarget":{"id":"t1"}}`, []string{"DeleteBackupTarget t1"}},
		{"recoveryKit", `mutation{recoveryKit(id:"t1"){recoveryKit}}`, `{"recoveryKit":{"recoveryKit":"the kit"}}`, []string{"RecoveryKit t1"}},
		{
			"importBackupTarget", `mutation{importBackupTarget(input:{name:"old",recoveryKit:"the kit",secretKey:"k"}){` + targetFields + `}}`, `{"importBackupTarget":` + targetOne + `}`,
			[]string{"ImportBackupTarget old the kit k"},
		},
		{"importBackupTarget, no key", `mutation{importBackupTarget(input:{name:"old",recoveryKit:"kit"}){id}}`, `{"importBackupTarget":{"id":"t1"}}`, []string{"ImportBackupTarget old kit "}},
		{
			"setBackupPolicy", `mutation{setBackupPolicy(input:{targetId:"t1"}){` + policyFields + `}}`, `{"setBackupPolicy":` + policyOne + `}`,
			[]string{"SetBackupPolicy  {ServiceID: Kinds:[] Labels:[] BackupPlan:{TargetID:t1 Schedule:0 3 * * * TimeZone:UTC Keep:{Last:3 Daily:7 Weekly:4 Monthly:6} PointInTime:false ProveEvery:168h0m0s ProveNodeID: FinalBackup:true Paused:false}}"},
		},
		{
			"setBackupPolicy, all", `mutation{setBackupPolicy(id:"p1",input:{serviceId:"s1",kinds:[DB,QUEUE],labels:[{name:"a",value:"b"},{name:"c"}],targetId:"t1",schedule:"5 4 * * 1",timeZone:"Europe/Berlin",
				keep:{last:0,weekly:9},pointInTime:true,proveEvery:0,proveNodeId:"n2",finalBackup:false,paused:true}){id}}`, `{"setBackupPolicy":{"id":"p1"}}`,
			[]string{"BackupPolicies", "SetBackupPolicy p1 {ServiceID:s1 Kinds:[DB QUEUE] Labels:[{Name:a Value:b} {Name:c Value:}] BackupPlan:{TargetID:t1 Schedule:5 4 * * 1 TimeZone:Europe/Berlin Keep:{Last:0 Daily:7 Weekly:9 Monthly:6} PointInTime:true ProveEvery:0s ProveNodeID:n2 FinalBackup:false Paused:true}}"},
		},
		{"deleteBackupPolicy", `mutation{deleteBackupPolicy(id:"p1"){id}}`, `{"deleteBackupPolicy":{"id":"p1"}}`, []string{"BackupPolicies", "DeleteBackupPolicy p1"}},
		{"backUpService", `mutation{backUpService(id:"s1"){` + backupFields + `}}`, `{"backUpService":` + backupOne + `}`, []string{"BackUp s1 "}},
		{"backUpService, target", `mutation{backUpService(id:"s1",targetId:"t2"){id}}`, `{"backUpService":{"id":"b1"}}`, []string{"BackUp s1 t2"}},
		{"cancelBackup", `mutation{cancelBackup(id:"b1"){` + backupFields + `}}`, `{"cancelBackup":` + backupOne + `}`, []string{"Backup b1", "CancelBackup b1"}},
		{"pinBackup", `mutation{pinBackup(id:"b1"){id}}`, `{"pinBackup":{"id":"b1"}}`, []string{"Backup b1", "PinBackup b1 true"}},
		{"pinBackup, no longer", `mutation{pinBackup(id:"b1",pinned:false){id}}`, `{"pinBackup":{"id":"b1"}}`, []string{"Backup b1", "PinBackup b1 false"}},
		{"deleteBackup", `mutation{deleteBackup(id:"b1"){id}}`, `{"deleteBackup":{"id":"b1"}}`, []string{"Backup b1", "DeleteBackup b1"}},
		{"restoreBackup", `mutation{restoreBackup(id:"b1",input:{name:"copy"}){` + restoreFields + `}}`, `{"restoreBackup":` + restoreOne + `}`, []string{"Backup b1", "RestoreBackup b1 copy node= at=- rotate=false quarantine=true"}},
		{"moveService", `mutation{moveService(id:"s1",nodeId:"n2"){service{id} restore{id} steps warnings}}`, `{"moveService":{"service":{"id":"s1"},"restore":null,"steps":[],"warnings":["another port"]}}`, []string{"Move s1 {NodeID:n2 TargetID: Confirm:false}"}},
		{"moveService, all", `mutation{moveService(id:"s1",nodeId:"n2",targetId:"t1",confirm:true){restore{id}}}`, `{"moveService":{"restore":{"id":"r1"}}}`, []string{"Move s1 {NodeID:n2 TargetID:t1 Confirm:true}"}},
		{
			"restoreBackup, all", `mutation{restoreBackup(id:"b1",input:{name:"copy",nodeId:"n2",at:"2026-01-02T02:04:05Z",rotateCredentials:true,quarantine:false}){id}}`, `{"restoreBackup":{"id":"r1"}}`,
			[]string{"Backup b1", "RestoreBackup b1 copy node=n2 at=2026-01-02 02:04:05 +0000 UTC rotate=true quarantine=false"},
		},
		{"endQuarantine", `mutation{endQuarantine(id:"s1"){id quarantined heldBack}}`, `{"endQuarantine":{"id":"s1","quarantined":false,"heldBack":null}}`, []string{"EndQuarantine s1"}},
		{"cancelRestore", `mutation{cancelRestore(id:"r1"){` + restoreFields + `}}`, `{"cancelRestore":` + restoreOne + `}`, []string{"CancelRestore r1", "Restore r1"}},
	})
}

// Tests the state of a service, with everything and with nothing.
func TestServiceBackup(t *testing.T) {
	const query = `{service(id:"s1"){backup{state reason policyId lastAt provenAt restorableFrom restorableTo pointInTime nextAt sizeBytes count runningId}}}`
	api := newFake()
	later := at.Add(time.Hour)
	api.backup.status = orchestrator.BackupStatus{
		State: orchestrator.BackupUnproven, Reason: "not proven", PolicyID: "p1", LastAt: &at, ProvenAt: &later, NextAt: &later, Running: "b9", SizeBytes: 3e12, Backups: 4,
		Restorable: &orchestrator.Window{From: at, To: later, Continuous: true},
	}
	resolve(t, api, []resolution{{
		"all", query, `{"service":{"backup":{"state":"UNPROVEN","reason":"not proven","policyId":"p1","lastAt":"2026-01-02T02:04:05Z","provenAt":"2026-01-02T03:04:05Z","restorableFrom":"2026-01-02T02:04:05Z",
			"restorableTo":"2026-01-02T03:04:05Z","pointInTime":true,"nextAt":"2026-01-02T03:04:05Z","sizeBytes":3e+12,"count":4,"runningId":"b9"}}}`, []string{"Service s1"},
	}})
	api.backup.status = orchestrator.BackupStatus{State: orchestrator.BackupNone, Reason: "no policy applies to it"}
	resolve(t, api, []resolution{{
		"nothing", query, `{"service":{"backup":{"state":"NONE","reason":"no policy applies to it","policyId":null,"lastAt":null,"provenAt":null,"restorableFrom":null,
			"restorableTo":null,"pointInTime":false,"nextAt":null,"sizeBytes":null,"count":0,"runningId":null}}}`, []string{"Service s1"},
	}})
}
