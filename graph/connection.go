package graph

import (
	"context"
	"fmt"

	"github.com/unicorn-web-services/uws/graph/model"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/auth"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
)

// The orders of the lists that are read whole.
var (
	nodeOrder     = orchestrator.Ordered[*orchestrator.Node]{Name: "node", Key: func(n *orchestrator.Node) string { return n.Name }}
	templateOrder = orchestrator.Ordered[*catalog.Template]{Name: "template", Key: func(t *catalog.Template) string { return t.Name }}
	retainedOrder = orchestrator.Ordered[*orchestrator.Retained]{Name: "retained", Key: func(k *orchestrator.Retained) string { return orchestrator.NewestFirst(k.RetainedAt, k.ID) }}
	orphanOrder   = orchestrator.Ordered[*orchestrator.Orphan]{Name: "orphan", Key: func(x *orchestrator.Orphan) string { return x.NodeID + " " + x.ID }}
	tokenOrder    = orchestrator.Ordered[*auth.Token]{Name: "token", Key: func(t *auth.Token) string { return t.Name }}
	targetOrder   = orchestrator.Ordered[*model.BackupTarget]{Name: "backup target", Key: func(t *model.BackupTarget) string { return t.Name }}
	policyOrder   = orchestrator.Ordered[*model.BackupPolicy]{Name: "backup policy", Key: func(p *model.BackupPolicy) string { return fmt.Sprintf("%016x %s", p.CreatedAt.UnixNano(), p.ID) }}
	sessionOrder  = orchestrator.Ordered[*auth.Session]{Name: "session", Key: func(s *auth.Session) string { return orchestrator.NewestFirst(s.CreatedAt, s.ID) }}
)

// connection returns a page of the list that read returns whole: what the caller may see of it.
func connection[T any](ctx context.Context, order orchestrator.Ordered[*T], first *int, after *string, read func(context.Context) ([]*T, error)) (*model.Connection[T], error) {
	page, err := pageOf(first, after)
	if err != nil {
		return nil, err
	}
	all, err := read(ctx)
	if err != nil {
		return nil, err
	}
	list, err := order.Page(all, page)
	if err != nil {
		return nil, err
	}
	out := &model.Connection[T]{
		Edges: make([]*model.Edge[T], len(list.Items)), Nodes: list.Items,
		PageInfo: pageInfo(list.Cursors, list.More, after), TotalCount: len(all),
	}
	for i, item := range list.Items {
		out.Edges[i] = &model.Edge[T]{Cursor: list.Cursors[i], Node: item}
	}
	return out, nil
}
