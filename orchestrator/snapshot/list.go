package snapshot

import (
	"context"
	"encoding/base64"
	"math"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator"
)

// Services returns a page of the services that match a filter, oldest first. They are as new as the newest committed
// change.
func (s *Snapshot) Services(ctx context.Context, filter orchestrator.ServiceFilter, page orchestrator.Page) (orchestrator.List[*orchestrator.Service], error) {
	var after func(*orchestrator.Service) bool
	if page.After != "" {
		at, id, ok := parseServiceCursor(page.After)
		if !ok {
			return orchestrator.List[*orchestrator.Service]{}, orchestrator.BadCursor("after")
		}
		after = func(s *orchestrator.Service) bool { return s.CreatedAt.After(at) || s.CreatedAt.Equal(at) && s.ID > id }
	}
	if err := s.events.Sync(ctx); err != nil {
		return orchestrator.List[*orchestrator.Service]{}, err
	}
	first := page.Limit()
	return orchestrator.PageOf(s.list(filter, after, first+1), first, serviceCursor), nil
}

// All returns all services, oldest first, as they are known now.
func (s *Snapshot) All() []*orchestrator.Service {
	return s.list(orchestrator.ServiceFilter{}, nil, math.MaxInt)
}

// Known returns a service as it is known now, nil if there is none.
func (s *Snapshot) Known(id string) *orchestrator.Service {
	s.mu.Lock()
	defer s.mu.Unlock()
	if entry := s.services[id]; entry != nil {
		return entry.service
	}
	return nil
}

// Has reports whether a service is known now.
func (s *Snapshot) Has(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.services[id] != nil
}

// CountServices returns the number of services that match a filter.
func (s *Snapshot) CountServices(ctx context.Context, filter orchestrator.ServiceFilter) (int, error) {
	if err := s.events.Sync(ctx); err != nil {
		return 0, err
	}
	return s.count(filter), nil
}

// Service returns a service. The error is NotFound if there is none.
func (s *Snapshot) Service(ctx context.Context, id string) (*orchestrator.Service, error) {
	if err := s.events.Sync(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if entry := s.services[id]; entry != nil {
		return entry.service, nil
	}
	return nil, noSuch("service", id)
}

// Row returns a service as it is stored, with its sealed credentials. The error is NotFound if there is none.
func (s *Snapshot) Row(ctx context.Context, id string) (*ent.Service, error) {
	row, err := s.store.Read.Service.Get(ctx, id)
	return row, NotFound(err, "service", id)
}

// NotFound returns err, or the domain error for it if it is ent's not-found. what is the field's term for the entity.
func NotFound(err error, what, id string) error {
	if ent.IsNotFound(err) {
		return noSuch(what, id)
	}
	return err
}

func noSuch(what, id string) error {
	return orchestrator.Errorf(orchestrator.NotFound, "id", "there is no %s with id %q", what, id)
}

// Nodes returns all nodes by name.
func (s *Snapshot) Nodes(ctx context.Context) ([]orchestrator.Node, error) {
	if err := s.events.Sync(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	nodes := make([]orchestrator.Node, 0, len(s.nodes))
	for _, n := range s.nodes {
		nodes = append(nodes, n.node)
	}
	s.mu.Unlock()
	slices.SortFunc(nodes, byName)
	s.describe(nodes)
	return nodes, nil
}

// Node returns a node. The error is NotFound if there is none.
func (s *Snapshot) Node(ctx context.Context, id string) (orchestrator.Node, error) {
	if err := s.events.Sync(ctx); err != nil {
		return orchestrator.Node{}, err
	}
	s.mu.Lock()
	n := s.nodes[id]
	s.mu.Unlock()
	if n == nil {
		return orchestrator.Node{}, noSuch("node", id)
	}
	one := []orchestrator.Node{n.node}
	s.describe(one)
	return one[0], nil
}

// describe adds to nodes what was observed of them.
func (s *Snapshot) describe(nodes []orchestrator.Node) {
	for i := range nodes {
		n := &nodes[i]
		state := s.state(n.ID)
		if state.LastSeen != nil {
			n.LastSeenAt = state.LastSeen
		}
		if state.Unusable != "" {
			n.Healthy, n.Reason = false, state.Unusable
		}
		n.Info, n.DiskLow, n.Unrecognised = state.Info, state.DiskLow, state.Orphans
		n.Services = s.count(orchestrator.ServiceFilter{NodeID: n.ID})
		n.InUse = s.inUse(n.ID, n.Services)
	}
}

// list returns up to n services that match a filter, oldest first, from the first one for which after is true.
func (s *Snapshot) list(filter orchestrator.ServiceFilter, after func(*orchestrator.Service) bool, n int) []*orchestrator.Service {
	if !filter.Warned {
		return s.matching(filter, after, n)
	}
	// Warnings have a lock of their own, which must not be taken under this one.
	found := slices.DeleteFunc(s.matching(filter, after, math.MaxInt), func(row *orchestrator.Service) bool {
		return !s.warned(row)
	})
	return found[:min(n, len(found))]
}

// matching does so without regard to warnings.
func (s *Snapshot) matching(filter orchestrator.ServiceFilter, after func(*orchestrator.Service) bool, n int) []*orchestrator.Service {
	matches := matching(filter)
	s.mu.Lock()
	defer s.mu.Unlock()
	start := 0
	if after != nil {
		start = sort.Search(len(s.order), func(i int) bool { return after(s.order[i].service) })
	}
	found := make([]*orchestrator.Service, 0, min(n, len(s.order)-start))
	for _, entry := range s.order[start:] {
		if len(found) == n {
			break
		}
		if matches(entry.service) {
			found = append(found, entry.service)
		}
	}
	return found
}

func (s *Snapshot) count(filter orchestrator.ServiceFilter) int {
	if filter.Warned {
		return len(s.list(filter, nil, math.MaxInt))
	}
	byPlace := len(filter.Phases)+len(filter.Healths)+len(filter.Labels) == 0 && filter.NameContains == ""
	matches, count := matching(filter), 0
	s.mu.Lock()
	defer s.mu.Unlock()
	if byPlace {
		for at, n := range s.counts {
			if (filter.NodeID == "" || filter.NodeID == at.node) && (len(filter.Kinds) == 0 || slices.Contains(filter.Kinds, at.kind)) {
				count += n
			}
		}
		return count
	}
	for _, entry := range s.order {
		if matches(entry.service) {
			count++
		}
	}
	return count
}

// matching returns a predicate for the services that the filter selects, without regard to warnings.
func matching(f orchestrator.ServiceFilter) func(*orchestrator.Service) bool {
	part := strings.ToLower(f.NameContains)
	return func(s *orchestrator.Service) bool {
		return (len(f.Kinds) == 0 || slices.Contains(f.Kinds, s.Kind)) &&
			(len(f.Phases) == 0 || slices.Contains(f.Phases, s.Phase)) &&
			(len(f.Healths) == 0 || slices.Contains(f.Healths, s.Health)) &&
			(f.NodeID == "" || f.NodeID == s.NodeID) &&
			strings.Contains(strings.ToLower(s.Name), part) &&
			!slices.ContainsFunc(f.Labels, func(l orchestrator.LabelSelector) bool { return !l.Matches(s.Labels) })
	}
}

func serviceCursor(s *orchestrator.Service) string {
	plain := append(s.CreatedAt.UTC().AppendFormat(make([]byte, 0, 64), time.RFC3339Nano), ' ')
	return base64.RawURLEncoding.EncodeToString(append(plain, s.ID...))
}

func parseServiceCursor(c string) (time.Time, string, bool) {
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
