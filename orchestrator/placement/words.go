package placement

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/unicorn-web-services/uws/internal/clean"
)

// Reasons are shown to people and kept in the log: they name so many nodes that do not fit, and count the others.
const (
	maxNodes  = 5
	maxOthers = 3 // beside the node that was chosen
	maxLabel  = 80
)

// whyThis says why the first of those that fit was chosen.
func whyThis(fit []Node, all int, not []string, r Request) string {
	best := fit[0]
	switch {
	case r.HasData && best.Draining:
		return "its data is there and cannot move, so that it goes there though the node is draining"
	case r.HasData:
		return "its data is there"
	case r.NodeID != "":
		return "it was asked for" + room(best, r, ", and has ")
	case all == 1:
		return "it is the only node" + room(best, r, ", and has ")
	case len(fit) == 1:
		return "it is the only one that fits" + room(best, r, ", and has ") + ". " + capitalised(list(not, maxOthers))
	}
	has := []string{}
	if s := room(best, r, ""); s != "" {
		has = append(has, s)
	}
	return "it has " + enumeration(append(has, merits(best, fit[1], r)...))
}

// merits are what decided between the chosen node and the next one.
func merits(best, next Node, r Request) []string {
	var all []string
	for _, by := range preferences {
		if by.compare(best, next, r) != 0 {
			return append(all, by.words(best, next, r))
		}
		if by.equal != nil {
			all = append(all, by.equal(best, r))
		}
	}
	return append(all, "the first name of those that are equal")
}

// whyNone says why there is no node; not holds the reason of each that was looked at.
func whyNone(all int, not []string, r Request) string {
	switch {
	case all == 0:
		return "none is registered"
	case len(not) > 0 && r.HasData:
		return "its data cannot move, and " + not[0]
	case len(not) > 0:
		return list(not, maxNodes)
	case r.HasData:
		return "the one that its data is on is not registered any more"
	}
	return "the one that was asked for is not registered any more"
}

func list(reasons []string, most int) string {
	if more := len(reasons) - most; more > 1 { // one more is as long as saying so
		reasons = append(slices.Clip(reasons[:most]), fmt.Sprintf("and %d more nodes do not fit", more))
	}
	return strings.Join(reasons, "; ")
}

// room says how much memory there is, where that counts.
func room(n Node, r Request, before string) string {
	if !n.Limits || r.Need.MemoryBytes == 0 {
		return ""
	}
	return fmt.Sprintf("%sroom (%s of %s of memory not promised before)", before, size(n.free()), size(n.Capacity.MemoryBytes))
}

// missingLabel is the first label that is asked for and that the node does not have; empty when it has all.
func missingLabel(n Node, r Request) string {
	for _, name := range slices.Sorted(maps.Keys(r.Labels)) {
		if value, ok := n.Labels[name]; !ok || value != r.Labels[name] {
			return clean.Clip(name+"="+r.Labels[name], maxLabel)
		}
	}
	return ""
}

// size is rounded down, so that what does not fit never looks as if it did.
func size(bytes int64) string {
	if bytes < 1<<30 {
		return fmt.Sprintf("%d MiB", bytes>>20)
	}
	hundredths := bytes * 100 / (1 << 30) // of any machine that is to come
	return strconv.FormatFloat(float64(hundredths)/100, 'f', -1, 64) + " GiB"
}

func percent(share float64) string {
	return strconv.FormatFloat(math.Round(1000*share)/10, 'f', -1, 64) + " %"
}

// enumeration joins as people do: "a", "a and b", "a, b and c".
func enumeration(parts []string) string {
	if len(parts) == 1 {
		return parts[0]
	}
	last := len(parts) - 1
	return strings.Join(parts[:last], ", ") + " and " + parts[last]
}

func capitalised(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
