package placement

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

const (
	mib = int64(1) << 20
	gib = int64(1) << 30
)

// docker is a node of 4 GiB and 4 processors that fits.
func docker(name string, change ...func(*Node)) Node {
	n := Node{ID: "id-" + name, Name: name, Driver: "DOCKER", Healthy: true, Limits: true, Capacity: Resources{MemoryBytes: 4 * gib, CPUs: 4}}
	for _, f := range change {
		f(&n)
	}
	return n
}

func process(name string, change ...func(*Node)) Node {
	return docker(name, append([]func(*Node){func(n *Node) {
		n.Driver, n.Limits = "PROCESS", false
	}}, change...)...)
}

func promised(memory int64, cpus float64) func(*Node) {
	return func(n *Node) { n.Promised = Resources{MemoryBytes: memory, CPUs: cpus} }
}

func services(all, same int) func(*Node) {
	return func(n *Node) { n.Services, n.SameKind = all, same }
}

func label(name, value string) func(*Node) {
	return func(n *Node) { n.Labels = map[string]string{name: value} }
}

func sick(n *Node)     { n.Healthy = false }
func draining(n *Node) { n.Draining = true }

// queue needs 512 MiB and one processor.
func queue(change ...func(*Request)) Request {
	r := Request{Kind: "QUEUE", Template: "nats", Drivers: []string{"PROCESS", "DOCKER"}, Need: Resources{MemoryBytes: 512 * mib, CPUs: 1}}
	for _, f := range change {
		f(&r)
	}
	return r
}

func needs(memory int64, cpus float64) func(*Request) {
	return func(r *Request) { r.Need = Resources{MemoryBytes: memory, CPUs: cpus} }
}

func onB(r *Request)        { r.NodeID = "id-b" }
func withData(r *Request)   { r.HasData = true }
func mustLimit(r *Request)  { r.MustLimit = true }
func onlyDocker(r *Request) { r.Drivers = []string{"DOCKER"} }
func zone(r *Request)       { r.Labels = map[string]string{"disk": "ssd", "zone": "b"} }

func TestChoose(t *testing.T) {
	for _, test := range []struct {
		name, node string // the name of the node; empty: none
		nodes      []Node
		request    Request
		reason     string
	}{
		{"the only node", "a", []Node{docker("a")}, queue(),
			"placed on node a: it is the only node, and has room (4 GiB of 4 GiB of memory not promised before)"},
		{"the only node, without limits", "a", []Node{process("a", services(9, 9))}, queue(),
			"placed on node a: it is the only node"},
		{"no node", "", nil, queue(), "waiting for a node: none is registered"},

		{"fewest of the kind, whatever else is there", "b",
			[]Node{docker("a", services(2, 2)), docker("b", services(9, 1), promised(3*gib, 4)), docker("c", services(2, 2))}, queue(),
			"placed on node b: it has room (1 GiB of 4 GiB of memory not promised before) and the fewest QUEUE services (1; next is node a with 2)"},
		{"fewest of the kind, without limits", "b", []Node{process("a", services(1, 1)), process("b")}, queue(),
			"placed on node b: it has the fewest QUEUE services (0; next is node a with 1)"},
		{"least memory promised", "b", []Node{docker("a", promised(2*gib, 0)), docker("b", promised(gib, 4), services(9, 0))}, queue(),
			"placed on node b: it has room (3 GiB of 4 GiB of memory not promised before), as few QUEUE services as any (0) and " +
				"the least of its memory promised (37.5 % with this one; next is node a with 62.5 %)"},
		{"a share, not an amount", "b",
			[]Node{docker("a", promised(gib, 0)), docker("b", promised(2*gib, 0), func(n *Node) { n.Capacity.MemoryBytes = 64 * gib })}, queue(),
			"placed on node b: it has room (62 GiB of 64 GiB of memory not promised before), as few QUEUE services as any (0) and " +
				"the least of its memory promised (3.9 % with this one; next is node a with 37.5 %)"},
		{"least of the processors promised", "b", []Node{docker("a", promised(gib, 2)), docker("b", promised(gib, 1))}, queue(),
			"placed on node b: it has room (3 GiB of 4 GiB of memory not promised before), as few QUEUE services as any (0) and " +
				"the least of its processors promised (50 % with this one; next is node a with 75 %)"},
		{"processors are shared", "a", []Node{docker("a", promised(0, 400))}, queue(),
			"placed on node a: it is the only node, and has room (4 GiB of 4 GiB of memory not promised before)"},
		{"fewest services", "b", []Node{process("a", services(3, 1)), process("b", services(2, 1))}, queue(),
			"placed on node b: it has as few QUEUE services as any (1) and the fewest services in all (2; next is node a with 3)"},
		{"by name in the end", "a", []Node{process("b"), process("a"), process("c")}, queue(),
			"placed on node a: it has as few QUEUE services as any (0) and the first name of those that are equal"},
		{"one that holds services to their limits", "b", []Node{process("a"), docker("b", services(7, 0))}, queue(),
			"placed on node b: it has room (4 GiB of 4 GiB of memory not promised before), as few QUEUE services as any (0) and " +
				"limits that services are held to, which node a has not"},

		{"memory is never promised twice", "", []Node{docker("a", promised(4*gib-511*mib, 0))}, queue(),
			"waiting for a node: node a has no room: 512 MiB of memory are needed, and of its 4 GiB 511 MiB are not promised yet"},
		{"just fits", "a", []Node{docker("a", promised(4*gib-512*mib, 0))}, queue(),
			"placed on node a: it is the only node, and has room (512 MiB of 4 GiB of memory not promised before)"},
		{"overcommitted since its memory shrank", "", []Node{docker("a", promised(9*gib, 0))}, queue(),
			"waiting for a node: node a has no room: 512 MiB of memory are needed, and of its 4 GiB 0 MiB are not promised yet"},
		{"as many processors as it has", "a", []Node{docker("a")}, queue(needs(16*mib, 4)),
			"placed on node a: it is the only node, and has room (4 GiB of 4 GiB of memory not promised before)"},
		{"more processors than it has", "", []Node{docker("a")}, queue(needs(16*mib, 4.5)),
			"waiting for a node: node a has 4 processors, and the limit is 4.5"},
		{"without limits there is no fit", "a", []Node{process("a", promised(9*gib, 9))}, queue(needs(900*gib, 99)),
			"placed on node a: it is the only node"},
		{"limits that were asked for", "b", []Node{process("a"), docker("b", services(5, 5))}, queue(mustLimit),
			"placed on node b: it is the only one that fits, and has room (4 GiB of 4 GiB of memory not promised before). " +
				"Node a does not hold services to limits, which were asked for"},

		{"a reason for each that does not fit", "", []Node{
			docker("a", sick), docker("b", draining), docker("c", promised(4*gib, 0)), process("d"), docker("e", func(n *Node) { n.Capacity.CPUs = 0.5 })},
			queue(onlyDocker),
			"waiting for a node: node a is not healthy; node b is draining: it takes no new services; " +
				"node c has no room: 512 MiB of memory are needed, and of its 4 GiB 0 MiB are not promised yet; " +
				"node d runs services with driver PROCESS, which template nats does not support; node e has 0.5 processors, and the limit is 1"},
		{"labels, all of them", "c", []Node{docker("a"), docker("b", label("zone", "b")),
			docker("c", func(n *Node) { n.Labels = map[string]string{"zone": "b", "disk": "ssd", "x": "y"} }, services(9, 9))},
			queue(zone),
			"placed on node c: it is the only one that fits, and has room (4 GiB of 4 GiB of memory not promised before). " +
				"Node a does not have label disk=ssd; node b does not have label disk=ssd"},
		{"a label without a value is not one that is missing", "", []Node{docker("a", label("zone", "x"))},
			queue(func(r *Request) { r.Labels = map[string]string{"gpu": ""} }),
			"waiting for a node: node a does not have label gpu="},

		{"asked for", "b", []Node{docker("a"), docker("b", services(9, 9), promised(gib, 0))}, queue(onB),
			"placed on node b: it was asked for, and has room (3 GiB of 4 GiB of memory not promised before)"},
		{"asked for and full", "", []Node{docker("a"), docker("b", promised(4*gib, 0))}, queue(onB),
			"waiting for a node: node b has no room: 512 MiB of memory are needed, and of its 4 GiB 0 MiB are not promised yet"},
		{"asked for and draining", "", []Node{docker("a"), docker("b", draining)}, queue(onB),
			"waiting for a node: node b is draining: it takes no new services"},
		{"asked for and gone", "", []Node{docker("a")}, queue(onB),
			"waiting for a node: the one that was asked for is not registered any more"},
		{"its data is there", "b", []Node{docker("a"), docker("b", services(9, 9))}, queue(onB, withData),
			"placed on node b: its data is there"},
		{"its data is on a node that drains", "b", []Node{docker("a"), docker("b", draining)}, queue(onB, withData),
			"placed on node b: its data is there and cannot move, so that it goes there though the node is draining"},
		{"its data is on a node that is full", "", []Node{docker("a"), docker("b", promised(4*gib, 0))}, queue(onB, withData),
			"waiting for a node: its data cannot move, and node b has no room: 512 MiB of memory are needed, and of its 4 GiB 0 MiB are not promised yet"},
		{"its data is on a node that is gone", "", []Node{docker("a")}, queue(onB, withData),
			"waiting for a node: the one that its data is on is not registered any more"},
	} {
		t.Run(test.name, func(t *testing.T) {
			want := Choice{Reason: test.reason}
			if test.node != "" {
				want.NodeID = "id-" + test.node
			}
			if got := Choose(test.nodes, test.request); got != want {
				t.Errorf("got\n%+v, want\n%+v", got, want)
			}
		})
	}
}

// However many nodes there are, and whatever labels are asked for, a reason stays readable.
func TestReasonsAreCapped(t *testing.T) {
	var nodes []Node
	for i := range 1000 {
		nodes = append(nodes, docker(fmt.Sprintf("n%03d", i)))
	}
	r := queue(func(r *Request) { r.Labels = map[string]string{strings.Repeat("ä", 5000): "x"} })
	reason := Choose(nodes, r).Reason
	if len(reason) > 2000 || !strings.Contains(reason, "node n004 ") || strings.Contains(reason, "node n005 ") || !strings.HasSuffix(reason, "and 995 more nodes do not fit") {
		t.Errorf("%d bytes: %s", len(reason), reason)
	}
	nodes[500].Labels = r.Labels
	if c := Choose(nodes, r); c.NodeID != "id-n500" || len(c.Reason) > 2000 || !strings.HasSuffix(c.Reason, "and 996 more nodes do not fit") {
		t.Errorf("%+v", c)
	}
}

func TestSizesAreRoundedDown(t *testing.T) {
	for bytes, want := range map[int64]string{0: "0 MiB", mib - 1: "0 MiB", gib - 1: "1023 MiB", gib: "1 GiB", 78*gib/10 + 1: "7.8 GiB", 2*gib - 1: "1.99 GiB"} {
		if got := size(bytes); got != want {
			t.Errorf("%d bytes are %s, want %s", bytes, got, want)
		}
	}
}

// world makes nodes and a request from a seed: few names, labels and sizes, so that ties and shortages are common.
func world(seed uint64) ([]Node, Request) {
	rng := rand.New(rand.NewPCG(seed, 1))
	some := func() map[string]string {
		all := map[string]string{}
		for range rng.IntN(3) {
			all[string('x'+rune(rng.IntN(2)))] = string('1' + rune(rng.IntN(2)))
		}
		return all
	}
	var nodes []Node
	for i := range rng.IntN(8) {
		all := rng.IntN(4)
		n := docker(fmt.Sprintf("n%d", i), services(all, rng.IntN(all+1)), promised(int64(rng.IntN(5))*gib, float64(rng.IntN(9))))
		n.Healthy, n.Draining, n.Limits, n.Labels = rng.IntN(5) > 0, rng.IntN(5) == 0, rng.IntN(3) > 0, some()
		n.Capacity = Resources{MemoryBytes: int64(rng.IntN(5)) * gib, CPUs: float64(rng.IntN(5))}
		if rng.IntN(3) == 0 {
			n.Driver = "PROCESS"
		}
		nodes = append(nodes, n)
	}
	r := queue(needs(int64(rng.IntN(3))*gib, float64(rng.IntN(4))), func(r *Request) { r.Labels, r.MustLimit = some(), rng.IntN(4) == 0 })
	if rng.IntN(3) == 0 {
		r.Drivers = []string{"DOCKER"}
	}
	if rng.IntN(3) == 0 {
		r.NodeID, r.HasData = fmt.Sprintf("id-n%d", rng.IntN(8)), rng.IntN(2) == 0
	}
	return nodes, r
}

// fits says it in other words than obstacle does.
func fits(n Node, r Request) bool {
	able := false
	for _, d := range r.Drivers {
		able = able || d == n.Driver
	}
	labelled := true
	for name, value := range r.Labels {
		has, ok := n.Labels[name]
		labelled = labelled && ok && has == value
	}
	room := n.Promised.MemoryBytes+r.Need.MemoryBytes <= n.Capacity.MemoryBytes || r.Need.MemoryBytes == 0
	limited := n.Limits && room && r.Need.CPUs <= n.Capacity.CPUs || !n.Limits && !r.MustLimit
	return able && labelled && n.Healthy && (!n.Draining || r.HasData) && limited && (r.NodeID == "" || r.NodeID == n.ID)
}

// It picks one that fits, whenever one does, of those the one with the fewest of the kind; in whatever order the nodes
// are given; and it always says why.
func FuzzChoose(f *testing.F) {
	for seed := range uint64(3000) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		nodes, r := world(seed)
		got := Choose(nodes, r)
		fewest, chosen := -1, -1
		for i, n := range nodes {
			if !fits(n, r) {
				continue
			}
			if fewest < 0 || n.SameKind < fewest {
				fewest = n.SameKind
			}
			if n.ID == got.NodeID {
				chosen = i
			}
		}
		switch {
		case fewest < 0 && got.NodeID != "", fewest >= 0 && chosen < 0:
			t.Fatalf("seed %d: %+v of %+v for %+v", seed, got, nodes, r)
		case chosen >= 0 && nodes[chosen].SameKind != fewest:
			t.Fatalf("seed %d: it has %d of the kind, another has %d: %+v", seed, nodes[chosen].SameKind, fewest, got)
		case chosen >= 0 && !strings.HasPrefix(got.Reason, "placed on node "+nodes[chosen].Name+": "), chosen < 0 && !strings.HasPrefix(got.Reason, "waiting for a node: "):
			t.Fatalf("seed %d: reason %q", seed, got.Reason)
		}
		rng := rand.New(rand.NewPCG(seed, 2))
		for range 3 {
			rng.Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
			if again := Choose(nodes, r); again != got {
				t.Fatalf("seed %d: in another order %+v, not %+v", seed, again, got)
			}
		}
	})
}
