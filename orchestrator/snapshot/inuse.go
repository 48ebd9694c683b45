package snapshot

import (
	"context"
	"fmt"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/ent/volume"
)

// A node is in use while it has services or data: services that are on it, services that wait for it because their data is
// on it, and retained data.

// awaited returns the node that a service waits for because its data is there; empty if it waits for none.
func awaited(row *ent.Service) string {
	if row.EverHealthy && row.RequestedNode != row.NodeID {
		return row.RequestedNode
	}
	return ""
}

// countAwaited takes over the node that a service waits for. was or is can be nil.
func (s *Snapshot) countAwaited(was, is *serviceEntry, rev int64) {
	before, after := "", ""
	if was != nil {
		before = was.awaits
	}
	if is != nil {
		after = is.awaits
	}
	if before == after {
		return
	}
	if s.awaited[before]--; s.awaited[before] <= 0 {
		delete(s.awaited, before)
	}
	if after != "" {
		s.awaited[after]++
	}
	s.recount(before, rev)
	s.recount(after, rev)
}

// readKept returns the nodes that have retained data.
func readKept(ctx context.Context, tx *ent.Tx) (map[string]bool, error) {
	ids, err := tx.Volume.Query().Where(volume.ServiceIDIsNil()).Unique(true).Select(volume.FieldNodeID).Strings(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading which nodes have retained data: %w", err)
	}
	kept := make(map[string]bool, len(ids))
	for _, id := range ids {
		kept[id] = true
	}
	return kept, nil
}

// applyKept replaces the nodes that have retained data, and reports whether that changes a node.
func (s *Snapshot) applyKept(kept map[string]bool, rev int64) (changed bool) {
	for id := range s.nodes {
		if s.kept[id] != kept[id] {
			s.recount(id, rev)
			changed = true
		}
	}
	s.kept = kept
	return changed
}

// inUse reports whether a node with this number of services is in use.
func (s *Snapshot) inUse(nodeID string, services int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return services > 0 || s.awaited[nodeID] > 0 || s.kept[nodeID]
}
