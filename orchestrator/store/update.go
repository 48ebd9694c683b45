package store

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/ent/hook"
	"github.com/unicorn-web-services/uws/ent/service"
)

// Commit is what one update changed.
type Commit struct {
	Services        []*ent.Service // as they are now, each once
	DeletedServices []string
	Nodes           []*ent.Node
	DeletedNodes    []string
	Retained        []*ent.Retained // that were created or changed
	Events          bool            // whether events were appended
}

// Follow has f called after each update with what it changed, before [Store.Update] returns. Updates beside each other may
// call it in another order than they were committed in: the versions of the rows tell. f must neither block nor write.
// It is called before the first update.
func (s *Store) Follow(f func(context.Context, Commit)) { s.followers = append(s.followers, f) }

// Update runs fn in one write transaction, and commits it unless fn fails. It raises the version of each service and node
// that fn changes, and passes what changed on to the followers. fn uses the context and the transaction that it is given,
// and may be called again with new ones, see [WithRelief].
func (s *Store) Update(ctx context.Context, fn func(ctx context.Context, tx *ent.Tx) error) error {
	var changed *changes
	err := s.Do(ctx, func() error {
		changed = &changes{}
		tx, err := s.Write.Tx(ctx)
		if err != nil {
			return err
		}
		if err := fn(context.WithValue(ctx, changesKey{}, changed), tx); err != nil {
			return errors.Join(err, tx.Rollback())
		}
		return tx.Commit()
	})
	if err == nil && !changed.empty() {
		for _, f := range s.followers {
			f(ctx, changed.Commit)
		}
	}
	return err
}

type changesKey struct{}

// changes collects what a transaction changes.
type changes struct{ Commit }

func (c *changes) empty() bool {
	return len(c.Services)+len(c.DeletedServices)+len(c.Nodes)+len(c.DeletedNodes)+len(c.Retained) == 0 && !c.Events
}

// keep replaces the row with the same id, or appends one.
func keep[T any](rows []T, row T, id func(T) string) []T {
	if i := slices.IndexFunc(rows, func(other T) bool { return id(other) == id(row) }); i >= 0 {
		rows[i] = row
		return rows
	}
	return append(rows, row)
}

// follow has the changes of services, nodes and events collected.
func follow(c *ent.Client) {
	c.Service.Use(func(next ent.Mutator) ent.Mutator {
		return hook.ServiceFunc(func(ctx context.Context, m *ent.ServiceMutation) (ent.Value, error) {
			seen, ok := ctx.Value(changesKey{}).(*changes)
			if !ok {
				return nil, errOutside
			}
			if onlyChecked(m) {
				return next.Mutate(ctx, m)
			}
			if m.Op().Is(ent.OpUpdate | ent.OpUpdateOne) {
				raise(m)
				if _, ok := m.UpdatedAt(); !ok {
					m.SetUpdatedAt(time.Now().UTC().Round(0))
				}
			}
			return collect(ctx, next, m, func(row *ent.Service) {
				seen.Services = keep(seen.Services, row, func(s *ent.Service) string { return s.ID })
			}, func(ids []string) { seen.DeletedServices = append(seen.DeletedServices, ids...) })
		})
	})
	c.Node.Use(func(next ent.Mutator) ent.Mutator {
		return hook.NodeFunc(func(ctx context.Context, m *ent.NodeMutation) (ent.Value, error) {
			seen, ok := ctx.Value(changesKey{}).(*changes)
			if !ok {
				return nil, errOutside
			}
			if m.Op().Is(ent.OpUpdate | ent.OpUpdateOne) {
				raise(m)
			}
			return collect(ctx, next, m, func(row *ent.Node) {
				seen.Nodes = keep(seen.Nodes, row, func(n *ent.Node) string { return n.ID })
			}, func(ids []string) { seen.DeletedNodes = append(seen.DeletedNodes, ids...) })
		})
	})
	c.Retained.Use(func(next ent.Mutator) ent.Mutator {
		return hook.RetainedFunc(func(ctx context.Context, m *ent.RetainedMutation) (ent.Value, error) {
			seen, ok := ctx.Value(changesKey{}).(*changes)
			if !ok {
				return nil, errOutside
			}
			value, err := next.Mutate(ctx, m)
			if row, ok := value.(*ent.Retained); ok && err == nil {
				seen.Retained = append(seen.Retained, row)
			}
			return value, err
		})
	})
	c.Event.Use(func(next ent.Mutator) ent.Mutator {
		return hook.EventFunc(func(ctx context.Context, m *ent.EventMutation) (ent.Value, error) {
			if seen, ok := ctx.Value(changesKey{}).(*changes); ok {
				seen.Events = true
			}
			return next.Mutate(ctx, m)
		})
	})
}

// onlyChecked reports whether nothing but the time of the newest check is written, which nobody decides by.
func onlyChecked(m *ent.ServiceMutation) bool {
	return m.Op().Is(ent.OpUpdate) && slices.Equal(m.Fields(), []string{service.FieldLastHealthCheckAt}) && len(m.AddedFields()) == 0
}

func raise(m interface {
	AddedVersion() (int, bool)
	AddVersion(int)
}) {
	if _, ok := m.AddedVersion(); !ok {
		m.AddVersion(1)
	}
}

// errOutside is returned for a change that is not made within Update.
var errOutside = errors.New("store: services, nodes and retained data are changed by Update alone")

// errBulk is returned for an update of many rows at once, whose new versions nobody would have.
var errBulk = errors.New("store: services and nodes are changed one at a time")

// collect makes a change and passes its row on, or the ids of what it deleted.
func collect[T any](ctx context.Context, next ent.Mutator, m interface {
	ent.Mutation
	IDs(context.Context) ([]string, error)
}, changed func(T), deleted func([]string)) (ent.Value, error) {
	if m.Op().Is(ent.OpUpdate) {
		return nil, errBulk
	}
	if m.Op().Is(ent.OpDelete | ent.OpDeleteOne) {
		ids, err := m.IDs(ctx)
		if err != nil {
			return nil, err
		}
		value, err := next.Mutate(ctx, m)
		if err == nil {
			deleted(ids)
		}
		return value, err
	}
	value, err := next.Mutate(ctx, m)
	if row, ok := value.(T); ok && err == nil {
		changed(row)
	}
	return value, err
}
