package orchestrator

// ServiceAction is something that a caller can do to a service.
type ServiceAction string

const (
	ActionStart         ServiceAction = "START"
	ActionStop          ServiceAction = "STOP"
	ActionRestart       ServiceAction = "RESTART"
	ActionCheck         ServiceAction = "CHECK"
	ActionReveal        ServiceAction = "REVEAL_CREDENTIALS"
	ActionRotate        ServiceAction = "ROTATE_CREDENTIALS"
	ActionSeparateAdmin ServiceAction = "SEPARATE_ADMIN"
	ActionEndQuarantine ServiceAction = "END_QUARANTINE"
	ActionSetLabels     ServiceAction = "SET_LABELS"
	ActionRemove        ServiceAction = "REMOVE"
	ActionDeleteData    ServiceAction = "DELETE_DATA"
)

// Values returns all actions.
func (ServiceAction) Values() []string {
	return texts(ActionStart, ActionStop, ActionRestart, ActionCheck, ActionReveal, ActionRotate, ActionSeparateAdmin, ActionEndQuarantine, ActionSetLabels, ActionRemove, ActionDeleteData)
}

func texts[T ~string](values ...T) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = string(v)
	}
	return out
}
