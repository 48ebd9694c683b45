package fleet

import (
	"cmp"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/eventlog"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/snapshot"
)

// ServiceEvent begins an event about a service as it is.
func (f *Fleet) ServiceEvent(tx *ent.Tx, at time.Time, s *ent.Service) *ent.EventCreate {
	e := eventlog.Append(tx, at).SetSubject("SERVICE").
		SetServiceID(s.ID).SetServiceName(s.Name).SetKind(s.Kind).SetTemplate(s.Template).
		SetDesiredState(s.DesiredState).SetPhase(s.Phase).SetHealth(s.Health).SetReason(s.Reason).SetNillableReasonCode(s.ReasonCode).
		SetRestarts(s.Restarts).SetAttempt(len(s.Failures)).SetNillableNextAttemptAt(s.NextRestartAt)
	if s.NodeID != "" {
		e.SetNodeID(s.NodeID).SetNodeName(f.NameOf(s.NodeID)).SetEndpoint(f.Endpoint(snapshot.ServiceOf(s)))
	}
	return e
}

// ChangeEvent begins an event about a service that went from before to after.
func (f *Fleet) ChangeEvent(tx *ent.Tx, at time.Time, before, after *ent.Service) *ent.EventCreate {
	e := f.ServiceEvent(tx, at, after).SetPreviousPhase(before.Phase).SetPreviousHealth(before.Health)
	if after.CauseID != nil {
		e.SetCauseID(*after.CauseID)
	}
	return e
}

// GoneEvent begins an event about a service that is gone.
func (f *Fleet) GoneEvent(tx *ent.Tx, at time.Time, id, name string, kind catalog.Kind, template string) *ent.EventCreate {
	return eventlog.Append(tx, at).SetSubject("SERVICE").SetServiceID(id).SetServiceName(name).SetKind(kind).SetTemplate(template).
		SetPreviousHealth(lifecycle.HealthUnknown).SetHealth(lifecycle.HealthUnknown)
}

// RetainedEvent begins an event about retained data, whose subject is the removed service.
func (f *Fleet) RetainedEvent(tx *ent.Tx, at time.Time, v *ent.Volume) *ent.EventCreate {
	return f.GoneEvent(tx, at, v.FormerService, v.Name, v.Kind, v.Template).SetNodeID(v.NodeID).SetNodeName(cmp.Or(v.NodeName, f.NameOf(v.NodeID)))
}

// Endpoint returns the URL of a service for its clients, empty until its ports are chosen.
func (f *Fleet) Endpoint(s *orchestrator.Service) string {
	n := f.Lookup(s.NodeID)
	if n == nil || len(s.Ports) == 0 {
		return ""
	}
	fixed := map[string]string{}
	for _, c := range s.Definition.Credentials {
		fixed[c.Name] = c.Value
	}
	url, err := s.Definition.EndpointFor(catalog.Values{Host: n.Row().ServiceAddress,
		ServiceID: s.ID, ServiceName: s.Name, Ports: s.Ports, Credentials: fixed})
	if err != nil {
		f.log.Error("filling in a template's endpoint failed", "service", s.Name, "template", s.Definition.Name, "error", err)
	}
	return url
}
