package reconcile

import "github.com/unicorn-web-services/uws/orchestrator"

// EngineStats implements [orchestrator.EngineStatReader].
func (r *Reconciler) EngineStats(*orchestrator.Service) []orchestrator.EngineStat { return nil }
