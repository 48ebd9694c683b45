package server_test

import (
	"slices"
	"strings"
	"testing"
)

const serviceFields = `id name kind template{name version} desiredState phase health healthy reason reasonCode reasonParameters{exitCode signal memoryLimitMiB failedChecks failureThreshold failures failedAttempts port} restarts nextRestartAt lastHealthCheckAt createdAt generation observedGeneration`

const serviceOne = `{"id":"s1","name":"service-1","kind":"BUCKET","template":{"name":"versitygw","version":"1.8.0"},
	"desiredState":"RUNNING","phase":"RUNNING","health":"SUSPECT","healthy":true,"reason":"missed a check","reasonCode":"PROBE_FAILED","reasonParameters":{"exitCode":null,"signal":null,"memoryLimitMiB":null,"failedChecks":1,"failureThreshold":3,"failures":null,"failedAttempts":null,"port":null},"restarts":0,
	"nextRestartAt":null,"lastHealthCheckAt":"2026-01-02T02:04:05Z","createdAt":"2026-01-02T02:04:05Z","generation":2,"observedGeneration":2}`

// Tests every field of the API: its result and its calls of the control plane.
func TestResolvers(t *testing.T) {
	tests := []resolution{
		{
			"services", `{services(first:2,after:"c0",filter:{kind:[BUCKET,DB],phase:RUNNING,health:[SUSPECT],nodeId:"n1",nameContains:"x",labels:[{name:"team",values:["shop"]},{name:"bare"}],warned:true})
				{edges{cursor node{id}} nodes{id} pageInfo{hasNextPage endCursor}}}`,
			`{"services":{"edges":[{"cursor":"c1","node":{"id":"s1"}},{"cursor":"c2","node":{"id":"s2"}},{"cursor":"c3","node":{"id":"s3"}}],
				"nodes":[{"id":"s1"},{"id":"s2"},{"id":"s3"}],"pageInfo":{"hasNextPage":true,"endCursor":"c3"}}}`,
			[]string{"Services {Kinds:[BUCKET DB] Phases:[RUNNING] Healths:[SUSPECT] NodeID:n1 NameContains:x Labels:[{Name:team Values:[shop]} {Name:bare Values:[]}] Warned:true} {First:2 After:c0}"},
		},
		{
			"services, defaults", `{services{nodes{id}}}`, `{"services":{"nodes":[{"id":"s1"},{"id":"s2"},{"id":"s3"}]}}`,
			[]string{"Services {Kinds:[] Phases:[] Healths:[] NodeID: NameContains: Labels:[] Warned:false} {First:50 After:}"},
		},
		{
			"services, too many and nulls", `{services(first:1001,after:null,filter:null){pageInfo{hasNextPage}}}`, `{"services":{"pageInfo":{"hasNextPage":true}}}`,
			[]string{"Services {Kinds:[] Phases:[] Healths:[] NodeID: NameContains: Labels:[] Warned:false} {First:1000 After:}"},
		},
		{
			"services, counted", `{services(first:null,filter:{kind:DB}){totalCount}}`, `{"services":{"totalCount":42}}`,
			[]string{
				"Services {Kinds:[DB] Phases:[] Healths:[] NodeID: NameContains: Labels:[] Warned:false} {First:50 After:}",
				"CountServices {Kinds:[DB] Phases:[] Healths:[] NodeID: NameContains: Labels:[] Warned:false}",
			},
		},
		{
			"the nodes of a list are read once", `{services{nodes{node{name}}} retainedData{node{name}}}`,
			`{"services":{"nodes":[{"node":{"name":"local"}},{"node":{"name":"far"}},{"node":null}]},"retainedData":[{"node":{"name":"local"}}]}`,
			[]string{"Nodes", "Retained", "Services {Kinds:[] Phases:[] Healths:[] NodeID: NameContains: Labels:[] Warned:false} {First:50 After:}"},
		},
		{"service", `{service(id:"s1"){` + serviceFields + `}}`, `{"service":` + serviceOne + `}`, []string{"Service s1"}},
		{
			"service, running", `{service(id:"s1"){endpoint progress{step}}}`,
			`{"service":{"endpoint":"http://127.0.0.1:20000","progress":null}}`, []string{"Endpoint s1", "Service s1"},
		},
		{
			"service, limits and image", `{services{nodes{limits{memoryMiB cpus pids} image nodeLabels{name value} labels{name value}}}}`,
			`{"services":{"nodes":[{"limits":null,"image":null,"nodeLabels":[],"labels":[]},
				{"limits":{"memoryMiB":512,"cpus":0.5,"pids":null},"image":"sha256:feed","nodeLabels":[{"name":"disk","value":"ssd"},{"name":"zone","value":"b"}],"labels":[{"name":"bare","value":""},{"name":"team","value":"shop"}]},
				{"limits":null,"image":null,"nodeLabels":[],"labels":[]}]}}`,
			[]string{"Services {Kinds:[] Phases:[] Healths:[] NodeID: NameContains: Labels:[] Warned:false} {First:50 After:}"},
		},
		{
			"service, pending", `{service(id:"s3"){endpoint node{id} progress{serviceId step percent phase health}}}`,
			`{"service":{"endpoint":null,"node":null,"progress":{"serviceId":"s3","step":"placing","percent":null,"phase":"PENDING","health":"UNKNOWN"}}}`,
			[]string{"Endpoint s3", "Service s3"},
		},
		{"service, none", `{service(id:"no"){id}}`, `{"service":null}`, []string{"Service no"}},
		{
			"nodes", `{nodes{id name driver endpoint serviceAddress healthy reason lastSeenAt version cpus memoryBytes diskFreeBytes serviceCount}}`,
			`{"nodes":[{"id":"n1","name":"local","driver":"PROCESS","endpoint":"/data","serviceAddress":"127.0.0.1","healthy":true,"reason":"",
				"lastSeenAt":"2026-01-02T02:04:05Z","version":"6.1","cpus":2,"memoryBytes":8.589934592e+09,"diskFreeBytes":1.099511627776e+12,"serviceCount":2},
				{"id":"n2","name":"far","driver":"DOCKER","endpoint":"","serviceAddress":"","healthy":false,"reason":"no answer",
				"lastSeenAt":null,"version":null,"cpus":null,"memoryBytes":null,"diskFreeBytes":null,"serviceCount":0}]}`,
			[]string{"Nodes"},
		},
		{
			"nodes, labels", `{nodes{labels{name value} engineLabels{name value} draining unrecognised}}`,
			`{"nodes":[{"labels":[],"engineLabels":[{"name":"rack","value":"4"}],"draining":false,"unrecognised":[]},
				{"labels":[{"name":"disk","value":"ssd"},{"name":"zone","value":"b"}],"engineLabels":[],"draining":true,"unrecognised":["s9"]}]}`,
			[]string{"Nodes"},
		},
		{"node", `{node(id:"n2"){name}}`, `{"node":{"name":"far"}}`, []string{"Node n2"}},
		{"node, none", `{node(id:"no"){name}}`, `{"node":null}`, []string{"Node no"}},
		{
			"templates", `{templates{name kind version description default defaultOn drivers}}`,
			`{"templates":[{"name":"versitygw","kind":"BUCKET","version":"1.8.0","description":"S3","default":true,"defaultOn":["PROCESS"],"drivers":["PROCESS"]},
				{"name":"nats","kind":"QUEUE","version":"","description":"","default":false,"defaultOn":[],"drivers":["PROCESS","DOCKER"]}]}`,
			nil,
		},
		{
			"events, details", `{events{nodes{details{__typename subject ...on ServiceEventDetails{serviceId serviceName kind template nodeId nodeName desiredState
				previousPhase phase previousHealth health endpoint restarts} ...on NodeEventDetails{nodeId nodeName healthy}}}}}`,
			`{"events":{"nodes":[{"details":{"__typename":"ServiceEventDetails","subject":"SERVICE","serviceId":"s1","serviceName":"name-of-s1","kind":"BUCKET","template":null,
				"nodeId":"n1","nodeName":"local","desiredState":"RUNNING","previousPhase":"RUNNING","phase":"RESTARTING","previousHealth":"HEALTHY","health":"UNHEALTHY",
				"endpoint":"http://127.0.0.1:20000","restarts":1}},
				{"details":{"__typename":"NodeEventDetails","subject":"NODE","nodeId":"n1","nodeName":"local","healthy":true}}]}}`,
			[]string{"Events {ServiceID: NodeID: Kinds:[]} {First:50 After:}"},
		},
		{
			"nodes, bytes", `{nodes{memory diskFree diskTotal}}`,
			`{"nodes":[{"memory":8589934592,"diskFree":1099511627776,"diskTotal":0},{"memory":null,"diskFree":null,"diskTotal":null}]}`,
			[]string{"Nodes"},
		},
		{
			"events", `{events(first:9,after:"c9",filter:{serviceId:"s1",nodeId:"n1",kind:BUCKET}){edges{cursor node{id}} pageInfo{hasNextPage endCursor}
				nodes{id at subject nodeId nodeName serviceId serviceName kind previousPhase phase previousHealth health healthy reason reasonCode reasonParameters{exitCode signal memoryLimitMiB failedChecks failureThreshold failures failedAttempts port} probe
				exitCode outOfMemory attempt nextAttemptAt causeId}}}`,
			`{"events":{"edges":[{"cursor":"c8","node":{"id":"8"}},{"cursor":"c7","node":{"id":"7"}}],"pageInfo":{"hasNextPage":false,"endCursor":"c7"},
				"nodes":[{"id":"8","at":"2026-01-02T02:04:05Z","subject":"SERVICE","nodeId":"n1","nodeName":"local","serviceId":"s1","serviceName":"name-of-s1",
				"kind":"BUCKET","previousPhase":"RUNNING","phase":"RESTARTING","previousHealth":"HEALTHY","health":"UNHEALTHY","healthy":false,"reason":"exited","reasonCode":"EXITED","reasonParameters":{"exitCode":137,"signal":9,"memoryLimitMiB":64,"failedChecks":null,"failureThreshold":null,"failures":2,"failedAttempts":null,"port":null},
				"probe":"DEAD","exitCode":137,"outOfMemory":true,"attempt":2,"nextAttemptAt":"2026-01-02T02:04:05Z","causeId":"7"},
				{"id":"7","at":"2026-01-02T02:04:05Z","subject":"NODE","nodeId":"n1","nodeName":"local","serviceId":null,"serviceName":null,
				"kind":null,"previousPhase":null,"phase":null,"previousHealth":null,"health":null,"healthy":true,"reason":"back","reasonCode":null,"reasonParameters":null,
				"probe":null,"exitCode":null,"outOfMemory":null,"attempt":0,"nextAttemptAt":null,"causeId":null}]}}`,
			[]string{"Events {ServiceID:s1 NodeID:n1 Kinds:[BUCKET]} {First:9 After:c9}"},
		},
		{"events, defaults", `{events{pageInfo{endCursor}}}`, `{"events":{"pageInfo":{"endCursor":"c7"}}}`, []string{"Events {ServiceID: NodeID: Kinds:[]} {First:50 After:}"}},
		{
			"retainedData", `{retainedData{id name kind template{name version} createdAt retainedAt deleting}}`,
			`{"retainedData":[{"id":"v1","name":"old","kind":"BUCKET","template":{"name":"versitygw","version":"1.8.0"},
				"createdAt":"2026-01-02T02:04:05Z","retainedAt":"2026-01-02T02:04:05Z","deleting":false}]}`, []string{"Retained"},
		},
		{
			"launchService", `mutation{launchService(input:{kind:BUCKET,name:"b"}){id}}`, `{"launchService":{"id":"s1"}}`,
			[]string{"Launch {Kind:BUCKET Name:b Template: NodeID: Reattach:} interval=- timeout=- threshold=- grace=-"},
		},
		{
			"launchService, all", `mutation{launchService(input:{kind:DB,name:"b",template:"t",nodeId:"n1",reattach:"v1",
				healthCheck:{intervalSeconds:1.5,timeoutSeconds:1,failureThreshold:4,graceSeconds:1e300}}){node{name}}}`,
			`{"launchService":{"node":{"name":"local"}}}`,
			[]string{
				"Launch {Kind:DB Name:b Template:t NodeID:n1 Reattach:v1} interval=1.5s timeout=1s threshold=4 grace=876000h0m0s",
				"Node n1",
			},
		},
		{
			"launchService, limits and labels", `mutation{launchService(input:{kind:BUCKET,name:"b",limits:{memoryMiB:256,cpus:1},
				nodeLabels:[{name:"zone",value:"b"}]}){id}}`, `{"launchService":{"id":"s1"}}`,
			[]string{
				"Launch {Kind:BUCKET Name:b Template: NodeID: Reattach:} interval=- timeout=- threshold=- grace=-",
				"limits memory=256 cpus=1 pids=- labels=[{zone b}]",
			},
		},
		{"removeService", `mutation{removeService(id:"s1"){id service{id}}}`, `{"removeService":{"id":"s1","service":{"id":"s1"}}}`, []string{"Remove s1 deleteData=false"}},
		{"removeService, null", `mutation{removeService(id:"s1",data:null){id}}`, `{"removeService":{"id":"s1"}}`, []string{"Remove s1 deleteData=false"}},
		{"removeService, all", `mutation{removeService(id:"gone",data:DELETE){id service{id}}}`, `{"removeService":{"id":"gone","service":null}}`, []string{"Remove gone deleteData=true"}},
		{"startService", `mutation{startService(id:"s1"){id}}`, `{"startService":{"id":"s1"}}`, []string{"Start s1"}},
		{"stopService", `mutation{stopService(id:"s1"){id}}`, `{"stopService":{"id":"s1"}}`, []string{"Stop s1"}},
		{
			"launchService, own labels", `mutation{launchService(input:{kind:QUEUE,name:"b",labels:[{name:"team",value:"shop"},{name:"bare"}]}){id}}`,
			`{"launchService":{"id":"s1"}}`,
			[]string{"Launch {Kind:QUEUE Name:b Template: NodeID: Reattach:} interval=- timeout=- threshold=- grace=-", "own labels=[{team shop} {bare }]"},
		},
		{
			"setServiceLabels", `mutation{setServiceLabels(id:"s1",set:[{name:"team",value:"shop"},{name:"bare"}],remove:["tier"]){service{id labels{name value}}}}`,
			`{"setServiceLabels":{"service":{"id":"s1","labels":[]}}}`, []string{"SetLabels s1 [{team shop} {bare }] [tier]"},
		},
		{
			"setServiceLabels, nothing", `mutation{setServiceLabels(id:"s1"){service{id}}}`,
			`{"setServiceLabels":{"service":{"id":"s1"}}}`, []string{"SetLabels s1 [] []"},
		},
		{"restartService", `mutation{restartService(id:"s1"){id}}`, `{"restartService":{"id":"s1"}}`, []string{"Restart s1"}},
		{
			"swapServices", `mutation{swapServices(a:"s1",b:"s2"){a{id} b{id} begun steps warnings dataAsOf}}`,
			`{"swapServices":{"a":{"id":"s1"},"b":{"id":"s2"},"begun":false,"steps":["a stops"],"warnings":[],"dataAsOf":"2026-01-02T02:04:05Z"}}`, []string{"Swap s1 s2 false"},
		},
		{"swapServices, confirmed", `mutation{swapServices(a:"s1",b:"s2",confirm:true){begun}}`, `{"swapServices":{"begun":true}}`, []string{"Swap s1 s2 true"}},
		{
			"checkServiceHealth", `mutation{checkServiceHealth(id:"s1"){service{id} verdict detail at durationSeconds}}`,
			`{"checkServiceHealth":{"service":{"id":"s1"},"verdict":"ALIVE","detail":"wrong password","at":"2026-01-02T02:04:05Z","durationSeconds":1.5}}`,
			[]string{"Check s1"},
		},
		{
			"revealCredentials", `mutation{revealCredentials(id:"s1"){serviceId endpoint values{name value}}}`,
			`{"revealCredentials":{"serviceId":"s1","endpoint":"http://127.0.0.1:20000","values":[{"name":"accessKey","value":"a"},{"name":"secretKey","value":"hunter2"}]}}`,
			[]string{"Endpoint s1", "Reveal s1", "Service s1"},
		},
		{
			"revealCredentials, connections", `mutation{revealCredentials(id:"s1"){connections{name value}}}`,
			`{"revealCredentials":{"connections":[{"name":"url","value":"s3://a:b@127.0.0.1:20000"},{"name":"env","value":"A=a\nB=b"}]}}`,
			[]string{"Connections s1", "Reveal s1"},
		},
		{"orphans", `{orphans{id name kind node{name} running problem}}`,
			`{"orphans":[{"id":"s9","name":"lost","kind":"BUCKET","node":{"name":"local"},"running":true,"problem":null}]}`, []string{"Nodes", "Orphans"}},
		{"removeOrphan", `mutation{removeOrphan(id:"s9",data:DELETE){id}}`, `{"removeOrphan":{"id":"s9"}}`, []string{"RemoveOrphan s9 true"}},
		{"deleteRetainedData", `mutation{deleteRetainedData(id:"v1"){id retainedData{deleting obstacle}}}`, `{"deleteRetainedData":{"id":"v1","retainedData":{"deleting":true,"obstacle":null}}}`, []string{"DeleteRetained v1"}},
		{
			"registerNode", `mutation{registerNode(input:{name:"far",driver:DOCKER,endpoint:"tcp://h:1",serviceAddress:"h"}){id driver}}`,
			`{"registerNode":{"id":"n2","driver":"DOCKER"}}`, []string{"RegisterNode {Name:far Driver:DOCKER Endpoint:tcp://h:1 ServiceAddress:h Labels:[] Access:{TLS:<nil> SSH:<nil>}} keys="},
		},
		{
			"registerNode, all", `mutation{registerNode(input:{name:"far",driver:DOCKER,endpoint:"tcp://h:1",serviceAddress:"h",labels:[{name:"zone",value:"b"}],
				tls:{ca:"C",certificate:"D",key:"K"},ssh:{privateKey:"P"}}){id}}`,
			`{"registerNode":{"id":"n2"}}`,
			[]string{"RegisterNode {Name:far Driver:DOCKER Endpoint:tcp://h:1 ServiceAddress:h Labels:[{Name:zone Value:b}] Access:{TLS:<nil> SSH:<nil>}} keys=TLS{C D K}SSH{P }"},
		},
		{
			"updateNode, nothing", `mutation{updateNode(id:"n2",input:{}){id}}`, `{"updateNode":{"id":"n2"}}`,
			[]string{"UpdateNode n2 address=- labels=[]orchestrator.Label(nil) draining=- keys="},
		},
		{
			"updateNode, all", `mutation{updateNode(id:"n2",input:{serviceAddress:"h",labels:[],draining:false,tls:{ca:"C",certificate:"D",key:"K"},ssh:{privateKey:"P",hostKey:"H"}}){id}}`,
			`{"updateNode":{"id":"n2"}}`,
			[]string{"UpdateNode n2 address=h labels=[]orchestrator.Label{} draining=false keys=TLS{C D K}SSH{P H}"},
		},
		{"removeNode", `mutation{removeNode(id:"n2"){id}}`, `{"removeNode":{"id":"n2"}}`, []string{"RemoveNode n2 forget=false"}},
		{"removeNode, forget", `mutation{removeNode(id:"n2",forget:true){id}}`, `{"removeNode":{"id":"n2"}}`, []string{"RemoveNode n2 forget=true"}},
	}
	resolve(t, newFake(), tests)
}

// resolution is an operation, what it answers, and the calls of the control plane that it makes.
type resolution struct {
	name, query, want string
	calls             []string
}

// resolve sends operations to a control plane.
func resolve(t *testing.T, api *fakeAPI, tests []resolution) {
	t.Helper()
	url := serve(t, options(api))
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			api.called()
			got := post(t, url, tt.query, nil)
			if got.code() != "OK" || got.status != 200 {
				t.Fatalf("status %d, errors %v", got.status, got.Errors)
			}
			if want := compact(t, tt.want); string(got.Data) != want {
				t.Errorf("got  %s\nwant %s", got.Data, want)
			}
			calls := api.called()
			slices.Sort(calls) // fields are resolved concurrently
			want := slices.Sorted(slices.Values(tt.calls))
			if !slices.Equal(calls, want) {
				t.Errorf("got calls\n\t%s\nwant\n\t%s", strings.Join(calls, "\n\t"), strings.Join(want, "\n\t"))
			}
		})
	}
}
