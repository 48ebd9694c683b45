package auth

import (
	"context"
	"slices"

	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/probe"
)

// scoped restricts each principal to the services of its kinds. It embeds nothing: a method added to API does not
// compile until its rule is added here.
type scoped struct{ api orchestrator.API }

// Scoped returns api restricted to what the principal in the context may see and do. If the principal is limited to
// kinds, services of other kinds do not exist for it. Only an ADMIN may delete data. Without a principal in the context
// every call fails.
func Scoped(api orchestrator.API) orchestrator.API { return scoped{api: api} }

// visible returns NOT_FOUND if the caller may not see the service.
func (s scoped) visible(ctx context.Context, id string) error {
	if len(From(ctx).Kinds) == 0 {
		return nil
	}
	_, err := s.Service(ctx, id)
	return err
}

func notFound(field, what, id string) error {
	return orchestrator.Errorf(orchestrator.NotFound, field, "there is no %s with the id %.64q", what, id)
}

// Service returns a service. For a limited caller, the error for a hidden service is identical to that for one that
// does not exist.
func (s scoped) Service(ctx context.Context, id string) (*orchestrator.Service, error) {
	if err := Require(ctx, Viewer); err != nil {
		return nil, err
	}
	row, err := s.api.Service(ctx, id)
	if hides(ctx, err, func(p *Principal) bool { return p.Sees(row.Kind) }) {
		return nil, notFound("id", "service", id)
	}
	return row, err
}

// hides reports whether a caller gets [notFound] instead of what was read with err: it is not there for a limited caller,
// or not for the caller to see.
func hides(ctx context.Context, err error, sees func(*Principal) bool) bool {
	p := From(ctx)
	return err == nil && !sees(p) || err != nil && len(p.Kinds) > 0 && orchestrator.CodeOf(err) == orchestrator.NotFound
}

// within returns the kinds of a filter that the caller may see. It returns false if none are left.
func within(ctx context.Context, kinds []catalog.Kind) ([]catalog.Kind, bool) {
	p := From(ctx)
	switch {
	case len(p.Kinds) == 0:
		return kinds, true
	case len(kinds) == 0:
		return p.Kinds, true
	}
	kinds = slices.DeleteFunc(slices.Clone(kinds), func(k catalog.Kind) bool { return !p.Sees(k) })
	return kinds, len(kinds) > 0
}

func (s scoped) Services(ctx context.Context, f orchestrator.ServiceFilter, page orchestrator.Page) (list orchestrator.List[*orchestrator.Service], err error) {
	if err := Require(ctx, Viewer); err != nil {
		return list, err
	}
	var some bool
	if f.Kinds, some = within(ctx, f.Kinds); !some {
		return list, nil
	}
	return s.api.Services(ctx, f, page)
}

func (s scoped) CountServices(ctx context.Context, f orchestrator.ServiceFilter) (int, error) {
	if err := Require(ctx, Viewer); err != nil {
		return 0, err
	}
	var some bool
	if f.Kinds, some = within(ctx, f.Kinds); !some {
		return 0, nil
	}
	return s.api.CountServices(ctx, f)
}

func (s scoped) Events(ctx context.Context, f orchestrator.EventFilter, page orchestrator.Page) (list orchestrator.List[*orchestrator.Event], err error) {
	if err := Require(ctx, Viewer); err != nil {
		return list, err
	}
	var some bool
	if f.Kinds, some = within(ctx, f.Kinds); !some {
		return list, nil
	}
	return s.api.Events(ctx, f, page)
}

func (s scoped) Retained(ctx context.Context) ([]*orchestrator.Retained, error) {
	if err := Require(ctx, Viewer); err != nil {
		return nil, err
	}
	rows, err := s.api.Retained(ctx)
	p := From(ctx)
	return slices.DeleteFunc(rows, func(r *orchestrator.Retained) bool { return !p.Sees(r.Kind) }), err
}

func (s scoped) Remove(ctx context.Context, id string, deleteData bool) (*orchestrator.Service, error) {
	needs := Operator
	if deleteData {
		needs = Admin
	}
	if err := Require(ctx, needs); err != nil {
		return nil, err
	}
	if err := s.visible(ctx, id); err != nil {
		return nil, err
	}
	return s.api.Remove(ctx, id, deleteData)
}

func (s scoped) Start(ctx context.Context, id string) (*orchestrator.Service, error) {
	return onVisible(ctx, s, id, s.api.Start)
}

func (s scoped) Stop(ctx context.Context, id string) (*orchestrator.Service, error) {
	return onVisible(ctx, s, id, s.api.Stop)
}

func (s scoped) Restart(ctx context.Context, id string) (*orchestrator.Service, error) {
	return onVisible(ctx, s, id, s.api.Restart)
}

func (s scoped) SetLabels(ctx context.Context, id string, set []orchestrator.Label, remove []string) (*orchestrator.Service, error) {
	return onVisible(ctx, s, id, func(ctx context.Context, id string) (*orchestrator.Service, error) {
		return s.api.SetLabels(ctx, id, set, remove)
	})
}

func (s scoped) Swap(ctx context.Context, a, b string, confirm bool) (out orchestrator.Swap, err error) {
	if err := Require(ctx, Operator); err != nil {
		return out, err
	}
	if err := s.visible(ctx, a); err != nil {
		return out, notFound("a", "service", a)
	}
	if err := s.visible(ctx, b); err != nil {
		return out, notFound("b", "service", b)
	}
	return s.api.Swap(ctx, a, b, confirm)
}

func (s scoped) Check(ctx context.Context, id string) (row *orchestrator.Service, result probe.Result, err error) {
	return onVisible2(ctx, s, id, s.api.Check)
}

func (s scoped) Reveal(ctx context.Context, id string) ([]orchestrator.Credential, error) {
	return onVisible(ctx, s, id, s.api.Reveal)
}

func (s scoped) Rotate(ctx context.Context, id string) (*orchestrator.Service, error) {
	return onVisible(ctx, s, id, s.api.Rotate)
}

func (s scoped) SeparateAdmin(ctx context.Context, id string, confirm bool) (orchestrator.Separation, error) {
	return onVisible(ctx, s, id, func(ctx context.Context, id string) (orchestrator.Separation, error) {
		return s.api.SeparateAdmin(ctx, id, confirm)
	})
}

func (s scoped) Connections(ctx context.Context, id string) ([]catalog.ConnectionString, error) {
	return onVisible(ctx, s, id, s.api.Connections)
}

// onVisible calls do, an action that needs the role OPERATOR, if the caller may see the service.
func onVisible[T any](ctx context.Context, s scoped, id string, do func(context.Context, string) (T, error)) (out T, err error) {
	out, _, err = onVisible2(ctx, s, id, func(ctx context.Context, id string) (T, struct{}, error) {
		out, err := do(ctx, id)
		return out, struct{}{}, err
	})
	return out, err
}

func onVisible2[T, U any](ctx context.Context, s scoped, id string, do func(context.Context, string) (T, U, error)) (out T, more U, err error) {
	if err := Require(ctx, Operator); err != nil {
		return out, more, err
	}
	if err := s.visible(ctx, id); err != nil {
		return out, more, err
	}
	return do(ctx, id)
}

func (s scoped) Logs(ctx context.Context, id string, query orchestrator.LogQuery) (orchestrator.LogPage, error) {
	return onVisible(ctx, s, id, func(ctx context.Context, id string) (orchestrator.LogPage, error) {
		return s.api.Logs(ctx, id, query)
	})
}

func (s scoped) LogTail(ctx context.Context, e *orchestrator.Event) ([]orchestrator.LogLine, error) {
	if err := Require(ctx, Operator); err != nil {
		return nil, err
	}
	if p := From(ctx); len(p.Kinds) > 0 && (e.Kind == nil || !p.Sees(*e.Kind)) {
		return nil, nil
	}
	return s.api.LogTail(ctx, e)
}

func (s scoped) WatchLogs(ctx context.Context, id string, span orchestrator.Span, yield func(*orchestrator.LogBatch) error) (int64, error) {
	return onVisible(ctx, s, id, func(ctx context.Context, id string) (int64, error) {
		return s.api.WatchLogs(ctx, id, span, yield)
	})
}

func (s scoped) WatchUsage(ctx context.Context, ids []string, span orchestrator.Span, yield func(*orchestrator.UsageBatch) error) (int64, error) {
	if err := Require(ctx, Viewer); err != nil {
		return 0, err
	}
	for _, id := range ids {
		if err := s.visible(ctx, id); err != nil {
			return 0, err
		}
	}
	return s.api.WatchUsage(ctx, ids, span, yield)
}

func (s scoped) DeleteRetained(ctx context.Context, id string) (*orchestrator.Retained, error) {
	if err := Require(ctx, Admin); err != nil {
		return nil, err
	}
	return s.api.DeleteRetained(ctx, id)
}

func (s scoped) Orphans(ctx context.Context) ([]orchestrator.Orphan, error) {
	if err := Require(ctx, Viewer); err != nil {
		return nil, err
	}
	all, err := s.api.Orphans(ctx)
	p := From(ctx)
	return slices.DeleteFunc(all, func(x orchestrator.Orphan) bool {
		return len(p.Kinds) > 0 && (x.Kind == nil || !p.Sees(*x.Kind))
	}), err
}

func (s scoped) AdoptOrphan(ctx context.Context, id string) (*orchestrator.Service, error) {
	if err := Require(ctx, Admin); err != nil {
		return nil, err
	}
	return s.api.AdoptOrphan(ctx, id)
}

func (s scoped) StopOrphan(ctx context.Context, id string) (orchestrator.Orphan, error) {
	if err := Require(ctx, Admin); err != nil {
		return orchestrator.Orphan{}, err
	}
	return s.api.StopOrphan(ctx, id)
}

func (s scoped) RemoveOrphan(ctx context.Context, id string, how orchestrator.OrphanRemoval) error {
	if err := Require(ctx, Admin); err != nil {
		return err
	}
	return s.api.RemoveOrphan(ctx, id, how)
}

func (s scoped) RegisterNode(ctx context.Context, in orchestrator.NodeInput) (orchestrator.Node, error) {
	if err := Require(ctx, Admin); err != nil {
		return orchestrator.Node{}, err
	}
	return s.api.RegisterNode(ctx, in)
}

func (s scoped) UpdateNode(ctx context.Context, id string, in orchestrator.NodeUpdate) (orchestrator.Node, error) {
	if err := Require(ctx, Admin); err != nil {
		return orchestrator.Node{}, err
	}
	return s.api.UpdateNode(ctx, id, in)
}

func (s scoped) RemoveNode(ctx context.Context, id string, forget bool) error {
	if err := Require(ctx, Admin); err != nil {
		return err
	}
	return s.api.RemoveNode(ctx, id, forget)
}

func (s scoped) WatchEvents(ctx context.Context, span orchestrator.Span, yield func(*orchestrator.Event) error) (int64, error) {
	if err := Require(ctx, Viewer); err != nil {
		return 0, err
	}
	p := From(ctx)
	if len(p.Kinds) == 0 {
		return s.api.WatchEvents(ctx, span, yield)
	}
	return s.api.WatchEvents(ctx, span, func(e *orchestrator.Event) error {
		if e.Kind == nil || !p.Sees(*e.Kind) {
			return nil
		}
		return yield(e)
	})
}

func (s scoped) WatchProgress(ctx context.Context, id string, span orchestrator.Span, yield func(orchestrator.Progress, int64) error) (int64, error) {
	if err := Require(ctx, Viewer); err != nil {
		return 0, err
	}
	if err := s.visible(ctx, id); err != nil {
		return 0, err
	}
	return s.api.WatchProgress(ctx, id, span, yield)
}
