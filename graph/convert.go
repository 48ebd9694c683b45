package graph

import (
	"strconv"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/ent/event"
	"github.com/unicorn-web-services/uws/ent/node"
	"github.com/unicorn-web-services/uws/graph/model"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/probe"
)

const (
	defaultPage = 50
	maxPage     = 500
)

// pageOf refuses sizes below 1 and takes those above the maximum as the maximum.
func pageOf(first *int, after *string) (orchestrator.Page, error) {
	n := defaultPage
	if first != nil {
		n = *first
	}
	if n < 1 {
		return orchestrator.Page{}, orchestrator.Errorf(orchestrator.InvalidInput, "first", "first must be 1 to %d, not %d", maxPage, n)
	}
	return orchestrator.Page{First: min(n, maxPage), After: deref(after)}, nil
}

func serviceFilter(f *model.ServiceFilter) orchestrator.ServiceFilter {
	if f == nil {
		return orchestrator.ServiceFilter{}
	}
	return orchestrator.ServiceFilter{
		Kinds: f.Kind, Phases: f.Phase, Healths: f.Health,
		NodeID: deref(f.NodeID), NameContains: deref(f.NameContains),
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
	if c := in.HealthCheck; c != nil {
		out.Check = orchestrator.CheckInput{
			Interval: seconds(c.IntervalSeconds), Timeout: seconds(c.TimeoutSeconds),
			FailureThreshold: c.FailureThreshold, Grace: seconds(c.GraceSeconds),
		}
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

func serviceConnection(list orchestrator.List[*ent.Service], filter orchestrator.ServiceFilter) *model.ServiceConnection {
	out := &model.ServiceConnection{
		Edges: make([]*model.ServiceEdge, len(list.Items)), Nodes: list.Items,
		PageInfo: pageInfo(list.Cursors, list.More), Filter: filter,
	}
	for i, s := range list.Items {
		out.Edges[i] = &model.ServiceEdge{Cursor: list.Cursors[i], Node: s}
	}
	return out
}

func eventConnection(list orchestrator.List[*ent.Event]) *model.EventConnection {
	out := &model.EventConnection{
		Edges:    make([]*model.EventEdge, len(list.Items)),
		Nodes:    make([]*model.Event, len(list.Items)),
		PageInfo: pageInfo(list.Cursors, list.More),
	}
	for i, e := range list.Items {
		out.Nodes[i] = toEvent(e)
		out.Edges[i] = &model.EventEdge{Cursor: list.Cursors[i], Node: out.Nodes[i]}
	}
	return out
}

func pageInfo(cursors []string, more bool) *model.PageInfo {
	info := &model.PageInfo{HasNextPage: more}
	if n := len(cursors); n > 0 {
		info.EndCursor = &cursors[n-1]
	}
	return info
}

func toEvent(e *ent.Event) *model.Event {
	healthy := e.NodeHealthy
	if e.Subject == event.SubjectSERVICE {
		healthy = e.Health != nil && e.Health.Healthy()
	}
	return &model.Event{
		ID: eventID(e.ID), At: e.At, Subject: e.Subject,
		NodeID: optional(e.NodeID), NodeName: optional(e.NodeName),
		ServiceID: optional(e.ServiceID), ServiceName: optional(e.ServiceName), Kind: e.Kind,
		PreviousPhase: e.PreviousPhase, Phase: e.Phase,
		PreviousHealth: e.PreviousHealth, Health: e.Health, Healthy: healthy,
		Reason: e.Reason, Probe: optional(probe.Verdict(e.Probe)),
		ExitCode: e.ExitCode, OutOfMemory: e.OomKilled,
		Attempt: e.Attempt, NextAttemptAt: e.NextAttemptAt, CauseID: causeID(e),
	}
}

// toHealthChange takes an event whose subject is a service.
func toHealthChange(e *ent.Event) *model.ServiceHealthChanged {
	health := lifecycle.HealthUnknown
	if e.Health != nil {
		health = *e.Health
	}
	return &model.ServiceHealthChanged{
		Cursor: orchestrator.EventCursor(e), ID: eventID(e.ID), At: e.At,
		ServiceID: e.ServiceID, Name: e.ServiceName, Kind: deref(e.Kind), NodeName: optional(e.NodeName),
		DesiredState: e.DesiredState, PreviousPhase: e.PreviousPhase, Phase: e.Phase,
		PreviousHealth: e.PreviousHealth, Health: health, Healthy: health.Healthy(),
		Reason: e.Reason, Endpoint: optional(e.Endpoint), Restarts: e.Restarts,
		Probe: optional(probe.Verdict(e.Probe)), ExitCode: e.ExitCode, OutOfMemory: e.OomKilled,
		Attempt: e.Attempt, NextAttemptAt: e.NextAttemptAt, CauseID: causeID(e),
	}
}

// wanted says whether a subscriber with this selection is told of e; nil selects all.
func wanted(e *ent.Event, kind *catalog.Kind, service *string) bool {
	return e.Subject == event.SubjectSERVICE &&
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

func causeID(e *ent.Event) *string {
	if e.CauseID == nil {
		return nil
	}
	id := eventID(*e.CauseID)
	return &id
}

func healthCheck(s *ent.Service, r probe.Result) *model.HealthCheck {
	return &model.HealthCheck{Service: s, Verdict: r.Verdict, Detail: r.Detail, At: r.At, DurationSeconds: r.Duration.Seconds()}
}

func serviceTemplate(t catalog.Template) *model.ServiceTemplate {
	return &model.ServiceTemplate{Name: t.Name, Version: t.Version}
}

func drivers(t *catalog.Template) []node.Driver {
	out := []node.Driver{}
	if t.Process != nil {
		out = append(out, node.DriverPROCESS)
	}
	if t.Docker != nil {
		out = append(out, node.DriverDOCKER)
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

// optional is null for a zero value.
func optional[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

func deref[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
