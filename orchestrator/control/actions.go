package control

import (
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/credentials"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
)

// PortRange returns the first and the last port that services may have.
func (c *Control) PortRange() (first, last int) { return c.ports.First, c.ports.Last }

// Actions returns what can be done with a service in its present state, to callers with any role.
func (c *Control) Actions(s *orchestrator.Service) []orchestrator.ServiceAction {
	if c.readOnly || s.DesiredState == lifecycle.WantRemoved {
		return nil
	}
	var all []orchestrator.ServiceAction
	allow := func(a orchestrator.ServiceAction, may bool) {
		if may {
			all = append(all, a)
		}
	}
	running := s.DesiredState == lifecycle.WantRunning
	change := credentials.Changeable(s) == nil
	allow(orchestrator.ActionStart, !running || s.Phase == lifecycle.Failed || s.Phase == lifecycle.CrashLoop)
	allow(orchestrator.ActionStop, running)
	allow(orchestrator.ActionRestart, running && s.Phase != lifecycle.Pending)
	allow(orchestrator.ActionCheck, running && s.NodeID != "" && (s.Phase == lifecycle.Starting || s.Phase == lifecycle.Running))
	allow(orchestrator.ActionReveal, true)
	allow(orchestrator.ActionRotate, change && c.vault.Rotation(s.Definition) != nil)
	allow(orchestrator.ActionSeparateAdmin, change && s.Definition.Probe.Type == "postgres" && c.vault.IsSuperuser(s.ID))
	allow(orchestrator.ActionEndQuarantine, s.HeldBack != "")
	allow(orchestrator.ActionSetLabels, true)
	allow(orchestrator.ActionRemove, true)
	allow(orchestrator.ActionDeleteData, true)
	return all
}
