package orchestrator

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

// Ordered is how a list that is in memory is paged. Keys are unique and never change. A cursor holds the key of an item, so
// that paging goes on after an item that has been deleted.
type Ordered[T any] struct {
	Name string // of the list, in its cursors
	Key  func(T) string
}

// NewestFirst is the key of an item in a list with the newest items first.
func NewestFirst(at time.Time, id string) string {
	return fmt.Sprintf("%016x %s", math.MaxInt64-at.UnixNano(), id)
}

// Page returns a page of items in the order of their keys. The error is InvalidInput for a cursor of another list.
func (o Ordered[T]) Page(items []T, page Page) (List[T], error) {
	type entry struct {
		key  string
		item T
	}
	after := ""
	if page.After != "" {
		var ok bool
		if after, ok = ParseKeyCursor(o.Name, page.After); !ok {
			return List[T]{}, BadCursor("after")
		}
	}
	var rest []entry
	for _, item := range items {
		if key := o.Key(item); page.After == "" || key > after {
			rest = append(rest, entry{key, item})
		}
	}
	slices.SortFunc(rest, func(a, b entry) int { return cmp.Compare(a.key, b.key) })
	n := min(len(rest), page.Limit())
	list := List[T]{Items: make([]T, 0, n), Cursors: make([]string, 0, n), More: len(rest) > n}
	for _, e := range rest[:n] {
		list.Items, list.Cursors = append(list.Items, e.item), append(list.Cursors, KeyCursor(o.Name, e.key))
	}
	return list, nil
}
