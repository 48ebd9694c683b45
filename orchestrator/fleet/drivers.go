package fleet

import (
	"maps"
	"slices"
	"strings"

	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// Drivers are the drivers that nodes can have, by name.
type Drivers map[string]Driver

// Driver opens the drivers of nodes.
type Driver struct {
	Capabilities
	// Open opens a node's driver, without waiting for the node. An error of class Invalid means that a retry does not help.
	Open func(orchestrator.Node, orchestrator.Access) (driver.Driver, error)
}

// Capabilities of a driver's nodes, which are known before a node is opened.
type Capabilities struct {
	// Keys means that nodes may be reached with keys.
	Keys bool
	// Endpoint is the only endpoint that a node can have, which is on this machine: there is at most one such node, and its
	// instances listen on its service address. Empty: any endpoint.
	Endpoint string
}

// of returns the driver with a name. The error is of class Invalid if there is none.
func (d Drivers) of(name string) (Driver, error) {
	if found, ok := d[name]; ok {
		return found, nil
	}
	return Driver{}, driver.Errorf(driver.Invalid, "nodes with driver %s are not supported by this version; supported are: %s",
		name, strings.Join(slices.Sorted(maps.Keys(d)), ", "))
}
