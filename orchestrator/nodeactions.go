package orchestrator

// NodeAction is something that a caller can do to a node.
type NodeAction string

// The actions. UPDATE is for what the others do not change.
const (
	NodeActionUpdate  NodeAction = "UPDATE"
	NodeActionDrain   NodeAction = "DRAIN"
	NodeActionUndrain NodeAction = "UNDRAIN"
	NodeActionRemove  NodeAction = "REMOVE"
	NodeActionForget  NodeAction = "FORGET"
)

// Values returns all actions.
func (NodeAction) Values() []string {
	return texts(NodeActionUpdate, NodeActionDrain, NodeActionUndrain, NodeActionRemove, NodeActionForget)
}

// NodeStatus is what is known of a node beside what is stored. It never blocks.
type NodeStatus interface {
	// NodeActions returns what can be done with n in its present state, to callers with any role; none if uws is read-only.
	NodeActions(n Node) []NodeAction
}
