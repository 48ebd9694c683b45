// Package model holds what queries show that is not a type of the control plane. model.go is generated.
package model

import (
	"maps"
	"slices"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/auth"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
)

// Service is a service with its status, as queries show it. All fields but `node` are plain: gqlgen runs each resolver with a
// context in a goroutine of its own, which costs a list more than the rest of the query.
type Service struct {
	*orchestrator.Service
	status Status
	caller *auth.Principal // nil: may do nothing
}

// Status is what is known of services beside what is stored.
type Status interface {
	orchestrator.ServiceStatus
	BackupStatus(s *orchestrator.Service) orchestrator.BackupStatus
}

// NewService returns what queries show of a service to a caller.
func NewService(status Status, caller *auth.Principal, s *orchestrator.Service) *Service {
	return &Service{s, status, caller}
}

// Template is the one that the service was launched with.
func (s *Service) Template() *ServiceTemplate {
	return &ServiceTemplate{Name: s.Definition.Name, Version: s.Definition.Version}
}

// Healthy reports whether the service works as far as is known.
func (s *Service) Healthy() bool { return s.Health.Healthy() }

// Quarantined reports whether it is kept from acting on others.
func (s *Service) Quarantined() bool { return s.Service.HeldBack != "" }

// HeldBack is what it is kept from, nil if it is not in quarantine.
func (s *Service) HeldBack() *string { return Optional(s.Service.HeldBack) }

// Endpoint is the URL for clients, nil until the ports are chosen.
func (s *Service) Endpoint() *string { return Optional(s.status.Endpoint(s.Service)) }

// LastHealthCheckAt is the time of the last probe, nil before the first one.
func (s *Service) LastHealthCheckAt() *time.Time { return s.status.LastCheck(s.Service) }

// Progress is that of a launch, nil when none is under way.
func (s *Service) Progress() *orchestrator.Progress { return s.status.Progress(s.Service) }

// Limits are nil where nothing is limited.
func (s *Service) Limits() *ServiceLimits {
	l := s.status.Limits(s.Service)
	return Optional(ServiceLimits{MemoryMiB: Optional(l.MemoryMiB), Cpus: Optional(l.CPUs), Pids: Optional(l.PIDs)})
}

// AllowedActions are what the caller can do with it now.
func (s *Service) AllowedActions() []orchestrator.ServiceAction {
	return s.caller.Allowed(s.status.Actions(s.Service))
}

// Backup is how well its data is backed up.
func (s *Service) Backup() *ServiceBackup {
	b := s.status.BackupStatus(s.Service)
	out := &ServiceBackup{
		State: b.State, Reason: b.Reason, PolicyID: Optional(b.PolicyID), LastAt: b.LastAt, ProvenAt: b.ProvenAt, NextAt: b.NextAt,
		Count: b.Backups, RunningID: Optional(b.Running),
	}
	if b.LastAt != nil {
		out.SizeBytes = new(float64(b.SizeBytes))
	}
	if w := b.Restorable; w != nil {
		out.RestorableFrom, out.RestorableTo, out.PointInTime = &w.From, &w.To, w.Continuous
	}
	return out
}

// Image is the one that runs, nil for a process.
func (s *Service) Image() *string { return Optional(s.Service.Image) }

// ObservedGeneration is the one that its instance was created from, nil if there is none.
func (s *Service) ObservedGeneration() *int { return Optional(s.Service.ObservedGeneration) }

// ReasonParameters are the numbers of its reason, nil for none.
func (s *Service) ReasonParameters() *ReasonParameters { return ReasonParametersOf(s.ReasonParams) }

// ReasonParametersOf returns what queries show of the parameters of a reason.
func ReasonParametersOf(p *lifecycle.Params) *ReasonParameters {
	if p == nil {
		return nil
	}
	return &ReasonParameters{
		ExitCode: p.ExitCode, Signal: Optional(p.Signal), MemoryLimitMiB: Optional(p.MemoryLimitMiB),
		FailedChecks: Optional(p.FailedChecks), FailureThreshold: Optional(p.FailureThreshold), Failures: Optional(p.Failures),
		FailedAttempts: Optional(p.FailedAttempts), Port: Optional(p.Port),
	}
}

// NodeLabels are those that its node must have.
func (s *Service) NodeLabels() []*orchestrator.Label { return Labels(s.Service.NodeLabels) }

// Labels are its own.
func (s *Service) Labels() []*orchestrator.Label { return Labels(s.Service.Labels) }

// HealthCheck is how the service is probed.
func (s *Service) HealthCheck() *ServiceHealthCheck {
	return healthCheckOf(s.Definition.Probe, s.status.LastWrite(s.Service))
}

// Labels returns labels sorted by name.
func Labels(labels map[string]string) []*orchestrator.Label {
	out := []*orchestrator.Label{}
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		out = append(out, &orchestrator.Label{Name: name, Value: labels[name]})
	}
	return out
}

// Optional returns nil for a zero value.
func Optional[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}
