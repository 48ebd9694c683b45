package snapshot

import (
	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/probe"
)

// This is the boundary between the rows of the store and the contract.

// ServiceOf returns what the contract has of a row, nil for nil.
func ServiceOf(row *ent.Service) *orchestrator.Service {
	if row == nil {
		return nil
	}
	heldBack := ""
	if q := row.Quarantine; q != nil {
		heldBack = q.HeldBack
	}
	return &orchestrator.Service{
		ID: row.ID, Name: row.Name, Kind: row.Kind, Definition: row.Definition, Labels: row.Labels, NodeLabels: row.NodeLabels, Volume: row.Volume, CreatedAt: row.CreatedAt,
		DesiredState: row.DesiredState, Rotating: len(row.PendingCredentials) > 0, HeldBack: heldBack,
		NodeID: row.NodeID, Ports: row.Ports, Image: row.Image, Instance: row.Instance, Phase: row.Phase, Health: row.Health,
		Reason: row.Reason, ReasonCode: row.ReasonCode, ReasonParams: row.ReasonParams, LogLine: row.LogLine,
		Restarts: row.Restarts, Generation: row.SpecGeneration, ObservedGeneration: row.ObservedGeneration,
		Backup: orchestrator.BackupHealth(row.BackupState), BackupReason: row.BackupReason,
		NextRestartAt: row.NextRestartAt, LastHealthCheckAt: row.LastHealthCheckAt,
	}
}

// NodeOf returns what the contract has of a row. What was observed of the node is not in it.
func NodeOf(row *ent.Node) orchestrator.Node {
	return orchestrator.Node{
		ID: row.ID, Name: row.Name, Driver: catalog.Driver(row.Driver), Endpoint: row.Endpoint, ServiceAddress: row.ServiceAddress,
		Labels: row.Labels, Draining: row.Draining, Healthy: row.Healthy, Reason: row.Reason, LastSeenAt: row.LastSeenAt,
	}
}

// EventOf returns what the contract has of a row.
func EventOf(row *ent.Event) *orchestrator.Event {
	return &orchestrator.Event{
		ID: row.ID, Mark: row.Mark, At: row.At, Subject: orchestrator.Subject(row.Subject),
		NodeID: row.NodeID, NodeName: row.NodeName, NodeHealthy: row.NodeHealthy,
		ServiceID: row.ServiceID, ServiceName: row.ServiceName, Kind: row.Kind, Template: row.Template, DesiredState: row.DesiredState,
		PreviousPhase: row.PreviousPhase, Phase: row.Phase, PreviousHealth: row.PreviousHealth, Health: row.Health,
		Endpoint: row.Endpoint, Restarts: row.Restarts,
		Reason: row.Reason, ReasonCode: row.ReasonCode, ReasonParams: row.ReasonParams, Probe: probe.Verdict(row.Probe),
		ExitCode: row.ExitCode, OutOfMemory: row.OomKilled, LogLine: row.LogLine,
		Attempt: row.Attempt, NextAttemptAt: row.NextAttemptAt, CauseID: row.CauseID,
	}
}

// RetainedOf returns what the contract has of the row of a volume without a service, nil for nil.
func RetainedOf(row *ent.Volume) *orchestrator.Retained {
	if row == nil {
		return nil
	}
	out := &orchestrator.Retained{
		ID: row.ID, Name: row.Name, Kind: row.Kind, Template: row.Definition.Name, Version: row.Definition.Version,
		NodeID: row.NodeID, Forgotten: row.Forgotten, NodeName: row.NodeName, Deleting: row.Deleting, Obstacle: row.Obstacle,
		CreatedAt: row.CreatedAt,
	}
	if row.RetainedAt != nil {
		out.RetainedAt = *row.RetainedAt
	}
	return out
}

// Each converts rows.
func Each[From, To any](rows []From, convert func(From) To) []To {
	out := make([]To, len(rows))
	for i, row := range rows {
		out[i] = convert(row)
	}
	return out
}
