package orchestrator

import (
	"encoding/base64"
	"strings"
)

// MaxPage is the most items a page holds.
const MaxPage = 1000

// Page asks for First items after the one that After names. First is clamped to 1 to MaxPage.
type Page struct {
	First int
	After string // a cursor; empty: from the beginning
}

// Limit is the number of items that the page holds at most.
func (p Page) Limit() int { return min(max(p.First, 1), MaxPage) }

// List is one page of items.
type List[T any] struct {
	Items   []T
	Cursors []string // of each item
	More    bool
}

// PageOf makes a page of the first items, where one more than that means that there are more pages.
func PageOf[T any](items []T, first int, cursor func(T) string) List[T] {
	l := List[T]{Items: items}
	if len(items) > first {
		l.Items, l.More = items[:first], true
	}
	l.Cursors = make([]string, len(l.Items))
	for i, item := range l.Items {
		l.Cursors[i] = cursor(item)
	}
	return l
}

// KeyCursor returns the cursor of the item with this key in a list.
func KeyCursor(list, key string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(list + ":" + key))
}

// ParseKeyCursor returns the key in a cursor of [KeyCursor]. It reports false if the text is not a cursor of that list.
func ParseKeyCursor(list, cursor string) (key string, ok bool) {
	plain, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return "", false
	}
	return strings.CutPrefix(string(plain), list+":")
}

// BadCursor is the error for a cursor of another list, or of none.
func BadCursor(path string) error {
	return Errorf(InvalidInput, path, "not a cursor of this list; take one from pageInfo.endCursor or an edge")
}
