package access

import (
	"context"
	"slices"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/probe"
)

// scoped shows each principal the services of the kinds that it is limited to, as if there were no others.
type scoped struct{ orchestrator.API }

// Scoped is api as those who ask may use it: for one who is limited to kinds, services of other kinds are not there, and
// data is deleted only for an ADMIN. Whoever asks must be in the context, or nothing is done.
func Scoped(api orchestrator.API) orchestrator.API { return scoped{api} }

// visible is an error when the service is of a kind that is not there for who asks.
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

func (s scoped) Service(ctx context.Context, id string) (*ent.Service, error) {
	if err := Require(ctx, Viewer); err != nil {
		return nil, err
	}
	row, err := s.API.Service(ctx, id)
	if err == nil && !From(ctx).Sees(row.Kind) {
		return nil, notFound("id", "service", id)
	}
	return row, err
}

// within limits a filter's kinds to those that who asks may see; false when none are left.
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

func (s scoped) Services(ctx context.Context, f orchestrator.ServiceFilter, page orchestrator.Page) (list orchestrator.List[*ent.Service], err error) {
	if err := Require(ctx, Viewer); err != nil {
		return list, err
	}
	var some bool
	if f.Kinds, some = within(ctx, f.Kinds); !some {
		return list, nil
	}
	return s.API.Services(ctx, f, page)
}

func (s scoped) CountServices(ctx context.Context, f orchestrator.ServiceFilter) (int, error) {
	if err := Require(ctx, Viewer); err != nil {
		return 0, err
	}
	var some bool
	if f.Kinds, some = within(ctx, f.Kinds); !some {
		return 0, nil
	}
	return s.API.CountServices(ctx, f)
}

func (s scoped) Events(ctx context.Context, f orchestrator.EventFilter, page orchestrator.Page) (list orchestrator.List[*ent.Event], err error) {
	if err := Require(ctx, Viewer); err != nil {
		return list, err
	}
	var some bool
	if f.Kinds, some = within(ctx, f.Kinds); !some {
		return list, nil
	}
	return s.API.Events(ctx, f, page)
}

func (s scoped) Retained(ctx context.Context) ([]*ent.Retained, error) {
	if err := Require(ctx, Viewer); err != nil {
		return nil, err
	}
	rows, err := s.API.Retained(ctx)
	p := From(ctx)
	return slices.DeleteFunc(rows, func(r *ent.Retained) bool { return !p.Sees(r.Kind) }), err
}

func (s scoped) Nodes(ctx context.Context) ([]orchestrator.NodeInfo, error) {
	if err := Require(ctx, Viewer); err != nil {
		return nil, err
	}
	return s.API.Nodes(ctx)
}

func (s scoped) Node(ctx context.Context, id string) (orchestrator.NodeInfo, error) {
	if err := Require(ctx, Viewer); err != nil {
		return orchestrator.NodeInfo{}, err
	}
	return s.API.Node(ctx, id)
}

func (s scoped) Launch(ctx context.Context, in orchestrator.LaunchInput) (*ent.Service, error) {
	if err := Require(ctx, Operator); err != nil {
		return nil, err
	}
	if p := From(ctx); !p.Sees(in.Kind) {
		return nil, orchestrator.Errorf(orchestrator.Forbidden, "input.kind", "input.kind: %q is limited to %s", p.Name, p.Kinds)
	}
	return s.API.Launch(ctx, in)
}

func (s scoped) Remove(ctx context.Context, id string, deleteData bool) (*ent.Service, error) {
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
	return s.API.Remove(ctx, id, deleteData)
}

func (s scoped) Start(ctx context.Context, id string) (*ent.Service, error) {
	return onVisible(ctx, s, id, s.API.Start)
}

func (s scoped) Stop(ctx context.Context, id string) (*ent.Service, error) {
	return onVisible(ctx, s, id, s.API.Stop)
}

func (s scoped) Restart(ctx context.Context, id string) (*ent.Service, error) {
	return onVisible(ctx, s, id, s.API.Restart)
}

func (s scoped) Check(ctx context.Context, id string) (row *ent.Service, result probe.Result, err error) {
	return onVisible2(ctx, s, id, s.API.Check)
}

func (s scoped) Reveal(ctx context.Context, id string) ([]orchestrator.Credential, error) {
	return onVisible(ctx, s, id, s.API.Reveal)
}

func (s scoped) Rotate(ctx context.Context, id string) (*ent.Service, error) {
	return onVisible(ctx, s, id, s.API.Rotate)
}

func (s scoped) Connections(ctx context.Context, id string) ([]catalog.ConnectionString, error) {
	return onVisible(ctx, s, id, s.API.Connections)
}

// onVisible does what an OPERATOR may do with a service that is there for who asks.
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

func (s scoped) DeleteRetained(ctx context.Context, id string) error {
	if err := Require(ctx, Admin); err != nil {
		return err
	}
	return s.API.DeleteRetained(ctx, id)
}

func (s scoped) RegisterNode(ctx context.Context, in orchestrator.NodeInput) (orchestrator.NodeInfo, error) {
	if err := Require(ctx, Admin); err != nil {
		return orchestrator.NodeInfo{}, err
	}
	return s.API.RegisterNode(ctx, in)
}

func (s scoped) UpdateNode(ctx context.Context, id string, in orchestrator.NodeUpdate) (orchestrator.NodeInfo, error) {
	if err := Require(ctx, Admin); err != nil {
		return orchestrator.NodeInfo{}, err
	}
	return s.API.UpdateNode(ctx, id, in)
}

func (s scoped) RemoveNode(ctx context.Context, id string, forget bool) error {
	if err := Require(ctx, Admin); err != nil {
		return err
	}
	return s.API.RemoveNode(ctx, id, forget)
}

func (s scoped) WatchEvents(ctx context.Context, span orchestrator.Span, yield func(*ent.Event) error) (int64, error) {
	if err := Require(ctx, Viewer); err != nil {
		return 0, err
	}
	p := From(ctx)
	if len(p.Kinds) == 0 {
		return s.API.WatchEvents(ctx, span, yield)
	}
	return s.API.WatchEvents(ctx, span, func(e *ent.Event) error {
		if e.Kind == nil || !p.Sees(*e.Kind) {
			return nil
		}
		return yield(e)
	})
}

func (s scoped) WatchChanges(ctx context.Context, span orchestrator.Span, yield func(*orchestrator.Changes) error) (int64, error) {
	if err := Require(ctx, Viewer); err != nil {
		return 0, err
	}
	p := From(ctx)
	if len(p.Kinds) == 0 {
		return s.API.WatchChanges(ctx, span, yield)
	}
	return s.API.WatchChanges(ctx, span, func(c *orchestrator.Changes) error {
		some := *c // the original is everybody's
		some.Services = slices.DeleteFunc(slices.Clone(c.Services), func(row *ent.Service) bool { return !p.Sees(row.Kind) })
		return yield(&some)
	})
}

func (s scoped) WatchProgress(ctx context.Context, id string, span orchestrator.Span, yield func(orchestrator.Progress, int64) error) (int64, error) {
	if err := Require(ctx, Viewer); err != nil {
		return 0, err
	}
	if err := s.visible(ctx, id); err != nil {
		return 0, err
	}
	return s.API.WatchProgress(ctx, id, span, yield)
}
