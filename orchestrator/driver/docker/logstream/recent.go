package logstream

import (
	"slices"
	"time"
)

// remembered is how many messages are remembered at least; at most twice as many.
const remembered = 4096

// recent remembers the newest messages of both streams. An engine before version 24 that rotates a log while it is followed can
// send what it sent of the new file once more, from its first message on.
type recent struct {
	all      []message // oldest first
	repeated int       // index of the message that comes next if the engine repeats itself; 0: it does not
}

// message identifies a message: no two of one stream have the same time, unless they are parts of one line.
type message struct {
	at     int64 // in nanoseconds
	stderr bool
}

// again reports whether a message is repeated, and remembers it otherwise. Older is whether it is older than the newest one.
func (r *recent) again(at time.Time, stderr, older bool) bool {
	m := message{at.UnixNano(), stderr}
	if r.repeated > 0 && r.repeated < len(r.all) && r.all[r.repeated] == m {
		r.repeated++
		return true
	}
	r.repeated = 0
	if older {
		if i := slices.Index(r.all, m); i >= 0 {
			r.repeated = i + 1
			return true
		}
	}
	if len(r.all) >= 2*remembered {
		r.all = append(r.all[:0], r.all[remembered:]...)
	}
	r.all = append(r.all, m)
	return false
}
