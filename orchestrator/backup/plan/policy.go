package plan

import (
	"cmp"
	"slices"

	"github.com/unicorn-web-services/uws/orchestrator"
)

// Policy returns the policy of a service, nil if none applies: its own, else of the defaults that match it the one with the
// most labels, of these the one with the fewest kinds, of these the oldest.
func Policy(s *orchestrator.Service, policies []*orchestrator.BackupPolicy) *orchestrator.BackupPolicy {
	var match []*orchestrator.BackupPolicy
	for _, p := range policies {
		switch {
		case p.ServiceID == s.ID:
			return p
		case p.ServiceID == "" && matches(s, p):
			match = append(match, p)
		}
	}
	if len(match) == 0 {
		return nil
	}
	return slices.MinFunc(match, func(a, b *orchestrator.BackupPolicy) int {
		return cmp.Or(cmp.Compare(len(b.Labels), len(a.Labels)), cmp.Compare(breadth(a), breadth(b)), a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
}

func matches(s *orchestrator.Service, p *orchestrator.BackupPolicy) bool {
	if len(p.Kinds) > 0 && !slices.Contains(p.Kinds, s.Kind) {
		return false
	}
	for name, value := range p.Labels {
		if has, ok := s.Labels[name]; !ok || has != value {
			return false
		}
	}
	return true
}

// breadth is how many kinds a default is for.
func breadth(p *orchestrator.BackupPolicy) int {
	if len(p.Kinds) == 0 {
		return 1000
	}
	return len(p.Kinds)
}
