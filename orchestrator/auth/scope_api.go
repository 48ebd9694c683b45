package auth

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/probe"
)

// The methods below return the same for every caller, or take a row that the caller has already been given.

func (s scoped) Templates() []catalog.Template { return s.api.Templates() }

func (s scoped) PortRange() (first, last int) { return s.api.PortRange() }

func (s scoped) Endpoint(row *orchestrator.Service) string { return s.api.Endpoint(row) }

func (s scoped) LastCheck(row *orchestrator.Service) *time.Time { return s.api.LastCheck(row) }

func (s scoped) LastWrite(row *orchestrator.Service) *probe.Result { return s.api.LastWrite(row) }

func (s scoped) Limits(row *orchestrator.Service) catalog.Limits { return s.api.Limits(row) }

func (s scoped) Progress(row *orchestrator.Service) *orchestrator.Progress {
	return s.api.Progress(row)
}

func (s scoped) Actions(row *orchestrator.Service) []orchestrator.ServiceAction {
	return s.api.Actions(row)
}

func (s scoped) NodeActions(n orchestrator.Node) []orchestrator.NodeAction {
	return s.api.NodeActions(n)
}

func (s scoped) Usage(row *orchestrator.Service) *orchestrator.Usage { return s.api.Usage(row) }

func (s scoped) UsageHistory(ctx context.Context, row *orchestrator.Service, within orchestrator.UsageRange, points int) (orchestrator.UsageHistory, error) {
	return s.api.UsageHistory(ctx, row, within, points)
}

func (s scoped) NodeUsageHistory(ctx context.Context, n orchestrator.Node, within orchestrator.UsageRange, points int) (orchestrator.UsageHistory, error) {
	return s.api.NodeUsageHistory(ctx, n, within, points)
}

func (s scoped) Warnings(row *orchestrator.Service) []orchestrator.Warning {
	return s.api.Warnings(row)
}

func (s scoped) NodeWarnings(n orchestrator.Node) []orchestrator.Warning {
	return s.api.NodeWarnings(n)
}

func (s scoped) EngineStats(row *orchestrator.Service) []orchestrator.EngineStat {
	return s.api.EngineStats(row)
}

func (s scoped) Uptime(ctx context.Context, row *orchestrator.Service, within orchestrator.UptimeRange) (orchestrator.Uptime, error) {
	return s.api.Uptime(ctx, row, within)
}

func (s scoped) NodeUsage(n orchestrator.Node) *orchestrator.NodeUsage { return s.api.NodeUsage(n) }

func (s scoped) Ready(ctx context.Context) error { return s.api.Ready(ctx) }

func (s scoped) Nodes(ctx context.Context) ([]orchestrator.Node, error) {
	if err := Require(ctx, Viewer); err != nil {
		return nil, err
	}
	nodes, err := s.api.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	nodes = slices.Clone(nodes)
	for i := range nodes {
		if nodes[i], err = s.limited(ctx, nodes[i]); err != nil {
			return nil, err
		}
	}
	return nodes, nil
}

func (s scoped) Node(ctx context.Context, id string) (orchestrator.Node, error) {
	if err := Require(ctx, Viewer); err != nil {
		return orchestrator.Node{}, err
	}
	node, err := s.api.Node(ctx, id)
	if err != nil {
		return node, err
	}
	return s.limited(ctx, node)
}

// limited returns node without information about services that a limited caller may not see.
func (s scoped) limited(ctx context.Context, node orchestrator.Node) (orchestrator.Node, error) {
	kinds := From(ctx).Kinds
	if len(kinds) == 0 {
		return node, nil
	}
	node.Unrecognised, node.InUse = nil, false
	var err error
	node.Services, err = s.api.CountServices(ctx, orchestrator.ServiceFilter{Kinds: kinds, NodeID: node.ID})
	return node, err
}

func (s scoped) Launch(ctx context.Context, in orchestrator.LaunchInput) (*orchestrator.Service, error) {
	if err := Require(ctx, Operator); err != nil {
		return nil, err
	}
	p := From(ctx)
	if !p.Sees(in.Kind) {
		return nil, orchestrator.Errorf(orchestrator.Forbidden, "kind", "%q is limited to %s", p.Name, p.Kinds)
	}
	if len(p.Kinds) > 0 && in.Reattach != "" {
		kept, err := s.Retained(ctx)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(kept, func(r *orchestrator.Retained) bool { return r.ID == in.Reattach }) {
			return nil, notFound("reattach", "retained data", in.Reattach)
		}
	}
	row, err := s.api.Launch(ctx, in)
	if len(p.Kinds) > 0 && orchestrator.CodeOf(err) == orchestrator.Conflict {
		err = s.taken(ctx, in, err)
	}
	return row, err
}

// taken returns the conflict error of a launch without information that a limited caller may not see: it does not say
// which service has the name or the port, unless the caller may see that service.
func (s scoped) taken(ctx context.Context, in orchestrator.LaunchInput, conflict error) error {
	if e, ok := orchestrator.AsError(conflict); ok && strings.HasPrefix(e.Path, "ports") {
		return orchestrator.Errorf(orchestrator.Conflict, e.Path, "the port is in use on that node; choose another port")
	}
	p := From(ctx)
	list, err := s.api.Services(ctx, orchestrator.ServiceFilter{NameContains: in.Name}, orchestrator.Page{First: orchestrator.MaxPage})
	if err != nil {
		return err
	}
	kept, err := s.api.Retained(ctx)
	if err != nil {
		return err
	}
	restores, err := s.api.Restores(ctx, nil, orchestrator.Page{First: orchestrator.MaxPage})
	if err != nil {
		return err
	}
	if list.More || slices.ContainsFunc(list.Items, func(row *orchestrator.Service) bool { return row.Name == in.Name && !p.Sees(row.Kind) }) ||
		slices.ContainsFunc(kept, func(row *orchestrator.Retained) bool { return row.Name == in.Name && !p.Sees(row.Kind) }) ||
		slices.ContainsFunc(restores.Items, func(row *orchestrator.Restore) bool { return row.Name == in.Name && !p.Sees(row.Kind) }) {
		return orchestrator.Errorf(orchestrator.Conflict, "name", "the name %q is not available; choose another", in.Name)
	}
	return conflict
}
