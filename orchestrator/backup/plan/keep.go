package plan

import (
	"fmt"
	"slices"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator"
)

// Kept is a complete backup, for [Expired].
type Kept struct {
	ID     string
	At     time.Time
	Pinned bool
}

// Ahead reports whether a recorded time is of a clock that was ahead, and was corrected since. A few minutes are no sign of that.
func Ahead(t, now time.Time) bool { return t.After(now.Add(5 * time.Minute)) }

// Compare orders recorded times. Times of a clock that was ahead come first, because what was recorded after the correction is
// newer.
func Compare(a, b, now time.Time) int {
	switch aheadA, aheadB := Ahead(a, now), Ahead(b, now); {
	case aheadA && !aheadB:
		return -1
	case aheadB && !aheadA:
		return 1
	}
	return a.Compare(b)
}

// Expired returns the ids of the backups of one service that no rule keeps. Days, weeks and months are those of zone. Pinned
// ones are kept and count for no rule. The newest one is always kept.
func Expired(now time.Time, backups []Kept, keep orchestrator.Keep, zone *time.Location) []string {
	newest := slices.Clone(backups)
	slices.SortFunc(newest, func(a, b Kept) int { return Compare(b.At, a.At, now) })
	rules := []struct {
		n    int
		name func(time.Time) string
	}{
		{keep.Daily, func(t time.Time) string { return t.Format(time.DateOnly) }},
		{keep.Weekly, func(t time.Time) string { year, week := t.ISOWeek(); return fmt.Sprint(year, " ", week) }},
		{keep.Monthly, func(t time.Time) string { return t.Format("2006-01") }},
	}
	seen := make([]map[string]bool, len(rules))
	for i := range seen {
		seen[i] = map[string]bool{}
	}
	var expired []string
	rank := 0
	for _, b := range newest {
		if b.Pinned {
			continue
		}
		kept := rank < max(1, keep.Last)
		rank++
		for i, rule := range rules {
			if name := rule.name(b.At.In(zone)); len(seen[i]) < rule.n && !seen[i][name] {
				seen[i][name], kept = true, true
			}
		}
		if !kept {
			expired = append(expired, b.ID)
		}
	}
	return expired
}
