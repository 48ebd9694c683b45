package orchestrator

import (
	"encoding/base64"
	"encoding/binary"
)

// A cursor is an event's sequence number and that row's own random mark, so that a cursor from another
// store, or from before a restored backup, is recognised as foreign. One of `changes` also says how far the
// picture had come that it was told from.

// Cursor is what clients hold as opaque text.
type Cursor struct {
	Seq, Mark int64
	Picture   *Pictured // nil in the cursor of an event
}

// Pictured is the part of a cursor that only the picture which it was told from can judge.
type Pictured struct {
	Epoch int64 // which picture
	Rev   int64 // how far it had come
	Loose int64 // 1: something had changed since the event that has no event of its own
}

func (c Cursor) String() string {
	words := []int64{c.Seq, c.Mark}
	if p := c.Picture; p != nil {
		words = append(words, p.Epoch, p.Rev, p.Loose)
	}
	var b []byte
	for _, w := range words {
		b = binary.BigEndian.AppendUint64(b, uint64(w)) //nolint:gosec // all 64 bits, back and forth
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// ParseCursor reads a cursor from its text. It reports false if the text is not that of a cursor.
func ParseCursor(s string) (c Cursor, ok bool) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) != 2*8 && len(b) != 5*8 {
		return Cursor{}, false
	}
	word := func(i int) int64 { return int64(binary.BigEndian.Uint64(b[8*i:])) } //nolint:gosec // all 64 bits, back and forth
	c = Cursor{Seq: word(0), Mark: word(1)}
	if len(b) > 2*8 {
		c.Picture = &Pictured{word(2), word(3), word(4)}
	}
	return c, true
}
