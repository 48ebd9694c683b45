package server_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/probe"
)

// fakeAPI is a control plane with fixed rows. It records every call.
type fakeAPI struct {
	services []*orchestrator.Service
	nodes    []orchestrator.Node
	events   []*orchestrator.Event
	retained []*orchestrator.Retained
	err      error // if set, returned by every call

	usage     *orchestrator.Usage
	nodeUsage *orchestrator.NodeUsage
	history   orchestrator.UsageHistory
	warnings  []orchestrator.Warning
	stats     []orchestrator.EngineStat
	uptime    orchestrator.Uptime
	backup    fakeBackups

	panics bool
	ready  error

	feed     chan *orchestrator.Event // events for WatchEvents; closing it ends the watch
	feedErr  error                    // error of a watch that ends
	progress []orchestrator.Progress
	watching chan string // receives the start of every watch
	unwatch  chan ended  // receives the end of every watch

	held, release chan struct{} // if set, every call sends on held and waits for release

	mu    sync.Mutex
	calls []string
	fed   []*orchestrator.Event
	// replays is the number of watches so far that end at the present. Events sent later are new to them.
	replays int

	log     []orchestrator.LogLine
	tails   map[int64][]orchestrator.LogLine // by event
	batches []orchestrator.LogBatch          // of each watch
}

// begun waits until n subscriptions in total have determined where they begin.
func (f *fakeAPI) begun(t *testing.T, n int) {
	t.Helper()
	until(t, fmt.Sprintf("%d subscriptions have begun", n), func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.replays >= n
	})
}

// ended is the end of a watch.
type ended struct{ err error }

var _ orchestrator.API = (*fakeAPI)(nil)

var at = time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("CET", 3600))

func newFake() *fakeAPI {
	template := catalog.Template{
		Name: "versitygw", Kind: catalog.Bucket, Version: "1.8.0", Description: "S3", Default: true, Process: &catalog.Runtime{},
	}
	f := &fakeAPI{
		feed: make(chan *orchestrator.Event), watching: make(chan string, 100), unwatch: make(chan ended, 100),
		backup: newFakeBackups(),
	}
	f.nodes = []orchestrator.Node{
		{
			ID: "n1", Name: "local", Driver: catalog.Process, Endpoint: "/data", ServiceAddress: "127.0.0.1", Healthy: true, LastSeenAt: &at,
			Info:     &driver.Info{Version: "6.1", CPUs: 2, MemoryBytes: 1 << 33, DiskFree: 1 << 40, Labels: map[string]string{"rack": "4"}},
			Services: 2,
		},
		{
			ID: "n2", Name: "far", Driver: catalog.Docker, Reason: "no answer", Draining: true, Labels: map[string]string{"zone": "b", "disk": "ssd"},
			Unrecognised: []string{"s9"},
		},
	}
	for i, nodeID := range []string{"n1", "n2", ""} {
		f.services = append(f.services, &orchestrator.Service{
			ID: fmt.Sprintf("s%d", i+1), Name: fmt.Sprintf("service-%d", i+1), Kind: catalog.Bucket, Definition: template,
			NodeID: nodeID, DesiredState: lifecycle.WantRunning, Phase: lifecycle.Running, Health: lifecycle.HealthSuspect,
			Reason: "missed a check", ReasonCode: new(lifecycle.CodeProbeFailed), ReasonParams: &lifecycle.Params{FailedChecks: 1, FailureThreshold: 3}, CreatedAt: at, Restarts: i,
			Generation: 2, ObservedGeneration: 2 - i,
		})
	}
	f.services[1].Image, f.services[1].NodeLabels = "sha256:feed", map[string]string{"zone": "b", "disk": "ssd"}
	f.services[1].Labels = map[string]string{"team": "shop", "bare": ""}
	f.retained = []*orchestrator.Retained{{ID: "v1", Name: "old", Kind: catalog.Bucket, Template: template.Name, Version: template.Version, NodeID: "n1", CreatedAt: at, RetainedAt: at}}
	f.events = []*orchestrator.Event{serviceEvent(8, "s1", catalog.Bucket), {ID: 7, Mark: 1, At: at, Subject: orchestrator.SubjectNode, NodeID: "n1", NodeName: "local", NodeHealthy: true, Reason: "back"}}
	return f
}

// serviceEvent returns an event with all fields set.
func serviceEvent(seq int64, service string, kind catalog.Kind) *orchestrator.Event {
	return &orchestrator.Event{
		ID: seq, Mark: 99, At: at, Subject: orchestrator.SubjectService, NodeID: "n1", NodeName: "local",
		ServiceID: service, ServiceName: "name-of-" + service, Kind: &kind, DesiredState: new(lifecycle.WantRunning),
		PreviousPhase: new(lifecycle.Running), Phase: new(lifecycle.Restarting),
		PreviousHealth: new(lifecycle.HealthHealthy), Health: new(lifecycle.HealthUnhealthy),
		Endpoint: "http://127.0.0.1:20000", Restarts: 1, Reason: "exited", ReasonCode: new(lifecycle.CodeExited), ReasonParams: &lifecycle.Params{ExitCode: new(137), Signal: 9, MemoryLimitMiB: 64, Failures: 2}, Probe: "DEAD", ExitCode: new(137), OutOfMemory: new(true),
		Attempt: 2, NextAttemptAt: &at, CauseID: new(int64(7)),
	}
}

// call records a call and returns the fake's error.
func (f *fakeAPI) call(format string, args ...any) error {
	f.mu.Lock()
	f.calls = append(f.calls, fmt.Sprintf(format, args...))
	f.mu.Unlock()
	if f.held != nil {
		f.held <- struct{}{}
		<-f.release
	}
	if f.panics {
		panic("secret of the panic")
	}
	return f.err
}

// called returns the calls so far and clears the list.
func (f *fakeAPI) called() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	calls := f.calls
	f.calls = nil
	return calls
}

func (f *fakeAPI) find(id string) (*orchestrator.Service, error) {
	i := slices.IndexFunc(f.services, func(s *orchestrator.Service) bool { return s.ID == id })
	if i < 0 {
		return nil, orchestrator.Errorf(orchestrator.NotFound, "id", "there is no service with the id %q", id)
	}
	return f.services[i], nil
}

func (f *fakeAPI) verb(id, name string) (*orchestrator.Service, error) {
	if err := f.call("%s %s", name, id); err != nil {
		return nil, err
	}
	return f.find(id)
}

func (f *fakeAPI) Services(_ context.Context, filter orchestrator.ServiceFilter, page orchestrator.Page) (orchestrator.List[*orchestrator.Service], error) {
	err := f.call("Services %+v %+v", filter, page)
	return orchestrator.List[*orchestrator.Service]{Items: f.services, Cursors: []string{"c1", "c2", "c3"}, More: true}, err
}

func (f *fakeAPI) CountServices(_ context.Context, filter orchestrator.ServiceFilter) (int, error) {
	return 42, f.call("CountServices %+v", filter)
}

func (f *fakeAPI) Service(_ context.Context, id string) (*orchestrator.Service, error) {
	return f.verb(id, "Service")
}

func (f *fakeAPI) Nodes(context.Context) ([]orchestrator.Node, error) {
	return f.nodes, f.call("Nodes")
}

func (f *fakeAPI) Node(_ context.Context, id string) (orchestrator.Node, error) {
	if err := f.call("Node %s", id); err != nil {
		return orchestrator.Node{}, err
	}
	for _, n := range f.nodes {
		if n.ID == id {
			return n, nil
		}
	}
	return orchestrator.Node{}, orchestrator.Errorf(orchestrator.NotFound, "id", "there is no node with the id %q", id)
}

func (f *fakeAPI) Templates() []catalog.Template {
	return []catalog.Template{f.services[0].Definition, {Name: "nats", Kind: catalog.Queue, Process: &catalog.Runtime{}, Docker: &catalog.Runtime{}}}
}

func (f *fakeAPI) Events(_ context.Context, filter orchestrator.EventFilter, page orchestrator.Page) (orchestrator.List[*orchestrator.Event], error) {
	err := f.call("Events %+v %+v", filter, page)
	return orchestrator.List[*orchestrator.Event]{Items: f.events, Cursors: []string{"c8", "c7"}}, err
}

func (f *fakeAPI) Retained(context.Context) ([]*orchestrator.Retained, error) {
	return f.retained, f.call("Retained")
}

func (f *fakeAPI) Orphans(context.Context) ([]orchestrator.Orphan, error) {
	name, kind := "lost", catalog.Bucket
	return []orchestrator.Orphan{{ID: "s9", Name: &name, Kind: &kind, NodeID: "n1", Running: true}}, f.call("Orphans")
}

func (f *fakeAPI) AdoptOrphan(_ context.Context, id string) (*orchestrator.Service, error) {
	return f.services[0], f.call("AdoptOrphan %s", id)
}

func (f *fakeAPI) StopOrphan(_ context.Context, id string) (orchestrator.Orphan, error) {
	return orchestrator.Orphan{ID: id, NodeID: "n1"}, f.call("StopOrphan %s", id)
}

func (f *fakeAPI) RemoveOrphan(_ context.Context, id string, how orchestrator.OrphanRemoval) error {
	return f.call("RemoveOrphan %s %v", id, how.DeleteData)
}

func (f *fakeAPI) Endpoint(s *orchestrator.Service) string {
	_ = f.call("Endpoint %s", s.ID)
	if s.NodeID == "" {
		return ""
	}
	return "http://127.0.0.1:20000"
}

func (f *fakeAPI) LastCheck(*orchestrator.Service) *time.Time { return &at }

func (f *fakeAPI) LastWrite(*orchestrator.Service) *probe.Result { return nil }

func (f *fakeAPI) Limits(s *orchestrator.Service) catalog.Limits {
	if s.NodeID != "n2" {
		return catalog.Limits{}
	}
	return catalog.Limits{MemoryMiB: 512, CPUs: 0.5}
}

func (f *fakeAPI) Progress(s *orchestrator.Service) *orchestrator.Progress {
	if s.NodeID != "" {
		return nil
	}
	return &orchestrator.Progress{ServiceID: s.ID, StepCode: lifecycle.StepPlacing, Step: "placing", Percent: -1, Phase: lifecycle.Pending, Health: lifecycle.HealthUnknown}
}

func (f *fakeAPI) PortRange() (first, last int) { return 20000, 29999 }

func (f *fakeAPI) Actions(*orchestrator.Service) []orchestrator.ServiceAction {
	return []orchestrator.ServiceAction{orchestrator.ActionStop, orchestrator.ActionSeparateAdmin, orchestrator.ActionRemove, orchestrator.ActionDeleteData}
}

func (f *fakeAPI) NodeActions(orchestrator.Node) []orchestrator.NodeAction {
	return []orchestrator.NodeAction{orchestrator.NodeActionDrain}
}

func (f *fakeAPI) Launch(_ context.Context, in orchestrator.LaunchInput) (*orchestrator.Service, error) {
	check, limits := in.Check, in.Limits
	if in.Labels != nil {
		_ = f.call("own labels=%v", in.Labels)
	}
	if limits != (orchestrator.LimitsInput{}) || in.NodeLabels != nil {
		_ = f.call("limits memory=%v cpus=%v pids=%v labels=%v", show(limits.MemoryMiB), show(limits.CPUs), show(limits.PIDs), in.NodeLabels)
	}
	err := f.call("Launch {Kind:%s Name:%s Template:%s NodeID:%s Reattach:%s} interval=%v timeout=%v threshold=%v grace=%v",
		in.Kind, in.Name, in.Template, in.NodeID, in.Reattach,
		show(check.Interval), show(check.Timeout), show(check.FailureThreshold), show(check.Grace))
	return f.services[0], err
}

func show[T any](p *T) any {
	if p == nil {
		return "-"
	}
	return *p
}

func (f *fakeAPI) Remove(_ context.Context, id string, deleteData bool) (*orchestrator.Service, error) {
	if err := f.call("Remove %s deleteData=%v", id, deleteData); err != nil || id == "gone" {
		return nil, err
	}
	return f.find(id)
}

func (f *fakeAPI) Start(_ context.Context, id string) (*orchestrator.Service, error) {
	return f.verb(id, "Start")
}
func (f *fakeAPI) Stop(_ context.Context, id string) (*orchestrator.Service, error) {
	return f.verb(id, "Stop")
}
func (f *fakeAPI) Restart(_ context.Context, id string) (*orchestrator.Service, error) {
	return f.verb(id, "Restart")
}

func (f *fakeAPI) SeparateAdmin(_ context.Context, id string, _ bool) (orchestrator.Separation, error) {
	s, err := f.verb(id, "SeparateAdmin")
	return orchestrator.Separation{Service: s}, err
}

func (f *fakeAPI) Swap(_ context.Context, a, b string, confirm bool) (orchestrator.Swap, error) {
	if err := f.call("Swap %s %s %v", a, b, confirm); err != nil {
		return orchestrator.Swap{}, err
	}
	return orchestrator.Swap{A: f.services[0], B: f.services[1], Begun: confirm, Steps: []string{"a stops"}, DataAsOf: &at}, nil
}

func (f *fakeAPI) Rotate(_ context.Context, id string) (*orchestrator.Service, error) {
	return f.verb(id, "Rotate")
}

func (f *fakeAPI) Check(_ context.Context, id string) (*orchestrator.Service, probe.Result, error) {
	s, err := f.verb(id, "Check")
	return s, probe.Result{Verdict: probe.Alive, Detail: "wrong password", At: at, Duration: 1500 * time.Millisecond}, err
}

func (f *fakeAPI) Reveal(_ context.Context, id string) ([]orchestrator.Credential, error) {
	_, err := f.verb(id, "Reveal")
	return []orchestrator.Credential{{Name: "accessKey", Value: "a"}, {Name: "secretKey", Value: "hunter2"}}, err
}

func (f *fakeAPI) Connections(_ context.Context, id string) ([]catalog.ConnectionString, error) {
	_, err := f.verb(id, "Connections")
	return []catalog.ConnectionString{{Name: "url", Value: "s3://a:b@127.0.0.1:20000"}, {Name: "env", Value: "A=a\nB=b"}}, err
}

func (f *fakeAPI) SetLabels(_ context.Context, id string, set []orchestrator.Label, remove []string) (*orchestrator.Service, error) {
	return f.services[0], f.call("SetLabels %s %v %v", id, set, remove)
}

func (f *fakeAPI) DeleteRetained(_ context.Context, id string) (*orchestrator.Retained, error) {
	return &orchestrator.Retained{ID: id, Deleting: true}, f.call("DeleteRetained %s", id)
}

func (f *fakeAPI) RegisterNode(_ context.Context, in orchestrator.NodeInput) (orchestrator.Node, error) {
	keys := accessText(in.Access)
	in.Access = orchestrator.Access{}
	return f.nodes[1], f.call("RegisterNode %+v %s", in, keys)
}

func (f *fakeAPI) UpdateNode(_ context.Context, id string, in orchestrator.NodeUpdate) (orchestrator.Node, error) {
	return f.nodes[1], f.call("UpdateNode %s address=%v labels=%#v draining=%v %s", id, show(in.ServiceAddress), in.Labels, show(in.Draining), accessText(in.Access))
}

// accessText returns the keys in clear text.
func accessText(a orchestrator.Access) string {
	text := "keys="
	if t := a.TLS; t != nil {
		text += fmt.Sprintf("TLS{%s %s %s}", t.CA, t.Certificate, string(t.Key))
	}
	if s := a.SSH; s != nil {
		text += fmt.Sprintf("SSH{%s %s}", string(s.PrivateKey), s.HostKey)
	}
	return text
}

func (f *fakeAPI) RemoveNode(_ context.Context, id string, forget bool) error {
	return f.call("RemoveNode %s forget=%v", id, forget)
}

// WatchEvents yields the events in feed, to one live watch at a time. A watch that ends at the present gets the events
// sent before.
func (f *fakeAPI) WatchEvents(ctx context.Context, span orchestrator.Span, yield func(*orchestrator.Event) error) (seq int64, err error) {
	if !span.Live {
		return f.replay(span, yield)
	}
	f.watching <- span.Since
	defer func() { f.unwatch <- ended{err} }()
	for {
		select {
		case <-ctx.Done():
			return seq, nil
		case e, ok := <-f.feed:
			if !ok {
				return orchestrator.Over, f.feedErr
			}
			seq = e.ID
			f.mu.Lock()
			f.fed = append(f.fed, e)
			f.mu.Unlock()
			if err := yield(e); err != nil {
				return seq, err
			}
		}
	}
}

func (f *fakeAPI) replay(span orchestrator.Span, yield func(*orchestrator.Event) error) (seq int64, err error) {
	f.mu.Lock()
	fed := slices.Clone(f.fed)
	f.replays++
	f.mu.Unlock()
	if err := f.call("WatchEvents %s", span.Since); err != nil {
		return 0, err
	}
	if span.After != nil {
		seq = *span.After
	} else if n := len(fed); n > 0 {
		seq = fed[n-1].ID
	}
	for _, e := range fed {
		if e.ID > seq {
			seq = e.ID
			if err := yield(e); err != nil {
				return seq, err
			}
		}
	}
	return seq, nil
}

func (f *fakeAPI) WatchChanges(_ context.Context, _ orchestrator.Span, yield func(*orchestrator.Changes) error) (int64, error) {
	if err := f.call("WatchChanges"); err != nil {
		return 0, err
	}
	return orchestrator.Over, yield(&orchestrator.Changes{Snapshot: true, Services: f.services, Nodes: f.nodes, Complete: true, Cursor: "c8", Position: 8})
}

// Logs pages through f.log, whose cursors are their places.
func (f *fakeAPI) Logs(_ context.Context, id string, q orchestrator.LogQuery) (page orchestrator.LogPage, err error) {
	if err := f.call("Logs %s %d %q %q %q %q", id, q.First, q.Before, q.Contains, q.Run, q.Level); err != nil {
		return page, err
	}
	if _, err := f.find(id); err != nil {
		return page, err
	}
	end := len(f.log)
	if q.Before != "" {
		if end, err = strconv.Atoi(q.Before); err != nil {
			return page, orchestrator.BadCursor("before")
		}
	}
	selects := q.Matcher()
	for i := end - 1; i >= 0; i-- {
		if selected, _ := selects(&f.log[i]); !selected {
			continue
		}
		if page.More = len(page.Lines) == q.First; page.More {
			break
		}
		line := f.log[i]
		line.Cursor = strconv.Itoa(i)
		page.Lines = append(page.Lines, line)
	}
	slices.Reverse(page.Lines)
	page.End = strconv.Itoa(end)
	return page, nil
}

func (f *fakeAPI) LogTail(_ context.Context, e *orchestrator.Event) ([]orchestrator.LogLine, error) {
	return f.tails[e.ID], f.call("LogTail %d", e.ID)
}

// WatchLogs passes on f.batches, and then waits for ctx to end.
func (f *fakeAPI) WatchLogs(ctx context.Context, id string, span orchestrator.Span, yield func(*orchestrator.LogBatch) error) (int64, error) {
	if err := f.call("WatchLogs %s %q", id, span.Since); err != nil {
		return 0, err
	}
	if _, err := f.find(id); err != nil {
		return orchestrator.Over, err
	}
	position := int64(0)
	for i := range f.batches {
		if span.After != nil && f.batches[i].Position <= *span.After {
			continue
		}
		position = f.batches[i].Position
		if err := yield(&f.batches[i]); err != nil {
			return position, err
		}
	}
	if span.Live {
		<-ctx.Done()
	}
	return position, nil
}

func (f *fakeAPI) Usage(*orchestrator.Service) *orchestrator.Usage { return f.usage }

func (f *fakeAPI) NodeUsage(orchestrator.Node) *orchestrator.NodeUsage { return f.nodeUsage }

func (f *fakeAPI) UsageHistory(_ context.Context, s *orchestrator.Service, within orchestrator.UsageRange, points int) (orchestrator.UsageHistory, error) {
	h := f.history
	h.ID = s.ID
	return h, f.call("UsageHistory %s %s %d", s.ID, within, points)
}

func (f *fakeAPI) NodeUsageHistory(_ context.Context, n orchestrator.Node, within orchestrator.UsageRange, points int) (orchestrator.UsageHistory, error) {
	h := f.history
	h.ID = n.ID
	return h, f.call("NodeUsageHistory %s %s %d", n.ID, within, points)
}

// WatchUsage passes on f.usage, and then waits for ctx to end.
func (f *fakeAPI) WatchUsage(ctx context.Context, ids []string, span orchestrator.Span, yield func(*orchestrator.UsageBatch) error) (int64, error) {
	if err := f.call("WatchUsage %s", ids); err != nil {
		return 0, err
	}
	if err := orchestrator.CheckUsageIDs(ids); err != nil {
		return 0, err
	}
	if span.After == nil || *span.After < 1 {
		if err := yield(&orchestrator.UsageBatch{Services: []*orchestrator.Usage{f.usage}, Position: 1}); err != nil {
			return 0, err
		}
	}
	if span.Live {
		<-ctx.Done()
	}
	return 1, nil
}

func (f *fakeAPI) Warnings(*orchestrator.Service) []orchestrator.Warning { return f.warnings }

func (f *fakeAPI) NodeWarnings(orchestrator.Node) []orchestrator.Warning { return f.warnings }

func (f *fakeAPI) EngineStats(*orchestrator.Service) []orchestrator.EngineStat { return f.stats }

func (f *fakeAPI) Uptime(_ context.Context, s *orchestrator.Service, within orchestrator.UptimeRange) (orchestrator.Uptime, error) {
	return f.uptime, f.call("Uptime %s %s", s.ID, within)
}

func (f *fakeAPI) WatchProgress(_ context.Context, id string, _ orchestrator.Span, yield func(orchestrator.Progress, int64) error) (int64, error) {
	if err := f.call("WatchProgress %s", id); err != nil {
		return 0, err
	}
	if _, err := f.find(id); err != nil {
		return 0, err
	}
	for i, p := range f.progress {
		if err := yield(p, int64(i)); err != nil {
			return 0, err
		}
	}
	return orchestrator.Over, nil
}

func (f *fakeAPI) Ready(context.Context) error { return f.ready }
