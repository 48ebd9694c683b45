package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/ent/hook"
	"github.com/unicorn-web-services/uws/ent/service"
)

// Commit is what one update changed.
type Commit struct {
	Services        []*ent.Service // as of the end of the update, each once
	DeletedServices []string
	Nodes           []*ent.Node
	DeletedNodes    []string
	Volumes         []*ent.Volume
	DeletedVolumes  []string
	Events          bool // whether events were appended
}

// Follow registers f to be called after each update with its changes, before [Store.Update] returns. Concurrent updates
// may call f in another order than they were committed; compare the versions of the rows. f must not block and must not
// write. Call Follow before the first update.
func (s *Store) Follow(f func(context.Context, Commit)) { s.followers = append(s.followers, f) }

// Update runs fn in one write transaction, and commits it unless fn fails. It increments the version of each service,
// node and volume that fn changes, and passes the changes on to the followers. fn must use the context and the
// transaction it is given. It may be called again with new ones; see [WithRelief].
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

// EachService calls f with each service, by id. It reads some at a time.
func (s *Store) EachService(ctx context.Context, f func(*ent.Service)) error {
	const some = 1000
	for after := ""; ; {
		rows, err := s.Read.Service.Query().Where(service.IDGT(after)).Order(service.ByID()).Limit(some).All(ctx)
		if err != nil {
			return fmt.Errorf("reading the services: %w", err)
		}
		for _, row := range rows {
			f(row)
			after = row.ID
		}
		if len(rows) < some {
			return nil
		}
	}
}

type changesKey struct{}

// changes collects the changes of a transaction.
type changes struct{ Commit }

func (c *changes) empty() bool {
	return len(c.Services)+len(c.DeletedServices)+len(c.Nodes)+len(c.DeletedNodes)+len(c.Volumes)+len(c.DeletedVolumes) == 0 && !c.Events
}

// keep replaces the row with the same id, or appends the row.
func keep[T any](rows []T, row T, id func(T) string) []T {
	if i := slices.IndexFunc(rows, func(other T) bool { return id(other) == id(row) }); i >= 0 {
		rows[i] = row
		return rows
	}
	return append(rows, row)
}

// follow installs the hooks that collect changes and increment versions.
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
	c.Volume.Use(func(next ent.Mutator) ent.Mutator {
		return hook.VolumeFunc(func(ctx context.Context, m *ent.VolumeMutation) (ent.Value, error) {
			seen, ok := ctx.Value(changesKey{}).(*changes)
			if !ok {
				return nil, errOutside
			}
			if m.Op().Is(ent.OpUpdate | ent.OpUpdateOne) {
				raise(m)
			}
			return collect(ctx, next, m, func(row *ent.Volume) {
				seen.Volumes = keep(seen.Volumes, row, func(v *ent.Volume) string { return v.ID })
			}, func(ids []string) { seen.DeletedVolumes = append(seen.DeletedVolumes, ids...) })
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

// onlyChecked reports whether the mutation only sets the time of the last health check, which no decision depends on.
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

// errOutside is returned for a change outside Update.
var errOutside = errors.New("store: services, nodes and volumes are changed by Update alone")

// errBulk is returned for an update of many rows at once: their new versions would be unknown.
var errBulk = errors.New("store: services, nodes and volumes are changed one at a time")

// collect runs a mutation and collects the row it changed, or the ids of the rows it deleted.
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
