package model

import (
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/probe"
)

func healthCheckOf(p catalog.Probe, last *probe.Result) *ServiceHealthCheck {
	out := &ServiceHealthCheck{
		IntervalSeconds: p.Interval.Seconds(), TimeoutSeconds: p.Timeout.Seconds(),
		FailureThreshold: p.FailureThreshold, GraceSeconds: p.Grace.Seconds(),
		WriteCheck: WriteCheckModeOf(p), WriteIntervalSeconds: Optional(orchestrator.WriteInterval(p).Seconds()),
	}
	if last != nil {
		out.LastWrite = &WriteCheck{At: last.At, Verdict: last.Verdict, Detail: last.Detail}
	}
	return out
}

// WriteCheckModeOf reports whether services with this probe get write checks.
func WriteCheckModeOf(p catalog.Probe) WriteCheckMode {
	if orchestrator.WriteInterval(p) == 0 {
		return WriteCheckModeNone
	}
	return WriteCheckModePeriodic
}
