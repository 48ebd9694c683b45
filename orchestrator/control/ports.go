package control

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/reconcile"
)

// checkPorts checks the ports that a launch asks for and returns them by name.
func (c *Control) checkPorts(in orchestrator.LaunchInput, t catalog.Template) (map[string]int, error) {
	if len(in.Ports) == 0 {
		return nil, nil
	}
	first, last := c.ports.First, c.ports.Last
	ports := map[string]int{}
	for i, p := range in.Ports {
		at := fmt.Sprintf("ports[%d]", i)
		_, twice := ports[p.Name]
		switch {
		case !slices.Contains(clientPorts(t), p.Name):
			return nil, orchestrator.Errorf(orchestrator.InvalidInput, at+".name", "template %s has no port %.64q for clients; its ports are: %s", t.Name, p.Name, strings.Join(clientPorts(t), ", "))
		case twice:
			return nil, orchestrator.Errorf(orchestrator.InvalidInput, at+".name", "%q is given twice", p.Name)
		case p.Number < first || p.Number > last:
			return nil, orchestrator.Errorf(orchestrator.InvalidInput, at+".number", "is %d; must be %d to %d", p.Number, first, last)
		case slices.Contains(slices.Collect(maps.Values(ports)), p.Number):
			return nil, orchestrator.Errorf(orchestrator.InvalidInput, at+".number", "%d is given twice", p.Number)
		}
		ports[p.Name] = p.Number
	}
	if in.NodeID == "" && in.Reattach == "" && len(c.fleet.All()) > 1 {
		return nil, orchestrator.Errorf(orchestrator.InvalidInput, "ports", "a port is free on one node and not on another; name the node too")
	}
	return ports, nil
}

// portsFree refuses ports that another service has on the node that a launch is for.
func (c *Control) portsFree(ctx context.Context, tx *ent.Tx, nodeID string, ports []orchestrator.PortInput) error {
	if nodeID == "" {
		for _, n := range c.fleet.All() { // one at most
			nodeID = n.ID
		}
	}
	held, awaited, err := reconcile.PortHolders(ctx, tx, nodeID)
	if err != nil {
		return err
	}
	for i, p := range ports {
		if holder := cmp.Or(held[p.Number], awaited[p.Number]); holder != "" {
			field := fmt.Sprintf("ports[%d].number", i)
			return orchestrator.Errorf(orchestrator.Conflict, field, "%d is used by service %q on node %s; choose another port", p.Number, holder, c.fleet.NameOf(nodeID))
		}
	}
	return nil
}

// clientPorts returns the names of the ports of a template that are for clients.
func clientPorts(t catalog.Template) (names []string) {
	for _, p := range t.Ports {
		if !p.Internal {
			names = append(names, p.Name)
		}
	}
	return names
}
