package control

import (
	"maps"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
)

// launch is a checked launch.
type launch struct {
	in         orchestrator.LaunchInput
	definition catalog.Template  // resolved
	labels     map[string]string // the service's own
	nodeLabels map[string]string
	ports      map[string]int
}

// differs names the first field of the input that asks for something else than the service of this name is, empty if
// none does: a service whose data was reattached, or that was adopted, is what its first launch asked for.
func (l launch) differs(s *ent.Service) string {
	switch {
	case s.Kind != l.definition.Kind:
		return "name" // a service of another kind has the name: it is not the kind that is wrong
	case s.Template != l.definition.Name:
		return "template"
	case l.in.Reattach != "" && l.in.Reattach != s.Volume:
		return "reattach"
	case l.in.NodeID != "" && l.in.NodeID != s.NodeID && l.in.NodeID != s.RequestedNode:
		return "nodeId"
	case !maps.Equal(l.nodeLabels, s.NodeLabels):
		return "nodeLabels"
	case len(l.labels) > 0 && !maps.Equal(l.labels, s.Labels):
		return "labels"
	}
	for name, port := range l.ports {
		if s.Ports[name] != port && s.RequestedPorts[name] != port {
			return "ports"
		}
	}
	if field := differingProbe(l.definition.Probe, s.Definition.Probe); field != "" {
		return "healthCheck." + field
	}
	return l.differingLimits(s.Definition)
}

func differingProbe(asked, is catalog.Probe) string {
	switch {
	case asked.Interval != is.Interval:
		return "interval"
	case asked.Timeout != is.Timeout:
		return "timeout"
	case asked.FailureThreshold != is.FailureThreshold:
		return "failureThreshold"
	case asked.Grace != is.Grace:
		return "grace"
	}
	return ""
}

func (l launch) differingLimits(is catalog.Template) string {
	if l.definition.Docker == nil || is.Docker == nil {
		return ""
	}
	asked, has := l.definition.Docker.Limits, is.Docker.Limits
	switch {
	case asked.MemoryMiB != has.MemoryMiB:
		return "limits.memoryMiB"
	case asked.CPUs != has.CPUs:
		return "limits.cpus"
	case asked.PIDs != has.PIDs:
		return "limits.pids"
	case asked.Asked != has.Asked:
		return "limits"
	}
	return ""
}
