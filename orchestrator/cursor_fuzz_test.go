package orchestrator

import "testing"

// Whatever a client holds for a cursor is refused, or is exactly that cursor.
func FuzzCursor(f *testing.F) {
	f.Add(cursor{seq: 7, mark: -1}.String())
	f.Add(cursor{seq: 7, mark: 9, picture: &pictured{epoch: 1, rev: 2, loose: 1}}.String())
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		c, ok := decodeCursor(text)
		if !ok {
			return
		}
		again, ok := decodeCursor(c.String())
		if !ok || again.seq != c.seq || again.mark != c.mark || (again.picture == nil) != (c.picture == nil) ||
			c.picture != nil && *again.picture != *c.picture {
			t.Errorf("%q: got %+v and then %+v", text, c, again)
		}
	})
}
