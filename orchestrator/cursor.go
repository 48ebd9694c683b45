package orchestrator

import (
	"encoding/base64"
	"encoding/binary"
)

// A cursor is an event's sequence number and that row's own random mark, so that a cursor from another
// store, or from before a restored backup, is recognised as foreign. One of `changes` also says how far the
// picture had come that it was told from.

// cursor is what clients hold as opaque text.
type cursor struct {
	seq, mark int64
	picture   *pictured // nil in the cursor of an event
}

// pictured is the part of a cursor that only the picture which it was told from can judge.
type pictured struct {
	epoch int64 // which picture
	rev   int64 // how far it had come
	loose int64 // 1: something had changed since the event that has no event of its own
}

func (c cursor) String() string {
	words := []int64{c.seq, c.mark}
	if p := c.picture; p != nil {
		words = append(words, p.epoch, p.rev, p.loose)
	}
	var b []byte
	for _, w := range words {
		b = binary.BigEndian.AppendUint64(b, uint64(w)) //nolint:gosec // all 64 bits, back and forth
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

func decodeCursor(s string) (c cursor, ok bool) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) != 2*8 && len(b) != 5*8 {
		return cursor{}, false
	}
	word := func(i int) int64 { return int64(binary.BigEndian.Uint64(b[8*i:])) } //nolint:gosec // all 64 bits, back and forth
	c = cursor{seq: word(0), mark: word(1)}
	if len(b) > 2*8 {
		c.picture = &pictured{word(2), word(3), word(4)}
	}
	return c, true
}
