package orchestrator

import (
	"encoding/base64"
	"encoding/binary"
)

// A cursor is an event's sequence number and that row's own random mark, so that a cursor from another
// store, or from before a restored backup, is recognised as foreign.

func encodeCursor(seq, mark int64) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], uint64(seq))
	binary.BigEndian.PutUint64(b[8:], uint64(mark))
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func decodeCursor(s string) (seq, mark int64, ok bool) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) != 16 {
		return 0, 0, false
	}
	return int64(binary.BigEndian.Uint64(b[:8])), int64(binary.BigEndian.Uint64(b[8:])), true
}
