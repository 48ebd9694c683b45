// Package uptime records how long services are healthy.
package uptime

import (
	"context"

	"github.com/unicorn-web-services/uws/orchestrator"
)

// Uptimes holds the records of all services. It is safe for concurrent use.
type Uptimes struct{}

// New returns the records of the services in the store.
func New() *Uptimes { return &Uptimes{} }

// Uptime implements [orchestrator.UptimeReader].
func (u *Uptimes) Uptime(context.Context, *orchestrator.Service, orchestrator.UptimeRange) (orchestrator.Uptime, error) {
	return orchestrator.Uptime{}, nil
}
