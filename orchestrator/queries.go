package orchestrator

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"time"

	"entgo.io/ent/dialect/sql"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/ent/event"
	"github.com/unicorn-web-services/uws/ent/predicate"
	"github.com/unicorn-web-services/uws/ent/retained"
	"github.com/unicorn-web-services/uws/ent/service"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/events"
)

// MaxPage is the most items a page holds.
const MaxPage = 500

func clampPage(first int) int { return min(max(first, 1), MaxPage) }

func (f ServiceFilter) predicates() []predicate.Service {
	var where []predicate.Service
	if len(f.Kinds) > 0 {
		where = append(where, service.KindIn(f.Kinds...))
	}
	if len(f.Phases) > 0 {
		where = append(where, service.PhaseIn(f.Phases...))
	}
	if len(f.Healths) > 0 {
		where = append(where, service.HealthIn(f.Healths...))
	}
	if f.NodeID != "" {
		where = append(where, service.NodeID(f.NodeID))
	}
	if f.NameContains != "" {
		where = append(where, service.NameContainsFold(f.NameContains))
	}
	return where
}

// allBut are a service's columns without some. The template is most of a row and never changes: it is taken from memory.
func allBut(columns ...string) []string {
	return slices.DeleteFunc(slices.Clone(service.Columns), func(c string) bool { return slices.Contains(columns, c) })
}

// Services implements [API]. The services come without credentials and failures.
func (o *Orchestrator) Services(ctx context.Context, filter ServiceFilter, page Page) (List[*ent.Service], error) {
	q := o.store.Read.Service.Query().Where(filter.predicates()...).
		Order(service.ByCreatedAt(), service.ByID())
	if page.After != "" {
		at, id, ok := decodeServiceCursor(page.After)
		if !ok {
			return List[*ent.Service]{}, badCursor("after")
		}
		q.Where(service.Or(service.CreatedAtGT(at), service.And(service.CreatedAt(at), service.IDGT(id))))
	}
	first := clampPage(page.First)
	rows, err := q.Limit(first + 1).Select(allBut(service.FieldDefinition, service.FieldCredentials, service.FieldFailures)...).All(ctx)
	if err != nil {
		return List[*ent.Service]{}, err
	}
	for _, s := range rows {
		if t := o.task(s.ID); t != nil {
			s.Definition = t.definition
		} else if whole, err := o.Service(ctx, s.ID); err == nil { // launched this instant
			s.Definition = whole.Definition
		}
	}
	return pageOf(rows, first, serviceCursor), nil
}

func pageOf[T any](rows []T, first int, cursor func(T) string) List[T] {
	l := List[T]{Items: rows}
	if len(rows) > first {
		l.Items, l.More = rows[:first], true
	}
	l.Cursors = make([]string, len(l.Items))
	for i, row := range l.Items {
		l.Cursors[i] = cursor(row)
	}
	return l
}

func badCursor(field string) error {
	return Errorf(InvalidInput, field, "%s: not a cursor of this list; take one from pageInfo.endCursor or an edge", field)
}

func serviceCursor(s *ent.Service) string {
	return base64.RawURLEncoding.EncodeToString([]byte(s.CreatedAt.UTC().Format(time.RFC3339Nano) + " " + s.ID))
}

func decodeServiceCursor(c string) (time.Time, string, bool) {
	b, err := base64.RawURLEncoding.DecodeString(c)
	if err != nil {
		return time.Time{}, "", false
	}
	at, id, ok := strings.Cut(string(b), " ")
	if !ok {
		return time.Time{}, "", false
	}
	t, err := time.Parse(time.RFC3339Nano, at)
	return t.UTC(), id, err == nil
}

// CountServices implements [API].
func (o *Orchestrator) CountServices(ctx context.Context, filter ServiceFilter) (int, error) {
	return o.store.Read.Service.Query().Where(filter.predicates()...).Count(ctx)
}

// Service implements [API].
func (o *Orchestrator) Service(ctx context.Context, id string) (*ent.Service, error) {
	s, err := o.store.Read.Service.Get(ctx, id)
	if err != nil {
		return nil, notFound(err, "service", id)
	}
	return s, nil
}

// Templates implements [API].
func (o *Orchestrator) Templates() []catalog.Template { return o.opts.Catalog.All() }

// Retained implements [API].
func (o *Orchestrator) Retained(ctx context.Context) ([]*ent.Retained, error) {
	return o.store.Read.Retained.Query().Order(retained.ByRetainedAt(sql.OrderDesc()), retained.ByID()).All(ctx)
}

// Events implements [API].
func (o *Orchestrator) Events(ctx context.Context, filter EventFilter, page Page) (List[*ent.Event], error) {
	q := o.store.Read.Event.Query().Order(event.ByID(sql.OrderDesc()))
	if filter.ServiceID != "" {
		q.Where(event.ServiceID(filter.ServiceID))
	}
	if filter.NodeID != "" {
		q.Where(event.NodeID(filter.NodeID))
	}
	if len(filter.Kinds) > 0 {
		q.Where(event.KindIn(filter.Kinds...))
	}
	if page.After != "" {
		c, ok := decodeCursor(page.After)
		if !ok {
			return List[*ent.Event]{}, badCursor("after")
		}
		q.Where(event.IDLT(c.seq))
	}
	first := clampPage(page.First)
	rows, err := q.Limit(first + 1).All(ctx)
	if err != nil {
		return List[*ent.Event]{}, err
	}
	return pageOf(rows, first, EventCursor), nil
}

// wasThere says whether the log knows a service of this id.
func (o *Orchestrator) wasThere(ctx context.Context, id string) (bool, error) {
	return o.store.Read.Event.Query().Where(event.ServiceID(id)).Exist(ctx)
}

// Endpoint implements [API].
func (o *Orchestrator) Endpoint(_ context.Context, s *ent.Service) (string, error) {
	return o.endpoint(s), nil
}

// endpoint is the URL for clients of s, empty until its ports are chosen.
func (o *Orchestrator) endpoint(s *ent.Service) string {
	n := o.node(s.NodeID)
	if n == nil || len(s.Ports) == 0 {
		return ""
	}
	fixed := map[string]string{}
	for _, c := range s.Definition.Credentials {
		fixed[c.Name] = c.Value
	}
	url, err := s.Definition.EndpointFor(catalog.Values{Host: n.current().ServiceAddress,
		ServiceID: s.ID, ServiceName: s.Name, Ports: s.Ports, Credentials: fixed})
	if err != nil {
		o.log.Error("the template's endpoint cannot be filled in", "service", s.Name, "template", s.Template, "error", err)
	}
	return url
}

// LastCheck implements [API].
func (o *Orchestrator) LastCheck(s *ent.Service) *time.Time {
	if t := o.task(s.ID); t != nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		if !t.lastCheck.IsZero() {
			at := t.lastCheck.UTC()
			return &at
		}
	}
	return s.LastHealthCheckAt
}

// Progress implements [API].
func (o *Orchestrator) Progress(s *ent.Service) *Progress {
	if t := o.task(s.ID); t != nil {
		p, _, _ := t.progress()
		return p
	}
	return nil
}

// WatchProgress implements [API]. A position is a number of the task's own that grows with each step.
func (o *Orchestrator) WatchProgress(ctx context.Context, id string, span Span, yield func(Progress, int64) error) (int64, error) {
	if _, err := o.Service(ctx, id); err != nil {
		return Over, err
	}
	t, position := o.task(id), int64(-1)
	if span.After != nil {
		position = *span.After
	}
	for t != nil {
		p, at, changed := t.progress()
		if p == nil {
			return Over, nil
		}
		if at > position {
			position = at
			if err := yield(*p, position); err != nil {
				return position, err
			}
		}
		if !span.Live {
			return position, nil
		}
		select {
		case <-ctx.Done():
			return position, nil
		case <-changed:
		}
	}
	return Over, nil
}

// WatchEvents implements [API].
func (o *Orchestrator) WatchEvents(ctx context.Context, span Span, yield func(*ent.Event) error) (int64, error) {
	seq, err := o.startOf(ctx, span)
	if err == nil && span.Live {
		err = o.events.Follow(ctx, seq, yield)
	} else if err == nil {
		seq, err = o.events.Replay(ctx, seq, yield)
	}
	if errors.Is(err, events.ErrNoSuchEvent) {
		err = Errorf(CursorExpired, "since", "since: no event has this cursor any more; read `services` afresh and subscribe without since")
	}
	return seq, err
}

// startOf is the event after which a watch begins.
func (o *Orchestrator) startOf(ctx context.Context, span Span) (int64, error) {
	switch {
	case span.After != nil:
		return *span.After, nil
	case span.Since == "":
		return o.events.Last(), nil
	}
	c, ok := decodeCursor(span.Since)
	if !ok {
		return 0, events.ErrNoSuchEvent
	}
	_, err := o.events.Find(ctx, c.seq, c.mark)
	return c.seq, err
}
