// Package logstream reads the log of a container as an engine's API sends it: in frames of the streams, with a timestamp before
// each message. Nothing in it trusts the engine: what it keeps of a stream is bounded, whatever the frames say.
package logstream

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Position is a place in the log of a container. It is told by the time of a message before it, the anchor, and the number of
// lines that ended between. The engine finds a message by time only: it leaves out what is before the first message that is not
// older than a time, and an engine before version 24 leaves out each message that is older. The anchor is therefore the newest
// message, or an older one if a line that began with it has not ended.
//
// After the clock of the engine's machine was set back, the messages that follow are older than ones before them. Then the anchor
// is the last message, and the position is Exact: the engine must be asked for the whole log.
type Position struct {
	Container string
	Since     time.Time // of the anchor; zero: the beginning of the log
	Newest    time.Time // of all messages before the place
	Lines     int64     // that ended after the anchor began and before the place
	Exact     bool
}

// disorder is the longest time by which messages of the two streams can be out of order although no clock was set.
const disorder = time.Second

// Versions of the text of a position. A text of another version is no position.
const (
	version      = "1"
	versionExact = "1x"
)

// String returns the text of a position, which has no spaces.
func (p Position) String() string {
	kind := version
	if p.Exact {
		kind = versionExact
	}
	return strings.Join([]string{kind, p.Container, nanos(p.Since), nanos(p.Newest), strconv.FormatInt(p.Lines, 10)}, ":")
}

// Parse parses the text of a position. It returns false if the text is none.
func Parse(text string) (Position, bool) {
	parts := strings.Split(text, ":")
	if len(parts) != 5 || parts[0] != version && parts[0] != versionExact || parts[1] == "" {
		return Position{}, false
	}
	since, err1 := strconv.ParseInt(parts[2], 10, 64)
	newest, err2 := strconv.ParseInt(parts[3], 10, 64)
	lines, err3 := strconv.ParseInt(parts[4], 10, 64)
	if err1 != nil || err2 != nil || err3 != nil || since < 0 || newest < since || lines < 0 {
		return Position{}, false
	}
	return Position{Container: parts[1], Since: fromNanos(since), Newest: fromNanos(newest), Lines: lines, Exact: parts[0] == versionExact}, true
}

// Query returns the time to ask the engine for, as its API takes it. It is empty for the whole log.
func (p Position) Query() string {
	if p.Since.IsZero() || p.Exact {
		return ""
	}
	t := p.Since.Add(-disorder)
	return fmt.Sprintf("%d.%09d", t.Unix(), t.Nanosecond())
}

func nanos(t time.Time) string {
	if t.IsZero() {
		return "0"
	}
	return strconv.FormatInt(t.UnixNano(), 10)
}

func fromNanos(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}
