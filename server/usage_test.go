package server_test

import (
	"strings"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator"
)

// withUsage is a fake that has a value for every field.
func withUsage() *fakeAPI {
	api := newFake()
	api.usage = &orchestrator.Usage{ServiceID: "s1", At: at, CPU: new(0.5), CPULimit: new(1.5), MemoryBytes: 5 << 32, MemoryLimit: new(int64(6 << 32)), DiskBytes: new(int64(7)),
		DiskAt: &at, Received: new(1.5), Sent: new(2.5), Processes: new(3), Descriptors: new(40)}
	api.nodeUsage = &orchestrator.NodeUsage{At: at, CPU: new(1.25), CPUs: new(2), MemoryBytes: new(int64(1 << 33)), MemoryTotal: new(int64(1 << 34)), DiskBytes: new(int64(5)),
		DiskTotal: new(int64(9)), PromisedCPU: 1.5, PromisedMemory: 1 << 30, ServiceCPU: 0.5, ServiceMemory: 1 << 29}
	api.history = orchestrator.UsageHistory{From: at, To: at.Add(20 * time.Second), Step: 10 * time.Second, CPU: []*float64{new(0.5), nil}, MemoryBytes: []*float64{nil, new(7.0)},
		DiskBytes: []*float64{nil, nil}, Received: []*float64{}, Sent: []*float64{}, Connections: []*float64{new(3.0)}}
	api.warnings = []orchestrator.Warning{{Code: orchestrator.WarnMemoryHigh, Text: "It is high.", Since: at}}
	api.stats = []orchestrator.EngineStat{{Name: "connections_used", Unit: orchestrator.StatCount, Value: 3, At: at}}
	sums := orchestrator.UptimeSums{Healthy: 3 * time.Second, Down: time.Second, Planned: 1500 * time.Millisecond, Unknown: 4 * time.Second}
	api.uptime = orchestrator.Uptime{From: at, To: at.Add(time.Hour), UptimeSums: sums, Buckets: []orchestrator.UptimeBucket{{From: at, To: at.Add(time.Hour), UptimeSums: sums}, {}}}
	return api
}

func TestUsageQuery(t *testing.T) {
	api := withUsage()
	url := serve(t, options(api))
	when := `"` + at.UTC().Format(time.RFC3339Nano) + `"`
	const history = `{id stepSeconds cpu memoryBytes diskBytes receivedBytesPerSecond sentBytesPerSecond connections}`
	const sums = `share healthySeconds downSeconds plannedSeconds unknownSeconds`
	const sumsWant = `"share":0.75,"healthySeconds":3,"downSeconds":1,"plannedSeconds":1.5,"unknownSeconds":4`
	historyWant := func(id string) string {
		return `{"id":"` + id + `","stepSeconds":10,"cpu":[0.5,null],"memoryBytes":[null,7],"diskBytes":[null,null],"receivedBytesPerSecond":[],"sentBytesPerSecond":[],"connections":[3]}`
	}
	for query, want := range map[string]string{
		`{service(id:"s1"){usage{serviceId at cpu cpuLimit memoryBytes memoryLimitBytes diskBytes diskAt receivedBytesPerSecond sentBytesPerSecond processes descriptors}}}`: `{"service":{"usage":` +
			`{"serviceId":"s1","at":` + when + `,"cpu":0.5,"cpuLimit":1.5,"memoryBytes":21474836480,"memoryLimitBytes":25769803776,"diskBytes":7,"diskAt":` + when +
			`,"receivedBytesPerSecond":1.5,"sentBytesPerSecond":2.5,"processes":3,"descriptors":40}}}`,
		`{service(id:"s1"){usageHistory(range:DAY,points:5000)` + history + `}}`: `{"service":{"usageHistory":` + historyWant("s1") + `}}`,
		`{service(id:"s1"){engineStats{name unit value at} warnings{code text since}}}`: `{"service":{"engineStats":[{"name":"connections_used","unit":"COUNT","value":3,"at":` + when +
			`}],"warnings":[{"code":"MEMORY_HIGH","text":"It is high.","since":` + when + `}]}}`,
		`{service(id:"s1"){uptime{` + sums + ` buckets{` + sums + `}}}}`: `{"service":{"uptime":{` + sumsWant + `,"buckets":[{` + sumsWant +
			`},{"share":null,"healthySeconds":0,"downSeconds":0,"plannedSeconds":0,"unknownSeconds":0}]}}}`,
		`{node(id:"n1"){usage{at cpu cpus memoryBytes memoryTotalBytes diskBytes diskTotalBytes promisedCpu promisedMemoryBytes servicesCpu servicesMemoryBytes} warnings{code}}}`: `{"node":{"usage":` +
			`{"at":` + when + `,"cpu":1.25,"cpus":2,"memoryBytes":8589934592,"memoryTotalBytes":17179869184,"diskBytes":5,"diskTotalBytes":9,"promisedCpu":1.5,` +
			`"promisedMemoryBytes":1073741824,"servicesCpu":0.5,"servicesMemoryBytes":536870912},"warnings":[{"code":"MEMORY_HIGH"}]}}`,
		`{node(id:"n1"){usageHistory` + history + `}}`:                   `{"node":{"usageHistory":` + historyWant("n1") + `}}`,
		`{usageHistory(ids:["s2","no","s1"],range:WEEK)` + history + `}`: `{"usageHistory":[` + historyWant("s2") + `,` + historyWant("s1") + `]}`,
	} {
		if got := post(t, url, query, nil); string(got.Data) != want {
			t.Errorf("%s\ngot  %s %v\nwant %s", query, got.Data, got.Errors, want)
		}
	}
	calls := strings.Join(api.called(), "\n")
	for _, call := range []string{"UsageHistory s1 DAY 1000", "NodeUsageHistory n1 HOUR 120", "UsageHistory s2 WEEK 60", "Uptime s1 MONTH"} {
		if !strings.Contains(calls, call) {
			t.Errorf("no call %q in\n%s", call, calls)
		}
	}
	for _, query := range []string{
		`{service(id:"s1"){usageHistory(points:0){id}}}`, `{service(id:"s1"){usageHistory(range:CENTURY){id}}}`, `{usageHistory(ids:[]){id}}`,
		`{usageHistory(ids:["s1"],points:-1){id}}`, `{usageHistory(ids:[` + strings.Repeat(`"s",`, 201) + `]){id}}`, `{node(id:"n1"){usageHistory(points:0){id}}}`,
	} {
		if got := post(t, url, query, nil); got.code() != "INVALID_INPUT" {
			t.Errorf("%s is %s", query, got.code())
		}
	}
	api.usage, api.nodeUsage, api.warnings = nil, nil, nil
	if got, want := post(t, url, `{service(id:"s1"){usage{at} warnings{code}} node(id:"n1"){usage{at}}}`, nil), `{"service":{"usage":null,"warnings":[]},"node":{"usage":null}}`; string(got.Data) != want {
		t.Errorf("nothing known: %s %v", got.Data, got.Errors)
	}
}

func TestUsageSubscription(t *testing.T) {
	s := connect(t, serve(t, options(withUsage())))
	for _, id := range []string{"x", "y"} { // which share an execution
		s.subscribe(id, `subscription{usage(ids:["s1"]){services{serviceId cpu}}}`)
		s.expect(id, "next", `{"data":{"usage":{"services":[{"serviceId":"s1","cpu":0.5}]}}}`)
	}
	s.subscribe("z", `subscription{usage(ids:[]){services{serviceId}}}`)
	if m := s.expect("z", "error", ""); !strings.Contains(string(m.Payload), "INVALID_INPUT") {
		t.Errorf("without ids: %+v", m)
	}
}
