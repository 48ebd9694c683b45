package graph

import (
	"cmp"
	"strconv"
	"time"

	"github.com/unicorn-web-services/uws/graph/model"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/auth"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/probe"
)

const (
	defaultPage  = 50
	defaultLines = 100 // of a log
	maxPage      = orchestrator.MaxPage

	maxNamePart  = 100 // bytes that a name is searched for; SQLite refuses patterns of 50,000
	maxSelectors = 32  // of labels, as many as a service can have
)

// checkFilter refuses what no name contains.
func checkFilter(f *model.ServiceFilter) error {
	switch {
	case f == nil:
		return nil
	case len(deref(f.NameContains)) > maxNamePart:
		return orchestrator.Errorf(orchestrator.InvalidInput, "filter.nameContains", "must have at most %d characters, not %d", maxNamePart, len(*f.NameContains))
	case len(f.Labels) > maxSelectors:
		return orchestrator.Errorf(orchestrator.InvalidInput, "filter.labels", "must have at most %d selectors, not %d", maxSelectors, len(f.Labels))
	}
	return nil
}

// logQuery refuses texts that are too long to be looked for.
func logQuery(first *int, before *string, since *time.Time, contains, run *string, level *orchestrator.LogLevel) (orchestrator.LogQuery, error) {
	page, err := pageOf(cmp.Or(first, new(defaultLines)), before)
	if len(deref(contains)) > maxNamePart {
		err = orchestrator.Errorf(orchestrator.InvalidInput, "contains", "must have at most %d characters, not %d", maxNamePart, len(*contains))
	}
	return orchestrator.LogQuery{First: page.First, Before: page.After, Since: deref(since), Contains: deref(contains), Run: deref(run), Level: deref(level)}, err
}

// pageOf refuses sizes below 1 and takes those above the maximum as the maximum.
func pageOf(first *int, after *string) (orchestrator.Page, error) {
	n := defaultPage
	if first != nil {
		n = *first
	}
	if n < 1 {
		return orchestrator.Page{}, orchestrator.Errorf(orchestrator.InvalidInput, "first", "must be 1 to %d, not %d", maxPage, n)
	}
	return orchestrator.Page{First: min(n, maxPage), After: deref(after)}, nil
}

// pointsOf refuses numbers below 1 and takes those above the maximum as the maximum.
func pointsOf(points int) (int, error) {
	if points < 1 {
		return 0, orchestrator.Errorf(orchestrator.InvalidInput, "points", "must be 1 to %d, not %d", orchestrator.MaxUsagePoints, points)
	}
	return min(points, orchestrator.MaxUsagePoints), nil
}

func serviceFilter(f *model.ServiceFilter) orchestrator.ServiceFilter {
	if f == nil {
		return orchestrator.ServiceFilter{}
	}
	return orchestrator.ServiceFilter{
		Kinds: f.Kind, Phases: f.Phase, Healths: f.Health,
		NodeID: deref(f.NodeID), NameContains: deref(f.NameContains), Labels: values(f.Labels), Warned: f.Warned,
	}
}

func eventFilter(f *model.EventFilter) orchestrator.EventFilter {
	if f == nil {
		return orchestrator.EventFilter{}
	}
	return orchestrator.EventFilter{ServiceID: deref(f.ServiceID), NodeID: deref(f.NodeID), Kinds: f.Kind}
}

func launchInput(in model.LaunchServiceInput) orchestrator.LaunchInput {
	out := orchestrator.LaunchInput{
		Kind: in.Kind, Name: in.Name,
		Template: deref(in.Template), NodeID: deref(in.NodeID), Reattach: deref(in.Reattach),
	}
	if in.Limits != nil {
		out.Limits = *in.Limits
	}
	out.Labels, out.NodeLabels = values(in.Labels), values(in.NodeLabels)
	for _, p := range in.Ports {
		out.Ports = append(out.Ports, orchestrator.PortInput{Name: p.Name, Number: p.Number})
	}
	if c := in.HealthCheck; c != nil {
		out.Check = orchestrator.CheckInput{
			Interval: seconds(c.IntervalSeconds), Timeout: seconds(c.TimeoutSeconds),
			FailureThreshold: c.FailureThreshold, Grace: seconds(c.GraceSeconds),
		}
	}
	return out
}

// values returns what pointers point to.
func values[T any](pointers []*T) (out []T) {
	for _, p := range pointers {
		out = append(out, *p)
	}
	return out
}

// seconds keeps what is absurd absurd instead of letting it wrap around: the control plane refuses it then.
func seconds(s *float64) *time.Duration {
	if s == nil {
		return nil
	}
	const century = 100 * 365 * 24 * 3600.0
	d := time.Duration(max(-century, min(century, *s)) * float64(time.Second))
	return &d
}

func serviceConnection(list orchestrator.List[*orchestrator.Service], nodes []*model.Service, filter orchestrator.ServiceFilter, after *string) *model.ServiceConnection {
	out := &model.ServiceConnection{
		Edges: make([]*model.ServiceEdge, len(nodes)), Nodes: nodes,
		PageInfo: pageInfo(list.Cursors, list.More, after), Filter: filter,
	}
	edges := make([]model.ServiceEdge, len(nodes))
	for i, s := range nodes {
		edges[i] = model.ServiceEdge{Cursor: list.Cursors[i], Node: s}
		out.Edges[i] = &edges[i]
	}
	return out
}

func eventConnection(list orchestrator.List[*orchestrator.Event], after *string) *model.EventConnection {
	out := &model.EventConnection{
		Edges:    make([]*model.EventEdge, len(list.Items)),
		Nodes:    make([]*model.Event, len(list.Items)),
		PageInfo: pageInfo(list.Cursors, list.More, after),
	}
	for i, e := range list.Items {
		out.Nodes[i] = toEvent(e)
		out.Edges[i] = &model.EventEdge{Cursor: list.Cursors[i], Node: out.Nodes[i]}
	}
	return out
}

// logConnection is a page of a log; newer reports whether there are lines after it.
func logConnection(page *orchestrator.LogPage, newer bool) *model.ServiceLogConnection {
	out := &model.ServiceLogConnection{
		Edges: make([]*model.ServiceLogEdge, len(page.Lines)), Nodes: pointers(page.Lines),
		PageInfo: &model.PageInfo{HasPreviousPage: page.More, HasNextPage: newer, EndCursor: &page.End},
	}
	for i, line := range out.Nodes {
		out.Edges[i] = &model.ServiceLogEdge{Cursor: line.Cursor, Node: line}
	}
	if len(page.Lines) > 0 {
		out.PageInfo.StartCursor = &page.Lines[0].Cursor
	}
	return out
}

func pageInfo(cursors []string, more bool, after *string) *model.PageInfo {
	info := &model.PageInfo{HasNextPage: more, HasPreviousPage: deref(after) != ""}
	if n := len(cursors); n > 0 {
		info.StartCursor, info.EndCursor = &cursors[0], &cursors[n-1]
	}
	return info
}

func auditConnection(list orchestrator.List[*auth.Entry], after *string) *model.AuditConnection {
	out := &model.AuditConnection{
		Edges: make([]*model.AuditEdge, len(list.Items)), Nodes: list.Items, PageInfo: pageInfo(list.Cursors, list.More, after),
	}
	for i, e := range list.Items {
		out.Edges[i] = &model.AuditEdge{Cursor: list.Cursors[i], Node: e}
	}
	return out
}

func toEvent(e *orchestrator.Event) *model.Event {
	healthy := true
	switch e.Subject {
	case orchestrator.SubjectService:
		healthy = e.Health != nil && e.Health.Healthy()
	case orchestrator.SubjectNode:
		healthy = e.NodeHealthy
	}
	return &model.Event{
		Of: e, ID: eventID(e.ID), At: e.At, Subject: e.Subject,
		NodeID: model.Optional(e.NodeID), NodeName: model.Optional(e.NodeName),
		ServiceID: model.Optional(e.ServiceID), ServiceName: model.Optional(e.ServiceName), Kind: e.Kind,
		PreviousPhase: e.PreviousPhase, Phase: e.Phase,
		PreviousHealth: e.PreviousHealth, Health: e.Health, Healthy: healthy,
		Reason: e.Reason, ReasonCode: e.ReasonCode, ReasonParameters: model.ReasonParametersOf(e.ReasonParams), Probe: model.Optional(e.Probe),
		ExitCode: e.ExitCode, OutOfMemory: e.OutOfMemory, LogLine: e.LogLine,
		Attempt: e.Attempt, NextAttemptAt: e.NextAttemptAt, CauseID: causeID(e), Details: eventDetails(e),
	}
}

func eventDetails(e *orchestrator.Event) model.EventDetails {
	switch e.Subject {
	case orchestrator.SubjectService:
		return &model.ServiceEventDetails{
			Subject: e.Subject, ServiceID: e.ServiceID, ServiceName: model.Optional(e.ServiceName), Kind: e.Kind, Template: model.Optional(e.Template),
			NodeID: model.Optional(e.NodeID), NodeName: model.Optional(e.NodeName), DesiredState: e.DesiredState,
			PreviousPhase: e.PreviousPhase, Phase: e.Phase, PreviousHealth: e.PreviousHealth, Health: e.Health,
			Endpoint: model.Optional(e.Endpoint), Restarts: e.Restarts,
		}
	case orchestrator.SubjectNode:
		return &model.NodeEventDetails{Subject: e.Subject, NodeID: &e.NodeID, NodeName: &e.NodeName, Healthy: e.NodeHealthy}
	default:
		return nil
	}
}

// toHealthChange takes an event whose subject is a service.
func toHealthChange(e *orchestrator.Event) *model.ServiceHealthChanged {
	health := lifecycle.HealthUnknown
	if e.Health != nil {
		health = *e.Health
	}
	return &model.ServiceHealthChanged{
		Cursor: orchestrator.EventCursor(e), ID: eventID(e.ID), At: e.At,
		ServiceID: e.ServiceID, Name: e.ServiceName, Kind: deref(e.Kind), NodeName: model.Optional(e.NodeName),
		DesiredState: e.DesiredState, PreviousPhase: e.PreviousPhase, Phase: e.Phase,
		PreviousHealth: e.PreviousHealth, Health: health, Healthy: health.Healthy(),
		Reason: e.Reason, ReasonCode: e.ReasonCode, ReasonParameters: model.ReasonParametersOf(e.ReasonParams), Endpoint: model.Optional(e.Endpoint), Restarts: e.Restarts,
		Probe: model.Optional(e.Probe), ExitCode: e.ExitCode, OutOfMemory: e.OutOfMemory, LogLine: e.LogLine,
		Attempt: e.Attempt, NextAttemptAt: e.NextAttemptAt, CauseID: causeID(e),
	}
}

// wanted reports whether e matches the selection of a subscriber; nil selects all.
func wanted(e *orchestrator.Event, kind *catalog.Kind, service *string) bool {
	return e.Subject == orchestrator.SubjectService &&
		(kind == nil || deref(e.Kind) == *kind) &&
		(service == nil || e.ServiceID == *service)
}

// positionOf a message; those that do not complete anything have none of their own.
func positionOf(c *orchestrator.Changes) int64 {
	if !c.Complete {
		return Pending
	}
	return c.Position
}

func eventID(seq int64) string { return strconv.FormatInt(seq, 10) }

func causeID(e *orchestrator.Event) *string {
	if e.CauseID == nil {
		return nil
	}
	id := eventID(*e.CauseID)
	return &id
}

func healthCheck(s *model.Service, r probe.Result) *model.HealthCheck {
	return &model.HealthCheck{Service: s, Verdict: r.Verdict, Detail: r.Detail, At: r.At, Duration: r.Duration, DurationSeconds: r.Duration.Seconds()}
}

// portNames of those for clients.
func portNames(t *catalog.Template) []string {
	out := []string{}
	for _, p := range t.Ports {
		if !p.Internal {
			out = append(out, p.Name)
		}
	}
	return out
}

func drivers(t *catalog.Template) []catalog.Driver {
	out := []catalog.Driver{}
	if t.Process != nil {
		out = append(out, catalog.Process)
	}
	if t.Docker != nil {
		out = append(out, catalog.Docker)
	}
	return out
}

// pointers to the elements, as generated code wants them.
func pointers[T any](values []T) []*T {
	out := make([]*T, len(values))
	for i := range values {
		out[i] = &values[i]
	}
	return out
}

func deref[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// settingsOf is what a launch of a template may set.
func settingsOf(t *catalog.Template, first, last int) *model.TemplateSettings {
	s := t.Settings()
	out := &model.TemplateSettings{
		HealthCheck: &model.HealthCheckSettings{
			Interval: durationSetting(s.Interval), Timeout: durationSetting(s.Timeout),
			FailureThreshold: intSetting(s.FailureThreshold), Grace: durationSetting(s.Grace),
		},
		PortNumbers: &model.PortRange{First: first, Last: last},
	}
	if s.CPUs != nil {
		out.Limits = &model.LimitSettings{
			MemoryMiB: intSetting(*s.MemoryMiB), Cpus: &model.FloatSetting{Default: s.CPUs.Default, Min: s.CPUs.Min, Max: s.CPUs.Max},
			Pids: intSetting(*s.PIDs),
		}
	}
	return out
}

func intSetting(s catalog.Setting[int]) *model.IntSetting {
	return &model.IntSetting{Default: s.Default, Min: s.Min, Max: s.Max}
}

func durationSetting(s catalog.Setting[time.Duration]) *model.DurationSetting {
	return &model.DurationSetting{Default: s.Default, Min: s.Min, Max: s.Max}
}
