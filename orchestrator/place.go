package orchestrator

import (
	"context"
	"fmt"
	"strings"

	"github.com/unicorn-web-services/uws/ent"
	entnode "github.com/unicorn-web-services/uws/ent/node"
	"github.com/unicorn-web-services/uws/ent/service"
	"github.com/unicorn-web-services/uws/internal/fault"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
)

// candidate is a node as placement sees it.
type candidate struct {
	ID, Name string
	Driver   entnode.Driver
	Healthy  bool
	Services int
}

// choose picks a node for a template: the one that was asked for, else the healthy one with the fewest
// services. It answers "" and the reason when none fits.
func choose(nodes []candidate, t catalog.Template, requested string) (id, reason string) {
	best := candidate{Services: -1}
	var why []string
	for _, n := range nodes {
		switch {
		case requested != "" && n.ID != requested:
		case runtimeFor(t, n.Driver) == nil:
			why = append(why, fmt.Sprintf("node %s runs services with driver %s, which template %s does not support", n.Name, n.Driver, t.Name))
		case !n.Healthy:
			why = append(why, fmt.Sprintf("node %s is not healthy", n.Name))
		case best.Services < 0 || n.Services < best.Services:
			best = n
		}
	}
	switch {
	case best.Services >= 0:
		return best.ID, ""
	case len(nodes) == 0:
		return "", "waiting for a node: none is registered"
	case len(why) == 0:
		return "", "waiting for a node: the one that was asked for is not registered"
	}
	return "", "waiting for a node: " + strings.Join(why, "; ")
}

// runtimeFor is how a template is run by a driver; nil when it cannot be.
func runtimeFor(t catalog.Template, drv entnode.Driver) *catalog.Runtime {
	switch drv {
	case entnode.DriverPROCESS:
		return t.Process
	case entnode.DriverDOCKER:
		return t.Docker
	}
	return nil
}

// place chooses a node and ports for s and writes them down. The reason says why there is no node yet.
func (o *Orchestrator) place(ctx context.Context, s *ent.Service) (placed *ent.Service, reason string, err error) {
	err = o.inTx(ctx, func(tx *ent.Tx) error {
		nodes, err := o.candidates(ctx, tx)
		if err != nil {
			return err
		}
		var id string
		if id, reason = choose(nodes, s.Definition, s.RequestedNode); id == "" {
			return nil
		}
		ports, err := o.freePorts(ctx, tx, id, s.Definition, nil)
		if err != nil {
			return err
		}
		placed, err = tx.Service.UpdateOne(s).Where(service.Version(s.Version)).SetNodeID(id).SetPorts(ports).
			SetReason("placed on node " + o.nodeName(id)).SetUpdatedAt(utcNow()).AddVersion(1).Save(ctx)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	if placed != nil {
		fault.Point("placed")
		o.log.Info("placed", "service", s.Name, "id", s.ID, "node", o.nodeName(placed.NodeID), "ports", placed.Ports)
	}
	return placed, reason, nil
}

func (o *Orchestrator) candidates(ctx context.Context, tx *ent.Tx) ([]candidate, error) {
	var count []struct {
		NodeID string `json:"node_id"`
		Count  int    `json:"count"`
	}
	if err := tx.Service.Query().GroupBy(service.FieldNodeID).Aggregate(ent.Count()).Scan(ctx, &count); err != nil {
		return nil, err
	}
	on := map[string]int{}
	for _, c := range count {
		on[c.NodeID] = c.Count
	}
	var all []candidate
	for _, n := range o.allNodes() {
		row := n.current()
		all = append(all, candidate{ID: n.id, Name: n.name, Driver: row.Driver, Healthy: row.Healthy, Services: on[n.id]})
	}
	return all, nil
}

// freePorts picks a port for each of the template's that no other service on the node has, and that is
// not one of avoid. They are random, so that a port that was freed is not soon met by its old clients.
func (o *Orchestrator) freePorts(ctx context.Context, tx *ent.Tx, nodeID string, t catalog.Template, avoid map[string]int) (map[string]int, error) {
	on, err := tx.Service.Query().Where(service.NodeID(nodeID)).Select(service.FieldPorts).All(ctx)
	if err != nil {
		return nil, err
	}
	used := map[int]bool{}
	for _, s := range on {
		for _, p := range s.Ports {
			used[p] = true
		}
	}
	for _, p := range avoid {
		used[p] = true
	}
	size := o.opts.Ports.Last - o.opts.Ports.First + 1
	ports := map[string]int{}
	for _, port := range t.Ports {
		start := int(random() * float64(size))
		for i := range size {
			p := o.opts.Ports.First + (start+i)%size
			if !used[p] {
				used[p], ports[port.Name] = true, p
				break
			}
		}
		if ports[port.Name] == 0 {
			return nil, fmt.Errorf("no port between %d and %d is left on node %s", o.opts.Ports.First, o.opts.Ports.Last, o.nodeName(nodeID))
		}
	}
	return ports, nil
}

// repickPorts gives a service that was never healthy other ports, because one of its own is taken by somebody else.
func (o *Orchestrator) repickPorts(ctx context.Context, id string) (*ent.Service, error) {
	var changed *ent.Service
	err := o.inTx(ctx, func(tx *ent.Tx) error {
		s, err := tx.Service.Get(ctx, id)
		if err != nil {
			return err
		}
		if s.DesiredState != lifecycle.WantRunning {
			return context.Canceled
		}
		ports, err := o.freePorts(ctx, tx, s.NodeID, s.Definition, s.Ports)
		if err != nil {
			return err
		}
		changed, err = tx.Service.UpdateOne(s).SetPorts(ports).SetUpdatedAt(utcNow()).AddVersion(1).Save(ctx)
		return err
	})
	return changed, err
}

func (o *Orchestrator) nodeName(id string) string {
	if n := o.node(id); n != nil {
		return n.name
	}
	return id
}
