package auth

import (
	"context"
	"reflect"
	"slices"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator"
)

// WatchChanges gives a limited caller the services of its kinds, and nothing from which others could be told: neither
// their ids when they are deleted, nor a node of which only their number changed, nor a batch in which nothing is left.
func (s scoped) WatchChanges(ctx context.Context, span orchestrator.Span, yield func(*orchestrator.Changes) error) (int64, error) {
	if err := Require(ctx, Viewer); err != nil {
		return 0, err
	}
	if len(From(ctx).Kinds) == 0 {
		return s.api.WatchChanges(ctx, span, yield)
	}
	w := &limitedWatch{scoped: s, begun: span.After != nil, told: map[string]bool{}, nodes: map[string]orchestrator.NodeInfo{}}
	return s.api.WatchChanges(ctx, span, func(c *orchestrator.Changes) error {
		some, err := w.limit(ctx, c)
		if err != nil || some == nil {
			return err
		}
		return yield(some)
	})
}

// A limitedWatch is what one watch of a limited caller was told so far.
type limitedWatch struct {
	scoped
	begun bool // the message that every watch begins with is out
	open  bool // part of a change is out, and its end is not
	told  map[string]bool
	nodes map[string]orchestrator.NodeInfo
}

// limit is nil for a message of which nothing is left.
func (w *limitedWatch) limit(ctx context.Context, c *orchestrator.Changes) (*orchestrator.Changes, error) {
	p := From(ctx)
	some := *c // the original is everybody's
	some.Services = slices.DeleteFunc(slices.Clone(c.Services), func(row *ent.Service) bool { return !p.Sees(row.Kind) })
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

// saw reports whether a service that is gone was of the caller's kinds. One that was not told in this watch is in the log.
func (w *limitedWatch) saw(ctx context.Context, id string) (bool, error) {
	if w.told[id] {
		delete(w.told, id)
		return true, nil
	}
	list, err := w.Events(ctx, orchestrator.EventFilter{ServiceID: id}, orchestrator.Page{First: 1})
	return len(list.Items) > 0, err
}

// essenceOf is what counts as a change of a node.
func essenceOf(node orchestrator.NodeInfo) orchestrator.NodeInfo {
	if node.Node != nil {
		row := *node.Node
		row.LastSeenAt = (*time.Time)(nil)
		node.Node = &row
	}
	if node.Info != nil {
		info := *node.Info
		info.DiskFree = 0
		node.Info = &info
	}
	return node
}
