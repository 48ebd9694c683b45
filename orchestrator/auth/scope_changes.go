package auth

import (
	"context"
	"reflect"
	"slices"

	"github.com/unicorn-web-services/uws/orchestrator"
)

// WatchChanges sends a limited caller the changes of services of its kinds. Changes that would reveal other services
// are left out: ids of deleted services, changes of a node's service count alone, and batches that end up empty.
func (s scoped) WatchChanges(ctx context.Context, span orchestrator.Span, yield func(*orchestrator.Changes) error) (int64, error) {
	if err := Require(ctx, Viewer); err != nil {
		return 0, err
	}
	if len(From(ctx).Kinds) == 0 {
		return s.api.WatchChanges(ctx, span, yield)
	}
	w := &limitedWatch{scoped: s, begun: span.After != nil, told: map[string]bool{}, nodes: map[string]orchestrator.Node{}}
	return s.api.WatchChanges(ctx, span, func(c *orchestrator.Changes) error {
		some, err := w.limit(ctx, c)
		if err != nil || some == nil {
			return err
		}
		return yield(some)
	})
}

// limitedWatch is the state of one watch of a limited caller.
type limitedWatch struct {
	scoped
	begun bool // the first message was sent
	open  bool // part of a change was sent, and its end was not
	told  map[string]bool
	nodes map[string]orchestrator.Node
}

// limit returns the part of c that the caller may see, or nil if nothing is left to send.
func (w *limitedWatch) limit(ctx context.Context, c *orchestrator.Changes) (*orchestrator.Changes, error) {
	p := From(ctx)
	some := *c // c is shared by all watches
	some.Services = slices.DeleteFunc(slices.Clone(c.Services), func(row *orchestrator.Service) bool { return !p.Sees(row.Kind) })
	for _, row := range some.Services {
		w.told[row.ID] = true
	}
	some.DeletedServices = nil
	for _, id := range c.DeletedServices {
		seen, err := w.saw(ctx, id)
		if err != nil {
			return nil, err
		}
		if seen {
			some.DeletedServices = append(some.DeletedServices, id)
		}
	}
	some.Nodes = nil
	for _, node := range c.Nodes {
		node, err := w.limited(ctx, node)
		if err != nil {
			return nil, err
		}
		if essence := essenceOf(node); c.Snapshot || !reflect.DeepEqual(w.nodes[node.ID], essence) {
			w.nodes[node.ID] = essence
			some.Nodes = append(some.Nodes, node)
		}
	}
	empty := len(some.Services)+len(some.DeletedServices)+len(some.Nodes)+len(some.DeletedNodes) == 0
	if empty && !c.Snapshot && w.begun && !w.open {
		return nil, nil
	}
	w.open = !c.Complete
	w.begun = w.begun || c.Complete
	return &some, nil
}

// saw reports whether a deleted service was visible to the caller. It asks the event log if this watch did not send the
// service.
func (w *limitedWatch) saw(ctx context.Context, id string) (bool, error) {
	if w.told[id] {
		delete(w.told, id)
		return true, nil
	}
	list, err := w.Events(ctx, orchestrator.EventFilter{ServiceID: id}, orchestrator.Page{First: 1})
	return len(list.Items) > 0, err
}

// essenceOf returns node without the fields whose changes are not sent.
func essenceOf(node orchestrator.Node) orchestrator.Node {
	node.LastSeenAt = nil
	if node.Info != nil {
		info := *node.Info
		info.DiskFree = 0
		node.Info = &info
	}
	return node
}
