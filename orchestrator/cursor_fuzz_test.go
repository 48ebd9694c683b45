package orchestrator

import "testing"

// Whatever a client holds for a cursor is refused, or is exactly that cursor.
func FuzzCursor(f *testing.F) {
	f.Add(Cursor{Seq: 7, Mark: -1}.String())
	f.Add(Cursor{Seq: 7, Mark: 9, Picture: &Pictured{Epoch: 1, Rev: 2, Loose: 1}}.String())
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		c, ok := ParseCursor(text)
		if !ok {
			return
		}
		again, ok := ParseCursor(c.String())
		if !ok || again.Seq != c.Seq || again.Mark != c.Mark || (again.Picture == nil) != (c.Picture == nil) ||
			c.Picture != nil && *again.Picture != *c.Picture {
			t.Errorf("%q: got %+v and then %+v", text, c, again)
		}
	})
}
