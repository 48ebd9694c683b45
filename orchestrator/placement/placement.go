// Package placement chooses the node that a new service goes to. It is pure: what is known of the nodes and of the
// service in, a choice and its reason in plain words out. The order in which the nodes are given does not matter.
package placement

import (
	"cmp"
	"fmt"
	"slices"
)

// Node is a node as placement sees it.
type Node struct {
	ID, Name string // both unique
	Driver   string
	Healthy  bool
	Draining bool // takes no new services
	Labels   map[string]string

	// Limits is true if the node enforces the limits of services. Otherwise Capacity and Promised are meaningless.
	Limits   bool
	Capacity Resources
	Promised Resources // the limits of the services there, stopped ones too

	Services int // there
	SameKind int // of these, those of the kind that is placed
}

// Resources of a node, or limits of services.
type Resources struct {
	MemoryBytes int64
	CPUs        float64
}

// Request says what is placed.
type Request struct {
	Kind      string
	Template  string
	Drivers   []string // that can run the template
	Need      Resources
	MustLimit bool              // its limits were asked for: only a node that holds services to their limits will do
	Labels    map[string]string // that the node must have
	NodeID    string            // of the node that was asked for; empty: any
	HasData   bool              // its data is on that node already and cannot move
}

// Choice is the answer: NodeID is empty when no node fits. Reason says why that node, or why none of them.
type Choice struct{ NodeID, Reason string }

// Choose picks a node that fits: the one that was asked for, else the one with the fewest services of the same kind, of
// these the least committed one, of these the first by name.
//
// A node fits when it is healthy, does not drain, can run the template and has the labels. Where services are held to
// limits, memory is never promised twice, and no limit is above the number of the node's processors. Processors are
// shared: what is promised of them counts for how committed a node is, and does not fill it up.
func Choose(nodes []Node, r Request) Choice {
	nodes = slices.Clone(nodes)
	slices.SortFunc(nodes, func(a, b Node) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	var fit []Node
	var not []string
	for _, n := range nodes {
		if r.NodeID != "" && n.ID != r.NodeID {
			continue
		}
		if why := obstacle(n, r); why != "" {
			not = append(not, "node "+n.Name+" "+why)
			continue
		}
		fit = append(fit, n)
	}
	if len(fit) == 0 {
		return Choice{Reason: "waiting for a node: " + whyNone(len(nodes), not, r)}
	}
	slices.SortStableFunc(fit, func(a, b Node) int { // stable: by name in the end
		for _, by := range preferences {
			if c := by.compare(a, b, r); c != 0 {
				return c
			}
		}
		return 0
	})
	return Choice{NodeID: fit[0].ID, Reason: fmt.Sprintf("placed on node %s: %s", fit[0].Name, whyThis(fit, len(nodes), not, r))}
}

// obstacle is why a node cannot take the service; empty when it can.
func obstacle(n Node, r Request) string {
	lacking := missingLabel(n, r)
	switch {
	case !slices.Contains(r.Drivers, n.Driver):
		return fmt.Sprintf("runs services with driver %s, which template %s does not support", n.Driver, r.Template)
	case !n.Healthy:
		return "is not healthy"
	case n.Draining && !r.HasData:
		return "is draining: it takes no new services"
	case lacking != "":
		return "does not have label " + lacking
	case !n.Limits && r.MustLimit:
		return "does not hold services to limits, which were asked for"
	case !n.Limits:
		return ""
	case r.Need.MemoryBytes > n.free():
		return fmt.Sprintf("has no room: %s of memory are needed, and of its %s %s are not promised yet",
			size(r.Need.MemoryBytes), size(n.Capacity.MemoryBytes), size(n.free()))
	case r.Need.CPUs > n.Capacity.CPUs:
		return fmt.Sprintf("has %g processors, and the limit is %g", n.Capacity.CPUs, r.Need.CPUs)
	}
	return ""
}

// free is the memory that is not promised yet.
func (n Node) free() int64 { return max(n.Capacity.MemoryBytes-n.Promised.MemoryBytes, 0) }

// preference is one of the questions that decide between nodes that fit, in the order of preferences.
type preference struct {
	compare func(a, b Node, r Request) int // negative: a is preferred
	// words for a node that is preferred to the next one by this, and for one that is as good.
	words func(best, next Node, r Request) string
	equal func(best Node, r Request) string
}

var preferences = []preference{
	{
		compare: func(a, b Node, _ Request) int { return cmp.Compare(a.SameKind, b.SameKind) },
		words: func(best, next Node, r Request) string {
			return fmt.Sprintf("the fewest %s services (%d; next is node %s with %d)", r.Kind, best.SameKind, next.Name, next.SameKind)
		},
		equal: func(best Node, r Request) string {
			return fmt.Sprintf("as few %s services as any (%d)", r.Kind, best.SameKind)
		},
	},
	{
		compare: func(a, b Node, _ Request) int { return -compareBool(a.Limits, b.Limits) },
		words: func(_, next Node, _ Request) string {
			return "limits that services are held to, which node " + next.Name + " has not"
		},
	},
	{
		compare: func(a, b Node, r Request) int { return cmp.Compare(a.memoryShare(r), b.memoryShare(r)) },
		words: func(best, next Node, r Request) string {
			return fmt.Sprintf("the least of its memory promised (%s with this one; next is node %s with %s)",
				percent(best.memoryShare(r)), next.Name, percent(next.memoryShare(r)))
		},
	},
	{
		compare: func(a, b Node, r Request) int { return cmp.Compare(a.cpuShare(r), b.cpuShare(r)) },
		words: func(best, next Node, r Request) string {
			return fmt.Sprintf("the least of its processors promised (%s with this one; next is node %s with %s)",
				percent(best.cpuShare(r)), next.Name, percent(next.cpuShare(r)))
		},
	},
	{
		compare: func(a, b Node, _ Request) int { return cmp.Compare(a.Services, b.Services) },
		words: func(best, next Node, _ Request) string {
			return fmt.Sprintf("the fewest services in all (%d; next is node %s with %d)", best.Services, next.Name, next.Services)
		},
	},
}

// memoryShare is the part of the memory that is promised once the service is there.
func (n Node) memoryShare(r Request) float64 {
	if !n.Limits || n.Capacity.MemoryBytes <= 0 {
		return 0
	}
	return (float64(n.Promised.MemoryBytes) + float64(r.Need.MemoryBytes)) / float64(n.Capacity.MemoryBytes)
}

// cpuShare is the same of the processors. It may be above 1.
func (n Node) cpuShare(r Request) float64 {
	if !n.Limits || n.Capacity.CPUs <= 0 {
		return 0
	}
	return (n.Promised.CPUs + r.Need.CPUs) / n.Capacity.CPUs
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}
