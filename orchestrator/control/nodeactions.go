package control

import "github.com/unicorn-web-services/uws/orchestrator"

// NodeActions returns what can be done with a node as far as the snapshot shows, to callers with any role. Its rules are
// those of [Control.RemoveNode], which asks the node itself whether it answers.
func (c *Control) NodeActions(n orchestrator.Node) []orchestrator.NodeAction {
	if c.readOnly {
		return nil
	}
	all := []orchestrator.NodeAction{orchestrator.NodeActionUpdate}
	if n.Draining {
		all = append(all, orchestrator.NodeActionUndrain)
	} else {
		all = append(all, orchestrator.NodeActionDrain)
	}
	if !n.InUse {
		all = append(all, orchestrator.NodeActionRemove)
	}
	if !n.InUse || !n.Healthy {
		all = append(all, orchestrator.NodeActionForget)
	}
	return all
}
