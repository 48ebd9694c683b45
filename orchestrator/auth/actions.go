package auth

import (
	"slices"

	"github.com/unicorn-web-services/uws/orchestrator"
)

// Needs returns the lowest role that may perform an action.
func Needs(a orchestrator.ServiceAction) Role {
	switch a {
	case orchestrator.ActionSeparateAdmin, orchestrator.ActionDeleteData:
		return Admin
	default:
		return Operator
	}
}

// NeedsForNode returns the least role for an action.
func NeedsForNode(orchestrator.NodeAction) Role { return Admin }

// AllowedOnNode returns those of the actions that p's role allows.
func (p *Principal) AllowedOnNode(actions []orchestrator.NodeAction) []orchestrator.NodeAction {
	allowed := []orchestrator.NodeAction{}
	if p == nil {
		return allowed
	}
	return append(allowed, slices.DeleteFunc(slices.Clone(actions), func(a orchestrator.NodeAction) bool { return !p.Role.Allows(NeedsForNode(a)) })...)
}

// Allowed returns the actions that the role of p allows.
func (p *Principal) Allowed(actions []orchestrator.ServiceAction) []orchestrator.ServiceAction {
	allowed := []orchestrator.ServiceAction{}
	if p == nil {
		return allowed
	}
	return append(allowed, slices.DeleteFunc(slices.Clone(actions), func(a orchestrator.ServiceAction) bool { return !p.Role.Allows(Needs(a)) })...)
}
